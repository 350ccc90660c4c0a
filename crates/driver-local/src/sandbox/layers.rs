//! The layers of the sandbox as they are reported, and those of a running server.

use std::fs;

use dormouse_driver::Layer;
use dormouse_engine::Layout;

use crate::process::Process;

/// Detail of a server in a network namespace.
pub(super) const NO_INTERFACES: &str = "a network of its own without interfaces";

/// Detail of a server on TCP.
pub(super) const OWN_PORT: &str = "TCP on its own port only, no connection to others (Landlock)";

/// Detail of a server with filters.
pub(super) const FILTERED: &str = "an allow list of system calls (seccomp)";

/// The layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Privileges,
    Files,
    Network,
    Calls,
    Limits,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Privileges => "privileges",
            Self::Files => "files",
            Self::Network => "network",
            Self::Calls => "system calls",
            Self::Limits => "limits",
        }
    }
}

/// A layer that holds.
pub(super) fn present(kind: Kind, detail: impl Into<String>) -> Layer {
    Layer {
        name: kind.name().to_owned(),
        holds: true,
        detail: detail.into(),
    }
}

/// A layer that is missing, and why.
pub(super) fn missing(kind: Kind, why: impl Into<String>) -> Layer {
    Layer {
        name: kind.name().to_owned(),
        holds: false,
        detail: why.into(),
    }
}

/// What Landlock of an ABI restricts.
pub(super) fn landlock(abi: u32) -> String {
    let lacks = match abi {
        0..=2 => "; an old one: not truncation, TCP, signals and abstract sockets",
        3 => "; an old one: not TCP, signals and abstract sockets",
        4..=5 => "; an old one: not signals and abstract sockets",
        _ => "",
    };
    format!("its own files and the server's, nothing else (Landlock ABI {abi}{lacks})")
}

/// Saves which Landlock restricts a process, which nothing in `/proc` shows.
pub(crate) fn record(layout: &Layout, process: Process, abi: u32) -> std::io::Result<()> {
    fs::write(
        layout.sandbox(),
        format!("{} {abi}\n", process.incarnation().0),
    )
}

/// The Landlock ABI that restricts a process; `None` if it was started without, or its start was not seen.
fn recorded(layout: &Layout, process: Process) -> Option<u32> {
    let text = fs::read_to_string(layout.sandbox()).ok()?;
    let (incarnation, abi) = text.trim().split_once(' ')?;
    let same = incarnation.parse() == Ok(process.incarnation().0);
    same.then(|| abi.parse().ok())
        .flatten()
        .filter(|abi| *abi > 0)
}

/// The layers of a running server.
pub(crate) fn of(layout: &Layout, process: Process) -> Vec<Layer> {
    let pid = process.pid;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let value = |name: &str| value(&status, name);
    let later =
        "this server was started without; it gets it at its next start, where the machine has it";
    let layer = |kind, holds: bool, detail: &str| {
        if holds {
            present(kind, detail)
        } else {
            missing(kind, later)
        }
    };
    let uid = value("Uid").and_then(|uid| uid.parse().ok());
    let own_user = uid.is_some_and(|uid: u32| uid != rustix::process::geteuid().as_raw());
    let abi = recorded(layout, process);
    let net = |who: &str| fs::read_link(format!("/proc/{who}/ns/net")).ok();
    let own_network = match (net(&pid.to_string()), net("self")) {
        (Some(its), Some(mine)) => its != mine,
        _ => false,
    };
    let own_port = layout.address().exists() && abi.is_some_and(|abi| abi >= super::ABI_OF_PORTS);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    vec![
        match own_user {
            true => present(Kind::User, format!("uid {}", uid.unwrap_or_default())),
            false => missing(Kind::User, "it runs as Dormouse's own user"),
        },
        layer(
            Kind::Privileges,
            value("NoNewPrivs") == Some("1"),
            "no new privileges",
        ),
        layer(
            Kind::Files,
            abi.is_some(),
            &landlock(abi.unwrap_or_default()),
        ),
        layer(
            Kind::Network,
            own_network || own_port,
            if own_network { NO_INTERFACES } else { OWN_PORT },
        ),
        layer(Kind::Calls, value("Seccomp") == Some("2"), FILTERED),
        layer(Kind::Limits, no_core(&limits), super::limits::DETAIL),
    ]
}

/// A value of `/proc/PID/status`, which has lines `Name:\tvalue …`.
fn value<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()
}

/// Whether `/proc/PID/limits` says that no core is dumped.
fn no_core(limits: &str) -> bool {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"));
    line.is_some_and(|rest| rest.split_whitespace().next() == Some("1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_valid_for_one_process() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("9")).unwrap();
        let process = Process {
            pid: 7,
            started: 70,
        };
        assert_eq!(recorded(&layout, process), None);
        record(&layout, process, 6).unwrap();
        assert_eq!(recorded(&layout, process), Some(6));
        let later = Process {
            started: 71,
            ..process
        };
        assert_eq!(recorded(&layout, later), None);
        record(&layout, process, 0).unwrap();
        assert_eq!(recorded(&layout, process), None);
    }

    #[test]
    fn status_and_limits_are_parsed() {
        let status = "Name:\tmariadbd\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        assert_eq!(value(status, "Seccomp"), Some("2"));
        assert_eq!(value(status, "Uid"), None);
        assert!(no_core(
            "Max core file size        1                    1                    bytes\n"
        ));
        assert!(!no_core(
            "Max core file size        0   unlimited   bytes\n"
        ));
        assert!(!no_core(""));
    }
}
