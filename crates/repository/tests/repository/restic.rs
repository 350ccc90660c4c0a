//! Debian's `restic` reads what this crate writes, and the other way round.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use dormouse_repository::{Error, Filter, Owner, Reading, Sample, Watch};

use crate::{Scene, contents, document, labels, noise};

/// `restic` at a repository; none where it is not installed.
fn restic(place: &Path) -> Option<Command> {
    if Command::new("restic").arg("version").output().is_err() {
        eprintln!("skipped: restic is not installed");
        return None;
    }
    let mut restic = Command::new("restic");
    restic
        .env("RESTIC_PASSWORD", "correct horse")
        .args(["--no-cache", "--repo"])
        .arg(place);
    Some(restic)
}

fn run(mut restic: Command, arguments: &[&str]) -> String {
    let output = restic.args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn restic_reads_what_was_stored() {
    let scene = Scene::new();
    let Some(_) = restic(&scene.place()) else {
        return;
    };
    let restic = || restic(&scene.place()).unwrap();
    scene.file("ibdata1", &noise(1, 3_000_000));
    scene.file("shop/orders.ibd", &noise(2, 200_000));
    scene.file("empty", b"");
    let documents = [document("catalog.json", "{}")];
    let watch = Watch::default();
    let store = || {
        scene
            .repository
            .store(
                &scene.data(),
                &documents,
                &labels("shop"),
                &Reading::Changed,
                &watch,
            )
            .unwrap()
    };
    store();
    scene.file("shop/orders.ibd", &noise(3, 200_000));
    let id = store().backup.id;
    run(restic(), &["check", "--read-data"]);
    let snapshots = run(restic(), &["snapshots", "--json", "--host", "shop"]);
    assert!(
        snapshots.contains(id.as_str()) && snapshots.contains("database=shop"),
        "{snapshots}"
    );
    let listed = run(restic(), &["ls", id.as_str()]);
    for path in [
        "/documents/catalog.json",
        "/files/ibdata1",
        "/files/shop/orders.ibd",
    ] {
        assert!(listed.lines().any(|line| line == path), "{listed}");
    }
    let into = scene.path("restored");
    run(
        restic(),
        &["restore", id.as_str(), "--target", into.to_str().unwrap()],
    );
    assert_eq!(contents(&into.join("files")), contents(&scene.data()));
    assert_eq!(
        fs::read(into.join("documents/catalog.json")).unwrap(),
        b"{}"
    );
    // After restic's own upkeep all is as before.
    run(restic(), &["prune"]);
    assert!(
        scene
            .repository
            .check(Sample::Everything, &watch)
            .unwrap()
            .is_good()
    );
    assert_eq!(store().files_read, 0);
}

#[test]
fn what_restic_stored_is_read() {
    let scene = Scene::new();
    let place = scene.place();
    let Some(_) = restic(&place) else { return };
    let restic = || restic(&place).unwrap();
    fs::remove_dir_all(&place).unwrap();
    run(restic(), &["init"]);
    scene.file("a/b", &noise(1, 2_000_000));
    run(
        restic(),
        &["backup", "--tag", "nightly", scene.data().to_str().unwrap()],
    );
    let repository = scene.open().unwrap();
    let listed = repository.list(&Filter::All).unwrap();
    assert_eq!((listed.len(), listed[0].own), (1, false));
    let into = scene.path("restored");
    let part = scene.data();
    repository
        .restore(
            &listed[0].id,
            part.to_str().unwrap(),
            &into,
            Owner::Kept,
            &Watch::default(),
        )
        .unwrap();
    assert_eq!(contents(&into), contents(&scene.data()));
    let stored = repository
        .store(
            &scene.data(),
            &[],
            &labels("shop"),
            &Reading::Changed,
            &Watch::default(),
        )
        .unwrap();
    assert!(
        stored.sent < 10_000,
        "what restic has stored was sent again: {} bytes",
        stored.sent
    );
    run(restic(), &["check", "--read-data"]);
}

#[test]
fn restic_waits_while_something_is_stored() {
    let scene = Scene::new();
    let Some(_) = restic(&scene.place()) else {
        return;
    };
    scene.file("a", &noise(1, 1_000_000));
    let place = scene.place();
    let said = Arc::new(Mutex::new(None));
    let says = Arc::clone(&said);
    let progress = move |_| {
        says.lock().unwrap().get_or_insert_with(|| {
            let output = restic(&place).unwrap().args(["prune"]).output().unwrap();
            (
                output.status.success(),
                String::from_utf8(output.stderr).unwrap(),
            )
        });
    };
    let watch = Watch {
        progress: Some(Arc::new(progress)),
        ..Watch::default()
    };
    scene
        .repository
        .store(
            &scene.data(),
            &[],
            &labels("shop"),
            &Reading::Changed,
            &watch,
        )
        .unwrap();
    let (done, text) = said.lock().unwrap().take().unwrap();
    assert!(
        !done && text.contains("locked") && text.contains("dormouse"),
        "{text}"
    );
    run(restic(&scene.place()).unwrap(), &["prune"]);
}

/// A `restic` that is in the middle of a backup.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_lock_of_restic_counts_until_its_process_ends() {
    let scene = Scene::new();
    let Some(mut restic) = restic(&scene.place()) else {
        return;
    };
    scene.file("a", b"a");
    let locks = scene.place().join("locks");
    let backup = restic
        .args(["backup", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let busy = Busy(backup.spawn().unwrap());
    let pid = busy.0.id().to_string();
    while fs::read_dir(&locks).unwrap().count() == 0 {
        std::thread::yield_now();
    }
    scene.store();
    let refused = scene
        .repository
        .prune_at_once(&Watch::default())
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Locked { holder, .. } if holder.contains(&pid)),
        "{refused:?}"
    );
    // Killed: its lock stays.
    drop(busy);
    assert_ne!(fs::read_dir(&locks).unwrap().count(), 0);
    scene.repository.prune_at_once(&Watch::default()).unwrap();
}
