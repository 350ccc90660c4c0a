//! What the server program is in truth: a program file or a script that ends in one, with which arguments,
//! environment and libraries.
//!
//! A sandboxed server cannot run a script, since a shell is no file of the server. So the program is run once,
//! asked for its help, and looked at while it waits for a reader of its output.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dormouse_engine::Installation;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::PipeFlags;
use rustix::time::Timespec;

use crate::spawn::{MOST_WORDS, environment};

/// Time for the first output of the program.
const PATIENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// Size of the pipe for its output: one page, so that it must wait.
const PIPE: usize = 4096;

/// First argument, in whose place `--defaults-file` is given to a server.
const MARK: &str = "--no-defaults";

/// Arguments that let it print much.
const ASKED: [&str; 2] = ["--verbose", "--help"];

/// Environment variables that a shell sets for itself.
const OF_SHELLS: [&str; 4] = ["PWD", "OLDPWD", "SHLVL", "_"];

/// The server program as it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// The program file.
    pub(crate) program: CString,
    /// Arguments before and after the path of the configuration file; the first is the program's name.
    before: Vec<CString>,
    after: Vec<CString>,
    /// The environment, as `NAME=value`.
    pub(crate) environment: Vec<CString>,
    /// Files that it has mapped: the program, its loader and libraries.
    pub(crate) files: Vec<PathBuf>,
    /// Directories of its messages and plugins.
    pub(crate) directories: Vec<PathBuf>,
    /// Whether it uses `io_uring`.
    pub(crate) io_uring: bool,
}

impl Image {
    /// Runs the program and looks at it. Blocks for some milliseconds.
    ///
    /// # Errors
    /// The program does not run, or it is a script that does not end in the server.
    pub(crate) fn observe(installation: &Installation) -> io::Result<Self> {
        let basedir = installation.basedir.as_ref().map(|basedir| {
            let mut option = OsString::from("--basedir=");
            option.push(basedir);
            option
        });
        Self::of(&installation.mariadbd, basedir, installation)
    }

