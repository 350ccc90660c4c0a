use super::*;
use proptest::prelude::*;

/// `reads` and `writes` were prepared as their names say.
fn allowed(text: &str) -> bool {
    is_allowed(text.as_bytes(), Mode::default(), &|name| {
        let prepare: &[u8] = match name {
            b"reads" => b"PREPARE reads FROM 'SELECT ?'",
            b"writes" => b"PREPARE `Writes` FROM 'INSERT INTO t VALUES (?)'",
            _ => return None,
        };
        Some(Cow::Borrowed(prepare))
    })
}

const ALLOWED: &[&str] = &[
    "",
    "/* a comment */",
    ";",
    "SELECT 1",
    "select * from t where a = 'INSERT; UPDATE' for update",
    "(SELECT 1) UNION (SELECT 2) INTO @x",
    "((VALUES (1), (2)))",
    "SELECT /*!40001 SQL_NO_CACHE */ * FROM `t`",
    "WITH RECURSIVE a (n) AS (SELECT 1), b AS (SELECT 2) SELECT * FROM a FOR UPDATE",
    "WITH a AS (SELECT 1) (SELECT * FROM a)",
    "WITH a AS (SELECT 1) DELETE FROM t WHERE i IN (SELECT * FROM a)",
    "SHOW CREATE TABLE t",
    "DESC t",
    "EXPLAIN INSERT INTO t VALUES (1)",
    "ANALYZE SELECT 1",
    "ANALYZE FORMAT=JSON DELETE FROM t",
    "EXPLAIN ANALYZE SELECT 1",
    "ANALYZE NO_WRITE_TO_BINLOG TABLE t",
    "SET @x = 1, sql_mode = ''",
    "SET PASSWORD FOR a = PASSWORD('b')",
    "SET STATEMENT max_statement_time = 1 FOR SELECT 1",
    "/*!40101 SET NAMES utf8 */",
    "/*!80000 INSERT INTO t VALUES (1) */",
    "USE shop",
    "BEGIN",
    "BEGIN WORK;",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT",
    "COMMIT AND CHAIN",
    "ROLLBACK TO SAVEPOINT a",
    "LOCK TABLES t READ",
    "FLUSH TABLES WITH READ LOCK",
    "KILL 3",
    "DO SLEEP(1)",
    "HANDLER t READ FIRST",
    "DELETE t FROM t JOIN u",
    "DROP TABLE t; TRUNCATE u; SELECT 1",
    "OPTIMIZE TABLE t",
    "ALTER TABLE t DROP COLUMN a",
    "ALTER ONLINE IGNORE TABLE IF EXISTS s.`t` WAIT 3 DROP a, DROP INDEX b, ALGORITHM=COPY, LOCK=NONE",
    "ALTER TABLE t DROP PARTITION a, b",
    "ALTER TABLE t TRUNCATE PARTITION ALL",
    "ALTER USER a IDENTIFIED BY 'b'",
    "CREATE OR REPLACE USER a",
    "RENAME USER a TO b",
    "GRANT ALL ON *.* TO a",
    "PREPARE s FROM 'SELECT 1'",
    "PREPARE s FROM \"DELETE FROM t WHERE a = \\\"b\\\" OR a = '' \";",
    "EXECUTE IMMEDIATE 'SELECT ''INSERT'', ?' USING 1",
    "EXECUTE READS USING @a",
    "DEALLOCATE PREPARE writes",
];

