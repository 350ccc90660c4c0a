//! Where the master key comes from.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Key, KeyError};

/// Deadline of the command that prints the master key.
pub const MASTER_COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes that are read; a key has 64 digits.
const MOST: u64 = 4096;

/// Where a key comes from: a master key is 64 hexadecimal digits, the key of a backup repository any text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterSource {
    /// A file that only its owner can read, outside of the data directory.
    File(PathBuf),
    /// An environment variable of the program.
    Env(String),
    /// The output of a program, for instance the client of a key management service.
    Command(Vec<String>),
}

impl fmt::Display for MasterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the environment variable {name}"),
            // its arguments may be secret
            Self::Command(words) => {
                write!(
                    f,
                    "the command {}",
                    words.first().map_or("", String::as_str)
                )
            }
        }
    }
}

impl MasterSource {
    /// Reads the key. `data_dir` must not contain it. Blocks, up to `patience` for a command.
    ///
    /// # Errors
    /// It cannot be read, is no key, or is not kept safe.
    pub fn load(&self, data_dir: &Path, patience: Duration) -> Result<Key, KeyError> {
        let text = self.read(data_dir, patience)?;
        Key::from_text(&text).ok_or_else(|| KeyError::Source {
            place: self.to_string(),
            reason: "it is not 64 hexadecimal digits; `openssl rand -hex 32` makes such a key"
                .to_owned(),
        })
    }

    /// Reads the text there. `data_dir` must not contain it. Blocks, up to `patience` for a command.
    ///
    /// # Errors
    /// It cannot be read, or is not kept safe.
    pub fn read(&self, data_dir: &Path, patience: Duration) -> Result<Zeroizing<String>, KeyError> {
        let text = match self {
            Self::File(path) => from_file(path, data_dir),
            Self::Env(name) => {
                let unset = || "it is not set; set it where Dormouse is started".to_owned();
                std::env::var(name).map(Zeroizing::new).map_err(|_| unset())
            }
            Self::Command(words) => from_command(words, patience),
        };
        text.map_err(|reason| KeyError::Source {
            place: self.to_string(),
            reason,
        })
    }
}

fn from_file(path: &Path, data_dir: &Path) -> Result<Zeroizing<String>, String> {
    let told = |e: io::Error| e.to_string();
    let inside = fs::canonicalize(path).map_err(told)?;
    if fs::canonicalize(data_dir).is_ok_and(|dir| inside.starts_with(dir)) {
        return Err(
            "it is inside the data directory, so a copy of that would contain the key too; move it \
                    elsewhere"
                .to_owned(),
        );
    }
    let file = File::open(path).map_err(told)?;
    let meta = file.metadata().map_err(told)?;
    if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
        return Err(format!(
            "other users can read or change it; `chmod 600 {}` closes it",
            path.display()
        ));
    }
    read(file).map_err(told)
}

fn read(source: impl io::Read) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(128));
    source.take(MOST).read_to_string(&mut text)?;
    Ok(text)
}

/// Runs a program and returns its output. It is killed at the deadline.
fn from_command(words: &[String], patience: Duration) -> Result<Zeroizing<String>, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("it is empty; name a program".to_owned());
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|e| format!("it cannot be started: {e}"))?;
    let output = child.stdout.take();
    let (done, reading) = mpsc::channel();
    std::thread::spawn(move || {
        // the receiver is gone when the deadline has passed
        let _ = done.send(output.map(read));
    });
    let Ok(text) = reading.recv_timeout(patience) else {
        end(&mut child);
        return Err(format!(
            "it did not end within {} s, and was killed",
            patience.as_secs()
        ));
    };
    // it has closed its output, so it is about to end
    let began = std::time::Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => {
                end(&mut child);
                return Err("it did not end after its output, and was killed".to_owned());
            }
        }
    };
    if !status.success() {
        return Err(format!("it ended with {status}"));
    }
    match text {
        Some(Ok(text)) => Ok(text),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("it has no output".to_owned()),
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn load(source: &MasterSource, data_dir: &Path) -> Result<Key, String> {
        source
            .load(data_dir, Duration::from_secs(20))
            .map_err(|e| e.to_string())
    }

    fn refused(source: &MasterSource, reason: &str) {
        let error = load(source, Path::new("/nowhere")).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn a_key_file_must_be_private_and_outside_of_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master");
        let source = MasterSource::File(path.clone());
        refused(&source, "No such file");
        fs::write(&path, KEY).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            refused(&source, "chmod 600");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(
            load(&source, Path::new("/nowhere")).unwrap(),
            Key::from_text(KEY).unwrap()
        );
        let error = load(&source, dir.path()).unwrap_err();
        assert!(error.contains("inside the data directory"), "{error}");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(load(&MasterSource::File(link), dir.path()).is_err());
    }

    #[test]
    fn a_command_prints_the_key() {
        let command =
            |script: &str| MasterSource::Command(["sh", "-c", script].map(str::to_owned).to_vec());
        let printed = load(&command(&format!("echo {KEY}")), Path::new("/nowhere"));
        assert_eq!(printed.unwrap(), Key::from_text(KEY).unwrap());
        refused(&command(&format!("echo {KEY}; exit 3")), "exit status: 3");
        refused(&command("echo hello"), "64 hexadecimal digits");
        refused(&command("exec yes"), "signal: 13");
        refused(&MasterSource::Command(Vec::new()), "name a program");
        refused(
            &MasterSource::Command(vec!["/nowhere/kms".to_owned()]),
            "cannot be started",
        );
    }

    #[test]
    fn a_command_that_hangs_is_killed_at_the_deadline() {
        let source = MasterSource::Command(["sleep", "1000"].map(str::to_owned).to_vec());
        let error = source
            .load(Path::new("/nowhere"), Duration::from_millis(10))
            .unwrap_err();
        assert!(error.to_string().contains("was killed"), "{error}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        refused(
            &MasterSource::Env("DORMOUSE_TEST_NO_SUCH_KEY".to_owned()),
            "DORMOUSE_TEST_NO_SUCH_KEY",
        );
    }
}
