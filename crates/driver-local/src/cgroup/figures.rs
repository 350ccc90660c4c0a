//! Reads counters from the files of cgroups, which stay open: they are read several times a second.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_driver::Strain;
use dormouse_types::Bytes;

use super::CgroupVersion;

/// Buffer size, larger than each of these files.
const BUFFER: usize = 1024;

/// Counters and state of a group of processes; `None` if no file has the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    /// CPU time used.
    pub(crate) cpu: Option<Duration>,
    /// Memory in use, file pages included.
    pub(crate) memory: Option<Bytes>,
    /// How its limits slow it down.
    pub(crate) strain: Option<Strain>,
    /// Whether it is frozen.
    pub(crate) frozen: bool,
}

impl Figures {
    /// Counters relative to `before`.
    pub(crate) fn since(self, before: &Self) -> Self {
        let left =
            |now: Duration, then: Option<Duration>| now.saturating_sub(then.unwrap_or_default());
        let then = before.strain.unwrap_or_default();
        Self {
            cpu: self.cpu.map(|now| left(now, before.cpu)),
            strain: self.strain.map(|now| Strain {
                throttled: now.throttled.saturating_sub(then.throttled),
                stalled: now.stalled.saturating_sub(then.stalled),
                limit_hits: now.limit_hits.saturating_sub(then.limit_hits),
                oom_kills: now.oom_kills.saturating_sub(then.oom_kills),
            }),
            ..self
        }
    }
}

/// One file. Kernel documentation: `admin-guide/cgroup-v1/` and `admin-guide/cgroup-v2.rst`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CounterFile {
    FreezerState,
    CgroupEvents,
    CpuacctUsage,
    /// v1: throttling.
    CpuStatV1,
    /// v2: CPU time, and throttling if the controller is enabled.
    CpuStatV2,
    MemoryUsage,
    MemoryCurrent,
    MemoryFailcnt,
    MemoryOomControl,
    MemoryEvents,
    MemoryPressure,
}

impl CounterFile {
    /// The files with a controller's counters.
    fn of(version: CgroupVersion, controller: &str) -> &'static [Self] {
        match (version, controller) {
            (CgroupVersion::V1, "freezer") => &[Self::FreezerState],
            (CgroupVersion::V1, "cpuacct") => &[Self::CpuacctUsage],
            (CgroupVersion::V1, "cpu") => &[Self::CpuStatV1],
            (CgroupVersion::V1, _) => &[
                Self::MemoryUsage,
                Self::MemoryFailcnt,
                Self::MemoryOomControl,
            ],
            (CgroupVersion::V2, "freezer") => &[Self::CgroupEvents],
            (CgroupVersion::V2, "cpu" | "cpuacct") => &[Self::CpuStatV2],
            (CgroupVersion::V2, _) => &[
                Self::MemoryCurrent,
                Self::MemoryEvents,
                Self::MemoryPressure,
            ],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::FreezerState => "freezer.state",
            Self::CgroupEvents => "cgroup.events",
            Self::CpuacctUsage => "cpuacct.usage",
            Self::CpuStatV1 | Self::CpuStatV2 => "cpu.stat",
            Self::MemoryUsage => "memory.usage_in_bytes",
            Self::MemoryCurrent => "memory.current",
            Self::MemoryFailcnt => "memory.failcnt",
            Self::MemoryOomControl => "memory.oom_control",
            Self::MemoryEvents => "memory.events",
            Self::MemoryPressure => "memory.pressure",
        }
    }

    /// Parses the file's text and adds its values to `known`.
    fn note(self, text: &str, known: &mut Figures) {
        let whole = || text.trim().parse::<u64>().ok();
        match self {
            Self::FreezerState => known.frozen = text.trim() == "FROZEN",
            Self::CgroupEvents => known.frozen = value(text, "frozen") == Some(1),
            Self::CpuacctUsage => known.cpu = whole().map(Duration::from_nanos),
            Self::CpuStatV1 => {
                if let Some(nanos) = value(text, "throttled_time") {
                    strain(known).throttled = Duration::from_nanos(nanos);
                }
            }
            Self::CpuStatV2 => {
                known.cpu = value(text, "usage_usec").map(Duration::from_micros);
                if let Some(micros) = value(text, "throttled_usec") {
                    strain(known).throttled = Duration::from_micros(micros);
                }
            }
            Self::MemoryUsage | Self::MemoryCurrent => known.memory = whole().map(Bytes),
            Self::MemoryFailcnt => {
                if let Some(times) = whole() {
                    strain(known).limit_hits = times;
                }
            }
            Self::MemoryOomControl => {
                if let Some(times) = value(text, "oom_kill") {
                    strain(known).oom_kills = times;
                }
            }
            Self::MemoryEvents => {
                // `high` too: reclaim starts there, and `max` is seldom reached
                let hits = ["high", "max"].map(|key| value(text, key).unwrap_or(0));
                let strain = strain(known);
                strain.limit_hits = hits.iter().sum();
                strain.oom_kills = value(text, "oom_kill").unwrap_or(0);
            }
            Self::MemoryPressure => {
                if let Some(micros) = stalled(text) {
                    strain(known).stalled = Duration::from_micros(micros);
                }
            }
        }
    }
}

fn strain(known: &mut Figures) -> &mut Strain {
    known.strain.get_or_insert_default()
}

/// The number in the line that starts with this key.
fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(key)?
            .strip_prefix(' ')?
            .trim()
            .parse()
            .ok()
    })
}

/// Time in which a process of the group waited, in microseconds (`accounting/psi.rst`).
fn stalled(text: &str) -> Option<u64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split_whitespace()
        .find_map(|word| word.strip_prefix("total=")?.parse().ok())
}

/// Open files of one or more cgroups.
#[derive(Debug, Default)]
pub(super) struct CounterFiles(Vec<(CounterFile, PathBuf, File)>);

impl CounterFiles {
    /// Opens the existing files of a controller in a cgroup's directory.
    pub(super) fn open(&mut self, version: CgroupVersion, controller: &str, dir: &Path) {
        for kind in CounterFile::of(version, controller) {
            let path = dir.join(kind.name());
            if self.0.iter().any(|(_, known, _)| *known == path) {
                continue;
            }
            if let Ok(file) = File::open(&path) {
                self.0.push((*kind, path, file));
            }
        }
    }

    /// Reads all files. Skips those that cannot be read, as after the cgroup was removed.
    pub(super) fn read(&self) -> Figures {
        let mut known = Figures::default();
        for (kind, _, file) in &self.0 {
            let _ = read(file, |text| kind.note(text, &mut known));
        }
        known
    }
}

/// Reads a short kernel file from its start, without changing its position.
pub(crate) fn read<T>(file: &File, then: impl FnOnce(&str) -> T) -> io::Result<T> {
    let mut buffer = [0; BUFFER];
    let length = file.read_at(&mut buffer, 0)?;
    let text = buffer.get(..length).map(std::str::from_utf8);
    match text {
        Some(Ok(text)) => Ok(then(text)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests;
