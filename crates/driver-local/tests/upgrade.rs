//! Upgrades of instances to a newer server.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_driver::{
    AsItIs, Check, CopyOptions, Desired, Driver as _, Error, History, Place, Run,
};
use dormouse_driver_local::{LocalConfig, LocalDriver};
use dormouse_engine::{Admin, Installation, Keeper, KeeperConfig, MasterSource, Search, Secret};
use dormouse_link::{Link, Origin, proxy_header};
use dormouse_types::{Endpoint, InstanceId, Series, Units};
use dormouse_wire::{
    Capabilities, ClientConfig, ClientLogin, LoginError, LoginStep, PacketBuffer, auth::native,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

mod common;

const OLD: InstanceId = InstanceId(1);
const COPY: InstanceId = InstanceId(2);
const FRESH: InstanceId = InstanceId(3);

const OPTIONS: CopyOptions = CopyOptions {
    frozen_at_most: Duration::from_secs(10),
    frozen_by_choice: Duration::from_secs(10),
    check: Check::Nothing,
};

/// A driver of two servers; `None` if there are not two. Its servers are killed on drop.
struct World {
    config: LocalConfig,
    driver: LocalDriver,
    newer: Series,
    _dir: tempfile::TempDir,
}

fn installation(variable: &str) -> Option<Installation> {
    let search = Search {
        mariadbd: Some(std::env::var_os(variable).map(PathBuf::from)?),
        ..Search::default()
    };
    Some(Installation::probe(&search).unwrap())
}

impl World {
    fn new(encrypted: bool) -> Option<Self> {
        let both = (
            installation("DORMOUSE_TEST_MARIADBD"),
            installation("DORMOUSE_TEST_MARIADBD_118"),
        );
        let (Some(first), Some(second)) = both else {
            eprintln!("not run: two servers are needed");
            return None;
        };
        if first.version.series() >= second.version.series() {
            eprintln!("not run: the second server is not newer");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let data_dir = dir.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        let secret = Secret::load_or_create(&data_dir.join("secret")).unwrap();
        let newer = second.version.series();
        let mut config = LocalConfig {
            more_servers: vec![second],
            ..LocalConfig::new(&data_dir, first, secret)
        };
        if encrypted {
            let master = dir.path().join("master.key");
            fs::write(&master, "5a".repeat(32)).unwrap();
            fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).unwrap();
            let keys = KeeperConfig {
                data_dir,
                instances: config.root.clone(),
                master: Some(MasterSource::File(master)),
                new_databases: true,
                ..KeeperConfig::default()
            };
            config.keys = Keeper::open(keys, &config.installation).unwrap();
        }
        Some(Self {
            driver: LocalDriver::new(config.clone()).unwrap(),
            config,
            newer,
            _dir: dir,
        })
    }

    fn of_newer(&self) -> Place {
        Place {
            root: None,
            series: Some(self.newer),
        }
    }

    async fn apply(&self, id: InstanceId, run: Run) -> Result<Option<Endpoint>, Error> {
        let desired = Desired {
            run,
            units: Units(1),
            history: History::Off,
        };
        Ok(self.driver.apply(id, desired).await?.endpoint)
    }

    async fn admin(&self, id: InstanceId) -> Admin {
        let endpoint = self.apply(id, Run::Running).await.unwrap().unwrap();
        let admin = Admin::connect(&endpoint, &self.config.secret, id).await;
        admin.unwrap()
    }

    /// Whether a client may log in to a running server.
    async fn logs_in(&self, id: InstanceId, user: &str, password: &str) -> bool {
        let endpoint = self.apply(id, Run::Running).await.unwrap().unwrap();
        let mut login = ClientLogin::new(ClientConfig {
            capabilities: Capabilities::TRANSACTIONS | Capabilities::DEPRECATE_EOF,
            collation: 45,
            max_packet: 1 << 24,
            user: user.as_bytes().to_vec(),
            stage1: Some(native::stage1(password.as_bytes())),
            schema: None,
            attributes: Vec::new(),
        });
        let mut link = Link::connect(&endpoint).await.unwrap();
        let mut packets = PacketBuffer::new(1 << 16);
        let header = proxy_header(&endpoint, &Origin::Local);
        link.write_all(&header).await.unwrap();
        loop {
            let Some((seq, payload)) = packets.next().unwrap() else {
                let mut bytes = [0; 4096];
                let read = link.read(&mut bytes).await.unwrap();
                assert_ne!(read, 0, "the server has closed the connection");
                packets.push(&bytes[..read]);
                continue;
            };
            match login.on_payload(seq, &payload) {
                Ok(LoginStep::Send(bytes)) => link.write_all(&bytes).await.unwrap(),
                Ok(LoginStep::Done { .. }) => return true,
                Ok(LoginStep::Secure(_)) => panic!("TLS on a socket"),
                Err(LoginError::Refused(_)) => return false,
                Err(other) => panic!("{other}"),
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        common::remove_all(self.driver.clone());
    }
}

async fn lines(admin: &mut Admin, sql: &str) -> Vec<String> {
    let rows = admin.query(sql).await.unwrap();
    let line = |row: usize| {
        let fields: Vec<_> = (0..rows.columns.len())
            .map(|at| rows.text(row, at))
            .collect();
        fields.join(" | ")
    };
    (0..rows.rows.len()).map(line).collect()
}

/// Columns, engines, stored programs and views of the server's own schemas.
async fn system(admin: &mut Admin) -> Vec<String> {
    let mut all = Vec::new();
    for sql in [
        "SELECT TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION, COLUMN_NAME, COLUMN_TYPE, COLUMN_DEFAULT, IS_NULLABLE, \
         CHARACTER_SET_NAME, COLLATION_NAME, COLUMN_KEY, EXTRA FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA IN ('mysql', 'sys') AND NOT (TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'user') \
         ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION",
        // a view of Dormouse's own, with the collation of whoever made it last
        "SELECT ORDINAL_POSITION, COLUMN_NAME, COLUMN_DEFAULT, IS_NULLABLE FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'user' ORDER BY ORDINAL_POSITION",
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA IN ('mysql', 'sys') ORDER BY TABLE_SCHEMA, TABLE_NAME",
        "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, DEFINER, SECURITY_TYPE, CHARACTER_SET_CLIENT, \
         COLLATION_CONNECTION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'sys' ORDER BY TABLE_NAME",
        "SELECT db, name, type, param_list, `returns`, body, definer, sql_mode, character_set_client, \
         collation_connection, db_collation, security_type FROM mysql.proc WHERE db = 'sys' ORDER BY name, type",
        "SELECT TRIGGER_NAME, ACTION_STATEMENT, DEFINER, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION \
         FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'sys' ORDER BY TRIGGER_NAME",
    ] {
        all.extend(lines(admin, sql).await);
    }
    all
}

/// What the owner's account may do.
async fn owners(admin: &mut Admin) -> Vec<String> {
    let sql = "SELECT * FROM mysql.db WHERE User = 'admin' ORDER BY Db";
    lines(admin, sql).await
}

async fn a_copy_becomes_one_of_the_newer_server(encrypted: bool, run: Run) {
    let Some(world) = World::new(encrypted) else {
        return;
    };
    let driver = &world.driver;
    driver.provision(OLD, &Place::default()).await.unwrap();
    let mut admin = world.admin(OLD).await;
    admin
        .accounts()
        .secure_owner(native::stage2(&native::stage1(b"owners")))
        .await
        .unwrap();
    for sql in [
        "CREATE SCHEMA app",
        "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT) ENGINE=InnoDB",
        "INSERT INTO app.t (text) SELECT REPEAT('d', 1000) FROM app.seq_1_to_2000",
        "CREATE TABLE app.aria (i INT) ENGINE=Aria",
        "INSERT INTO app.aria VALUES (1), (2)",
        "CREATE VIEW app.v AS SELECT COUNT(*) AS n FROM app.t",
        "CREATE FUNCTION app.f() RETURNS INT READS SQL DATA RETURN (SELECT n FROM app.v)",
        "CREATE TRIGGER app.r BEFORE INSERT ON app.aria FOR EACH ROW SET NEW.i = NEW.i + 1",
        "CREATE USER writer IDENTIFIED BY 'writers'",
        "GRANT ALL ON app.* TO writer",
        "CREATE USER reader IDENTIFIED BY 'readers'",
        "GRANT SELECT ON app.t TO reader",
        "GRANT EXECUTE ON FUNCTION app.f TO reader",
    ] {
        admin.query(sql).await.unwrap();
    }
    let grants = "SHOW GRANTS FOR writer";
    let (before, granted) = (owners(&mut admin).await, lines(&mut admin, grants).await);
    drop(admin);
    world.apply(OLD, run).await.unwrap();
    let place = world.of_newer();
    driver
        .copy(OLD, COPY, &place, OPTIONS, Arc::new(AsItIs))
        .await
        .unwrap();
    assert_eq!(driver.place(COPY).unwrap().series, Some(world.newer));
    // not as it is, also by another driver
    let refused = world.apply(COPY, Run::Running).await.unwrap_err();
    assert!(refused.to_string().contains("has not ended"), "{refused}");
    let changed = driver.upgrade(COPY, History::Off).await.unwrap();
    assert!(
        changed.iter().any(|line| line.starts_with("mysql.db:")),
        "{changed:?}"
    );
    assert_eq!(driver.upgrade(COPY, History::Off).await.unwrap(), [""; 0]);
    driver.provision(FRESH, &place).await.unwrap();

    let (mut copy, mut fresh) = (world.admin(COPY).await, world.admin(FRESH).await);
    assert_eq!(copy.version().unwrap().series(), world.newer);
    let (found, expected) = (system(&mut copy).await, system(&mut fresh).await);
    let missing: Vec<_> = expected
        .iter()
        .filter(|line| !found.contains(line))
        .collect();
    let odd: Vec<_> = found
        .iter()
        .filter(|line| !expected.contains(line))
        .collect();
    assert!(
        missing.is_empty() && odd.is_empty(),
        "missing: {missing:#?}, odd: {odd:#?}"
    );
    assert_eq!(owners(&mut copy).await, owners(&mut fresh).await);
    // beside what every account gets in `sys`
    let grants = lines(&mut copy, grants).await;
    assert!(
        granted.iter().all(|line| grants.contains(line)),
        "{grants:#?}"
    );
    for (sql, expected) in [
        (
            "SELECT COUNT(*), COUNT(DISTINCT id) FROM app.t",
            "2000 | 2000",
        ),
        ("SELECT SUM(i) FROM app.aria", "3"),
        ("SELECT n FROM app.v", "2000"),
        ("SELECT app.f()", "2000"),
        (
            "SELECT COUNT(*) FROM mysql.user WHERE User IN ('writer', 'reader', 'admin')",
            "3",
        ),
        ("SELECT sys.format_bytes(2048)", "2.00 KiB"),
    ] {
        assert_eq!(lines(&mut copy, sql).await[0], expected, "{sql}");
    }
    copy.query("INSERT INTO app.aria VALUES (1)").await.unwrap();
    assert_eq!(lines(&mut copy, "SELECT MAX(i) FROM app.aria").await, ["2"]);
    for (user, password) in [
        ("admin", "owners"),
        ("writer", "writers"),
        ("reader", "readers"),
    ] {
        assert!(world.logs_in(COPY, user, password).await, "{user}");
        assert!(!world.logs_in(COPY, user, "wrong").await, "{user}");
    }
    // the other one is as it was
    let mut admin = world.admin(OLD).await;
    assert!(admin.version().unwrap().series() < world.newer);
    assert_eq!(owners(&mut admin).await, before);
    assert_eq!(lines(&mut admin, "SELECT n FROM app.v").await, ["2000"]);
    // another driver knows it, and a copy of it is of the same server
    let again = LocalDriver::new(world.config.clone()).unwrap();
    assert_eq!(again.place(COPY).unwrap().series, Some(world.newer));
    assert!(!world.config.templates.join(".fresh").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_running_instance_becomes_one_of_the_newer_server() {
    a_copy_becomes_one_of_the_newer_server(false, Run::Running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_stopped_encrypted_instance_becomes_one_of_the_newer_server() {
    a_copy_becomes_one_of_the_newer_server(true, Run::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_in_place_needs_no_older_server_and_is_repeated_after_a_crash() {
    let Some(mut world) = World::new(false) else {
        return;
    };
    world
        .driver
        .provision(OLD, &Place::default())
        .await
        .unwrap();
    let mut admin = world.admin(OLD).await;
    admin.query("CREATE SCHEMA app").await.unwrap();
    world.apply(OLD, Run::Stopped).await.unwrap();
    world.driver.change_series(OLD, world.newer).await.unwrap();
    // the older one is not here any more
    world.config.installation = world.config.more_servers.remove(0);
    world.driver = LocalDriver::new(world.config.clone()).unwrap();
    // a caller that is cancelled leaves no server for maintenance, and the upgrade can be repeated
    let upgrade = world.driver.upgrade(OLD, History::Off);
    assert!(tokio::time::timeout(Duration::ZERO, upgrade).await.is_err());
    world.driver.upgrade(OLD, History::Off).await.unwrap();
    let mut admin = world.admin(OLD).await;
    assert_eq!(lines(&mut admin, "SHOW SCHEMAS LIKE 'app'").await, ["app"]);
    assert_eq!(admin.version().unwrap().series(), world.newer);
    assert!(!world.config.root.join("1.init.sql").exists());
}
