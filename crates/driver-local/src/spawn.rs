//! Starts a server's process: in its own session, in its cgroups, as its user, confined to its sandbox, with
//! its instance's lock file. The only file of the project with `unsafe` code.
#![expect(
    unsafe_code,
    reason = "a process can only change its session, cgroup, user and sandbox between fork and exec, for \
              which the standard library has an unsafe function alone"
)]

use std::ffi::{CStr, CString, OsString, c_char};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::ptr;

use dormouse_engine::{Layout, Owner};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::{
    Gid, Resource, Rlimit, Signal, Uid, getpid, getppid, getrlimit,
    set_parent_process_death_signal, setpriority_process, setrlimit, setsid, umask,
};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use seccompiler::BpfProgram;

use crate::key_pipe::KeyPipe;

/// OOM score adjustment (`proc_pid_oom_score_adj(5)`): servers are killed before other processes, since
/// they restart in a tenth of a second without losing data.
const OOM_SCORE_ADJ: &[u8] = b"300";

/// Bits of an error code that are the system's error; those above are the [`Step`] that failed.
const STEP_SHIFT: u32 = 12;

/// Most arguments, and most environment variables, of a server.
pub(crate) const MOST_WORDS: usize = 31;

/// Third to fifth argument of the one permitted `execve`, which has only three arguments: a password. It is in
/// no memory of the server, since `execve` replaces that.
pub(crate) type ExecSecret = [u64; 3];

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
    pub(crate) keys: Option<KeyPipe>,
    /// Its sandbox.
    pub(crate) confinement: Confinement,
}

/// Sandbox of a process, made ready before the fork.
#[derive(Debug, Default)]
pub(crate) struct Confinement {
    /// Limits of resources.
    pub(crate) limits: Vec<(Resource, Rlimit)>,
    /// Whether it yields CPU and disk to others, and ends with the process that started it.
    pub(crate) helper: bool,
    pub(crate) network: Network,
    /// Landlock's ruleset.
    pub(crate) rules: Option<OwnedFd>,
    /// Seccomp's filters, in the order of their installation.
    pub(crate) filters: Vec<BpfProgram>,
    /// How the server is executed under filters and rules.
    pub(crate) exec: Option<Exec>,
}

/// Network of a process.
#[derive(Debug, Default)]
pub(crate) enum Network {
    /// The machine's.
    #[default]
    Shared,
    /// A namespace without interfaces.
    Own,
    /// The same, in a user namespace with these maps of the user and the group: without root.
    OwnAsUser(Vec<u8>, Vec<u8>),
}

/// The one `execve` that the filters permit.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) program: CString,
    /// At most [`MOST_WORDS`] + 1, as of the environment.
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    pub(crate) secret: ExecSecret,
}

/// What a process does on its way into its sandbox; names the failure of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Session = 1,
    Descriptors,
    Limits,
    Network,
    User,
    Files,
    Calls,
    Program,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::Session,
        Self::Descriptors,
        Self::Limits,
        Self::Network,
        Self::User,
        Self::Files,
        Self::Calls,
        Self::Program,
    ];

    /// An error of this step, as one number: all that a child can tell its parent.
    fn failed(self, errno: Errno) -> io::Error {
        io::Error::from_raw_os_error((self as i32) << STEP_SHIFT | errno.raw_os_error())
    }

    /// The error that a child told.
    fn told(error: io::Error) -> io::Error {
        let Some(code) = error.raw_os_error() else {
            return error;
        };
        let Some(step) = Self::ALL
            .into_iter()
            .find(|s| *s as i32 == code >> STEP_SHIFT)
        else {
            return error;
        };
        let source = io::Error::from_raw_os_error(code & ((1 << STEP_SHIFT) - 1));
        let doing = match step {
            Self::Session => "becoming a session of its own",
            Self::Descriptors => "closing descriptors",
            Self::Limits => "limiting resources",
            Self::Network => "entering a network namespace",
            Self::User => "becoming its user",
            Self::Files => "restricting files (Landlock)",
            Self::Calls => "restricting system calls (seccomp)",
            Self::Program => "executing the program",
        };
        io::Error::new(source.kind(), format!("{doing}: {source}"))
    }
}

