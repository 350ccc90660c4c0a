//! Cgroups: probes what the mounted hierarchies can do, creates and removes the instances' cgroups.
//!
//! A machine may have cgroups v2, v1, both (hybrid: each controller is in one of them), or none that this
//! process may write to. So each capability is probed with a temporary cgroup.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_types::{InstanceId, Units};

mod figures;
mod group;
mod hierarchy;
mod limit;
mod parents;

use figures::CounterFiles;
pub(crate) use figures::{Figures, read};
pub(crate) use group::Group;
use hierarchy::{Hierarchy, Place};

/// Which cgroups are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupMode {
    /// All that the machine allows, v2 first.
    #[default]
    Auto,
    /// Hierarchies of v1 only.
    OnlyV1,
    /// No cgroups: SIGSTOP, figures from `/proc`, no limits.
    Off,
}

/// Version of cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CgroupVersion {
    /// Version 1.
    V1,
    /// Version 2.
    V2,
}

/// What a driver can do on this machine. `Display` prints one line per capability.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Version that freezes servers; `None`: SIGSTOP.
    pub freezer: Option<CgroupVersion>,
    /// Version that limits CPU; `None`: no limit.
    pub cpu: Option<CgroupVersion>,
    /// Version that counts CPU time; `None`: figures from `/proc`.
    pub cpuacct: Option<CgroupVersion>,
    /// Version that limits and counts memory; `None`: no limit, figures from `/proc`.
    pub memory: Option<CgroupVersion>,
    /// Whether each instance has its own user.
    pub own_users: bool,
}

impl Capabilities {
    /// Missing capabilities, as a text for the operator; `None` if none is missing.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let limits = match (self.cpu, self.memory) {
            (Some(_), Some(_)) => "",
            (Some(_), None) => "memory cannot be limited",
            (None, Some(_)) => "CPU cannot be limited",
            (None, None) => "neither CPU nor memory can be limited",
        };
        let freezer = if self.freezer.is_none() {
            "servers are frozen by SIGSTOP"
        } else {
            ""
        };
        let findings: Vec<_> = [limits, freezer]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        (!findings.is_empty()).then(|| findings.join(", and "))
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |version: Option<CgroupVersion>, without: &'static str| match version {
            Some(CgroupVersion::V1) => "cgroup v1",
            Some(CgroupVersion::V2) => "cgroup v2",
            None => without,
        };
        writeln!(f, "freezing: {}", by(self.freezer, "SIGSTOP"))?;
        writeln!(f, "CPU limits: {}", by(self.cpu, "none"))?;
        writeln!(f, "CPU counts: {}", by(self.cpuacct, "/proc"))?;
        writeln!(f, "memory limits: {}", by(self.memory, "none"))?;
        write!(
            f,
            "servers run as: {}",
            if self.own_users {
                "a user each"
            } else {
                "this user"
            }
        )
    }
}

/// The cgroups of one driver: for each capability the parent directory of the instances' cgroups.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    freezer: Option<Place>,
    cpu: Option<Place>,
    cpuacct: Option<Place>,
    memory: Option<Place>,
    /// Locked while directories are created or removed: the parent is removed with the last instance.
    directories: Mutex<()>,
}

impl Cgroups {
    /// Probes what works. `name` is the name of the parent directory.
    pub(crate) fn detect(mode: CgroupMode, name: &str) -> Self {
        if mode == CgroupMode::Off {
            return Self::default();
        }
        let hierarchies = hierarchy::of_this_process();
        let v2 = match mode {
            CgroupMode::Auto => hierarchies.iter().find_map(|h| v2(h, name)),
            CgroupMode::OnlyV1 | CgroupMode::Off => None,
        };
        let mut found = v2.unwrap_or_default();
        for hierarchy in hierarchies
            .iter()
            .filter(|h| h.version == CgroupVersion::V1)
        {
            let fill = |slot: &mut Option<Place>, controller: &str| {
                if slot.is_none() && hierarchy.has(controller) {
                    *slot = Place::try_make(hierarchy, &hierarchy.own, name, controller);
                }
            };
            fill(&mut found.freezer, "freezer");
            fill(&mut found.cpu, "cpu");
            fill(&mut found.cpuacct, "cpuacct");
            fill(&mut found.memory, "memory");
        }
        found
    }

