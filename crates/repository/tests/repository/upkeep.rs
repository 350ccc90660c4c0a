//! Listing, forgetting, pruning, checking.

use dormouse_repository::{Filter, Owner, Reading, Sample, Watch};

use crate::{Scene, contents, labels, noise};

#[test]
fn backups_are_listed_by_database_oldest_first() {
    let scene = Scene::new();
    scene.file("a", b"a");
    let mut ids = Vec::new();
    for (database, second) in [("shop", 5), ("blog", 1), ("shop", 3)] {
        let mut labels = labels(database);
        labels.taken_at = jiff::Timestamp::from_second(1_796_000_000 + second).unwrap();
        let stored = scene
            .repository
            .store(
                &scene.data(),
                &[],
                &labels,
                &Reading::Changed,
                &Watch::default(),
            )
            .unwrap();
        ids.push(stored.backup.id);
    }
    let listed = |filter: &Filter| {
        let listed = scene.open().unwrap().list(filter).unwrap();
        listed
            .into_iter()
            .map(|backup| backup.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        listed(&Filter::Database("shop".parse().unwrap())),
        [ids[2].clone(), ids[0].clone()]
    );
    assert_eq!(listed(&Filter::Database("none".parse().unwrap())), []);
    assert_eq!(
        listed(&Filter::All),
        [ids[1].clone(), ids[2].clone(), ids[0].clone()]
    );
}

fn stored_bytes(scene: &Scene) -> u64 {
    let files = contents(&scene.place().join("data"));
    files.values().map(|(_, _, bytes)| bytes.len() as u64).sum()
}

#[test]
fn what_only_forgotten_backups_need_is_pruned() {
    let scene = Scene::new();
    scene.file("kept", &noise(1, 2_000_000));
    let first = scene.store().backup.id;
    scene.file("gone", &noise(2, 3_000_000));
    let second = scene.store().backup.id;
    scene
        .repository
        .forget(std::slice::from_ref(&second))
        .unwrap();
    scene.repository.forget(&[second]).unwrap();
    assert_eq!(scene.count(), 1);
    let before = stored_bytes(&scene);
    let marked = scene.repository.prune(&Watch::default()).unwrap();
    assert!(
        marked.marked >= 3_000_000 && marked.removed == 0,
        "{marked:?}"
    );
    assert!(
        stored_bytes(&scene) >= before,
        "a store that runs meanwhile may count on it"
    );
    let removed = scene.repository.prune_at_once(&Watch::default()).unwrap();
    assert!(removed.removed >= 3_000_000, "{removed:?}");
    assert!(stored_bytes(&scene) < 2_100_000);
    assert!(
        scene
            .repository
            .check(Sample::Everything, &Watch::default())
            .unwrap()
            .is_good()
    );
    let into = scene.path("restored");
    scene
        .repository
        .restore(&first, "/files", &into, Owner::Own, &Watch::default())
        .unwrap();
    assert_eq!(
        std::fs::read(into.join("kept")).unwrap(),
        noise(1, 2_000_000)
    );
}

#[test]
fn a_store_after_a_prune_brings_marked_data_back() {
    let scene = Scene::new();
    scene.file("a", &noise(1, 2_000_000));
    let first = scene.store().backup.id;
    scene.repository.forget(&[first]).unwrap();
    scene.repository.prune(&Watch::default()).unwrap();
    let second = scene.store().backup.id;
    scene.repository.prune_at_once(&Watch::default()).unwrap();
    let into = scene.path("restored");
    scene
        .repository
        .restore(&second, "/files", &into, Owner::Own, &Watch::default())
        .unwrap();
    assert_eq!(contents(&into), contents(&scene.data()));
}
