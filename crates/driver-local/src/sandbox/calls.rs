//! System calls that a server may make: the seccomp filters.
//!
//! The list was learnt from MariaDB 10.11 and 11.8 under this repository's tests, and completed by groups: a
//! server that may call `pread64` may call `preadv2`. Calls that are made per statement have no condition on
//! their arguments, so that the kernel answers for them from its bitmap without running a filter.
//!
//! Left out on purpose:
//! - `connect`, `sendmsg`, `sendmmsg`: a server only accepts connections. So it reaches no other socket of the
//!   machine, which Landlock does not prevent for sockets with a path. A server that follows another one connects;
//! - `fork`, `vfork`, `clone` of a process: a server has threads only;
//! - `execve`, but for its own start: see [`Filters::compile`];
//! - `io_uring_*`: its operations are not filtered; InnoDB has other asynchronous I/O.

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::spawn::ExecSecret;

/// Calls with their own errors: those that a server makes although it may not are refused with this one.
const REFUSED: u32 = libc::EPERM as u32;

/// Calls that look new to the server, whose C library then uses older ones, which can be checked.
const ABSENT: u32 = libc::ENOSYS as u32;

/// Calls of later kernels: numbers that no entry below has.
const LATER: std::ops::RangeInclusive<c_long> = 463..=520;

/// Waiting, locks, time: each statement makes them.
const STATEMENTS: &[c_long] = &[
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_sched_yield,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_times,
    libc::SYS_getrusage,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_getcpu,
    libc::SYS_restart_syscall,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_timer_create,
    libc::SYS_timer_settime,
    libc::SYS_timer_gettime,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_delete,
    libc::SYS_pipe2,
];

/// Connections that were accepted.
const SOCKETS: &[c_long] = &[
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
];

/// Files; which ones is a matter of Landlock and of their owner.
const FILES: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_fallocate,
    libc::SYS_ftruncate,
    libc::SYS_truncate,
    libc::SYS_fadvise64,
    libc::SYS_readahead,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_umask,
    libc::SYS_chdir,
    libc::SYS_fchdir,
    libc::SYS_getcwd,
    libc::SYS_dup,
    libc::SYS_dup3,
    // asynchronous I/O of servers built with libaio
    libc::SYS_io_setup,
    libc::SYS_io_submit,
    libc::SYS_io_getevents,
    libc::SYS_io_cancel,
    libc::SYS_io_destroy,
];

/// Memory; `mlock` within its limit.
const MEMORY: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_mincore,
    libc::SYS_msync,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_get_mempolicy,
    libc::SYS_set_mempolicy,
    libc::SYS_mbind,
    libc::SYS_membarrier,
];

/// Threads, signals, facts about the process and the machine.
const PROCESS: &[c_long] = &[
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    libc::SYS_signalfd4,
    // to itself: who else gets a signal is a matter of Landlock and of its user
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_getpriority,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getgroups,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getppid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_capget,
    libc::SYS_getrlimit,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrandom,
];

/// Calls that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const OF_THE_MACHINE: &[c_long] = &[
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_create,
    libc::SYS_pipe,
    libc::SYS_time,
    libc::SYS_alarm,
    libc::SYS_open,
    libc::SYS_creat,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_getdents,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_dup2,
    libc::SYS_getpgrp,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OF_THE_MACHINE: &[c_long] = &[];

/// Calls that no server makes: whoever makes one has taken the server over. They kill the process.
const DEADLY: &[c_long] = &[
    // other processes, and what runs in this one
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_execveat,
    libc::SYS_userfaultfd,
    libc::SYS_personality,
    // namespaces and mounts
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // the kernel
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// `ioctl` requests: bytes to read, non-blocking, whether it is a terminal.
const IOCTLS: [u64; 3] = [libc::FIONREAD, libc::FIONBIO, libc::TCGETS];

/// `prctl` operations: names of threads and memory, what the kernel knows, huge pages.
const PRCTLS: [u64; 5] = [
    libc::PR_SET_NAME as u64,
    libc::PR_GET_NAME as u64,
    libc::PR_CAPBSET_READ as u64,
    libc::PR_SET_THP_DISABLE as u64,
    libc::PR_SET_VMA as u64,
];

/// Flags of `clone`: a thread has the first, and nothing that is a thread has one of the others.
const THREAD: u64 = libc::CLONE_THREAD as u64;
const NEW_NAMESPACE: u64 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u64;

/// Bits of a socket's type that are its type; the others are flags.
const SOCKET_TYPE: u64 = 0xf;

/// Who the filters are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// A server on its Unix socket.
    Unix,
    /// A server that also listens on TCP.
    Tcp,
    /// A server that follows another one: it also connects, to a port of the machine.
    Follower,
    /// A program that works on the files of an instance, and connects to a Unix socket.
    Helper,
}

