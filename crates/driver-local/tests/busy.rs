//! Copies of servers that write too much to stand still for one: `mariadb-backup` makes them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dormouse_driver::{AsItIs, Check, CopyOptions, Desired, Driver as _, History, Quiesce, Run};
use dormouse_driver_local::{LocalConfig, LocalDriver};
use dormouse_engine::{
    Admin, BackupTool, Installation, Keeper, KeeperConfig, MasterSource, Search, Secret,
};
use dormouse_types::{Endpoint, InstanceId, Units};
use tokio::task::JoinHandle;

mod common;

const ID: InstanceId = InstanceId(1);
const COPY: InstanceId = InstanceId(2);
const STILL: InstanceId = InstanceId(3);

/// No server that writes can be copied in no time.
const AT_ONCE: CopyOptions = CopyOptions {
    frozen_at_most: Duration::ZERO,
    frozen_by_choice: Duration::ZERO,
    check: Check::Pages,
};

/// Directory of a driver whose instance another process of this program copies.
const COPIES_IN: &str = "DORMOUSE_TEST_COPIES_IN";

/// A driver with one instance; its servers are killed on drop.
struct World {
    driver: LocalDriver,
    config: LocalConfig,
    dir: tempfile::TempDir,
}

fn config(dir: &Path, installation: Installation, encrypted: bool) -> LocalConfig {
    let data_dir = dir.join("data");
    fs::create_dir_all(&data_dir).unwrap();
    let secret = Secret::load_or_create(&data_dir.join("secret")).unwrap();
    let mut config = LocalConfig::new(&data_dir, installation, secret);
    if encrypted {
        let master = dir.join("master.key");
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
    config
}

impl World {
    /// `None` if this server's program for backups is not installed.
    async fn new(mariadbd: Option<PathBuf>, encrypted: bool) -> Option<Self> {
        let installation = installation(mariadbd);
        if let Err(none) = BackupTool::find(&installation) {
            eprintln!("skipped: {none}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path(), installation, encrypted);
        let driver = LocalDriver::new(config.clone()).unwrap();
        driver.provision(ID, &Default::default()).await.unwrap();
        Some(Self {
            driver,
            config,
            dir,
        })
    }

    async fn apply(&self, id: InstanceId, run: Run) -> Option<Endpoint> {
        let desired = Desired {
            run,
            units: Units(2),
            history: History::On,
        };
        self.driver.apply(id, desired).await.unwrap().endpoint
    }

    async fn admin(&self, id: InstanceId, run: Run) -> Admin {
        let endpoint = self.apply(id, run).await.unwrap();
        self.connect(id, &endpoint).await
    }

    async fn connect(&self, id: InstanceId, endpoint: &Endpoint) -> Admin {
        let connected = Admin::connect(endpoint, &self.config.secret, id).await;
        connected.unwrap()
    }

    fn root(&self, id: InstanceId) -> PathBuf {
        self.config.root.join(id.to_string())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        common::remove_all(self.driver.clone());
    }
}

fn installation(mariadbd: Option<PathBuf>) -> Installation {
    Installation::probe(&Search {
        mariadbd,
        ..Search::default()
    })
    .unwrap()
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

async fn number(admin: &mut Admin, sql: &str) -> u64 {
    let rows = admin.query(sql).await.unwrap();
    let text = rows.text(0, 0);
    text.parse().unwrap_or_else(|_| panic!("{sql}: {text:?}"))
}

/// How many transactions a server's log has.
async fn logged(admin: &mut Admin) -> u64 {
    number(admin, "SELECT SUBSTRING_INDEX(@@gtid_binlog_pos, '-', -1)").await
}

/// A connection that writes until it is told to end.
struct Writer {
    ended: Arc<AtomicBool>,
    /// Rows whose commit was acknowledged.
    acknowledged: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Writer {
    async fn start(mut admin: Admin) -> Self {
        let (ended, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (end, count) = (Arc::clone(&ended), Arc::clone(&acknowledged));
        let task = tokio::spawn(async move {
            while !end.load(Ordering::SeqCst) {
                admin
                    .query("INSERT INTO app.t (text) VALUES (REPEAT('dormouse', 100))")
                    .await
                    .unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        while acknowledged.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        Self {
            ended,
            acknowledged,
            task,
        }
    }

    fn count(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    async fn end(self) -> u64 {
        self.ended.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        self.acknowledged.load(Ordering::SeqCst)
    }
}

const TABLES: [&str; 4] = ["t", "innodb", "aria", "myisam"];

async fn fill(admin: &mut Admin) {
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT) ENGINE=InnoDB",
        "CREATE TABLE app.innodb (id INT PRIMARY KEY, text TEXT) ENGINE=InnoDB",
        "CREATE TABLE app.aria (id INT PRIMARY KEY, text TEXT) ENGINE=Aria",
        "CREATE TABLE app.myisam (id INT PRIMARY KEY, text TEXT) ENGINE=MyISAM",
        "CREATE SEQUENCE app.s",
    ] {
        admin.query(text).await.unwrap();
    }
    for table in &TABLES[1..] {
        let rows = format!(
            "INSERT INTO app.{table} SELECT seq, REPEAT('dormouse', 20) FROM app.seq_1_to_2000"
        );
        admin.query(&rows).await.unwrap();
    }
}

/// Files below a directory that do not belong to one run of a server, and whose they are.
fn files(root: &Path) -> BTreeSet<(PathBuf, u32, u32)> {
    let mut found = BTreeSet::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let path = entry.path().strip_prefix(root).unwrap().to_owned();
            // what others may do is decided by the directory
            let mode = if meta.is_dir() {
                meta.mode() & 0o777
            } else {
                0
            };
            found.insert((path, meta.uid(), mode));
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    found
}

async fn a_busy_server_is_copied(mariadbd: Option<PathBuf>, encrypted: bool) {
    let Some(world) = World::new(mariadbd, encrypted).await else {
        return;
    };
    let mut admin = world.admin(ID, Run::Running).await;
    fill(&mut admin).await;
    let before = logged(&mut admin).await;
    let log_size = number(&mut admin, "SELECT @@innodb_log_file_size").await;
    let root = world.root(ID);
    fs::write(root.join("files/kept"), "").unwrap();
    let endpoint = world.apply(ID, Run::Running).await.unwrap();
    let writer = Writer::start(world.connect(ID, &endpoint).await).await;

    let acknowledged = writer.count();
    let copied = world
        .driver
        .copy(ID, COPY, &Default::default(), AT_ONCE, Arc::new(AsItIs))
        .await
        .unwrap();
    assert!(!copied.shared && copied.size.0 > 1 << 20, "{copied:?}");
    assert!(copied.frozen > Duration::ZERO, "{copied:?}");
    // it gets its former size, unless it writes too much for that
    while number(&mut admin, "SELECT @@innodb_log_file_size").await != log_size {
        tokio::task::yield_now().await;
    }
    // nothing is locked
    admin
        .query("CREATE TABLE app.later (id INT)")
        .await
        .unwrap();
    admin.query("DROP TABLE app.later").await.unwrap();
    let all = writer.end().await;

    let mut copy = world.admin(COPY, Run::Running).await;
    let rows = number(&mut copy, "SELECT COUNT(*) FROM app.t").await;
    assert!(
        (acknowledged..=all).contains(&rows),
        "{acknowledged} <= {rows} <= {all}"
    );
    assert_eq!(number(&mut copy, "SELECT MAX(id) FROM app.t").await, rows);
    assert_eq!(
        logged(&mut copy).await,
        before + rows,
        "its place in the log"
    );
    for table in TABLES {
        let check = format!("CHECK TABLE app.{table} EXTENDED");
        let result = copy.query(&check).await.unwrap();
        let last = result.rows.len() - 1;
        assert_eq!(result.text(last, 3), "OK", "{table}");
    }
    for table in &TABLES[1..] {
        let count = format!("SELECT COUNT(*) FROM app.{table}");
        assert_eq!(number(&mut copy, &count).await, 2000, "{table}");
    }
    if encrypted {
        let plain = "SELECT COUNT(*) FROM information_schema.innodb_tablespaces_encryption \
                     WHERE name LIKE 'app/%' AND encryption_scheme = 0";
        assert_eq!(number(&mut copy, plain).await, 0);
    }
    copy.query("INSERT INTO app.t (text) VALUES ('more')")
        .await
        .unwrap();

    // a still copy has the same files
    world.apply(COPY, Run::Stopped).await;
    world.apply(ID, Run::Stopped).await;
    world
        .driver
        .copy(ID, STILL, &Default::default(), AT_ONCE, Arc::new(AsItIs))
        .await
        .unwrap();
    world.apply(STILL, Run::Running).await.unwrap();
    world.apply(STILL, Run::Stopped).await;
    let names = |id: InstanceId| -> BTreeSet<_> {
        let number = id.to_string();
        files(&world.root(id))
            .into_iter()
            .filter(|(path, ..)| !path.starts_with("binlog") && !path.starts_with("tmp"))
            // the server's own, of its last backup
            .filter(|(path, ..)| path != Path::new("data/ddl.log"))
            .map(|(path, uid, mode)| (path, uid.wrapping_sub(number.parse().unwrap_or(0)), mode))
            .collect()
    };
    let (copy, still) = (names(COPY), names(STILL));
    let uids: BTreeSet<_> = files(&world.root(COPY)).iter().map(|f| f.1).collect();
    assert_eq!(uids.len(), 1, "one owner");
    let differs: Vec<_> = copy.symmetric_difference(&still).collect();
    if rustix::process::geteuid().is_root() {
        assert!(differs.is_empty(), "{differs:?}");
    }
    world.driver.remove(COPY).await.unwrap();
    world.driver.remove(STILL).await.unwrap();
}

/// When a server writes changed pages, and the size of its redo log.
async fn flushing(admin: &mut Admin) -> String {
    let sql = "SELECT CONCAT_WS(' ', @@innodb_adaptive_flushing, @@innodb_adaptive_flushing_lwm, \
               @@innodb_max_dirty_pages_pct, @@innodb_io_capacity, @@innodb_io_capacity_max, @@innodb_log_file_size)";
    admin.query(sql).await.unwrap().text(0, 0)
}

/// Asks a server just before it stands still.
struct Asks(tokio::sync::Mutex<(Admin, Vec<String>)>);

#[async_trait::async_trait]
impl Quiesce for Asks {
    async fn quiesce(&self) -> Box<dyn Send> {
        let (admin, told) = &mut *self.0.lock().await;
        told.push(flushing(admin).await);
        Box::new(())
    }
}

async fn pages_are_kept(mariadbd: Option<PathBuf>) {
    let Some(world) = World::new(mariadbd, false).await else {
        return;
    };
    let mut admin = world.admin(ID, Run::Running).await;
    let usual = flushing(&mut admin).await;
    assert!(usual.starts_with("ON 10."), "{usual}");
    let asks = Arc::new(Asks((admin, Vec::new()).into()));
    let long = Duration::from_secs(60);
    let options = CopyOptions {
        frozen_at_most: long,
        frozen_by_choice: long,
        check: Check::Pages,
    };
    let copied = world
        .driver
        .copy(
            ID,
            COPY,
            &Default::default(),
            options,
            Arc::<Asks>::clone(&asks),
        )
        .await
        .unwrap();
    assert!(
        copied.frozen > Duration::ZERO || copied.shared,
        "{copied:?}"
    );
    let (admin, told) = &mut *asks.0.lock().await;
    assert!(!told.is_empty());
    for one in told {
        assert!(one.starts_with("OFF 70."), "{one}");
        assert_eq!(
            one.rsplit_once(' ').unwrap().1,
            usual.rsplit_once(' ').unwrap().1
        );
    }
    while flushing(admin).await != usual {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_keeps_changed_pages_in_memory_while_it_is_copied_and_no_longer() {
    for server in servers() {
        pages_are_kept(server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_stands_still_is_copied_while_it_runs() {
    for server in servers() {
        a_busy_server_is_copied(server, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_one_whose_files_are_encrypted() {
    for server in servers() {
        a_busy_server_is_copied(server, true).await;
    }
}

/// Whether the program runs that makes a copy, with this option.
fn copies(root: &Path, option: &str) -> bool {
    let target = format!("--target-dir={}/2.tmp/data", root.display());
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains(&target) && line.contains(option)
    })
}

async fn until(mut is: impl FnMut() -> bool) {
    while !is() {
        tokio::task::yield_now().await;
    }
}

/// Adds so much that a copy takes a moment.
async fn fatten(admin: &mut Admin) {
    admin
        .query("CREATE TABLE app.fat ENGINE=InnoDB SELECT seq, REPEAT(SHA2(seq, 256), 100) FROM app.seq_1_to_20000")
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_of_the_server_ends_the_copy_beside_it_and_makes_another_possible() {
    let Some(world) = World::new(servers().remove(0), false).await else {
        return;
    };
    let mut admin = world.admin(ID, Run::Running).await;
    fill(&mut admin).await;
    fatten(&mut admin).await;
    let endpoint = world.apply(ID, Run::Running).await.unwrap();
    let writer = Writer::start(world.connect(ID, &endpoint).await).await;
    let driver = world.driver.clone();
    let copy = tokio::spawn(async move {
        driver
            .copy(ID, COPY, &Default::default(), AT_ONCE, Arc::new(AsItIs))
            .await
    });
    until(|| copies(&world.config.root, "--backup")).await;
    world.apply(ID, Run::Frozen).await;
    let copied = copy.await.unwrap().unwrap();
    assert_eq!(copied.frozen, Duration::ZERO);
    assert!(!copies(&world.config.root, ""));
    world.apply(ID, Run::Running).await;
    admin
        .query("CREATE TABLE app.later (id INT)")
        .await
        .unwrap();
    let all = writer.end().await;
    let mut copy = world.admin(COPY, Run::Running).await;
    let rows = number(&mut copy, "SELECT COUNT(*) FROM app.t").await;
    assert!(rows <= all, "{rows} <= {all}");
}

/// Runs as a process of its own, for the next test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_copies() {
    let Some(dir) = std::env::var_os(COPIES_IN) else {
        return;
    };
    let installation = installation(servers().remove(0));
    let driver = LocalDriver::new(config(Path::new(&dir), installation, false)).unwrap();
    let _ = driver
        .copy(ID, COPY, &Default::default(), AT_ONCE, Arc::new(AsItIs))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_leaves_no_copy_no_program_and_no_lock() {
    let Some(world) = World::new(servers().remove(0), false).await else {
        return;
    };
    let mut admin = world.admin(ID, Run::Running).await;
    fill(&mut admin).await;
    fatten(&mut admin).await;
    let endpoint = world.apply(ID, Run::Running).await.unwrap();
    let writer = Writer::start(world.connect(ID, &endpoint).await).await;
    let root = &world.config.root;
    for option in ["--backup", "--prepare"] {
        let mut other = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process_copies"])
            .env(COPIES_IN, world.dir.path())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        until(|| copies(root, option)).await;
        other.kill().unwrap();
        other.wait().unwrap();
        until(|| !copies(root, "")).await;
        admin
            .query("CREATE OR REPLACE TABLE app.later (id INT)")
            .await
            .unwrap();
        assert!(root.join("2.tmp").exists());
        // the next start
        let next = LocalDriver::new(world.config.clone()).unwrap();
        assert!(!root.join("2.tmp").exists());
        assert_eq!(next.list().await.unwrap(), [ID]);
    }
    writer.end().await;
}
