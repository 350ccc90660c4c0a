//! Tests that catalogs of the format in which a database had one fixed instance are migrated.

use std::path::Path;

use dormouse_types::{Bytes, Incarnation, InstanceId, State, Units};
use rusqlite::Connection;

use super::*;
use crate::catalog::record::Role;
use crate::catalog::schema::STEPS;
use crate::meter::Rates;

/// The format's number, and its tables with rows as Dormouse left them.
const FORMAT: usize = 7;
const TABLES: &str = r#"
    CREATE TABLE instances (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        phase       TEXT NOT NULL,
        version     TEXT NOT NULL
    ) STRICT;
    CREATE TABLE databases (
        name        TEXT PRIMARY KEY,
        instance    INTEGER NOT NULL UNIQUE REFERENCES instances (id),
        spec        TEXT NOT NULL,
        state       TEXT NOT NULL,
        since       INTEGER NOT NULL,
        generation  INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        accounts    TEXT NOT NULL,
        schemas     TEXT,
        globals     TEXT NOT NULL,
        fresh       INTEGER NOT NULL,
        variables   TEXT,
        events      TEXT NOT NULL DEFAULT '{}',
        units       INTEGER NOT NULL DEFAULT 1,
        storage     INTEGER,
        full        INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ledger (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        at          INTEGER NOT NULL,
        database    TEXT NOT NULL,
        event       TEXT NOT NULL,
        from_state  TEXT,
        to_state    TEXT,
        cause       TEXT NOT NULL,
        reason      TEXT NOT NULL,
        duration_ms INTEGER,
        figures     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX ledger_by_database ON ledger (database, id);
    CREATE TABLE meters (
        instance    INTEGER PRIMARY KEY,
        database    TEXT NOT NULL,
        at          INTEGER NOT NULL,
        pid         INTEGER,
        started     INTEGER,
        cpu_us      INTEGER NOT NULL,
        active      INTEGER NOT NULL,
        units       INTEGER NOT NULL,
        memory_mib  INTEGER NOT NULL,
        storage_mib INTEGER NOT NULL,
        rung        TEXT NOT NULL,
        ended       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX meters_by_database ON meters (database);
    CREATE TABLE usage_days (
        instance    INTEGER NOT NULL,
        at          INTEGER NOT NULL,
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
    CREATE TABLE usage_minutes (
        instance    INTEGER NOT NULL,
        at          INTEGER NOT NULL,
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
    INSERT INTO instances VALUES (3, 'claimed', '10.11'), (4, 'warm', '10.11'), (6, 'claimed', '11.8'),
        (7, 'removing', '10.11'), (9, 'foreign', '');
    DELETE FROM instances WHERE id = 7;
    INSERT INTO databases VALUES
        ('blog', 6, json(?1), 'parked', 1700000000000, 12, 'nobody used it', '[]', '["app"]',
            '[["a","''b''"]]', 1, NULL, '{}', 1, 25165824, 1),
        ('shop', 3, json(?1), 'active', 1700000000001, -1, 'a statement arrived', '[]', NULL, '[]', 0,
            NULL, '{}', 4, NULL, 0);
    INSERT INTO ledger VALUES (41, 4000000000000, 'shop', 'changed', 'parked', 'active', 'demand',
        'a statement arrived', 120, '{}');
    INSERT INTO meters VALUES (3, 'shop', 1700000000000, 4711, 987654, 77, 1, 4, 8192, 24, '"free"', 0),
        (6, 'blog', 1700000000000, NULL, NULL, 5, 0, 0, 0, 24, '"free"', 0),
        (2, 'gone', 1600000000000, NULL, NULL, 5, 0, 0, 0, 0, '"free"', 1);
    INSERT INTO usage_days VALUES (3, 19675, 1000, 2, 3, 4, 5, 6, 7, 0, 0, 0, 0, 0);
"#;

/// Makes a catalog of that format.
fn earlier(dir: &Path) -> Connection {
    let raw = Connection::open(dir.join(FILE)).unwrap();
    raw.pragma_update(None, "journal_mode", "WAL").unwrap();
    let spec = serde_json::to_string(&Spec::default()).unwrap();
    raw.execute_batch(&TABLES.replace("json(?1)", &format!("'{spec}'")))
        .unwrap();
    raw.pragma_update(None, "user_version", FORMAT as i64)
        .unwrap();
    raw
}

fn all_is_kept(dir: &Path) {
    let (catalog, contents) = open(dir);
    let found: Vec<_> = { contents.databases.iter() }
        .map(|d| (d.name.as_str(), d.instance, d.state, d.generation, d.units))
        .collect();
    let expected = [
        ("blog", InstanceId(6), State::Parked, 12, Units(1)),
        ("shop", InstanceId(3), State::Active, u64::MAX, Units(4)),
    ];
    assert_eq!(found, expected);
    // their files are older than the limits of rights
    let rights: Vec<_> = contents.databases.iter().map(|d| d.rights).collect();
    assert_eq!(rights, [0, 0]);
    assert!(contents.instances.iter().all(|i| i.rights == 0));
    let blog = &contents.databases[0];
    assert_eq!(*blog.spec, Spec::default());
    assert_eq!(blog.since.as_millisecond(), 1_700_000_000_000);
    assert_eq!(blog.reason, "nobody used it");
    assert_eq!((blog.storage, blog.full), (Some(Bytes::mib(24)), true));
    let noted = Noted {
        schemas: Some(vec!["app".to_owned()]),
        globals: vec![("a".to_owned(), "'b'".to_owned())],
        fresh: true,
        ..Noted::default()
    };
    assert_eq!(blog.noted, noted);
    let serves = |database: &str| Some((name(database), Role::Primary));
    let found: Vec<_> = { contents.instances.iter() }
        .map(|i| (i.id.0, i.phase, i.version.as_str(), i.serves.clone()))
        .collect();
    let expected = [
        (3, Phase::Claimed, "10.11", serves("shop")),
        (4, Phase::Warm, "10.11", None),
        (6, Phase::Claimed, "11.8", serves("blog")),
        (9, Phase::Foreign, "", None),
    ];
    assert_eq!(found, expected);
    assert_eq!(contents.last_instance, 9);
    let filter = EventFilter {
        limit: 9,
        ..EventFilter::default()
    };
    assert_eq!(reasons(&catalog, &filter), ["a statement arrived"]);
    let entry = catalog.events(&filter).unwrap().pop().unwrap();
    assert_eq!(
        (entry.duration_ms, entry.actor, entry.woken_by),
        (Some(120), None, None)
    );
    let meters = catalog.meters(0).unwrap();
    let (shop, used) = &meters[&InstanceId(3)];
    assert_eq!(shop.incarnation, Some(Incarnation((987_654 << 64) | 4711)));
    let rates = Rates {
        active: true,
        units: Units(4),
        memory_mib: 8192,
        storage_mib: 24,
    };
    assert_eq!((shop.cpu_us, shop.rates), (77, rates));
    assert_eq!(used.used.cpu_us, 1000);
    assert_eq!(meters[&InstanceId(6)].0.incarnation, None);
    assert_eq!(meters.len(), 2);
}

#[test]
fn an_earlier_catalog_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    drop(earlier(dir.path()));
    all_is_kept(dir.path());
    all_is_kept(dir.path());
}

#[tokio::test]
async fn a_migrated_catalog_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    drop(earlier(dir.path()));
    let (catalog, _) = open(dir.path());
    let gone = vec![Change::Gone {
        name: name("blog"),
        instance: InstanceId(6),
        origin: InstanceId(6),
    }];
    catalog.write(Durability::Now, gone).await.unwrap();
    let id = catalog.new_instance("11.8".to_owned()).await.unwrap();
    assert_eq!(id, InstanceId(10));
    let claim = vec![Change::Claim(Box::new(row("blog", id)))];
    catalog.write(Durability::Now, claim).await.unwrap();
    drop(catalog);
    let contents = open(dir.path()).1;
    assert_eq!(contents.databases[0].instance, id);
}

/// Copies the files that a kill would leave: the database file and its log.
fn copied(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in [FILE.to_owned(), format!("{FILE}-wal")] {
        if from.join(&file).exists() {
            std::fs::copy(from.join(&file), to.path().join(&file)).unwrap();
        }
    }
    to
}

#[test]
fn a_migration_killed_at_any_point_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let raw = earlier(dir.path());
    raw.pragma_update(None, "foreign_keys", true).unwrap();
    // what is not committed is also in the log
    raw.pragma_update(None, "cache_size", 1).unwrap();
    let mut kills = Vec::new();
    for (number, step) in STEPS.iter().enumerate().skip(FORMAT) {
        raw.execute_batch("BEGIN IMMEDIATE").unwrap();
        for statement in step.split_inclusive(';') {
            raw.execute_batch(statement).unwrap();
            kills.push(copied(dir.path()));
        }
        raw.pragma_update(None, "user_version", number as i64 + 1)
            .unwrap();
        kills.push(copied(dir.path()));
        raw.execute_batch("COMMIT").unwrap();
        kills.push(copied(dir.path()));
    }
    drop(raw);
    assert!(kills.len() > 15, "{} places only", kills.len());
    for killed in kills {
        all_is_kept(killed.path());
    }
    all_is_kept(dir.path());
}
