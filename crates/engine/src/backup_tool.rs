//! The program `mariadb-backup`, which copies the files of a server that runs on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::FILES;
use crate::installation::path_dirs;
use crate::{Installation, Version};

/// Its name.
const NAME: &str = "mariadb-backup";

/// Longest reason that is taken from its output.
const LONGEST_REASON: usize = 300;

/// The program, of the same version as the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupTool {
    /// The program file, or a script that runs it with `exec`.
    pub program: PathBuf,
}

/// Why there is none for a server.
#[derive(Debug, thiserror::Error)]
pub enum NoBackupTool {
    /// It is not installed.
    #[error("{NAME} is not installed: install the Debian package {NAME} of version {wanted}")]
    Missing {
        /// The server's version.
        wanted: String,
    },
    /// It has another version than the server, whose files it may not know.
    #[error(
        "{program} has version {found}, and the server {wanted}: install the Debian package {NAME} of the server's version"
    )]
    OtherVersion {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: String,
        /// The server's version.
        wanted: String,
    },
}

impl BackupTool {
    /// Finds the program beside the server or in `PATH`. Blocks.
    ///
    /// # Errors
    /// There is none of the server's version.
    pub fn find(installation: &Installation) -> Result<Self, NoBackupTool> {
        let server = installation.mariadbd.parent().unwrap_or(Path::new("/"));
        let mut dirs = vec![server.to_owned(), server.join("../bin")];
        dirs.extend(path_dirs());
        dirs.push("/usr/bin".into());
        Self::find_in(&dirs, &installation.version)
    }

    fn find_in(dirs: &[PathBuf], wanted: &Version) -> Result<Self, NoBackupTool> {
        let mut other = None;
        for program in dirs.iter().map(|dir| dir.join(NAME)) {
            let Some(found) = version_of(&program) else {
                continue;
            };
            if found.numbers() == wanted.numbers() {
                return Ok(Self { program });
            }
            other.get_or_insert((program, found));
        }
        let wanted = text(wanted);
        Err(match other {
            None => NoBackupTool::Missing { wanted },
            Some((program, found)) => NoBackupTool::OtherVersion {
                program,
                found: text(&found),
                wanted,
            },
        })
    }
}

/// Options that tell the program how InnoDB's files of any instance are arranged.
pub fn file_options() -> impl Iterator<Item = String> {
    let told = |name: &str| ["innodb-data-file-path", "innodb-undo-tablespaces"].contains(&name);
    let files = FILES.into_iter().filter(move |(name, _)| told(name));
    files.map(|(name, value)| format!("--{name}={value}"))
}

fn text(version: &Version) -> String {
    let (major, minor, patch) = version.numbers();
    format!("{major}.{minor}.{patch}")
}

/// The version of a program; `None` if it does not run.
fn version_of(program: &Path) -> Option<Version> {
    if !program.is_file() {
        return None;
    }
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    let output = command.output().ok()?;
    from_banner(&String::from_utf8_lossy(&output.stdout))
        .or_else(|| from_banner(&String::from_utf8_lossy(&output.stderr)))
}

/// Reads `… based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)`.
fn from_banner(banner: &str) -> Option<Version> {
    let (_, rest) = banner.split_once(" MariaDB server ")?;
    Version::from_text(rest.split_whitespace().next()?)
}

/// What its output says of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The server wrote its redo log anew before the program had read it.
    Overrun,
    /// A page of a file has a wrong checksum, again and again.
    Damaged {
        /// The file, below the data directory.
        file: String,
        /// The page.
        page: u64,
    },
    /// Something else.
    Other(String),
}

/// Reads the reason of a failure in the program's output.
#[must_use]
pub fn failure(output: &str) -> Failure {
    const PAGE: &str = "corruption detected at page ";
    if output.contains("Was only able to copy log from") {
        return Failure::Overrun;
    }
    let lines = || output.lines().map(without_time);
    let damaged = lines().rev().find_map(|line| {
        let (before, _) = line.split_once(" seems to be corrupted")?;
        let (_, file) = before.rsplit_once("File ")?;
        Some(file.trim_start_matches("./").to_owned())
    });
    let page = lines().rev().find_map(|line| {
        let (_, rest) = line.split_once(PAGE)?;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    });
    if let (Some(file), Some(page)) = (damaged, page) {
        return Failure::Damaged { file, page };
    }
    let tells = |line: &&str| {
        let line = line.to_ascii_lowercase();
        // it says so after any other error
        let follows =
            line.contains("my_thread_global_end") || line.contains("srv_start() returned");
        !follows
            && ["error", "failed", "cannot", "can't"]
                .iter()
                .any(|word| line.contains(word))
    };
    let last = lines().rev().find(tells);
    let last = last.or_else(|| lines().rev().find(|line| !line.is_empty()));
    let last = last.unwrap_or("it printed nothing");
    Failure::Other(last.chars().take(LONGEST_REASON).collect())
}

/// A line of the output without its thread and time: `[00] FATAL ERROR: 2026-11-29 12:34:56 what happened`.
fn without_time(line: &str) -> &str {
    let line = line.trim();
    let line = line.strip_prefix("[00] ").unwrap_or(line);
    let line = line.strip_prefix("FATAL ERROR: ").unwrap_or(line);
    let is_time = |c: char| c.is_ascii_digit() || "-: ".contains(c);
    match line.get(..20) {
        Some(time) if time.chars().all(is_time) => line.get(20..).unwrap_or(line),
        _ => line,
    }
}

#[cfg(test)]
mod tests;
