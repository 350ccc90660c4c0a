//! The repository of a plane, opened on its first use, and its limits.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_engine::{MasterSource, Secret};
use dormouse_repository::{Backup, Fault, Filter, Key, Location, Options, Repository};
use dormouse_types::Cron;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Error;

/// Label of what an installation has stored: its secret's fingerprint.
pub(crate) const INSTALLATION: &str = "installation";

/// Deadline of the command that prints the key.
const KEY_COMMAND: Duration = Duration::from_secs(30);

/// Where backups are kept, and when what is done with them.
#[derive(Clone)]
pub struct BackupConfig {
    /// Where the repository stands.
    pub location: Location,
    /// Where its key comes from.
    pub key: MasterSource,
    /// Limits of bandwidth, and what the place needs.
    pub options: Options,
    /// Most backups and restores at the same time.
    pub parallel: usize,
    /// When the newest backups are restored for a test.
    pub verify: Cron,
    /// When data that no backup needs is removed.
    pub prune: Cron,
    /// How long backups of a dropped database are kept.
    pub dropped_keep: Duration,
    /// Age from which the last good backup is too old.
    pub late_after: Duration,
    /// The installation's secret.
    pub secret: Secret,
    /// Files and directories in the data directory that a recovery needs, besides the databases.
    pub files: Vec<PathBuf>,
}

impl std::fmt::Debug for BackupConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupConfig")
            .field("location", &self.location)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// The repository of a plane.
pub(crate) struct Vault {
    config: BackupConfig,
    data_dir: PathBuf,
    open: Arc<Mutex<Option<Repository>>>,
    turns: Semaphore,
}

impl Vault {
    pub(crate) fn new(config: BackupConfig, data_dir: PathBuf) -> Self {
        let turns = Semaphore::new(config.parallel.max(1));
        Self {
            config,
            data_dir,
            open: Arc::default(),
            turns,
        }
    }

    pub(crate) fn config(&self) -> &BackupConfig {
        &self.config
    }

    /// A turn for a backup or a restore, which load the disk.
    pub(crate) async fn turn(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.turns.acquire().await.map_err(|_| Error::Stopping)
    }

    /// Creates the repository.
    pub(crate) async fn init(&self) -> Result<(), Error> {
        let (config, data_dir, open) = (
            self.config.clone(),
            self.data_dir.clone(),
            Arc::clone(&self.open),
        );
        blocking(move || {
            let key = read_key(&config.key, &data_dir)?;
            let made = Repository::init(&config.location, &key, &config.options)?;
            *open.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
            Ok(())
        })
        .await
    }

    /// The installation, as a label.
    pub(crate) fn installation(&self) -> (String, String) {
        let id = self.config.secret.fingerprint();
        (INSTALLATION.to_owned(), id)
    }

    /// What this installation has stored, oldest first.
    pub(crate) async fn list(&self, filter: Filter) -> Result<Vec<Backup>, Error> {
        let mut all = self.run(move |repository| repository.list(&filter)).await?;
        let (name, own) = self.installation();
        all.retain(|backup| backup.own && backup.labels.more.get(&name) == Some(&own));
        Ok(all)
    }

    /// Runs an operation on the repository, on a thread that may block. It runs to its end even if its caller no longer
    /// waits.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Repository) -> Result<T, dormouse_repository::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (config, data_dir, open) = (
            self.config.clone(),
            self.data_dir.clone(),
            Arc::clone(&self.open),
        );
        blocking(move || {
            let known = open.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let repository = match known {
                Some(known) => known,
                None => {
                    let key = read_key(&config.key, &data_dir)?;
                    let opened = Repository::open(&config.location, &key, &config.options)?;
                    *open.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened.clone());
                    opened
                }
            };
            let done = work(&repository);
            if let Err(error) = &done
                && !matches!(error.fault(), Fault::Request | Fault::Files)
            {
                // the place may have changed: open it anew
                open.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
            Ok(done?)
        })
        .await
    }
}

fn read_key(source: &MasterSource, data_dir: &std::path::Path) -> Result<Key, Error> {
    let text = source
        .read(data_dir, KEY_COMMAND)
        .map_err(|error| Error::Machine {
            doing: "reading the key of the backup repository".to_owned(),
            reason: error.to_string(),
        })?;
    Ok(Key::new(text.as_str().to_owned()))
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(Error::Stopping),
    }
}
