//! Looking at processes through `/proc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The pids of all live processes whose command line mentions a path.
#[must_use]
pub fn mentioning(path: &Path) -> Vec<u32> {
    let wanted = path.to_str().expect("paths of tests are UTF-8");
    let pids = fs::read_dir("/proc")
        .expect("/proc is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(wanted)
    })
    .collect()
}

/// Sends SIGKILL.
pub fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    // it may have ended by itself
    let _ = kill_process(pid, Signal::KILL);
}

/// Sends SIGTERM.
pub fn terminate(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let _ = kill_process(pid, Signal::TERM);
}

/// The control groups of a Dormouse that a process is in: the topmost one, in every hierarchy.
#[must_use]
pub fn control_groups(pid: u32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    // HIERARCHY:CONTROLLERS:PATH, see cgroups(7)
    let names = text.lines().filter_map(|line| {
        let path = line.splitn(3, ':').nth(2)?;
        path.split('/')
            .find(|part| part.starts_with("dormouse-"))
            .map(str::to_owned)
    });
    let hierarchies = || {
        fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
    };
    let root = Path::new("/sys/fs/cgroup");
    names
        .flat_map(|name| {
            hierarchies()
                .map(|h| h.path())
                .chain([root.to_owned()])
                .map(move |h| h.join(&name))
        })
        .filter(|path| path.is_dir())
        .collect()
}

/// Removes a control group and those in it; they hold no process any more.
pub fn remove_control_group(path: &Path) {
    for entry in fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        if entry.path().is_dir() {
            let _ = fs::remove_dir(entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

/// Waits until a condition holds; panics with `what` after a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited a minute for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process's open file descriptors.
#[must_use]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// A process's resident memory in bytes.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// CPU time a process has used, user and system, in clock ticks of 10 ms.
#[must_use]
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // fields after the command's closing parenthesis; utime and stime are numbers 14 and 15
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let field = |n: usize| {
        fields
            .get(n - 3)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or(0)
    };
    field(14) + field(15)
}
