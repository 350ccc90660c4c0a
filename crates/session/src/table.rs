//! Every piece of session state: how a change is noticed, and what happens to it when the session leaves its
//! backend. `docs/session-state.md` is generated from this.

use std::fmt::Write as _;

use dormouse_types::Pin;

/// What happens to a piece of state when its session leaves its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is restored on the next backend; the text says how.
    Restored(&'static str),
    /// Dormouse answers questions about it; the text says how.
    Answered(&'static str),
    /// The session keeps its backend as long as the state exists.
    Pins(&'static [Pin]),
    /// It is lost; a statement that asks for it is refused, or the text says what it gets.
    Lost(&'static str),
}

/// One piece of session state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub item: &'static str,
    /// How a change is noticed.
    pub noticed: &'static str,
    /// What happens to it.
    pub fates: &'static [Fate],
}

const TEXT: &str = "the statement's text";
const PROBE: &str = "the statement's text, the server's session tracking, or a probe";

/// The table.
pub const TABLE: &[Row] = &[
    Row {
        item: "current schema",
        noticed: "`USE`, `COM_INIT_DB`; else a probe",
        fates: &[Fate::Restored("`COM_INIT_DB`")],
    },
    Row {
        item: "system variables, SQL mode, time zone, isolation level, autocommit",
        noticed: PROBE,
        fates: &[
            Fate::Restored(
                "the statements that set them, or one `SET` of what differs from the global values; of global values \
                 that have changed since the session began, its own, for the last 128 changes since Dormouse was started",
            ),
            Fate::Pins(&[Pin::HiddenVariable]),
        ],
    },
    Row {
        item: "`wait_timeout`, `net_read_timeout`, `net_write_timeout`, `session_track_state_change`",
        noticed: TEXT,
        fates: &[Fate::Answered(
            "the backend has the session's values while a statement names them or shows variables; else they are \
             Dormouse's, which enforces `wait_timeout` itself and tracks changes of state",
        )],
    },
    Row {
        item: "character sets and collations",
        noticed: PROBE,
        fates: &[Fate::Restored("`SET NAMES … COLLATE …`")],
    },
    Row {
        item: "role",
        noticed: PROBE,
        fates: &[Fate::Restored(
            "`SET ROLE`, at every handover (a reset leaves it)",
        )],
    },
    Row {
        item: "global privileges",
        noticed: "the text of a statement that may change them",
        fates: &[Fate::Restored(
            "those of the present: a server reads them at each login, and keeps them for its connection",
        )],
    },
    Row {
        item: "user variables",
        noticed: PROBE,
        fates: &[
            Fate::Restored(
                "`SET @x = …` with type, character set and collation; 64 KiB in all, and fewer than 1,000",
            ),
            Fate::Pins(&[Pin::UserVariable]),
        ],
    },
    Row {
        item: "statements prepared with the protocol",
        noticed: "the command",
        fates: &[
            Fate::Restored(
                "prepared when next used, or found on the backend; parameter types kept",
            ),
            Fate::Pins(&[Pin::PreparedContext, Pin::PreparedText]),
        ],
    },
    Row {
        item: "open cursors, long data sent for a statement",
        noticed: "the command and the reply's status",
        fates: &[Fate::Pins(&[Pin::Cursor, Pin::LongData])],
    },
    Row {
        item: "`PREPARE … FROM`",
        noticed: "the statement's text, and the server's count of them",
        fates: &[
            Fate::Restored(
                "prepared again, if its text is a literal; one whose table is gone fails when it is executed",
            ),
            Fate::Pins(&[Pin::TextPrepare]),
        ],
    },
    Row {
        item: "open transaction, savepoints, XA",
        noticed: "the reply's status; a savepoint while `autocommit` is off, the statement's text (a `CALL` or \
                  unknown `EXECUTE` counts as one)",
        fates: &[Fate::Pins(&[Pin::Transaction])],
    },
    Row {
        item: "`SET TRANSACTION` for the next one",
        noticed: TEXT,
        fates: &[
            Fate::Restored("the statement, until a transaction begins"),
            Fate::Pins(&[Pin::HiddenVariable]),
        ],
    },
    Row {
        item: "temporary tables",
        noticed: "the statement's text, and the server's count of them",
        fates: &[
            Fate::Restored(
                "over a planned park with `carry = \"temporary_tables\"`: tables that the session's own texts have \
                 created, of InnoDB, Aria, MyISAM or MEMORY, with ASCII names; 1 MiB of SQL in all",
            ),
            Fate::Pins(&[Pin::TemporaryTable]),
        ],
    },
    Row {
        item: "`LOCK TABLES`, `HANDLER`, `FLUSH TABLES WITH READ LOCK`, `BACKUP`",
        noticed: "the server's list of metadata locks (plugin metadata_lock_info), else the text",
        fates: &[Fate::Pins(&[Pin::TableLock, Pin::GlobalLock])],
    },
    Row {
        item: "locks of `GET_LOCK`",
        noticed: "the same list",
        fates: &[
            Fate::Restored(
                "over a planned park with `carry = \"user_locks\"`: at most 32 of a session, with names of at most 64 \
                 characters of `utf8mb3`, each taken at most 256 times; on the next server the sessions take them before any \
                 other session is let in, within 10 s, and an `EVENT` alone can come before them",
            ),
            Fate::Pins(&[Pin::UserLock]),
        ],
    },
    Row {
        item: "`LAST_INSERT_ID()`",
        noticed: "the reply, then the server is asked",
        fates: &[Fate::Restored("`SET last_insert_id`")],
    },
    Row {
        item: "`ROW_COUNT()`, `FOUND_ROWS()`, warnings and errors of the last statement",
        noticed: "the reply, or the server is asked",
        fates: &[
            Fate::Answered(
                "in expressions of one statement, `SHOW WARNINGS`, `SHOW ERRORS`, `GET DIAGNOSTICS`, prepared or run by `EXECUTE` too; \
                 **or put back**: for blocks and wherever no value can stand, if a statement can make it on another server. The \
                 columns of a list have the collation that results had when it was read",
            ),
            Fate::Lost(
                "error 1235 for lists above 64 KiB and for other items that `SIGNAL` has set (`CONSTRAINT_NAME` …), which are \
                 not kept; for what no statement can make: there `ROW_COUNT()` above 1, `FOUND_ROWS()` above 10,000, more than \
                 63 conditions, notes, and warnings with an error's SQLSTATE; for texts of conditions in SQL modes `ORACLE` and \
                 `EMPTY_STRING_IS_NULL`, in which no server tells them; for what a server that was killed within 5 ms was not \
                 asked for: asking at once would delay the next statement",
            ),
        ],
    },
    Row {
        item: "`timestamp`",
        noticed: TEXT,
        fates: &[
            Fate::Restored("`SET timestamp`, if it was set to a literal"),
            Fate::Pins(&[Pin::HiddenVariable]),
        ],
    },
    Row {
        item: "`insert_id`, `rand_seed1`, `pseudo_thread_id`, `sql_log_bin`, `gtid_…`",
        noticed: TEXT,
        fates: &[Fate::Pins(&[Pin::HiddenVariable])],
    },
    Row {
        item: "profiles, optimizer traces",
        noticed: "the statement's text, or a probe",
        fates: &[Fate::Pins(&[Pin::Profiling])],
    },
    Row {
        item: "state that could not be read",
        noticed: "a probe that fails",
        fates: &[Fate::Pins(&[Pin::Unreadable])],
    },
    Row {
        item: "multi-statements switched by `COM_SET_OPTION`",
        noticed: "the command",
        fates: &[Fate::Restored("`COM_SET_OPTION`")],
    },
    Row {
        item: "`CONNECTION_ID()`",
        noticed: "each handover",
        fates: &[Fate::Restored(
            "set on each backend by `mysql.dormouse_attach`, so every expression, view and routine has the id that the \
                 client was given; `PROCESSLIST`, `INNODB_TRX` and `METADATA_LOCK_INFO`, `IS_USED_LOCK()`, `KILL`, \
                 `SHOW EXPLAIN` and the engine's status are translated in what clients send; the metadata of columns that \
                 tell ids are those of the translating query",
        )],
    },
    Row {
        item: "session tracking (`session_track_…`)",
        noticed: PROBE,
        fates: &[Fate::Restored("as system variables")],
    },
    Row {
        item: "`LASTVAL()`, `PREVIOUS VALUE FOR`, `s.currval`",
        noticed: "the statement's text (`NEXTVAL()`, `SETVAL()`), then the server is asked",
        fates: &[
            Fate::Answered("in every expression, if the session's own texts advanced them"),
            Fate::Pins(&[Pin::Sequence]),
            Fate::Lost(
                "else error 1235 after a move: no server lets them be set, or tells which sequences have one; also in `RETURNING`, \
                 whose columns a server names by its text",
            ),
        ],
    },
    Row {
        item: "session status counters",
        noticed: "not noticed",
        fates: &[Fate::Lost(
            "they are those of the present backend: a server counts them for each connection, and Dormouse's own \
             statements with them",
        )],
    },
];

/// `docs/session-state.md`.
#[must_use]
pub fn document() -> String {
    let mut out = String::from(HEAD);
    for row in TABLE {
        let fates: Vec<String> = row.fates.iter().map(fate).collect();
        let _ = writeln!(
            out,
            "| {} | {} | {} |",
            row.item,
            row.noticed,
            fates.join("; ")
        );
    }
    out.push_str(PINS);
    for pin in Pin::ALL {
        let _ = writeln!(out, "| `{pin}` | {} |", pin.explanation());
    }
    out.push_str(TAIL);
    out
}

fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Restored(how) => format!("**restored**: {how}"),
        Fate::Answered(how) => format!("**answered by Dormouse**: {how}"),
        Fate::Pins(pins) => {
            let names: Vec<_> = pins.iter().map(|pin| format!("`{pin}`")).collect();
            format!("**pins** ({})", names.join(", "))
        }
        Fate::Lost(what) => format!("**lost**: {what}"),
    }
}

