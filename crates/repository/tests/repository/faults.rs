//! What goes wrong ends in an error that names it, and in no backup.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dormouse_repository::{Error, Fault, Key, Options, Owner, Reading, Repository, Sample, Watch};

use crate::{Scene, document, key, labels, noise};

fn open(path: &Path, key: &Key) -> Result<Repository, Error> {
    Repository::open(
        &path.to_str().unwrap().parse().unwrap(),
        key,
        &Options::default(),
    )
}

#[test]
fn what_cannot_be_opened_says_why() {
    let scene = Scene::new();
    let wrong = open(&scene.place(), &Key::new("wrong".to_owned())).unwrap_err();
    assert!(
        matches!(wrong, Error::WrongKey { .. }) && wrong.fault() == Fault::Configuration,
        "{wrong:?}"
    );
    let empty = open(&scene.place(), &Key::new("\n".to_owned())).unwrap_err();
    assert!(matches!(empty, Error::EmptyKey { .. }), "{empty:?}");
    for nowhere in ["nowhere", "data"] {
        let error = open(&scene.path(nowhere), &key()).unwrap_err();
        assert!(matches!(error, Error::NotThere { .. }), "{error:?}");
        assert!(error.to_string().contains(nowhere), "{error}");
    }
    let location = scene.place().to_str().unwrap().parse().unwrap();
    let again = Repository::init(&location, &key(), &Options::default()).unwrap_err();
    assert!(matches!(again, Error::AlreadyThere { .. }), "{again:?}");
    let options = Options {
        place: [("region".to_owned(), "x".to_owned())].into(),
        ..Options::default()
    };
    let option = Repository::open(&location, &key(), &options).unwrap_err();
    assert!(matches!(option, Error::Setting { .. }), "{option:?}");
}

#[test]
fn a_repository_that_goes_away_is_missed_at_the_next_call() {
    let scene = Scene::new();
    scene.file("a", b"a");
    let id = scene.store().backup.id;
    fs::rename(scene.place(), scene.path("moved")).unwrap();
    let watch = Watch::default();
    let errors = [
        scene
            .repository
            .list(&dormouse_repository::Filter::All)
            .unwrap_err(),
        scene
            .repository
            .store(
                &scene.data(),
                &[],
                &labels("shop"),
                &Reading::Changed,
                &watch,
            )
            .unwrap_err(),
        scene
            .repository
            .restore(&id, "/files", &scene.path("x"), Owner::Own, &watch)
            .unwrap_err(),
        scene.repository.prune(&watch).unwrap_err(),
        scene.repository.check(Sample::Nothing, &watch).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, Error::NotThere { .. }), "{error:?}");
    }
    assert!(
        !scene.place().exists(),
        "nothing was made where it had been"
    );
}

#[test]
fn a_list_of_backups_that_cannot_be_read_is_not_an_empty_one() {
    let scene = Scene::new();
    scene.file("a", &noise(1, 100_000));
    scene.store();
    fs::rename(scene.place().join("snapshots"), scene.path("moved")).unwrap();
    assert!(
        scene
            .repository
            .list(&dormouse_repository::Filter::All)
            .is_err()
    );
    assert!(scene.repository.prune_at_once(&Watch::default()).is_err());
    fs::rename(scene.path("moved"), scene.place().join("snapshots")).unwrap();
    assert!(
        scene
            .repository
            .check(Sample::Everything, &Watch::default())
            .unwrap()
            .is_good()
    );
}

/// The largest data file of a repository.
fn pack(place: &Path) -> PathBuf {
    let folders = fs::read_dir(place.join("data"))
        .unwrap()
        .map(|folder| folder.unwrap().path());
    let packs = folders.flat_map(|folder| {
        fs::read_dir(folder)
            .unwrap()
            .map(|pack| pack.unwrap().path())
    });
    packs
        .max_by_key(|pack| fs::metadata(pack).unwrap().len())
        .unwrap()
}

