//! What the last cut-over into a database was: `DATA_DIR/imports/NAME.cut-over`. So the same command, run again because
//! nobody knows how the first one ended, tells that it is done, and does not begin another import.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dormouse_api::ErrorBody;
use dormouse_types::DatabaseName;
use serde::{Deserialize, Serialize};

use super::cut_over::CutOver;
use crate::Outcome;
use crate::private_file;

/// A cut-over that was done.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    /// The other server.
    source: String,
    result: CutOver,
}

pub(crate) fn path(data_dir: &Path, name: &DatabaseName) -> PathBuf {
    data_dir.join("imports").join(format!("{name}.cut-over"))
}

/// Notes it.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(
    data_dir: &Path,
    name: &DatabaseName,
    source: &str,
    result: &CutOver,
) -> Outcome {
    let path = path(data_dir, name);
    let done = Done {
        source: source.to_owned(),
        result: result.clone(),
    };
    let text = serde_json::to_vec(&done).map_err(io::Error::from);
    let written = text.and_then(|text| private_file::write(&path, &text));
    written.map_err(|e| ErrorBody::new("machine", format!("cannot write {}: {e}", path.display())))
}

/// The last cut-over, if it was from this server.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(data_dir: &Path, name: &DatabaseName, source: &str) -> Outcome<Option<CutOver>> {
    let path = path(data_dir, name);
    let read = match fs::read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.and_then(|text| Ok(serde_json::from_slice::<Done>(&text)?)),
    };
    let done = read
        .map_err(|e| ErrorBody::new("machine", format!("cannot read {}: {e}", path.display())))?;
    Ok((done.source == source).then_some(done.result))
}
