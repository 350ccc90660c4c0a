//! `[backup]`: where backups are kept.

use std::collections::BTreeMap;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_api::model::Cap;
use dormouse_control::backups::{BackupConfig, Location, Options, check_place};
use dormouse_engine::{MasterSource, Secret};
use dormouse_types::{Bytes, Cron};
use serde::{Deserialize, Serialize};

use super::source;
use crate::values::Span;

/// A day.
const DAY: Duration = Duration::from_secs(86_400);

/// Files of the data directory that a recovery needs: the passwords of `dormouse connect`, the secret, certificates.
const FILES: [&str; 3] = ["credentials", "secret", "tls"];

/// `[backup]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Backup {
    /// Where the repository stands; `None`: there are no backups.
    pub(crate) repository: Option<String>,
    /// File with the key.
    pub(crate) key_file: Option<PathBuf>,
    /// Environment variable with the key.
    pub(crate) key_env: Option<String>,
    /// Command that prints the key.
    pub(crate) key_command: Option<Vec<String>>,
    /// File with the credentials of the place; `None`: they are in the environment.
    pub(crate) credentials_file: Option<PathBuf>,
    /// What the kind of place needs besides.
    pub(crate) options: BTreeMap<String, String>,
    /// Most bytes sent a second.
    pub(crate) upload_limit: Cap<Bytes>,
    /// Most bytes read a second.
    pub(crate) download_limit: Cap<Bytes>,
    /// Most backups and restores at the same time.
    pub(crate) parallel: NonZeroU8,
    /// When the newest backups are restored for a test.
    pub(crate) verify: Cron,
    /// When data that no backup needs is removed.
    pub(crate) prune: Cron,
    /// How long backups of a dropped database are kept.
    pub(crate) dropped_keep: Span,
    /// Age from which the last good backup is too old.
    pub(crate) late_after: Span,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            repository: None,
            key_file: None,
            key_env: None,
            key_command: None,
            credentials_file: None,
            options: BTreeMap::new(),
            upload_limit: Cap(None),
            download_limit: Cap(None),
            parallel: NonZeroU8::MIN,
            verify: Cron::weekly(5),
            prune: Cron::weekly(6),
            dropped_keep: Span(30 * DAY),
            late_after: Span(2 * DAY),
        }
    }
}

impl Backup {
    /// The same as a type of the plane; `None`: there are no backups. The error is a message and a hint.
    pub(crate) fn plane(
        &self,
        data_dir: &Path,
        secret: &Secret,
    ) -> Result<Option<BackupConfig>, (String, String)> {
        let Some((location, key)) = self.place()? else {
            return Ok(None);
        };
        if location
            .path()
            .is_some_and(|path| path.starts_with(data_dir))
        {
            return Err((
                format!(
                    "[backup] repository {location} is inside the data directory {}",
                    data_dir.display()
                ),
                "choose a place that is not lost with it: another disk, or another machine"
                    .to_owned(),
            ));
        }
        let options = self.place_options(data_dir);
        check_place(&location, &options).map_err(|error| {
            (
                format!("[backup]: {error}"),
                "docs/backups.md lists the options and credentials of each kind of place"
                    .to_owned(),
            )
        })?;
        Ok(Some(BackupConfig {
            location,
            key,
            options,
            parallel: usize::from(self.parallel.get()),
            verify: self.verify.clone(),
            prune: self.prune.clone(),
            dropped_keep: self.dropped_keep.0,
            late_after: self.late_after.0,
            secret: secret.clone(),
            files: FILES.map(PathBuf::from).to_vec(),
        }))
    }

    /// Limits of bandwidth, and what the place needs.
    pub(crate) fn place_options(&self, data_dir: &Path) -> Options {
        Options {
            upload_limit: self.upload_limit.0.map(|bytes| bytes.0),
            download_limit: self.download_limit.0.map(|bytes| bytes.0),
            cache: Some(data_dir.join("backup-cache")),
            place: self.options.clone(),
            credentials: self.credentials_file.clone(),
        }
    }

    /// The repository and its key, if backups are set up. The error is a message and a hint.
    pub(crate) fn place(&self) -> Result<Option<(Location, MasterSource)>, (String, String)> {
        let sources = [
            self.key_file.is_some(),
            self.key_env.is_some(),
            self.key_command.is_some(),
        ];
        let sources = sources.into_iter().filter(|set| *set).count();
        let Some(text) = &self.repository else {
            if sources > 0 {
                return Err((
                    "[backup] has a key and no repository".to_owned(),
                    "set repository to a place, such as /srv/backups/dormouse".to_owned(),
                ));
            }
            return Ok(None);
        };
        let location: Location = text.parse().map_err(|error| {
            (
                format!("[backup] repository: {error}"),
                "docs/backups.md lists the kinds of places".to_owned(),
            )
        })?;
        let key = source(
            self.key_file.as_ref(),
            self.key_env.as_ref(),
            self.key_command.as_ref(),
        );
        match key {
            Some(key) if sources == 1 => Ok(Some((location, key))),
            Some(_) => Err((
                "[backup] names more than one source of the repository's key".to_owned(),
                "set one of key_file, key_env and key_command".to_owned(),
            )),
            None => Err((
                "[backup] has a repository and no key".to_owned(),
                "set key_file, key_env or key_command; `openssl rand -base64 32` makes a key. Keep a copy of it \
                 elsewhere: without it no backup can be read"
                    .to_owned(),
            )),
        }
    }

    /// Checks conditions that concern more than one key; the error is a message and a hint.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        self.place().map(drop)
    }
}
