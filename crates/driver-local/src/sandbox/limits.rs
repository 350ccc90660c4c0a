//! Limits of a server's resources (`setrlimit(2)`).

use dormouse_engine::config;
use rustix::process::{Resource, Rlimit, getrlimit};

/// Threads beside those of connections.
const OWN_THREADS: u64 = 1024;

/// Memory that a server may keep from being swapped.
const LOCKED: u64 = 64 << 10;

/// Size of a core file that the kernel writes neither to a file nor to a program: 0 still starts the program of
/// `core_pattern` (`core(5)`), which then has the server's memory.
const NO_CORE: u64 = 1;

/// What the limits are, for people.
pub(crate) const DETAIL: &str =
    "no core dump; descriptors, locked memory and, as its own user, threads";

/// The limits of a server. `own_counts`: the kernel counts its threads apart from those of other processes.
pub(crate) fn limits(own_counts: bool) -> Vec<(Resource, Rlimit)> {
    let mut limits = vec![
        (Resource::Core, at_most(Resource::Core, NO_CORE)),
        (Resource::Memlock, at_most(Resource::Memlock, LOCKED)),
        (Resource::Nofile, open_files()),
    ];
    if own_counts {
        let threads = u64::from(config::MAX_CONNECTIONS) + OWN_THREADS;
        limits.push((Resource::Nproc, at_most(Resource::Nproc, threads)));
    }
    limits
}

/// As many open files as a server needs; root may set more than its own maximum.
fn open_files() -> Rlimit {
    if rustix::process::geteuid().is_root() {
        both(config::OPEN_FILES)
    } else {
        at_most(Resource::Nofile, config::OPEN_FILES)
    }
}

/// A limit that this process may set.
fn at_most(resource: Resource, want: u64) -> Rlimit {
    both(
        getrlimit(resource)
            .maximum
            .map_or(want, |hard| hard.min(want)),
    )
}

fn both(limit: u64) -> Rlimit {
    Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    }
}
