//! The attempts of the hostile server.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::ptr;

/// Result of a system call.
fn call(result: i64) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn yes(holds: bool) -> io::Result<()> {
    if holds {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

fn read(path: impl AsRef<Path>) -> io::Result<()> {
    use std::io::Read as _;
    let mut byte = [0];
    File::open(path)?.read(&mut byte).map(drop)
}

fn list(path: impl AsRef<Path>) -> io::Result<()> {
    fs::read_dir(path).map(drop)
}

fn write(path: impl AsRef<Path>) -> io::Result<()> {
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    opened.map(|_| drop(fs::remove_file(path)))
}

fn socket(family: i32, kind: i32) -> io::Result<()> {
    // SAFETY: plain numbers
    call(unsafe { libc::socket(family, kind, 0) }.into())
}

/// A line per attempt that must be refused, and per need of a server that must work.
pub(crate) fn refused_ones(root: &Path) -> String {
    let mut report = String::new();
    let mut bad = |name: &str, result: io::Result<()>| {
        report.push_str(&match result {
            Ok(()) => format!("{name}: SUCCEEDED\n"),
            Err(error) => format!("{name}: refused: {error}\n"),
        });
    };
    files(root, &mut bad);
    network(root, &mut bad);
    processes(root, &mut bad);
    kernel(&mut bad);
    limits(&mut bad);
    let mut good = |name: &str, result: io::Result<()>| {
        report.push_str(&match result {
            Ok(()) => format!("{name}: works\n"),
            Err(error) => format!("{name}: BROKEN: {error}\n"),
        });
    };
    needs(root, &mut good);
    report
}

type Report<'a> = dyn FnMut(&str, io::Result<()>) + 'a;

fn files(root: &Path, bad: &mut Report<'_>) {
    for path in [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/group",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/proc/self/environ",
        "/proc/self/mem",
        "/proc/1/cmdline",
        "/proc/version",
        "/proc/cpuinfo",
        "/proc/net/tcp",
        "/proc/sys/kernel/osrelease",
        "/bin/sh",
        "/usr/bin/env",
        "/dev/zero",
        "/dev/mem",
        "/dev/tty",
        "/sys/kernel/uevent_seqnum",
    ] {
        bad(&format!("read {path}"), read(path));
    }
    for path in [
        "/", "/etc", "/home", "/root", "/tmp", "/proc", "/var", "/dev", "/run",
    ] {
        bad(&format!("list {path}"), list(path));
    }
    let instances = root.parent().unwrap();
    let data = instances.parent().unwrap();
    bad("list the instances", list(instances));
    bad("list a neighbour's directory", list(instances.join("2")));
    bad(
        "read a neighbour's file",
        read(instances.join("2/files/report")),
    );
    bad(
        "read a neighbour's configuration",
        read(instances.join("2.cnf")),
    );
    bad("read a neighbour's key", read(instances.join("2.pem")));
    bad("read the installation's secret", read(data.join("secret")));
    bad("read the template", list(data.join("templates")));
    bad(
        "write a neighbour's file",
        write(instances.join("2/data/x")),
    );
    bad("write its configuration", write(instances.join("1.cnf")));
    bad("write its lock", write(instances.join("1.lock")));
    bad("write its record", write(instances.join("1.sandbox")));
    for dir in ["/tmp", "/var/tmp", "/dev/shm", "/run", "/", "/usr/lib"] {
        let path = Path::new(dir).join(format!("hostile-{}", std::process::id()));
        bad(&format!("write in {dir}"), write(path));
    }
    let link = root.join("files/link");
    bad(
        "symlink out of the directory",
        std::os::unix::fs::symlink("/etc/passwd", &link),
    );
    bad("read through that link", read(&link));
    bad(
        "hard link of a foreign file",
        fs::hard_link("/etc/passwd", root.join("files/hard")),
    );
    bad(
        "rename out of the directory",
        fs::write(root.join("files/out"), "x")
            .and_then(|()| fs::rename(root.join("files/out"), "/tmp/hostile-out")),
    );
    let fifo = std::ffi::CString::new(root.join("files/fifo").to_str().unwrap()).unwrap();
    // SAFETY: a path that ends with NUL
    bad(
        "make a pipe",
        call(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }.into()),
    );
    let device = libc::makedev(1, 1);
    // SAFETY: a path that ends with NUL
    let made = unsafe { libc::mknod(fifo.as_ptr(), libc::S_IFBLK | 0o600, device) };
    bad("make a device", call(made.into()));
}

fn network(root: &Path, bad: &mut Report<'_>) {
    for (name, family, kind) in [
        ("inet", libc::AF_INET, libc::SOCK_STREAM),
        ("inet6", libc::AF_INET6, libc::SOCK_STREAM),
        ("udp", libc::AF_INET, libc::SOCK_DGRAM),
        ("raw", libc::AF_INET, libc::SOCK_RAW),
        ("netlink", libc::AF_NETLINK, libc::SOCK_RAW),
        ("packet", libc::AF_PACKET, libc::SOCK_RAW),
        ("vsock", libc::AF_VSOCK, libc::SOCK_STREAM),
        ("kernel crypto", libc::AF_ALG, libc::SOCK_SEQPACKET),
        ("bluetooth", libc::AF_BLUETOOTH, libc::SOCK_RAW),
        ("can", libc::AF_CAN, libc::SOCK_RAW),
    ] {
        bad(&format!("socket {name}"), socket(family, kind));
    }
    bad("unix datagram socket", UnixDatagram::unbound().map(drop));
    bad("socket pair", UnixStream::pair().map(drop));
    let loopback = std::net::TcpStream::connect("127.0.0.1:22").map(drop);
    // a refused connection has reached the machine
    let loopback = match loopback {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        other => other,
    };
    bad("connect to loopback", loopback);
    bad(
        "listen on TCP",
        std::net::TcpListener::bind("127.0.0.1:0").map(drop),
    );
    let data = root.parent().unwrap().parent().unwrap();
    let foreign = data.join("foreign.sock");
    bad(
        "connect to a foreign socket",
        UnixStream::connect(foreign).map(drop),
    );
    let neighbour = root.parent().unwrap().join("2/mysqld.sock");
    bad(
        "connect to a neighbour",
        UnixStream::connect(neighbour).map(drop),
    );
    let abstracted = || {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(b"hostile")?;
        UnixStream::connect_addr(&address).map(drop)
    };
    bad("connect to an abstract socket", abstracted());
}

fn processes(root: &Path, bad: &mut Report<'_>) {
    // SAFETY: the child ends at once; this process has one thread
    let forked = unsafe { libc::fork() };
    if forked == 0 {
        // SAFETY: ends the child
        unsafe { libc::_exit(0) }
    }
    bad("fork", call(forked.into()));
    bad(
        "run /bin/sh",
        Command::new("/bin/sh")
            .arg("-c")
            .arg("exit 0")
            .status()
            .map(drop),
    );
    bad(
        "run itself",
        Command::new("/proc/self/exe")
            .arg("--version")
            .output()
            .map(drop),
    );
    let own = root.join("files/program");
    let written = fs::write(&own, "#!/bin/sh\n")
        .and_then(|()| fs::set_permissions(&own, fs::Permissions::from_mode(0o700)));
    bad(
        "run a file of its own",
        written.and_then(|()| Command::new(&own).status().map(drop)),
    );
    if forked == -1 {
        // without a sandbox this would end the report
        let shell = c"/bin/sh";
        let arguments = [shell.as_ptr(), ptr::null()];
        // SAFETY: strings that end with NUL, arrays that end with null
        let executed =
            unsafe { libc::execve(shell.as_ptr(), arguments.as_ptr(), arguments[1..].as_ptr()) };
        bad("execute /bin/sh in its place", call(executed.into()));
    }
    for (name, pid) in [
        ("init", 1),
        (
            "its parent",
            std::os::unix::process::parent_id().cast_signed(),
        ),
    ] {
        if pid != 0 {
            // SAFETY: signal 0 only checks
            bad(
                &format!("signal to {name}"),
                call(unsafe { libc::kill(pid, 0) }.into()),
            );
        }
    }
    // SAFETY: plain numbers
    unsafe {
        bad("become root", call(libc::setresuid(0, 0, 0).into()));
        bad("change the group", call(libc::setgid(0).into()));
        bad("a new session", call(libc::setsid().into()));
        bad(
            "a realtime priority",
            call(libc::setpriority(libc::PRIO_PROCESS, 0, -20).into()),
        );
        bad(
            "dumpable",
            call(libc::prctl(libc::PR_SET_DUMPABLE, 1).into()),
        );
        bad(
            "ambient capability",
            call(libc::prctl(libc::PR_CAP_AMBIENT, 2, 0, 0, 0).into()),
        );
        bad("tracer", call(libc::prctl(libc::PR_SET_PTRACER, -1).into()));
        let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
        let cloned = libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0);
        if cloned == 0 {
            libc::_exit(0);
        }
        bad("clone into a user namespace", call(cloned));
    }
}

