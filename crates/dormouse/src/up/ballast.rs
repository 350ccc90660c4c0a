//! A file that takes space until the disk is full (`DATA_DIR/ballast`).
//!
//! It is emptied then, not removed: so the next start knows that its space is in use.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dormouse_control::{BallastState, Disk};
use rustix::fs::{FallocateFlags, fallocate};

/// The file.
pub(super) struct Ballast(PathBuf);

impl Ballast {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("ballast"))
    }
}

impl dormouse_control::Ballast for Ballast {
    fn state(&self) -> BallastState {
        match fs::metadata(&self.0) {
            Ok(file) if file.len() > 0 => BallastState::Kept,
            Ok(_) => BallastState::Given,
            Err(_) => BallastState::Never,
        }
    }

    fn set(&self, kept: bool) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&self.0)?;
        if !kept {
            return Ok(());
        }
        let taken = fallocate(&file, FallocateFlags::empty(), 0, Disk::BALLAST.0);
        // a file system that cannot promise space has no ballast
        taken.map_err(|error| {
            let _ = fs::remove_file(&self.0);
            error.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use dormouse_control::Ballast as _;

    use super::*;

    #[test]
    fn it_takes_its_space_gives_it_away_and_remembers_that() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = Ballast::new(dir.path());
        assert_eq!(ballast.state(), BallastState::Never);
        ballast.set(true).unwrap();
        let blocks = || fs::metadata(dir.path().join("ballast")).unwrap().blocks() * 512;
        assert_eq!(ballast.state(), BallastState::Kept);
        assert!(blocks() >= Disk::BALLAST.0);
        ballast.set(false).unwrap();
        assert_eq!(ballast.state(), BallastState::Given);
        assert_eq!(blocks(), 0);
        assert_eq!(Ballast::new(dir.path()).state(), BallastState::Given);
    }
}