const REFUSED: &[&str] = &[
    "INSERT INTO t VALUES (1)",
    "(INSERT INTO t VALUES (1))",
    "replace t SET a = 1",
    "UPDATE t SET a = 1",
    "LOAD DATA INFILE 'a' INTO TABLE t",
    "CREATE TABLE t (i INT)",
    "CREATE TEMPORARY TABLE t (i INT)",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "CALL p()",
    "SELECT 1; INSERT INTO t VALUES (1)",
    "SELECT 1;;INSERT INTO t VALUES (1)",
    "SELECT 1 INTO OUTFILE '/a'",
    "SELECT 1 INTO /* a */ DUMPFILE '/a'",
    "WITH a AS (SELECT 1) UPDATE t SET a = 1",
    "WITH a AS (SELECT 1) SELECT * FROM a INTO OUTFILE '/a'",
    "/* a */ # b\n INSERT INTO t VALUES (1)",
    "/*! INSERT INTO t VALUES (1) */",
    "/*M!100100 INSERT */ INTO t VALUES (1)",
    "/*!999999 SELECT */ INSERT INTO t VALUES (1)",
    "SELECT 1 /*!999999 ' */; INSERT INTO t VALUES ('')",
    "BEGIN NOT ATOMIC INSERT INTO t VALUES (1); END",
    "a: BEGIN NOT ATOMIC END",
    "help: BEGIN NOT ATOMIC INSERT INTO t VALUES (1); END",
    "`a`: LOOP INSERT INTO t VALUES (1); END LOOP",
    "IF 1 THEN INSERT INTO t VALUES (1); END IF",
    "ANALYZE UPDATE t SET a = 1",
    "ANALYZE FORMAT=JSON INSERT INTO t VALUES (1)",
    "EXPLAIN ANALYZE UPDATE t SET a = 1",
    "SET STATEMENT a = SUBSTR('b' FROM 1 FOR 1) FOR INSERT INTO t VALUES (1)",
    "SET STATEMENT a = 1",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; SELECT '\\'; INSERT INTO t VALUES (1); -- '",
    "START SLAVE",
    "ALTER TABLE t ADD COLUMN a INT",
    "ALTER TABLE t DROP COLUMN a, ADD COLUMN b INT",
    "ALTER TABLE t DROP CHECK (1, 2), ENGINE = InnoDB",
    "ALTER TABLE t ALGORITHM=COPY",
    "ALTER TABLE t",
    "ALTER DATABASE a CHARACTER SET utf8",
    "RENAME TABLE a TO b",
    "PREPARE s FROM 'INSERT INTO t VALUES (1)'",
    "PREPARE s FROM @a",
    "PREPARE s FROM 'SELECT 1' COLLATE utf8mb4_bin",
    "PREPARE s FROM 'INS' 'ERT'",
    "PREPARE s FROM _utf8'SELECT 1'",
    "EXECUTE IMMEDIATE CONCAT('a')",
    "EXECUTE IMMEDIATE '\\INSERT INTO t VALUES (1)'",
    "EXECUTE writes",
    "EXECUTE `WRITES`",
    "EXECUTE unknown",
    "REPAIR TABLE t",
    "INSTALL SONAME 'a'",
    "'SELECT'",
    "@a",
    "((",
];

#[test]
fn what_reads_removes_or_frees_is_allowed_and_nothing_else() {
    for text in ALLOWED {
        assert!(allowed(text), "{text}");
    }
    for text in REFUSED {
        assert!(!allowed(text), "{text}");
    }
}

#[test]
fn statements_in_statements_without_end_are_refused() {
    assert!(!allowed(&"ANALYZE ".repeat(100_000)));
    assert!(!allowed(&"SET STATEMENT a = 1 FOR ".repeat(100_000)));
}

proptest! {
    #[test]
    fn any_bytes_are_judged(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = is_allowed(&text, Mode::default(), &|_| None);
    }

    #[test]
    fn a_batch_with_a_refused_statement_is_refused(
        before in proptest::sample::subsequence(ALLOWED, 0..4),
        refused in proptest::sample::select(REFUSED),
        after in proptest::sample::subsequence(ALLOWED, 0..3),
    ) {
        let mut all = before;
        all.push(refused);
        all.extend(after);
        prop_assert!(!allowed(&all.join("\n;")));
    }

    #[test]
    fn words_in_any_order_never_let_a_write_begin(
        words in proptest::collection::vec(
            proptest::sample::select(&[
                "SELECT", "(", ")", ";", "WITH", "ANALYZE", "SET", "STATEMENT", "FOR", "EXPLAIN", "'",
                "/*!", "*/", "PREPARE", "FROM", "ALTER", "TABLE", "DROP", ",", "a", "EXECUTE", "BEGIN",
            ]),
            0..20,
        ),
    ) {
        let text = format!("INSERT {}", words.join(" "));
        prop_assert!(!allowed(&text));
        let text = format!("{} ; INSERT INTO t VALUES (1)", words.join(" "));
        let quotes = words.iter().filter(|word| **word == "'").count();
        prop_assert!(quotes % 2 == 1 || !allowed(&text), "{}", text);
    }
}