    /// The capabilities that work.
    pub(crate) fn capabilities(&self, own_users: bool) -> Capabilities {
        let version = |place: &Option<Place>| place.as_ref().map(|p| p.version);
        Capabilities {
            freezer: version(&self.freezer),
            cpu: version(&self.cpu),
            cpuacct: version(&self.cpuacct),
            memory: version(&self.memory),
            own_users,
        }
    }

    /// Creates an instance's cgroups for the start of a process: thawed, with the memory limit, without a CPU
    /// limit. Skips those that fail: [`Group::of`] finds the cgroups that the process really is in.
    pub(crate) fn prepare(&self, id: InstanceId, units: Units) -> Prepared {
        let _lock = self.lock_directories();
        for (controller, place) in self.controllers() {
            let _ = place.make_base(controller);
        }
        let mut prepared = Prepared::default();
        let mut left = CounterFiles::default();
        for place in self.places() {
            let dir = place.of(id);
            // a new directory, since counters of an earlier process would go on
            let _ = fs::remove_dir(&dir);
            let Ok(made) = make_dir(&dir) else { continue };
            prepared.joins.push(dir.join("cgroup.procs"));
            if !made {
                for (controller, _) in self.controllers().filter(|(_, p)| p.base == place.base) {
                    left.open(place.version, controller, &dir);
                }
            }
        }
        prepared.before = left.read();
        if let Some(place) = &self.freezer {
            // a process killed while frozen leaves its cgroup frozen
            let _ = group::thaw(place.version, &place.of(id));
        }
        if let Some(place) = &self.cpu {
            let _ = limit::no_cpu(place.version, &place.of(id));
        }
        if let Some(place) = &self.memory {
            let _ = limit::memory(place.version, &place.of(id), units.memory());
        }
        prepared
    }

    /// Removes an instance's cgroups, after its process has ended, and their parents if empty. Returns
    /// whether they are gone: the kernel may not have finished ending the process.
    pub(crate) fn clean(&self, id: InstanceId) -> bool {
        let _lock = self.lock_directories();
        let gone = |place: &Place| match fs::remove_dir(place.of(id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => false,
            _ => {
                let _ = fs::remove_dir(&place.base);
                true
            }
        };
        // collects first, so that all are tried
        let gone: Vec<bool> = self.places().into_iter().map(gone).collect();
        !gone.contains(&false)
    }

    /// Removes cgroups without a process, left by servers that ended while no driver ran. Returns the CPU
    /// time of those servers.
    pub(crate) fn sweep(&self) -> Vec<(InstanceId, Duration)> {
        let _lock = self.lock_directories();
        let mut spent = Vec::new();
        for place in self.places() {
            let counts = self.cpuacct.as_ref().is_some_and(|p| p.base == place.base);
            for entry in fs::read_dir(&place.base).into_iter().flatten().flatten() {
                let dir = entry.path();
                let mut files = CounterFiles::default();
                if counts {
                    files.open(place.version, "cpuacct", &dir);
                }
                let cpu = files.read().cpu;
                let id = entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse().ok());
                // fails for cgroups with a process and for files
                if fs::remove_dir(dir).is_ok() {
                    spent.extend(id.map(InstanceId).zip(cpu));
                }
            }
            let _ = fs::remove_dir(&place.base);
        }
        spent
    }

    fn lock_directories(&self) -> MutexGuard<'_, ()> {
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The working controllers and their places.
    fn controllers(&self) -> impl Iterator<Item = (&'static str, &Place)> {
        let all = [
            ("freezer", &self.freezer),
            ("cpu", &self.cpu),
            ("cpuacct", &self.cpuacct),
            ("memory", &self.memory),
        ];
        all.into_iter()
            .filter_map(|(controller, place)| Some((controller, place.as_ref()?)))
    }

