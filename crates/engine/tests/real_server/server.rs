//! Test fixture: a server on a copy of a template.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dormouse_engine::{Admin, Installation, Layout, Search, Secret, Template, config, repair, tls};
use dormouse_types::{Endpoint, InstanceId, Units};
use tokio::net::UnixStream;

pub(crate) const ID: InstanceId = InstanceId(7);

/// A server on a copy of a template; killed and removed on drop.
pub(crate) struct Server {
    pub(crate) layout: Layout,
    pub(crate) secret: Secret,
    pub(crate) installation: Installation,
    child: Child,
    _dir: tempfile::TempDir,
}

pub(crate) fn installation() -> Installation {
    Installation::probe(&search()).unwrap()
}

pub(crate) fn search() -> Search {
    let mariadbd = std::env::var_os("DORMOUSE_TEST_MARIADBD").map(PathBuf::from);
    Search {
        mariadbd,
        ..Search::default()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        let installation = installation();
        let dir = tempfile::tempdir().unwrap();
        let secret = Secret::load_or_create(&dir.path().join("secret")).unwrap();
        let template =
            Template::ensure(&installation, &dir.path().join("templates"), &secret).unwrap();
        let layout = Layout::new(dir.path().join("7")).unwrap();
        template.instantiate(&layout, None).unwrap();
        let child = spawn(&installation, &layout, &secret);
        let server = Self {
            layout,
            secret,
            installation,
            child,
            _dir: dir,
        };
        server.wait().await;
        server
    }

    async fn wait(&self) {
        let socket = self.layout.socket();
        let limit = Duration::from_secs(30);
        let up = async {
            while UnixStream::connect(&socket).await.is_err() {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(limit, up)
            .await
            .expect("the server did not start");
    }

    pub(crate) async fn admin(&self) -> Admin {
        Admin::connect(&Endpoint::Unix(self.layout.socket()), &self.secret, ID)
            .await
            .unwrap()
    }

    /// Stops the server cleanly and starts it on the same files.
    pub(crate) async fn restart(&mut self) {
        self.end("-TERM");
        self.child = spawn(&self.installation, &self.layout, &self.secret);
        self.wait().await;
    }

    /// Stops the server and starts it for maintenance.
    pub(crate) async fn restart_for_maintenance(&mut self) {
        std::fs::write(self.layout.maintenance(), repair::sql(&self.secret)).unwrap();
        self.restart().await;
    }

    /// Stops the server and starts it as usual.
    pub(crate) async fn restart_as_usual(&mut self) {
        std::fs::remove_file(self.layout.maintenance()).unwrap();
        self.restart().await;
    }

    /// Runs statements as a user; returns the rows, or the first error.
    pub(crate) fn run(&self, user: &str, password: &str, sql: &str) -> Result<String, String> {
        let output = Command::new("mariadb")
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.layout.socket().display()))
            .arg(format!("--user={user}"))
            .arg(format!("--password={password}"))
            .args(["--batch", "--skip-column-names", "-e", sql])
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr))
        }
    }

    /// Runs all statements as a user, past errors; returns the errors, with the lines of their statements.
    pub(crate) fn run_all(&self, user: &str, password: &str, sql: &str) -> String {
        let script = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(script.path(), sql).unwrap();
        let output = Command::new("mariadb")
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.layout.socket().display()))
            .arg(format!("--user={user}"))
            .arg(format!("--password={password}"))
            .args(["--batch", "--force"])
            .stdin(File::open(script.path()).unwrap())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn end(&mut self, signal: &str) {
        let status = Command::new("kill")
            .arg(signal)
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        self.child.wait().unwrap();
    }

    /// Logs in with the `mariadb` client; returns `CURRENT_USER()` or the error.
    pub(crate) fn lets_in(&self, user: &str, password: &str) -> Result<String, String> {
        self.run(user, password, "SELECT CURRENT_USER()")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(installation: &Installation, layout: &Layout, secret: &Secret) -> Child {
    std::fs::write(
        layout.config(),
        config::render(
            installation,
            layout,
            Units(1),
            None,
            None,
            None,
            config::REDO_LOG,
        ),
    )
    .unwrap();
    std::fs::write(layout.key(), tls::key_and_certificate().unwrap()).unwrap();
    let authority = tls::Authority::new(secret, ID).unwrap();
    std::fs::write(layout.client_authority(), authority.pem()).unwrap();
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(layout.error_log())
        .unwrap();
    let mut command = Command::new(&installation.mariadbd);
    command.arg(format!("--defaults-file={}", layout.config().display()));
    if is_root() {
        command.arg("--user=root");
    }
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}
