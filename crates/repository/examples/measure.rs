//! Measures what a second backup costs: `measure DIRECTORY MEGABYTES`. Writes a file of that size into the directory,
//! stores it, changes every hundredth page of 16 KiB, stores it again, and restores it.

use std::error::Error;
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use dormouse_repository::{Key, Labels, Options, Owner, Reading, Repository, Sample, Watch};
use jiff::Timestamp;

const PAGE: usize = 16 << 10;

/// A page that is half full, as pages of InnoDB are on average: half of it does not compress.
fn page(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut page = Vec::with_capacity(PAGE);
    while page.len() < PAGE / 2 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        page.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    page.resize(PAGE, 0);
    page
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(dir), Some(megabytes)) = (arguments.next(), arguments.next()) else {
        return Err("usage: measure DIRECTORY MEGABYTES".into());
    };
    let dir = Path::new(&dir);
    let pages = megabytes.parse::<u64>()? * (1 << 20) / PAGE as u64;
    let data = dir.join("data");
    fs::create_dir_all(&data)?;
    let mut file = File::create(data.join("orders.ibd"))?;
    for n in 0..pages {
        file.write_all(&page(n))?;
    }
    let location = dir
        .join("repository")
        .to_str()
        .ok_or("the directory's name is not UTF-8")?
        .parse()?;
    let repository = Repository::init(
        &location,
        &Key::new("measure".to_owned()),
        &Options::default(),
    )?;
    let store = |what: &str| -> Result<_, Box<dyn Error>> {
        let labels = Labels::new("shop".parse()?, Timestamp::now());
        let stored = repository.store(&data, &[], &labels, &Reading::Changed, &Watch::default())?;
        println!(
            "{what}: {} bytes sent, {} files read, {:.2?}",
            stored.sent, stored.files_read, stored.took
        );
        Ok(stored)
    };
    let first = store("first")?;
    for n in (0..pages).step_by(100) {
        file.seek(SeekFrom::Start(n * PAGE as u64))?;
        file.write_all(&page(n + pages))?;
    }
    let second = store("1 % of the pages changed")?;
    println!(
        "second / first: {:.4}",
        second.sent as f64 / first.sent as f64
    );
    store("nothing changed, file written just before")?;
    let last = store("nothing changed")?;
    let watch = Watch::default();
    let restored = repository.restore(
        &last.backup.id,
        "/files",
        &dir.join("restored"),
        Owner::Own,
        &watch,
    )?;
    println!("restored: {} bytes, {:.2?}", restored.bytes, restored.took);
    let started = std::time::Instant::now();
    let checked = repository.check(Sample::Everything, &watch)?;
    println!(
        "checked: {} faults, {:.2?}",
        checked.faults.len(),
        started.elapsed()
    );
    Ok(())
}
