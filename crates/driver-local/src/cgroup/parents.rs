//! Chooses the parent of the instances' v2 cgroups.
//!
//! A cgroup other than the root may not have both processes and children with controllers (`cgroups(7)`,
//! "no internal processes"); if it uses the `cpu` controller anyway it becomes *threaded*, and no process
//! can join its children. So a cgroup above Dormouse's own is preferred. In its own cgroup, if no other
//! process is there, Dormouse moves into a leaf; that fails when a service manager restarts Dormouse while
//! servers run. Cgroups that the service manager has not delegated are not used.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::hierarchy::Hierarchy;
use super::make_dir;

/// Name of the leaf into which Dormouse moves.
const LEAF: &str = "dormouse";

/// The cgroups to try, in order: the delegated ones above Dormouse's own, nearest first; its own, if
/// delegated; the topmost.
pub(super) fn parents(hierarchy: &Hierarchy) -> Vec<PathBuf> {
    parents_of(&hierarchy.own, &hierarchy.mount, is_delegated)
}

fn parents_of(own: &Path, top: &Path, is_delegated: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut parents: Vec<&Path> = own
        .ancestors()
        .take_while(|dir| *dir != top)
        .filter(|dir| is_delegated(dir))
        .collect();
    if parents.first() == Some(&own) {
        parents.rotate_left(1);
    }
    parents.push(top);
    parents.into_iter().map(Path::to_owned).collect()
}

/// Whether the service manager has delegated a cgroup. It gives the directory to an ordinary user, and sets
/// an attribute for root (systemd's "Control Group APIs and Delegation").
fn is_delegated(dir: &Path) -> bool {
    if !geteuid().is_root() {
        return true;
    }
    ["trusted.delegate", "user.delegate"].iter().any(|mark| {
        let mut value = [0; 1];
        let length = rustix::fs::getxattr(dir, *mark, &mut value);
        length == Ok(1) && value == *b"1"
    })
}

/// Enables a controller for a cgroup's children. Returns whether it was disabled before.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] if it has other processes than this one;
/// [`io::ErrorKind::Unsupported`] if it does not have the controller itself; errors of the kernel.
pub(super) fn enable(cgroup: &Path, controller: &str) -> io::Result<bool> {
    let has = |file: &str| -> io::Result<bool> {
        let text = fs::read_to_string(cgroup.join(file))?;
        Ok(text.split_whitespace().any(|c| c == controller))
    };
    // freezing and counting CPU time need no controller in v2
    if ["freezer", "cpuacct"].contains(&controller) || has("cgroup.subtree_control")? {
        return Ok(false);
    }
    if !has("cgroup.controllers")? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // the root, which may have processes and controllers, has no type
    if cgroup.join("cgroup.type").exists() {
        leave(cgroup)?;
    }
    switch(cgroup, controller, true)?;
    Ok(true)
}

/// Reverts [`enable`].
pub(super) fn disable(cgroup: &Path, controller: &str) -> io::Result<()> {
    switch(cgroup, controller, false)
}

fn switch(cgroup: &Path, controller: &str, on: bool) -> io::Result<()> {
    let sign = if on { '+' } else { '-' };
    fs::write(
        cgroup.join("cgroup.subtree_control"),
        format!("{sign}{controller}"),
    )
}

/// Moves this process, if it is the cgroup's only one, into a leaf of it.
fn leave(cgroup: &Path) -> io::Result<()> {
    let procs = fs::read_to_string(cgroup.join("cgroup.procs"))?;
    let own = std::process::id().to_string();
    if procs.lines().any(|pid| pid != own) {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    if procs.is_empty() {
        return Ok(());
    }
    let leaf = cgroup.join(LEAF);
    make_dir(&leaf)?;
    fs::write(leaf.join("cgroup.procs"), own)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory like a cgroup that has the controller `cpu` and these processes.
    fn cgroup(procs: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("cgroup.controllers", "cpuset cpu io\n"),
            ("cgroup.subtree_control", ""),
            ("cgroup.type", "domain\n"),
            ("cgroup.procs", procs),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        dir
    }

    fn enabled(dir: &tempfile::TempDir) -> String {
        fs::read_to_string(dir.path().join("cgroup.subtree_control")).unwrap()
    }

    #[test]
    fn parents_that_need_no_move_come_first() {
        let parents = |own: &str, delegated: &[&str]| -> Vec<String> {
            let own = format!("/sys/{own}");
            let found = parents_of(Path::new(&own), Path::new("/sys"), |dir| {
                delegated.iter().any(|name| dir.ends_with(name))
            });
            let shown = found.into_iter().map(|dir| dir.display().to_string());
            shown.collect()
        };
        assert_eq!(parents("", &[]), ["/sys"]);
        assert_eq!(parents("a/b", &[]), ["/sys"], "nothing is delegated");
        assert_eq!(parents("a/b", &["a/b"]), ["/sys/a/b", "/sys"]);
        assert_eq!(
            parents("a/b/c", &["a/b", "a/b/c"]),
            ["/sys/a/b", "/sys/a/b/c", "/sys"]
        );
        assert_eq!(parents("a/b/c", &["a/b"]), ["/sys/a/b", "/sys"]);
    }

    #[test]
    fn a_cgroup_with_other_processes_is_not_changed() {
        let own = std::process::id();
        let busy = cgroup(&format!("1\n{own}\n"));
        let refused = enable(busy.path(), "cpu").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(enabled(&busy), "");
        assert!(!busy.path().join(LEAF).exists());
    }

    #[test]
    fn the_only_process_moves_into_a_leaf() {
        let own = std::process::id();
        let dir = cgroup(&format!("{own}\n"));
        assert!(enable(dir.path(), "cpu").unwrap());
        assert_eq!(enabled(&dir), "+cpu");
        let moved = fs::read_to_string(dir.path().join(LEAF).join("cgroup.procs"));
        assert_eq!(moved.unwrap(), own.to_string());
    }

    #[test]
    fn an_empty_cgroup_and_a_root_need_no_leaf() {
        let empty = cgroup("");
        assert!(enable(empty.path(), "cpu").unwrap());
        let root = cgroup("1\n2\n");
        fs::remove_file(root.path().join("cgroup.type")).unwrap();
        assert!(enable(root.path(), "cpu").unwrap());
        for dir in [empty, root] {
            assert_eq!(enabled(&dir), "+cpu");
            assert!(!dir.path().join(LEAF).exists());
        }
    }

    #[test]
    fn a_missing_controller_causes_no_move() {
        let dir = cgroup(&format!("{}\n", std::process::id()));
        let refused = enable(dir.path(), "memory").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert!(!dir.path().join(LEAF).exists());
        assert!(!enable(dir.path(), "freezer").unwrap());
    }
}