fn kernel(bad: &mut Report<'_>) {
    let mut buffer = [0_u64; 64];
    let memory = buffer.as_mut_ptr();
    // SAFETY: the kernel writes at most as much as the buffer has
    unsafe {
        let made = libc::syscall(libc::SYS_io_uring_setup, 1, memory);
        bad("io_uring", call(made));
        bad(
            "memfd",
            call(libc::syscall(libc::SYS_memfd_create, c"x".as_ptr(), 0)),
        );
        bad("inotify", call(libc::syscall(libc::SYS_inotify_init1, 0)));
        bad(
            "fanotify",
            call(libc::syscall(libc::SYS_fanotify_init, 0, 0)),
        );
        bad(
            "message queue",
            call(libc::syscall(libc::SYS_msgget, 0, 0o1600)),
        );
        bad(
            "shared memory",
            call(libc::syscall(libc::SYS_shmget, 0, 4096, 0o1600)),
        );
        bad("pidfd", call(libc::syscall(libc::SYS_pidfd_open, 1, 0)));
        bad(
            "extended attribute",
            call(libc::syscall(
                libc::SYS_setxattr,
                c"/tmp".as_ptr(),
                c"user.x".as_ptr(),
                c"x".as_ptr(),
                1,
                0,
            )),
        );
        bad(
            "terminal input",
            call(libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSTI, memory)),
        );
        bad(
            "another filter",
            call(libc::syscall(libc::SYS_seccomp, 1, 0, 0)),
        );
        bad(
            "another ruleset",
            call(libc::syscall(libc::SYS_landlock_create_ruleset, 0, 0, 1)),
        );
    }
}

