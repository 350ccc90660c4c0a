use std::fs;
use std::os::unix::fs::FileExt as _;

use super::*;
use crate::pages::crc;

const PAGE: usize = 16 << 10;

/// A page of the format full_crc32, changed at this time of the log.
fn page(space: u32, number: u32, lsn: u64, fill: u8) -> Vec<u8> {
    let mut page = vec![fill; PAGE];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &[0; 4]);
    put(4, &number.to_be_bytes());
    put(16, &lsn.to_be_bytes());
    put(24, &17855_u16.to_be_bytes());
    put(34, &space.to_be_bytes());
    put(54, &0x15_u32.to_be_bytes());
    put(PAGE - 8, &(lsn as u32).to_be_bytes());
    page
}

fn sealed(mut page: Vec<u8>) -> Vec<u8> {
    let sum = crc(&page[..PAGE - 4]);
    page[PAGE - 4..].copy_from_slice(&sum.to_be_bytes());
    page
}

struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// A table of ten pages, and a system tablespace with a doublewrite buffer.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/app")).unwrap();
        let world = Self { dir };
        let pages = |space, count| (0..count).map(move |at| sealed(page(space, at, 50, 1)));
        let table: Vec<u8> = pages(7, 10).flatten().collect();
        fs::write(world.path("data/app/t.ibd"), table).unwrap();
        let mut system: Vec<Vec<u8>> = pages(0, 200).collect();
        let mut header = page(0, 5, 50, 1);
        for (at, value) in [(10, 536_853_855_u32), (14, 64), (18, 128)] {
            let at = PAGE - 200 + at;
            header[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        system[5] = sealed(header);
        fs::write(world.path("data/ibdata1"), system.concat()).unwrap();
        let mut log = vec![0; 12288];
        for (at, lsn) in [(4096, 40_u64), (8192, 30)] {
            log[at..at + 8].copy_from_slice(&lsn.to_be_bytes());
            let sum = crc(&log[at..at + 60]);
            log[at + 60..at + 64].copy_from_slice(&sum.to_be_bytes());
        }
        fs::write(world.path("data/ib_logfile0"), log).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, at: usize, bytes: &[u8]) {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
    }

    /// File, first page and number of damaged pages.
    fn damage(&self) -> Vec<(String, u64, u64)> {
        let files = ["data/app/t.ibd", "data/ibdata1"].map(Path::new);
        let found = damage(self.dir.path(), files.to_vec());
        let found = found.map_err(|unread| unread.source).unwrap();
        let name = |file: PathBuf| file.display().to_string();
        let three = |d: Damage| (name(d.file), d.page, d.pages);
        found.into_iter().map(three).collect()
    }
}

#[test]
fn sound_files_have_no_damage() {
    let world = World::new();
    assert_eq!(world.damage(), []);
    // added, not yet written; and a page in part
    world.put("data/app/t.ibd", 12 * PAGE, b"half a page");
    assert_eq!(world.damage(), []);
    // a file that was just made
    world.put("data/app/t.ibd", 0, &[0; PAGE]);
    assert_eq!(world.damage(), []);
}

#[test]
fn damaged_and_misplaced_pages_are_found() {
    let world = World::new();
    world.put("data/app/t.ibd", 3 * PAGE + 8000, b"x");
    world.put("data/app/t.ibd", 8 * PAGE, &sealed(page(7, 2, 50, 1)));
    world.put("data/ibdata1", 199 * PAGE, b"x");
    let table = |page, pages| ("data/app/t.ibd".to_owned(), page, pages);
    let system = ("data/ibdata1".to_owned(), 199, 1);
    assert_eq!(world.damage(), [table(3, 2), system.clone()]);
    // nobody knows what the pages of this file are
    world.put("data/app/t.ibd", 54, &[0; 4]);
    world.put("data/app/t.ibd", 57, &[0x1E]);
    assert_eq!(world.damage(), [table(0, 1), system]);
}

#[test]
fn a_page_that_recovery_takes_from_the_doublewrite_buffer_is_not_damaged() {
    let world = World::new();
    world.put("data/app/t.ibd", 3 * PAGE + 8000, b"half of a write");
    let bad = [("data/app/t.ibd".to_owned(), 3, 1)];
    let try_with = |at: usize, page: Vec<u8>| {
        world.put("data/ibdata1", at * PAGE, &page);
        world.damage()
    };
    // of another page, of another file, older than the checkpoint, damaged itself
    assert_eq!(try_with(70, sealed(page(7, 4, 50, 2))), bad);
    assert_eq!(try_with(71, sealed(page(8, 3, 50, 2))), bad);
    assert_eq!(try_with(72, sealed(page(7, 3, 39, 2))), bad);
    assert_eq!(try_with(73, page(7, 3, 50, 2)), bad);
    assert_eq!(try_with(191, sealed(page(7, 3, 40, 2))), []);
}

#[test]
fn files_with_pages_are_known_by_their_names() {
    for name in ["a/t.ibd", "data/ibdata1", "data/undo001"] {
        assert!(has_pages(Path::new(name)), "{name}");
    }
    for name in ["data/ib_logfile0", "data/ibtmp1", "data/undo_log", "t.frm"] {
        assert!(!has_pages(Path::new(name)), "{name}");
    }
}
