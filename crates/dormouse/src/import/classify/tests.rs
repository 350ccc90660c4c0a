use super::*;

fn look(text: &str) -> Classified {
    classify(text.as_bytes(), Mode::default(), Some("shop"))
}

#[test]
fn what_only_a_superuser_may_run_is_left_out_or_tried() {
    use Reason::{Account, Flush, GlobalVariable, Locks, Replication, ServerWide, SystemSchema};
    use Treatment::{Nothing, Run, Skip, Try};
    let table = [
        (
            "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'x:1-5'",
            Skip(Replication),
        ),
        ("SET @@SESSION.SQL_LOG_BIN= 0", Skip(Replication)),
        (
            "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN",
            Skip(Replication),
        ),
        ("SET GLOBAL gtid_slave_pos='0-1-2'", Skip(Replication)),
        (
            "CHANGE MASTER TO MASTER_LOG_FILE='x', MASTER_LOG_POS=1",
            Skip(Replication),
        ),
        ("START SLAVE", Skip(Replication)),
        ("START TRANSACTION", Run),
        ("LOCK TABLES `t` WRITE", Skip(Locks)),
        ("UNLOCK TABLES", Skip(Locks)),
        ("/*!40000 ALTER TABLE `t` DISABLE KEYS */", Run),
        ("FLUSH PRIVILEGES", Skip(Flush)),
        ("SET GLOBAL max_connections=5", Try(GlobalVariable)),
        (
            "/*!50606 SET GLOBAL INNODB_STATS_AUTO_RECALC=OFF */",
            Try(GlobalVariable),
        ),
        ("SET @@global.general_log=1", Try(GlobalVariable)),
        ("SET sql_mode='', GLOBAL general_log=1", Try(GlobalVariable)),
        ("/*!40101 SET NAMES utf8mb4 */", Run),
        ("SET @global=1", Run),
        (
            "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `mysql`",
            Skip(SystemSchema),
        ),
        ("CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop`", Run),
        ("DROP DATABASE IF EXISTS sys", Skip(SystemSchema)),
        ("USE `mysql`", Skip(SystemSchema)),
        ("USE shop", Run),
        ("INSERT INTO mysql.user VALUES (1)", Skip(SystemSchema)),
        ("INSERT INTO `user` VALUES ('mysql.user')", Run),
        ("INSTALL PLUGIN x SONAME 'y'", Skip(ServerWide)),
        (
            "CREATE OR REPLACE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
            Skip(ServerWide),
        ),
        (
            "CREATE FUNCTION f RETURNS INTEGER SONAME 'x.so'",
            Skip(ServerWide),
        ),
        ("CREATE FUNCTION f() RETURNS INTEGER RETURN 1", Run),
        ("CREATE USER a@b IDENTIFIED BY 'c'", Try(Account)),
        ("CREATE OR REPLACE ROLE a", Try(Account)),
        ("GRANT SELECT ON *.* TO a", Try(Account)),
        ("SET PASSWORD FOR a = 'x'", Try(Account)),
        ("SET DEFAULT ROLE r FOR a", Try(Account)),
        (
            "/*!80000 SET SESSION information_schema_stats_expiry=0 */",
            Nothing,
        ),
        ("-- only a comment", Nothing),
    ];
    for (text, expected) in table {
        assert_eq!(look(text).treatment, expected, "{text}");
    }
    let in_mysql = |text: &str| classify(text.as_bytes(), Mode::default(), Some("mysql")).treatment;
    for text in [
        "CREATE TABLE db (i INT)",
        "INSERT INTO db VALUES (1)",
        "UPDATE db SET i = 1",
    ] {
        assert_eq!(in_mysql(text), Skip(SystemSchema), "{text}");
    }
    for text in [
        "USE shop",
        "SET NAMES utf8mb4",
        "INSERT INTO shop.t VALUES (1)",
    ] {
        assert_eq!(in_mysql(text), Run, "{text}");
    }
}

