//! The directory of the instances.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

use dormouse_engine::{Layout, Owner};
use dormouse_types::InstanceId;

/// Makes it, readable by its owner alone.
pub(super) fn make_root(root: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(root)
}

/// Removes what a crash left half made or half removed.
pub(super) fn sweep(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let half = entry
            .path()
            .extension()
            .is_some_and(|ending| ending == "tmp");
        if half && entry.file_type()?.is_dir() {
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

/// How much disk a directory and all that is in it takes, in bytes. Files that go meanwhile count
/// for nothing.
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

/// Removes an instance's files. It is gone under its name first, so that a crash cannot leave
/// half of it there.
pub(super) fn remove(layout: &Layout) -> io::Result<()> {
    let unfinished = layout.unfinished();
    if_there(fs::remove_dir_all(&unfinished))?;
    if_there(fs::rename(layout.root(), &unfinished))?;
    if_there(fs::remove_file(layout.config()))?;
    if_there(fs::remove_file(layout.key()))?;
    if_there(fs::remove_file(layout.lock()))?;
    if_there(fs::remove_dir_all(&unfinished))
}

/// Writes the server's configuration, whole or not at all; the server's user may read it.
pub(super) fn write_config(layout: &Layout, text: &str) -> io::Result<()> {
    write(&layout.config(), text, 0o644, None)
}

/// Writes the server's key, whole or not at all; the server's user alone may read it.
pub(super) fn write_key(layout: &Layout, text: &str, owner: Option<Owner>) -> io::Result<()> {
    write(&layout.key(), text, 0o600, owner)
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

fn if_there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_instances_are_listed_and_halves_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10", "9", "8.tmp", "lost+found", "07x"] {
            fs::create_dir_all(dir.path().join(name).join("data")).unwrap();
        }
        fs::write(dir.path().join("9.cnf"), "").unwrap();
        sweep(dir.path()).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [InstanceId(9), InstanceId(10)]);
        assert!(!dir.path().join("8.tmp").exists());

        let layout = Layout::new(dir.path().join("9")).unwrap();
        remove(&layout).unwrap();
        remove(&layout).unwrap();
        assert_eq!(list(dir.path()).unwrap(), [InstanceId(10)]);
        assert!(!layout.config().exists());
    }
}
