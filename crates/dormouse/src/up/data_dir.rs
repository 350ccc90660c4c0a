//! Opens the data directory: creates it, locks it for this process, and checks early that it is usable.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use dormouse_api::ErrorBody;
use dormouse_control::{Lock, LockError};
use dormouse_types::Bytes;

use crate::Outcome;

/// Free space below which there is a warning; a database's files take 24 MB.
const LITTLE_ROOM: Bytes = Bytes::mib(256);

/// The data directory, locked for this process.
#[derive(Debug)]
pub(super) struct DataDir {
    /// Warnings for the user.
    pub(super) warnings: Vec<String>,
    _lock: Lock,
}

/// Creates the directory if necessary, locks it, and checks that it is usable.
pub(super) fn open(dir: &Path) -> Outcome<DataDir> {
    let root = rustix::process::geteuid().is_root();
    // as root, instances run as users of their own and need search permission; the files inside
    // have modes of their own
    let mode = if root { 0o711 } else { 0o700 };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(dir)
        .map_err(|e| unusable(dir, &e))?;
    let lock = lock(dir)?;
    probe(dir).map_err(|e| unusable(dir, &e))?;
    if root {
        passable(dir)?;
    }
    let mut warnings = Vec::new();
    if let Ok(free) = free(dir)
        && free < LITTLE_ROOM
    {
        let free = crate::format::size(free);
        warnings.push(format!(
            "only {free} are free on the disk of {}",
            dir.display()
        ));
    }
    Ok(DataDir {
        warnings,
        _lock: lock,
    })
}

/// Free space for this user on the directory's disk.
pub(crate) fn free(dir: &Path) -> io::Result<Bytes> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(Bytes(disk.f_bavail.saturating_mul(disk.f_frsize)))
}

/// Locks the directory, before files are created, removed or migrated: two processes would remove each
/// other's files.
fn lock(dir: &Path) -> Outcome<Lock> {
    Lock::take(&dir.join("up.lock")).map_err(|error| match error {
        LockError::Held(holder) => {
            let data_dir = dir.to_owned();
            dormouse_control::Error::Busy { data_dir, holder }.into()
        }
        LockError::Io(error) => unusable(dir, &error),
    })
}

/// Makes the catalog unreadable for other users, because it contains password verifiers. SQLite gives
/// its other files the mode of the catalog.
pub(super) fn keep_catalog_private(dir: &Path) -> Outcome {
    let is_catalogs = |name: &str| name.starts_with("catalog.");
    let close = || {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_catalogs) {
                fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o600))?;
            }
        }
        Ok(())
    };
    close().map_err(|e| unusable(dir, &e))
}

/// Writes a small file and removes it.
fn probe(dir: &Path) -> io::Result<()> {
    let path = dir.join(".probe");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    fs::remove_file(&path)
}

/// Checks that other users have search permission on every parent directory; grants it on the last one.
fn passable(dir: &Path) -> Outcome {
    for on_the_way in dir.ancestors() {
        let meta = fs::metadata(on_the_way).map_err(|e| unusable(dir, &e))?;
        if meta.mode() & 0o001 != 0 {
            continue;
        }
        if on_the_way == dir && meta.uid() == 0 {
            let mode = fs::Permissions::from_mode((meta.mode() & 0o7777) | 0o011);
            fs::set_permissions(dir, mode).map_err(|e| unusable(dir, &e))?;
            continue;
        }
        let message = format!(
            "the data directory {} cannot be reached through {}: as root, every database server \
             runs as a user of its own, which needs search permission",
            dir.display(),
            on_the_way.display()
        );
        let hint = format!(
            "choose another --data-dir, or run `chmod o+x {}`",
            on_the_way.display()
        );
        return Err(ErrorBody::new("machine", message).with_hint(hint));
    }
    Ok(())
}

fn unusable(dir: &Path, error: &io::Error) -> ErrorBody {
    let dir = dir.display();
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "choose another one with --data-dir, or run as its owner".to_owned()
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "choose one on another disk with --data-dir".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("make room on its disk (`df {dir}`), or choose another one with --data-dir")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "the path contains a file; choose another one with --data-dir".to_owned()
        }
        _ => "choose another one with --data-dir".to_owned(),
    };
    ErrorBody::new(
        "machine",
        format!("the data directory {dir} cannot be used: {error}"),
    )
    .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_is_created_with_only_the_lock_in_it() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let dir = parent.path().join("a/b");
        drop(open(&dir).unwrap());
        drop(open(&dir).unwrap());
        let left: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["up.lock"]);
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o066, 0);
    }

    #[test]
    fn a_directory_has_one_dormouse_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let first = open(parent.path()).unwrap();
        let refused = open(parent.path()).unwrap_err();
        let pid = format!("pid {}", std::process::id());
        assert!(refused.message.contains(&pid), "{}", refused.message);
        drop(first);
        open(parent.path()).unwrap();
    }

    #[test]
    fn the_catalog_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["catalog.sqlite", "catalog.sqlite-wal", "other"] {
            fs::write(dir.path().join(name), "").unwrap();
            let open = fs::Permissions::from_mode(0o644);
            fs::set_permissions(dir.path().join(name), open).unwrap();
        }
        keep_catalog_private(dir.path()).unwrap();
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
        let modes = ["catalog.sqlite", "catalog.sqlite-wal", "other"].map(mode);
        assert_eq!(modes, [0o600, 0o600, 0o644]);
    }

    #[test]
    fn the_error_for_an_unusable_path_has_a_hint() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for dir in [
            file.path().to_owned(),
            file.path().join("inside"),
            "/proc/dormouse".into(),
        ] {
            let error = open(&dir).unwrap_err();
            assert!(
                error.message.contains(&dir.display().to_string()),
                "{}",
                error.message
            );
            assert!(error.hint.unwrap().contains("--data-dir"));
        }
    }

    #[test]
    fn the_error_for_a_full_disk_says_so() {
        let error = unusable(Path::new("/data"), &io::ErrorKind::StorageFull.into());
        assert!(error.hint.unwrap().contains("make room"));
    }
}
