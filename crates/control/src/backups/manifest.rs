//! What a backup says of its database, beside the files: all that a restore on another machine needs.

use dormouse_engine::PlainRing;
use dormouse_policy::Spec;
use dormouse_repository::Document;
use dormouse_types::{DatabaseName, InstanceId};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::status::BranchOf;
use crate::token::Stored;

/// Name of the document.
pub(crate) const MANIFEST: &str = "database.json";
/// Name of the document about the installation.
pub(crate) const INSTALLATION: &str = "installation.json";

/// Layout of both documents.
const FORMAT: u32 = 1;

/// The document of a database's backup.
#[derive(Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) name: DatabaseName,
    /// Whose files and credentials these are.
    pub(crate) instance: InstanceId,
    /// The installation's secret, from which the credentials derive.
    pub(crate) secret: String,
    /// Version of the rights of the accounts.
    pub(crate) rights: u8,
    /// The server's version.
    pub(crate) version: String,
    pub(crate) spec: Spec,
    pub(crate) branch: Option<BranchOf>,
    /// The keys of encrypted files.
    pub(crate) keys: Option<PlainRing>,
}

/// The document about the installation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installation {
    pub(crate) format: u32,
    /// Every database.
    pub(crate) databases: Vec<Listed>,
    /// The tokens of the API, as hashes.
    pub(crate) tokens: Vec<Stored>,
    /// Files of the data directory, by their paths below it.
    pub(crate) files: Vec<(String, Vec<u8>)>,
}

/// A database of an installation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: DatabaseName,
    pub(crate) instance: InstanceId,
}

impl Manifest {
    pub(crate) const FORMAT: u32 = FORMAT;
}

impl Installation {
    pub(crate) const FORMAT: u32 = FORMAT;
}

/// Writes a document.
pub(crate) fn document<T: Serialize>(name: &str, content: &T) -> Result<Document, Error> {
    let bytes = serde_json::to_vec(content).map_err(|error| Error::Machine {
        doing: format!("writing the document {name}"),
        reason: error.to_string(),
    })?;
    Ok(Document {
        name: name.to_owned(),
        bytes: bytes.into(),
    })
}

/// Reads a document.
pub(crate) fn read<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Error> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |reason: String| Error::Machine {
        doing: format!("reading the document {name} of a backup"),
        reason,
    };
    let Format { format } = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
    if format != FORMAT {
        return Err(damaged(format!(
            "it has format {format}, this dormouse knows {FORMAT}; run the version that wrote it"
        )));
    }
    serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))
}
