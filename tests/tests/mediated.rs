//! Statements about accounts, privileges and global variables, which run in their owner's place: each has its
//! effect, and none reaches the platform. On MariaDB 10.11, and on 11.8 if available.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "mediated/world.rs"]
mod world;

use dormouse_testkit::Reply;
use dormouse_wire::command::Command;

use world::{World, code};

#[test]
fn every_statement_has_its_effect() {
    World::each(|world| {
        let mut owner = world.owner();
        for text in [
            "CREATE SCHEMA shop",
            "CREATE TABLE shop.t (a INT, b INT)",
            "INSERT INTO shop.t VALUES (1, 2)",
            "CREATE USER app IDENTIFIED BY 'one'",
            "GRANT SELECT ON shop.* TO app",
        ] {
            owner.query(text).ok();
        }
        let mut app = world.login("app", "one").unwrap();
        assert_eq!(app.query("SELECT a FROM shop.t").value(), "1");
        assert_eq!(code(app.query("DELETE FROM shop.t")), 1142);

        // a new password holds at the next login
        owner.query("ALTER USER app IDENTIFIED BY 'two'").ok();
        assert_eq!(world.login("app", "one").map(drop), Err(1045));
        assert!(world.login("app", "two").is_ok());
        owner.query("SET PASSWORD FOR app = PASSWORD('three')").ok();
        assert_eq!(world.login("app", "two").map(drop), Err(1045));
        assert!(world.login("app", "three").is_ok());
        owner.query("ALTER USER app ACCOUNT LOCK").ok();
        assert_eq!(world.login("app", "three").map(drop), Err(4151));
        owner.query("ALTER USER app ACCOUNT UNLOCK").ok();

        // rights of columns, revoked, and renamed accounts
        owner.query("REVOKE SELECT ON shop.* FROM app").ok();
        owner.query("GRANT SELECT (b) ON shop.t TO app").ok();
        owner.query("RENAME USER app TO web@'%'").ok();
        let mut web = world.login("web", "three").unwrap();
        assert_eq!(web.query("SELECT b FROM shop.t").value(), "2");
        assert_eq!(code(web.query("SELECT a FROM shop.t")), 1143);

        // a name without a schema is in the current one
        owner.query("USE shop").ok();
        owner.query("GRANT SELECT ON t TO web").ok();
        let mut web = world.login("web", "three").unwrap();
        assert_eq!(web.query("SELECT a FROM shop.t").value(), "1");

        // roles
        for text in [
            "CREATE ROLE writer",
            "GRANT INSERT ON shop.* TO writer",
            "GRANT writer TO web",
            "SET DEFAULT ROLE writer FOR web",
        ] {
            owner.query(text).ok();
        }
        let mut web = world.login("web", "three").unwrap();
        assert_eq!(web.query("SELECT CURRENT_ROLE()").value(), "writer");
        web.query("INSERT INTO shop.t VALUES (3, 4)").ok();
        owner.query("REVOKE writer FROM web").ok();
        owner.query("DROP ROLE writer").ok();
        let mut web = world.login("web", "three").unwrap();
        assert_eq!(code(web.query("INSERT INTO shop.t VALUES (3, 4)")), 1142);

        // what is shown can be run again, and has no credential of Dormouse
        let shown = owner.query("SHOW CREATE USER web").value();
        assert_eq!(
            shown.matches("mysql_native_password").count() + shown.matches("BY PASSWORD").count(),
            1,
            "{shown}"
        );
        owner.query("DROP USER web").ok();
        assert_eq!(code(owner.query("DROP USER web")), 1396);
        owner.query(&shown).ok();
        assert!(world.login("web", "three").is_ok());
    });
}

