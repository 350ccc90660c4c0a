//! Copies whose pages are checked, of real servers: no false alarm, and no damage that goes unnoticed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_driver::{AsItIs, Check, CopyOptions, Desired, Driver as _, Error, Run};
use dormouse_driver_local::{LocalConfig, LocalDriver};
use dormouse_engine::{Admin, Installation, Keeper, KeeperConfig, MasterSource, Search, Secret};
use dormouse_types::{Endpoint, InstanceId, Units};

mod common;

const ID: InstanceId = InstanceId(1);
const COPY: InstanceId = InstanceId(2);

const CHECKED: CopyOptions = CopyOptions {
    frozen_at_most: Duration::from_secs(10),
    frozen_by_choice: Duration::from_secs(10),
    check: Check::Pages,
};

/// Kinds of tables, whose pages have checksums of different kinds.
const TABLES: [(&str, &str); 4] = [
    ("plain", ""),
    ("zip", "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8"),
    ("small_zip", "ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=2"),
    ("packed", "PAGE_COMPRESSED=1"),
];

/// A driver with one instance; its servers are killed on drop.
struct World {
    driver: LocalDriver,
    secret: Secret,
    dir: tempfile::TempDir,
}

impl World {
    async fn new(mariadbd: Option<PathBuf>, encrypted: bool) -> Self {
        let search = Search {
            mariadbd,
            ..Search::default()
        };
        let installation = Installation::probe(&search).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("data");
        fs::create_dir(&data_dir).unwrap();
        let secret = Secret::load_or_create(&data_dir.join("secret")).unwrap();
        let mut config = LocalConfig::new(&data_dir, installation, secret.clone());
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
        let driver = LocalDriver::new(config).unwrap();
        driver.provision(ID, &Default::default()).await.unwrap();
        Self {
            driver,
            secret,
            dir,
        }
    }

    async fn apply(&self, run: Run) -> Option<Endpoint> {
        let desired = Desired {
            run,
            units: Units(1),
            history: dormouse_driver::History::Off,
        };
        self.driver.apply(ID, desired).await.unwrap().endpoint
    }

    async fn admin(&self, endpoint: &Endpoint) -> Admin {
        let connected = Admin::connect(endpoint, &self.secret, ID).await;
        connected.unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        let data = self.dir.path().join("data/instances/1/data");
        data.join(name)
    }

    /// A checked copy, which is removed again.
    async fn copy(&self) -> Result<(), Error> {
        let copied = self
            .driver
            .copy(ID, COPY, &Default::default(), CHECKED, Arc::new(AsItIs))
            .await;
        self.driver.remove(COPY).await.unwrap();
        copied.map(|_| ())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        common::remove_all(self.driver.clone());
    }
}

/// Flips bits of a byte of a file.
fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], at).unwrap();
}

async fn fill(admin: &mut Admin) {
    admin.query("CREATE DATABASE app").await.unwrap();
    for (name, options) in TABLES {
        let table = format!(
            "CREATE TABLE app.{name} (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT, KEY (text(40))) ENGINE=InnoDB {options}"
        );
        admin.query(&table).await.unwrap();
    }
}

async fn add_rows(admin: &mut Admin) {
    for (name, _) in TABLES {
        let rows = format!(
            "INSERT INTO app.{name} (text) SELECT REPEAT(SHA2(seq + RAND(), 256), 8) FROM app.seq_1_to_400"
        );
        admin.query(&rows).await.unwrap();
    }
}

/// Makes files anew: some as copies of tables, some empty.
async fn rewrite(admin: &mut Admin) {
    for (name, _) in TABLES {
        for text in [
            format!("ALTER TABLE app.{name} FORCE"),
            format!("CREATE OR REPLACE TABLE app.other LIKE app.{name}"),
            format!("INSERT INTO app.other SELECT * FROM app.{name} LIMIT 300"),
            "TRUNCATE app.other".to_owned(),
        ] {
            admin.query(&text).await.unwrap();
        }
    }
}

async fn pages_are_checked(mariadbd: Option<PathBuf>, encrypted: bool) {
    let world = World::new(mariadbd, encrypted).await;
    let endpoint = world.apply(Run::Running).await.unwrap();
    let mut admin = world.admin(&endpoint).await;
    fill(&mut admin).await;
    add_rows(&mut admin).await;
    // a server that writes, also to the files of its pages
    let ended = Arc::new(AtomicBool::new(false));
    let writer = {
        let ended = Arc::clone(&ended);
        let small =
            "SET GLOBAL innodb_max_dirty_pages_pct = 0, GLOBAL innodb_max_dirty_pages_pct_lwm = 0";
        tokio::spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                // a copy has them kept in memory
                admin.query(small).await.unwrap();
                add_rows(&mut admin).await;
                rewrite(&mut admin).await;
            }
            add_rows(&mut admin).await;
        })
    };
    for round in 0..8 {
        if let Err(error) = world.copy().await {
            panic!("round {round}: {error}");
        }
    }
    ended.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    world.apply(Run::Stopped).await;
    world.copy().await.unwrap();
    for (name, page) in [
        ("app/plain.ibd", 16 << 10),
        ("app/zip.ibd", 8 << 10),
        ("app/small_zip.ibd", 2 << 10),
        ("app/packed.ibd", 16 << 10),
        ("ibdata1", 16 << 10),
    ] {
        let path = world.file(name);
        for damaged in [0, 4] {
            flip(&path, damaged * page + 100);
            let failed = world.copy().await;
            let told = match &failed {
                Err(Error::Damaged {
                    file, page, pages, ..
                }) => (&**file, *page, *pages),
                _ => panic!("{name}, page {damaged}: {failed:?}"),
            };
            assert_eq!(told, (&*format!("data/{name}"), damaged, 1));
            flip(&path, damaged * page + 100);
        }
    }
    world.copy().await.unwrap();
}

fn servers() -> Vec<Option<PathBuf>> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let mut servers = vec![named("DORMOUSE_TEST_MARIADBD")];
    match named("DORMOUSE_TEST_MARIADBD_118") {
        Some(newer) => servers.push(Some(newer)),
        None => eprintln!("not run with 11.8: DORMOUSE_TEST_MARIADBD_118 is not set"),
    }
    servers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_damaged_byte_in_any_kind_of_table_is_found() {
    for server in servers() {
        pages_are_checked(server, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_encrypted_files_is_found_without_their_keys() {
    for server in servers() {
        pages_are_checked(server, true).await;
    }
}
