//! Conformance tests of the local driver, with each mode of cgroups, and tests of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails the test"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dormouse_driver::conformance::{self, World};
use dormouse_driver::{Desired, Driver, Error, History, Place as At, Run};
use dormouse_driver_local::{CgroupMode, LocalConfig, LocalDriver, SandboxMode};
use dormouse_engine::{Admin, Installation, Search, Secret};
use dormouse_types::{Endpoint, Incarnation, InstanceId, Units};

/// `DORMOUSE_TEST_SANDBOX`: require, off; or else what the machine has.
fn sandbox_mode() -> SandboxMode {
    match std::env::var("DORMOUSE_TEST_SANDBOX").as_deref() {
        Ok("require") => SandboxMode::Require,
        Ok("off") => SandboxMode::Off,
        _ => SandboxMode::Auto,
    }
}

/// A temporary data directory; its servers are killed on drop.
struct Place {
    config: LocalConfig,
    /// Where new instances are made.
    at: At,
    dir: tempfile::TempDir,
}

impl Place {
    fn new(cgroups: CgroupMode) -> Self {
        let mariadbd = std::env::var_os("DORMOUSE_TEST_MARIADBD").map(PathBuf::from);
        let installation = Installation::probe(&Search {
            mariadbd,
            ..Search::default()
        })
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let secret = Secret::load_or_create(&dir.path().join("secret")).unwrap();
        let config = LocalConfig {
            cgroups,
            sandbox: sandbox_mode(),
            ..LocalConfig::new(dir.path(), installation, secret)
        };
        let at = At::default();
        Self { config, at, dir }
    }

    /// The same with a second data root, in which new instances are made.
    fn in_second_root() -> Self {
        let mut place = Self::new(CgroupMode::Auto);
        let second = place.dir.path().join("second");
        place.config.more_roots = vec![second.clone()];
        place.at.root = Some(second);
        place
    }

    fn local(&self) -> LocalDriver {
        LocalDriver::new(self.config.clone()).unwrap()
    }

    async fn admin(&self, id: InstanceId, endpoint: &Endpoint) -> Admin {
        Admin::connect(endpoint, &self.config.secret, id)
            .await
            .unwrap()
    }

    /// All cgroups of this data directory, in every hierarchy.
    fn cgroups(&self) -> Vec<PathBuf> {
        fn below(dir: &Path, name: &str, found: &mut Vec<PathBuf>) {
            // cgroups may be created or removed meanwhile
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if entry.file_name() == name {
                    found.push(entry.path());
                } else if entry.file_type().is_ok_and(|t| t.is_dir()) {
                    below(&entry.path(), name, found);
                }
            }
        }
        let mut found = Vec::new();
        below(
            Path::new("/sys/fs/cgroup"),
            self.local().cgroup_name(),
            &mut found,
        );
        found
    }

    /// The limits in the cgroup files of instance 1.
    fn limits(&self) -> Vec<String> {
        let files = [
            ("cpu.shares", "cpu.weight"),
            ("memory.limit_in_bytes", "memory.max"),
        ];
        let read = |(first, second): (&str, &str)| {
            let dirs = self.cgroups().into_iter().map(|dir| dir.join("1"));
            let paths = dirs.flat_map(|dir| [dir.join(first), dir.join(second)]);
            let mut texts = paths.filter_map(|path| std::fs::read_to_string(path).ok());
            texts.next().unwrap()
        };
        files.map(read).into()
    }

    /// All processes with a configuration file of this data directory in their command line.
    fn processes(&self) -> Vec<u32> {
        let mine = self.dir.path().display().to_string();
        let pids = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
        let is_mine = |pid: &u32| {
            let cmdline = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&cmdline).contains(&format!("--defaults-file={mine}"))
        };
        pids.filter(is_mine).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // after a failed test a new driver finds the servers that still run
        let Ok(driver) = LocalDriver::new(self.config.clone()) else {
            return;
        };
        let clean = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                for id in driver.list().await.unwrap() {
                    driver.remove(id).await.unwrap();
                }
            });
        });
        let _ = clean.join();
    }
}

