//! The owner of a database, who knows its server's manual.

use crate::suite::{Attempt, Must, World, refused};

const OURS: &str = "the platform's account is not the owner's";
const TABLES: &str = "the account tables are changed by account statements only";
const SECRET: &str = "whoever knows the platform's credentials can act as the platform";
const LEND: &str = "code that runs as the platform would lend its rights";
const STRONGER: &str = "no account is stronger than the owner's";
const FILES: &str = "a file outside of the database is not the owner's";
const NETWORK: &str = "the server must not reach the machine's network";
const CODE: &str = "a library of the machine runs in the server";
const SHARED: &str = "the value would take what the other databases of the machine need";
const RELIES: &str = "the platform relies on the value";

/// The platform's account is neither changed nor removed.
const ACCOUNT: [Attempt; 47] = [
    refused(OURS, &["DROP USER dormouse@localhost"]),
    refused(OURS, &["DROP USER IF EXISTS 'dormouse'@'localhost'"]),
    refused(OURS, &["DROP USER `dormouse`@`localhost`"]),
    refused(OURS, &["DROP USER dormouse@LOCALHOST"]),
    refused(OURS, &["DROP USER/**/dormouse@localhost"]),
    refused(OURS, &["DROP /*!50000 USER */ dormouse@localhost"]),
    refused(OURS, &["DROP USER nobody, dormouse@localhost"]),
    refused(
        OURS,
        &[
            "DROP USER 'dorm' 'ouse'@'localhost'",
            "DROP USER dormouse@localhost",
        ],
    ),
    refused(OURS, &["DROP USER \"dormouse\"@\"localhost\""]),
    refused(
        OURS,
        &[
            "SET SESSION sql_mode = 'ANSI_QUOTES'",
            "DROP USER \"dormouse\"@\"localhost\"",
        ],
    ),
    refused(
        OURS,
        &[
            "SET NAMES gbk",
            "ALTER USER 'dormouse'@'localhost' ACCOUNT LOCK",
        ],
    ),
    refused(OURS, &["DROP USER `mariadb.sys`@localhost"]),
    refused(OURS, &["ALTER USER dormouse@localhost IDENTIFIED BY 'x'"]),
    refused(OURS, &["ALTER USER dormouse@localhost ACCOUNT LOCK"]),
    refused(OURS, &["ALTER USER dormouse@localhost PASSWORD EXPIRE"]),
    refused(OURS, &["ALTER USER dormouse@localhost REQUIRE X509"]),
    refused(
        OURS,
        &["ALTER USER dormouse@localhost WITH MAX_USER_CONNECTIONS 1"],
    ),
    refused(
        OURS,
        &["ALTER USER `mariadb.sys`@localhost IDENTIFIED BY 'x' ACCOUNT UNLOCK"],
    ),
    refused(
        OURS,
        &["CREATE OR REPLACE USER dormouse@localhost IDENTIFIED BY 'x'"],
    ),
    refused(OURS, &["RENAME USER dormouse@localhost TO gone@localhost"]),
    refused(
        OURS,
        &[
            "CREATE USER IF NOT EXISTS tmp1",
            "RENAME USER tmp1 TO dormouse@localhost",
        ],
    ),
    refused(
        OURS,
        &["SET PASSWORD FOR dormouse@localhost = PASSWORD('x')"],
    ),
    refused(
        OURS,
        &["SET PASSWORD FOR `mariadb.sys`@localhost = PASSWORD('x')"],
    ),
    refused(
        OURS,
        &["REVOKE ALL PRIVILEGES, GRANT OPTION FROM dormouse@localhost"],
    ),
    refused(OURS, &["REVOKE SELECT ON *.* FROM dormouse@localhost"]),
    refused(OURS, &["REVOKE ALL ON *.* FROM dormouse@localhost"]),
    refused(
        OURS,
        &["GRANT USAGE ON *.* TO dormouse@localhost IDENTIFIED BY 'x'"],
    ),
    refused(
        OURS,
        &["GRANT USAGE ON *.* TO dormouse@localhost REQUIRE X509"],
    ),
    refused(OURS, &["SET DEFAULT ROLE NONE FOR dormouse@localhost"]),
    refused(OURS, &["EXECUTE IMMEDIATE 'DROP USER dormouse@localhost'"]),
    refused(
        OURS,
        &[
            "SET @s = 'DROP USER dormouse@localhost'",
            "EXECUTE IMMEDIATE @s",
        ],
    ),
    refused(
        OURS,
        &[
            "CREATE OR REPLACE PROCEDURE app.p() EXECUTE IMMEDIATE CONCAT('DROP USER ', 'dormouse@localhost')",
            "CALL app.p()",
        ],
    ),
    refused(
        OURS,
        &[
            "CREATE OR REPLACE PROCEDURE app.p2() DROP USER dormouse@localhost",
            "CALL app.p2()",
        ],
    ),
    refused(
        OURS,
        &["SET STATEMENT max_statement_time = 1 FOR DROP USER dormouse@localhost"],
    ),
    refused(
        OURS,
        &["BEGIN NOT ATOMIC DROP USER dormouse@localhost; END"],
    ),
    refused(
        TABLES,
        &["UPDATE mysql.global_priv SET Priv = '{}' WHERE User = 'dormouse'"],
    ),
    refused(TABLES, &["DELETE FROM mysql.global_priv"]),
    refused(
        TABLES,
        &[
            "INSERT INTO mysql.global_priv VALUES ('%', 'evil', '{\"access\":18446744073709551615}')",
        ],
    ),
    refused(
        TABLES,
        &[
            "REPLACE INTO mysql.db (Host, Db, User, Update_priv) VALUES ('%', 'mysql', 'admin', 'Y')",
        ],
    ),
    refused(TABLES, &["DROP TABLE mysql.db"]),
    refused(TABLES, &["TRUNCATE TABLE mysql.global_priv"]),
    refused(TABLES, &["ALTER TABLE mysql.global_priv ADD COLUMN x INT"]),
    refused(TABLES, &["RENAME TABLE mysql.global_priv TO app.g"]),
    refused(TABLES, &["LOCK TABLES mysql.global_priv WRITE"]),
    refused(TABLES, &["DROP DATABASE mysql"]),
    refused(
        "a view in place of a table that the server reads at each login would stop all logins",
        &["CREATE OR REPLACE VIEW mysql.user AS SELECT SLEEP(10)"],
    ),
    refused(
        TABLES,
        &["CREATE TRIGGER mysql.t BEFORE UPDATE ON mysql.global_priv FOR EACH ROW SET @a = 1"],
    ),
];

