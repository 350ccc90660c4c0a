//! A repository in a directory of this machine.
//!
//! `rustic_backend` has one too. This one differs in what it does with errors: it does not take a directory that cannot
//! be read for an empty one (a prune would then take all data for unused), and it makes renames durable.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustic_core::{
    ALL_FILE_TYPES, BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult,
    WriteBackend,
};

/// The directory.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
}

/// What a file is called while it is written.
const UNFINISHED: &str = "-tmp-";

impl Disk {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn folder(&self, kind: FileType, id: &Id) -> PathBuf {
        match kind {
            FileType::Config => self.path.clone(),
            FileType::Pack => {
                let hex = id.to_hex();
                self.path
                    .join("data")
                    .join(hex.as_str().get(..2).unwrap_or("00"))
            }
            _ => self.path.join(kind.dirname()),
        }
    }

    fn file(&self, kind: FileType, id: &Id) -> PathBuf {
        match kind {
            FileType::Config => self.path.join("config"),
            _ => self.folder(kind, id).join(id.to_hex().as_str()),
        }
    }

    fn listed(&self, kind: FileType) -> io::Result<Vec<(Id, u32)>> {
        let mut found = Vec::new();
        match kind {
            FileType::Config => match fs::metadata(self.path.join("config")) {
                Ok(config) => found.push((Id::default(), length(&config)?)),
                // The directory itself must be there: else it is not mounted.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::metadata(&self.path)?;
                }
                Err(error) => return Err(error),
            },
            FileType::Pack => {
                for folder in fs::read_dir(self.path.join("data"))? {
                    let folder = folder?;
                    if folder.file_type()?.is_dir() {
                        list_into(&folder.path(), &mut found)?;
                    }
                }
            }
            _ => list_into(&self.path.join(kind.dirname()), &mut found)?,
        }
        Ok(found)
    }

    fn part(&self, kind: FileType, id: &Id, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.file(kind, id))?;
        file.seek(SeekFrom::Start(offset.into()))?;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, kind: FileType, id: &Id, content: &BytesList) -> io::Result<()> {
        let folder = self.folder(kind, id);
        let file = self.file(kind, id);
        let mut name = file.clone().into_os_string();
        name.push(UNFINISHED);
        let unfinished = PathBuf::from(name);
        let written =
            write_file(&unfinished, content).and_then(|()| fs::rename(&unfinished, &file));
        if let Err(error) = written {
            // A failure to remove it is of no account: the next prune or write does.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        sync_folder(&folder)
    }

    fn create_folders(&self) -> io::Result<()> {
        private_folder(&self.path)?;
        for kind in ALL_FILE_TYPES {
            private_folder(&self.path.join(kind.dirname()))?;
        }
        private_folder(&self.path.join("locks"))?;
        for first in 0..=u8::MAX {
            private_folder(&self.path.join("data").join(format!("{first:02x}")))?;
        }
        sync_folder(&self.path.join("data"))?;
        sync_folder(&self.path)
    }
}

fn length(of: &fs::Metadata) -> io::Result<u32> {
    u32::try_from(of.len()).map_err(io::Error::other)
}

fn list_into(folder: &Path, found: &mut Vec<(Id, u32)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(Ok(id)) = name
            .to_str()
            .filter(|name| name.len() == 64)
            .map(str::parse)
        else {
            continue;
        };
        match entry.metadata() {
            Ok(metadata) => found.push((id, length(&metadata)?)),
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

fn write_file(path: &Path, content: &BytesList) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .mode(0o600)
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)?;
    for part in content.slice() {
        file.write_all(part)?;
    }
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(what: &str, path: &Path, error: io::Error) -> Box<RusticError> {
    RusticError::with_source(
        ErrorKind::Backend,
        format!("'{}' cannot be {what}", path.display()),
        error,
    )
}

impl ReadBackend for Disk {
    fn location(&self) -> String {
        format!("local:{}", self.path.display())
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.listed(kind)
            .map_err(|error| failed("listed", &self.path.join(kind.dirname()), error))
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        let path = self.file(kind, id);
        fs::read(&path)
            .map(Bytes::from)
            .map_err(|error| failed("read", &path, error))
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let part = self.part(kind, id, offset, length);
        part.map(Bytes::from)
            .map_err(|error| failed("read", &self.file(kind, id), error))
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.file(kind, id).display().to_string()
    }
}

impl WriteBackend for Disk {
    fn create(&self) -> RusticResult<()> {
        self.create_folders()
            .map_err(|error| failed("created", &self.path, error))
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        self.write(kind, id, &content)
            .map_err(|error| failed("written", &self.file(kind, id), error))
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        let path = self.file(kind, id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("removed", &path, error))
            }
            _ => Ok(()),
        }
    }
}
