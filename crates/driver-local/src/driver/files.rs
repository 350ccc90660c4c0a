//! Files of the instances, in the driver's root directory.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;
use std::time::Duration;

use dormouse_engine::{Layout, Owner, attach};
use dormouse_types::InstanceId;
use rustix::fs::{AtFlags, Mode, OFlags};

/// Creates the root directory with mode 0700.
pub(super) fn make_root(root: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(root)
}

/// Removes directories that a crash left incomplete.
pub(super) fn sweep(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let incomplete = entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "tmp");
        if incomplete && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The instances that have files, in order.
pub(super) fn list(root: &Path) -> io::Result<Vec<InstanceId>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name();
        ids.extend(
            name.to_str()
                .and_then(|name| name.parse().ok())
                .map(InstanceId),
        );
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Disk space of a directory and its content, in bytes. Files removed meanwhile do not count.
pub(super) fn size(dir: &Path) -> io::Result<u64> {
    let mut all = fs::metadata(dir)?.blocks() * 512;
    for entry in fs::read_dir(dir)?.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        all += if meta.is_dir() {
            size(&entry.path()).unwrap_or(0)
        } else {
            meta.blocks() * 512
        };
    }
    Ok(all)
}

/// Removes an instance's files. Renames the directory first, so that a crash leaves no incomplete one
/// under its name. `forget_keys` comes before the files: without its keys no copy of an encrypted instance can be read.
pub(super) fn remove(
    layout: &Layout,
    forget_keys: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let unfinished = layout.unfinished();
    if_there(fs::remove_dir_all(&unfinished))?;
    if_there(fs::rename(layout.root(), &unfinished))?;
    forget_keys()?;
    if_there(fs::remove_file(layout.config()))?;
    if_there(fs::remove_file(layout.key()))?;
    if_there(fs::remove_file(layout.client_authority()))?;
    if_there(fs::remove_file(layout.address()))?;
    if_there(fs::remove_file(layout.upstream()))?;
    if_there(fs::remove_file(layout.maintenance()))?;
    if_there(fs::remove_file(layout.sandbox()))?;
    if_there(fs::remove_file(layout.timeline()))?;
    if_there(fs::remove_file(layout.series()))?;
    if_there(fs::remove_file(layout.lock()))?;
    forget_spent(layout)?;
    if_there(fs::remove_dir_all(&unfinished))
}

/// Writes the server's configuration atomically; readable by the server's user.
pub(super) fn write_config(layout: &Layout, text: &str) -> io::Result<()> {
    write(&layout.config(), text, 0o644, None)
}

/// Writes the server's key atomically; readable by the server's user only.
pub(super) fn write_key(layout: &Layout, text: &str, owner: Option<Owner>) -> io::Result<()> {
    write(&layout.key(), text, 0o600, owner)
}

/// Writes the certificate of the authority for client certificates atomically.
pub(super) fn write_client_authority(layout: &Layout, text: &str) -> io::Result<()> {
    write(&layout.client_authority(), text, 0o644, None)
}

/// Writes the key of [`attach`] for a server that does not run. Its directories belong to the server's user, so no link
/// in them is followed. `LOAD_FILE` reads no file that others cannot read; the directory is closed to them.
pub(super) fn write_attach_key(layout: &Layout, key: &str, owner: Option<Owner>) -> io::Result<()> {
    let dir = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(layout.root(), dir, Mode::empty())?;
    let files = layout.files();
    let files = rustix::fs::openat(
        root,
        files.file_name().unwrap_or_default(),
        dir,
        Mode::empty(),
    )?;
    if_there(rustix::fs::unlinkat(&files, attach::KEY_FILE, AtFlags::empty()).map_err(Into::into))?;
    write_new(&files, attach::KEY_FILE, key, owner)
}

/// Writes a new file in a directory of the server's user; no link is followed.
pub(super) fn write_new(
    dir: &OwnedFd,
    name: &str,
    text: &str,
    owner: Option<Owner>,
) -> io::Result<()> {
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, new, Mode::from_raw_mode(0o644))?;
    if let Some(Owner { uid, gid }) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    fs::File::from(file).write_all(text.as_bytes())
}

/// Writes the file with the series of the instance's server atomically.
pub(super) fn write_series(layout: &Layout, text: &str) -> io::Result<()> {
    write(&layout.series(), text, 0o600, None)
}

