//! Cgroups: which hierarchies there are, what they can do, and an instance's place in them.
//!
//! A machine may have the second version of cgroups, the first, both (hybrid, where a controller
//! is in one of the two), or none that this process may write to. So nothing is concluded from
//! what a machine looks like: each capability is tried on a cgroup made for the purpose.

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

use figures::Sheets;
pub(crate) use figures::{Figures, read};
pub(crate) use group::Group;
use hierarchy::{Hierarchy, Place};

/// Which cgroups are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CgroupMode {
    /// Whatever the machine allows, the second version first.
    #[default]
    Auto,
    /// Only hierarchies of the first version.
    OnlyV1,
    /// None: SIGSTOP, figures from `/proc`, no limits.
    Off,
}

/// Which version of cgroups does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CgroupVersion {
    /// The first.
    V1,
    /// The second.
    V2,
}

/// What a driver found it can do on this machine. Printed, it is one line for each finding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// By which version servers are frozen; `None` is SIGSTOP.
    pub freezer: Option<CgroupVersion>,
    /// By which version CPU is limited; `None` is not at all.
    pub cpu: Option<CgroupVersion>,
    /// By which version CPU is counted; `None` is `/proc` figures.
    pub cpuacct: Option<CgroupVersion>,
    /// By which version memory is limited and counted; `None` is no limit, and `/proc` figures.
    pub memory: Option<CgroupVersion>,
    /// Whether each instance has a user of its own.
    pub own_users: bool,
}

impl Capabilities {
    /// What is missing, in plain words for the operator; `None` if nothing is.
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

/// The cgroups of one driver: for each capability the directory in which instances get theirs.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    freezer: Option<Place>,
    cpu: Option<Place>,
    cpuacct: Option<Place>,
    memory: Option<Place>,
    /// Held while directories come and go: the last instance takes what holds them with it.
    directories: Mutex<()>,
}

impl Cgroups {
    /// Finds out what works, by trying. `name` is that of the directory that holds the instances'.
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

    /// What works.
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

    /// Makes an instance's cgroups, thawed, with their memory limit and no limit of CPU, for a
    /// process that is to be started. What cannot be made is left out: the process will be seen
    /// not to be there.
    pub(crate) fn prepare(&self, id: InstanceId, units: Units) -> Prepared {
        let _alone = self.alone();
        for (controller, place) in self.controllers() {
            let _ = place.make_base(controller);
        }
        let mut prepared = Prepared::default();
        let mut left = Sheets::default();
        for place in self.places() {
            let dir = place.of(id);
            // an earlier process's counts would go on
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
            // one that was killed while it was frozen leaves a frozen cgroup
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

    /// Removes an instance's cgroups, which have no process any more, and what held them if they
    /// were the last. Says whether they are gone: the kernel may still be busy with the end of
    /// the process.
    pub(crate) fn clean(&self, id: InstanceId) -> bool {
        let _alone = self.alone();
        let gone = |place: &Place| match fs::remove_dir(place.of(id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => false,
            _ => {
                let _ = fs::remove_dir(&place.base);
                true
            }
        };
        // every one of them is tried
        let gone: Vec<bool> = self.places().into_iter().map(gone).collect();
        !gone.contains(&false)
    }

    /// Removes cgroups without a process, left by servers that ended while nobody drove them; says
    /// how much CPU time those had used.
    pub(crate) fn sweep(&self) -> Vec<(InstanceId, Duration)> {
        let _alone = self.alone();
        let mut spent = Vec::new();
        for place in self.places() {
            let counts = self.cpuacct.as_ref().is_some_and(|p| p.base == place.base);
            for entry in fs::read_dir(&place.base).into_iter().flatten().flatten() {
                let dir = entry.path();
                let mut sheets = Sheets::default();
                if counts {
                    sheets.open(place.version, "cpuacct", &dir);
                }
                let cpu = sheets.read().cpu;
                let id = entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse().ok());
                // refused for those with a process, and for what is no directory
                if fs::remove_dir(dir).is_ok() {
                    spent.extend(id.map(InstanceId).zip(cpu));
                }
            }
            let _ = fs::remove_dir(&place.base);
        }
        spent
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// What works, and where.
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

/// What a process finds when it is started.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The files to write to in order to join its cgroups.
    pub(crate) joins: Vec<PathBuf>,
    /// What is counted in them already: one that somebody else is in cannot be made anew.
    pub(crate) before: Figures,
}

/// How many capabilities there are.
const ALL: usize = 4;

/// A process is in one cgroup of the second version, so one parent must do for everything: the
/// one with the most capabilities.
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
        // on a tie the nearest
        if found.controllers().count() > best.controllers().count() {
            best = found;
        }
        if best.controllers().count() == ALL {
            break;
        }
    }
    Some(best)
}

/// Says whether it was not there before.
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
    fn what_is_missing_is_one_plain_sentence() {
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
    fn what_somebody_else_has_used_does_not_count() {
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
