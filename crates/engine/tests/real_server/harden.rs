//! Rights of new databases, and of those made before rights were limited.

use dormouse_engine::AdminError;
use dormouse_wire::native;

use crate::server::Server;

const PASSWORD: &str = "secret";

/// Accounts as the first version made them, with a password.
fn former_accounts(server: &Server) -> Vec<String> {
    let all = u64::MAX;
    let hash = native::to_text(&native::stage2(&native::stage1(PASSWORD.as_bytes())));
    let platform = server.secret.admin_hash();
    let row = |hash: &str| {
        format!(
            "{{\"access\":{all},\"plugin\":\"mysql_native_password\",\"authentication_string\":\"{hash}\"}}"
        )
    };
    vec![
        "DELETE FROM mysql.db".to_owned(),
        "DELETE FROM mysql.tables_priv".to_owned(),
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys'".to_owned(),
        format!(
            "INSERT INTO mysql.global_priv VALUES ('localhost', 'dormouse', '{}'), ('%', 'admin', '{}')",
            row(&platform),
            row(&hash)
        ),
        "INSERT INTO mysql.tables_priv (Host, Db, User, Table_name, Grantor, Table_priv) VALUES \
         ('localhost', 'mysql', 'mariadb.sys', 'global_priv', 'root@localhost', 'Select,Delete')"
            .to_owned(),
        "CREATE OR REPLACE DEFINER='mariadb.sys'@'localhost' SQL SECURITY DEFINER VIEW mysql.user AS \
         SELECT Host, User, JSON_VALUE(Priv, '$.authentication_string') AS authentication_string \
         FROM mysql.global_priv"
            .to_owned(),
        "FLUSH PRIVILEGES".to_owned(),
    ]
}

/// A server on files as the first version left them, after its users did everything that they could.
async fn former() -> Server {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    for sql in former_accounts(&server) {
        admin.query(&sql).await.unwrap();
    }
    let users = [
        ("super", "SUPER, FILE, SHUTDOWN ON *.*"),
        ("granter", "SELECT ON *.*"),
        ("maker", "CREATE USER ON *.*"),
        ("shopper", "ALL ON shop.*"),
        ("escaper", "ALL ON `\\mysql`.*"),
        ("wild", "ALL ON `my%`.*"),
        ("writer", "INSERT ON mysql.db"),
        ("reader", "SELECT, UPDATE ON mysql.time_zone_name"),
        (
            "columns",
            "SELECT (Priv), UPDATE (Priv) ON mysql.global_priv",
        ),
        (
            "replica",
            "REPLICATION SLAVE, REPLICATION SLAVE ADMIN ON *.*",
        ),
        ("plain", "SELECT, INSERT ON shop.t"),
    ];
    let mut script = String::from(
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT) ENGINE=InnoDB; INSERT INTO shop.t VALUES (1); \
         CREATE ROLE strong; GRANT ALL ON *.* TO strong WITH GRANT OPTION;",
    );
    for (user, rights) in users {
        script.push_str(&format!(
            "CREATE USER {user} IDENTIFIED BY '{user}'; GRANT {rights} TO {user}{};",
            if ["granter", "shopper", "escaper", "wild"].contains(&user) {
                " WITH GRANT OPTION"
            } else {
                ""
            }
        ));
    }
    script.push_str(
        "GRANT strong TO plain; \
         CREATE TABLE shop.log (a VARCHAR(200)); \
         CREATE DEFINER=dormouse@localhost PROCEDURE shop.p() SELECT CURRENT_USER(), COUNT(*) FROM mysql.global_priv; \
         CREATE DEFINER='mariadb.sys'@localhost PROCEDURE shop.q() SELECT COUNT(*) FROM mysql.global_priv; \
         CREATE DEFINER=dormouse@localhost EVENT shop.e ON SCHEDULE EVERY 1 SECOND STARTS NOW() + INTERVAL 1 HOUR DO \
           INSERT INTO shop.log SELECT Priv FROM mysql.global_priv; \
         CREATE DEFINER='mariadb.sys'@LOCALHOST VIEW shop.v AS SELECT Priv FROM mysql.global_priv; \
         CREATE DEFINER=dormouse@localhost TRIGGER shop.tr BEFORE INSERT ON shop.t FOR EACH ROW \
           SET NEW.a = (SELECT COUNT(*) FROM mysql.global_priv); \
         CREATE PROCEDURE shop.mine() SELECT COUNT(*) FROM shop.t; \
         ALTER DEFINER='mariadb.sys'@localhost SQL SECURITY DEFINER VIEW sys.version AS \
           SELECT GROUP_CONCAT(Priv) AS sys_version, 1 AS mysql_version FROM mysql.global_priv; \
         INSERT INTO mysql.servers (Server_name, Host, Db, Username, Password, Port, Socket, Wrapper, Owner) \
           VALUES ('s', '127.0.0.1', 'd', 'u', 'p', 3306, '', 'mysql', 'o'); \
         INSERT INTO mysql.plugin VALUES ('FEDERATED', 'ha_federatedx'); \
         INSERT INTO mysql.proxies_priv VALUES ('%', 'plain', 'localhost', 'dormouse', 1, '', NOW()); \
         INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', 'my%', '', 'Y'); \
         GRANT strong TO PUBLIC;",
    );
    let done = server.run("admin", PASSWORD, &script);
    // PUBLIC came with 10.11
    done.unwrap();
    server
}