const HEAD: &str = "\
# Session state

A session outlasts its backends (connections to the server): it leaves one when another session needs it, when
the database is parked, and when the server dies. Its state is restored on the next backend, or keeps the
session on the present one (it *pins*), or is lost as said below.

- **Restored** state is safe.
- **Pins** keep the backend from other sessions and the database from being parked, not from being suspended.
  `SHOW DORMOUSE SESSION` shows a session's pins and what ends them; the ledger shows what kept a database from
  being parked.
- **When a server is killed**, pinned state is lost: the session gets an error that names it. A transaction
  is run again; where that is not possible the error is 1213 ([what-survives.md](what-survives.md)).

A *probe* reads the state from the server. It runs before a session leaves its backend after statements whose
texts do not show what they changed (`CALL`, `@variables`, `GET_LOCK`, several statements in one text, more than
32 KiB) or whose replies report a change by stored code (session tracking); 5 ms after such a statement; and always
before a park. Servers do not report that stored code takes a lock, sets a variable with `INTO` or `:=`, or advances a
sequence: in a database that has such functions, triggers or views, every statement that may run stored code is
followed by a probe. Dormouse searches for them when a server has started and when stored code changes.

| state | a change is noticed by | when the session leaves |
|---|---|---|
";

const PINS: &str = "
## What ends a pin

