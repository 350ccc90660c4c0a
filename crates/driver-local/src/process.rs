//! One process: its identity, and its figures from `/proc`.

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

/// Identity of a process, unique for one boot of the machine; a pid alone may be reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    /// The process id.
    pub(crate) pid: u32,
    /// Start time, in clock ticks since boot (`proc_pid_stat(5)`, field 22).
    pub(crate) started: u64,
}

impl Process {
    /// Its identity outside this crate.
    pub(crate) fn incarnation(self) -> Incarnation {
        Incarnation(u128::from(self.started) << 64 | u128::from(self.pid))
    }

    /// The process of an incarnation; `None` if the value is not one of this driver's.
    pub(crate) fn of(incarnation: Incarnation) -> Option<Self> {
        let low = incarnation.0 & u128::from(u64::MAX);
        Some(Self {
            pid: u32::try_from(low).ok()?,
            started: u64::try_from(incarnation.0 >> 64).ok()?,
        })
    }
}

/// A process with its pidfd, which never refers to a later process with the same pid.
#[derive(Debug)]
pub(crate) struct Handle {
    process: Process,
    pidfd: OwnedFd,
    /// Open `/proc/PID/stat`, which also refers to this process only.
    stat: File,
}

impl Handle {
    /// Opens a live process by its pid.
    pub(crate) fn of_pid(pid: u32) -> io::Result<Self> {
        let pidfd = open(pid)?;
        // opened after the pidfd: if the process is alive afterwards, both refer to the same one
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

    /// Opens exactly this process; `None` if it has ended.
    pub(crate) fn of(process: Process) -> Option<Self> {
        Self::of_pid(process.pid)
            .ok()
            .filter(|handle| handle.process == process)
    }

    /// Its identity.
    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// Whether the process has not ended; a zombie has.
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

    /// Sends a signal; no error if the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(self.pidfd.as_fd(), signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        // each waiter needs its own descriptor: epoll accepts one only once
        let pidfd = watch(self.pidfd.try_clone()?)?;
        let _ready = pidfd.readable().await?;
        Ok(())
    }

    /// Its `/proc/PID/stat` now.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Stat::of(&self.stat)
    }

    /// Whether all its threads are stopped by a signal.
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

    /// Resident memory, shared pages included (`proc_pid_statm(5)`, field 2).
    pub(crate) fn resident(&self) -> io::Result<Bytes> {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.process.pid))?;
        let pages: Option<u64> = text.split(' ').nth(1).and_then(|n| n.parse().ok());
        let pages = pages.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Bytes(pages * rustix::param::page_size() as u64))
    }
}

/// The signal that ended a process, if it was sent from outside and not caused by a fault of the process.
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
    reason = "deprecated for types whose descriptor may change, which an OwnedFd's does not; its \
              successor is unsafe"
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
    /// Field 6: session id, the pid of its leader.
    pub(crate) session: u64,
    /// Field 3: `R`, `S`, `D`, `T`, `Z`, …
    pub(crate) state: char,
    /// Sum of fields 14 and 15, in clock ticks.
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

    /// Counts fields from the last `)`, since the name in parentheses may have any characters.
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

    /// CPU time used since the start.
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
    fn an_incarnation_is_one_process() {
        let process = Process {
            pid: u32::MAX,
            started: u64::MAX,
        };
        assert_eq!(Process::of(process.incarnation()), Some(process));
        assert_eq!(Process::of(Incarnation(1 << 32)), None);
    }

    #[tokio::test]
    async fn an_identity_does_not_match_a_later_process() {
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
        // a zombie until it is reaped; counts as ended
        assert!(!handle.is_alive() && Handle::of(process).is_none());
        child.wait().unwrap();
        handle.signal(Signal::TERM).unwrap();
        assert!(Handle::of(process).is_none());
    }
}
