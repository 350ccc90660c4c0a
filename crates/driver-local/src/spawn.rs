//! Starts a server's process: in its own session, in its cgroups, as its user, with its instance's lock
//! file. The only file of the project with `unsafe` code.
#![expect(
    unsafe_code,
    reason = "a process can only change its session, cgroup and user between fork and exec, for \
              which the standard library has an unsafe function alone"
)]

use std::ffi::{CStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dormouse_engine::encryption::{ServerKeys, plugin};
use dormouse_engine::{Layout, Owner, config};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit, setsid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// OOM score adjustment (`proc_pid_oom_score_adj(5)`): servers are killed before other processes, since
/// they restart in a tenth of a second without losing data.
const OOM_SCORE_ADJ: &[u8] = b"300";

/// Limit of core dumps.
const NO_CORE: Rlimit = Rlimit {
    current: Some(0),
    maximum: Some(0),
};

/// Parameters of a server's process.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Path,
    pub(crate) layout: &'a Layout,
    /// User of the server; `None` for the user of this process.
    pub(crate) owner: Option<Owner>,
    /// The `cgroup.procs` files of the cgroups it joins.
    pub(crate) cgroups: Vec<PathBuf>,
    /// Keys of an encrypted server.
    pub(crate) keys: Option<Keys>,
}

/// Keys of an encrypted server.
#[derive(Debug)]
pub(crate) struct Keys {
    /// Pipe that holds them, which the server inherits.
    pipe: OwnedFd,
    /// Directory with the plugin that reads them.
    plugin_dir: PathBuf,
}

impl Keys {
    /// Puts the keys into a pipe; they are fewer bytes than a pipe takes without a reader.
    pub(crate) fn new(keys: ServerKeys) -> io::Result<Self> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(&keys.records)?;
        Ok(Self {
            pipe: reader.into(),
            plugin_dir: keys.plugin_dir,
        })
    }
}

/// The lock file of an instance. Its holder may write the configuration and start the server, which
/// inherits it until it ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Takes the lock; `None` if another process (usually the server) holds it.
    pub(crate) fn take(layout: &Layout) -> io::Result<Option<Self>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(layout.lock())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }
}

/// Starts a server, which joins those of its cgroups that it can. Blocks until `exec`.
pub(crate) fn start(mut start: Start<'_>, Lock(lock): Lock) -> io::Result<Child> {
    let log = open_log(&start)?;
    let mut command = Command::new(start.program);
    command.arg(format!(
        "--defaults-file={}",
        start.layout.config().display()
    ));
    command.env_clear().envs(
        ["PATH", "TZ"]
            .iter()
            .filter_map(|k| Some((k, std::env::var_os(k)?))),
    );
    let keys = start.keys.take();
    if let Some(keys) = &keys {
        command.env(plugin::VARIABLE, keys.pipe.as_raw_fd().to_string());
        // not in the configuration file, whose value a script around the server may override
        let mut option = OsString::from("--plugin-dir=");
        option.push(&keys.plugin_dir);
        command.arg(option);
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let limits = open_files();
    let cgroups: Vec<OwnedFd> = start
        .cgroups
        .iter()
        .filter_map(|path| open_procs(path))
        .collect();
    let owner = start.owner;
    let become_server = move || {
        setsid()?;
        for procs in &cgroups {
            // "0" means the writer; a refusal shows in /proc/PID/cgroup later
            let _ = rustix::io::write(procs, b"0");
        }
        let _ = raise_oom_score();
        let _ = setrlimit(Resource::Nofile, limits);
        fcntl_setfd(&lock, FdFlags::empty())?;
        if let Some(keys) = &keys {
            fcntl_setfd(&keys.pipe, FdFlags::empty())?;
        }
        // a core dump would contain keys and rows
        let _ = setrlimit(Resource::Core, NO_CORE);
        if let Some(owner) = owner {
            change_user(owner)?;
        }
        set_no_new_privs(true)?;
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
    // work is allowed. All it does is a fixed list of raw system calls by rustix on values made
    // before the fork: it allocates nothing, takes no lock and does not unwind.
    unsafe { command.pre_exec(become_server) };
    command.spawn()
}

/// Opens the server's error log, which also gets its standard output and standard error.
fn open_log(start: &Start<'_>) -> io::Result<File> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(no_follow);
    let log = options.open(start.layout.error_log())?;
    if let Some(owner) = start.owner {
        std::os::unix::fs::fchown(&log, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(log)
}

fn open_procs(path: &Path) -> Option<OwnedFd> {
    OpenOptions::new()
        .write(true)
        .open(path)
        .ok()
        .map(OwnedFd::from)
}

/// Limit of open files: as many as a server needs, at most what this process may set.
fn open_files() -> Rlimit {
    let now = getrlimit(Resource::Nofile);
    let want = config::OPEN_FILES;
    let root = rustix::process::geteuid().is_root();
    let most = now
        .maximum
        .map_or(want, |hard| if root { hard.max(want) } else { hard });
    Rlimit {
        current: Some(want.min(most)),
        maximum: Some(most),
    }
}

fn raise_oom_score() -> rustix::io::Result<()> {
    const PATH: &CStr = c"/proc/self/oom_score_adj";
    let file = rustix::fs::open(PATH, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, OOM_SCORE_ADJ).map(drop)
}

/// Changes the user of the current thread: after a fork the only one.
fn change_user(owner: Owner) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}
