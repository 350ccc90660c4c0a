//! HAProxy in TCP mode in front of the plain server, with a usual configuration.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::process;
use tempfile::TempDir;

use super::bare::{Bare, free_address};
use crate::{cleanup, machine};

/// HAProxy and its files.
pub(super) struct HaProxy {
    /// Its address that forwards to the server's TCP port.
    pub(super) by_tcp: SocketAddr,
    /// Its address that forwards to the server's Unix socket.
    pub(super) by_socket: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl HaProxy {
    pub(super) fn start(bare: &Bare) -> anyhow::Result<Self> {
        let program = machine::find("haproxy").context("haproxy is not installed")?;
        let dir = tempfile::Builder::new()
            .prefix("dmhap")
            .tempdir_in("/tmp")?;
        cleanup::remember(dir.path());
        let (by_tcp, by_socket) = (free_address()?, free_address()?);
        let threads = std::thread::available_parallelism()?;
        // it disables Nagle's algorithm on both sides by default
        let text = format!(
            "global\n    nbthread {threads}\n    maxconn 2000\n\
             defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n\
             listen by_tcp\n    bind {by_tcp}\n    server one {}\n\
             listen by_socket\n    bind {by_socket}\n    server one unix@{}\n",
            bare.address,
            bare.socket().display(),
        );
        let config = dir.path().join("haproxy.cfg");
        let log = dir.path().join("log");
        fs::write(&config, text)?;
        // -db: in the foreground as one process, which has all of its CPU time
        let child = Command::new(program)
            .arg("-db")
            .arg("-f")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("starting haproxy")?;
        let mut haproxy = Self {
            by_tcp,
            by_socket,
            child,
            _dir: dir,
        };
        let began = Instant::now();
        while TcpStream::connect(by_socket).is_err() {
            let alive = haproxy.child.try_wait()?.is_none();
            anyhow::ensure!(
                alive && began.elapsed() < Duration::from_secs(10),
                "haproxy does not come up: {}",
                fs::read_to_string(&log).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(haproxy)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for HaProxy {
    fn drop(&mut self) {
        process::kill(self.child.id());
        let _ = self.child.wait();
    }
}