/// Writes the SQL of a start for maintenance, or removes it; readable by the server's user only.
pub(super) fn set_maintenance(
    layout: &Layout,
    sql: Option<&str>,
    owner: Option<Owner>,
) -> io::Result<()> {
    match sql {
        Some(sql) => write(&layout.maintenance(), sql, 0o600, owner),
        None => if_there(fs::remove_file(layout.maintenance())),
    }
}

/// Saves the CPU time of the instance's last process. Valid for one boot of the machine only.
pub(super) fn keep_spent(layout: &Layout, boot: &str, cpu: Duration) -> io::Result<()> {
    let text = format!("{} {boot}\n", cpu.as_nanos());
    write(&layout.spent(), &text, 0o600, None)
}

/// Saved CPU time of the instance's last process; `None` if it was saved before this boot.
pub(super) fn spent(layout: &Layout, boot: &str) -> Option<Duration> {
    let text = fs::read_to_string(layout.spent()).ok()?;
    let (nanos, saved) = text.trim().split_once(' ')?;
    (saved == boot && !boot.is_empty()).then(|| nanos.parse().ok().map(Duration::from_nanos))?
}

/// Removes the saved CPU time, when another process starts.
pub(super) fn forget_spent(layout: &Layout) -> io::Result<()> {
    if_there(fs::remove_file(layout.spent()))
}

/// Removes the socket of the last process: a server that finds one connects to it, which its sandbox does not
/// allow.
pub(super) fn forget_socket(layout: &Layout) -> io::Result<()> {
    if_there(fs::remove_file(layout.socket()))
}

/// Id of this boot of the machine (`proc_sys_kernel(5)`); empty if unknown.
pub(super) fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn write(path: &Path, text: &str, mode: u32, owner: Option<Owner>) -> io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&unfinished)?;
    if let Some(Owner { uid, gid }) = owner {
        fchown(&file, Some(uid), Some(gid))?;
    }
    file.write_all(text.as_bytes())?;
    fs::rename(unfinished, path)
}

/// Leaves out the error that something does not exist.
pub(super) fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_instances_are_not_listed_and_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10", "9", "8.tmp", "lost+found", "07x"] {
            fs::create_dir_all(dir.path().join(name).join("data")).unwrap();
        }
        fs::write(dir.path().join("9.cnf"), "").unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [InstanceId(9), InstanceId(10)]);
        assert!(!dir.path().join("8.tmp").exists());

        let layout = Layout::new(dir.path().join("9")).unwrap();
        keep_spent(&layout, "boot", Duration::from_nanos(7)).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [InstanceId(9), InstanceId(10)]);
        remove(&layout, || Ok(())).unwrap();
        remove(&layout, || Ok(())).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [InstanceId(10)]);
        assert!(!layout.config().exists() && !layout.spent().exists());
    }

    #[test]
    fn saved_cpu_time_is_valid_for_one_boot() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("9")).unwrap();
        assert_eq!(spent(&layout, "boot"), None);
        let cpu = Duration::from_nanos(1_234_567_890_123);
        keep_spent(&layout, "boot", cpu).unwrap();
        assert_eq!(spent(&layout, "boot"), Some(cpu));
        assert_eq!(spent(&layout, "another"), None);
        forget_spent(&layout).unwrap();
        forget_spent(&layout).unwrap();
        assert_eq!(spent(&layout, "boot"), None);
    }

    #[test]
    fn targets_of_links_do_not_count_as_disk_space() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let big = vec![7; 1 << 20];
        fs::create_dir(dir.path().join("data")).unwrap();
        let empty = size(dir.path()).unwrap();
        fs::write(elsewhere.path().join("big"), &big).unwrap();
        for (to, name) in [
            (elsewhere.path().join("big"), "file"),
            (elsewhere.path().into(), "dir"),
        ] {
            std::os::unix::fs::symlink(to, dir.path().join("data").join(name)).unwrap();
        }
        assert!(size(dir.path()).unwrap() < empty + (1 << 20));
        fs::write(dir.path().join("data/big"), &big).unwrap();
        assert!(size(dir.path()).unwrap() >= empty + (1 << 20));
        let gone = size(&dir.path().join("gone")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