    /// The same for another program of the server.
    ///
    /// # Errors
    /// As those of [`observe`](Self::observe).
    pub(crate) fn of(
        program: &Path,
        option: Option<OsString>,
        installation: &Installation,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        command
            .arg(MARK)
            .args(option)
            .args(ASKED)
            .env_clear()
            .envs(environment())
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let (output, write_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::pipe::fcntl_setpipe_size(&write_end, PIPE)?;
        let mut child = command.stdout(write_end).spawn()?;
        let seen = look(&child, &output, program, installation);
        let _ = child.kill();
        let _ = child.wait();
        seen
    }

    /// Arguments of a server with this configuration file.
    pub(crate) fn arguments(&self, config: &Path) -> io::Result<Vec<CString>> {
        let mut option = OsString::from("--defaults-file=");
        option.push(config);
        self.arguments_of(&[option])
    }

    /// Arguments of the program, where the first of these is about option files.
    pub(crate) fn arguments_of(&self, given: &[OsString]) -> io::Result<Vec<CString>> {
        let word = |word: &OsString| CString::new(word.clone().into_vec());
        let given: Vec<_> = given.iter().map(word).collect::<Result<_, _>>()?;
        let (first, rest) = given.split_at(given.len().min(1));
        Ok([&self.before[..], first, &self.after[..], rest].concat())
    }
}

fn look(
    child: &Child,
    output: &OwnedFd,
    program: &Path,
    installation: &Installation,
) -> io::Result<Image> {
    let mut fds = [PollFd::new(output, PollFlags::IN)];
    if poll(&mut fds, Some(&PATIENCE))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    let file = fs::read_link(proc.join("exe"))?;
    if interpreter(program).is_some_and(|shell| shell == file) {
        return Err(io::Error::other(format!(
            "{} is a script that does not run the server with 'exec'",
            program.display()
        )));
    }
    let words = words(&fs::read(proc.join("cmdline"))?)?;
    let at = words.iter().position(|w| w.as_bytes() == MARK.as_bytes());
    let at = at.ok_or_else(|| {
        io::Error::other(format!(
            "{} does not pass its arguments on to the server",
            program.display()
        ))
    })?;
    // the configuration file has the server's --basedir
    let given = |word: &CString| {
        let bytes = word.as_bytes();
        let basedir = installation.basedir.as_ref().is_some_and(|dir| {
            bytes.strip_prefix(b"--basedir=") == Some(dir.as_os_str().as_bytes())
        });
        !basedir && !ASKED.iter().any(|a| a.as_bytes() == bytes)
    };
    let mut environment = self::words(&fs::read(proc.join("environ"))?)?;
    environment.retain(|word| {
        let name = word.as_bytes().split(|b| *b == b'=').next().unwrap_or(&[]);
        !OF_SHELLS.iter().any(|of| of.as_bytes() == name)
    });
    let after: Vec<_> = words[at + 1..]
        .iter()
        .filter(|w| given(w))
        .cloned()
        .collect();
    if at + after.len() + 1 > MOST_WORDS || environment.len() > MOST_WORDS {
        return Err(io::Error::other(format!(
            "{} gives the server more than {MOST_WORDS} arguments or environment variables",
            program.display()
        )));
    }
    let files = mapped(&fs::read(proc.join("maps"))?);
    let io_uring = files.iter().any(|file| {
        file.file_name()
            .is_some_and(|name| name.as_bytes().starts_with(b"liburing"))
    });
    Ok(Image {
        program: CString::new(file.into_os_string().into_vec())?,
        before: words[..at].to_vec(),
        directories: directories(&after, installation),
        after,
        environment,
        files,
        io_uring,
    })
}

/// Directories that the server's options name, and the one of its plugins.
fn directories(arguments: &[CString], installation: &Installation) -> Vec<PathBuf> {
    const OPTIONS: [&[u8]; 3] = [
        b"--lc-messages-dir=",
        b"--character-sets-dir=",
        b"--plugin-dir=",
    ];
    let of = |word: &CString| {
        let bytes = word.as_bytes();
        let dir = OPTIONS
            .iter()
            .find_map(|option| bytes.strip_prefix(*option))?;
        Some(PathBuf::from(OsStr::from_bytes(dir)))
    };
    let basedir = installation.basedir.as_ref();
    let below = ["share", "lib"]
        .into_iter()
        .filter_map(|name| Some(basedir?.join(name)));
    let builtin = ["plugin-dir", "lc-messages-dir", "character-sets-dir"]
        .into_iter()
        .filter_map(|option| installation.default_of(option))
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute());
    let all: BTreeSet<_> = arguments
        .iter()
        .filter_map(of)
        .chain(below)
        .chain(builtin)
        .collect();
    all.into_iter().collect()
}

/// Strings that end with NUL, as in `/proc/PID/cmdline`.
fn words(bytes: &[u8]) -> io::Result<Vec<CString>> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let each = bytes.split(|b| *b == 0).map(CString::new);
    Ok(each.collect::<Result<_, _>>()?)
}

/// Files in `/proc/PID/maps`, each once.
fn mapped(maps: &[u8]) -> Vec<PathBuf> {
    let path = |line: &[u8]| {
        let start = line.iter().position(|b| *b == b'/')?;
        let path = &line[start..];
        (!path.ends_with(b" (deleted)")).then(|| PathBuf::from(OsStr::from_bytes(path)))
    };
    let files: BTreeSet<_> = maps.split(|b| *b == b'\n').filter_map(path).collect();
    files.into_iter().filter(|file| file.is_file()).collect()
}

/// The program that runs a script; `None` if the file is no script.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let text = fs::read(program).ok()?;
    let line = text.strip_prefix(b"#!")?.split(|b| *b == b'\n').next()?;
    let path = line
        .split(u8::is_ascii_whitespace)
        .find(|w| !w.is_empty())?;
    fs::canonicalize(OsStr::from_bytes(path)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_with_nul() {
        let read = words(b"a\0b c\0\0").unwrap();
        let read: Vec<_> = read.iter().map(|w| w.to_bytes()).collect();
        assert_eq!(read, [&b"a"[..], b"b c", b""]);
        assert!(words(b"").unwrap().is_empty());
    }

    #[test]
    fn an_interpreter_is_read_from_the_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("s");
        fs::write(&script, "#! /bin/sh -e\nexit\n").unwrap();
        assert_eq!(interpreter(&script), fs::canonicalize("/bin/sh").ok());
        fs::write(&script, "\x7fELF").unwrap();
        assert_eq!(interpreter(&script), None);
    }
}
