//! A Dormouse in a temporary directory.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dormouse_engine::Secret;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::process;

/// A running Dormouse. Dropping it stops it and its servers and removes its files.
pub struct Dormouse {
    dir: TempDir,
    program: PathBuf,
    config: String,
    log_level: &'static str,
    running: Option<Running>,
}

struct Running {
    child: Child,
    listen: String,
    api_listen: String,
    socket: PathBuf,
}

/// Login data printed by `dormouse create`.
#[derive(Debug, Clone)]
pub struct Created {
    /// `NAME.admin`.
    pub user: String,
    /// The generated password.
    pub password: String,
}

impl Dormouse {
    /// Starts it on a free port with the default configuration.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts it with a configuration file.
    #[must_use]
    pub fn start_with(config: &str) -> Self {
        let mut dormouse = Self::prepare(config);
        dormouse.up();
        dormouse
    }

    /// Creates the directories without starting it.
    #[must_use]
    pub fn prepare(config: &str) -> Self {
        // the server that ./dev test selects, if it is not the installed one
        let server = std::env::var("DORMOUSE_TEST_MARIADBD").ok();
        let server = server.map_or(String::new(), |path| {
            format!("engine.mariadbd = '{path}'\n")
        });
        // and another way to reach it
        let transport = std::env::var("DORMOUSE_TEST_TRANSPORT").ok();
        let transport = transport.map_or(String::new(), |transport| {
            format!("engine.transport = '{transport}'\n")
        });
        // and how much of the sandbox
        let sandbox = std::env::var("DORMOUSE_TEST_SANDBOX").ok();
        let sandbox = sandbox.map_or(String::new(), |mode| format!("sandbox.mode = '{mode}'\n"));
        // a test that is not about understudies counts the servers of its databases only
        let understudies = if config.contains("understudies") {
            ""
        } else {
            "asleep.understudies = 0\n"
        };
        let config = format!("{server}{transport}{sandbox}{understudies}{config}");
        Self::prepare_program(program(), &config, "debug")
    }

    /// Prepared, with its data on a disk of `megabytes`; `None` if this user may not mount one. Drop the disk last.
    ///
    /// # Panics
    /// The folder cannot be made.
    #[must_use]
    pub fn prepare_on_small_disk(config: &str, megabytes: u32) -> Option<(SmallDisk, Self)> {
        let (mut disks, dormouse) = Self::prepare_on_small_disks(config, &["data"], megabytes)?;
        Some((disks.pop()?, dormouse))
    }

    /// Prepared, with a disk of `megabytes` for each of these folders in its directory; `None` if this user may not mount one.
    /// Drop the disks last.
    ///
    /// # Panics
    /// A folder cannot be made.
    #[must_use]
    pub fn prepare_on_small_disks(
        config: &str,
        folders: &[&str],
        megabytes: u32,
    ) -> Option<(Vec<SmallDisk>, Self)> {
        let dormouse = Self::prepare(config);
        let mut disks = Vec::new();
        for folder in folders {
            let folder = dormouse.dir().join(folder);
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            let size = format!("size={megabytes}m,mode=711");
            let mut mount = Command::new("mount");
            mount
                .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
                .arg(&folder);
            if !mount.output().is_ok_and(|output| output.status.success()) {
                println!("skipped: only root can make a small disk");
                return None;
            }
            disks.push(SmallDisk(folder));
        }
        Some((disks, dormouse))
    }

    /// As [`prepare`](Self::prepare), for another build of the program, with exactly this configuration
    /// and log level.
    #[must_use]
    pub fn prepare_program(program: PathBuf, config: &str, log_level: &'static str) -> Self {
        // the path of a Unix socket must be short: not in a long TMPDIR
        let dir = tempfile::Builder::new()
            .prefix("dm")
            .tempdir_in("/tmp")
            .expect("a directory");
        // servers run as users of their own and need search permission
        let passable = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(dir.path(), passable).expect("its owner's right");
        Self {
            dir,
            program,
            config: config.to_owned(),
            log_level,
            running: None,
        }
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("dormouse is up")
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// Its TCP address, `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.running().listen
    }

    /// Address of its API over TLS, `host:port`; empty if it has none.
    #[must_use]
    pub fn api_address(&self) -> &str {
        &self.running().api_listen
    }

