//! A server of its own, without Dormouse, and what two servers have in common.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use dormouse_testkit::{Client, process};
use tempfile::TempDir;

/// A server that listens on a Unix socket; killed and removed on drop.
pub(crate) struct Server {
    child: Child,
    dir: TempDir,
    options: Vec<String>,
}

/// The program that the tests use, or its neighbour of another name.
fn program(name: &str) -> PathBuf {
    let mariadbd = std::env::var_os("DORMOUSE_TEST_MARIADBD").map(PathBuf::from);
    let neighbour = mariadbd.map(|path| path.with_file_name(name));
    let installed =
        ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(|dir| Path::new(dir).join(name));
    let mut all = neighbour.into_iter().chain(installed);
    all.find(|path| path.is_file()).unwrap()
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// One with further options.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("dmsource")
            .tempdir_in("/tmp")
            .unwrap();
        let data = dir.path().join("data");
        let made = Command::new(program("mariadb-install-db"))
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", dir.path().display()))
            .args([
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--user=root",
            ])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        Self {
            child: Self::run_in(dir.path(), &options),
            dir,
            options,
        }
    }

    /// Kills it and starts it again.
    pub(crate) fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::run_in(self.dir.path(), &self.options);
    }

    fn run_in(dir: &Path, options: &[String]) -> Child {
        let log = File::create(dir.join("log")).unwrap();
        let child = Command::new(program("mariadbd"))
            .arg("--no-defaults")
            .arg(format!("--datadir={}", dir.join("data").display()))
            .arg(format!("--socket={}", dir.join("s").display()))
            .arg(format!("--pid-file={}", dir.join("pid").display()))
            // a server that starts removes temporary tables from its directory, also those of another server
            .arg(format!("--tmpdir={}", dir.display()))
            .args(options)
            .args([
                "--skip-networking",
                "--user=root",
                "--innodb-buffer-pool-size=32M",
                "--innodb-log-file-size=8M",
                "--event-scheduler=OFF",
                "--character-set-server=utf8mb4",
            ])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        process::until("the server listens", || {
            std::os::unix::net::UnixStream::connect(dir.join("s")).is_ok()
        });
        child
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// A directory for files of the test.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn connect(&self) -> Client {
        let mut client = Client::unix(&self.socket());
        client.login("root", "", None).ok();
        client
    }

    pub(crate) fn run(&self, statements: &[&str]) {
        let mut client = self.connect();
        client.query("SET NAMES utf8mb4").ok();
        statements.iter().for_each(|sql| {
            client.query(sql).ok();
        });
    }

    /// Dumps schemas with the tool itself.
    pub(crate) fn dump(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new("mariadb-dump")
            .arg("--no-defaults")
            .arg(format!("--socket={}", self.socket().display()))
            .args([
                "--user=root",
                "--routines",
                "--triggers",
                "--events",
                "--hex-blob",
            ])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rows(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let rows = client.query(sql).rows();
    let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
    rows.into_iter()
        .map(|row| row.into_iter().map(text).collect())
        .collect()
}

/// Without what differs from server to server: definers, and when something was made.
fn without_definer(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("DEFINER=") {
        out.push_str(before);
        rest = behind.split_once(' ').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// Definitions and checksums of all that schemas have, one line each.
pub(crate) fn contents(client: &mut Client, schemas: &[&str]) -> Vec<String> {
    // names of views have their schema unless it is the current one
    client.query("USE information_schema").ok();
    client.query("SET NAMES utf8mb4").ok();
    client.query("SET sql_mode = ''").ok();
    client.query("SET time_zone = '+00:00'").ok();
    let mut all = Vec::new();
    for schema in schemas {
        let mut of = Vec::new();
        let tables = format!(
            "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{schema}' \
             ORDER BY TABLE_NAME"
        );
        for row in rows(client, &tables) {
            let kind = match row[1].as_str() {
                "VIEW" => "VIEW",
                "SEQUENCE" => "SEQUENCE",
                _ => "TABLE",
            };
            of.push((kind, row[0].clone(), 1));
        }
        for (kind, sql, column) in [
            (
                "PROCEDURE",
                "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'PROCEDURE' AND ROUTINE_SCHEMA",
                2,
            ),
            (
                "FUNCTION",
                "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA",
                2,
            ),
            (
                "TRIGGER",
                "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA",
                2,
            ),
            (
                "EVENT",
                "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA",
                3,
            ),
        ] {
            for row in rows(client, &format!("{sql} = '{schema}' ORDER BY 1")) {
                of.push((kind, row[0].clone(), column));
            }
        }
        for (kind, name, column) in of {
            let quoted = name.replace('`', "``");
            let sql = format!("SHOW CREATE {kind} `{schema}`.`{quoted}`");
            let row = rows(client, &sql).remove(0);
            let mode = match column {
                1 => "",
                _ => row[1].as_str(),
            };
            all.push(format!(
                "{kind} {name} {mode} {}",
                without_definer(&row[column])
            ));
            if matches!(kind, "TABLE" | "SEQUENCE" | "VIEW") {
                let sum = match kind {
                    "TABLE" => format!("CHECKSUM TABLE `{schema}`.`{quoted}`"),
                    _ => format!("SELECT * FROM `{schema}`.`{quoted}`"),
                };
                all.push(format!("{kind} {name} has {:?}", rows(client, &sum)));
            }
        }
    }
    all
}
