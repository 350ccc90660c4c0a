//! The plane with the local driver and a real server: one database, and what its server knows after each
//! sleep. The simulated machine cannot test this.
#![expect(clippy::unwrap_used, clippy::panic, reason = "it is all tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dormouse_control::{AdminServers, Doors, Plane, PlaneConfig, Spec};
use dormouse_driver::Driver;
use dormouse_driver_local::{LocalConfig, LocalDriver};
use dormouse_engine::{Admin, Installation, Search, Secret};
use dormouse_types::{
    Access, Activity, Carried, DatabaseName, Delay, PoolStatus, SessionStatus, State, Target,
    Verifier, Veto, WokenBy,
};

#[path = "real/understudy.rs"]
mod understudy;

/// Maximum wait of a login for its accounts.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data path without clients: records the target of each open door.
#[derive(Default)]
struct Targets(Mutex<BTreeMap<DatabaseName, Option<Target>>>);

impl Targets {
    fn of(&self, name: &DatabaseName) -> Option<Target> {
        self.0.lock().unwrap().get(name).cloned().flatten()
    }

    /// Waits until the door is open to a server of this generation or a later one; fails after a time limit.
    async fn opened(&self, name: &DatabaseName, generation: u64) -> Target {
        let opened = async {
            loop {
                match self.of(name) {
                    Some(target) if target.generation >= generation => return target,
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let opened = tokio::time::timeout(Duration::from_secs(60), opened).await;
        opened.unwrap_or_else(|_| panic!("{name} is not open"))
    }

    fn set(&self, name: &DatabaseName, target: Option<Target>) {
        self.0.lock().unwrap().insert(name.clone(), target);
    }
}

#[async_trait]
impl Doors for Targets {
    fn set_access(&self, _: &DatabaseName, _: &Access) {}

    fn reserve(&self, _: &DatabaseName, _: Option<&str>) {}

    fn end_running(&self, _: &DatabaseName) {}

    fn add(&self, name: &DatabaseName) {
        self.set(name, None);
    }

    fn remove(&self, name: &DatabaseName) {
        self.0.lock().unwrap().remove(name);
    }

    fn open(&self, name: &DatabaseName, target: Target) {
        self.set(name, Some(target));
    }

    fn shut(&self, name: &DatabaseName, _force: bool) -> bool {
        self.set(name, None);
        true
    }

    async fn drain(&self, database: &DatabaseName, _deadline: Duration) -> bool {
        self.shut(database, false)
    }

    fn refuse(&self, name: &DatabaseName, reason: &str) {
        panic!("{name} was refused: {reason}");
    }

    fn activity(&self, _name: &DatabaseName) -> Activity {
        Activity::default()
    }

    fn carried(&self, _: &DatabaseName) -> Carried {
        Carried::default()
    }

    fn restrict(&self, _: &DatabaseName, _: Option<&str>) {}

    fn pool(&self, _: &DatabaseName) -> PoolStatus {
        PoolStatus::default()
    }
    fn sessions(&self, _: &DatabaseName) -> Vec<SessionStatus> {
        Vec::new()
    }

    async fn capture(&self, _name: &DatabaseName, _deadline: Duration) -> Vec<Veto> {
        Vec::new()
    }

    async fn release(&self, _name: &DatabaseName) {}
}

struct House {
    dir: tempfile::TempDir,
    secret: Secret,
    installation: Installation,
}

impl House {
    fn new() -> Self {
        let mariadbd = std::env::var_os("DORMOUSE_TEST_MARIADBD").map(PathBuf::from);
        let search = Search {
            mariadbd,
            ..Search::default()
        };
        let installation = Installation::probe(&search).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let secret = Secret::load_or_create(&dir.path().join("secret")).unwrap();
        Self {
            dir,
            secret,
            installation,
        }
    }

    fn driver(&self) -> LocalDriver {
        let config = LocalConfig::new(
            self.dir.path(),
            self.installation.clone(),
            self.secret.clone(),
        );
        LocalDriver::new(config).unwrap()
    }

    async fn plane(&self, targets: &Arc<Targets>) -> Plane {
        self.plane_with(targets, 0).await
    }

    async fn plane_with(&self, targets: &Arc<Targets>, understudies: usize) -> Plane {
        let servers = AdminServers::new(self.secret.clone(), &self.installation.version);
        let config = PlaneConfig {
            warm_pool: 1,
            understudies,
            ..PlaneConfig::new(self.dir.path())
        };
        let driver = Arc::new(self.driver());
        Plane::start(
            config,
            driver,
            Arc::new(servers),
            Arc::clone(targets) as Arc<dyn Doors>,
        )
        .await
        .unwrap()
    }

    async fn admin(&self, target: &Target) -> Admin {
        Admin::connect(&target.endpoint, &self.secret, target.instance)
            .await
            .unwrap()
    }

    async fn ask(&self, target: &Target, sql: &str) -> String {
        let mut admin = self.admin(target).await;
        admin.query(sql).await.unwrap().text(0, 0)
    }
}

/// The servers of a test end with it, even if it fails.
impl Drop for House {
    fn drop(&mut self) {
        let driver = self.driver();
        let clean = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                for id in driver.list().await.unwrap() {
                    driver.remove(id).await.unwrap();
                }
            });
        });
        let _ = clean.join();
    }
}

