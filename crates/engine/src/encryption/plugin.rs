//! The server's plugin that holds the keys, and the directory from which a server loads its plugins.
//!
//! A server has one directory of plugins. An encrypted one gets a directory of Dormouse's, which has this
//! plugin and a link to each plugin of the server's own directory.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::cipher::to_hex;
use super::{KeyError, doing};
use crate::Installation;

/// The plugin's name.
pub const NAME: &str = "dormouse_keys";

/// Environment variable with the descriptor from which the plugin reads the keys.
pub const VARIABLE: &str = "DORMOUSE_KEYS";

const LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/dormouse_keys.so"));

/// Finds or makes the directory of plugins for this server under `parent`. Its name depends on its content,
/// so a directory that a running server uses is never changed. Blocks.
pub(super) fn ensure(installation: &Installation, parent: &Path) -> Result<PathBuf, KeyError> {
    let linked = installation.plugin_dir().map(linked).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(LIBRARY);
    for path in &linked {
        hash.update(path.as_os_str().as_encoded_bytes());
        hash.update([0]);
    }
    let name = to_hex(hash.finalize().get(..8).unwrap_or_default());
    let dir = parent.join(name);
    if dir.is_dir() {
        return Ok(dir);
    }
    make(&dir, &linked).map_err(doing(format!("making {}", dir.display())))?;
    Ok(dir)
}

/// The files of the server's own directory, in order; none if it cannot be read.
fn linked(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries.map(|entry| entry.path()).collect();
    all.retain(|path| path.file_stem().is_some_and(|stem| stem != NAME));
    all.sort();
    all
}

fn make(dir: &Path, linked: &[PathBuf]) -> io::Result<()> {
    let unfinished = dir.with_extension("tmp");
    if let Err(e) = fs::remove_dir_all(&unfinished)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    DirBuilder::new()
        .mode(0o755)
        .recursive(true)
        .create(&unfinished)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
    let library = unfinished.join(format!("{NAME}.so"));
    fs::write(&library, LIBRARY)?;
    fs::set_permissions(&library, fs::Permissions::from_mode(0o644))?;
    for path in linked {
        if let Some(name) = path.file_name() {
            symlink(path, unfinished.join(name))?;
        }
    }
    fs::rename(&unfinished, dir)
}
