//! One process's cgroups: freezing, limits, figures.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_types::{Bytes, InstanceId, Units};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::{CgroupVersion, Cgroups, Place, hierarchy};
use crate::process::Handle;

/// How long the kernel may take to freeze a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is asked whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// The period of CPU limits, in microseconds; a limit is a part of it.
const PERIOD: u64 = 100_000;

/// The cgroups of one running process.
#[derive(Debug)]
pub(crate) struct Group {
    freezer: Option<Member>,
    cpu: Option<Member>,
    memory: Option<Member>,
}

/// One cgroup the process is in.
#[derive(Debug)]
struct Member {
    version: CgroupVersion,
    dir: PathBuf,
}

impl Group {
    /// The cgroups the process really is in, as far as they are the instance's own: it may not
    /// have been let in, or an earlier driver may have had others.
    pub(crate) fn of(cgroups: &Cgroups, id: InstanceId, pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let memberships = hierarchy::memberships(&text);
        let member = |place: &Option<Place>, controller: &str| {
            let place = place.as_ref()?;
            let key = if place.version == CgroupVersion::V2 {
                ""
            } else {
                controller
            };
            let own = Path::new(place.base.file_name()?).join(id.to_string());
            let dir = place.of(id);
            let is_in = memberships
                .get(key)
                .is_some_and(|path| Path::new(path).ends_with(&own));
            (is_in && dir.is_dir()).then_some(Member {
                version: place.version,
                dir,
            })
        };
        Self {
            freezer: member(&cgroups.freezer, "freezer"),
            cpu: member(&cgroups.cpu, "cpu"),
            memory: member(&cgroups.memory, "memory"),
        }
    }

    /// Freezes the process; returns when nothing of it is scheduled any more.
    pub(crate) async fn freeze(&self, handle: &Handle) -> io::Result<()> {
        match &self.freezer {
            Some(Member {
                version: CgroupVersion::V2,
                dir,
            }) => fs::write(dir.join("cgroup.freeze"), "1")?,
            Some(Member {
                version: CgroupVersion::V1,
                dir,
            }) => fs::write(dir.join("freezer.state"), "FROZEN")?,
            None => handle.signal(Signal::STOP)?,
        }
        let frozen = async {
            while handle.is_alive() && !self.is_frozen(handle)? {
                sleep(LOOK).await;
            }
            Ok(())
        };
        match timeout(PATIENCE, frozen).await {
            Ok(done) => done,
            Err(_) => {
                self.thaw(handle)?;
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the kernel did not freeze the process",
                ))
            }
        }
    }

    /// Lets the process run again, whichever way it was frozen.
    pub(crate) fn thaw(&self, handle: &Handle) -> io::Result<()> {
        if let Some(Member { version, dir }) = &self.freezer {
            thaw(*version, dir)?;
        }
        // also for one that an earlier driver, which had no freezer, has stopped
        handle.signal(Signal::CONT)
    }

    /// Whether nothing of the process is scheduled.
    pub(crate) fn is_frozen(&self, handle: &Handle) -> io::Result<bool> {
        let frozen = match &self.freezer {
            Some(Member {
                version: CgroupVersion::V2,
                dir,
            }) => fs::read_to_string(dir.join("cgroup.events"))?
                .lines()
                .any(|line| line == "frozen 1"),
            Some(Member {
                version: CgroupVersion::V1,
                dir,
            }) => fs::read_to_string(dir.join("freezer.state"))?.trim() == "FROZEN",
            None => false,
        };
        Ok(frozen || (handle.stat()?.state == 'T' && handle.is_stopped()?))
    }

    /// Limits CPU and memory to what these units have. A limit below what is in use makes the
    /// kernel reclaim memory first, so it may be refused for a moment; it then stays as it was.
    pub(crate) fn limit(&self, units: Units) -> io::Result<()> {
        if let Some(memory) = &self.memory {
            limit_memory(memory.version, &memory.dir, units.memory())?;
        }
        // a quota of all the machine has limits nothing, but is accounted for at every switch
        let cores = std::thread::available_parallelism().map_or(u64::MAX, |n| n.get() as u64);
        let quota = u64::from(units.millicores()) * PERIOD / 1000;
        self.set_cpu(Some(quota).filter(|quota| quota / PERIOD < cores))
    }

    /// Takes the limit of CPU away: starting and stopping should be quick.
    pub(crate) fn unlimit_cpu(&self) -> io::Result<()> {
        self.set_cpu(None)
    }

    fn set_cpu(&self, quota: Option<u64>) -> io::Result<()> {
        match (&self.cpu, quota) {
            (None, _) => Ok(()),
            (
                Some(Member {
                    version: CgroupVersion::V2,
                    dir,
                }),
                Some(quota),
            ) => fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD}")),
            (
                Some(Member {
                    version: CgroupVersion::V2,
                    dir,
                }),
                None,
            ) => fs::write(dir.join("cpu.max"), format!("max {PERIOD}")),
            (
                Some(Member {
                    version: CgroupVersion::V1,
                    dir,
                }),
                quota,
            ) => {
                fs::write(dir.join("cpu.cfs_period_us"), PERIOD.to_string())?;
                let quota = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
                fs::write(dir.join("cpu.cfs_quota_us"), quota)
            }
        }
    }

    /// The memory it holds, file pages included; `None` if no cgroup tells.
    pub(crate) fn memory(&self) -> Option<Bytes> {
        let memory = self.memory.as_ref()?;
        let file = match memory.version {
            CgroupVersion::V1 => "memory.usage_in_bytes",
            CgroupVersion::V2 => "memory.current",
        };
        fs::read_to_string(memory.dir.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
            .map(Bytes)
    }
}

/// Thaws a cgroup, whoever is in it.
pub(super) fn thaw(version: CgroupVersion, dir: &Path) -> io::Result<()> {
    match version {
        CgroupVersion::V1 => fs::write(dir.join("freezer.state"), "THAWED"),
        CgroupVersion::V2 => fs::write(dir.join("cgroup.freeze"), "0"),
    }
}

/// The second version reclaims a little below the limit, rather than kill at once.
pub(super) fn limit_memory(version: CgroupVersion, dir: &Path, limit: Bytes) -> io::Result<()> {
    match version {
        CgroupVersion::V1 => fs::write(dir.join("memory.limit_in_bytes"), limit.0.to_string()),
        CgroupVersion::V2 => {
            fs::write(dir.join("memory.high"), (limit.0 / 16 * 15).to_string())?;
            fs::write(dir.join("memory.max"), limit.0.to_string())
        }
    }
}
