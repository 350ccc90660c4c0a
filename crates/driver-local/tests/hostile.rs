//! A hostile server: this program plays the server of a real driver and tries to leave its sandbox. Every attempt
//! must fail.
//!
//! It is started as `mariadb-install-db`, asked for its version and help, and started as a server, as the driver
//! does with any server. So the sandbox is the one of real servers, and has no part for this test.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unsafe_code,
    reason = "a test, whose hostile half makes system calls that no library has"
)]

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

#[path = "hostile/attempts.rs"]
mod attempts;

use dormouse_driver::{Desired, Driver as _, History, Run};
use dormouse_driver_local::{LocalConfig, LocalDriver, SandboxMode, SetupError};
use dormouse_engine::{Installation, Search, Secret};
use dormouse_types::{InstanceId, Units};

const RUNNING: Desired = Desired {
    run: Run::Running,
    units: Units(1),
    history: History::Off,
};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let value = |option: &str| words.iter().find_map(|word| word.strip_prefix(option));
    let has = |option: &str| words.iter().any(|word| word == option);
    if let Some(config) = value("--defaults-file=") {
        serve(Path::new(config));
    } else if let Some(data) = value("--datadir=") {
        fs::create_dir_all(Path::new(data).join("mysql")).unwrap();
    } else if has("--version") {
        println!("mariadbd  Ver 10.11.99-MariaDB for Linux on x86_64 (hostile)");
    } else if has("--help") {
        help();
    } else {
        test();
    }
}

/// As long a help text as that of a server, which fills every pipe.
fn help() {
    let mut out = io::stdout().lock();
    let mut say = |line: &str| writeln!(out, "{line}");
    let filler = "a line of help\n".repeat(20_000);
    // the reader may have seen enough
    let _ = say(&filler)
        .and_then(|()| say("---------------------------- ----------------"))
        .and_then(|()| say("tmpdir                       /tmp\n"));
}

/// The server: does what the file `attempt` in its directory says, then reports and accepts connections.
fn serve(config: &Path) {
    let root = config.with_extension("");
    let which = fs::read_to_string(root.join("files/attempt")).unwrap_or_default();
    let report = root.join("files/report");
    match which.trim() {
        "" => fs::write(report, attempts::refused_ones(&root)).unwrap(),
        one => {
            attempts::deadly(one);
            fs::write(report, "survived").unwrap();
        }
    }
    let socket = std::os::unix::net::UnixListener::bind(root.join("mysqld.sock")).unwrap();
    for stream in socket.incoming() {
        let _ = stream.and_then(|mut stream| stream.write_all(b"J"));
    }
}

/// A data directory whose server is this program.
struct Place {
    dir: tempfile::TempDir,
    config: LocalConfig,
}

impl Place {
    fn new(mode: SandboxMode) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        // where every user may execute it
        let program = dir.path().join("mariadbd");
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let installation = Installation::probe(&Search {
            mariadbd: Some(program.clone()),
            install_db: Some(program),
            basedir: None,
        })
        .unwrap();
        let secret = Secret::load_or_create(&dir.path().join("secret")).unwrap();
        let config = LocalConfig {
            sandbox: mode,
            ..LocalConfig::new(dir.path(), installation, secret)
        };
        Self { dir, config }
    }

    fn root(&self, id: InstanceId) -> PathBuf {
        self.config.root.join(id.to_string())
    }

    /// Starts the hostile server; returns its report.
    async fn report(&self, driver: &LocalDriver, id: InstanceId, attempt: &str) -> Option<String> {
        driver.provision(id, &Default::default()).await.unwrap();
        let file = |name| self.root(id).join("files").join(name);
        fs::write(file("attempt"), attempt).unwrap();
        fs::set_permissions(file("attempt"), fs::Permissions::from_mode(0o644)).unwrap();
        let _ = fs::remove_file(file("report"));
        let _ = driver.apply(id, RUNNING).await;
        let report = fs::read_to_string(file("report")).ok();
        let stopped = Desired {
            run: Run::Stopped,
            ..RUNNING
        };
        driver.apply(id, stopped).await.unwrap();
        report
    }
}

fn test() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let place = Place::new(SandboxMode::Require);
        let driver = match LocalDriver::new(place.config.clone()) {
            Ok(driver) => driver,
            Err(SetupError::Sandbox(missing)) => {
                println!("skipped: {missing}");
                return;
            }
            Err(other) => panic!("{other}"),
        };
        everything_is_refused(&place, &driver).await;
        whoever_makes_a_deadly_call_is_killed(&place, &driver).await;
        for id in [InstanceId(1), InstanceId(2)] {
            driver.remove(id).await.unwrap();
        }
        the_attempts_would_succeed_without_a_sandbox().await;
    });
    println!("test hostile ... ok");
}

async fn everything_is_refused(place: &Place, driver: &LocalDriver) {
    // a neighbour with files, and listeners that an attacker could reach
    driver
        .provision(InstanceId(2), &Default::default())
        .await
        .unwrap();
    driver.apply(InstanceId(2), RUNNING).await.unwrap();
    let foreign = place.dir.path().join("foreign.sock");
    let _listener = std::os::unix::net::UnixListener::bind(&foreign).unwrap();
    fs::set_permissions(&foreign, fs::Permissions::from_mode(0o777)).unwrap();
    let report = place.report(driver, InstanceId(1), "").await.unwrap();
    println!("{report}");
    let bad: Vec<_> = report.lines().filter(|l| l.contains("SUCCEEDED")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    let broken: Vec<_> = report.lines().filter(|l| l.contains("BROKEN")).collect();
    assert!(broken.is_empty(), "what a server needs fails: {broken:#?}");
    assert!(report.lines().count() > 60, "{report}");
}

async fn whoever_makes_a_deadly_call_is_killed(place: &Place, driver: &LocalDriver) {
    for attempt in attempts::DEADLY {
        let report = place.report(driver, InstanceId(1), attempt).await;
        assert_eq!(report, None, "{attempt} did not kill the process");
    }
}

/// A test that cannot fail proves nothing: the same attempts without the sandbox.
async fn the_attempts_would_succeed_without_a_sandbox() {
    let place = Place::new(SandboxMode::Off);
    let driver = LocalDriver::new(place.config.clone()).unwrap();
    let report = place.report(&driver, InstanceId(1), "").await.unwrap();
    driver.remove(InstanceId(1)).await.unwrap();
    for name in [
        "read /etc/passwd",
        "write in /tmp",
        "list /",
        "socket inet",
        "fork",
        "run /bin/sh",
        "symlink out of the directory",
        "unix datagram socket",
    ] {
        let line = format!("{name}: SUCCEEDED");
        assert!(report.lines().any(|l| l == line), "{line}\n{report}");
    }
}