/// The platform's secrets stay secret.
const SECRETS: [Attempt; 14] = [
    refused(SECRET, &["SHOW GRANTS FOR dormouse@localhost"]),
    refused(SECRET, &["SHOW CREATE USER dormouse@localhost"]),
    refused(SECRET, &["SHOW CREATE USER `mariadb.sys`@localhost"]),
    refused(SECRET, &["SELECT * FROM mysql.global_priv"]),
    refused(
        SECRET,
        &["SELECT Priv FROM mysql.global_priv WHERE User = 'admin'"],
    ),
    refused(SECRET, &["HANDLER mysql.global_priv OPEN"]),
    refused(
        SECRET,
        &["CREATE TABLE app.g AS SELECT * FROM mysql.global_priv"],
    ),
    refused(SECRET, &["CREATE TABLE app.g2 LIKE mysql.global_priv"]),
    refused(
        SECRET,
        &["CREATE VIEW app.v AS SELECT * FROM mysql.global_priv"],
    ),
    refused(
        SECRET,
        &["INSERT INTO app.t SELECT Priv FROM mysql.global_priv"],
    ),
    refused(SECRET, &["CHECKSUM TABLE mysql.global_priv"]),
    Attempt {
        why: SECRET,
        statements: &["SELECT * FROM mysql.user"],
        must: Must::Hide(&["dormouse", "mysql_native_password', '*", "*"]),
    },
    Attempt {
        why: SECRET,
        statements: &["SELECT * FROM information_schema.USER_PRIVILEGES"],
        must: Must::Hide(&["dormouse"]),
    },
    Attempt {
        why: SECRET,
        statements: &["SHOW CREATE USER admin@'%'"],
        must: Must::Hide(&[" OR mysql_native_password"]),
    },
];

