//! Finds the server installed on this machine and lists its options.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dormouse_types::Bytes;

use crate::config::LOCK_INFO;
use crate::error::doing;
use crate::{EngineError, Family, Version};

/// The oldest MariaDB that is supported.
const OLDEST_MARIADB: (u16, u16, u16) = (10, 11, 0);

/// Where to look for a server; every field has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// The server program, or a script that runs it and passes all arguments on, in order
    /// (`--defaults-file` or `--no-defaults` must stay first). Default: `/usr/sbin/mariadbd`, then
    /// the directories of `PATH`.
    pub mariadbd: Option<PathBuf>,
    /// The program that creates a data directory. Default: `mariadb-install-db` beside the server,
    /// in `../bin` or `../scripts`, or in `PATH`.
    pub install_db: Option<PathBuf>,
    /// The server's `--basedir`, if it cannot find it itself.
    pub basedir: Option<PathBuf>,
}

/// A server installed on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The server program.
    pub mariadbd: PathBuf,
    /// The program that creates a data directory.
    pub install_db: PathBuf,
    /// The server's `--basedir`, if it cannot find it itself.
    pub basedir: Option<PathBuf>,
    /// Its version.
    pub version: Version,
    /// The machine's memory.
    pub machine_memory: Bytes,
    /// Every option of the server, written with `-`, and its default.
    options: BTreeMap<String, String>,
}

/// This machine's memory.
#[must_use]
pub fn machine_memory() -> Bytes {
    Bytes(rustix::system::sysinfo().totalram)
}

impl Installation {
    /// Finds the server and reads its version and options.
    ///
    /// # Errors
    /// There is no server, it does not run, or it is too old; the text says what to install.
    pub fn probe(search: &Search) -> Result<Self, EngineError> {
        let mariadbd = find_server(search)?;
        let banner = run(&mariadbd, &["--no-defaults", "--version"])?;
        let not_a_server = |reason: String| EngineError::NotAServer {
            program: mariadbd.clone(),
            reason,
        };
        let version = Version::from_banner(&banner).ok_or_else(|| {
            not_a_server(format!("it printed as its version {:?}", banner.trim()))
        })?;
        if version.family != Family::MariaDb {
            return Err(not_a_server(format!(
                "{version} is MySQL, which is not supported yet; use MariaDB"
            )));
        }
        if version.numbers() < OLDEST_MARIADB {
            let (major, minor, _) = OLDEST_MARIADB;
            return Err(not_a_server(format!(
                "{version} is older than MariaDB {major}.{minor}, the oldest supported version"
            )));
        }
        let mut arguments: Vec<OsString> = vec!["--no-defaults".into()];
        arguments.extend(basedir_option(search.basedir.as_deref()));
        arguments.extend(["--verbose".into(), "--help".into()]);
        let help = run(&mariadbd, &arguments)?;
        let install_db = find_installer(search, &mariadbd)?;
        let options = options(&help);
        let machine_memory = machine_memory();
        Ok(Self {
            mariadbd,
            install_db,
            basedir: search.basedir.clone(),
            version,
            machine_memory,
            options,
        })
    }

    /// Whether the server has an option, written with `-`.
    #[must_use]
    pub fn knows(&self, option: &str) -> bool {
        self.options.contains_key(option)
    }

    /// An option's default as `--help` shows it.
    #[must_use]
    pub fn default_of(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(String::as_str)
    }

    /// A description with these options, without programs.
    #[cfg(test)]
    pub(crate) fn for_tests(options: &[(&str, &str)], machine_memory: Bytes) -> Self {
        Self {
            mariadbd: PathBuf::new(),
            install_db: PathBuf::new(),
            basedir: None,
            version: Version {
                family: Family::MariaDb,
                major: 11,
                minor: 8,
                patch: 6,
                full: "11.8.6-MariaDB".to_owned(),
            },
            machine_memory,
            options: options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        }
    }

    /// Whether its servers can list metadata locks and their holders.
    #[must_use]
    pub fn tells_locks(&self) -> bool {
        self.has_plugin(LOCK_INFO)
    }

    /// Whether a plugin's library is installed; `name` is without `.so`.
    #[must_use]
    pub fn has_plugin(&self, name: &str) -> bool {
        let dir = self.plugin_dir();
        dir.is_some_and(|dir| dir.join(format!("{name}.so")).is_file())
    }

