//! One process: who it is, and what `/proc` says of it.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use dormouse_types::{Bytes, Incarnation};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::Timespec;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::cgroup::read;

/// Names one process for as long as the machine is up: a pid alone may be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// The process id.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub(crate) started: u64,
}

impl Process {
    /// As others know it.
    pub(crate) fn incarnation(self) -> Incarnation {
        Incarnation(u128::from(self.started) << 64 | u128::from(self.pid))
    }

    /// The process that an incarnation stands for; `None` if no process of this driver's can.
    pub(crate) fn of(incarnation: Incarnation) -> Option<Self> {
        let low = incarnation.0 & u128::from(u64::MAX);
        Some(Self {
            pid: u32::try_from(low).ok()?,
            started: u64::try_from(incarnation.0 >> 64).ok()?,
        })
    }
}

/// A process held by a pidfd: it cannot be mistaken for a later one with the same pid.
#[derive(Debug)]
pub(crate) struct Handle {
    process: Process,
    pidfd: OwnedFd,
    /// `/proc/PID/stat`, of this process alone.
    stat: File,
}

impl Handle {
    /// Takes hold of a live process by its pid.
    pub(crate) fn of_pid(pid: u32) -> io::Result<Self> {
        let pidfd = open(pid)?;
        // read after the pidfd was opened: if it still lives afterwards, both mean the same process
        let stat = File::open(format!("/proc/{pid}/stat"))?;
        let started = Stat::of(&stat)?.started;
        let handle = Self {
            process: Process { pid, started },
            pidfd,
            stat,
        };
        if handle.is_alive() {
            Ok(handle)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    /// Takes hold of exactly this process; `None` if it is no more.
    pub(crate) fn of(process: Process) -> Option<Self> {
        Self::of_pid(process.pid)
            .ok()
            .filter(|handle| handle.process == process)
    }

    /// Its identity.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Whether it has not ended (a zombie has).
    pub(crate) fn is_alive(&self) -> bool {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        loop {
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut fds, Some(&at_once)) {
                Err(rustix::io::Errno::INTR) => {}
                // a pidfd becomes readable with the end of its process (`pidfd_open(2)`)
                seen => return seen != Ok(1),
            }
        }
    }

    /// Sends a signal; a process that has ended takes none, which is no error.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.as_fd(), signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Returns when it has ended.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        // a copy for each who waits: epoll takes a descriptor once
        let pidfd = watch(self.pidfd.try_clone()?)?;
        let _ready = pidfd.readable().await?;
        Ok(())
    }

    /// What `/proc` says of it now.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Stat::of(&self.stat)
    }

    /// Whether every thread of it is stopped by a signal.
    pub(crate) fn is_stopped(&self) -> io::Result<bool> {
        for task in fs::read_dir(format!("/proc/{}/task", self.process.pid))? {
            match fs::read_to_string(task?.path().join("stat")) {
                Ok(text)
                    if Stat::parse(&text).is_some_and(|s| s.state != 'T' && s.state != 't') =>
                {
                    return Ok(false);
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// The memory it holds in RAM, shared pages included (`proc_pid_statm(5)`, field 2).
    pub(crate) fn resident(&self) -> io::Result<Bytes> {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.process.pid))?;
        let pages: Option<u64> = text.split(' ').nth(1).and_then(|n| n.parse().ok());
        let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Bytes(pages * rustix::param::page_size() as u64))
    }
}

/// The signal that has ended a process, unless it is one that a process gets for a fault of its own.
pub(crate) fn from_outside(status: ExitStatus) -> Option<i32> {
    const OUTSIDE: [Signal; 5] = [
        Signal::KILL,
        Signal::TERM,
        Signal::INT,
        Signal::QUIT,
        Signal::HUP,
    ];
    let signal = status.signal()?;
    OUTSIDE
        .iter()
        .any(|s| s.as_raw() == signal)
        .then_some(signal)
}

#[expect(
    deprecated,
    reason = "its successor is unsafe, for types that may change their descriptor; an OwnedFd \
              keeps it"
)]
fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Fields of `/proc/PID/stat` (`proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Field 6: the process that leads its session.
    pub(crate) session: u64,
    /// Field 3: `R`, `S`, `D`, `T`, `Z`, …
    pub(crate) state: char,
    /// Fields 14 and 15 together, in clock ticks.
    ticks: u64,
    /// Field 22, in clock ticks since boot.
    pub(crate) started: u64,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> io::Result<Self> {
        Self::of(&File::open(format!("/proc/{pid}/stat"))?)
    }

    fn of(file: &File) -> io::Result<Self> {
        read(file, Self::parse)?.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The name in parentheses may hold anything, so fields are counted from its last `)`.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = |skip| fields.nth(skip).and_then(|n| n.parse::<u64>().ok());
        let session = number(2)?;
        let (user, system) = (number(7)?, number(0)?);
        Some(Self {
            session,
            state,
            ticks: user + system,
            started: number(6)?,
        })
    }

    /// CPU time used since it started.
    pub(crate) fn cpu(self) -> Duration {
        Duration::from_millis(self.ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn fields_are_counted_from_the_last_parenthesis() {
        let text = "7 (a ) (b) S 1 7 9 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 9 0 987654 1 2\n";
        let stat = Stat::parse(text);
        assert_eq!(
            stat,
            Some(Stat {
                session: 9,
                state: 'S',
                ticks: 175,
                started: 987_654
            })
        );
        for bad in ["", "7 (a", "7 (a) S", "7 (a) S 1 7 7"] {
            assert_eq!(Stat::parse(bad), None);
        }
    }

    #[test]
    fn an_incarnation_names_one_process() {
        let process = Process {
            pid: u32::MAX,
            started: u64::MAX,
        };
        assert_eq!(Process::of(process.incarnation()), Some(process));
        assert_eq!(Process::of(Incarnation(1 << 32)), None);
    }

    #[tokio::test]
    async fn an_identity_does_not_fit_a_later_process() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let handle = Handle::of_pid(child.id()).unwrap();
        let process = handle.process();
        assert!(handle.is_alive() && Handle::of(process).is_some());
        assert!(
            Handle::of(Process {
                started: process.started + 1,
                ..process
            })
            .is_none()
        );

        handle.signal(Signal::STOP).unwrap();
        while !handle.is_stopped().unwrap() {
            tokio::task::yield_now().await;
        }
        handle.signal(Signal::KILL).unwrap();
        handle.ended().await.unwrap();
        // a zombie until it is reaped, and already over
        assert!(!handle.is_alive() && Handle::of(process).is_none());
        child.wait().unwrap();
        handle.signal(Signal::TERM).unwrap();
        assert!(Handle::of(process).is_none());
    }
}
