//! Encryption at rest: the keys of each database, how they are kept, and how they reach its server.
//!
//! A database has *data keys* of its own ([`KeyRing`]), one for each time that its key was rotated. They are kept beside
//! its directory, wrapped by the installation's *master key* (AES-256-GCM), which is never written anywhere
//! ([`MasterSource`]). The server gets its data keys through a pipe at its start, and gives them to MariaDB's own
//! encryption by a small plugin ([`plugin`]).
//!
//! Invariants:
//! - no plain key is written to a file;
//! - a key is in the ring, on the disk, before a server gets it, and until no page needs it;
//! - a crash at any step of a rotation leaves files that the next start can read and continues from.
//!
//! Called by `driver-local` (starting servers), `control` (rotation) and `dormouse` (configuration).

mod cipher;
mod keeper;
mod master;
pub mod plugin;
mod ring;
mod rotation;

pub use cipher::{Fingerprint, Key};
pub use keeper::{Keeper, KeeperConfig, RingStatus};
pub use master::{MASTER_COMMAND_TIMEOUT, MasterSource};
pub use ring::{KeyRing, PlainRing};

/// What a server needs to encrypt its files.
#[derive(Debug)]
pub struct ServerKeys {
    /// For the plugin: the keys, as records.
    pub records: zeroize::Zeroizing<Vec<u8>>,
    /// Directory of the server's plugins, with Dormouse's own, for the command line.
    pub plugin_dir: std::path::PathBuf,
    /// Settings for the configuration file.
    pub settings: Settings,
}

/// Settings of an encrypted server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The newest version of its data key.
    pub version: u32,
}

/// Why keys cannot be used. Each text says whose fault it is and what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No master key is configured, and an encrypted database needs it.
    #[error(
        "its files are encrypted, and no master key is configured: set master_key_file, master_key_env or \
         master_key_command in [encryption] to the key with fingerprint {wrapped_by}. Without that key the files \
         cannot be read"
    )]
    NoMaster {
        /// Fingerprint of the master key that wraps its keys.
        wrapped_by: String,
    },
    /// No master key is configured, and one is asked for.
    #[error(
        "no master key is configured: set master_key_file, master_key_env or master_key_command in [encryption] \
         and start Dormouse again"
    )]
    NotConfigured,
    /// Another master key wraps its keys.
    #[error(
        "its keys are wrapped by the master key {wrapped_by}, and the configured one is {configured}: configure the \
         right master key, or set both (the old one as previous_master_key_file, …). Without that key the \
         files cannot be read"
    )]
    OtherMaster {
        /// Fingerprint of the master key that wraps its keys.
        wrapped_by: String,
        /// Fingerprint of the configured one.
        configured: String,
    },
    /// The master key cannot be had.
    #[error("the master key cannot be read from {place}: {reason}")]
    Source {
        /// Where it should come from.
        place: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// A file with wrapped keys has been changed or damaged.
    #[error(
        "{path} is damaged ({reason}): restore it from a backup of the same database. Without it the database's \
             files cannot be read"
    )]
    Damaged {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Not possible now.
    #[error("{0}")]
    Refused(String),
    /// A file operation or the system failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

pub(crate) fn doing(text: impl Into<String>) -> impl FnOnce(std::io::Error) -> KeyError {
    let doing = text.into();
    move |source| KeyError::Io { doing, source }
}