    /// Directory of the server's plugins.
    #[must_use]
    pub fn plugin_dir(&self) -> Option<&Path> {
        self.options.get("plugin-dir").map(Path::new)
    }
}

/// The `--basedir` option, if one is configured.
pub(crate) fn basedir_option(basedir: Option<&Path>) -> Option<OsString> {
    basedir.map(|dir| {
        let mut option = OsString::from("--basedir=");
        option.push(dir);
        option
    })
}

fn find_server(search: &Search) -> Result<PathBuf, EngineError> {
    let candidates = match &search.mariadbd {
        Some(path) => vec![path.clone()],
        None => std::iter::once("/usr/sbin".into())
            .chain(path_dirs())
            .map(|d| d.join("mariadbd"))
            .collect(),
    };
    let found = candidates
        .iter()
        .find(|p| p.is_file())
        .and_then(|p| std::path::absolute(p).ok());
    found.ok_or_else(|| {
        let looked: Vec<_> = candidates.iter().map(|p| p.display().to_string()).collect();
        EngineError::NoServer {
            looked: looked.join(", "),
        }
    })
}

fn find_installer(search: &Search, server: &Path) -> Result<PathBuf, EngineError> {
    if let Some(path) = &search.install_db {
        return Ok(path.clone());
    }
    let beside = server.parent().unwrap_or(Path::new("/"));
    let dirs = [
        beside.to_owned(),
        beside.join("../bin"),
        beside.join("../scripts"),
    ];
    let mut candidates = dirs
        .into_iter()
        .chain(path_dirs())
        .map(|d| d.join("mariadb-install-db"));
    candidates
        .find(|p| p.is_file())
        .ok_or_else(|| EngineError::NoInstaller {
            server: server.to_owned(),
        })
}

/// The directories of `PATH`.
pub(crate) fn path_dirs() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default()
}

/// Runs a program of the server and returns its output.
fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> Result<String, EngineError> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(doing(format!("running {}", program.display())))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.trim().lines().last().unwrap_or("it printed nothing");
    Err(EngineError::NotAServer {
        program: program.to_owned(),
        reason: format!("{}: {last}", output.status),
    })
}

/// Parses the table of options at the end of the output of `--verbose --help`, after a ruled line.
fn options(help: &str) -> BTreeMap<String, String> {
    let is_rule = |line: &&str| line.starts_with("-----") && line.trim_end().ends_with("----");
    let table = help.lines().skip_while(|line| !is_rule(line)).skip(1);
    let rows = table.take_while(|line| !line.trim().is_empty());
    rows.filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().to_owned()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_options_is_parsed() {
        let help = "\
mariadbd  Ver 10.11.19-MariaDB
  --symbolic-links    Permit symlinks

Variables (--variable-name=value) and boolean options {FALSE|TRUE}  Value (after reading options)
----------------------------------------------------------------- -------------
allow-suspicious-udfs                                             FALSE
plugin-dir                                                        /usr/lib/mysql/plugin/
tmpdir                                                            /tmp

To see what values a running MySQL server is using, type
";
        let read = options(help);
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            read,
            [
                ("allow-suspicious-udfs", "FALSE"),
                ("plugin-dir", "/usr/lib/mysql/plugin/"),
                ("tmpdir", "/tmp")
            ]
        );
    }

    #[test]
    fn a_missing_server_error_names_paths_and_packages() {
        let search = Search {
            mariadbd: Some("/nowhere/mariadbd".into()),
            ..Search::default()
        };
        let error = Installation::probe(&search).map_err(|e| e.to_string());
        assert!(
            error
                .as_ref()
                .is_err_and(|e| e.contains("/nowhere/mariadbd") && e.contains("apt-get install")),
            "{error:?}"
        );
    }

    #[test]
    fn another_program_is_refused() {
        for (program, reason) in [
            ("/bin/true", "printed as its version"),
            ("/bin/false", "exit status"),
        ] {
            let search = Search {
                mariadbd: Some(program.into()),
                ..Search::default()
            };
            let error = Installation::probe(&search).map_err(|e| e.to_string());
            assert!(
                error.as_ref().is_err_and(|e| e.contains(reason)),
                "{error:?}"
            );
        }
    }
}
