use dormouse_types::Variables;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::status::Status;
use proptest::prelude::*;

use super::{AsleepContext, Candidate};
use crate::state::AsleepAnswer;
use crate::{Effects, Kind, SessionState};

pub(super) fn globals(changes: &[(&str, &str)]) -> Variables {
    let usual = [
        ("autocommit", "1"),
        ("character_set_results", "utf8mb4"),
        ("collation_server", "utf8mb4_general_ci"),
        ("completion_type", "NO_CHAIN"),
        ("init_connect", ""),
        ("interactive_timeout", "100"),
        ("old_mode", "UTF8_IS_UTF8MB3"),
        ("session_track_schema", "1"),
        ("session_track_system_variables", "autocommit,time_zone"),
        ("session_track_transaction_info", "OFF"),
        ("sql_mode", "STRICT_TRANS_TABLES"),
        ("time_zone", "SYSTEM"),
        ("tx_isolation", "REPEATABLE-READ"),
        ("tx_read_only", "0"),
        ("version", "10.11.19-MariaDB"),
        ("wait_timeout", "28800"),
        (Variables::CHANGED, "0"),
        (Variables::TIME_ZONES, "0"),
    ];
    let changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = usual.iter().filter(|(name, _)| !changed(name));
    kept.chain(changes).copied().collect()
}

pub(super) fn context(globals: &Variables) -> AsleepContext<'_> {
    AsleepContext {
        globals: Some(globals),
        capabilities: Capabilities::OWN_CLIENT,
        collation: 45,
        connection_id: 7,
        wait_timeout: 28_800,
        socket: "/here",
        backend: false,
        has_schema: &|schema| Some(schema == b"shop"),
        may_enter: &|_| true,
    }
}

fn ask(
    session: &mut SessionState,
    text: &str,
    context: &AsleepContext<'_>,
) -> Option<AsleepAnswer> {
    session.answer_asleep(&Candidate::read(text.as_bytes())?, context)
}

fn is_answered(session: &mut SessionState, text: &str, context: &AsleepContext<'_>) -> bool {
    ask(session, text, context).is_some()
}

#[test]
fn uncertain_statements_wake() {
    let all = globals(&[]);
    for text in [
        "",
        ";",
        "-- ping",
        "SELECT",
        "SELECT *",
        "SELECT 1 FROM t",
        "SELECT 1 FROM DUAL",
        "SELECT 1 + 1",
        "SELECT -1",
        "SELECT 01",
        "SELECT 1234567890",
        "SELECT 1.5",
        "SELECT 1, ",
        "SELECT 1 LIMIT 0",
        "SELECT 1 AS select",
        "SELECT 1 a",
        "SELECT ' x'",
        "SELECT VERSION ()",
        "SELECT VERSION(1)",
        "SELECT NOW()",
        "SELECT @@ sql_mode",
        "SELECT @@session . sql_mode",
        "SELECT @@session.version",
        "SELECT @@transaction_isolation",
        "SELECT @@nothing",
        "SELECT @a",
        "SELECT 1; SELECT 2",
        "SELECT 1 INTO @a",
        "(SELECT 1)",
        "SELECT 1 UNION SELECT 2",
        "DO SLEEP(1)",
        "BEGIN; COMMIT",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT",
        "COMMIT AND CHAIN",
        "ROLLBACK TO s",
        "USE other",
        "USE",
        "SET",
        "SET time_zone",
        "SET time_zone = 'UTC'",
        "SET time_zone = '+1:00'",
        "SET time_zone = '-00:00'",
        "SET time_zone = '+14:00'",
        "SET time_zone = '+13:01'",
        "SET sql_mode = 'ANSI'",
        "SET sql_mode = 'A, B'",
        "SET sql_mode = CONCAT(@@sql_mode, 1)",
        "SET wait_timeout = 0",
        "SET wait_timeout = '5'",
        "SET wait_timeout = 1.5",
        "SET autocommit = 2",
        "SET autocommit = yes",
        "SET autocommit = 1,",
        "SET GLOBAL wait_timeout = 5",
        "SET @@global.wait_timeout = 5",
        "SET a = 1",
        "SET @a = 1",
        "SET NAMES",
        "SET NAMES DEFAULT",
        "SET NAMES binary",
        "SET NAMES utf8mb4 COLLATE latin1_bin",
        "SET CHARACTER SET utf8mb4",
        "SET ROLE r",
        "SET PASSWORD = ''",
        "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
        "SET TRANSACTION",
        "SET TRANSACTION READ",
        "SET TRANSACTION READ ONLY, READ WRITE",
        "SET tx_isolation = 'SERIALIZABLE'",
        "SET session_track_state_change = 1",
        "SET session_track_system_variables = '*'",
        "SET session_track_system_variables = 'nothing'",
        "KILL 1",
        "SHOW WARNINGS",
    ] {
        let mut session = SessionState::new(None);
        assert!(!is_answered(&mut session, text, &context(&all)), "{text}");
        assert_eq!(
            session.overlay(),
            SessionState::new(None).overlay(),
            "{text}"
        );
    }
}

