//! The cgroups of one process: freezing, limits, counters.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_types::{InstanceId, Units};
use rustix::process::Signal;
use tokio::time::{sleep, timeout};

use super::figures::{CounterFiles, Figures};
use super::{CgroupVersion, Cgroups, Place, hierarchy, limit};
use crate::process::Handle;

/// Timeout of a freeze.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Poll interval during a freeze.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// The cgroups of one running process.
#[derive(Debug)]
pub(crate) struct Group {
    freezer: Option<Member>,
    cpu: Option<Member>,
    memory: Option<Member>,
    freezer_files: CounterFiles,
    files: CounterFiles,
    /// Counters before the process started.
    before: Figures,
}

/// One cgroup of the process.
#[derive(Debug)]
struct Member {
    version: CgroupVersion,
    dir: PathBuf,
}

impl Group {
    /// Those of the instance's cgroups that the process really is in: joining may have failed, or an earlier
    /// driver may have used others. `before` has the counters before the process joined.
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
        let files_of = |members: &[(&Option<Member>, &str)]| {
            let mut files = CounterFiles::default();
            for (member, controller) in members {
                if let Some(Member { version, dir }) = member {
                    files.open(*version, controller, dir);
                }
            }
            files
        };
        let counted = [(&cpuacct, "cpuacct"), (&cpu, "cpu"), (&memory, "memory")];
        Self {
            freezer_files: files_of(&[(&freezer, "freezer")]),
            files: files_of(&counted),
            freezer,
            cpu,
            memory,
            before,
        }
    }

    /// Freezes the process; returns when it is no longer scheduled.
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
                sleep(POLL_INTERVAL).await;
            }
            Ok(())
        };
        match timeout(TIMEOUT, frozen).await {
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

    /// Thaws the process, however it was frozen.
    pub(crate) fn thaw(&self, handle: &Handle) -> io::Result<()> {
        if let Some(Member { version, dir }) = &self.freezer {
            thaw(*version, dir)?;
        }
        // also for a process that an earlier driver without a freezer has stopped
        handle.signal(Signal::CONT)
    }

    /// What a shell runs to thaw the process.
    pub(crate) fn thaw_command(&self, handle: &Handle) -> [OsString; 3] {
        match &self.freezer {
            Some(Member { version, dir }) => {
                let (file, word) = thawing(*version);
                let script = r#"echo "$1" > "$2""#;
                [script.into(), word.into(), dir.join(file).into()]
            }
            None => {
                let pid = handle.process().pid.to_string();
                [r#"kill -"$1" "$2""#.into(), "CONT".into(), pid.into()]
            }
        }
    }

    /// Whether the process is frozen or stopped.
    pub(crate) fn is_frozen(&self, handle: &Handle) -> io::Result<bool> {
        let frozen = self.freezer_files.read().frozen;
        Ok(frozen || (handle.stat()?.state == 'T' && handle.is_stopped()?))
    }

    /// Counters since the process started; also after it has ended, while its cgroups exist.
    pub(crate) fn figures(&self) -> Figures {
        self.files.read().since(&self.before)
    }

    /// Sets the CPU and memory limits of these units; neither if the kernel refuses the memory limit.
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

    /// Removes the CPU limit, so that a stop is fast.
    pub(crate) fn unlimit_cpu(&self) -> io::Result<()> {
        match &self.cpu {
            Some(Member { version, dir }) => limit::no_cpu(*version, dir),
            None => Ok(()),
        }
    }
}

/// Thaws a cgroup and all its processes.
pub(super) fn thaw(version: CgroupVersion, dir: &Path) -> io::Result<()> {
    let (file, word) = thawing(version);
    fs::write(dir.join(file), word)
}

/// The file that thaws a cgroup, and the word to be written to it.
fn thawing(version: CgroupVersion) -> (&'static str, &'static str) {
    match version {
        CgroupVersion::V1 => ("freezer.state", "THAWED"),
        CgroupVersion::V2 => ("cgroup.freeze", "0"),
    }
}
