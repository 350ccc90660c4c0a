use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::disk::Disk;
use crate::files::{Entry, Fail, Files, Part};
use crate::store::Reading;
use crate::watch::Cancel;
use crate::{Key, Labels, Location, Options};

/// A directory in which something is done once, when the list of a folder is asked for: the index was read by then.
struct Hooked {
    disk: Disk,
    folder: &'static str,
    hook: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Files for Hooked {
    fn create(&self, cancel: &Cancel) -> Result<(), Fail> {
        self.disk.create(cancel)
    }
    fn length(&self, path: &str, cancel: &Cancel) -> Result<Option<u64>, Fail> {
        self.disk.length(path, cancel)
    }
    fn list(&self, folder: &str, cancel: &Cancel) -> Result<Vec<Entry>, Fail> {
        let hook = self.hook.lock().unwrap().take_if(|_| folder == self.folder);
        if let Some(hook) = hook {
            hook();
        }
        self.disk.list(folder, cancel)
    }
    fn read(&self, path: &str, part: Option<Part>, cancel: &Cancel) -> Result<Bytes, Fail> {
        self.disk.read(path, part, cancel)
    }
    fn write(&self, path: &str, content: &[Bytes], cancel: &Cancel) -> Result<(), Fail> {
        self.disk.write(path, content, cancel)
    }
    fn remove(&self, path: &str, cancel: &Cancel) -> Result<(), Fail> {
        self.disk.remove(path, cancel)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// A repository, and what another program does to it after its index was read, by the time that a folder is listed.
fn changed_meanwhile(
    dir: &Path,
    folder: &'static str,
    change: impl FnOnce(&Repository, &dyn Fn(&str) -> BackupId),
) -> Repository {
    let place = dir.join("repository");
    let location: Location = place.to_str().unwrap().parse().unwrap();
    let key = Key::new("correct horse".to_owned());
    let mut repository = Repository::init(&location, &key, &Options::default()).unwrap();
    let data = dir.join("data");
    fs::create_dir(&data).unwrap();
    let (before, after) = (dir.join("before"), dir.join("after"));
    let store = |content: &str| {
        fs::write(data.join("file"), content.repeat(100_000)).unwrap();
        let labels = Labels::new("shop".parse().unwrap(), Timestamp::now());
        let (all, watch) = (Reading::All, Watch::default());
        let stored = repository.store(&data, &[], &labels, &all, &watch);
        stored.unwrap().backup.id
    };
    let old = store("one");
    store("two");
    repository.forget(&[old]).unwrap();
    copy(&place, &before);
    change(&repository, &store);
    fs::rename(&place, &after).unwrap();
    fs::rename(&before, &place).unwrap();
    let hooked = place.clone();
    let hook = move || {
        fs::remove_dir_all(&hooked).unwrap();
        fs::rename(&after, &hooked).unwrap();
    };
    repository.files = Arc::new(Hooked {
        disk: Disk::new(place),
        folder,
        hook: Mutex::new(Some(Box::new(hook))),
    });
    repository
}

#[test]
fn a_prune_beside_a_backup_reads_the_index_again_before_it_tells_of_damage() {
    let dir = tempfile::tempdir().unwrap();
    let repository = changed_meanwhile(dir.path(), "snapshots", |_, store| {
        store("three");
    });
    repository.prune(&Watch::default()).unwrap();
    let checked = repository.check(Sample::Everything, &Watch::default());
    assert_eq!(checked.unwrap().faults, Vec::<String>::new());
}

#[test]
fn a_check_beside_a_prune_reads_the_index_again_before_it_tells_of_damage() {
    let dir = tempfile::tempdir().unwrap();
    let repository = changed_meanwhile(dir.path(), "data", |repository, _| {
        let pruned = repository.prune_at_once(&Watch::default()).unwrap();
        assert!(pruned.removed > 0, "{pruned:?}");
    });
    let checked = repository.check(Sample::Everything, &Watch::default());
    assert_eq!(checked.unwrap().faults, Vec::<String>::new());
}
