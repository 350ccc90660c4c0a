use super::*;

const ID: InstanceId = InstanceId(7);

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    fn first(&self) -> PathBuf {
        self.dir.path().join("data/instances")
    }

    fn other(&self) -> PathBuf {
        self.dir.path().join("disk/dormouse")
    }

    fn open(&self, others: &[PathBuf]) -> Result<Roots, SetupError> {
        Roots::open(&self.first(), others, "mine".to_owned(), Owners::Me)
    }

    /// The roots, the second with an instance.
    fn with_instance(&self) -> Roots {
        let roots = self.open(&[self.other()]).unwrap();
        let place = Place {
            root: Some(self.other()),
            series: None,
        };
        let layout = roots.assign(ID, &place, None).unwrap();
        fs::create_dir(layout.root()).unwrap();
        roots
    }

    /// What an unmounted disk leaves: an empty directory.
    fn unmount(&self) {
        fs::rename(self.other(), self.dir.path().join("away")).unwrap();
        fs::create_dir(self.other()).unwrap();
    }

    fn mount(&self) {
        fs::remove_dir(self.other()).unwrap();
        fs::rename(self.dir.path().join("away"), self.other()).unwrap();
    }
}

fn why(layout: Result<Layout, Error>) -> String {
    match layout {
        Err(error @ Error::Away { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_instance_is_found_again_in_its_root() {
    let world = World::new();
    drop(world.with_instance());
    let roots = world.open(&[world.other()]).unwrap();
    assert_eq!(roots.list().unwrap(), [ID]);
    assert_eq!(roots.of(ID), Some(world.other()));
    let path = world.other().join("instances/7");
    assert_eq!(roots.layout(ID).unwrap().root(), path);
    // it keeps its root, whatever is said
    let again = roots.assign(ID, &Place::default(), None).unwrap();
    assert_eq!(again.root(), path);
    // and a copy of it gets the same one
    let copy = roots.assign(InstanceId(8), &Place::default(), Some(ID));
    assert!(copy.unwrap().root().starts_with(world.other()));
    fs::remove_dir(path).unwrap();
    roots.forget(ID).unwrap();
    assert_eq!(roots.list().unwrap(), []);
    assert!(roots.layout(ID).unwrap().root().starts_with(world.first()));
}

#[test]
fn a_missing_disk_is_named_nothing_is_made_in_its_place_and_it_comes_back() {
    let world = World::new();
    drop(world.with_instance());
    world.unmount();
    let roots = world.open(&[world.other()]).unwrap();
    let error = why(roots.layout(ID));
    let dir = world.other().display().to_string();
    assert!(
        error.contains(&dir) && error.contains("not mounted"),
        "{error}"
    );
    assert_eq!(roots.list().unwrap(), [ID]);
    let place = Place {
        root: Some(world.other()),
        series: None,
    };
    why(roots.assign(InstanceId(9), &place, None));
    assert!(roots.missing()[0].contains(&dir));
    assert_eq!(fs::read_dir(world.other()).unwrap().count(), 0);
    world.mount();
    assert!(roots.layout(ID).unwrap().root().is_dir());
    assert!(roots.missing().is_empty());
    // a disk that is lost while it is in use
    world.unmount();
    why(roots.layout(ID));
    assert_eq!(fs::read_dir(world.other()).unwrap().count(), 0);
}

#[test]
fn a_root_that_is_no_longer_configured_is_named() {
    let world = World::new();
    drop(world.with_instance());
    let roots = world.open(&[]).unwrap();
    assert!(why(roots.layout(ID)).contains("data_dirs"));
    assert_eq!(roots.list().unwrap(), [ID]);
}

#[test]
fn what_is_found_holds_where_the_first_root_remembers_another_path() {
    let world = World::new();
    drop(world.with_instance());
    let moved = world.dir.path().join("moved");
    fs::rename(world.other(), &moved).unwrap();
    let roots = world.open(std::slice::from_ref(&moved)).unwrap();
    assert_eq!(roots.of(ID), Some(moved));
    assert!(roots.layout(ID).unwrap().root().is_dir());
}

#[test]
fn a_root_of_another_installation_is_not_used() {
    let world = World::new();
    fs::create_dir_all(world.other()).unwrap();
    fs::write(world.other().join(MARKER), "theirs\n").unwrap();
    let roots = world.open(&[world.other()]).unwrap();
    assert!(roots.missing()[0].contains("another installation"));
    assert!(!world.other().join(INSTANCES).exists());
}

#[test]
fn a_new_root_that_cannot_be_made_is_an_error_of_the_start() {
    let world = World::new();
    let file = world.dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = world.open(&[file.join("root")]).unwrap_err().to_string();
    assert!(error.contains(&file.display().to_string()), "{error}");
}