/// Everything about accounts, as text.
async fn everything(server: &Server) -> String {
    let mut admin = server.admin().await;
    let mut all = String::new();
    for table in [
        "global_priv",
        "db",
        "tables_priv",
        "columns_priv",
        "procs_priv",
        "proxies_priv",
        "roles_mapping",
        "plugin",
        "func",
        "servers",
    ] {
        let order = if table == "plugin" || table == "func" {
            "1"
        } else {
            "1, 2"
        };
        let rows = admin
            .query(&format!("SELECT * FROM mysql.{table} ORDER BY {order}"))
            .await
            .unwrap();
        for row in rows.rows {
            // but for times
            let fields: Vec<_> = { row.iter().flatten() }
                .map(|f| String::from_utf8_lossy(f).into_owned())
                .filter(|f| !f.starts_with("20") && !f.starts_with("0000"))
                .collect();
            all.push_str(&format!("{table}: {}\n", fields.join("|")));
        }
    }
    all
}

/// What no user of a database may do.
fn attempts() -> Vec<&'static str> {
    vec![
        "SELECT * FROM mysql.global_priv",
        "UPDATE mysql.global_priv SET Priv = '{}'",
        "INSERT INTO mysql.db (Host, Db, User) VALUES ('%', 'mysql', 'x')",
        "DROP TABLE mysql.db",
        "CREATE TABLE mysql.x (a INT)",
        "CREATE VIEW mysql.x AS SELECT 1",
        "RENAME TABLE mysql.global_priv TO mysql.x",
        "SELECT LOAD_FILE('/etc/hostname') FROM mysql.func",
        "SELECT 1 INTO OUTFILE '/tmp/dormouse-attempt'",
        "INSTALL SONAME 'ha_federatedx'",
        "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'",
        "CREATE SERVER s2 FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1')",
        "SHUTDOWN",
        "SET GLOBAL max_connections = 1",
        "SET GLOBAL general_log_file = '/tmp/x'",
        "SET GLOBAL read_only = 1",
        "CHANGE MASTER TO MASTER_HOST = '127.0.0.1'",
        "STOP SLAVE",
        "DROP USER dormouse@localhost",
        "ALTER USER dormouse@localhost ACCOUNT LOCK",
        "SET PASSWORD FOR dormouse@localhost = ''",
        "RENAME USER dormouse@localhost TO x",
        "GRANT ALL ON `mysql`.* TO plain",
        "GRANT ALL ON `\\mysql`.* TO plain",
        "GRANT ALL ON *.* TO plain",
        "GRANT PROXY ON dormouse@localhost TO plain",
        "CREATE DEFINER=dormouse@localhost PROCEDURE shop.x() SELECT 1",
        "SHOW GRANTS FOR dormouse@localhost",
        "SHOW CREATE USER dormouse@localhost",
        "INSERT INTO sys.sys_config VALUES ('x', 'y', NOW(), 'z')",
        "CREATE TABLE sys.x (a INT)",
        "SET GLOBAL event_scheduler = OFF",
        "PURGE BINARY LOGS TO 'x'",
    ]
}