/// Nothing runs as another account.
const DEFINERS: [Attempt; 14] = [
    refused(
        LEND,
        &["CREATE DEFINER=dormouse@localhost PROCEDURE app.d() SELECT 1"],
    ),
    refused(
        LEND,
        &["CREATE DEFINER=dormouse@localhost FUNCTION app.f() RETURNS INT RETURN 1"],
    ),
    refused(
        LEND,
        &["CREATE DEFINER=dormouse@localhost VIEW app.w AS SELECT 1"],
    ),
    refused(
        LEND,
        &["CREATE DEFINER=dormouse@localhost EVENT app.e ON SCHEDULE EVERY 1 DAY DO SELECT 1"],
    ),
    refused(
        LEND,
        &[
            "CREATE DEFINER=dormouse@localhost TRIGGER app.tr BEFORE INSERT ON app.t FOR EACH ROW SET @a = 1",
        ],
    ),
    refused(
        LEND,
        &["CREATE DEFINER=`mariadb.sys`@localhost VIEW app.w2 AS SELECT 1"],
    ),
    refused(
        LEND,
        &[
            "CREATE OR REPLACE VIEW app.w3 AS SELECT 1",
            "ALTER DEFINER=dormouse@localhost VIEW app.w3 AS SELECT 2",
        ],
    ),
    refused(
        LEND,
        &[
            "CREATE OR REPLACE EVENT app.e3 ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
            "ALTER DEFINER=dormouse@localhost EVENT app.e3 ENABLE",
        ],
    ),
    refused(
        LEND,
        &["ALTER VIEW sys.version AS SELECT authentication_string FROM mysql.user"],
    ),
    refused(LEND, &["CREATE OR REPLACE PROCEDURE sys.mine() SELECT 1"]),
    refused(LEND, &["GRANT PROXY ON dormouse@localhost TO admin@'%'"]),
    refused(
        LEND,
        &["GRANT PROXY ON ''@'' TO admin@'%' WITH GRANT OPTION"],
    ),
    refused(LEND, &["CREATE ROLE r1 WITH ADMIN dormouse@localhost"]),
    refused(
        LEND,
        &[
            "CREATE ROLE IF NOT EXISTS r2",
            "GRANT r2 TO dormouse@localhost",
        ],
    ),
];

/// No account gets more than the owner has.
const RIGHTS: [Attempt; 25] = [
    refused(STRONGER, &["GRANT SUPER ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT FILE ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT SHUTDOWN ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT SET USER ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT BINLOG REPLAY ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT CONNECTION ADMIN ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT READ_ONLY ADMIN ON *.* TO admin@'%'"]),
    refused(
        STRONGER,
        &["GRANT REPLICATION SLAVE ADMIN ON *.* TO admin@'%'"],
    ),
    refused(STRONGER, &["GRANT REPLICATION SLAVE ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT FEDERATED ADMIN ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT SELECT, SUPER ON *.* TO admin@'%'"]),
    refused(STRONGER, &["GRANT ALL ON mysql.* TO admin@'%'"]),
    refused(
        STRONGER,
        &["GRANT SELECT ON mysql.global_priv TO admin@'%'"],
    ),
    refused(
        STRONGER,
        &["GRANT SELECT (Priv) ON mysql.global_priv TO admin@'%'"],
    ),
    refused(STRONGER, &["CREATE TABLE mysql.mine (i INT)"]),
    refused(
        STRONGER,
        &[
            "GRANT ALL ON `\\mysql`.* TO admin@'%'",
            "SELECT * FROM mysql.global_priv",
        ],
    ),
    refused(
        STRONGER,
        &[
            "GRANT ALL ON `m\\ysql`.* TO admin@'%'",
            "SELECT * FROM mysql.global_priv",
        ],
    ),
    refused(
        STRONGER,
        &[
            "GRANT ALL ON `mysq_`.* TO admin@'%'",
            "SELECT * FROM mysql.global_priv",
        ],
    ),
    refused(
        STRONGER,
        &[
            "GRANT ALL ON `m%`.* TO admin@'%'",
            "SELECT * FROM mysql.global_priv",
        ],
    ),
    refused(
        STRONGER,
        &[
            "GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION",
            "SELECT * FROM mysql.global_priv",
        ],
    ),
    refused(
        STRONGER,
        &[
            "GRANT ALL ON `%`.* TO PUBLIC",
            "SELECT * FROM mysql.global_priv",
        ],
    ),
    refused(
        STRONGER,
        &[
            "CREATE ROLE IF NOT EXISTS r3",
            "GRANT ALL ON *.* TO r3 WITH GRANT OPTION",
            "GRANT r3 TO admin@'%'",
            "SET ROLE r3",
            "SELECT * FROM mysql.global_priv",
        ],
    ),
    refused(
        STRONGER,
        &[
            "REVOKE ALL PRIVILEGES, GRANT OPTION FROM r3",
            "GRANT ALL ON *.* TO r3",
            "SET ROLE r3",
            "DROP TABLE mysql.db",
        ],
    ),
    refused(
        STRONGER,
        &[
            "CREATE OR REPLACE PROCEDURE app.g3() EXECUTE IMMEDIATE 'GRANT ALL ON `\\\\mysql`.* TO admin@`%`'",
            "CALL app.g3()",
            "UPDATE mysql.global_priv SET Priv = Priv",
        ],
    ),
    refused(
        STRONGER,
        &["GRANT EXECUTE ON PROCEDURE mysql.AddGeometryColumn TO admin@'%'"],
    ),
];

