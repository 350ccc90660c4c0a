//! A database server started directly, for comparison with one that Dormouse starts.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_engine::Owner;
use dormouse_testkit::process;

/// Time limit for a start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Interval of connection attempts while the server does not listen yet. An early connection waits for
/// its greeting, so polling adds at most this to the measured start.
const LOOK: Duration = Duration::from_micros(200);

/// How to start a server.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    /// The program.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// User of the process; `None` for the user of this program.
    pub(crate) owner: Option<Owner>,
    /// Its Unix socket.
    pub(crate) socket: PathBuf,
}

impl Recipe {
    /// The recipe of a running server, from `/proc`.
    pub(crate) fn of_running(pid: u32, socket: PathBuf) -> anyhow::Result<Self> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).context("looking at the server")?;
        let line = String::from_utf8(line).context("the server's command line")?;
        let mut words = line.trim_end_matches('\0').split('\0').map(str::to_owned);
        let first = PathBuf::from(words.next().context("the server has no command line")?);
        let program = if first.is_absolute() {
            first
        } else {
            fs::read_link(format!("/proc/{pid}/exe")).context("looking at the server's program")?
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let id = |name: &str| -> Option<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let (uid, gid) = id("Uid:").zip(id("Gid:")).context("the server's user")?;
        let me = rustix::process::geteuid().as_raw();
        let owner = (uid != me).then_some(Owner { uid, gid });
        Ok(Self {
            program,
            arguments: words.collect(),
            owner,
            socket,
        })
    }

    /// Starts it; returns it with a connection that waits for the greeting.
    pub(crate) fn start(&self) -> anyhow::Result<(Server, UnixStream)> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir("/").env_clear();
        command.envs(
            ["PATH", "TZ"]
                .iter()
                .filter_map(|k| Some((k, std::env::var_os(k)?))),
        );
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        let began = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let mut server = Server { child };
        loop {
            if let Ok(stream) = UnixStream::connect(&self.socket) {
                return Ok((server, stream));
            }
            anyhow::ensure!(
                began.elapsed() < PATIENCE && server.child.try_wait()?.is_none(),
                "the server does not start; see the error log beside {}",
                self.socket.display()
            );
            std::thread::sleep(LOOK);
        }
    }
}

/// A running server; dropping it stops it in order.
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and waits for it.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        process::terminate(self.child.id());
        let status = self.child.wait()?;
        anyhow::ensure!(
            status.success(),
            "the server did not stop in order: {status}"
        );
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            process::terminate(self.child.id());
            let _ = self.child.wait();
        }
    }
}

/// The socket beside a server's configuration file, which is its first argument.
pub(crate) fn socket_of(recipe_argument: &str) -> Option<PathBuf> {
    let config = recipe_argument.strip_prefix("--defaults-file=")?;
    let text = fs::read_to_string(config).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("socket="))?;
    Some(Path::new(line.trim_matches('"')).to_owned())
}
