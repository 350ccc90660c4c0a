//! Finds the mounted hierarchies and this process's cgroup in each.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use dormouse_types::InstanceId;

use super::parents::{disable, enable};
use super::{CgroupVersion, make_dir};

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: CgroupVersion,
    /// Its controllers; v1 only, since v2 lists them in each cgroup.
    pub(super) controllers: Vec<String>,
    /// Mount point.
    pub(super) mount: PathBuf,
    /// The mounted cgroup: in some containers not the root.
    root: PathBuf,
    /// This process's own cgroup.
    pub(super) own: PathBuf,
}

impl Hierarchy {
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// A cgroup's directory; `None` if it is outside the mounted part.
    fn directory(&self, cgroup: &str) -> Option<PathBuf> {
        let inside = Path::new(cgroup).strip_prefix(&self.root).ok()?;
        let plain = inside
            .components()
            .all(|c| matches!(c, Component::Normal(_)));
        plain.then(|| self.mount.join(inside))
    }
}

/// The hierarchies of this process.
pub(super) fn of_this_process() -> Vec<Hierarchy> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
}

/// Parses `proc_pid_mountinfo(5)` and `/proc/PID/cgroup` (`cgroups(7)`).
pub(super) fn parse(mountinfo: &str, cgroup: &str) -> Vec<Hierarchy> {
    let memberships = memberships(cgroup);
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, mount) = (unescape(before.next()?), unescape(before.next()?));
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1)?);
        let (version, controllers) = match kind {
            "cgroup2" => (CgroupVersion::V2, Vec::new()),
            "cgroup" => (
                CgroupVersion::V1,
                options.split(',').map(str::to_owned).collect(),
            ),
            _ => return None,
        };
        let mut hierarchy = Hierarchy {
            version,
            controllers,
            own: PathBuf::new(),
            root: root.into(),
            mount: mount.into(),
        };
        let member = match version {
            CgroupVersion::V2 => memberships.get("")?,
            CgroupVersion::V1 => hierarchy
                .controllers
                .iter()
                .find_map(|c| memberships.get(c.as_str()))?,
        };
        hierarchy.own = hierarchy.directory(member)?;
        Some(hierarchy)
    });
    mounts.collect()
}

/// Parses `/proc/PID/cgroup`: the cgroup of each controller; that of v2 under the empty name.
pub(super) fn memberships(cgroup: &str) -> HashMap<&str, &str> {
    let lines = cgroup.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    lines
        .flat_map(|(names, path)| names.split(',').map(move |name| (name, path)))
        .collect()
}

/// Decodes octal escapes, such as those of blanks.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let code = after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => out.push(char::from(code)),
            None => out.push('\\'),
        }
        rest = if code.is_some() { &after[3..] } else { after };
    }
    out.push_str(rest);
    out
}

/// Parent directory of the instances' cgroups for one capability.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: CgroupVersion,
    pub(super) base: PathBuf,
}

impl Place {
    /// An instance's cgroup.
    pub(super) fn of(&self, id: InstanceId) -> PathBuf {
        self.base.join(id.to_string())
    }

    /// Creates the parent directory, if it is missing.
    pub(super) fn make_base(&self, controller: &str) -> io::Result<()> {
        make_dir(&self.base)?;
        match self.version {
            CgroupVersion::V1 => Ok(()),
            CgroupVersion::V2 => enable(&self.base, controller).map(drop),
        }
    }

    /// Creates the directory `name` in `parent` and probes the controller with a cgroup in it.
    pub(super) fn try_make(
        hierarchy: &Hierarchy,
        parent: &Path,
        name: &str,
        controller: &str,
    ) -> Option<Self> {
        let place = Self {
            version: hierarchy.version,
            base: parent.join(name),
        };
        let (version, base) = (place.version, &place.base);
        let mut enabled = false;
        let mut attempt = || -> io::Result<()> {
            if version == CgroupVersion::V2 {
                // moving a process needs write permission on the common ancestor too
                fs::OpenOptions::new()
                    .write(true)
                    .open(parent.join("cgroup.procs"))?;
                enabled = enable(parent, controller)?;
            }
            place.make_base(controller)?;
            let probe = base.join(format!("probe-{}", std::process::id()));
            make_dir(&probe)?;
            let works =
                is_joinable(version, &probe).and_then(|()| try_on(version, &probe, controller));
            fs::remove_dir(&probe)?;
            works
        };
        let found = attempt();
        // created again with the first instance; fails if it has other cgroups already
        let _ = fs::remove_dir(base);
        if found.is_err() && enabled {
            let _ = disable(parent, controller);
        }
        found.ok().map(|()| place)
    }
}

/// Whether processes can join a cgroup: not if its parent is threaded.
fn is_joinable(version: CgroupVersion, cgroup: &Path) -> io::Result<()> {
    match version {
        CgroupVersion::V1 => Ok(()),
        CgroupVersion::V2 => match fs::read_to_string(cgroup.join("cgroup.type"))?.trim() {
            "domain" => Ok(()),
            _ => Err(io::ErrorKind::Unsupported.into()),
        },
    }
}

/// Tries the operations on an empty cgroup that an instance will need.
fn try_on(version: CgroupVersion, cgroup: &Path, controller: &str) -> io::Result<()> {
    let set = |file: &str, value: &str| fs::write(cgroup.join(file), value);
    let counts = |file: &str| fs::read(cgroup.join(file)).map(drop);
    match (version, controller) {
        (CgroupVersion::V2, "freezer") => {
            set("cgroup.freeze", "1").and_then(|()| set("cgroup.freeze", "0"))
        }
        (CgroupVersion::V2, "cpu") => set("cpu.max", "max 100000"),
        (CgroupVersion::V2, "cpuacct") => counts("cpu.stat"),
        (CgroupVersion::V2, _) => set("memory.max", "max").and_then(|()| set("memory.high", "max")),
        (CgroupVersion::V1, "freezer") => set("freezer.state", "THAWED"),
        (CgroupVersion::V1, "cpu") => set("cpu.cfs_quota_us", "-1"),
        (CgroupVersion::V1, "cpuacct") => counts("cpuacct.usage"),
        (CgroupVersion::V1, _) => set("memory.limit_in_bytes", "-1"),
    }
}

#[cfg(test)]
mod tests;