/// Files and libraries of the machine.
const MACHINE: [Attempt; 43] = [
    Attempt {
        why: FILES,
        statements: &["SELECT LOAD_FILE('/etc/passwd')"],
        must: Must::Hide(&["root:"]),
    },
    refused(FILES, &["LOAD DATA INFILE '/etc/passwd' INTO TABLE app.t"]),
    refused(FILES, &["LOAD XML INFILE '/etc/passwd' INTO TABLE app.t"]),
    refused(FILES, &["SELECT 1 INTO OUTFILE '/tmp/attack-outfile'"]),
    refused(FILES, &["SELECT 1 INTO DUMPFILE '/tmp/attack-dumpfile'"]),
    refused(
        FILES,
        &[
            "CREATE OR REPLACE PROCEDURE app.o() SELECT 1 INTO OUTFILE '/tmp/attack-out2'",
            "CALL app.o()",
        ],
    ),
    Attempt {
        why: FILES,
        statements: &["CREATE TABLE app.dd1 (a INT) ENGINE=InnoDB DATA DIRECTORY='/tmp/attack-dd'"],
        must: Must::Spare("/tmp/attack-dd/app/dd1.ibd"),
    },
    Attempt {
        why: FILES,
        statements: &["CREATE TABLE app.dd2 (a INT) ENGINE=MyISAM DATA DIRECTORY='/tmp/attack-dd'"],
        must: Must::Spare("/tmp/attack-dd/dd2.MYD"),
    },
    Attempt {
        why: FILES,
        statements: &[
            "CREATE TABLE app.dd3 (a INT, KEY (a)) ENGINE=Aria INDEX DIRECTORY='/tmp/attack-dd'",
        ],
        must: Must::Spare("/tmp/attack-dd/dd3.MAI"),
    },
    Attempt {
        why: FILES,
        statements: &[
            "CREATE TABLE app.dd4 (a INT) ENGINE=InnoDB PARTITION BY HASH (a) (PARTITION p DATA DIRECTORY='/dev/shm')",
        ],
        must: Must::Spare("/dev/shm/app"),
    },
    refused(FILES, &["SET GLOBAL general_log_file = '/tmp/attack-log'"]),
    refused(
        FILES,
        &["SET GLOBAL slow_query_log_file = '/tmp/attack-log'"],
    ),
    refused(FILES, &["SET GLOBAL general_log = ON"]),
    refused(
        FILES,
        &["SET @@GLOBAL.general_log_file = '/tmp/attack-log'"],
    ),
    refused(
        FILES,
        &["SET GLOBAL innodb_buffer_pool_filename = '/tmp/attack-pool'"],
    ),
    refused(FILES, &["SET GLOBAL innodb_tmpdir = '/tmp'"]),
    refused(FILES, &["SET SESSION innodb_tmpdir = '/tmp'"]),
    refused(
        FILES,
        &["SET GLOBAL secure_timestamp = 'NO', GLOBAL general_log_file = '/tmp/attack-log'"],
    ),
    refused(FILES, &["BINLOG 'AAAA'"]),
    refused(NETWORK, &["INSTALL SONAME 'ha_federatedx'"]),
    refused(NETWORK, &["INSTALL SONAME 'ha_federated'"]),
    refused(
        NETWORK,
        &["INSTALL PLUGIN federated SONAME 'ha_federatedx'"],
    ),
    refused(NETWORK, &["INSTALL SONAME 'handlersocket'"]),
    refused(NETWORK, &["INSTALL SONAME 'ha_sphinx'"]),
    refused(
        NETWORK,
        &["CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1', PORT 3306)"],
    ),
    refused(NETWORK, &["CHANGE MASTER TO MASTER_HOST = '127.0.0.1'"]),
    refused(NETWORK, &["CHANGE MASTER 'x' TO MASTER_HOST = '127.0.0.1'"]),
    refused(NETWORK, &["START SLAVE"]),
    refused(NETWORK, &["SET GLOBAL proxy_protocol_networks = ''"]),
    refused(CODE, &["INSTALL SONAME 'disks'"]),
    refused(CODE, &["INSTALL SONAME 'auth_pam'"]),
    refused(CODE, &["INSTALL SONAME 'server_audit'"]),
    refused(CODE, &["INSTALL SONAME '../../../../tmp/evil'"]),
    refused(CODE, &["UNINSTALL SONAME 'metadata_lock_info'"]),
    refused(CODE, &["UNINSTALL PLUGIN mysql_native_password"]),
    refused(
        CODE,
        &["CREATE FUNCTION sys_exec RETURNS INTEGER SONAME 'lib_mysqludf_sys.so'"],
    ),
    refused(
        CODE,
        &["CREATE AGGREGATE FUNCTION a RETURNS INTEGER SONAME 'x.so'"],
    ),
    refused(
        CODE,
        &["INSERT INTO mysql.plugin VALUES ('disks', 'disks.so')"],
    ),
    refused(
        CODE,
        &["INSERT INTO mysql.func VALUES ('f', 0, 'x.so', 'function')"],
    ),
    refused(CODE, &["CREATE USER pam1 IDENTIFIED VIA pam USING 'su'"]),
    refused(
        CODE,
        &["SET GLOBAL plugin_maturity = 'unknown', GLOBAL general_log = 1"],
    ),
    refused(
        CODE,
        &["EXECUTE IMMEDIATE CONCAT('INSTALL SONAME ', QUOTE('disks'))"],
    ),
    refused(
        CODE,
        &[
            "CREATE OR REPLACE PROCEDURE app.i() INSTALL SONAME 'disks'",
            "CALL app.i()",
        ],
    ),
];

