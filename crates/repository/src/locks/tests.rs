use std::fs;
use std::path::Path;

use super::*;
use crate::disk::Disk;

fn locks(dir: &Path) -> Locks {
    fs::create_dir_all(dir.join("locks")).unwrap();
    Locks::new(Arc::new(Disk::new(dir.to_owned())), &MasterKey::new())
}

/// Takes a lock without waiting for those of this process.
fn take(locks: &Locks, location: &str, exclusive: bool) -> Result<Held, Error> {
    let usage = match exclusive {
        true => Usage::Alone,
        false => Usage::Store,
    };
    locks.take(location, usage, &Watch::default())
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir.join("locks")).unwrap().count()
}

/// Writes a lock as somebody else would.
fn foreign(dir: &Path, locks: &Locks, change: impl FnOnce(&mut Lock)) {
    let folder = &locks.0;
    let name = folder.write(false, &Cancel::default()).unwrap();
    let mut lock = folder.read(&name, &Cancel::default()).unwrap().unwrap();
    change(&mut lock);
    let text = serde_json::to_vec(&lock).unwrap();
    let nonce = [7; 16];
    let sealed = folder
        .cipher()
        .encrypt(Nonce::from_slice(&nonce), text.as_slice())
        .unwrap();
    let bytes = [&nonce[..], &sealed].concat();
    fs::write(dir.join("locks").join(&name), bytes).unwrap();
}

#[test]
fn a_use_of_the_repository_leaves_a_lock_while_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    let first = take(&locks, "many", false).unwrap();
    let second = take(&locks, "many", false).unwrap();
    assert_eq!(count(dir.path()), 2);
    let reading = locks.take("many", Usage::Read, &Watch::default()).unwrap();
    assert_eq!(count(dir.path()), 2, "what reads leaves no file");
    first.release();
    drop((second, reading));
    assert_eq!(count(dir.path()), 0);
    take(&locks, "many", true).unwrap().release();
    assert_eq!(count(dir.path()), 0);
}

/// By another process of Dormouse's, such as `dormouse recover`.
#[test]
fn dormouse_waits_for_a_lock_of_dormouse_and_is_refused_by_that_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    foreign(dir.path(), &locks, |lock| {
        lock.hostname = "elsewhere".to_owned();
        lock.exclusive = true;
    });
    let place = dir.path().to_owned();
    let watch = Watch {
        waits: Some(Arc::new(move |what: Option<&str>| {
            // The other one ends.
            if what.is_some_and(|what| what.contains("elsewhere")) {
                let all = fs::read_dir(place.join("locks")).unwrap();
                all.for_each(|lock| fs::remove_file(lock.unwrap().path()).unwrap());
            }
        })),
        ..Watch::default()
    };
    let held = locks.take("ours", Usage::Store, &watch).unwrap();
    held.release();
    foreign(dir.path(), &locks, |lock| lock.exclusive = true);
    let cancelled = Watch::default();
    cancelled.cancel.cancel();
    let ended = locks.take("ours", Usage::Store, &cancelled).err().unwrap();
    assert!(matches!(ended, Error::Cancelled), "{ended:?}");
    foreign(dir.path(), &locks, |lock| {
        lock.username = "root".to_owned();
        lock.exclusive = true;
    });
    let refused = take(&locks, "ours", false).err().unwrap();
    assert!(matches!(refused, Error::Locked { .. }), "{refused:?}");
}

#[test]
fn a_lock_of_an_ended_process_or_of_long_ago_is_ignored_and_ours_removed() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    // No process has this number.
    foreign(dir.path(), &locks, |lock| lock.pid = 4_194_305);
    foreign(dir.path(), &locks, |lock| {
        lock.hostname = "elsewhere".to_owned();
        lock.time = (Timestamp::now() - SignedDuration::from_mins(31)).to_string();
    });
    foreign(dir.path(), &locks, |lock| {
        lock.pid = 4_194_305;
        lock.exclusive = true;
        lock.username = "root".to_owned();
    });
    take(&locks, "ended", true).unwrap().release();
    assert_eq!(count(dir.path()), 1, "the lock that is not ours stays");
}

#[test]
fn a_lock_of_a_live_process_elsewhere_counts() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    foreign(dir.path(), &locks, |lock| {
        lock.hostname = "elsewhere".to_owned();
        lock.username = "root".to_owned();
    });
    let refused = take(&locks, "/srv/x", true).err().unwrap().to_string();
    assert!(
        refused.contains("/srv/x") && refused.contains("elsewhere"),
        "{refused}"
    );
    take(&locks, "/srv/x", false).unwrap().release();
}

#[test]
fn a_lock_that_cannot_be_read_counts_as_exclusive() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    fs::write(dir.path().join("locks").join("ab".repeat(32)), b"short").unwrap();
    assert!(matches!(
        take(&locks, "odd", false),
        Err(Error::Locked { .. })
    ));
}
