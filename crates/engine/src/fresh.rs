//! A fresh server of an installation, started for a moment on a copy of its template to be looked at.
//!
//! It runs as Dormouse's own user, like the programs that make the template, since its files are Dormouse's own. A shell ends
//! it when Dormouse ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dormouse_types::{Endpoint, InstanceId};
use tokio::runtime::Handle;

use crate::admin::system_tables::SystemTables;
use crate::error::doing;
use crate::installation::basedir_option;
use crate::{Admin, EngineError, Installation, Layout, Secret, Template, config, error_log};

/// Name of its directory, beside the template. Short, since paths of sockets are short.
const DIRECTORY: &str = ".fresh";

/// Ends the server when its input ends: with Dormouse, at the latest.
const UNTIL_INPUT_ENDS: &str = r#""$@" & server=$!; read -r line; kill "$server"; wait "$server""#;

/// Deadline of its start.
const START: Duration = Duration::from_secs(60);

/// How often its start is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// A server that ends when this is dropped, and its files with it.
struct Fresh {
    dir: PathBuf,
    child: Option<Child>,
}

/// The tables, views and routines of a fresh server. Blocks for about a second; not for two threads at a time.
///
/// # Errors
/// It does not start, or refuses something.
pub fn system_tables(
    template: &Template,
    installation: &Installation,
    secret: &Secret,
    runtime: &Handle,
) -> Result<SystemTables, EngineError> {
    let fresh = Fresh::start(template, installation)?;
    let program = installation.mariadbd.clone();
    let looked = runtime.block_on(async {
        let mut admin = fresh.connect(secret).await?;
        SystemTables::of(&mut admin)
            .await
            .map_err(|error| error.to_string())
    });
    looked.map_err(|reason| EngineError::Program { program, reason })
}

impl Fresh {
    fn start(template: &Template, installation: &Installation) -> Result<Self, EngineError> {
        let parent = template.path().parent().unwrap_or(Path::new("/"));
        let layout = Layout::new(parent.join(DIRECTORY))?;
        let dir = layout.root().to_owned();
        let mut fresh = Self { dir, child: None };
        fresh.remove();
        template.instantiate(&layout, None)?;
        let start = || -> io::Result<Child> {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", UNTIL_INPUT_ENDS, "sh"]);
            command.arg(&installation.mariadbd).arg("--no-defaults");
            command.args(basedir_option(installation.basedir.as_deref()));
            for (name, path) in [
                ("datadir", layout.data()),
                ("tmpdir", layout.tmp()),
                ("socket", layout.socket()),
                ("pid-file", layout.root().join("pid")),
                ("log-error", layout.error_log()),
            ] {
                command.arg(format!("--{name}={}", path.display()));
            }
            command.args(config::FILES.map(|(name, value)| format!("--{name}={value}")));
            command.args(["--skip-networking", "--proxy-protocol-networks=localhost"]);
            if rustix::process::geteuid().is_root() {
                command.arg("--user=root");
            }
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn()
        };
        let started = start().map_err(doing(format!(
            "running {}",
            installation.mariadbd.display()
        )));
        fresh.child = Some(started?);
        Ok(fresh)
    }

    /// A connection to it, when it has started.
    async fn connect(&self, secret: &Secret) -> Result<Admin, String> {
        let layout = Layout::new(&self.dir).map_err(|error| error.to_string())?;
        let endpoint = Endpoint::Unix(layout.socket());
        let until = Instant::now() + START;
        loop {
            match Admin::connect(&endpoint, secret, InstanceId(0)).await {
                Ok(admin) => return Ok(admin),
                Err(_) if Instant::now() < until => tokio::time::sleep(INTERVAL).await,
                Err(error) => {
                    let said = fs::read_to_string(layout.error_log()).unwrap_or_default();
                    return Err(format!("{error}; {}", error_log::reason_of_program(&said)));
                }
            }
        }
    }

    fn remove(&self) {
        // what cannot be removed is an error of the next copy of the template
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
        self.remove();
    }
}
