//! Finds running servers.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use dormouse_types::InstanceId;

use crate::owner::Owners;
use crate::process::{Handle, Stat};

/// All live servers with a configuration file in `root`, found by the command line of every process.
pub(crate) fn all(root: &Path, owners: Owners) -> std::io::Result<HashMap<InstanceId, Handle>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // a process may end at any point; then it is skipped
        let Some(id) = read(pid, root) else { continue };
        let Ok(handle) = Handle::of_pid(pid) else {
            continue;
        };
        if read(pid, root) == Some(id) && leads(pid) && belongs(pid, id, owners) {
            found.insert(id, handle);
        }
    }
    Ok(found)
}

/// The live server of one instance.
pub(crate) fn one(root: &Path, owners: Owners, id: InstanceId) -> std::io::Result<Option<Handle>> {
    Ok(all(root, owners)?.remove(&id))
}

fn read(pid: u32, root: &Path) -> Option<InstanceId> {
    instance_of(&fs::read(format!("/proc/{pid}/cmdline")).ok()?, root)
}

/// The instance whose configuration file is in a command line.
fn instance_of(cmdline: &[u8], root: &Path) -> Option<InstanceId> {
    let mut arguments = cmdline.split(|b| *b == 0);
    let config = arguments.find_map(|a| a.strip_prefix(b"--defaults-file="))?;
    let name = config
        .strip_prefix(root.as_os_str().as_bytes())?
        .strip_prefix(b"/")?;
    let number = name.strip_suffix(b".cnf")?;
    std::str::from_utf8(number)
        .ok()?
        .parse()
        .ok()
        .map(InstanceId)
}

/// Whether a process leads a session, as a server does ([`crate::spawn`]). A child of a start script has
/// the same command line for a moment, but leads none.
fn leads(pid: u32) -> bool {
    Stat::read(pid).is_ok_and(|stat| stat.session == u64::from(pid))
}

/// Whether a process has the instance's user: command lines of other users' processes prove nothing.
fn belongs(pid: u32, id: InstanceId, owners: Owners) -> bool {
    let me = rustix::process::geteuid().as_raw();
    let owner = owners.of(id).map_or(me, |owner| owner.uid);
    // root: a server that has not changed its user yet
    fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == owner || meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn an_instance_is_found_by_its_configuration_file() {
        let of = |line: &str| instance_of(line.replace(' ', "\0").as_bytes(), Path::new("/d/i"));
        assert_eq!(
            of("/usr/sbin/mariadbd --defaults-file=/d/i/7.cnf "),
            Some(InstanceId(7))
        );
        assert_eq!(
            of("/ld.so --library-path /x mariadbd --defaults-file=/d/i/7.cnf "),
            Some(InstanceId(7))
        );
        for other in [
            "",
            "mariadbd",
            "mariadbd --defaults-file=/d/i/7",
            "mariadbd --defaults-file=/d/i2/7.cnf",
            "mariadbd --defaults-file=/d/i7.cnf",
            "mariadbd --defaults-file=/d/i/x.cnf",
            "vi /d/i/7.cnf",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn only_session_leaders_are_servers() {
        let root = tempfile::tempdir().unwrap();
        let argument = format!("--defaults-file={}/7.cnf", root.path().display());
        let start = |program: &str, before: &[&str]| {
            let mut command = Command::new(program);
            command
                .args(before)
                .args(["-c", "read line", "sh", &argument]);
            command.stdin(Stdio::piped()).spawn().unwrap()
        };
        let found = || one(root.path(), Owners::Me, InstanceId(7)).unwrap();
        let mut child = start("sh", &[]);
        assert!(found().is_none(), "leads no session");
        let mut leader = start("setsid", &["sh"]);
        let server = loop {
            if let Some(server) = found() {
                break server;
            }
        };
        assert_eq!(server.process().pid, leader.id());
        for process in [&mut child, &mut leader] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
        assert!(found().is_none());
    }
}