#[test]
fn where_not_all_is_known_nothing_is_answered() {
    for changes in [
        ("init_connect", "SET a = 1"),
        ("sql_mode", "ORACLE"),
        ("character_set_collations", "utf8mb4=utf8mb4_croatian_ci"),
    ] {
        let all = globals(&[changes]);
        let mut session = SessionState::new(None);
        assert!(
            !is_answered(&mut session, "SELECT 1", &context(&all)),
            "{changes:?}"
        );
    }
    let all = globals(&[("completion_type", "CHAIN")]);
    assert!(!is_answered(
        &mut SessionState::new(None),
        "COMMIT",
        &context(&all)
    ));
    let mut unknown = SessionState::new(None);
    let end = dormouse_wire::framer::ReplyEnd::default();
    unknown.ran(b"CALL p()", Effects::Unknown, Kind::Other, &end);
    assert!(!is_answered(
        &mut unknown,
        "SELECT 1",
        &context(&globals(&[]))
    ));
    let none = AsleepContext {
        globals: None,
        ..context(&all)
    };
    assert!(!is_answered(
        &mut SessionState::new(None),
        "SELECT 1",
        &none
    ));
}

#[test]
fn what_was_set_is_restored_and_a_transaction_begun_last() {
    let all = globals(&[]);
    let mut session = SessionState::new(None);
    for text in [
        "SET time_zone = '+01:00'",
        "SET SESSION TRANSACTION READ ONLY",
        "START TRANSACTION",
        "USE shop",
    ] {
        assert!(is_answered(&mut session, text, &context(&all)), "{text}");
    }
    let restored: Vec<_> = session
        .restore()
        .into_iter()
        .map(|text| String::from_utf8(text).unwrap())
        .collect();
    assert_eq!(
        restored,
        [
            "SET time_zone = '+01:00'",
            "SET SESSION TRANSACTION READ ONLY"
        ]
    );
    assert_eq!(session.schema().map(|schema| &**schema), Some(&b"shop"[..]));
    assert_eq!(session.deferred(), Some(&b"START TRANSACTION"[..]));
    let open = Status::AUTOCOMMIT
        .with(Status::IN_TRANS)
        .with(Status::IN_TRANS_READONLY);
    assert_eq!(session.status(), open);
    assert!(!session.in_transaction(), "not on a server");
    assert!(session.take_owed().is_empty(), "it has no backend");
    // what would change the transaction that is to be begun
    for text in ["SET autocommit = 0", "SET TRANSACTION READ WRITE"] {
        assert!(!is_answered(&mut session, text, &context(&all)), "{text}");
    }
    session.begun(Status::AUTOCOMMIT.with(Status::IN_TRANS));
    assert!(session.in_transaction() && !session.owes());
}

