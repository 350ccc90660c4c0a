use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};

use super::*;

fn never(_: &Path) -> bool {
    false
}

/// Every file below a directory, with its content.
fn content(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let below = path.strip_prefix(dir).unwrap().to_owned();
                all.insert(below, fs::read(path).unwrap());
            }
        }
    }
    all
}

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("from/app/deep")).unwrap();
        Self { dir }
    }

    fn from(&self) -> PathBuf {
        self.dir.path().join("from")
    }

    fn to(&self) -> PathBuf {
        self.dir.path().join("to")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.from().join(name), bytes).unwrap();
    }

    fn copy(&self) -> Copy {
        let shares = crate::shares_blocks(self.dir.path(), self.dir.path());
        Copy::new(&self.from(), &self.to(), shares).unwrap()
    }
}

/// Bytes that repeat only after a long time.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    (0..len).map(step).collect()
}

#[test]
fn each_pass_makes_the_copy_equal() {
    let world = World::new();
    let big = noise(3 * PART as usize / 2 + 17, 1);
    world.write("ibdata1", &big);
    world.write("app/t.ibd", &noise(5000, 2));
    world.write("app/deep/empty", b"");
    let mut copy = world.copy();
    let first = copy.pass(&never, Stop::default()).unwrap();
    assert_eq!(first.files, 3);
    assert_eq!(content(&world.to()), content(&world.from()));

    // one page in the middle, a shorter file, a longer one, a new one, one that is gone
    let file = create(&world.from().join("ibdata1")).unwrap();
    file.write_all_at(&noise(16384, 3), PART).unwrap();
    world.write("app/t.ibd", &noise(100, 4));
    world.write("app/new.ibd", &noise(70_000, 5));
    fs::remove_file(world.from().join("app/deep/empty")).unwrap();
    let second = copy.pass(&never, Stop::default()).unwrap();
    assert_eq!(content(&world.to()), content(&world.from()));
    assert!(
        second.written < first.written / 10 || second.shared,
        "{second:?}"
    );
    copy.finish().unwrap();
}

#[test]
fn a_gentle_pass_makes_the_copy_equal_as_well() {
    let world = World::new();
    world.write("ibdata1", &noise(10 << 20, 1));
    world.write("app/t.ibd", &noise(5000, 2));
    let mut copy = world.copy();
    copy.pass_gently(&never).unwrap();
    assert_eq!(content(&world.to()), content(&world.from()));
    world.write("ibdata1", &noise(7 << 20, 3));
    copy.pass_gently(&never).unwrap();
    assert_eq!(content(&world.to()), content(&world.from()));
}

#[test]
fn holes_stay_holes_and_what_is_skipped_is_not_copied() {
    let world = World::new();
    let file = create(&world.from().join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"end", (64 << 20) - 3).unwrap();
    world.write("app/no", b"x");
    let mut copy = world.copy();
    let skip = |path: &Path| path == Path::new("app/no");
    copy.pass(&skip, Stop::default()).unwrap();
    let target = fs::metadata(world.to().join("sparse")).unwrap();
    assert_eq!(target.len(), 64 << 20);
    assert!(
        target.blocks() * 512 < 4 << 20,
        "{} blocks",
        target.blocks()
    );
    assert!(!world.to().join("app/no").exists());
}

#[test]
fn nothing_outside_of_the_directory_is_read() {
    let world = World::new();
    let secret = world.dir.path().join("secret");
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("key"), "secret").unwrap();
    symlink(&secret, world.from().join("app/dir")).unwrap();
    symlink(secret.join("key"), world.from().join("app/link")).unwrap();
    fs::hard_link(secret.join("key"), world.from().join("app/hard")).unwrap();
    world.write("app/own", b"own");
    let mut copy = world.copy();
    copy.pass(&never, Stop::default()).unwrap();
    let names: Vec<_> = content(&world.to()).into_keys().collect();
    assert_eq!(names, [PathBuf::from("app/own")]);
    // nor if a directory becomes a link between two passes
    fs::rename(world.from().join("app"), world.from().join("old")).unwrap();
    symlink(&secret, world.from().join("app")).unwrap();
    copy.pass(&never, Stop::default()).unwrap();
    let names: Vec<_> = content(&world.to()).into_keys().collect();
    assert_eq!(names, [PathBuf::from("old/own")]);
}

#[test]
fn a_pass_that_is_late_says_so_and_the_next_one_completes_it() {
    let world = World::new();
    world.write("big", &noise(10 << 20, 7));
    let mut copy = world.copy();
    let stop = Stop {
        at: Some(Instant::now()),
        when: None,
    };
    assert!(matches!(copy.pass(&never, stop), Err(Error::Late)));
    let cancelled = AtomicBool::new(true);
    let stop = Stop {
        at: None,
        when: Some(&cancelled),
    };
    assert!(matches!(copy.pass(&never, stop), Err(Error::Late)));
    copy.pass(&never, Stop::default()).unwrap();
    assert_eq!(content(&world.to()), content(&world.from()));
}

#[test]
fn files_and_directories_keep_their_times_of_change() {
    let world = World::new();
    for name in ["app/old.ibd", "app/deep/young.ibd", "app/changed.ibd"] {
        world.write(name, &noise(20_000, 8));
    }
    let set = |name: &str, at: SystemTime| {
        let file = File::open(world.from().join(name)).unwrap();
        file.set_modified(at).unwrap();
    };
    let long_ago = UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    set("app/old.ibd", long_ago);
    set("app", long_ago - Duration::from_secs(1));
    set("app/deep", UNIX_EPOCH - Duration::from_millis(1500));
    let mut copy = world.copy();
    copy.pass(&never, Stop::default()).unwrap();
    let file = create(&world.from().join("app/changed.ibd")).unwrap();
    file.write_all_at(&noise(100, 9), 0).unwrap();
    copy.pass(&never, Stop::default()).unwrap();
    // what the owner of the copy adds to it before it is complete
    fs::create_dir(world.to().join("tmp")).unwrap();
    copy.finish().unwrap();
    for name in [
        "",
        "app",
        "app/deep",
        "app/old.ibd",
        "app/changed.ibd",
        "app/deep/young.ibd",
    ] {
        let time = |dir: PathBuf| fs::metadata(dir.join(name)).unwrap().modified().unwrap();
        assert_eq!(time(world.to()), time(world.from()), "{name}");
    }
}

#[test]
fn a_write_after_a_pass_gets_another_time_than_the_copy_has() {
    let world = World::new();
    for round in 0..20 {
        world.write("app/t.ibd", &[round; 100]);
        let mut copy = Copy::new(&world.from(), &world.to(), false).unwrap();
        copy.pass(&never, Stop::default()).unwrap();
        world.write("app/t.ibd", &[round + 1; 100]);
        let time = |dir: PathBuf| fs::metadata(dir.join("app/t.ibd")).unwrap().modified();
        assert_ne!(time(world.to()).unwrap(), time(world.from()).unwrap());
    }
}