/// Environment of servers: of this process's only what they need.
pub(crate) fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    ["PATH", "TZ"]
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
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
    command.env_clear().envs(environment());
    let (keys, mut confinement) = (start.keys.take(), start.confinement);
    if let Some(keys) = &keys {
        command.arg(&keys.option);
        if let Some(exec) = &mut confinement.exec {
            exec.arguments.push(keys.option()?);
        }
        tell_keys(&mut command, confinement.exec.as_mut(), keys)?;
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    let cgroups: Vec<OwnedFd> = start
        .cgroups
        .iter()
        .filter_map(|path| open_procs(path))
        .collect();
    let owner = start.owner;
    let become_server = move || {
        setsid().map_err(|e| Step::Session.failed(e))?;
        for procs in &cgroups {
            // "0" means the writer; a refusal shows in /proc/PID/cgroup later
            let _ = rustix::io::write(procs, b"0");
        }
        let _ = raise_oom_score();
        umask(Mode::from_raw_mode(0o077));
        close_on_exec();
        let inherited = keys.as_ref().map(|keys| keys.pipe.as_fd());
        for file in [Some(lock.as_fd()), inherited].into_iter().flatten() {
            fcntl_setfd(file, FdFlags::empty()).map_err(|e| Step::Descriptors.failed(e))?;
        }
        confine(&confinement, owner)?;
        match &confinement.exec {
            Some(exec) => Err(Step::Program.failed(execute(exec))),
            None => Ok(()),
        }
    };
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe
    // work is allowed. All it does is a fixed list of raw system calls on values made before the
    // fork: it allocates nothing, takes no lock and does not unwind.
    unsafe { command.pre_exec(become_server) };
    command.spawn().map_err(Step::told)
}

/// A program that works on the files of an instance. It ends when the thread that started it does.
#[derive(Debug)]
pub(crate) struct Helper<'a> {
    pub(crate) program: &'a Path,
    pub(crate) arguments: Vec<OsString>,
    /// Its user; `None` for the user of this process.
    pub(crate) owner: Option<Owner>,
    /// Keys of an encrypted instance.
    pub(crate) keys: Option<KeyPipe>,
    pub(crate) confinement: Confinement,
    /// Gets its standard output and standard error.
    pub(crate) log: File,
}