| pin | |
|---|---|
";

const TAIL: &str = "
## Answered while the server sleeps

Dormouse answers these for a suspended or parked database, byte for byte as its server would, without waking it.
Everything else wakes the database, and so do these if the answer is not certain. A database whose `init_connect` is
set, or whose SQL mode is `ORACLE`, is woken by all of them except commands.

- `COM_PING`, `COM_RESET_CONNECTION`, `COM_CHANGE_USER`, `COM_SET_OPTION`, `COM_STMT_CLOSE`, `COM_STMT_RESET`,
  `COM_QUIT`; `COM_INIT_DB` and `USE` of a schema that exists, by the owner, or by an account that has entered it
  with its present role since privileges may have changed last and Dormouse was started.
- `SELECT`, with aliases and `LIMIT`, of integers, strings, `@@name`, `@@SESSION.name`, `@@GLOBAL.name`,
  `VERSION()`, `DATABASE()`, `SCHEMA()`, `CONNECTION_ID()`, `LAST_INSERT_ID()`, `@@identity`; `DO 1`; a comment (`/* ping */`).
  Comments of all kinds may stand between words and at the end, but not behind a semicolon.
- `SET` of `NAMES` (utf8mb4, utf8mb3, latin1, ascii, with or without `COLLATE`), `autocommit`, `sql_mode` (also with
  `CONCAT(@@sql_mode, …)`), `time_zone` (an offset or `SYSTEM`), `character_set_results`, isolation level and access
  mode (`SET TRANSACTION` too), `foreign_key_checks`, `unique_checks`, `sql_auto_is_null`, `sql_safe_updates`,
  `sql_select_limit`, `max_statement_time`, `group_concat_max_len`, the timeouts for waiting, reading, writing and locks,
  and `session_track_…`. Later answers respect it, and it is set on the next backend.
