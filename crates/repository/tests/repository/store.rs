//! What is stored comes back, and only what is new is read and sent.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::{Arc, Mutex};

use dormouse_repository::{Filter, Labels, Owner, Progress, Reading, Watch};
use jiff::Timestamp;

use crate::{Scene, age, contents, document, labels, noise};

#[test]
fn what_was_stored_is_restored() {
    let scene = Scene::new();
    scene.file("ibdata1", &noise(1, 300_000));
    scene.file("empty", b"");
    scene.file("shop/orders.ibd", &[0; 200_000]);
    scene.file("shop/Ünïcode %41 \"quoted\\ .frm", b"x");
    fs::create_dir(scene.data().join("nothing in it")).unwrap();
    fs::set_permissions(
        scene.data().join("ibdata1"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    fs::set_permissions(scene.data().join("shop"), fs::Permissions::from_mode(0o700)).unwrap();
    symlink("/elsewhere", scene.data().join("link")).unwrap();
    let documents = [
        document("notes.json", "{}"),
        document("catalog.json", "[1]"),
    ];
    let mut labels = labels("shop");
    labels.reason = Some("manual, by hand".to_owned());
    let stored = scene
        .repository
        .store(
            &scene.data(),
            &documents,
            &labels,
            &Reading::Changed,
            &Watch::default(),
        )
        .unwrap();
    assert_eq!(stored.backup.labels, labels);
    assert_eq!(
        (stored.backup.size, stored.files_read),
        (300_000 + 200_000 + 1 + 5, 4)
    );

    let seen = Arc::new(Mutex::new(Progress { done: 0, total: 0 }));
    let tell = Arc::clone(&seen);
    let progress = move |now: Progress| {
        let mut seen = tell.lock().unwrap();
        *seen = Progress {
            done: seen.done.max(now.done),
            total: seen.total.max(now.total),
        };
    };
    let watch = Watch {
        progress: Some(Arc::new(progress)),
        ..Watch::default()
    };
    let into = scene.path("restored");
    let repository = scene.open().unwrap();
    let id = &stored.backup.id;
    let restored = repository
        .restore(id, "/files", &into, Owner::Kept, &watch)
        .unwrap();
    assert_eq!(contents(&into), contents(&scene.data()));
    assert_eq!(restored.bytes, 500_001);
    assert_eq!(
        *seen.lock().unwrap(),
        Progress {
            done: 500_001,
            total: 500_001
        }
    );
    assert_eq!(
        repository.documents(id).unwrap(),
        ["catalog.json", "notes.json"]
    );
    assert_eq!(
        repository.read_document(id, "catalog.json").unwrap(),
        b"[1]"
    );
}

#[test]
fn an_unchanged_directory_is_not_read_and_sends_next_to_nothing() {
    let scene = Scene::new();
    scene.file("shop/a.ibd", &noise(1, 5_000_000));
    scene.file("shop/b.ibd", &noise(2, 5_000_000));
    let first = scene.store();
    // A copy has other inodes and change times, and the same times of change.
    let copy = scene.path("copy");
    fs::create_dir_all(copy.join("shop")).unwrap();
    for name in ["shop/a.ibd", "shop/b.ibd"] {
        fs::copy(scene.data().join(name), copy.join(name)).unwrap();
        let time = fs::metadata(scene.data().join(name))
            .unwrap()
            .modified()
            .unwrap();
        fs::File::open(copy.join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    let watch = Watch::default();
    let second = scene
        .repository
        .store(&copy, &[], &labels("shop"), &Reading::Changed, &watch)
        .unwrap();
    assert_eq!((first.files_read, second.files_read), (2, 0));
    assert!(second.sent < 3_000, "{} bytes were sent", second.sent);
    assert_eq!(second.backup.size, first.backup.size);
    // A branch starts with its parent's backup.
    let since = Reading::ChangedSince(first.backup.id);
    let branch = scene
        .repository
        .store(&copy, &[], &labels("branch"), &since, &watch)
        .unwrap();
    assert_eq!(branch.files_read, 0);
    let all = scene
        .repository
        .store(&copy, &[], &labels("shop"), &Reading::All, &watch)
        .unwrap();
    assert_eq!(all.files_read, 2);
    assert!(all.sent < 3_000, "{} bytes were sent", all.sent);
}

#[test]
fn one_page_in_a_hundred_costs_less_than_five_percent() {
    let scene = Scene::new();
    let page = 16 << 10;
    let pages = 6_400;
    let mut file = noise(1, pages * page);
    scene.file("shop/orders.ibd", &file);
    let first = scene.store();
    // Every hundredth page, not in a row: the worst case.
    for at in (0..pages).step_by(100) {
        file[at * page..][..page].copy_from_slice(&noise(at as u64 + 7, page));
    }
    scene.file("shop/orders.ibd", &file);
    age(&scene.data().join("shop/orders.ibd"), 30);
    let second = scene.store();
    assert_eq!(second.files_read, 1);
    let share = second.sent as f64 / first.sent as f64;
    assert!(
        share <= 0.05,
        "{} of {} bytes were sent",
        second.sent,
        first.sent
    );
}

#[test]
fn a_file_written_when_the_backup_was_taken_is_read_again() {
    let scene = Scene::new();
    scene.file("a.ibd", b"before");
    let path = scene.data().join("a.ibd");
    let now = std::time::SystemTime::now();
    fs::File::open(&path).unwrap().set_modified(now).unwrap();
    let mut labels = labels("shop");
    labels.taken_at = Timestamp::try_from(now).unwrap();
    let store = |labels: &Labels| {
        scene
            .repository
            .store(
                &scene.data(),
                &[],
                labels,
                &Reading::Changed,
                &Watch::default(),
            )
            .unwrap()
    };
    store(&labels);
    // Written once more in the same tick of the clock, with the same length.
    fs::write(&path, b"after!").unwrap();
    fs::File::open(&path).unwrap().set_modified(now).unwrap();
    labels.taken_at += jiff::SignedDuration::from_secs(10);
    let second = store(&labels);
    labels.taken_at += jiff::SignedDuration::from_secs(10);
    let third = store(&labels);
    assert_eq!((second.files_read, third.files_read), (1, 0));
    let into = scene.path("restored");
    scene
        .repository
        .restore(
            &third.backup.id,
            "/files",
            &into,
            Owner::Own,
            &Watch::default(),
        )
        .unwrap();
    assert_eq!(fs::read(into.join("a.ibd")).unwrap(), b"after!");
}

#[test]
fn documents_may_stand_alone() {
    let scene = Scene::new();
    let labels = Labels::of_installation(Timestamp::now());
    let documents = [document("catalog.json", "{\"databases\":[]}")];
    let stored = scene
        .repository
        .store_documents(&documents, &labels, &Watch::default())
        .unwrap();
    let listed = scene.repository.list(&Filter::Installation).unwrap();
    assert_eq!(listed, [stored.backup]);
    let read = scene
        .repository
        .read_document(&listed[0].id, "catalog.json")
        .unwrap();
    assert_eq!(read, documents[0].bytes);
}

#[test]
fn several_threads_store_at_once() {
    let scene = Scene::new();
    for n in 0..4_u64 {
        scene.file(&format!("{n}/a.ibd"), &noise(n, 2_000_000));
    }
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (repository, dir) = (&scene.repository, scene.data().join(n.to_string()));
            scope.spawn(move || {
                let labels = labels(&format!("db{n}"));
                repository
                    .store(&dir, &[], &labels, &Reading::Changed, &Watch::default())
                    .unwrap();
            });
        }
    });
    assert_eq!(scene.count(), 4);
    for n in 0..4 {
        let of = Filter::Database(format!("db{n}").parse().unwrap());
        let id = &scene.repository.list(&of).unwrap()[0].id;
        let into = scene.path(&format!("restored{n}"));
        scene
            .repository
            .restore(id, "/files", &into, Owner::Own, &Watch::default())
            .unwrap();
        assert_eq!(contents(&into), contents(&scene.data().join(n.to_string())));
    }
}
