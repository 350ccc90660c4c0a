//! Instances in several data roots and of several servers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_driver::{
    AsItIs, Check, CopyOptions, Desired, Driver as _, Error, History, Place, Run,
};
use dormouse_driver_local::{LocalConfig, LocalDriver};
use dormouse_engine::{
    Admin, BackupTool, Installation, Keeper, KeeperConfig, MasterSource, Search, Secret,
};
use dormouse_types::{InstanceId, Series, Units};

mod common;

const ID: InstanceId = InstanceId(1);
const COPY: InstanceId = InstanceId(2);
const BACK: InstanceId = InstanceId(3);

const CHECKED: CopyOptions = CopyOptions {
    frozen_at_most: std::time::Duration::from_secs(10),
    frozen_by_choice: std::time::Duration::from_secs(10),
    check: Check::Pages,
};

/// A directory on another file system, if the machine has one that can be used.
const OTHER_DISK: &str = "/dev/shm";

/// Data directories; the servers of all instances are killed on drop.
struct World {
    config: LocalConfig,
    _dir: tempfile::TempDir,
    disk: tempfile::TempDir,
}

fn installation(variable: &str) -> Option<Installation> {
    let mariadbd = std::env::var_os(variable).map(PathBuf::from);
    if mariadbd.is_none() && variable != "DORMOUSE_TEST_MARIADBD" {
        eprintln!("not run with a second server: {variable} is not set");
        return None;
    }
    let search = Search {
        mariadbd,
        ..Search::default()
    };
    Some(Installation::probe(&search).unwrap())
}

fn open_to_all(dir: &Path) {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
}

impl World {
    fn new(encrypted: bool) -> Self {
        let first = installation("DORMOUSE_TEST_MARIADBD").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let disk = tempfile::tempdir_in(OTHER_DISK).or_else(|_| tempfile::tempdir());
        let disk = disk.unwrap();
        open_to_all(dir.path());
        open_to_all(disk.path());
        let data_dir = dir.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        let secret = Secret::load_or_create(&data_dir.join("secret")).unwrap();
        let mut config = LocalConfig {
            more_roots: vec![disk.path().join("dormouse")],
            ..LocalConfig::new(&data_dir, first, secret)
        };
        if encrypted {
            let master = dir.path().join("master.key");
            fs::write(&master, "5a".repeat(32)).unwrap();
            fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).unwrap();
            let keys = KeeperConfig {
                data_dir,
                instances: config.root.clone(),
                more_instances: vec![config.more_roots[0].join("instances")],
                master: Some(MasterSource::File(master)),
                new_databases: true,
                ..KeeperConfig::default()
            };
            config.keys = Keeper::open(keys, &config.installation).unwrap();
        }
        Self {
            config,
            _dir: dir,
            disk,
        }
    }

    fn driver(&self) -> LocalDriver {
        LocalDriver::new(self.config.clone()).unwrap()
    }

    /// The second root.
    fn there(&self) -> PathBuf {
        self.config.more_roots[0].clone()
    }

    fn in_second(&self) -> Place {
        Place {
            root: Some(self.there()),
            series: None,
        }
    }

    async fn admin(&self, driver: &LocalDriver, id: InstanceId) -> Admin {
        let endpoint = apply(driver, id, Run::Running).await.unwrap().unwrap();
        Admin::connect(&endpoint, &self.config.secret, id)
            .await
            .unwrap()
    }

    async fn write(&self, driver: &LocalDriver, id: InstanceId) {
        let mut admin = self.admin(driver, id).await;
        for sql in [
            "CREATE SCHEMA app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, text VARCHAR(2000)) ENGINE=InnoDB",
            "INSERT INTO app.t SELECT seq, REPEAT('d', 1000) FROM app.seq_1_to_2000",
        ] {
            admin.query(sql).await.unwrap();
        }
    }

    async fn count(&self, driver: &LocalDriver, id: InstanceId) -> String {
        let mut admin = self.admin(driver, id).await;
        let rows = admin.query("SELECT COUNT(*) FROM app.t").await.unwrap();
        rows.text(0, 0).to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let Ok(driver) = LocalDriver::new(self.config.clone()) else {
            return;
        };
        common::remove_all(driver);
    }
}