fn limits(bad: &mut Report<'_>) {
    let limit = |resource| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `limit` outlives the call
        unsafe { libc::getrlimit(resource, &raw mut limit) };
        limit
    };
    // 1 is no core file, and no program that gets one
    bad("dump core", yes(limit(libc::RLIMIT_CORE).rlim_max > 1));
    let raised = libc::rlimit {
        rlim_cur: 1 << 20,
        rlim_max: 1 << 20,
    };
    for (name, resource) in [
        ("raise open files", libc::RLIMIT_NOFILE),
        ("raise locked memory", libc::RLIMIT_MEMLOCK),
        ("raise core files", libc::RLIMIT_CORE),
        ("raise threads", libc::RLIMIT_NPROC),
    ] {
        // SAFETY: `raised` outlives the call
        bad(
            name,
            call(unsafe { libc::setrlimit(resource, &raw const raised) }.into()),
        );
    }
    bad("thread bomb", threads());
    let mut count = 0;
    // SAFETY: plain numbers; the process ends later
    while count < 70_000 && unsafe { libc::dup(0) } >= 0 {
        count += 1;
    }
    for fd in 3..70_000 {
        let own = fs::read_link(format!("/proc/self/fd/{fd}"))
            .is_ok_and(|to| to == Path::new("/dev/null"));
        if own {
            // SAFETY: a duplicate of standard input that was made above
            unsafe { libc::close(fd) };
        }
    }
    bad("descriptor bomb", yes(count >= 70_000));
}