#[test]
fn a_backend_is_owed_what_was_answered_until_it_is_lost() {
    let all = globals(&[]);
    let backend = AsleepContext {
        backend: true,
        ..context(&all)
    };
    let mut session = SessionState::new(None);
    assert!(is_answered(&mut session, "SELECT 1", &backend));
    assert!(!session.owes());
    assert!(is_answered(&mut session, "SET autocommit = 0", &backend));
    assert!(session.owes() && session.is_tainted());
    assert_eq!(session.status(), Status(0));
    session.lost_backend();
    assert!(!session.owes());
    assert_eq!(session.restore(), [b"SET autocommit = 0".to_vec()]);
    // what a full log cannot hold wakes
    for n in 0..31 {
        let text = format!("SET wait_timeout = {}", n + 1);
        assert!(is_answered(&mut session, &text, &context(&all)), "{n}");
    }
    assert!(!is_answered(
        &mut session,
        "SET wait_timeout = 99",
        &context(&all)
    ));
    assert!(is_answered(
        &mut session,
        "SET wait_timeout = 31",
        &context(&all)
    ));
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in "[ -~\\n\u{e4}]{0,60}", start in 0..6_usize) {
        let starts = ["", "SELECT ", "SET ", "SET NAMES ", "SELECT @@", "SET sql_mode=CONCAT("];
        let text = format!("{}{text}", starts[start]);
        let all = globals(&[]);
        let _ = is_answered(&mut SessionState::new(None), &text, &context(&all));
    }

    #[test]
    fn no_tokens_cause_a_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "SELECT", "SET", "@@", "session", ".", "sql_mode", "=", ",", "(", ")", "CONCAT",
                "'x'", "1", "NAMES", "utf8mb4", "COLLATE", "AS", "LIMIT", "`a`", ":", "VERSION",
                "TRANSACTION", "READ", "ONLY", ";", "/* */", "BEGIN", "\"q\"",
            ]),
            0..12,
        ),
        glue in prop::sample::select(vec!["", " "]),
    ) {
        let text = words.join(glue);
        let all = globals(&[]);
        let _ = is_answered(&mut SessionState::new(None), &text, &context(&all));
    }
}

#[test]
fn values_that_dormouse_keeps_replace_those_of_the_server() {
    let all = globals(&[("socket", "/instances/1/mysqld.sock")]);
    let mut session = SessionState::new(None);
    let context = AsleepContext {
        wait_timeout: 77,
        ..context(&all)
    };
    let mut ask = |text: &str| ask(&mut session, text, &context).unwrap();
    let told = ask("SELECT @@wait_timeout, @@socket").packets;
    let has = |part: &[u8]| told.windows(part.len()).any(|window| window == part);
    assert!(has(b"\x0277\x05/here"), "{}", told.escape_ascii());
    assert_eq!(ask("SET wait_timeout = 5").wait_timeout, Some(5));
    assert_eq!(ask("SET autocommit = 1").wait_timeout, None);
}

#[test]
fn what_session_tracking_tells_of_transactions_only_a_server_tells() {
    const STATEMENTS: [&str; 4] = [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "SET TRANSACTION READ ONLY",
    ];
    let told = ("session_track_transaction_info", "STATE");
    for (changes, capability, answered) in [
        (&[told][..], true, false),
        (&[told][..], false, true),
        (&[][..], true, true),
    ] {
        let all = globals(changes);
        let plain = Capabilities::OWN_CLIENT - Capabilities::SESSION_TRACK;
        let context = AsleepContext {
            capabilities: match capability {
                true => plain | Capabilities::SESSION_TRACK,
                false => plain,
            },
            ..context(&all)
        };
        for text in STATEMENTS {
            let mut session = SessionState::new(None);
            assert_eq!(
                is_answered(&mut session, text, &context),
                answered,
                "{text}"
            );
        }
    }
}
