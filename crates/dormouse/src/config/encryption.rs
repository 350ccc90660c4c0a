//! `[encryption]`: encryption at rest.

use std::path::PathBuf;

use dormouse_engine::MasterSource;
use serde::{Deserialize, Serialize};

/// `[encryption]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Encryption {
    /// Whether new databases are encrypted.
    pub(crate) mode: EncryptionMode,
    /// File with the master key.
    pub(crate) master_key_file: Option<PathBuf>,
    /// Environment variable with the master key.
    pub(crate) master_key_env: Option<String>,
    /// Command that prints the master key.
    pub(crate) master_key_command: Option<Vec<String>>,
    /// File with the master key before this one.
    pub(crate) previous_master_key_file: Option<PathBuf>,
    /// Environment variable with the master key before this one.
    pub(crate) previous_master_key_env: Option<String>,
    /// Command that prints the master key before this one.
    pub(crate) previous_master_key_command: Option<Vec<String>>,
}

/// Whether new databases are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EncryptionMode {
    /// If there is a master key.
    #[default]
    Auto,
    /// Always: without a master key Dormouse does not start.
    On,
    /// Not; databases that are encrypted stay so.
    Off,
}

impl Encryption {
    /// Where the master key comes from.
    pub(crate) fn master(&self) -> Option<MasterSource> {
        source(
            self.master_key_file.as_ref(),
            self.master_key_env.as_ref(),
            self.master_key_command.as_ref(),
        )
    }

    /// Where the master key before this one comes from.
    pub(crate) fn previous(&self) -> Option<MasterSource> {
        source(
            self.previous_master_key_file.as_ref(),
            self.previous_master_key_env.as_ref(),
            self.previous_master_key_command.as_ref(),
        )
    }

    /// Checks conditions that concern more than one key; the error is a message and a hint.
    pub(super) fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let current = [
            self.master_key_file.is_some(),
            self.master_key_env.is_some(),
            self.master_key_command.is_some(),
        ];
        let previous = [
            self.previous_master_key_file.is_some(),
            self.previous_master_key_env.is_some(),
            self.previous_master_key_command.is_some(),
        ];
        let count = |set: [bool; 3]| set.into_iter().filter(|set| *set).count();
        if count(current) > 1 || count(previous) > 1 {
            return Err((
                "[encryption] names more than one source of a master key",
                "set one of master_key_file, master_key_env and master_key_command",
            ));
        }
        if count(current) == 0 && count(previous) > 0 {
            return Err((
                "[encryption] has a previous master key and no master key",
                "set master_key_file, master_key_env or master_key_command too",
            ));
        }
        if count(current) == 0 && self.mode == EncryptionMode::On {
            return Err((
                "[encryption] mode is \"on\", and there is no master key",
                "set master_key_file, master_key_env or master_key_command; `openssl rand -hex 32` makes a key",
            ));
        }
        Ok(())
    }
}

/// The source that is set.
pub(super) fn source(
    file: Option<&PathBuf>,
    env: Option<&String>,
    command: Option<&Vec<String>>,
) -> Option<MasterSource> {
    let file = file.map(|path| MasterSource::File(path.clone()));
    file.or_else(|| env.map(|name| MasterSource::Env(name.clone())))
        .or_else(|| command.map(|words| MasterSource::Command(words.clone())))
}
