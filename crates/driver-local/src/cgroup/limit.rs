//! Sets the limits of a cgroup.

use std::fs;
use std::io;
use std::path::Path;

use dormouse_types::{Bytes, Units};

use super::CgroupVersion;

/// Period of CPU quotas, in microseconds.
const PERIOD: u64 = 100_000;

/// Sets the CPU limit and the weight of these units.
pub(super) fn cpu(version: CgroupVersion, dir: &Path, units: Units) -> io::Result<()> {
    let (file, weight) = weight(version, units);
    fs::write(dir.join(file), weight.to_string())?;
    // a quota of all cores would limit nothing, but cost time at every context switch
    let cores = std::thread::available_parallelism().map_or(u64::MAX, |n| n.get() as u64);
    let quota = u64::from(units.millicores()) * PERIOD / 1000;
    set_quota(
        version,
        dir,
        Some(quota).filter(|quota| quota / PERIOD < cores),
    )
}

/// Removes the CPU limit.
pub(super) fn no_cpu(version: CgroupVersion, dir: &Path) -> io::Result<()> {
    set_quota(version, dir, None)
}

/// Weight under contention; two units have the kernel's default.
fn weight(version: CgroupVersion, units: Units) -> (&'static str, u64) {
    let units = u64::from(units.0);
    match version {
        CgroupVersion::V1 => ("cpu.shares", (units * 512).clamp(2, 262_144)),
        CgroupVersion::V2 => ("cpu.weight", (units * 50).clamp(1, 10_000)),
    }
}

/// Sets quota and burst. Unused quota of one period is saved (`scheduler/sched-bwc.rst`), so that a
/// statement after a pause is not throttled; the mean stays at the quota.
fn set_quota(version: CgroupVersion, dir: &Path, quota: Option<u64>) -> io::Result<()> {
    let burst = |micros: u64| {
        let file = match version {
            CgroupVersion::V1 => "cpu.cfs_burst_us",
            CgroupVersion::V2 => "cpu.max.burst",
        };
        // kernels before 5.14 have no burst
        let _ = fs::write(dir.join(file), micros.to_string());
    };
    // first, since the kernel refuses a quota below the burst
    burst(0);
    match version {
        CgroupVersion::V2 => {
            let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
            fs::write(dir.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        }
        CgroupVersion::V1 => {
            let quota = quota.map_or_else(|| "-1".to_owned(), |quota| quota.to_string());
            fs::write(dir.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            fs::write(dir.join("cpu.cfs_quota_us"), quota)?;
        }
    }
    burst(quota.unwrap_or(0));
    Ok(())
}

/// Distance of v2's `memory.high`, above which allocations are delayed, from the limit. Long enough for
/// about a second in which the shortage is noticed and the database may grow. The kernel's delays grow
/// with the square of the excess (`calculate_high_delay` in `mm/memcontrol.c`): over a sixteenth of 2 GiB
/// they add up to 90 s, for which a database at its largest size would hang before it is killed.
fn headroom(limit: Bytes) -> Bytes {
    Bytes(limit.0 / 32).min(Bytes::mib(64))
}

/// Sets the memory limit. Below the memory in use the kernel reclaims first; if it cannot reclaim enough,
/// the previous limit stays.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] if more memory is in use.
pub(super) fn memory(version: CgroupVersion, dir: &Path, limit: Bytes) -> io::Result<()> {
    match version {
        CgroupVersion::V1 => fs::write(dir.join("memory.limit_in_bytes"), limit.0.to_string()),
        CgroupVersion::V2 => {
            // `max` below the memory in use would kill; `high`, a little lower, only reclaims
            let high = dir.join("memory.high");
            let before = fs::read_to_string(&high)?;
            fs::write(&high, (limit.0 - headroom(limit).0).to_string())?;
            let held = fs::read_to_string(dir.join("memory.current"))?;
            if held.trim().parse::<u64>().is_ok_and(|held| held > limit.0) {
                fs::write(&high, before.trim())?;
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            fs::write(dir.join("memory.max"), limit.0.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files, like a cgroup.
    fn cgroup(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(dir.path().join(name), text).unwrap();
        }
        dir
    }

    #[test]
    fn weights_follow_the_units_within_the_kernels_range() {
        let of = |version, units| weight(version, Units(units)).1;
        for (units, shares, weight) in [(1, 512, 50), (2, 1024, 100), (8, 4096, 400)] {
            assert_eq!(of(CgroupVersion::V1, units), shares);
            assert_eq!(of(CgroupVersion::V2, units), weight);
        }
        assert_eq!(of(CgroupVersion::V1, 0), 2);
        assert_eq!(of(CgroupVersion::V2, 0), 1);
        assert!(of(CgroupVersion::V1, u16::MAX) <= 262_144);
        assert!(of(CgroupVersion::V2, u16::MAX) <= 10_000);
    }

    #[test]
    fn v2_memory_is_not_limited_below_its_use() {
        let dir = cgroup(&[
            ("memory.high", "max\n"),
            ("memory.max", "max\n"),
            ("memory.current", "1600\n"),
        ]);
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        let refused = memory(CgroupVersion::V2, dir.path(), Bytes(1599)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(
            (read("memory.high").as_str(), read("memory.max").as_str()),
            ("max", "max\n")
        );
        memory(CgroupVersion::V2, dir.path(), Bytes(1600)).unwrap();
        assert_eq!(
            (read("memory.high").as_str(), read("memory.max").as_str()),
            ("1550", "1600")
        );
    }

    #[test]
    fn v2_has_quota_and_burst() {
        let dir = cgroup(&[]);
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        cpu(CgroupVersion::V2, dir.path(), Units(1)).unwrap();
        assert_eq!(
            (read("cpu.max").as_str(), read("cpu.max.burst").as_str()),
            ("50000 100000", "50000")
        );
        assert_eq!(read("cpu.weight"), "50");
        no_cpu(CgroupVersion::V2, dir.path()).unwrap();
        assert_eq!(
            (read("cpu.max").as_str(), read("cpu.max.burst").as_str()),
            ("max 100000", "0")
        );
    }
}