/// Memory, threads and settings that the platform relies on.
const RESOURCES: [Attempt; 26] = [
    refused(SHARED, &["SET GLOBAL key_buffer_size = 8589934592"]),
    refused(SHARED, &["SET GLOBAL query_cache_size = 4294967296"]),
    refused(SHARED, &["SET GLOBAL tmp_memory_table_size = 68719476736"]),
    refused(
        SHARED,
        &["SET GLOBAL innodb_buffer_pool_size = 68719476736"],
    ),
    refused(SHARED, &["SET GLOBAL thread_pool_size = 100000"]),
    refused(SHARED, &["SET GLOBAL table_open_cache = 1000000"]),
    refused(SHARED, &["SET GLOBAL join_buffer_size = 68719476736"]),
    refused(SHARED, &["SET GLOBAL sort_buffer_size = 68719476736"]),
    refused(RELIES, &["SET GLOBAL max_connections = 100000"]),
    refused(RELIES, &["SET GLOBAL max_connections = 10"]),
    refused(RELIES, &["SET GLOBAL event_scheduler = OFF"]),
    refused(RELIES, &["SET GLOBAL innodb_fast_shutdown = 2"]),
    refused(RELIES, &["SET GLOBAL read_only = 1"]),
    refused(RELIES, &["SET GLOBAL `read_only` = 1"]),
    refused(RELIES, &["SET @@global.`read_only` := 1"]),
    refused(RELIES, &["SET GLOBAL/**/read_only = 1"]),
    refused(
        RELIES,
        &["SET SESSION sort_buffer_size = 262144, GLOBAL read_only = 1"],
    ),
    refused(RELIES, &["SET GLOBAL init_connect = 'SELECT SLEEP(100)'"]),
    refused(RELIES, &["SET GLOBAL innodb_flush_log_at_trx_commit = 0"]),
    refused(RELIES, &["SET GLOBAL secure_auth = 0"]),
    refused(RELIES, &["SET STATEMENT sql_log_bin = 0 FOR SELECT 1"]),
    refused(RELIES, &["SET SESSION sql_log_bin = 0"]),
    refused("the platform stops the server", &["SHUTDOWN"]),
    refused(
        "the platform stops the server",
        &["SHUTDOWN WAIT FOR ALL SLAVES"],
    ),
    refused("the connection is the platform's", &["KILL USER dormouse"]),
    refused(
        RELIES,
        &[
            "CREATE OR REPLACE PROCEDURE app.sg() SET GLOBAL read_only = 1",
            "CALL app.sg()",
        ],
    ),
];

