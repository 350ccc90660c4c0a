use std::collections::BTreeMap;

use dormouse_types::{InstanceId, Reads};
use proptest::prelude::*;

use super::*;

fn may(text: &str) -> bool {
    may_run_on_replica(text.as_bytes(), Mode::default())
}

#[test]
fn a_statement_that_only_reads_may_run_on_a_replica() {
    for text in [
        "SELECT * FROM t",
        "select a, b from s.t where a in (1, 2) and not (b = 3)",
        "SELECT COUNT(*), MAX(a), GROUP_CONCAT(b ORDER BY c SEPARATOR ',') FROM t GROUP BY d HAVING (1)",
        "SELECT `a`.`b` FROM `a` INNER JOIN (SELECT 1 AS c FROM t) AS d ON (d.c = a.c) LIMIT 10 OFFSET 20",
        "SELECT SQL_CALC_FOUND_ROWS a FROM t WHERE a LIKE 'x%' ORDER BY RAND() LIMIT 0, 5;",
        "WITH a AS (SELECT 1 FROM t) SELECT * FROM a",
        "WITH RECURSIVE a AS (SELECT 1 AS n FROM t UNION ALL SELECT n + 1 FROM a WHERE n < 5) SELECT * FROM a",
        "SELECT @a, @@sql_mode, CONCAT(a, 'f()') FROM t",
        "SELECT a FROM t USE INDEX FOR ORDER BY (i) WHERE SUBSTRING(a FROM 1 FOR 2) = 'x'",
        "SELECT ROW_NUMBER() OVER (PARTITION BY a ORDER BY b) FROM t",
        "SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM u) AND a = ANY (SELECT b FROM v)",
        "/* a */ SELECT /* b */ a FROM t",
        "SELECT a FROM t FOR SYSTEM_TIME AS OF @t",
        "SELECT MATCH (a) AGAINST ('x') FROM t",
        "SELECT CAST(a AS DECIMAL(10, 2)), CAST(b AS CHAR(5)) FROM t WHERE a BETWEEN (1) AND (2)",
        "SELECT a FROM t WHERE b = ?",
    ] {
        assert!(may(text), "{text}");
    }
}

#[test]
fn any_other_statement_may_not() {
    for text in [
        "",
        "SELECT 1",
        "SELECT 1 FROM DUAL",
        "SELECT NOW()",
        "INSERT INTO t SELECT * FROM u",
        "SELECT * FROM t FOR UPDATE",
        "SELECT * FROM t LOCK IN SHARE MODE",
        "SELECT a INTO @a FROM t",
        "SELECT a FROM t INTO OUTFILE 'x'",
        "SELECT @a := a FROM t",
        "SELECT f(a) FROM t",
        "SELECT f (a) FROM t",
        "SELECT `count`(a) FROM t",
        "SELECT s.now() FROM t",
        "SELECT s.in (1) FROM t",
        "SELECT now () FROM t",
        "SELECT GET_LOCK('a', 1) FROM t",
        "SELECT SLEEP(1) FROM t",
        "SELECT NEXTVAL(s) FROM t",
        "SELECT NEXT VALUE FOR s FROM t",
        "SELECT PREVIOUS VALUE FOR s FROM t",
        "SELECT s.nextval FROM t",
        "SELECT LAST_INSERT_ID() FROM t",
        "SELECT FOUND_ROWS() FROM t",
        "SELECT ROW_COUNT() FROM t",
        "SELECT @@last_insert_id FROM t",
        "SELECT @@warning_count FROM t",
        "SELECT @@global.read_only FROM t",
        "SELECT @@server_id FROM t",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM `mysql`.`user`",
        "SELECT 1 FROM t; SELECT 2 FROM t",
        "SELECT 1 FROM t; /* a */",
        "SELECT 1 FROM t /*! FOR UPDATE */",
        "SELECT 1 FROM t # FOR UPDATE",
        "/*!50000 SELECT */ 1 FROM t",
        "SELECT 'a FROM t",
        "WITH a AS (SELECT 1 FROM t) DELETE FROM t",
        "WITH a (b) AS (SELECT f(1) FROM t) SELECT * FROM a",
        "SELECT * FROM t PROCEDURE ANALYSE()",
        "(SELECT 1 FROM t)",
        "SHOW TABLES FROM s",
        "CALL p()",
        "EXPLAIN SELECT 1 FROM t",
        "SELECT * FROM JSON_TABLE('[]', '$' COLUMNS (a INT PATH '$')) AS j",
    ] {
        assert!(!may(text), "{text}");
    }
}

#[test]
fn schemas_of_the_server_are_not_read_on_replicas() {
    assert!(may_read_in(None));
    assert!(may_read_in(Some(b"app")));
    assert!(!may_read_in(Some(b"Information_Schema")));
    assert!(!may_read_in(Some(b"mysql")));
}