/// What is done to a data file, and its name.
type Damage = (&'static str, fn(&Path));

#[test]
fn damage_is_found_and_never_restored() {
    let whole = noise(1, 3_000_000);
    let damages: [Damage; 3] = [
        ("truncated", |pack| {
            let bytes = fs::read(pack).unwrap();
            fs::write(pack, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("altered", |pack| {
            let mut bytes = fs::read(pack).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(pack, &bytes).unwrap();
        }),
        ("gone", |pack| fs::remove_file(pack).unwrap()),
    ];
    for (what, damage) in damages {
        let scene = Scene::new();
        scene.file("a", &whole);
        let id = scene.store().backup.id;
        assert!(
            scene
                .repository
                .check(Sample::Everything, &Watch::default())
                .unwrap()
                .is_good()
        );
        damage(&pack(&scene.place()));
        let checked = scene
            .repository
            .check(Sample::Everything, &Watch::default())
            .unwrap();
        assert!(!checked.is_good(), "{what}: a check found nothing");
        let error = scene
            .repository
            .restore(
                &id,
                "/files",
                &scene.path("x"),
                Owner::Own,
                &Watch::default(),
            )
            .unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{what}: {error:?}");
        assert_eq!(error.fault(), Fault::Contents);
    }
}

#[test]
fn what_cannot_be_read_whole_is_not_stored() {
    let scene = Scene::new();
    let store = |dir: &Path| {
        scene
            .repository
            .store(
                dir,
                &[],
                &labels("shop"),
                &Reading::Changed,
                &Watch::default(),
            )
            .unwrap_err()
    };
    let missing = store(&scene.path("nowhere"));
    assert!(
        matches!(&missing, Error::Source { path, .. } if path.ends_with("nowhere")),
        "{missing:?}"
    );
    // Its files say that they are empty, and have contents: as if they had grown since they were listed.
    let grown = store(Path::new("/proc/sys/kernel/random"));
    assert!(matches!(grown, Error::Changed { .. }), "{grown:?}");
    assert_eq!((grown.fault(), scene.count()), (Fault::Files, 0));
}

#[test]
fn a_store_can_be_cancelled() {
    let scene = Scene::new();
    for n in 0..20 {
        scene.file(&n.to_string(), &noise(n, 500_000));
    }
    let watch = Watch::default();
    let cancel = watch.cancel.clone();
    let watch = Watch {
        progress: Some(Arc::new(move |now| {
            if now.done > 0 {
                cancel.cancel()
            }
        })),
        ..watch
    };
    let result = scene.repository.store(
        &scene.data(),
        &[],
        &labels("shop"),
        &Reading::Changed,
        &watch,
    );
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert_eq!(scene.count(), 0);
    assert_eq!(scene.store().files_read, 20);
}

#[test]
fn names_and_targets_are_checked_first() {
    let scene = Scene::new();
    scene.file("a", b"a");
    for names in [vec![""], vec!["a/b"], vec![".."], vec!["a", "a"]] {
        let documents: Vec<_> = names.iter().map(|name| document(name, "")).collect();
        let error = scene
            .repository
            .store_documents(&documents, &labels("shop"), &Watch::default())
            .unwrap_err();
        assert!(matches!(error, Error::DocumentName(_)), "{error:?}");
    }
    let id = scene.store().backup.id;
    let restore = |part: &str, into: &Path| {
        scene
            .repository
            .restore(&id, part, into, Owner::Own, &Watch::default())
            .unwrap_err()
    };
    let full = restore("/files", &scene.data());
    assert!(matches!(full, Error::TargetNotEmpty { .. }), "{full:?}");
    let no_dir = restore("/files", &scene.data().join("a/below a file"));
    assert!(matches!(no_dir, Error::Target { .. }), "{no_dir:?}");
    let no_part = restore("/other", &scene.path("x"));
    assert!(matches!(no_part, Error::NoPart { .. }), "{no_part:?}");
    let document = scene.repository.read_document(&id, "none").unwrap_err();
    assert!(matches!(document, Error::NoPart { .. }), "{document:?}");
    let none = "0".repeat(64).parse().unwrap();
    let error = scene.repository.documents(&none).unwrap_err();
    assert!(matches!(error, Error::NoBackup { .. }), "{error:?}");
}

/// A file system of a few megabytes, or none where the test may not mount one.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(&at);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(at)),
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            _ => {
                eprintln!("skipped: no file system can be mounted here");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status()
            .unwrap();
    }
}

#[test]
fn a_full_disk_ends_a_store_and_loses_nothing() {
    let scene = Scene::new();
    let Some(small) = Small::mount(scene.path("small")) else {
        return;
    };
    let location = small
        .0
        .join("repository")
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    let repository = Repository::init(&location, &key(), &Options::default()).unwrap();
    let store = || {
        repository.store(
            &scene.data(),
            &[],
            &labels("shop"),
            &Reading::Changed,
            &Watch::default(),
        )
    };
    scene.file("a", &noise(1, 1_000_000));
    let first = store().unwrap().backup.id;
    scene.file("b", &noise(2, 20_000_000));
    let full = store().unwrap_err();
    assert!(
        matches!(full, Error::Full { .. }) && full.may_pass(),
        "{full:?}"
    );
    assert_eq!(
        repository
            .list(&dormouse_repository::Filter::All)
            .unwrap()
            .len(),
        1
    );
    fs::remove_file(scene.data().join("b")).unwrap();
    repository.prune_at_once(&Watch::default()).unwrap();
    store().unwrap();
    repository
        .restore(
            &first,
            "/files",
            &scene.path("restored"),
            Owner::Own,
            &Watch::default(),
        )
        .unwrap();
    // A restore into what is full.
    scene.file("b", &noise(2, 20_000_000));
    let large = scene.store().backup.id;
    let into = small.0.join("restored");
    let error = scene
        .repository
        .restore(&large, "/files", &into, Owner::Own, &Watch::default())
        .unwrap_err();
    assert!(matches!(error, Error::Target { .. }), "{error:?}");
}
