//! The catalog's tables, and their migration from older formats.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};

/// How long to wait for another program that has the catalog open.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Each step migrates to the next format. A released step is never changed.
pub(super) const STEPS: &[&str] = &[
    "
    CREATE TABLE instances (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        phase       TEXT NOT NULL,
        version     TEXT NOT NULL
    ) STRICT;
    CREATE TABLE databases (
        name        TEXT PRIMARY KEY,
        instance    INTEGER NOT NULL UNIQUE REFERENCES instances (id),
        spec        TEXT NOT NULL,              -- JSON
        state       TEXT NOT NULL,
        since       INTEGER NOT NULL,           -- milliseconds since 1970
        generation  INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        accounts    TEXT NOT NULL,              -- JSON
        schemas     TEXT,                       -- JSON
        globals     TEXT NOT NULL,              -- JSON
        fresh       INTEGER NOT NULL            -- whether the three above are those of the files
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        at          INTEGER NOT NULL,           -- milliseconds since 1970
        database    TEXT NOT NULL,
        event       TEXT NOT NULL,
        from_state  TEXT,
        to_state    TEXT,
        cause       TEXT NOT NULL,
        reason      TEXT NOT NULL,
        duration_ms INTEGER,
        figures     TEXT NOT NULL               -- JSON
    ) STRICT;
    CREATE INDEX ledger_by_database ON ledger (database, id);
",
    "
    -- what an account demands of its connection has more than two answers
    UPDATE databases SET accounts = replace(replace(accounts,
        '\"require_tls\":false', '\"transport\":\"any\",\"expiry\":null'),
        '\"require_tls\":true', '\"transport\":\"tls\",\"expiry\":null');
",
    "
    ALTER TABLE databases ADD COLUMN variables TEXT;    -- JSON, noted like the three above
",
    "
    ALTER TABLE databases ADD COLUMN events TEXT NOT NULL DEFAULT '{}';     -- JSON, noted like the above
",
    "
    ALTER TABLE databases ADD COLUMN units INTEGER NOT NULL DEFAULT 1;
",
    "
    -- an instance id names one life of a database's name: a later one begins from nothing
    CREATE TABLE meters (
        instance    INTEGER PRIMARY KEY,
        database    TEXT NOT NULL,
        at          INTEGER NOT NULL,           -- milliseconds since 1970: all before it is counted
        pid         INTEGER,                    -- the process then, and
        started     INTEGER,
        cpu_us      INTEGER NOT NULL,           -- its counter
        active      INTEGER NOT NULL,           -- what goes on from then on
        units       INTEGER NOT NULL,
        memory_mib  INTEGER NOT NULL,
        storage_mib INTEGER NOT NULL,
        rung        TEXT NOT NULL,              -- JSON
        ended       INTEGER NOT NULL            -- whether the database was dropped
    ) STRICT;
    CREATE INDEX meters_by_database ON meters (database);
    CREATE TABLE usage_days (
        instance    INTEGER NOT NULL,
        at          INTEGER NOT NULL,           -- days since 1970
        cpu_us      INTEGER NOT NULL,
        memory      INTEGER NOT NULL,           -- MiB times milliseconds
        storage     INTEGER NOT NULL,           -- likewise
        active_ms   INTEGER NOT NULL,
        statements  INTEGER NOT NULL,
        bytes_in    INTEGER NOT NULL,
        bytes_out   INTEGER NOT NULL,
        free_cpu_us     INTEGER NOT NULL,       -- what of these is free of charge
        free_memory     INTEGER NOT NULL,
        free_statements INTEGER NOT NULL,
        free_bytes_in   INTEGER NOT NULL,
        free_bytes_out  INTEGER NOT NULL,
        PRIMARY KEY (instance, at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE usage_minutes (
        instance    INTEGER NOT NULL,
        at          INTEGER NOT NULL,           -- minutes since 1970
        cpu_us      INTEGER NOT NULL,
        memory      INTEGER NOT NULL,
        storage     INTEGER NOT NULL,
        active_ms   INTEGER NOT NULL,
        statements  INTEGER NOT NULL,
        bytes_in    INTEGER NOT NULL,
        bytes_out   INTEGER NOT NULL,
        free_cpu_us     INTEGER NOT NULL,
        free_memory     INTEGER NOT NULL,
        free_statements INTEGER NOT NULL,
        free_bytes_in   INTEGER NOT NULL,
        free_bytes_out  INTEGER NOT NULL,
        PRIMARY KEY (instance, at)
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE databases ADD COLUMN storage INTEGER;   -- bytes its files took when that mattered last
    ALTER TABLE databases ADD COLUMN full INTEGER NOT NULL DEFAULT 0;   -- whether that was its quota
",
    "
    -- a run of a server is named by its driver alone: these are the local driver's
    ALTER TABLE meters ADD COLUMN incarnation TEXT;     -- the run of its server then, in hexadecimal
    UPDATE meters SET incarnation = printf('%016x%016x', started, pid) WHERE pid IS NOT NULL;
    ALTER TABLE meters DROP COLUMN pid;
    ALTER TABLE meters DROP COLUMN started;
",
    "
    -- a database is served by instances, of which one is its primary
    ALTER TABLE databases RENAME TO databases_with_instances;
    CREATE TABLE databases (
        name        TEXT PRIMARY KEY,
        spec        TEXT NOT NULL,              -- JSON
        state       TEXT NOT NULL,
        since       INTEGER NOT NULL,           -- milliseconds since 1970
        reason      TEXT NOT NULL,
        accounts    TEXT NOT NULL,              -- JSON
        schemas     TEXT,                       -- JSON
        globals     TEXT NOT NULL,              -- JSON
        variables   TEXT,                       -- JSON
        events      TEXT NOT NULL,              -- JSON
        fresh       INTEGER NOT NULL,           -- whether the five above are those of the files
        storage     INTEGER,                    -- bytes its files took when that mattered last
        full        INTEGER NOT NULL            -- whether that was its quota
    ) STRICT, WITHOUT ROWID;
    INSERT INTO databases SELECT name, spec, state, since, reason, accounts, schemas, globals, variables,
        events, fresh, storage, full FROM databases_with_instances;
    ALTER TABLE instances ADD COLUMN database TEXT REFERENCES databases (name);
    ALTER TABLE instances ADD COLUMN role TEXT;             -- what it is to the database
    ALTER TABLE instances ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE instances ADD COLUMN units INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE instances ADD COLUMN host TEXT NOT NULL DEFAULT 'local';
    ALTER TABLE instances ADD COLUMN endpoint TEXT;         -- JSON: how its server was reached last
    ALTER TABLE instances ADD COLUMN incarnation TEXT;      -- the run of its server then, in hexadecimal
    UPDATE instances SET database = d.name, role = 'primary', generation = d.generation, units = d.units
        FROM databases_with_instances d WHERE d.instance = instances.id;
    DROP TABLE databases_with_instances;
    CREATE INDEX instances_by_database ON instances (database);
    CREATE UNIQUE INDEX one_primary ON instances (database) WHERE role = 'primary';
",
    "
    -- an entry has its originator, and the empty name if it is about no database
    ALTER TABLE ledger ADD COLUMN actor TEXT;
    CREATE TABLE tokens (
        id          TEXT PRIMARY KEY,
        name        TEXT NOT NULL,
        role        TEXT NOT NULL,
        database    TEXT,                       -- of an owner
        hash        BLOB NOT NULL,              -- SHA-256 of its secret
        former      BLOB,                       -- that of its secret before the last rotation
        former_until INTEGER,                   -- milliseconds since 1970, like the others below
        created     INTEGER NOT NULL,
        lifetime    INTEGER,                    -- milliseconds
        expires     INTEGER,
        used        INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_database ON tokens (database);
",
    "
    -- version of the rights of the accounts in its files: 0 before they were limited
    ALTER TABLE instances ADD COLUMN rights INTEGER NOT NULL DEFAULT 0;
",
    "
    ALTER TABLE databases ADD COLUMN branch TEXT;       -- JSON: of which database it is a copy
",
    "
    CREATE TABLE backups (
        instance    INTEGER PRIMARY KEY,        -- of whose files
        known       TEXT NOT NULL               -- JSON: the last one, and the last attempt
    ) STRICT;
",
    "
    -- what needed the server: its statement without values, and whose it was
    ALTER TABLE ledger ADD COLUMN statement TEXT;
    ALTER TABLE ledger ADD COLUMN account TEXT;         -- USER@ADDRESS
",
    "
    -- a database moves to other instances. The one that it began with names it in backups, usage and credentials
    ALTER TABLE databases ADD COLUMN origin INTEGER;    -- NULL: it has not moved
    ALTER TABLE instances ADD COLUMN kept_until INTEGER;    -- of one that the database has left, in milliseconds since 1970
",
    "
    -- the number of replicas may be a range, as a text: a number stays what it is
    UPDATE databases SET spec = json_set(spec, '$.replicas', CAST(json_extract(spec, '$.replicas') AS TEXT))
        WHERE json_type(spec, '$.replicas') = 'integer';
",
    "
    ALTER TABLE instances ADD COLUMN moved INTEGER;     -- when its database moved to it, in milliseconds since 1970
",
];

/// Why a catalog cannot be used.
pub(super) enum Unfit {
    /// Error of SQLite.
    Sqlite(rusqlite::Error),
    /// A newer version of Dormouse wrote it.
    Newer { found: i64, known: usize },
    /// The integrity check failed.
    Damaged(String),
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Configures the connection, checks the important tables, and migrates them to the current format.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Unfit> {
    connection.busy_timeout(BUSY)?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = match usize::try_from(found) {
        Ok(done) if done <= STEPS.len() => done,
        _ => {
            return Err(Unfit::Newer {
                found,
                known: STEPS.len(),
            });
        }
    };
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if done > 0 {
        for table in ["databases", "instances"] {
            let mut said = String::new();
            connection.pragma(None, "quick_check", table, |row| {
                if said.is_empty() {
                    said = row.get(0)?;
                }
                Ok(())
            })?;
            if said != "ok" {
                return Err(Unfit::Damaged(said));
            }
        }
    }
    for (step, number) in STEPS.iter().zip(1i64..).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