#[test]
fn a_comment_in_front_asks_for_the_primary() {
    for (text, wants) in [
        ("/* dormouse: primary */ SELECT 1 FROM t", true),
        ("  /*a*/ /*dormouse:PRIMARY*/ SELECT 1 FROM t", true),
        ("/* a: b */ /* Dormouse : primary */SELECT 1", true),
        ("SELECT /* dormouse: primary */ 1 FROM t", false),
        ("/* dormouse: replica */ SELECT 1", false),
        ("/* dormouse: primary", false),
        ("SELECT '/* dormouse: primary */'", false),
        ("", false),
    ] {
        assert_eq!(wants_primary(text.as_bytes()), wants, "{text}");
    }
}

#[test]
fn a_session_says_where_it_reads() {
    for (text, expected) in [
        (
            "SET DORMOUSE READS = primary",
            Some(SetReads::To(Some(Reads::Primary))),
        ),
        (
            "set dormouse reads='ANY';",
            Some(SetReads::To(Some(Reads::Any))),
        ),
        ("SET DORMOUSE READS = DEFAULT", Some(SetReads::To(None))),
        ("SET DORMOUSE READS = all", Some(SetReads::Unknown)),
        ("SET DORMOUSE READS = any, b = 1", Some(SetReads::Unknown)),
        ("SET DORMOUSE", Some(SetReads::Unknown)),
        ("SET dormouse_reads = any", None),
        ("SELECT 1", None),
    ] {
        assert_eq!(SetReads::parse(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn positions_are_read_and_written() {
    for (text, written) in [
        ("", Some("")),
        ("0-1-100", Some("0-1-100")),
        ("1-2-7, 0-1-100", Some("0-1-100,1-2-7")),
        ("0-1-100,0-2-99", Some("0-1-100")),
        ("0-1", None),
        ("0-1-2-3", None),
        ("a-1-2", None),
    ] {
        let read = Position::parse(text).map(|position| position.to_string());
        assert_eq!(read.as_deref(), written, "{text}");
    }
    let covers = |a: &str, b: &str| {
        let parse = |text| Position::parse(text).unwrap();
        parse(a).covers(&parse(b))
    };
    assert!(covers("0-1-5", ""));
    assert!(covers("0-1-5", "0-9-5"));
    assert!(!covers("0-1-5", "0-1-6"));
    assert!(!covers("0-1-5", "1-1-1"));
}

/// A statement of one of several sessions, or the progress of a replica.
#[derive(Debug, Clone)]
enum Act {
    /// A session writes.
    Write(usize),
    /// A session reads on the primary.
    ReadPrimary(usize),
    /// A session wants to read on a replica.
    Read { session: usize, replica: usize },
    /// A replica applies so many transactions.
    Apply { replica: usize, most: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..3_usize).prop_map(Act::Write),
        (0..3_usize).prop_map(Act::ReadPrimary),
        (0..3_usize, 0..2_usize).prop_map(|(session, replica)| Act::Read { session, replica }),
        (0..2_usize, 0..4_u64).prop_map(|(replica, most)| Act::Apply { replica, most }),
    ]
}

fn at(number: u64) -> Position {
    Position::parse(&format!("0-1-{number}")).unwrap()
}

proptest! {
    /// Whatever sessions and replicas do: no session reads an older state than one that it has written or read.
    #[test]
    fn no_session_goes_back_in_time(acts in prop::collection::vec(act(), 0..60)) {
        let mut primary = 0_u64;
        let mut replicas = [0_u64; 2];
        let mut sessions: BTreeMap<usize, (Causality, u64)> = BTreeMap::new();
        let run = |replica: usize| ServerRun {
            instance: InstanceId(replica as u32 + 2),
            generation: 1,
        };
        for act in acts {
            match act {
                Act::Write(session) => {
                    let (causality, seen) = sessions.entry(session).or_default();
                    causality.used_primary();
                    primary += 1;
                    *seen = primary;
                }
                Act::ReadPrimary(session) => {
                    let (causality, seen) = sessions.entry(session).or_default();
                    causality.used_primary();
                    prop_assert!(*seen <= primary);
                    *seen = primary;
                }
                Act::Read { session, replica } => {
                    let (causality, seen) = sessions.entry(session).or_default();
                    match causality.asks_before(run(replica)) {
                        Newest::Nothing => {}
                        Newest::Primary => causality.primary_is_at(at(primary)),
                        Newest::Replica(last) => {
                            let last = last.instance.0 as usize - 2;
                            causality.replica_is_at(&at(replicas[last]));
                        }
                    }
                    let required = causality.required_on(run(replica));
                    if required.is_none_or(|required| at(replicas[replica]).covers(required)) {
                        causality.has_read_on(run(replica));
                        prop_assert!(*seen <= replicas[replica], "{} after {}", replicas[replica], seen);
                        *seen = replicas[replica];
                    }
                }
                Act::Apply { replica, most } => {
                    replicas[replica] = primary.min(replicas[replica] + most);
                }
            }
        }
    }

    /// No text makes the judgement fail, and one with a statement that writes is never a read.
    #[test]
    fn any_text_can_be_judged(text in "[ a-z(),;.`'@:/*!#-]{0,40}") {
        let _ = may(&text);
        let writes = format!("{text} INTO @a");
        let closed = Lexer::new(writes.as_bytes(), Mode::default()).any(|token| token.is("INTO"));
        prop_assert!(!(closed && may(&writes)), "{writes}");
    }
}