async fn apply(
    driver: &LocalDriver,
    id: InstanceId,
    run: Run,
) -> Result<Option<dormouse_types::Endpoint>, Error> {
    let desired = Desired {
        run,
        units: Units(1),
        history: History::Off,
    };
    Ok(driver.apply(id, desired).await?.endpoint)
}

fn series(text: &str) -> Series {
    text.parse().unwrap()
}

/// Names of all below a directory.
fn below(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    all.sort();
    all
}

async fn copies_go_from_disk_to_disk(encrypted: bool) {
    let world = World::new(encrypted);
    let driver = world.driver();
    driver.provision(ID, &Place::default()).await.unwrap();
    world.write(&driver, ID).await;
    let quiet = || Arc::new(AsItIs);
    let there = world.in_second();
    let copied = driver.copy(ID, COPY, &there, CHECKED, quiet()).await;
    let copied = copied.unwrap();
    let other_disk = fs::metadata(world.disk.path()).unwrap();
    let first_disk = fs::metadata(&world.config.root).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    if other_disk.dev() != first_disk.dev() {
        assert!(!copied.shared, "{copied:?}");
    }
    assert!(world.there().join("instances/2/data").is_dir());
    assert_eq!(world.count(&driver, COPY).await, "2000");
    apply(&driver, COPY, Run::Frozen).await.unwrap();
    // and back again, by another driver
    let driver = world.driver();
    let first = Place {
        root: world.config.root.parent().map(Path::to_owned),
        series: None,
    };
    driver
        .copy(COPY, BACK, &first, CHECKED, quiet())
        .await
        .unwrap();
    assert!(world.config.root.join("3/data").is_dir());
    assert_eq!(world.count(&driver, BACK).await, "2000");
    if encrypted {
        for id in [COPY, BACK] {
            let mut admin = world.admin(&driver, id).await;
            admin.encryption().convert().await.unwrap().unwrap();
            let status = world.config.keys.status(id).unwrap().unwrap();
            let newest = *status.versions.last().unwrap();
            // looks at the redo log in the instance's own directory
            world.config.keys.settle(id, newest, false).unwrap();
            assert!(world.config.keys.status(id).unwrap().unwrap().is_settled);
        }
    }
    for id in [ID, COPY, BACK] {
        driver.remove(id).await.unwrap();
    }
    assert_eq!(below(&world.there().join("instances")), [""; 0]);
    assert_eq!(below(&world.config.root), ["known-roots"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_to_another_disk_and_back() {
    copies_go_from_disk_to_disk(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_instance_is_on_another_disk() {
    copies_go_from_disk_to_disk(true).await;
}

/// No server is copied in no time while it stands still.
const AT_ONCE: CopyOptions = CopyOptions {
    frozen_at_most: std::time::Duration::ZERO,
    frozen_by_choice: std::time::Duration::ZERO,
    check: Check::Pages,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_on_is_copied_to_another_disk_and_back() {
    let world = World::new(true);
    if let Err(none) = BackupTool::find(&world.config.installation) {
        eprintln!("skipped: {none}");
        return;
    }
    let driver = world.driver();
    driver.provision(ID, &Place::default()).await.unwrap();
    world.write(&driver, ID).await;
    let first = world.config.root.parent().map(Path::to_owned);
    let first = Place {
        root: first,
        series: None,
    };
    for (from, to, place) in [(ID, COPY, world.in_second()), (COPY, BACK, first)] {
        apply(&driver, from, Run::Running).await.unwrap();
        let quiet = Arc::new(AsItIs);
        let copied = driver.copy(from, to, &place, AT_ONCE, quiet).await;
        assert!(!copied.unwrap().shared);
        assert_eq!(driver.place(to).unwrap().root, place.root);
        assert_eq!(world.count(&driver, to).await, "2000");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_on_a_missing_disk_is_not_started_and_its_directory_is_named() {
    let world = World::new(false);
    let driver = world.driver();
    driver.provision(ID, &world.in_second()).await.unwrap();
    driver.provision(COPY, &Place::default()).await.unwrap();
    world.write(&driver, ID).await;
    apply(&driver, ID, Run::Stopped).await.unwrap();
    let away = world.disk.path().join("away");
    fs::rename(world.there(), &away).unwrap();
    fs::create_dir(world.there()).unwrap();
    // an older driver, and a new one
    for driver in [driver, world.driver()] {
        let failed = apply(&driver, ID, Run::Running).await.unwrap_err();
        assert!(matches!(&failed, Error::Away { root, .. } if *root == world.there()));
        assert_eq!(driver.list().await.unwrap(), [ID, COPY]);
        assert_eq!(driver.place(ID).unwrap().root, Some(world.there()));
        let refused = driver.remove(ID).await;
        assert!(matches!(refused, Err(Error::Away { .. })), "{refused:?}");
        apply(&driver, COPY, Run::Running).await.unwrap();
        assert_eq!(driver.missing().len(), 1);
        assert_eq!(below(&world.there()), [""; 0]);
    }
    let driver = world.driver();
    fs::remove_dir(world.there()).unwrap();
    fs::rename(&away, world.there()).unwrap();
    assert_eq!(world.count(&driver, ID).await, "2000");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_stays_with_the_server_that_made_its_files() {
    let mut world = World::new(false);
    let Some(second) = installation("DORMOUSE_TEST_MARIADBD_118") else {
        return;
    };
    let own = world.config.installation.version.series();
    let other = second.version.series();
    if own == other {
        eprintln!("not run: both servers are MariaDB {own}");
        return;
    }
    world.config.more_servers = vec![second.clone()];
    let driver = world.driver();
    let of = |series| Place {
        root: None,
        series: Some(series),
    };
    driver.provision(ID, &Place::default()).await.unwrap();
    driver.provision(COPY, &of(other)).await.unwrap();
    let refused = driver.provision(BACK, &of(series("9.9"))).await;
    assert!(matches!(refused, Err(Error::Start { .. })), "{refused:?}");
    driver.remove(BACK).await.unwrap();
    // of a former version of Dormouse: only the server's own note tells it
    fs::remove_file(world.config.root.join("1.series")).unwrap();
    // another one is the default now, and then it is alone
    std::mem::swap(
        &mut world.config.installation,
        &mut world.config.more_servers[0],
    );
    for _ in 0..2 {
        let driver = world.driver();
        for (id, series) in [(ID, own), (COPY, other)] {
            let mut admin = world.admin(&driver, id).await;
            let rows = admin.query("SELECT VERSION()").await.unwrap();
            let version = rows.text(0, 0);
            assert!(version.starts_with(&format!("{series}.")), "{version}");
            assert_eq!(driver.place(id).unwrap().series, Some(series));
            apply(&driver, id, Run::Stopped).await.unwrap();
        }
    }
    world.config.more_servers.clear();
    let driver = world.driver();
    apply(&driver, COPY, Run::Running).await.unwrap();
    let failed = apply(&driver, ID, Run::Running).await.unwrap_err();
    let told = format!("install MariaDB {own}");
    assert!(
        matches!(&failed, Error::Start { reason, .. } if reason.contains(&told)),
        "{failed}"
    );
    // a copy of it is of the same server, and can be made without that
    driver
        .copy(ID, BACK, &Place::default(), CHECKED, Arc::new(AsItIs))
        .await
        .unwrap();
    assert_eq!(driver.place(BACK).unwrap().series, Some(own));
}