    /// The distinct places.
    fn places(&self) -> Vec<&Place> {
        let mut places: Vec<&Place> = Vec::new();
        for (_, place) in self.controllers() {
            if places.iter().all(|p| p.base != place.base) {
                places.push(place);
            }
        }
        places
    }
}

/// An instance's cgroups before the start of its process.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The `cgroup.procs` files to write to.
    pub(crate) joins: Vec<PathBuf>,
    /// Counters at this time: not zero in a cgroup that another process is in, which cannot be removed.
    pub(crate) before: Figures,
}

/// Number of capabilities.
const ALL: usize = 4;

/// Probes v2. A process is in one v2 cgroup only, so one parent serves all capabilities: the one with the
/// most of them.
fn v2(hierarchy: &Hierarchy, name: &str) -> Option<Cgroups> {
    if hierarchy.version != CgroupVersion::V2 {
        return None;
    }
    let attempt = |parent: &Path| {
        let place = |what| Place::try_make(hierarchy, parent, name, what);
        Cgroups {
            memory: place("memory"),
            cpu: place("cpu"),
            freezer: place("freezer"),
            cpuacct: place("cpuacct"),
            ..Cgroups::default()
        }
    };
    let mut best = Cgroups::default();
    for parent in parents::parents(hierarchy) {
        let found = attempt(&parent);
        // the nearest if several have as many
        if found.controllers().count() > best.controllers().count() {
            best = found;
        }
        if best.controllers().count() == ALL {
            break;
        }
    }
    Some(best)
}

/// Creates a directory; returns whether it did not exist before.
fn make_dir(dir: &Path) -> io::Result<bool> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn missing_capabilities_are_reported_in_one_sentence() {
        let all = Capabilities {
            freezer: Some(CgroupVersion::V2),
            cpu: Some(CgroupVersion::V1),
            cpuacct: Some(CgroupVersion::V2),
            memory: Some(CgroupVersion::V1),
            own_users: true,
        };
        assert_eq!(all.warning(), None);
        assert_eq!(
            all.to_string(),
            "freezing: cgroup v2\nCPU limits: cgroup v1\nCPU counts: cgroup v2\nmemory limits: cgroup v1\nservers run as: a user each"
        );
        assert_eq!(
            Capabilities::default().warning().as_deref(),
            Some("neither CPU nor memory can be limited, and servers are frozen by SIGSTOP")
        );
        let no_memory = Capabilities {
            memory: None,
            ..all
        };
        assert_eq!(
            no_memory.warning().as_deref(),
            Some("memory cannot be limited")
        );
    }

    #[test]
    fn without_cgroups_nothing_is_touched() {
        let off = Cgroups::detect(CgroupMode::Off, "dormouse-test");
        assert_eq!(off.capabilities(false), Capabilities::default());
        assert!(off.prepare(InstanceId(1), Units(1)).joins.is_empty());
    }

    #[test]
    fn cpu_time_of_other_processes_does_not_count() {
        const BUSY: &str = "for procs do echo $$ >$procs; done; i=0; \
                            while [ $i -lt 100000 ]; do i=$((i+1)); done; echo; read line";
        for mode in [CgroupMode::Auto, CgroupMode::OnlyV1] {
            let cgroups = Cgroups::detect(mode, &format!("dormouse-test-{}", std::process::id()));
            if cgroups.cpuacct.is_none() {
                eprintln!("skipped: no cgroup counts CPU with {mode:?}");
                continue;
            }
            let id = InstanceId(1);
            let fresh = cgroups.prepare(id, Units(1));
            assert_eq!(fresh.before, Figures::default());
            let mut other = Command::new("sh")
                .args(["-c", BUSY, "sh"])
                .args(fresh.joins)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            other.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
            let used = |before| {
                Group::of(&cgroups, id, other.id(), before)
                    .figures()
                    .cpu
                    .unwrap()
            };
            let all = used(Figures::default());
            let before = cgroups.prepare(id, Units(1)).before;
            assert!(
                before.cpu.unwrap() >= all && used(before) < all,
                "{before:?}"
            );
            drop(other.stdin.take());
            other.wait().unwrap();
            while !cgroups.clean(id) {
                std::thread::yield_now();
            }
        }
    }
}