/// The filters in the order of their installation.
#[derive(Debug, Clone)]
pub(crate) struct Filters(pub(crate) Vec<BpfProgram>);

impl Filters {
    /// Compiles the filters for servers on Unix sockets, or also on TCP, or for a program that connects to a Unix
    /// socket. `execve` is permitted with the secret
    /// only: the child of this process starts the server with it, and the server cannot know it.
    pub(crate) fn compile(use_of: Use, secret: ExecSecret) -> io::Result<Self> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
        let filter = |rules, otherwise, action| {
            let filter = SeccompFilter::new(rules, otherwise, action, arch);
            filter
                .and_then(BpfProgram::try_from)
                .map_err(io::Error::other)
        };
        let (allow, errno) = (SeccompAction::Allow, SeccompAction::Errno);
        // The kernel takes the strictest result of all. The filter of all other calls is the last, since it does
        // not allow to install another one.
        let mut permitted = allowed(use_of, secret)?;
        permitted.extend(absent());
        Ok(Self(vec![
            filter(absent(), allow.clone(), errno(ABSENT))?,
            filter(always(DEADLY), allow.clone(), SeccompAction::KillProcess)?,
            filter(permitted, errno(REFUSED), allow)?,
        ]))
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// The calls without conditions.
fn always(calls: &[c_long]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn absent() -> Rules {
    let known = [libc::SYS_clone3, libc::SYS_openat2];
    known
        .into_iter()
        .chain(LATER)
        .map(|n| (n, vec![]))
        .collect()
}

fn allowed(use_of: Use, secret: ExecSecret) -> io::Result<Rules> {
    let groups = [STATEMENTS, SOCKETS, FILES, MEMORY, PROCESS, OF_THE_MACHINE];
    let mut rules = always(&groups.concat());
    let low = |argument, op, value| condition(argument, SeccompCmpArgLen::Dword, op, value);
    let eq = |argument, value| low(argument, SeccompCmpOp::Eq, value);
    let one_of = |argument, values: &[u64]| {
        let each = values.iter().map(|value| rule(vec![eq(argument, *value)?]));
        each.collect::<io::Result<Vec<_>>>()
    };
    rules.insert(libc::SYS_ioctl, one_of(1, &IOCTLS)?);
    rules.insert(libc::SYS_prctl, one_of(0, &PRCTLS)?);
    // of its own process only
    rules.insert(libc::SYS_prlimit64, one_of(0, &[0])?);
    if matches!(use_of, Use::Helper | Use::Follower) {
        rules.insert(libc::SYS_connect, Vec::new());
    }
    let families: &[i32] = if matches!(use_of, Use::Tcp | Use::Follower) {
        &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6]
    } else {
        &[libc::AF_UNIX]
    };
    let socket = |family: &i32| {
        // a datagram socket could send without connecting
        let stream = low(
            1,
            SeccompCmpOp::MaskedEq(SOCKET_TYPE),
            libc::SOCK_STREAM as u64,
        )?;
        rule(vec![eq(0, u64::from(family.unsigned_abs()))?, stream])
    };
    let sockets: io::Result<Vec<_>> = families.iter().map(socket).collect();
    rules.insert(libc::SYS_socket, sockets?);
    let thread = low(0, SeccompCmpOp::MaskedEq(THREAD | NEW_NAMESPACE), THREAD)?;
    rules.insert(libc::SYS_clone, vec![rule(vec![thread])?]);
    let word = |(argument, value): (u8, &u64)| {
        condition(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, *value)
    };
    let password: io::Result<Vec<_>> = (3..).zip(&secret).map(word).collect();
    rules.insert(libc::SYS_execve, vec![rule(password?)?]);
    Ok(rules)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn condition(
    argument: u8,
    len: SeccompCmpArgLen,
    op: SeccompCmpOp,
    value: u64,
) -> io::Result<SeccompCondition> {
    SeccompCondition::new(argument, len, op, value).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_fit_into_the_kernel() {
        for use_of in [Use::Unix, Use::Tcp, Use::Follower, Use::Helper] {
            let Filters(filters) = Filters::compile(use_of, [1, 2, 3]).unwrap();
            // BPF_MAXINSNS
            assert!(filters.iter().all(|f| !f.is_empty() && f.len() <= 4096));
        }
    }

    #[test]
    fn no_call_is_both_allowed_and_deadly() {
        let allowed = allowed(Use::Tcp, [1, 2, 3]).unwrap();
        for call in DEADLY {
            assert!(!allowed.contains_key(call), "{call}");
        }
        for call in [
            libc::SYS_connect,
            libc::SYS_sendmsg,
            libc::SYS_io_uring_setup,
        ] {
            assert!(!allowed.contains_key(&call), "{call}");
        }
        for call in absent().keys() {
            assert!(!allowed.contains_key(call), "{call}");
        }
    }
}