/// Starts a program that works on the files of an instance. Blocks until `exec`.
pub(crate) fn start_helper(mut helper: Helper<'_>) -> io::Result<Child> {
    let mut command = Command::new(helper.program);
    command.args(&helper.arguments);
    command.env_clear().envs(environment());
    if let Some(keys) = &helper.keys {
        tell_keys(&mut command, helper.confinement.exec.as_mut(), keys)?;
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(helper.log.try_clone()?)
        .stderr(helper.log);
    let (owner, keys) = (helper.owner, helper.keys);
    let confinement = Confinement {
        helper: true,
        ..helper.confinement
    };
    let parent = getpid();
    let become_helper = move || {
        setsid().map_err(|e| Step::Session.failed(e))?;
        let _ = raise_oom_score();
        umask(Mode::from_raw_mode(0o077));
        close_on_exec();
        if let Some(keys) = &keys {
            fcntl_setfd(&keys.pipe, FdFlags::empty()).map_err(|e| Step::Descriptors.failed(e))?;
        }
        confine(&confinement, owner)?;
        if getppid() != Some(parent) {
            // it has ended before it was watched
            return Err(Step::Session.failed(Errno::SRCH));
        }
        match &confinement.exec {
            Some(exec) => Err(Step::Program.failed(execute(exec))),
            None => Ok(()),
        }
    };
    // SAFETY: as in `start`
    unsafe { command.pre_exec(become_helper) };
    command.spawn().map_err(Step::told)
}

/// Something that a sandbox must refuse.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attempt {
    /// Reading a file of the system.
    ReadFile(&'static CStr),
    /// Reaching an address of the machine.
    ReachLoopback,
    /// Listening on a TCP port.
    Listen,
    /// A socket of a family that no server uses.
    OpenSocket,
}

/// Tries a sandbox in a process of its own: whether it refuses the attempt.
///
/// # Errors
/// The sandbox cannot be set up here.
pub(crate) fn refuses(confinement: Confinement, attempt: Attempt) -> io::Result<bool> {
    let mut command = Command::new("/");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let try_it = move || {
        confine(&confinement, None)?;
        let refused = refused(attempt);
        // SAFETY: ends the child at once; runs nothing of the parent's
        unsafe { libc::_exit(i32::from(!refused)) }
    };
    // SAFETY: as in `start`
    unsafe { command.pre_exec(try_it) };
    let status = command.spawn().map_err(Step::told)?.wait()?;
    Ok(status.success())
}

fn refused(attempt: Attempt) -> bool {
    let address = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    match attempt {
        Attempt::ReadFile(path) => {
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).is_err()
        }
        Attempt::ReachLoopback => socket(AddressFamily::INET, SocketType::DGRAM, None)
            .and_then(|socket| connect(&socket, &address(9)))
            .is_err(),
        Attempt::Listen => socket(AddressFamily::INET, SocketType::STREAM, None)
            .and_then(|socket| bind(&socket, &address(0)))
            .is_err(),
        Attempt::OpenSocket => socket(AddressFamily::NETLINK, SocketType::RAW, None).is_err(),
    }
}

/// Confines the current process: after a fork, its only thread.
fn confine(to: &Confinement, owner: Option<Owner>) -> io::Result<()> {
    if to.helper {
        yield_to_others();
    }
    enter(&to.network).map_err(|e| Step::Network.failed(e))?;
    for (resource, limit) in &to.limits {
        set_limit(*resource, *limit).map_err(|e| Step::Limits.failed(e))?;
    }
    if let Some(owner) = owner {
        change_user(owner).map_err(|e| Step::User.failed(e))?;
    }
    if to.helper {
        // after the change of the user, which would undo it
        set_parent_process_death_signal(Some(Signal::KILL)).map_err(|e| Step::User.failed(e))?;
    }
    set_no_new_privs(true).map_err(|e| Step::User.failed(e))?;
    if let Some(rules) = &to.rules {
        restrict_files(rules).map_err(|e| Step::Files.failed(e))?;
    }
    for filter in &to.filters {
        install(filter).map_err(|e| Step::Calls.failed(e))?;
    }
    Ok(())
}

/// Sets a limit, or the nearest one that this process may set: root without `CAP_SYS_RESOURCE` may raise none.
fn set_limit(resource: Resource, limit: Rlimit) -> Result<(), Errno> {
    if setrlimit(resource, limit).is_ok() {
        return Ok(());
    }
    let hard = getrlimit(resource).maximum;
    let nearest = |want: Option<u64>| [want, hard].into_iter().flatten().min();
    let nearest = Rlimit {
        current: nearest(limit.current),
        maximum: nearest(limit.maximum),
    };
    setrlimit(resource, nearest)
}

/// Marks every descriptor but 0 to 2 to be closed by `exec`. Files of the standard library are marked already,
/// so a kernel without this call loses nothing but the second line of defence.
fn close_on_exec() {
    // SAFETY: changes flags of descriptors only
    let _ = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
}

