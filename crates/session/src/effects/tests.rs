use super::*;

const PLAIN: Replay = Replay {
    parsing: false,
    relative: false,
    schema: false,
};

#[test]
fn a_statement_is_judged_by_its_text() {
    let parsing = Effects::Replay(Replay {
        parsing: true,
        ..PLAIN
    });
    let table = [
        ("", Effects::None),
        ("SELECT 1", Effects::None),
        ("SAVEPOINT s", Effects::Savepoint),
        ("RELEASE SAVEPOINT s", Effects::None),
        ("select * from t where mail = 'a@b.c'", Effects::None),
        ("INSERT INTO t VALUES (1)", Effects::None),
        ("SELECT @@version", Effects::None),
        ("SELECT @a := 1", Effects::Unknown),
        ("SELECT 1 INTO @x", Effects::Unknown),
        ("SELECT @x, @y + 1", Effects::None),
        ("INSERT INTO t VALUES (@x)", Effects::None),
        ("INSERT INTO t SELECT @x := @x + 1", Effects::Unknown),
        ("LOAD DATA INFILE 'f' INTO TABLE t (@x)", Effects::Unknown),
        (
            "WITH c AS (SELECT 1) SELECT 1 INTO @x FROM c",
            Effects::Unknown,
        ),
        ("SELECT GET_LOCK('a', 1)", Effects::Unknown),
        ("create temporary table t (i int)", Effects::Unknown),
        ("CREATE TABLE temporary_things (i int)", Effects::None),
        ("CALL p()", Effects::Unknown),
        ("DROP DATABASE d", Effects::Unknown),
        ("DROP TABLE d", Effects::None),
        ("SELECT 1; SELECT 2", Effects::Unknown),
        ("SELECT 1;  ", Effects::None),
        ("FLUSH TABLES WITH READ LOCK", Effects::Unknown),
        ("LOCK TABLES t READ", Effects::Unknown),
        (
            "USE shop",
            Effects::Replay(Replay {
                schema: true,
                ..PLAIN
            }),
        ),
        (
            "use `my shop`;",
            Effects::Replay(Replay {
                schema: true,
                ..PLAIN
            }),
        ),
        ("USE a; DROP TABLE b", Effects::Unknown),
        ("SET NAMES utf8mb4 COLLATE utf8mb4_bin", parsing),
        ("SET autocommit=0", Effects::Replay(PLAIN)),
        ("SET ROLE r", Effects::Replay(PLAIN)),
        ("SET time_zone='+00:00'", Effects::Replay(PLAIN)),
        (
            "set sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES')",
            Effects::Replay(Replay {
                parsing: true,
                relative: true,
                schema: false,
            }),
        ),
        ("SET @a = 1", Effects::Replay(PLAIN)),
        (
            "SET @a = -1.5, @`b c` := 'x', @c = NULL;",
            Effects::Replay(PLAIN),
        ),
        ("SET @a = @b", Effects::Unknown),
        ("SET @a = 1 + 1", Effects::Unknown),
        ("SET @a = NOW()", Effects::Unknown),
        ("SET @a = (1)", Effects::Unknown),
        ("SET @a = 1, time_zone = 'UTC'", Effects::Unknown),
        ("SET @a = 1; SET @b = 2", Effects::Unknown),
        ("SET @a = 1 /*!50000 , @b = NOW() */", Effects::Unknown),
        ("SET timestamp = 1", Effects::Timestamp),
        ("SET @@session.timestamp = 1.5;", Effects::Timestamp),
        ("SET timestamp = DEFAULT", Effects::Timestamp),
        ("SET `timestamp` = 5", Effects::HiddenVariable),
        ("SET sql_select_limit = (SELECT n FROM t)", Effects::Unknown),
        ("SET sql_select_limit = f()", Effects::Unknown),
        (
            "SET time_zone = IF(1, '+01:00', 'UTC')",
            Effects::Replay(PLAIN),
        ),
        ("SET CHARACTER SET utf8mb4", Effects::Unknown),
        ("SET PASSWORD = 'a'; SELECT @x := 1", Effects::Unknown),
        (
            "SET TRANSACTION READ ONLY; SELECT 1",
            Effects::HiddenVariable,
        ),
        ("SET TRANSACTION READ ONLY;", Effects::NextTransaction),
        ("SET @a = 1, sql_log_bin = 0", Effects::HiddenVariable),
        ("SELECT 1; SET timestamp = 5", Effects::HiddenVariable),
        ("BEGIN; SET TRANSACTION READ ONLY", Effects::HiddenVariable),
        (
            "BEGIN NOT ATOMIC SET insert_id = 5; END",
            Effects::HiddenVariable,
        ),
        ("SET STATEMENT timestamp = 5 FOR SELECT 1", Effects::Unknown),
        ("UPDATE t SET timestamp = (@x := 5)", Effects::Unknown),
        (
            "CREATE PROCEDURE p() BEGIN SET timestamp = 5; END",
            Effects::Unknown,
        ),
        (
            "PREPARE p FROM 'set transaction read only'",
            Effects::HiddenVariable,
        ),
        ("USE 'text'", Effects::Unknown),
        ("SELECT 2*/*'*/(@x:=5)/*'*/", Effects::Unknown),
        (
            "/*!50701 ' */ SELECT @x := 5 /*!50701 ' */",
            Effects::Unknown,
        ),
        ("SELECT 1 /*!50701 /* a */ ' */ + 1", Effects::None),
        (
            "/*!110400 ' */ SELECT @x := 5 /*!110400 ' */",
            Effects::Unknown,
        ),
        ("/*M!100100 SELECT */ 1", Effects::None),
        ("SELECT i FROM t LIMIT 5", Effects::None),
        ("SELECT i FROM t LIMIT 5, 5", Effects::Counted),
        ("SELECT i FROM t LIMIT 5 OFFSET 5", Effects::Counted),
        ("SET timestamp = UNIX_TIMESTAMP()", Effects::HiddenVariable),
        (
            "SET timestamp = 1, time_zone = 'UTC'",
            Effects::HiddenVariable,
        ),
        ("SELECT SQL_CALC_FOUND_ROWS * FROM t", Effects::Counted),
        ("INSERT INTO t SELECT * FROM u", Effects::Counted),
        ("UPDATE t SET i = LAST_INSERT_ID(i + 1)", Effects::Counted),
        ("SELECT LAST_INSERT_ID( )", Effects::None),
        ("SELECT (SELECT 1)", Effects::None),
        ("UNLOCK TABLES", Effects::Unknown),
        ("SELECT RELEASE_LOCK('a')", Effects::Unknown),
        ("SET SESSION sql_log_bin=0", Effects::HiddenVariable),
        ("SET GLOBAL max_connections=10", Effects::Unknown),
        ("SET a = 1, GLOBAL b = 1", Effects::Unknown),
        (
            "SET a = CONCAT(@@GLOBAL.a, 1), time_zone = 'x'",
            Effects::Replay(Replay {
                relative: true,
                ..PLAIN
            }),
        ),
        ("SET TRANSACTION READ ONLY", Effects::NextTransaction),
        ("SET @@tx_read_only = 1", Effects::NextTransaction),
        (
            "SET @@tx_isolation = 'SERIALIZABLE', time_zone = 'UTC'",
            Effects::HiddenVariable,
        ),
        ("SET tx_read_only = 1", Effects::Replay(PLAIN)),
        (
            "SET @@session.tx_read_only = 1",
            Effects::Replay(Replay {
                relative: true,
                ..PLAIN
            }),
        ),
        (
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            Effects::Replay(PLAIN),
        ),
        ("SET PASSWORD = PASSWORD('x')", Effects::None),
        (
            "SET STATEMENT max_statement_time=1 FOR SELECT 1",
            Effects::Unknown,
        ),
        ("SET x=1; SELECT 1", Effects::Unknown),
        ("/*!40101 SET NAMES utf8 */", parsing),
    ];
    for (text, expected) in table {
        assert_eq!(
            Effects::of(text.as_bytes(), Mode::default()),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_text_that_may_set_global_variables_is_recognised() {
    for (text, expected) in [
        ("SET GLOBAL autocommit = 0", true),
        ("SET @@global.autocommit = 0, time_zone = 'UTC'", true),
        ("DO 1; set global autocommit = 0", true),
        ("EXECUTE IMMEDIATE 'SET GLOBAL autocommit = 0'", true),
        ("SELECT @@GLOBAL.autocommit", false),
        ("SET sql_mode = @@GLOBAL.sql_mode", false),
        ("SET autocommit = 0", false),
    ] {
        let effects = Effects::of(text.as_bytes(), Mode::default());
        assert_eq!(
            may_set_globals(text.as_bytes(), effects),
            expected,
            "{text}"
        );
    }
}

#[test]
fn a_text_that_may_change_rights_is_recognised() {
    for (text, expected) in [
        ("GRANT ALL ON *.* TO u", true),
        ("drop user u", true),
        ("SET DEFAULT ROLE NONE", true),
        ("SET PASSWORD = PASSWORD('x')", true),
        ("UPDATE mysql.global_priv SET Priv = ''", true),
        ("DELETE FROM `mysql`.db", true),
        ("DO 1; REVOKE r FROM u", true),
        ("SELECT 1; REVOKE r FROM u", true),
        ("SELECT user FROM mysql.user", false),
        ("INSERT INTO t VALUES ('grant')", false),
        ("SET sql_mode = ''", false),
        ("CREATE TABLE t (i INT)", false),
    ] {
        let text = text.as_bytes();
        let found = may_change_rights(
            text,
            Mode::default(),
            Kind::of(text),
            Effects::of(text, Mode::default()),
        );
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn what_commits_and_can_be_run_again() {
    for text in [
        "COMMIT",
        "commit work;",
        "/* of the order */ COMMIT -- now",
        "BEGIN",
        "BEGIN WORK ; ;",
        "START TRANSACTION",
        "START TRANSACTION READ ONLY, WITH CONSISTENT SNAPSHOT",
        "SET autocommit = 1",
        "SET SESSION autocommit=ON",
        "SET @@autocommit = 1",
        "SET @@session.autocommit = TRUE;",
        "SET LOCAL `autocommit` = 1",
    ] {
        assert!(commits_alone(text.as_bytes(), Mode::default()), "{text}");
    }
    for text in [
        "",
        "COMMIT AND CHAIN",
        "COMMIT RELEASE",
        "COMMIT; SELECT 1",
        "BEGIN NOT ATOMIC SELECT 1; END",
        "START SLAVE",
        "START TRANSACTION; INSERT INTO t VALUES (1)",
        "SET autocommit = 0",
        "SET autocommit = 1, time_zone = '+01:00'",
        "SET autocommit = f()",
        "SET @autocommit = 1",
        "SET GLOBAL autocommit = 1",
        "SET @@global.autocommit = 1",
        "SET STATEMENT autocommit = 1 FOR COMMIT",
        "CREATE TABLE t (i INT)",
        "INSERT INTO t VALUES (1)",
        "ROLLBACK",
    ] {
        assert!(!commits_alone(text.as_bytes(), Mode::default()), "{text}");
    }
}

#[test]
fn only_one_plain_statement_surely_leaves_the_transaction_open() {
    for text in [
        "SELECT 1",
        " insert into t values (1);",
        "/* c */ UPDATE t SET a = ';'",
    ] {
        assert!(!may_commit(text.as_bytes(), Mode::default()), "{text}");
    }
    for text in [
        "COMMIT",
        "SELECT 1; COMMIT",
        "CREATE TABLE t (i INT)",
        "CALL p()",
        "",
        "BEGIN",
    ] {
        assert!(may_commit(text.as_bytes(), Mode::default()), "{text}");
    }
}

#[test]
fn a_statement_that_is_not_seen_to_its_end_may_do_anything() {
    for (text, expected) in [
        ("INSERT INTO t VALUES (1,", Effects::Unknown),
        ("SET @json = '{", Effects::Unknown),
        ("SET TRANSACTION /*", Effects::HiddenVariable),
        ("PREPARE p FROM 'SELECT ", Effects::HiddenVariable),
    ] {
        assert_eq!(Effects::of_beginning(text.as_bytes()), expected, "{text}");
    }
}