#[test]
fn an_owner_makes_owners_and_managers_of_users() {
    World::each(|world| {
        let mut owner = world.owner();
        owner
            .query("GRANT ALL ON *.* TO second IDENTIFIED BY 's' WITH GRANT OPTION")
            .ok();
        let mut second = world.login("second", "s").unwrap();
        second.query("CREATE SCHEMA a").ok();
        second.query("CREATE USER hr IDENTIFIED BY 'h'").ok();
        second.query("GRANT CREATE USER ON *.* TO hr").ok();
        let grants = second.query("SHOW GRANTS").rows();
        let first = grants[0][0].clone().unwrap();
        assert!(
            first.starts_with("GRANT ALL PRIVILEGES ON *.* TO `second`@`%`"),
            "{first}"
        );
        assert!(first.ends_with("WITH GRANT OPTION"), "{first}");
        assert_eq!(grants.len(), 1, "{grants:?}");
        assert_eq!(code(second.query("SELECT * FROM mysql.global_priv")), 1142);

        let mut hr = world.login("hr", "h").unwrap();
        hr.query("CREATE USER temp IDENTIFIED BY 't'").ok();
        assert_eq!(code(hr.query("ALTER USER second IDENTIFIED BY 'x'")), 1227);
        assert_eq!(code(hr.query("DROP USER admin")), 1227);
        assert!(matches!(
            hr.query("GRANT SELECT ON a.* TO temp"),
            Reply::Err(_)
        ));
        assert!(matches!(
            hr.query("GRANT CREATE USER ON *.* TO temp"),
            Reply::Err(_)
        ));
        hr.query("DROP USER temp").ok();

        owner.query("REVOKE ALL ON *.* FROM second").ok();
        // the session of an account that has lost the right is checked anew
        assert!(matches!(second.query("CREATE USER x"), Reply::Err(_)));
        assert_eq!(code(owner.query("DROP USER admin")), 1227);
        assert!(world.login("admin", &world.owner.password).is_ok());
    });
}

#[test]
fn nobody_reaches_the_platform() {
    World::each(|world| {
        let mut owner = world.owner();
        owner.query("CREATE USER app IDENTIFIED BY 'x'").ok();
        for text in [
            "DROP USER dormouse@localhost",
            "DROP USER app, dormouse@localhost",
            "ALTER USER dormouse@localhost IDENTIFIED BY 'x'",
            "ALTER USER app, `dormouse`@`localhost` ACCOUNT LOCK",
            "ALTER USER 'DORMOUSE'@'LOCALHOST' ACCOUNT LOCK",
            "ALTER USER dormouse@'localhos_' ACCOUNT LOCK",
            "ALTER /* x */ USER/**/dormouse @localhost PASSWORD EXPIRE",
            "/*! ALTER USER dormouse@localhost ACCOUNT LOCK */",
            "/*!50003 ALTER */ USER dormouse@localhost ACCOUNT LOCK",
            "/*M!100100 ALTER USER dormouse@localhost ACCOUNT LOCK */",
            "ALTER USER /*M!110000 app, */ dormouse@localhost ACCOUNT LOCK",
            "ALTER\u{a0}USER dormouse@localhost ACCOUNT LOCK",
            "RENAME USER dormouse@localhost TO x",
            "RENAME USER app TO dormouse@'%'",
            "SET PASSWORD FOR dormouse@localhost = PASSWORD('x')",
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM dormouse@localhost",
            "REVOKE SELECT ON *.* FROM dormouse@localhost",
            "GRANT r TO dormouse@localhost",
            "CREATE ROLE dormouse",
            "CREATE ROLE 'mariadb.sys'",
            "SHOW GRANTS FOR dormouse@localhost",
            "SHOW CREATE USER dormouse@localhost",
            "SHOW CREATE USER `mariadb.sys`@localhost",
            "EXECUTE IMMEDIATE 'DROP USER dormouse@localhost'",
            "EXECUTE IMMEDIATE 'EXECUTE IMMEDIATE ''DROP USER dormouse@localhost'''",
            "EXECUTE IMMEDIATE CONCAT('DROP USER dormouse', '@localhost')",
            "BEGIN NOT ATOMIC DROP USER dormouse@localhost; END",
            "BEGIN NOT ATOMIC EXECUTE IMMEDIATE 'DROP USER dormouse@localhost'; END",
            "SET STATEMENT max_statement_time = 9 FOR DROP USER dormouse@localhost",
            "DROP USER app; DROP USER dormouse@localhost",
            "SELECT 1; DROP USER dormouse@localhost",
            "GRANT SELECT ON mysql.* TO app",
            "GRANT SELECT ON MYSQL.* TO app",
            "GRANT SELECT ON `\\mysql`.* TO app",
            "GRANT SELECT ON `m\\ysql`.* TO app",
            "GRANT SELECT ON mysql.global_priv TO app",
            "GRANT ALL ON `mysq_`.* TO app WITH GRANT OPTION",
            "GRANT ALL ON `%`.* TO app WITH GRANT OPTION",
            "GRANT ALL ON *.* TO PUBLIC",
            "GRANT PROXY ON dormouse@localhost TO app",
            "GRANT SUPER ON *.* TO app",
            "GRANT FILE ON *.* TO app",
            "GRANT SET USER ON *.* TO app",
            "CREATE USER p IDENTIFIED VIA pam USING 'x'",
            "SET GLOBAL general_log_file = '/tmp/x'",
            "SET GLOBAL read_only = 1",
            "SET GLOBAL event_scheduler = OFF",
            "SET GLOBAL max_connections = 10",
            "SET GLOBAL key_buffer_size = 8589934592",
            "SET GLOBAL proxy_protocol_networks = ''",
            "SET @@GLOBAL.init_connect = 'x'",
            "SET GLOBAL sql_mode = '', GLOBAL init_connect = 'x'",
            "SET GLOBAL sort_buffer_size = 1 << 40",
            "UPDATE mysql.global_priv SET Priv = '{}'",
            "SELECT * FROM mysql.global_priv",
            "DROP TABLE mysql.db",
            "CREATE TABLE mysql.x (a INT)",
            "DROP SCHEMA mysql",
        ] {
            let reply = owner.query(text);
            assert!(matches!(reply, Reply::Err(_)), "{text}: {reply:?}");
        }
        // it still works
        owner.query("ALTER USER app IDENTIFIED BY 'y'").ok();
        world.park();
        assert!(world.login("app", "y").is_ok());
    });
}