/// Tries all of them, in one session that begins with `first`.
fn assert_refused(server: &Server, user: &str, password: &str, first: &str) {
    let script = format!("{first};\n{};", attempts().join(";\n"));
    let said = server.run_all(user, password, &script);
    for (line, sql) in (2..).zip(attempts()) {
        let refused = said.contains(&format!(") at line {line}:"));
        assert!(refused, "{user}: {first}: {sql}: {said}");
    }
}

#[tokio::test]
async fn the_owner_of_a_new_database_has_no_right_beyond_its_own_schemas() {
    let server = Server::start().await;
    let mut admin = server.admin().await;
    let stage2 = native::stage2(&native::stage1(PASSWORD.as_bytes()));
    admin.accounts().secure_owner(stage2).await.unwrap();
    let run = |sql: &str| server.run("admin", PASSWORD, sql);
    for sql in [
        "CREATE DATABASE shop; CREATE TABLE shop.t (a INT); CREATE TABLE shop.u (b INT); DROP TABLE shop.u",
        "CREATE PROCEDURE shop.p() SELECT 1; CALL shop.p(); SHOW CREATE PROCEDURE shop.p",
        "CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY DO SELECT 1; SHOW EVENTS FROM shop",
        "CREATE TRIGGER shop.tr BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.a = 1",
        "CREATE VIEW shop.v AS SELECT * FROM shop.t; SHOW CREATE VIEW shop.v; DROP VIEW shop.v",
        "CREATE TEMPORARY TABLE shop.x (a INT); LOCK TABLES shop.t WRITE; UNLOCK TABLES",
        "SELECT User, Host, Super_priv, plugin, authentication_string FROM mysql.user",
        "SELECT * FROM mysql.db; SELECT * FROM mysql.time_zone_name; SELECT * FROM sys.version; SHOW GRANTS",
        "FLUSH TABLES; FLUSH PRIVILEGES; SHOW PROCESSLIST; SHOW MASTER STATUS; SHOW ALL SLAVES STATUS",
        "SELECT sys.format_bytes(1024); CREATE DATABASE other; DROP DATABASE other",
    ] {
        run(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    admin
        .query("CREATE USER plain IDENTIFIED BY 'plain'")
        .await
        .unwrap();
    assert_refused(&server, "admin", PASSWORD, "SELECT 1");
    let users = run("SELECT User, authentication_string, Password FROM mysql.user").unwrap();
    assert_eq!(
        users.lines().map(str::trim).collect::<Vec<_>>(),
        ["admin", "plain"]
    );
    // nothing to take away, and nothing changes
    let taken = server.admin().await.harden().await.unwrap();
    assert_eq!(taken, Vec::<String>::new());
}

#[tokio::test]
async fn an_older_databases_accounts_get_todays_rights() {
    let mut server = former().await;
    let anonymous = "CREATE USER ''@localhost";
    server.admin().await.query(anonymous).await.unwrap();
    server.restart_for_maintenance().await;
    let taken = server.admin().await.harden().await.unwrap();
    let first = everything(&server).await;
    let again = server.admin().await.harden().await.unwrap();
    assert_eq!(again, Vec::<String>::new(), "a second pass finds nothing");
    assert_eq!(first, everything(&server).await);
    server.restart_as_usual().await;
    for part in [
        "'super'@'%': SHUTDOWN, FILE, SUPER",
        "'granter'@'%': GRANT OPTION",
        "'escaper'@'%': rights in `\\mysql`",
        "'wild'@'%': GRANT OPTION on `my%`",
        "'writer'@'%': rights in mysql.db",
        "anonymous account ''@'localhost'",
        "server s",
        "plugin FEDERATED",
        "routine shop.p",
        "event shop.e",
        "view `shop`.`v`",
        "trigger `shop`.`tr`",
        "view `sys`.`version`",
    ] {
        assert!(taken.iter().any(|t| t.contains(part)), "{part}: {taken:#?}");
    }
    let users = [
        "super", "granter", "maker", "shopper", "escaper", "wild", "writer", "reader", "columns",
        "replica", "plain",
    ];
    for (user, password) in users.iter().map(|u| (*u, *u)).chain([("admin", PASSWORD)]) {
        assert!(
            server.lets_in(user, password).is_ok(),
            "{user} keeps its password"
        );
        for first in ["SELECT 1", "SET ROLE strong"] {
            assert_refused(&server, user, password, first);
        }
    }
    // what they had in their own schemas stays
    for (user, password, sql) in [
        (
            "admin",
            PASSWORD,
            "CREATE DATABASE b; DROP DATABASE b; CALL shop.mine(); SELECT * FROM mysql.user",
        ),
        ("granter", "granter", "SELECT * FROM shop.t"),
        (
            "shopper",
            "shopper",
            "GRANT SELECT ON shop.* TO plain; CREATE TABLE shop.new (a INT)",
        ),
        ("reader", "reader", "SELECT * FROM mysql.time_zone_name"),
        (
            "plain",
            "plain",
            "SELECT * FROM shop.t; SET ROLE strong; CREATE DATABASE c; DROP DATABASE c",
        ),
    ] {
        server
            .run(user, password, sql)
            .unwrap_or_else(|e| panic!("{user}: {sql}: {e}"));
    }
    for sql in [
        "SELECT * FROM shop.v",
        "CALL shop.p()",
        "CALL shop.q()",
        "INSERT INTO shop.t VALUES (2)",
        "SELECT * FROM sys.version",
    ] {
        let refused = server.run("admin", PASSWORD, sql);
        assert!(refused.is_err(), "{sql}: {refused:?}");
    }
    let mut admin = server.admin().await;
    let definers = admin
        .query("SELECT DISTINCT definer FROM mysql.proc WHERE db = 'shop' UNION SELECT definer FROM mysql.event")
        .await
        .unwrap();
    assert_eq!(
        definers.texts().collect::<Vec<_>>(),
        [["admin@%".to_owned()]]
    );
}

#[tokio::test]
async fn a_damaged_platform_account_is_repaired() {
    for damage in [
        "DROP USER dormouse@localhost",
        "ALTER USER dormouse@localhost IDENTIFIED BY 'mine' REQUIRE X509 ACCOUNT LOCK PASSWORD EXPIRE",
        "RENAME USER dormouse@localhost TO gone@localhost",
        "REVOKE ALL PRIVILEGES, GRANT OPTION FROM dormouse@localhost",
        "RENAME TABLE mysql.global_priv TO mysql.aside; \
         CREATE VIEW mysql.global_priv AS SELECT *, SLEEP(9) FROM mysql.aside",
    ] {
        let mut server = former().await;
        server.run("admin", PASSWORD, damage).unwrap();
        server.restart_for_maintenance().await;
        server.admin().await.harden().await.unwrap();
        server.restart_as_usual().await;
        let mut admin = server.admin().await;
        assert!(
            admin.accounts().list(None).await.unwrap().len() > 5,
            "{damage}"
        );
        assert!(server.lets_in("admin", PASSWORD).is_ok(), "{damage}");
        assert!(server.lets_in("gone", "x").is_err());
    }
}

#[tokio::test]
async fn a_missing_table_of_rights_is_reported() {
    let mut server = former().await;
    server
        .run("admin", PASSWORD, "DROP TABLE mysql.db")
        .unwrap();
    server.restart_for_maintenance().await;
    let refused = server.admin().await.harden().await;
    assert!(
        matches!(&refused, Err(AdminError::Broken(what)) if what == "mysql.db"),
        "{refused:?}"
    );
}
