use super::*;

fn locks(dir: &Path) -> Locks {
    Locks::new(Some(dir.to_owned()), &MasterKey::new())
}

fn count(dir: &Path) -> usize {
    fs::read_dir(dir.join("locks")).unwrap().count()
}

/// Writes a lock as somebody else would.
fn foreign(locks: &Locks, change: impl FnOnce(&mut Lock)) {
    let folder = locks.0.as_ref().unwrap();
    let name = folder.write(false).unwrap();
    let mut lock = folder.read(&folder.path.join(&name)).unwrap().unwrap();
    change(&mut lock);
    let text = serde_json::to_vec(&lock).unwrap();
    let nonce = [7; 16];
    let sealed = folder
        .cipher()
        .encrypt(Nonce::from_slice(&nonce), text.as_slice())
        .unwrap();
    fs::write(folder.path.join(&name), [&nonce[..], &sealed].concat()).unwrap();
}

#[test]
fn many_share_and_one_excludes() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    let first = locks.share("x").unwrap();
    let second = locks.share("x").unwrap();
    assert_eq!(count(dir.path()), 2);
    assert!(matches!(locks.exclude("x"), Err(Error::Locked { .. })));
    first.release();
    drop(second);
    assert_eq!(count(dir.path()), 0);
    let alone = locks.exclude("x").unwrap();
    assert!(matches!(locks.share("x"), Err(Error::Locked { .. })));
    assert!(matches!(locks.exclude("x"), Err(Error::Locked { .. })));
    alone.release();
    assert_eq!(count(dir.path()), 0);
}

#[test]
fn a_lock_of_an_ended_process_or_of_long_ago_is_ignored_and_ours_removed() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    // No process has this number.
    foreign(&locks, |lock| lock.pid = 4_194_305);
    foreign(&locks, |lock| {
        lock.hostname = "elsewhere".to_owned();
        lock.time = (Timestamp::now() - SignedDuration::from_mins(31)).to_string();
    });
    foreign(&locks, |lock| {
        lock.pid = 4_194_305;
        lock.exclusive = true;
        lock.username = "root".to_owned();
    });
    locks.exclude("x").unwrap().release();
    assert_eq!(count(dir.path()), 1, "the lock that is not ours stays");
}

#[test]
fn a_lock_of_a_live_process_elsewhere_counts() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    foreign(&locks, |lock| lock.hostname = "elsewhere".to_owned());
    let refused = locks.exclude("/srv/x").err().unwrap().to_string();
    assert!(
        refused.contains("/srv/x") && refused.contains("elsewhere"),
        "{refused}"
    );
    locks.share("/srv/x").unwrap().release();
}

#[test]
fn a_lock_that_cannot_be_read_counts_as_exclusive() {
    let dir = tempfile::tempdir().unwrap();
    let locks = locks(dir.path());
    fs::create_dir(dir.path().join("locks")).unwrap();
    fs::write(dir.path().join("locks").join("ab".repeat(32)), b"short").unwrap();
    assert!(matches!(locks.share("x"), Err(Error::Locked { .. })));
}
