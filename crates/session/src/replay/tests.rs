use std::time::{Duration, Instant};

use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::status::Status;
use proptest::prelude::*;

use super::log::PATIENCE;
use super::*;
use crate::effects::Effects;
use crate::lexer::Mode;

fn entry(text: &str, digest: Option<u64>) -> Entry {
    Entry {
        command: Command::Text(text.as_bytes().into()),
        sent: Duration::new(1000, 5_000_000),
        digest,
        insert_id: 0,
    }
}

fn end() -> ReplyEnd {
    ReplyEnd {
        status: Some(Status::IN_TRANS),
        ..ReplyEnd::default()
    }
}

/// The log of a transaction with these statements.
fn log(texts: &[&str]) -> TransactionLog {
    let mut log = TransactionLog::begin([]);
    for text in texts {
        let effects = Effects::of(text.as_bytes(), Mode::default());
        log.note(entry(text, Some(7)), effects, Mode::default(), &end());
    }
    log
}

/// The texts that would be run again.
fn again(log: &TransactionLog) -> Result<Vec<String>, Spoiled> {
    let texts = log.entries()?.iter().map(|entry| entry.command.text());
    Ok(texts
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect())
}

#[test]
fn what_a_statement_does_to_its_transaction() {
    let table = [
        ("SELECT 1", Control::Part),
        ("insert into t values (1);", Control::Part),
        ("WITH a AS (SELECT 1) SELECT * FROM a", Control::Part),
        ("SHOW WARNINGS", Control::Part),
        ("EXPLAIN SELECT 1", Control::Part),
        ("SAVEPOINT a", Control::Part),
        ("ROLLBACK TO a", Control::Part),
        ("ROLLBACK WORK TO SAVEPOINT a", Control::Part),
        ("RELEASE SAVEPOINT a", Control::Part),
        ("BEGIN", Control::Begins),
        ("START TRANSACTION READ ONLY", Control::Begins),
        ("ROLLBACK", Control::RollsBack),
        ("rollback work;", Control::RollsBack),
        ("ROLLBACK AND CHAIN", Control::Other),
        ("ROLLBACK; SELECT 1", Control::Other),
        ("COMMIT", Control::Other),
        ("SET autocommit = 1", Control::Other),
        ("SELECT 1; SELECT 2", Control::Other),
        ("SHOW TABLES; COMMIT", Control::Other),
        ("CALL p()", Control::Other),
        ("CREATE TABLE t (i INT)", Control::Other),
        ("LOAD DATA LOCAL INFILE 'a' INTO TABLE t", Control::Other),
        ("EXECUTE s", Control::Other),
        ("BEGIN NOT ATOMIC SELECT 1; END", Control::Other),
        ("", Control::Other),
    ];
    for (text, expected) in table {
        let found = control(text.as_bytes(), Mode::default());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn what_only_reads() {
    for text in ["SELECT 1", "/* a */ select * from t where i = 1;"] {
        assert!(reads_only(text.as_bytes(), Mode::default()), "{text}");
    }
    for text in [
        "SELECT 1 INTO OUTFILE 'a'",
        "SELECT 1; DELETE FROM t",
        "SELECT 1 /*! INTO OUTFILE 'a' */",
        "INSERT INTO t VALUES (1)",
        "WITH a AS (SELECT 1) DELETE FROM t",
        "CALL p()",
        "",
    ] {
        assert!(!reads_only(text.as_bytes(), Mode::default()), "{text}");
    }
}

#[test]
fn what_only_sets() {
    let only = |text: &str| {
        let effects = Effects::of(text.as_bytes(), Mode::default());
        only_sets(text.as_bytes(), effects, Mode::default())
    };
    for text in [
        "BEGIN",
        "/* a */ START TRANSACTION READ ONLY;",
        "COMMIT",
        "ROLLBACK WORK",
        "SET autocommit = 0",
        "SET NAMES latin1",
        "SET ROLE NONE",
        "USE app",
        "SET TRANSACTION READ ONLY",
        "SET timestamp = 7",
        "SET sql_mode = CONCAT(@@sql_mode, ',ANSI')",
    ] {
        assert!(only(text), "{text}");
    }
    for text in [
        "SELECT 1",
        "COMMIT AND CHAIN",
        "ROLLBACK AND CHAIN",
        "SET @a = app.f()",
        "SET sql_mode = app.f()",
        "SET time_zone = (SELECT app.f())",
        "SET GLOBAL max_statement_time = 1",
        "SET STATEMENT max_statement_time = 1 FOR DELETE FROM t",
        "SET PASSWORD = ''",
        "USE app; DELETE FROM t",
        "BEGIN NOT ATOMIC DELETE FROM t; END",
        "DELETE FROM t",
    ] {
        assert!(!only(text), "{text}");
    }
}

#[test]
fn what_changes_rows_and_nothing_else() {
    for text in [
        "INSERT INTO t VALUES (1)",
        "/* a */ replace t set i = 1;",
        "UPDATE t, u SET t.i = u.i",
        "DELETE FROM t WHERE i = 'ROW_COUNT()' RETURNING i",
        "INSERT INTO t SELECT * FROM u ON DUPLICATE KEY UPDATE i = 1",
    ] {
        assert!(changes_rows(text.as_bytes(), Mode::default()), "{text}");
    }
    for text in [
        "INSERT INTO t VALUES (1); SELECT 1",
        "INSERT INTO t VALUES (ROW_COUNT())",
        "INSERT INTO t VALUES (1) /*! , (2) */",
        "INSERT INTO t VALUES (1) /*M!100100 , (2) */",
        "SELECT 1",
        "LOAD DATA LOCAL INFILE 'a' INTO TABLE t",
        "TRUNCATE t",
        "CALL p()",
        "ANALYZE DELETE FROM t",
        "EXPLAIN DELETE FROM t",
        "SET STATEMENT max_statement_time = 1 FOR DELETE FROM t",
        "",
    ] {
        assert!(!changes_rows(text.as_bytes(), Mode::default()), "{text}");
    }
}

#[test]
fn a_transaction_is_kept_from_its_begin_on() {
    let texts = [
        "BEGIN",
        "SELECT 1",
        "SAVEPOINT a",
        "INSERT INTO t VALUES (1)",
    ];
    assert_eq!(again(&log(&texts)).unwrap(), texts);
    // one that another begins anew
    let anew = [&texts[..], &["BEGIN", "SELECT 2"]].concat();
    assert_eq!(again(&log(&anew)).unwrap(), ["BEGIN", "SELECT 2"]);
    // what stands before the first
    let set: Box<[u8]> = (*b"SET last_insert_id = 3").into();
    let mut log = TransactionLog::begin([set]);
    log.note(entry("BEGIN", None), Effects::None, Mode::default(), &end());
    let expected = ["SET last_insert_id = 3", "BEGIN"];
    assert_eq!(again(&log).unwrap(), expected);
}

#[test]
fn what_spoils_a_transaction_and_a_new_begin_heals_it() {
    let table = [
        ("SET time_zone = '+01:00'", Spoiled::Effects),
        ("SELECT @a := 1", Spoiled::Effects),
        ("SELECT GET_LOCK('a', 1)", Spoiled::Effects),
        ("CALL p()", Spoiled::Effects),
        ("USE app", Spoiled::Effects),
        ("COMMIT AND CHAIN", Spoiled::Effects),
        ("SELECT NEXTVAL(s)", Spoiled::Sequence),
    ];
    for (text, why) in table {
        let mut log = log(&["BEGIN", text, "SELECT 1"]);
        assert_eq!(again(&log), Err(why), "{text}");
        let begin = entry("BEGIN", Some(1));
        log.note(begin, Effects::None, Mode::default(), &end());
        assert_eq!(again(&log).unwrap(), ["BEGIN"], "{text}");
    }
    let mut uncompared = log(&["BEGIN"]);
    let none = entry("SELECT 1", None);
    uncompared.note(none, Effects::None, Mode::default(), &end());
    assert_eq!(again(&uncompared), Err(Spoiled::Uncompared));
    for flag in [Status::CURSOR_EXISTS, Status::MORE_RESULTS] {
        let mut log = log(&["BEGIN"]);
        let end = ReplyEnd {
            status: Some(flag),
            ..end()
        };
        let read = entry("SELECT 1", Some(1));
        log.note(read, Effects::None, Mode::default(), &end);
        assert_eq!(again(&log), Err(Spoiled::Uncompared));
    }
    assert_eq!(again(&log(&[])), Err(Spoiled::Unknown));
}

#[test]
fn a_long_transaction_is_not_kept() {
    let long = format!("SELECT '{}'", "x".repeat(MOST_BYTES / 4));
    let few = log(&["BEGIN", &long, &long, &long]);
    assert_eq!(again(&few).unwrap().len(), 4);
    let many = log(&["BEGIN", &long, &long, &long, &long]);
    assert_eq!(again(&many), Err(Spoiled::Long));
    let short: Vec<&str> = std::iter::repeat_n("SELECT 1", 20_000).collect();
    assert_eq!(again(&log(&short)), Err(Spoiled::Long));
}

#[test]
fn the_time_is_given_to_statements_that_are_run_again_and_their_ids_are_kept() {
    let insert = entry("INSERT INTO t (v) VALUES (1)", Some(1));
    let time = "SET timestamp = 1000.005000";
    assert_eq!(
        TransactionLog::before(&insert, false).as_deref(),
        Some(time)
    );
    assert_eq!(TransactionLog::before(&insert, true), None);
    // LAST_INSERT_ID(expression) generates none
    let mut log = log(&["BEGIN"]);
    let mut update = entry("UPDATE t SET i = LAST_INSERT_ID(i + 1)", Some(1));
    update.insert_id = 42;
    log.note(update, Effects::Counted, Mode::default(), &end());
    assert_eq!(log.entries().unwrap()[1].insert_id, 0);
}

#[test]
fn attempts_and_time_are_limited() {
    let start = Instant::now();
    let mut budget = Budget::default();
    for _ in 0..ATTEMPTS {
        assert_eq!(budget.spend(start), Ok(()));
    }
    assert_eq!(budget.spend(start), Err(Spoiled::Attempts));
    let mut budget = Budget::default();
    assert_eq!(budget.spend(start), Ok(()));
    assert_eq!(budget.spend(start + PATIENCE), Err(Spoiled::Patience));
    // a command that may be what ends servers
    let mut budget = Budget::default();
    for _ in 1..SERVERS {
        budget.interrupted();
        assert_eq!(budget.spend(start), Ok(()));
    }
    budget.interrupted();
    assert_eq!(budget.spend(start), Err(Spoiled::Suspect));
}

proptest! {
    /// A log is the statements since the last begin, in order, or none: never a part of them.
    #[test]
    fn a_log_is_a_whole_transaction_or_nothing(
        picks in proptest::collection::vec(0_usize..9, 0..40)
    ) {
        const TEXTS: [&str; 9] = [
            "BEGIN", "SELECT 1", "INSERT INTO t VALUES (1)", "SAVEPOINT a", "ROLLBACK TO a",
            "SHOW WARNINGS", "SET sql_mode = ''", "CALL p()", "START TRANSACTION",
        ];
        let texts: Vec<&str> = picks.iter().map(|pick| TEXTS[*pick]).collect();
        let begun = |text: &&str| matches!(*text, "BEGIN" | "START TRANSACTION");
        let since = texts.iter().rposition(begun).unwrap_or(0);
        let last = &texts[since..];
        let spoils = |text: &&str| matches!(*text, "SET sql_mode = ''" | "CALL p()");
        match again(&log(&texts)) {
            Ok(found) => prop_assert_eq!(found, last.to_vec()),
            Err(_) => prop_assert!(last.is_empty() || last.iter().any(spoils)),
        }
    }
}
