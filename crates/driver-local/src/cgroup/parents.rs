//! Where in the second version the cgroups of instances may be made.
//!
//! A cgroup that is not the root may not have both processes and children with controllers
//! (`cgroups(7)`, "no internal processes"); one that uses the `cpu` controller all the same becomes
//! *threaded*, and nothing can join its children. So a cgroup above Dormouse's own is preferred; in
//! its own, if it is alone there, Dormouse moves into a leaf, which a service manager is in the way
//! of when it starts Dormouse again beside servers that run. What it has not delegated is left to it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::hierarchy::Hierarchy;
use super::make_dir;

/// The leaf into which Dormouse moves.
const LEAF: &str = "dormouse";

/// The cgroups to be tried, the best first: those above Dormouse's own, the nearest first, and its
/// own, as far as they are delegated; then the topmost.
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

/// Whether the service manager has said that what is below is not its own. To an ordinary user it
/// gives the directory; for root it leaves a mark (systemd's "Control Group APIs and Delegation").
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

/// Lets the children of a cgroup use a controller. Says whether they could not before.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] if there are other processes in it than this one;
/// [`io::ErrorKind::Unsupported`] if it has not got the controller itself; what the kernel says.
pub(super) fn enable(cgroup: &Path, controller: &str) -> io::Result<bool> {
    let has = |file: &str| -> io::Result<bool> {
        let text = fs::read_to_string(cgroup.join(file))?;
        Ok(text.split_whitespace().any(|c| c == controller))
    };
    // every cgroup freezes and counts CPU, without a controller
    if ["freezer", "cpuacct"].contains(&controller) || has("cgroup.subtree_control")? {
        return Ok(false);
    }
    if !has("cgroup.controllers")? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // the root has no type, and may have both
    if cgroup.join("cgroup.type").exists() {
        leave(cgroup)?;
    }
    switch(cgroup, controller, true)?;
    Ok(true)
}

/// Takes an [`enable`] back.
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

/// Moves this process out of a cgroup in which it is alone, into a leaf of it.
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

    /// A directory with files like those of a cgroup that has `cpu` and these processes.
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
    fn what_needs_no_move_comes_first() {
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
    fn a_cgroup_with_others_in_it_is_left_as_it_is() {
        let own = std::process::id();
        let busy = cgroup(&format!("1\n{own}\n"));
        let refused = enable(busy.path(), "cpu").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(enabled(&busy), "");
        assert!(!busy.path().join(LEAF).exists());
    }

    #[test]
    fn alone_in_it_dormouse_moves_into_a_leaf() {
        let own = std::process::id();
        let dir = cgroup(&format!("{own}\n"));
        assert!(enable(dir.path(), "cpu").unwrap());
        assert_eq!(enabled(&dir), "+cpu");
        let moved = fs::read_to_string(dir.path().join(LEAF).join("cgroup.procs"));
        assert_eq!(moved.unwrap(), own.to_string());
    }

    #[test]
    fn one_without_processes_and_a_root_need_no_leaf() {
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
    fn a_controller_that_is_not_there_moves_nobody() {
        let dir = cgroup(&format!("{}\n", std::process::id()));
        let refused = enable(dir.path(), "memory").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
        assert!(!dir.path().join(LEAF).exists());
        assert!(!enable(dir.path(), "freezer").unwrap());
    }
}
