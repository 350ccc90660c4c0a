//! One process's cgroups: freezing, limits, figures.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_types::{InstanceId, Units};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::figures::{Figures, Sheets};
use super::{CgroupVersion, Cgroups, Place, hierarchy, limit};
use crate::process::Handle;

/// How long the kernel may take to freeze a process.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is asked whether it has.
const LOOK: Duration = Duration::from_millis(1);

/// The cgroups of one running process.
#[derive(Debug)]
pub(crate) struct Group {
    freezer: Option<Member>,
    cpu: Option<Member>,
    memory: Option<Member>,
    freezer_sheets: Sheets,
    sheets: Sheets,
    /// What an earlier process left in them.
    before: Figures,
}

/// One cgroup the process is in.
#[derive(Debug)]
struct Member {
    version: CgroupVersion,
    dir: PathBuf,
}

impl Group {
    /// The cgroups the process really is in, as far as they are the instance's own: it may not
    /// have been let in, or an earlier driver may have had others. `before` is what was counted in
    /// them before it came.
    pub(crate) fn of(cgroups: &Cgroups, id: InstanceId, pid: u32, before: Figures) -> Self {
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
        let freezer = member(&cgroups.freezer, "freezer");
        let cpu = member(&cgroups.cpu, "cpu");
        let cpuacct = member(&cgroups.cpuacct, "cpuacct");
        let memory = member(&cgroups.memory, "memory");
        let sheets_of = |members: &[(&Option<Member>, &str)]| {
            let mut sheets = Sheets::default();
            for (member, controller) in members {
                if let Some(Member { version, dir }) = member {
                    sheets.open(*version, controller, dir);
                }
            }
            sheets
        };
        let counted = [(&cpuacct, "cpuacct"), (&cpu, "cpu"), (&memory, "memory")];
        Self {
            freezer_sheets: sheets_of(&[(&freezer, "freezer")]),
            sheets: sheets_of(&counted),
            freezer,
            cpu,
            memory,
            before,
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
        let frozen = self.freezer_sheets.read().frozen;
        Ok(frozen || (handle.stat()?.state == 'T' && handle.is_stopped()?))
    }

    /// What was counted since the process was started; also after it has ended, as long as its
    /// cgroups are there.
    pub(crate) fn figures(&self) -> Figures {
        self.sheets.read().since(&self.before)
    }

    /// Limits CPU and memory to what these units have: both, or neither if the kernel refuses.
    ///
    /// # Errors
    /// [`io::ErrorKind::ResourceBusy`] if more memory is in use and cannot be reclaimed.
    pub(crate) fn limit(&self, units: Units) -> io::Result<()> {
        if let Some(Member { version, dir }) = &self.memory {
            limit::memory(*version, dir, units.memory())?;
        }
        if let Some(Member { version, dir }) = &self.cpu {
            limit::cpu(*version, dir, units)?;
        }
        Ok(())
    }

    /// Takes the limit of CPU away: starting and stopping should be quick.
    pub(crate) fn unlimit_cpu(&self) -> io::Result<()> {
        match &self.cpu {
            Some(Member { version, dir }) => limit::no_cpu(*version, dir),
            None => Ok(()),
        }
    }
}

/// Thaws a cgroup, whoever is in it.
pub(super) fn thaw(version: CgroupVersion, dir: &Path) -> io::Result<()> {
    match version {
        CgroupVersion::V1 => fs::write(dir.join("freezer.state"), "THAWED"),
        CgroupVersion::V2 => fs::write(dir.join("cgroup.freeze"), "0"),
    }
}
