//! The other hosts: an sshd and an S3 of one's own on the loopback, and a relay in front of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use dormouse_testkit::process;

/// A host with a place for a repository.
pub(crate) trait Host {
    fn port(&self) -> u16;
    fn location(&self, port: u16) -> String;
    fn options(&self, port: u16) -> Vec<(&'static str, String)>;
    fn credentials(&self) -> Option<String>;
    fn for_restic(&self, port: u16, restic: &mut Command);
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A process that ends with its value.
struct Own(Child);

impl Drop for Own {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// Waits until a port answers.
fn until_open(port: u16) {
    process::until("the host answers", || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
    });
}

/// An sshd for this user, with a host key and a user's key of its own.
pub(crate) struct Sshd {
    dir: tempfile::TempDir,
    port: u16,
    user: String,
    _process: Own,
}

const SSHD: &str = "/usr/sbin/sshd";

impl Sshd {
    /// `None` if there is none on this machine.
    pub(crate) fn start() -> Option<Self> {
        if !std::path::Path::new(SSHD).exists() {
            eprintln!("skipped: no {SSHD}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
            assert!(
                keygen
                    .arg(dir.path().join(name))
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let port = free_port();
        let here = dir.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {here}/host\nAuthorizedKeysFile {here}/authorized_keys\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n\
             PidFile none\nMaxStartups 100\nSubsystem sftp internal-sftp\n"
        );
        fs::write(dir.path().join("config"), config).unwrap();
        fs::copy(
            dir.path().join("user.pub"),
            dir.path().join("authorized_keys"),
        )
        .unwrap();
        // where root's sshd separates privileges
        let _there = fs::create_dir("/run/sshd");
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-E"]).arg(dir.path().join("log"));
        sshd.arg("-f").arg(dir.path().join("config"));
        let sshd = Own(sshd.stdin(Stdio::null()).spawn().unwrap());
        until_open(port);
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        Some(Self {
            dir,
            port,
            user,
            _process: sshd,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Host for Sshd {
    fn port(&self) -> u16 {
        self.port
    }

    fn location(&self, port: u16) -> String {
        let path = self.path("repository");
        format!("sftp://{}@127.0.0.1:{port}/{}", self.user, path.display())
    }

    fn options(&self, port: u16) -> Vec<(&'static str, String)> {
        let known = self.path("known_hosts");
        if !known.exists() {
            let key = fs::read_to_string(self.path("host.pub")).unwrap();
            fs::write(&known, format!("[127.0.0.1]:{port} {key}")).unwrap();
        }
        vec![
            ("identity_file", self.path("user").display().to_string()),
            ("known_hosts_file", known.display().to_string()),
        ]
    }

    fn credentials(&self) -> Option<String> {
        None
    }

    fn for_restic(&self, port: u16, restic: &mut Command) {
        let command = format!(
            "sftp.command=ssh -F none -o BatchMode=yes -o UserKnownHostsFile={} -i {} -p {port} {}@127.0.0.1 -s sftp",
            self.path("known_hosts").display(),
            self.path("user").display(),
            self.user
        );
        restic.args(["-o", &command]);
    }
}

/// moto's S3.
pub(crate) struct Moto {
    port: u16,
    _process: Own,
}

impl Moto {
    /// `None` if no program is named.
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = std::env::var_os("DORMOUSE_TEST_MOTO") else {
            eprintln!("skipped: no DORMOUSE_TEST_MOTO");
            return None;
        };
        let port = free_port();
        let mut moto = Command::new(program);
        moto.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        moto.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let moto = Own(moto.spawn().unwrap());
        until_open(port);
        Some(Self {
            port,
            _process: moto,
        })
    }

    pub(crate) fn make_bucket(&self) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        let request = "PUT /backups HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
    }
}

impl Host for Moto {
    fn port(&self) -> u16 {
        self.port
    }

    fn location(&self, port: u16) -> String {
        format!("s3:http://127.0.0.1:{port}/backups/dormouse")
    }

    fn options(&self, _port: u16) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn credentials(&self) -> Option<String> {
        Some("AWS_ACCESS_KEY_ID=moto\nAWS_SECRET_ACCESS_KEY=moto-secret\n".to_owned())
    }

    fn for_restic(&self, _port: u16, restic: &mut Command) {
        restic.env("AWS_ACCESS_KEY_ID", "moto");
        restic.env("AWS_SECRET_ACCESS_KEY", "moto-secret");
    }
}

/// What a relay does with what clients send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Closes all connections, old and new, after so many bytes of all clients.
    Cut(u64),
    /// Takes connections and passes nothing on after so many bytes.
    Silent(u64),
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// Since the mode was set.
    sent: u64,
    open: Vec<TcpStream>,
}

impl State {
    /// Whether the mode's bytes have passed.
    const fn is_reached(&self) -> bool {
        match self.mode {
            Mode::Open => false,
            Mode::Cut(after) | Mode::Silent(after) => self.sent >= after,
        }
    }
}

/// A relay on a port of its own.
pub(crate) struct Relay {
    port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

fn lock(shared: &(Mutex<State>, Condvar)) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Relay {
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let state = State {
            mode: Mode::Open,
            sent: 0,
            open: Vec::new(),
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let of_thread = Arc::clone(&shared);
        // ends with the test program
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                relay(&of_thread, client, port);
            }
        });
        Self { port: own, shared }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    fn set(&self, mode: Mode) {
        let mut state = lock(&self.shared);
        (state.mode, state.sent) = (mode, 0);
        // connections of before must not go on where they were
        if mode == Mode::Open || state.is_reached() {
            for stream in state.open.drain(..) {
                let _closed = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.1.notify_all();
    }

    pub(crate) fn open(&self) {
        self.set(Mode::Open);
    }

    pub(crate) fn cut_after(&self, bytes: u64) {
        self.set(Mode::Cut(bytes));
    }

    pub(crate) fn silence_after(&self, bytes: u64) {
        self.set(Mode::Silent(bytes));
    }

    /// Whether clients have sent what the mode lets pass.
    pub(crate) fn is_reached(&self) -> bool {
        lock(&self.shared).is_reached()
    }
}

/// Passes on what both sides send, in threads of their own.
fn relay(shared: &Arc<(Mutex<State>, Condvar)>, client: TcpStream, port: u16) {
    let mut state = lock(shared);
    if matches!(state.mode, Mode::Cut(_)) && state.is_reached() {
        return;
    }
    let Ok(host) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return;
    };
    state.open.push(client.try_clone().unwrap());
    state.open.push(host.try_clone().unwrap());
    drop(state);
    let pairs = [
        (client.try_clone().unwrap(), host.try_clone().unwrap(), true),
        (host, client, false),
    ];
    for (from, to, counted) in pairs {
        let shared = Arc::clone(shared);
        thread::spawn(move || pass(&shared, from, to, counted));
    }
}

fn pass(shared: &(Mutex<State>, Condvar), mut from: TcpStream, mut to: TcpStream, counted: bool) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let mut state = lock(shared);
        if counted {
            state.sent += count as u64;
        }
        while matches!(state.mode, Mode::Silent(_)) && state.is_reached() {
            state = shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if matches!(state.mode, Mode::Cut(_)) && state.is_reached() {
            for stream in state.open.drain(..) {
                let _closed = stream.shutdown(Shutdown::Both);
            }
            return;
        }
        drop(state);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _closed = to.shutdown(Shutdown::Write);
}