#[async_trait]
impl World for Place {
    async fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.local())
    }

    fn place(&self) -> At {
        self.at.clone()
    }

    async fn write(&self, id: InstanceId, endpoint: &Endpoint, text: &str) {
        let mut admin = self.admin(id, endpoint).await;
        admin
            .query("CREATE DATABASE IF NOT EXISTS conformance")
            .await
            .unwrap();
        admin
            .query("CREATE TABLE IF NOT EXISTS conformance.t (id INT PRIMARY KEY, text TEXT)")
            .await
            .unwrap();
        admin
            .query(&format!("REPLACE INTO conformance.t VALUES (1, '{text}')"))
            .await
            .unwrap();
    }

    async fn read(&self, id: InstanceId, endpoint: &Endpoint) -> String {
        let mut admin = self.admin(id, endpoint).await;
        admin
            .query("SELECT text FROM conformance.t")
            .await
            .unwrap()
            .text(0, 0)
    }

    async fn burn(&self, id: InstanceId, endpoint: &Endpoint) {
        let one = || async {
            let mut admin = self.admin(id, endpoint).await;
            let sql = "SELECT BENCHMARK(2000000, SHA2('dormouse', 512))";
            admin.query(sql).await.unwrap();
        };
        tokio::join!(one(), one());
    }

    fn limits_cpu(&self) -> bool {
        self.local().capabilities().cpu.is_some()
    }

    async fn kill(&self, _id: InstanceId, incarnation: Incarnation) {
        // not by a new driver, whose setup takes longer than a start
        let pid = u32::try_from(incarnation.0 & u128::from(u64::MAX)).unwrap();
        let status = std::process::Command::new("kill")
            .arg("-KILL")
            .arg(pid.to_string())
            .status();
        assert!(status.unwrap().success());
        // cgroups v1: a frozen process dies only when thawed
        for dir in cgroup_dirs(pid) {
            let _ = std::fs::write(dir.join("freezer.state"), "THAWED");
        }
    }
}

/// The v1 freezer cgroup of a process.
fn cgroup_dirs(pid: u32) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let path = text.lines().find_map(|line| {
        line.split_once(":freezer:")
            .map(|(_, path)| path.to_owned())
    });
    path.map(|path| PathBuf::from(format!("/sys/fs/cgroup/freezer{path}")))
        .into_iter()
        .collect()
}