#[test]
fn accounts_are_no_stronger_than_their_owner() {
    World::each(|world| {
        let mut owner = world.owner();
        for text in [
            "CREATE SCHEMA shop",
            "CREATE ROLE r",
            "GRANT ALL ON *.* TO r",
            "GRANT ALL ON *.* TO app IDENTIFIED BY 'x'",
            "CREATE OR REPLACE USER app IDENTIFIED BY 'x'",
            "GRANT ALL ON `m%`.* TO app",
            "GRANT ALL ON `%`.* TO app",
            "GRANT r TO app",
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM app",
            "GRANT ALL ON *.* TO app",
            "GRANT r TO app",
            "RENAME USER app TO web",
        ] {
            owner.query(text).ok();
        }
        let mut web = world.login("web", "x").unwrap();
        for role in ["NONE", "r"] {
            web.query(&format!("SET ROLE {role}")).ok();
            web.query("CREATE OR REPLACE TABLE shop.t (a INT)").ok();
            for text in [
                "SELECT * FROM mysql.global_priv",
                "UPDATE mysql.global_priv SET Priv = '{}'",
                "INSERT INTO mysql.db (Host, Db, User) VALUES ('%', 'mysql', 'web')",
                "DELETE FROM mysql.db",
                "CREATE TABLE mysql.t (a INT)",
                "DROP TABLE mysql.db",
                "CREATE VIEW mysql.v AS SELECT 1",
                "ALTER TABLE mysql.db ADD x INT",
                "LOCK TABLES mysql.db WRITE",
                "DROP VIEW sys.version",
                "SELECT 1 INTO OUTFILE '/tmp/dormouse-mediated'",
                "SHUTDOWN",
                "CREATE DEFINER = dormouse@localhost PROCEDURE shop.p() SELECT 1",
                "CREATE DEFINER = dormouse@localhost VIEW shop.v AS SELECT 1",
                "GRANT SELECT ON `\\mysql`.* TO web",
                "GRANT SELECT ON shop.* TO r",
            ] {
                let reply = web.query(text);
                assert!(matches!(reply, Reply::Err(_)), "{role}: {text}: {reply:?}");
            }
        }
    });
}