/// Lowers the priorities of CPU and disk. Not to the lowest: what reads a log must not fall behind its writers.
fn yield_to_others() {
    const WHO_PROCESS: libc::c_int = 1;
    const BEST_EFFORT_LOWEST: libc::c_int = 2 << 13 | 7;
    // SAFETY: changes priorities of the current process only; if the kernel refuses, nothing is lost but their order
    let _ = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_LOWEST) };
    let _ = setpriority_process(None, 10);
}

fn enter(network: &Network) -> Result<(), Errno> {
    let flags = match network {
        Network::Shared => return Ok(()),
        Network::Own => libc::CLONE_NEWNET,
        Network::OwnAsUser(..) => libc::CLONE_NEWNET | libc::CLONE_NEWUSER,
    };
    // SAFETY: the process has one thread and shares no memory; new namespaces invalidate nothing in it
    check(unsafe { libc::unshare(flags) }.into())?;
    if let Network::OwnAsUser(user, group) = network {
        for (path, text) in [
            (c"/proc/self/setgroups", &b"deny"[..]),
            (c"/proc/self/uid_map", user),
            (c"/proc/self/gid_map", group),
        ] {
            write_to(path, text)?;
        }
    }
    Ok(())
}

/// The ABI of the kernel's Landlock; 0 without it.
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: u32 = 1;
    let nothing = ptr::null::<libc::c_void>();
    // SAFETY: with this flag the call reads no memory
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, VERSION) };
    u32::try_from(abi).unwrap_or(0)
}

fn restrict_files(rules: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: takes a descriptor and flags; the caller owns the descriptor
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) })
}

fn install(filter: &BpfProgram) -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?,
        filter: filter.as_ptr().cast::<libc::sock_filter>().cast_mut(),
    };
    // SAFETY: `program` and the instructions that it points to outlive the call, which copies them. The types
    // of the two crates are the kernel's `struct sock_filter`. The flag keeps a mitigation off that older
    // kernels put on every process with a filter, at a cost for each statement.
    check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
            ptr::from_ref(&program),
        )
    })
}

/// Puts what names the key pipe into the environment of a program, also of one that is executed behind the confinement.
fn tell_keys(command: &mut Command, exec: Option<&mut Exec>, keys: &KeyPipe) -> io::Result<()> {
    command.envs(keys.variables());
    if let Some(exec) = exec {
        for (name, value) in keys.variables() {
            exec.environment
                .push(CString::new(format!("{name}={value}"))?);
        }
    }
    Ok(())
}

/// Executes the program; returns why that failed.
fn execute(exec: &Exec) -> Errno {
    let mut arguments = [ptr::null::<c_char>(); MOST_WORDS + 2];
    let mut environment = [ptr::null::<c_char>(); MOST_WORDS + 2];
    for (list, words) in [
        (&mut arguments, &exec.arguments),
        (&mut environment, &exec.environment),
    ] {
        if words.len() >= list.len() {
            return Errno::TOOBIG;
        }
        // the last stays null
        for (slot, word) in list.iter_mut().zip(words) {
            *slot = word.as_ptr();
        }
    }
    let [first, second, third] = exec.secret;
    // SAFETY: the strings live in `exec`, the arrays on the stack, and end with NUL and null. The kernel
    // ignores the last three arguments; the filter compares them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_execve,
            exec.program.as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            first,
            second,
            third,
        )
    };
    check(result).err().unwrap_or(Errno::NOEXEC)
}

/// The error of a system call that returns -1.
fn check(result: libc::c_long) -> Result<(), Errno> {
    if result != -1 {
        return Ok(());
    }
    let errno = io::Error::last_os_error().raw_os_error();
    Err(errno.map_or(Errno::INVAL, Errno::from_raw_os_error))
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

fn raise_oom_score() -> rustix::io::Result<()> {
    write_to(c"/proc/self/oom_score_adj", OOM_SCORE_ADJ)
}

fn write_to(path: &CStr, text: &[u8]) -> rustix::io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, text).map(drop)
}

/// Changes the user of the current thread: after a fork the only one.
fn change_user(owner: Owner) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)
}
