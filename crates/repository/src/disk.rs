//! A repository in a directory of this machine.
//!
//! `rustic_backend` has one too, which takes a directory that cannot be read for an empty one, and does not make renames durable.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::files::{CONFIG, Entry, FOLDERS, Fail, Files, Part, UNFINISHED};
use crate::watch::Cancel;

/// The directory.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

impl Disk {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn create_folders(&self) -> io::Result<()> {
        private_folder(&self.path)?;
        for folder in FOLDERS {
            private_folder(&self.path.join(folder))?;
        }
        for first in 0..=u8::MAX {
            private_folder(&self.path.join("data").join(format!("{first:02x}")))?;
        }
        sync_folder(&self.path.join("data"))?;
        sync_folder(&self.path)
    }

    fn listed(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        let top = self.path.join(folder);
        if folder != "data" {
            list_into(&top, &mut found)?;
            return Ok(found);
        }
        for folder in fs::read_dir(top)? {
            let folder = folder?;
            if folder.file_type()?.is_dir() {
                list_into(&folder.path(), &mut found)?;
            }
        }
        Ok(found)
    }

    fn write_whole(&self, path: &str, content: &[Bytes]) -> io::Result<()> {
        let file = self.path.join(path);
        let folder = file.parent().unwrap_or(&self.path).to_owned();
        let unfinished = self.path.join(format!("{path}{UNFINISHED}"));
        let written =
            write_file(&unfinished, content).and_then(|()| fs::rename(&unfinished, &file));
        if let Err(error) = written {
            // A failure to remove it is of no account: it is no file of the repository.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        sync_folder(&folder)
    }
}

fn list_into(folder: &Path, found: &mut Vec<Entry>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => found.push(Entry {
                name,
                size: metadata.len(),
                modified: metadata.modified().ok(),
            }),
            // Removed since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Creates a folder, with those above it, that nobody else may enter; leaves one that is there as it is.
fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_file(path: &Path, content: &[Bytes]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .mode(0o600)
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)?;
    for part in content {
        file.write_all(part)?;
    }
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn read_part(path: &Path, part: Part) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(part.offset))?;
    let mut bytes = vec![0; usize::try_from(part.length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl Files for Disk {
    fn is_local(&self) -> bool {
        true
    }

    fn create(&self, _cancel: &Cancel) -> Result<(), Fail> {
        Ok(self.create_folders()?)
    }

    fn length(&self, path: &str, _cancel: &Cancel) -> Result<Option<u64>, Fail> {
        match fs::metadata(self.path.join(path)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The directory itself must be there: else it is not mounted.
                if path == CONFIG {
                    fs::metadata(&self.path)?;
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self, folder: &str, _cancel: &Cancel) -> Result<Vec<Entry>, Fail> {
        Ok(self.listed(folder)?)
    }

    fn read(&self, path: &str, part: Option<Part>, _cancel: &Cancel) -> Result<Bytes, Fail> {
        let path = self.path.join(path);
        let read = match part {
            Some(part) => read_part(&path, part),
            None => fs::read(&path),
        };
        Ok(read?.into())
    }

    fn write(&self, path: &str, content: &[Bytes], _cancel: &Cancel) -> Result<(), Fail> {
        Ok(self.write_whole(path, content)?)
    }

    fn remove(&self, path: &str, _cancel: &Cancel) -> Result<(), Fail> {
        match fs::remove_file(self.path.join(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