    /// Its Unix socket for clients.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.running().socket
    }

    /// A command of the program, with its data directory.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Its configuration file, written now. `{dir}` there is the directory in which all of it is ([`Self::dir`]).
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        let config = self.dir.path().join("dormouse.toml");
        let text = self
            .config
            .replace("{dir}", &self.dir().display().to_string());
        std::fs::write(&config, text).expect("the configuration is written");
        config
    }

    /// The directory in which all of it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Gives it another configuration, for its next start.
    pub fn set_config(&mut self, from: &str, to: &str) {
        assert!(
            self.config.contains(from),
            "{from:?} is not in its configuration"
        );
        self.config = self.config.replace(from, to);
    }

    /// Starts it (again) and waits until it is ready.
    pub fn up(&mut self) {
        let config = self.config_file();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("a log");
        let mut child = self
            .command(&["--json", "up", "--listen", "127.0.0.1:0", "--config"])
            .arg(&config)
            .env("DORMOUSE_LOG", self.log_level)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("dormouse is built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its first line");
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("dormouse up said '{line}'; log:\n{}", self.log()));
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        let (listen, socket) = (text("listen"), text("socket").into());
        let api_listen = text("api_listen");
        self.running = Some(Running {
            child,
            listen,
            api_listen,
            socket,
        });
    }

    /// Appends to its configuration file and has it read again.
    pub fn reconfigure(&self, more: &str) {
        let config = self.dir.path().join("dormouse.toml");
        std::fs::write(&config, format!("{}{more}", self.config)).expect("the file is written");
        process::hang_up(self.pid());
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Runs a command with `--json`; panics if it fails.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let all = [&["--json"], arguments].concat();
        let output = self.command(&all).output().expect("dormouse runs");
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "dormouse {arguments:?}: {stdout}{}\nlog:\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.log()
        );
        serde_json::from_str(&stdout).unwrap_or(Value::Null)
    }

    /// Creates a database.
    #[must_use]
    pub fn create(&self, name: &str, arguments: &[&str]) -> Created {
        let made = self.json(&[&["create", name], arguments].concat());
        let text = |key: &str| made[key].as_str().unwrap_or_default().to_owned();
        Created {
            user: text("user"),
            password: text("password"),
        }
    }

    /// Output of `show`.
    #[must_use]
    pub fn show(&self, name: &str) -> Value {
        self.json(&["show", name])
    }

    /// The state of a database.
    #[must_use]
    pub fn state(&self, name: &str) -> String {
        self.show(name)["state"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Process id of a database's server.
    #[must_use]
    pub fn server(&self, name: &str) -> u32 {
        let pid = self.show(name)["pid"]
            .as_u64()
            .expect("the database has a server");
        u32::try_from(pid).expect("a pid")
    }

    /// Waits until a database is in a state.
    pub fn until_state(&self, name: &str, state: &str) {
        process::until(&format!("{name} is {state}"), || self.state(name) == state);
    }

    /// A client, logged in by TCP.
    #[must_use]
    pub fn connect(&self, who: &Created) -> Client {
        let mut client = Client::tcp(self.address());
        client.login(&who.user, &who.password, None).ok();
        client
    }

    /// Directory of the files of a database's server.
    #[must_use]
    pub fn instance(&self, name: &str) -> PathBuf {
        let instance = self.show(name)["instance"].to_string();
        self.data_dir().join("instances").join(instance)
    }

    /// A connection to a database's server as Dormouse itself, past the proxy.
    #[must_use]
    pub fn platform(&self, name: &str) -> Client {
        self.platform_in(&self.instance(name))
    }

    /// The same, to the server with its files in this directory.
    #[must_use]
    pub fn platform_in(&self, instance: &Path) -> Client {
        let mut client = Client::unix(&instance.join("mysqld.sock"));
        client.login_with(b"dormouse", &self.admin_stage1()).ok();
        client
    }

    /// The credential of Dormouse itself on its servers.
    #[must_use]
    pub fn admin_stage1(&self) -> [u8; 20] {
        let secret = Secret::load_or_create(&self.data_dir().join("secret")).expect("a secret");
        secret.admin_stage1()
    }

    /// Process ids of all its servers.
    #[must_use]
    pub fn servers(&self) -> Vec<u32> {
        let own = self.running.as_ref().map(|running| running.child.id());
        let pids = process::mentioning(&self.data_dir());
        pids.into_iter().filter(|pid| Some(*pid) != own).collect()
    }

    /// Kills it with SIGKILL; the servers keep running.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().expect("it is ours to kill");
            running.child.wait().expect("it is ours to wait for");
        }
    }

    /// Stops it with SIGTERM; the servers keep running.
    pub fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            process::terminate(running.child.id());
            running.child.wait().expect("it is ours to wait for");
        }
    }
}

/// A mounted disk. Dropping it unmounts it.
pub struct SmallDisk(PathBuf);

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Drop for Dormouse {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        // a child may have been about to become a server when dormouse was killed
        let mut groups = BTreeSet::new();
        process::until("its servers are gone", || {
            let servers = process::mentioning(self.dir.path());
            for pid in &servers {
                groups.extend(process::control_groups(*pid));
                process::kill(*pid);
            }
            servers.is_empty()
        });
        groups
            .iter()
            .for_each(|group| process::remove_control_group(group));
        if std::thread::panicking() {
            let mut log = self.log();
            let tail = log.len().saturating_sub(8000);
            log.drain(
                ..log
                    .char_indices()
                    .map(|(at, _)| at)
                    .find(|at| *at >= tail)
                    .unwrap_or(0),
            );
            eprintln!("--- the end of dormouse's log ---\n{log}");
        }
    }
}

/// Path of the program: `DORMOUSE_TEST_BINARY`, or beside the test program.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("DORMOUSE_TEST_BINARY") {
        return program.into();
    }
    let own = std::env::current_exe().expect("a test knows where it is");
    let found = own
        .ancestors()
        .skip(1)
        .map(|dir| dir.join("dormouse"))
        .find(|path| path.is_file());
    found.expect("build it first: cargo build --bin dormouse")
}

/// Runs a command; returns whether it succeeded, and its whole output.
#[must_use]
pub fn output_of(command: &mut Command) -> (bool, String) {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut text = String::new();
    let mut stderr = child.stderr.take().expect("its errors");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stderr.read_to_string(&mut text);
        text
    });
    child
        .stdout
        .take()
        .expect("its output")
        .read_to_string(&mut text)
        .expect("UTF-8");
    text.push_str(&reader.join().expect("the reader ends"));
    (child.wait().expect("it ends").success(), text)
}