#[test]
fn passwords_mean_what_the_session_says() {
    World::each(|world| {
        let mut owner = world.owner();
        let mut check = |text: &str, password: &str| {
            owner.query("CREATE OR REPLACE USER pw").ok();
            owner.query(text).ok();
            assert!(world.login("pw", password).is_ok(), "{text}");
        };
        for (text, password) in [
            ("ALTER USER pw IDENTIFIED BY 'it''s'", "it's"),
            (r"ALTER USER pw IDENTIFIED BY 'it\'s'", "it's"),
            (r"ALTER USER pw IDENTIFIED BY 'back\\slash'", r"back\slash"),
            (r"ALTER USER pw IDENTIFIED BY 'wild\%card'", r"wild\%card"),
            ("ALTER USER pw IDENTIFIED BY \"do\"\"uble'\"", "do\"uble'"),
            (
                "ALTER USER pw IDENTIFIED BY 'x'' ACCOUNT LOCK -- '",
                "x' ACCOUNT LOCK -- ",
            ),
            ("ALTER USER pw IDENTIFIED BY 'a;b/*c*/'", "a;b/*c*/"),
        ] {
            check(text, password);
        }
        owner
            .query("SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
            .ok();
        owner.query(r#"ALTER USER "pw" IDENTIFIED BY 'back\'"#).ok();
        assert!(world.login("pw", r"back\").is_ok());
        let wrong = owner.query("ALTER USER pw IDENTIFIED BY \"name\"");
        assert_eq!(code(wrong), 1064);
        // a mode that stored code sets ends with it, but the server's status flags go on telling it
        for (mode, inner, password) in [
            ("", "NO_BACKSLASH_ESCAPES", r"x\y"),
            ("NO_BACKSLASH_ESCAPES", "", r"x\\y"),
        ] {
            owner.query(&format!("SET sql_mode = '{mode}'")).ok();
            owner
                .query(&format!("BEGIN NOT ATOMIC SET sql_mode = '{inner}'; END"))
                .ok();
            owner.query(r"ALTER USER pw IDENTIFIED BY 'x\\y'").ok();
            assert!(world.login("pw", password).is_ok(), "{mode:?}, {inner:?}");
        }
        owner.query("SET sql_mode = DEFAULT, NAMES utf8mb4").ok();
        owner.query("ALTER USER pw IDENTIFIED BY 'pässwörd'").ok();
        assert!(world.login("pw", "pässwörd").is_ok());
        // half a character would hide a quote
        owner.query("SET NAMES gbk").ok();
        owner.command(
            Command::Query,
            b"ALTER USER pw IDENTIFIED BY '\xbf\x5c' ACCOUNT LOCK -- '",
        );
        assert!(matches!(owner.result().unwrap(), Reply::Err(_)));
        owner.query("ALTER USER pw IDENTIFIED BY 'ascii'").ok();
        assert!(world.login("pw", "ascii").is_ok());
    });
}

#[test]
fn the_session_goes_on_as_on_a_server() {
    World::each(|world| {
        let mut owner = world.owner();
        owner.query("CREATE SCHEMA shop").ok();
        owner.query("CREATE TABLE shop.t (a INT)").ok();
        // it commits
        owner.query("BEGIN").ok();
        owner.query("INSERT INTO shop.t VALUES (1)").ok();
        owner.query("CREATE USER app").ok();
        owner.query("ROLLBACK").ok();
        assert_eq!(owner.query("SELECT COUNT(*) FROM shop.t").value(), "1");
        // a global variable does not
        owner.query("BEGIN").ok();
        owner.query("INSERT INTO shop.t VALUES (2)").ok();
        owner.query("SET GLOBAL long_query_time = 7").ok();
        owner.query("ROLLBACK").ok();
        assert_eq!(owner.query("SELECT COUNT(*) FROM shop.t").value(), "1");
        // warnings and errors can be asked for
        assert_eq!(
            owner.query("CREATE USER IF NOT EXISTS app").ok().warnings,
            1
        );
        let shown = owner.query("SHOW WARNINGS").rows();
        assert_eq!(shown[0][1].as_deref(), Some("1973"));
        assert_eq!(owner.query("SELECT @@warning_count").value(), "1");
        assert_eq!(code(owner.query("CREATE USER app")), 1396);
        assert_eq!(
            owner.query("SHOW ERRORS").rows()[0][1].as_deref(),
            Some("1396")
        );
        owner.query("DROP USER app").ok();
        assert!(owner.query("SHOW WARNINGS").rows().is_empty());
        owner.query("XA START 'x'").ok();
        assert_eq!(code(owner.query("CREATE USER app")), 1399);
        owner.query("XA END 'x'").ok();
        owner.query("XA ROLLBACK 'x'").ok();
        // expressions are the client's own
        owner
            .query("SET GLOBAL group_concat_max_len = 64 * 1024, sql_mode = (SELECT CONCAT(@@sql_mode, ',ANSI_QUOTES'))")
            .ok();
        let set = "SELECT CONCAT(@@GLOBAL.group_concat_max_len, LOCATE('ANSI_QUOTES', @@GLOBAL.sql_mode) > 0)";
        assert_eq!(owner.query(set).value(), "655361");
        assert_eq!(
            code(owner.query("SET GLOBAL long_query_time = (SELECT Priv FROM mysql.global_priv)")),
            1142
        );
        owner
            .query("SET GLOBAL TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .ok();
        // a database that sleeps is woken
        world.park();
        owner.query("CREATE USER late IDENTIFIED BY 'l'").ok();
        world.park();
        assert!(world.login("late", "l").is_ok());
        assert_eq!(
            owner.query("SELECT @@GLOBAL.long_query_time").value(),
            "7.000000"
        );
    });
}

#[test]
fn prepared_statements_run_in_the_owners_place_too() {
    World::each(|world| {
        let mut owner = world.owner();
        let mut run = |text: &str| {
            let id = owner.prepare(text);
            let argument = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
            owner.command(Command::StmtExecute, &argument);
            owner.binary_reply()
        };
        assert_eq!(run("CREATE USER app IDENTIFIED BY 'x'")[0][0], 0);
        assert_eq!(run("CREATE USER app IDENTIFIED BY 'x'")[0][0], 0xff);
        assert_eq!(run("GRANT SELECT ON shop.* TO app")[0][0], 0);
        assert_eq!(run("DROP USER dormouse@localhost")[0][0], 0xff);
        owner
            .query("EXECUTE IMMEDIATE 'CREATE USER im IDENTIFIED BY ''y'''")
            .ok();
        assert!(world.login("im", "y").is_ok());
        owner.query("PREPARE s FROM 'DROP USER im'").ok();
        owner.query("EXECUTE s").ok();
        assert_eq!(code(owner.query("EXECUTE s")), 1396);
    });
}

#[test]
fn an_owner_kills_sessions_of_others_but_not_those_of_dormouse() {
    World::each(|world| {
        let mut owner = world.owner();
        owner.query("CREATE USER app IDENTIFIED BY 'x'").ok();
        let mut app = world.login("app", "x").unwrap();
        let mut other = world.login("app", "x").unwrap();
        // in a transaction, so that each keeps its backend
        app.query("BEGIN").ok();
        other.query("BEGIN").ok();
        assert!(matches!(
            app.query(&format!("KILL {}", owner.id())),
            Reply::Err(_)
        ));
        owner.query(&format!("KILL QUERY {}", app.id())).ok();
        owner.query(&format!("KILL {}", app.id())).ok();
        assert!(app.try_query("SELECT 1").is_err());
        other.query("SELECT 1").value();
        let own = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'dormouse'";
        // a view tells the server's own ids
        owner.query("CREATE DATABASE IF NOT EXISTS seen").ok();
        let view = format!("CREATE OR REPLACE VIEW seen.own AS {own}");
        owner.query(&view).ok();
        let ids = owner.query("SELECT ID FROM seen.own").rows();
        assert!(!ids.is_empty());
        for row in ids {
            let id = row[0].clone().unwrap();
            // it may have ended
            assert!(matches!(
                code(owner.query(&format!("KILL {id}"))),
                1094 | 1095
            ));
        }
    });
}