async fn conform(place: Place) {
    conformance::run(&place).await;
    assert_eq!(place.processes(), [0; 0], "no process is left over");
    let cgroups = place.cgroups();
    assert!(cgroups.is_empty(), "cgroups are left over: {cgroups:?}");
    let second = { place.at.root.iter() }.map(|root| root.join("instances"));
    let mut left: Vec<_> = std::iter::once(place.config.root.clone())
        .chain(second)
        .flat_map(|root| std::fs::read_dir(root).unwrap())
        .map(|e| e.unwrap().path())
        .collect();
    left.sort();
    // the list of the other roots that were ever used
    left.retain(|path| !path.ends_with("known-roots"));
    assert!(left.is_empty(), "files are left over: {left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_available_cgroups() {
    conform(Place::new(CgroupMode::Auto)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_in_a_second_data_root() {
    conform(Place::in_second_root()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_v1_cgroups() {
    conform(Place::new(CgroupMode::OnlyV1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_without_cgroups() {
    conform(Place::new(CgroupMode::Off)).await;
}

const RUNNING: Desired = Desired {
    run: Run::Running,
    units: Units(1),
    history: History::Off,
};

/// A value of `/proc/PID/status`, which has lines `Name:\tvalue`.
fn status(pid: u32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.trim_start_matches(':')
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_is_isolated_and_survives_its_driver() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let place = Place::new(CgroupMode::Auto);
    let driver = place.local();
    let ids = [InstanceId(1), InstanceId(2)];
    let mut uids = Vec::new();
    for id in ids {
        driver.provision(id, &Default::default()).await.unwrap();
        let seen = driver.apply(id, RUNNING).await.unwrap();
        let pid = driver.pid(seen.incarnation.unwrap()).unwrap();
        let root = place.config.root.join(id.to_string());
        let meta = std::fs::metadata(&root).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o700);
        assert_eq!(status(pid, "Uid"), meta.uid().to_string());
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        uids.push(meta.uid());
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let session: u32 = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(3)
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(session, pid, "a session of its own");
        let sockets = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
        let inodes: Vec<_> = sockets
            .lines()
            .skip(1)
            .filter_map(|l| l.split_whitespace().nth(9))
            .collect();
        for fd in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            let target = std::fs::read_link(fd.unwrap().path())
                .unwrap()
                .display()
                .to_string();
            assert!(
                !inodes.iter().any(|i| target == format!("socket:[{i}]")),
                "a TCP socket is open"
            );
            let foreign =
                target.starts_with('/') && !target.starts_with(place.dir.path().to_str().unwrap());
            assert!(
                !foreign || target.starts_with("/dev/null") || target.contains("(deleted)"),
                "{target}"
            );
        }
    }
    if driver.capabilities().own_users {
        assert!(uids[0] != uids[1] && uids.iter().all(|uid| *uid >= place.config.uid_base));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_returns_the_reason() {
    let place = Place::new(CgroupMode::Auto);
    let driver = place.local();
    let id = InstanceId(1);
    driver.provision(id, &Default::default()).await.unwrap();
    let data = place.config.root.join("1/data");
    std::fs::write(data.join("ibdata1"), b"garbage").unwrap();
    let failed = driver.apply(id, RUNNING).await;
    let Err(Error::Start { reason, .. }) = &failed else {
        panic!("{failed:?}")
    };
    assert!(reason.contains("InnoDB"), "{reason}");
    assert_eq!(driver.observe(id).await.unwrap().run, Run::Stopped);
    assert_eq!(place.processes(), [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_during_its_start_is_not_a_failed_start() {
    let place = Place::new(CgroupMode::Auto);
    let driver = place.local();
    let id = InstanceId(1);
    driver.provision(id, &Default::default()).await.unwrap();
    let starting = driver.clone();
    let starting = tokio::spawn(async move { starting.apply(id, RUNNING).await });
    let process = loop {
        match driver.observe(id).await.unwrap().incarnation {
            Some(incarnation) => break incarnation,
            // a start that failed would never show a process
            None if starting.is_finished() => panic!("the start ended"),
            None => tokio::task::yield_now().await,
        }
    };
    place.kill(id, process).await;
    let failed = starting.await.unwrap();
    let killed = matches!(failed, Err(Error::Killed { signal: 9, .. }));
    assert!(killed, "{failed:?}");
    assert_eq!(driver.observe(id).await.unwrap().run, Run::Stopped);
    driver.apply(id, RUNNING).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_too_long_socket_path_is_refused_at_setup() {
    let place = Place::new(CgroupMode::Off);
    let config = LocalConfig {
        root: place.dir.path().join("x".repeat(100)),
        ..place.config.clone()
    };
    let refused = LocalDriver::new(config)
        .map(drop)
        .map_err(|e| e.to_string());
    assert!(
        refused.as_ref().is_err_and(|e| e.contains("shorter path")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cpu_time_of_a_server_that_ended_without_a_driver_is_known() {
    for cgroups in [CgroupMode::Auto, CgroupMode::OnlyV1] {
        let place = Place::new(cgroups);
        let driver = place.local();
        if driver.capabilities().cpuacct.is_none() {
            eprintln!("skipped: no cgroup counts CPU with {cgroups:?}");
            continue;
        }
        let id = InstanceId(1);
        driver.provision(id, &Default::default()).await.unwrap();
        let started = driver.apply(id, RUNNING).await.unwrap();
        place.burn(id, started.endpoint.as_ref().unwrap()).await;
        let before = driver.observe(id).await.unwrap();
        assert!(before.cpu > started.cpu, "{before:?}");
        drop(driver);
        place.kill(id, before.incarnation.unwrap()).await;
        let watcher = place.local();
        watcher.ended(id, before.incarnation.unwrap()).await;
        drop(watcher);
        // the second driver finds no cgroup
        let told: Vec<_> = [
            place.local().observe(id).await,
            place.local().observe(id).await,
        ]
        .map(|seen| seen.unwrap())
        .into();
        assert_eq!((told[0].run, told[0].incarnation), (Run::Stopped, None));
        assert!(told[0].cpu >= before.cpu, "{before:?}, then {told:?}");
        assert_eq!(told[0], told[1]);
        let again = place.local().apply(id, RUNNING).await.unwrap();
        assert!(again.cpu < told[0].cpu, "counters start again: {again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_below_the_memory_in_use_are_refused_together() {
    let place = Place::new(CgroupMode::Auto);
    let driver = place.local();
    if driver.capabilities().memory.is_none() || driver.capabilities().cpu.is_none() {
        eprintln!("skipped: no cgroup here limits memory and CPU");
        return;
    }
    let id = InstanceId(1);
    driver.provision(id, &Default::default()).await.unwrap();
    let units = |units| Desired {
        units: Units(units),
        ..RUNNING
    };
    let process = driver.apply(id, units(2)).await.unwrap().incarnation;
    let limits = place.limits();
    // no server can run without memory
    let refused = driver.apply(id, units(0)).await;
    let Err(Error::InUse { held, limit, .. }) = &refused else {
        panic!("{refused:?}")
    };
    assert!(held > limit, "{refused:?}");
    assert_eq!(place.limits(), limits);
    let seen = driver.apply(id, units(2)).await.unwrap();
    assert_eq!((seen.run, seen.incarnation), (Run::Running, process));
    driver.apply(id, units(1)).await.unwrap();
    let changed = limits
        .iter()
        .zip(place.limits())
        .all(|(before, after)| *before != after);
    assert!(changed, "{limits:?}, then {:?}", place.limits());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_concurrent_drivers_start_one_server() {
    let place = Place::new(CgroupMode::Auto);
    let (one, other) = (place.local(), place.local());
    let id = InstanceId(1);
    one.provision(id, &Default::default()).await.unwrap();
    let (a, b) = tokio::join!(one.apply(id, RUNNING), other.apply(id, RUNNING));
    assert_eq!(a.unwrap().incarnation, b.unwrap().incarnation);
    assert_eq!(place.processes().len(), 1);
}

/// Names of the layers that hold for a running instance.
async fn layers(driver: &LocalDriver, id: InstanceId) -> Vec<String> {
    let incarnation = driver.observe(id).await.unwrap().incarnation.unwrap();
    let all = Driver::layers(driver, id, incarnation);
    let holding = all.into_iter().filter(|layer| layer.holds);
    holding.map(|layer| layer.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_from_before_the_sandbox_is_shown_as_it_is_and_gets_it_at_its_next_start() {
    let mut place = Place::new(CgroupMode::Auto);
    let given = place.config.sandbox;
    place.config.sandbox = SandboxMode::Off;
    let id = InstanceId(1);
    let older = place.local();
    older.provision(id, &Default::default()).await.unwrap();
    older.apply(id, RUNNING).await.unwrap();
    drop(older);
    place.config.sandbox = given;
    let driver = place.local();
    let new = ["files", "network", "system calls"];
    let held = layers(&driver, id).await;
    assert!(
        !new.iter().any(|name| held.iter().any(|h| h == name)),
        "{held:?}"
    );
    let stopped = Desired {
        run: Run::Stopped,
        ..RUNNING
    };
    driver.apply(id, stopped).await.unwrap();
    driver.apply(id, RUNNING).await.unwrap();
    let promised = LocalDriver::layers(&driver).iter();
    let expected: Vec<_> = promised
        .filter(|layer| layer.holds)
        .map(|layer| layer.name.clone())
        .collect();
    assert_eq!(layers(&driver, id).await, expected);
    // and the next driver sees the same
    assert_eq!(layers(&place.local(), id).await, expected);
}