- `KILL` of a connection that is none, if there is no server; `SHOW WARNINGS`, `SHOW ERRORS` and what else asks about the
  statement before.
- With an [understudy](asleep.md), every `SELECT`, `VALUES`, `DO`, `SET` and `SHOW` that reads no table, prepared ones
  too.
- `BEGIN` and `START TRANSACTION`: the answer says that the transaction is open; it is begun before the first
  statement that needs the server. `COMMIT` and `ROLLBACK` of a transaction without such a statement.

A session that has a backend on a suspended server is answered if its state is known and no transaction is
open; an answer that depends on variables also requires that no statement has set a global one since the server
started.
`SHOW DORMOUSE STATUS` counts the answers (`sleeping_answers`).

## Known weaknesses

`--pooling session` switches sharing of backends off for a database: then only parks and kills move sessions.

- Stored code, and texts put together while they run, that ask about the statement before, for `@@wait_timeout`, which is
  31536000 there, or for `@@session_track_state_change`: no text that a client sends shows it. A column's default that
  sets a variable (`DEFAULT (@a := 1)`) is not searched for: every table would have to be opened.
- A `SET TRANSACTION`, `rand_seed1` or a `timestamp` of the present, set by a procedure: no server shows them.
- After a move, `FOUND_ROWS()` after statements that failed or found no rows, and the warnings before an `EXECUTE`, `CALL` or
  `CREATE PROCEDURE`, an `EXPLAIN` or a `RESIGNAL`, may be missing: no reply tells whether a server keeps them.
- A schema that another session has dropped cannot be entered again on a new backend: it does not exist.
- After a `KILL` that Dormouse has answered itself, `ROW_COUNT()` is that of the statement before if that had warnings or was a
  `UNION`. A list of warnings that Dormouse makes (after `KILL`, or a statement about accounts) has columns in `utf8mb4_general_ci`.
- The greeting is sent before the database is known and says that autocommit is on, even if its global value is off; a
  driver that relies on it (PyMySQL, aiomysql, asyncmy) has it on.
- While the database sleeps, a login that names a schema which the user may not use is answered with OK, and its
  statements run without a schema: privileges are not noted, and a login wakes no database.
- Views, stored code and texts put together while they run that read `information_schema.PROCESSLIST` and the like, or
  `KILL`, use the server's own ids and addresses: the server cannot be told others. No id of a session is one of a
  server, so none meets another session. The same holds for texts in double-byte character sets in which a character
  has a byte that may end a token: how they are read depends on each byte before.

This page is generated by `cargo run -p dormouse-session --example session-state > docs/session-state.md`.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_has_its_place() {
        for pin in Pin::ALL {
            let named = TABLE
                .iter()
                .flat_map(|row| row.fates)
                .any(|fate| matches!(fate, Fate::Pins(pins) if pins.contains(&pin)));
            assert!(named, "{pin} stands in no row");
        }
    }

    #[test]
    fn the_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/session-state.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == document(),
            "run: cargo run -p dormouse-session --example session-state > docs/session-state.md"
        );
    }
}