pub(crate) fn count() -> usize {
    ACCOUNT.len()
        + SECRETS.len()
        + DEFINERS.len()
        + RIGHTS.len()
        + MACHINE.len()
        + RESOURCES.len()
        + 1
}

#[test]
fn the_platforms_account_cannot_be_changed() {
    let world = World::new();
    world.try_all(&world.owner, &ACCOUNT);
}

#[test]
fn the_platforms_credentials_cannot_be_read() {
    let world = World::new();
    world.try_all(&world.owner, &SECRETS);
}

#[test]
fn nothing_runs_as_the_platform() {
    let world = World::new();
    world.try_all(&world.owner, &DEFINERS);
}

#[test]
fn no_account_becomes_stronger_than_the_owner() {
    let world = World::new();
    world.try_all(&world.owner, &RIGHTS);
    // an account that the owner makes as strong as it can
    let mut owner = world.dormouse.connect(&world.owner);
    owner
        .query("CREATE USER strong IDENTIFIED BY 'a long password'")
        .ok();
    owner
        .query("GRANT ALL PRIVILEGES ON *.* TO strong WITH GRANT OPTION")
        .ok();
    let strong = dormouse_testkit::Created {
        user: "shop.strong".to_owned(),
        password: "a long password".to_owned(),
    };
    for attempts in [&ACCOUNT[..], &SECRETS, &DEFINERS, &RIGHTS] {
        world.try_all(&strong, attempts);
    }
}

#[test]
fn the_machines_files_network_and_libraries_are_out_of_reach() {
    let directory = std::path::Path::new("/tmp/attack-dd");
    std::fs::create_dir_all(directory).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory, open).unwrap();
    let world = World::new();
    world.try_all(&world.owner, &MACHINE);
    for file in ["outfile", "dumpfile", "out2", "log", "pool"] {
        let path = format!("/tmp/attack-{file}");
        assert!(!std::path::Path::new(&path).exists(), "{path}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn settings_that_others_depend_on_cannot_be_changed() {
    let world = World::new();
    world.try_all(&world.owner, &RESOURCES);
    // the platform's connections, by their numbers
    let mut owner = world.dormouse.connect(&world.owner);
    let mut platform = world.dormouse.platform("shop");
    let list = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'dormouse'";
    assert_eq!(owner.query(list).rows().len(), 0, "they are not shown");
    let ids = platform.query(list).rows();
    assert!(!ids.is_empty());
    for row in ids {
        let id = row[0].clone().unwrap();
        let _ = owner.query(&format!("KILL {id}"));
        let still = format!("{list} AND ID = {id}");
        assert_eq!(platform.query(&still).rows().len(), 1, "KILL {id} ended it");
    }
    world.is_intact();
}
