//! An understudy on a real server: it answers as the server of a database does, and nobody can do anything there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dormouse_control::{Plane, Spec};
use dormouse_engine::attach;
use dormouse_testkit::{Client, Reply};
use dormouse_types::{DatabaseName, Delay, Endpoint, Target};

use super::{House, Targets};

/// A parked database and an understudy.
struct Scene {
    house: House,
    plane: Plane,
    understudy: Arc<Target>,
    /// The session variables of the database's owner, before it was parked.
    of_owner: BTreeMap<String, String>,
}

impl Scene {
    async fn new() -> Self {
        let house = House::new();
        let targets = Arc::new(Targets::default());
        let plane = house.plane_with(&targets, 1).await;
        let shop: DatabaseName = "shop".parse().unwrap();
        let spec = Spec {
            idle_suspend: Delay::Never,
            idle_park: Delay::Never,
            ..Spec::default()
        };
        let created = plane.create(&shop, spec).await.unwrap();
        let target = targets.of(&shop).unwrap();
        let mut owner = connect(&target);
        owner.login("admin", &created.password, None).ok();
        let of_owner = variables(&mut owner);
        drop(owner);
        plane.park(&shop).await.unwrap();
        let found = async {
            loop {
                match plane.understudies().of(&shop) {
                    Some(found) => return found,
                    None => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let understudy = tokio::time::timeout(Duration::from_secs(60), found).await;
        Self {
            house,
            plane,
            understudy: understudy.unwrap(),
            of_owner,
        }
    }

    async fn enroll(&self, user: &str, host: &str) {
        let understudies = self.plane.understudies();
        understudies
            .enroll(&self.understudy, user, host)
            .await
            .unwrap();
    }

    fn log_in(&self, user: &str, host: &str) -> Client {
        log_in(&self.house, &self.understudy, user, host)
    }

    async fn ask(&self, sql: &str) -> String {
        self.house.ask(&self.understudy, sql).await
    }
}

/// It ends before its servers are removed; else it would replace them.
impl Drop for Scene {
    fn drop(&mut self) {
        let stop = || tokio::runtime::Handle::current().block_on(self.plane.stop());
        tokio::task::block_in_place(stop);
    }
}

/// A connection with the credential of an account, as the proxy opens it.
fn log_in(house: &House, target: &Target, user: &str, host: &str) -> Client {
    let mut client = connect(target);
    let credential = house.secret.account_stage1(target.instance, user, host);
    client.login_with(user.as_bytes(), &credential).ok();
    client
}

fn connect(target: &Target) -> Client {
    let Endpoint::Unix(path) = &target.endpoint else {
        panic!("{} is no socket", target.endpoint);
    };
    Client::unix(path)
}

fn variables(client: &mut Client) -> BTreeMap<String, String> {
    let rows = client.query("SHOW SESSION VARIABLES").rows();
    let pair = |row: Vec<Option<String>>| {
        let mut row = row.into_iter().map(Option::unwrap_or_default);
        (row.next().unwrap(), row.next().unwrap())
    };
    rows.into_iter().map(pair).collect()
}

fn rows(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let rows = client.query(sql).rows();
    let row = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default).collect();
    rows.into_iter().map(row).collect()
}

/// What differs between two servers, or two sessions of one, anyway: paths, and values that move.
const OF_EACH: [&str; 20] = [
    "aria_log_dir_path",
    "datadir",
    "general_log_file",
    "gtid_binlog_pos",
    "innodb_buffer_pool_dump_at_shutdown",
    "innodb_buffer_pool_size",
    "log_error",
    "last_gtid",
    "pid_file",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "secure_file_priv",
    "slow_query_log_file",
    "socket",
    "ssl_ca",
    "ssl_cert",
    "ssl_key",
    "timestamp",
    "wsrep_data_home_dir",
];

/// What is limited.
const LIMITED: [&str; 6] = [
    "event_scheduler",
    "max_connections",
    "max_session_mem_used",
    "max_statement_time",
    "max_tmp_total_space_usage",
    "tmp_disk_table_size",
];

#[tokio::test(flavor = "multi_thread")]
async fn its_sessions_have_the_variables_of_those_of_a_database() {
    let scene = Scene::new().await;
    scene.enroll("admin", "%").await;
    let found = variables(&mut scene.log_in("admin", "%"));
    let names: BTreeSet<_> = found.keys().chain(scene.of_owner.keys()).collect();
    assert!(names.len() > 500, "{} variables", names.len());
    let differ: Vec<_> = { names.iter() }
        .filter(|name| found.get(**name) != scene.of_owner.get(**name))
        .filter(|name| {
            let name = name.as_str();
            !OF_EACH.contains(&name)
                && !LIMITED.contains(&name)
                && name != "tmpdir"
                && name != "slave_load_tmpdir"
        })
        .map(|name| (name, found.get(*name), scene.of_owner.get(*name)))
        .collect();
    assert!(differ.is_empty(), "{differ:?}");
    let limited = |name: &str| found[name].as_str();
    assert_eq!(limited("max_statement_time"), "1.000000");
    assert_eq!(limited("max_session_mem_used"), "16777216");
    assert_eq!(limited("event_scheduler"), "OFF");
    assert_eq!(limited("performance_schema"), "OFF");
    assert_eq!(limited("log_bin"), "OFF");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_or_changes_anything_there() {
    let scene = Scene::new().await;
    let platform = scene.ask("SELECT CONNECTION_ID()").await;
    scene.ask("CREATE DATABASE secret").await;
    scene.ask("CREATE TABLE secret.t (a INT)").await;
    scene.enroll("other", "%").await;
    let mut other = scene.log_in("other", "%");
    let theirs = other.query("SELECT CONNECTION_ID()").value();
    for user in ["admin", "app", "PUBLIC_", "mysql"] {
        scene.enroll(user, "%").await;
        let mut client = scene.log_in(user, "%");
        for statement in [
            "SELECT * FROM mysql.global_priv",
            "SELECT * FROM mysql.user",
            "SELECT * FROM mysql.db",
            "SELECT * FROM mysql.proc",
            "SELECT * FROM mysql.event",
            "SELECT * FROM mysql.time_zone",
            "SELECT * FROM mysql.help_topic",
            "SELECT * FROM mysql.innodb_table_stats",
            "SELECT * FROM mysql.general_log",
            "SELECT * FROM sys.version",
            "SELECT * FROM secret.t",
            "SELECT * FROM performance_schema.threads",
            "USE mysql",
            "USE sys",
            "USE secret",
            "USE test",
            "CREATE DATABASE d",
            "CREATE TABLE mysql.t (a INT)",
            "CREATE TABLE test.t (a INT)",
            "CREATE TABLE test_a.t (a INT)",
            "CREATE TEMPORARY TABLE mysql.t (a INT)",
            "CREATE TEMPORARY TABLE test.t (a INT)",
            "CREATE TEMPORARY TABLE secret.t2 (a INT)",
            "CREATE VIEW secret.v AS SELECT 1",
            "CREATE PROCEDURE mysql.p() SELECT 1",
            "CREATE FUNCTION f RETURNS STRING SONAME 'x.so'",
            "CREATE FUNCTION secret.f() RETURNS INT RETURN 1",
            "CREATE EVENT secret.e ON SCHEDULE EVERY 1 SECOND DO SELECT 1",
            "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h')",
            "CREATE USER x",
            "CREATE ROLE r",
            "DROP USER other",
            "RENAME USER other TO another",
            "GRANT SELECT ON *.* TO CURRENT_USER",
            "SET PASSWORD FOR other = ''",
            "SELECT 1 INTO OUTFILE 'x'",
            "SELECT 1 INTO DUMPFILE '/tmp/dormouse-dump'",
            "LOAD DATA INFILE '/etc/passwd' INTO TABLE secret.t",
            "INSTALL SONAME 'ha_federatedx'",
            "INSTALL PLUGIN x SONAME 'x'",
            "SET GLOBAL max_statement_time = 0",
            "SET GLOBAL max_session_mem_used = 9223372036854775807",
            "SET GLOBAL event_scheduler = ON",
            "SET GLOBAL sql_mode = ''",
            "SET GLOBAL init_connect = 'x'",
            "SET SESSION pseudo_thread_id = 1",
            "SET SESSION sql_log_bin = 0",
            "SET GLOBAL general_log = 1",
            "SET ROLE PUBLIC_",
            "KILL ALL",
            "SHUTDOWN",
            "FLUSH TABLES",
            "FLUSH TABLES WITH READ LOCK",
            "RESET MASTER",
            "BACKUP STAGE START",
            "CHANGE MASTER TO MASTER_HOST = 'h'",
            "SHOW BINARY LOGS",
            "SHOW MASTER STATUS",
            "SHOW SLAVE STATUS",
            "SHOW ENGINE INNODB STATUS",
            "SHOW CREATE USER other@'%'",
            "SHOW GRANTS FOR other@'%'",
            "SHOW CREATE DATABASE mysql",
            "SHOW TABLES FROM secret",
            "CALL mysql.dormouse_attach(7, '')",
            "CALL mysql.dormouse_attach(CONNECTION_ID(), REPEAT('0', 64))",
            "SHOW CREATE PROCEDURE mysql.dormouse_attach",
            "BINLOG 'x'",
            "PURGE BINARY LOGS TO 'x'",
            "HANDLER secret.t OPEN",
            "LOCK TABLES secret.t READ",
            "ANALYZE TABLE mysql.proc",
            "XA RECOVER FORMAT='SQL'",
        ] {
            let reply = client.query(statement);
            let is_harmless = match (&reply, statement) {
                (Reply::Err(_), _) => true,
                // nothing of anybody's is in it
                (Reply::Rows(rows), "XA RECOVER FORMAT='SQL'") => rows.is_empty(),
                _ => false,
            };
            assert!(is_harmless, "{user}: {statement}: {reply:?}");
        }
        for id in [&platform, &theirs] {
            for kill in ["KILL", "KILL QUERY", "KILL SOFT"] {
                client.query(&format!("{kill} {id}")).err();
            }
        }
        assert_eq!(
            rows(
                &mut client,
                "SELECT LOAD_FILE('/etc/passwd'), LOAD_FILE(CONCAT(@@secure_file_priv, 'attach.key'))"
            ),
            [["", ""]]
        );
        assert_eq!(
            rows(&mut client, "SHOW DATABASES"),
            [["information_schema"]]
        );
        let grants = rows(&mut client, "SHOW GRANTS");
        assert!(
            grants[0][0].starts_with("GRANT USAGE ON *.* TO"),
            "{grants:?}"
        );
        // newer servers show those of everybody, too
        let of_all = "GRANT EXECUTE ON PROCEDURE `mysql`.`dormouse_attach` TO PUBLIC";
        assert!(grants[1..].iter().all(|row| *row == [of_all]), "{grants:?}");
        for table in [
            "TABLES WHERE TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')",
            "ROUTINES",
            "EVENTS",
            "TRIGGERS",
            "SCHEMATA WHERE SCHEMA_NAME NOT IN ('information_schema', 'performance_schema')",
            "USER_PRIVILEGES WHERE PRIVILEGE_TYPE <> 'USAGE'",
            "SCHEMA_PRIVILEGES",
            "TABLE_PRIVILEGES",
            "APPLICABLE_ROLES",
        ] {
            let found = rows(
                &mut client,
                &format!("SELECT * FROM information_schema.{table}"),
            );
            assert!(found.is_empty(), "{user}: {table}: {found:?}");
        }
        let seen = "SELECT DISTINCT USER FROM information_schema.PROCESSLIST";
        assert_eq!(rows(&mut client, seen), [[user]]);
        assert_eq!(
            client.query("SELECT CURRENT_USER()").value(),
            format!("{user}@%")
        );
        assert_eq!(client.query("SELECT 1 + 1").value(), "2");
    }
    assert_eq!(other.query("SELECT CONNECTION_ID()").value(), theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_sessions_use_little() {
    let scene = Scene::new().await;
    scene.enroll("app", "%").await;
    let mut client = scene.log_in("app", "%");
    let long = "SELECT COUNT(*) FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b, \
                information_schema.COLLATIONS c, information_schema.COLLATIONS d";
    let error = client.query(long).err();
    assert_eq!(error.code, 1969, "{error:?}");
    for n in 0..5 {
        let set = format!("SET @a{n} = REPEAT('a', 15000000)");
        client.query(&set).ok();
    }
    // the server says so to the statement that needs more
    let error = client.query("SHOW SESSION STATUS").err();
    assert_eq!(error.code, 1290, "{error:?}");
    // Dormouse's own connections are not limited
    assert_eq!(scene.ask("SELECT @@max_statement_time").await, "0.000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_gets_its_id_and_outlives_its_account() {
    let scene = Scene::new().await;
    scene.enroll("app", "%").await;
    let mut client = scene.log_in("app", "%");
    let key = attach::key(&scene.house.secret, scene.understudy.instance);
    let id = |client: &mut Client| client.query("SELECT CONNECTION_ID()").value();
    let from = id(&mut client).parse().unwrap();
    client.query(&attach::statement(&key, from, 77_001)).ok();
    assert_eq!(id(&mut client), "77001");
    // of one name there is one account, which no other hides
    scene.enroll("app", "localhost").await;
    let accounts = "SELECT GROUP_CONCAT(Host) FROM mysql.global_priv WHERE User = 'app'";
    assert_eq!(scene.ask(accounts).await, "localhost");
    client.query(&attach::statement(&key, 77_001, 77_002)).ok();
    assert_eq!(id(&mut client), "77002");
    let now = scene
        .log_in("app", "localhost")
        .query("SELECT CURRENT_USER()");
    assert_eq!(now.value(), "app@localhost");
    let old = scene
        .house
        .secret
        .account_stage1(scene.understudy.instance, "app", "%");
    connect(&scene.understudy).login_with(b"app", &old).err();
    scene.enroll("app", "%").await;
    assert_eq!(scene.ask(accounts).await, "%");
    let now = scene.log_in("app", "%").query("SELECT CURRENT_USER()");
    assert_eq!(now.value(), "app@%");
    assert_eq!(id(&mut client), "77002");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_dormouse_are_not_touched() {
    let scene = Scene::new().await;
    let all = "SELECT GROUP_CONCAT(User, '@', Host ORDER BY User) FROM mysql.global_priv";
    assert_eq!(
        scene.ask(all).await,
        "PUBLIC@,dormouse@localhost,mariadb.sys@localhost"
    );
    for user in ["", "root", "dormouse", "mariadb.sys", "PUBLIC", "public"] {
        for host in ["", "%", "localhost"] {
            let understudies = scene.plane.understudies();
            let refused = understudies.enroll(&scene.understudy, user, host).await;
            assert!(refused.is_err(), "{user}@{host}");
        }
    }
    assert_eq!(
        scene.ask(all).await,
        "PUBLIC@,dormouse@localhost,mariadb.sys@localhost"
    );
    for odd in ["o'dd\\", "Ünï", "with space", "a@b", "'", "%"] {
        scene.enroll(odd, "%").await;
        let user = scene.log_in(odd, "%").query("SELECT USER()").value();
        assert_eq!(user, format!("{odd}@localhost"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_too_many_accounts_all_are_made_anew() {
    let scene = Scene::new().await;
    scene.enroll("first", "%").await;
    let mut first = scene.log_in("first", "%");
    for n in 1..4096 {
        scene.enroll(&format!("u{n}"), "%").await;
    }
    let count = "SELECT COUNT(*) FROM mysql.global_priv";
    assert_eq!(scene.ask(count).await, "4099");
    scene.enroll("more", "%").await;
    assert_eq!(scene.ask(count).await, "4");
    assert_eq!(first.query("SELECT 1").value(), "1");
    scene.enroll("first", "%").await;
    scene.log_in("first", "%");
    assert_eq!(scene.log_in("more", "%").query("SELECT 1").value(), "1");
}