/// Starts threads until the kernel refuses one.
fn threads() -> io::Result<()> {
    let (hold, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let mut all = Vec::new();
    let result = (0..8_000).try_for_each(|_| {
        let held = std::sync::Arc::clone(&held);
        let thread = std::thread::Builder::new()
            .stack_size(16 << 10)
            .spawn(move || {
                let _ = held.lock().map(|held| held.recv());
            })?;
        all.push(thread);
        Ok(())
    });
    drop(hold);
    for thread in all {
        let _ = thread.join();
    }
    result
}

/// What a server needs.
fn needs(root: &Path, good: &mut Report<'_>) {
    good("read its configuration", read(root.with_extension("cnf")));
    good("read its key", read(root.with_extension("pem")));
    good("list its data", list(root.join("data")));
    let file = root.join("data/mine");
    good("write its data", fs::write(&file, "x"));
    let mode = fs::metadata(&file).map(|meta| meta.permissions().mode() & 0o777);
    good(
        "its files are its own",
        mode.and_then(|mode| yes(mode == 0o600)),
    );
    good("rename", fs::rename(&file, root.join("tmp/mine")));
    good("remove", fs::remove_file(root.join("tmp/mine")));
    good("make a directory", fs::create_dir(root.join("data/d")));
    good("remove a directory", fs::remove_dir(root.join("data/d")));
    good("random numbers", read("/dev/urandom"));
    good(
        "a thread",
        std::thread::Builder::new()
            .spawn(|| ())
            .map(|thread| drop(thread.join())),
    );
    let open = (3..1000).filter(|fd| {
        // SAFETY: asks for flags only
        unsafe { libc::fcntl(*fd, libc::F_GETFD) >= 0 }
    });
    // the lock alone is inherited
    let open = open.count();
    good(
        "no descriptor is inherited but the lock",
        if open == 1 {
            Ok(())
        } else {
            Err(io::Error::other(format!("{open} are")))
        },
    );
}

/// Attempts that kill the process.
pub(crate) const DEADLY: [&str; 24] = [
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "mount",
    "umount",
    "unshare",
    "setns",
    "pivot_root",
    "chroot",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "keyctl",
    "add_key",
    "init_module",
    "kexec_load",
    "execveat",
    "open_by_handle_at",
    "personality",
    "reboot",
    "swapon",
    "pidfd_getfd",
    "fsopen",
    "settimeofday",
];

/// Makes one such call, with arguments that do nothing.
pub(crate) fn deadly(name: &str) {
    let number = match name {
        "ptrace" => libc::SYS_ptrace,
        "process_vm_readv" => libc::SYS_process_vm_readv,
        "process_vm_writev" => libc::SYS_process_vm_writev,
        "mount" => libc::SYS_mount,
        "umount" => libc::SYS_umount2,
        "unshare" => libc::SYS_unshare,
        "setns" => libc::SYS_setns,
        "pivot_root" => libc::SYS_pivot_root,
        "chroot" => libc::SYS_chroot,
        "bpf" => libc::SYS_bpf,
        "perf_event_open" => libc::SYS_perf_event_open,
        "userfaultfd" => libc::SYS_userfaultfd,
        "keyctl" => libc::SYS_keyctl,
        "add_key" => libc::SYS_add_key,
        "init_module" => libc::SYS_init_module,
        "kexec_load" => libc::SYS_kexec_load,
        "execveat" => libc::SYS_execveat,
        "open_by_handle_at" => libc::SYS_open_by_handle_at,
        "personality" => libc::SYS_personality,
        "reboot" => libc::SYS_reboot,
        "swapon" => libc::SYS_swapon,
        "pidfd_getfd" => libc::SYS_pidfd_getfd,
        "fsopen" => libc::SYS_fsopen,
        "settimeofday" => libc::SYS_settimeofday,
        other => panic!("no attempt {other}"),
    };
    // SAFETY: with null pointers and zeros none of these calls changes anything
    unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
}
