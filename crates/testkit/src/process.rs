//! Reads properties of processes from `/proc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Process ids of all live processes whose command line contains a path.
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

/// Sends SIGKILL. Over TCP waits for the end too: a command that a dying server still takes from its
/// socket has an unknown outcome there, which is right, and not what the caller tests.
pub fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let process = pidfd_open(pid, PidfdFlags::empty());
    // it may have ended by itself
    let _ = kill_process(pid, Signal::KILL);
    if let Ok(process) = process
        && std::env::var("DORMOUSE_TEST_TRANSPORT").is_ok()
    {
        poll(&mut [PollFd::new(&process, PollFlags::IN)], None).expect("its end");
    }
}

/// Sends SIGTERM.
pub fn terminate(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let _ = kill_process(pid, Signal::TERM);
}

/// Sends SIGHUP.
pub fn hang_up(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let _ = kill_process(pid, Signal::HUP);
}

/// The topmost control group of Dormouse that contains a process, in each hierarchy.
#[must_use]
pub fn control_groups(pid: u32) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies: Vec<_> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .chain([root.to_owned()])
        .collect();
    // HIERARCHY:CONTROLLERS:PATH, see cgroups(7)
    let paths = text.lines().filter_map(|line| {
        let path = line.splitn(3, ':').nth(2)?.trim_start_matches('/');
        let is_top = |dir: &&Path| {
            dir.file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"dormouse-"))
        };
        Path::new(path).ancestors().find(is_top)
    });
    paths
        .flat_map(|path| hierarchies.iter().map(move |h| h.join(path)))
        .filter(|path| path.is_dir())
        .collect()
}

/// Contents of a file of a server's control group: the first existing one of `files`, each with its
/// controller, as `("cpu", "cpu.max")`. `None` if the server has no control group for it.
#[must_use]
pub fn control_file(pid: u32, files: &[(&str, &str)]) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    // HIERARCHY:CONTROLLERS:PATH, see cgroups(7); v2 has no names of controllers
    let groups: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?, parts.next()?.trim_start_matches('/')))
        })
        .filter(|(_, path)| path.contains("dormouse-"))
        .collect();
    files.iter().find_map(|(controller, file)| {
        groups.iter().find_map(|(controllers, path)| {
            let mounts = match *controllers {
                "" => vec!["unified", ""],
                named if named.split(',').any(|one| one == *controller) => vec![*controller],
                _ => return None,
            };
            mounts.iter().find_map(|mount| {
                let group = Path::new("/sys/fs/cgroup").join(mount).join(path);
                fs::read_to_string(group.join(file)).ok()
            })
        })
    })
}

/// Whether a process stands still: its control group is frozen, or it is stopped.
#[must_use]
pub fn is_frozen(pid: u32) -> bool {
    let group = |controller, name| control_file(pid, &[(controller, name)]).unwrap_or_default();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    group("freezer", "freezer.state").trim() == "FROZEN"
        || group("freezer", "cgroup.events").contains("frozen 1")
        || stat
            .rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('T'))
}

/// Removes a control group and its children; retries while the kernel still ends their killed
/// processes.
pub fn remove_control_group(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while path.exists() && Instant::now() < deadline {
        for entry in fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
        if fs::remove_dir(path).is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Waits until a condition holds; panics with `what` after a minute.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited a minute for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Number of open file descriptors of a process.
#[must_use]
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Resident memory of a process in bytes.
#[must_use]
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// CPU time of a process, user and system, in clock ticks of 10 ms.
#[must_use]
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // fields after the closing parenthesis of the command; utime and stime are fields 14 and 15
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