fn servers_in(dir: &Path) -> usize {
    let mine = format!("--defaults-file={}", dir.display());
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let cmdlines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    cmdlines
        .filter(|c| String::from_utf8_lossy(c).contains(&mine))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_keeps_its_data_over_sleeps_crashes_and_upgrades() {
    let house = House::new();
    let targets = Arc::new(Targets::default());
    let plane = house.plane(&targets).await;
    let shop: DatabaseName = "shop".parse().unwrap();
    let spec = Spec {
        idle_suspend: Delay::Never,
        idle_park: Delay::Never,
        ..Spec::default()
    };
    let began = Instant::now();
    plane.create(&shop, spec).await.unwrap();
    eprintln!("created in {:?}", began.elapsed());

    let first = targets.of(&shop).expect("open");
    let owner = plane
        .accounts(&shop, "admin", "10.0.0.7", PATIENCE)
        .await
        .unwrap();
    assert!(
        matches!(owner[..], [ref a] if a.enrolled && !a.locked && matches!(a.verifiers[..], [Verifier::Native(_)])),
        "{owner:?}"
    );
    house.ask(&first, "CREATE DATABASE goods").await;
    house
        .ask(&first, "CREATE TABLE goods.t (a INT PRIMARY KEY)")
        .await;
    house.ask(&first, "INSERT INTO goods.t VALUES (42)").await;
    house.ask(&first, "CREATE USER eve IDENTIFIED BY 'x'").await;
    house.ask(&first, "SET GLOBAL long_query_time = 7").await;
    assert_eq!(
        plane
            .accounts(&shop, "eve", "10.0.0.7", PATIENCE)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(plane.enroll(&shop, "eve", "%").await.unwrap());
    assert!(!plane.enroll(&shop, "bob", "%").await.unwrap());

    let began = Instant::now();
    let suspended = plane.suspend(&shop).await.unwrap();
    eprintln!("suspended in {:?}, {:?}", began.elapsed(), suspended.memory);
    assert_eq!(suspended.state, State::Suspended);
    assert_eq!(targets.of(&shop), None);
    assert!(
        plane
            .accounts(&shop, "eve", "10.0.0.7", PATIENCE)
            .await
            .unwrap()[0]
            .enrolled
    );
    assert_eq!(plane.has_schema(&shop, "goods"), Some(true));
    let began = Instant::now();
    let by = || WokenBy::new("SELECT ?".to_owned(), "app", "10.0.0.7");
    plane.demand(&shop, "app", &by);
    let thawed = targets.opened(&shop, 1).await;
    eprintln!("thawed in {:?}", began.elapsed());
    assert_eq!(thawed, first);
    assert_eq!(house.ask(&thawed, "SELECT a FROM goods.t").await, "42");

    let began = Instant::now();
    assert_eq!(plane.park(&shop).await.unwrap().pid, None);
    eprintln!("parked in {:?}", began.elapsed());
    let began = Instant::now();
    plane.wake(&shop).await.unwrap();
    eprintln!("woken in {:?}", began.elapsed());
    let woken = targets.of(&shop).unwrap();
    assert_eq!((woken.instance, woken.generation), (first.instance, 2));
    assert_eq!(house.ask(&woken, "SELECT a FROM goods.t").await, "42");
    assert_eq!(
        house.ask(&woken, "SELECT @@GLOBAL.long_query_time").await,
        "7.000000"
    );

    let pid = plane.show(&shop).unwrap().pid.unwrap();
    let pid = pid.to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-9", &pid])
            .status()
            .unwrap()
            .success()
    );
    let restarted = targets.opened(&shop, 3).await;
    assert_eq!(house.ask(&restarted, "SELECT a FROM goods.t").await, "42");

    let pid = plane.show(&shop).unwrap().pid;
    plane.stop().await;
    drop(plane);
    let targets = Arc::new(Targets::default());
    let plane = house.plane(&targets).await;
    targets.opened(&shop, 1).await;
    assert_eq!(plane.show(&shop).unwrap().pid, pid);
    let filter = dormouse_control::EventFilter {
        limit: 100,
        ..Default::default()
    };
    for event in plane.events(filter).unwrap() {
        eprintln!("{}", serde_json::to_string(&event).unwrap());
    }
    plane.drop_database(&shop).await.unwrap();
    plane.stop().await;
    assert_eq!(servers_in(house.dir.path()), 0, "the warm one ends, too");
}