#[test]
fn the_effect_names_the_object() {
    let object = |kind, schema: Option<&str>, name: &str| Object {
        kind,
        schema: schema.map(str::to_owned),
        name: name.to_owned(),
    };
    let create = |object| Effect::Create {
        object,
        replaces: false,
    };
    let table = [
        (
            "DROP TABLE IF EXISTS `t`",
            Effect::Drop(object(ObjectKind::Table, None, "t")),
        ),
        ("DROP TABLE t", Effect::Definition),
        (
            "/*!50001 DROP VIEW IF EXISTS `v`*/",
            Effect::Drop(object(ObjectKind::View, None, "v")),
        ),
        (
            "/*!50003 DROP PROCEDURE IF EXISTS `a``b` */",
            Effect::Drop(object(ObjectKind::Procedure, None, "a`b")),
        ),
        (
            "CREATE TABLE `t` (`table` INT)",
            create(object(ObjectKind::Table, None, "t")),
        ),
        (
            "CREATE TABLE IF NOT EXISTS s.`t` (i INT)",
            create(object(ObjectKind::Table, Some("s"), "t")),
        ),
        (
            "/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */\n\
             /*!50001 VIEW `v` AS SELECT 1 AS `1` */",
            create(object(ObjectKind::View, None, "v")),
        ),
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET @a=1 */",
            create(object(ObjectKind::Trigger, None, "tr")),
        ),
        (
            "CREATE OR REPLACE DEFINER=x PACKAGE BODY p AS BEGIN END",
            Effect::Create {
                object: object(ObjectKind::PackageBody, None, "p"),
                replaces: true,
            },
        ),
        ("CREATE TEMPORARY TABLE t (i INT)", Effect::Definition),
        ("CREATE UNIQUE INDEX i ON t (a)", Effect::Definition),
        (
            "INSERT IGNORE INTO `t` VALUES (1)",
            Effect::Rows(object(ObjectKind::Table, None, "t")),
        ),
        (
            "REPLACE s.t VALUES (1)",
            Effect::Rows(object(ObjectKind::Table, Some("s"), "t")),
        ),
        ("/*!40101 SET NAMES utf8 */", Effect::Session),
        ("USE `a-b`", Effect::Use("a-b".to_owned())),
        ("DO SETVAL(`s`, 5, 0)", Effect::Definition),
        ("BEGIN", Effect::Begins),
        ("/*!40000 ALTER TABLE `t` ENABLE KEYS */", Effect::Neutral),
        ("COMMIT", Effect::Ends),
        ("UPDATE t SET a = 1", Effect::Other),
        ("ALTER TABLE t ADD KEY (a)", Effect::Definition),
    ];
    for (text, expected) in table {
        assert_eq!(look(text).effect, expected, "{text}");
    }
}

#[test]
fn a_definer_is_cut_out_and_named() {
    let table = [
        (
            "CREATE DEFINER=`root`@`localhost` PROCEDURE p() SELECT 1",
            Some(("root@localhost", "CREATE  PROCEDURE p() SELECT 1")),
        ),
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`a`@`%`*/ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN END */",
            Some((
                "a@%",
                "/*!50003 CREATE*/ /*!50017 */ /*!50003 TRIGGER tr BEFORE INSERT ON t FOR EACH ROW BEGIN END */",
            )),
        ),
        (
            "CREATE ALGORITHM=MERGE DEFINER = 'a b'@'10.%' SQL SECURITY DEFINER VIEW v AS SELECT 1",
            Some((
                "a b@10.%",
                "CREATE ALGORITHM=MERGE  SQL SECURITY DEFINER VIEW v AS SELECT 1",
            )),
        ),
        (
            "CREATE DEFINER=CURRENT_USER() EVENT e DO SELECT 1",
            Some(("CURRENT_USER()", "CREATE  EVENT e DO SELECT 1")),
        ),
        (
            "CREATE DEFINER=r FUNCTION f() RETURNS INT RETURN 1",
            Some(("r", "CREATE  FUNCTION f() RETURNS INT RETURN 1")),
        ),
        ("CREATE PROCEDURE p() SELECT 'DEFINER=`a`@`b`'", None),
        ("INSERT INTO t VALUES ('CREATE DEFINER=`a`@`b` VIEW')", None),
    ];
    for (text, expected) in table {
        let found = look(text).definer.map(|(range, name)| {
            let without = replaced(text.as_bytes(), &[(range, "")]);
            (name, String::from_utf8(without).unwrap())
        });
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn collations_of_mysql_are_found_outside_of_strings() {
    let text = "CREATE TABLE t (a TEXT COLLATE utf8mb4_0900_ai_ci DEFAULT 'utf8mb4_0900_ai_ci') COLLATE=utf8mb4_0900_bin";
    let found = look(text).collations;
    let text = replaced(text.as_bytes(), &found);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "CREATE TABLE t (a TEXT COLLATE utf8mb4_uca1400_ai_ci DEFAULT 'utf8mb4_0900_ai_ci') COLLATE=utf8mb4_bin"
    );
}
