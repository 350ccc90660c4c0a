//! Disaster recovery: all databases of an installation from the repository alone, on a machine that has none.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use dormouse_policy::lifecycle::Order;
use dormouse_repository::{Backup, Filter, Key, Location, Options, Repository};
use dormouse_types::{Bytes, DatabaseName};
use jiff::Timestamp;
use tracing::error;

use super::manifest::{INSTALLATION, Installation, read};
use super::restore::{Restored, Target, restore};
use super::state::Told;
use super::upkeep::is_installation;
use super::vault::INSTALLATION as OF;
use crate::catalog::{Change, Durability, TokenChange};
use crate::create::Creator;
use crate::error::Error;
use crate::principal::Principal;

/// A database that could not be recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its name.
    pub name: DatabaseName,
    /// Why.
    pub reason: String,
}

/// What a recovery has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Databases, with the moment whose state they have.
    pub restored: Vec<Restored>,
    /// Databases that could not be recovered.
    pub lost: Vec<Lost>,
    /// Databases that were there already.
    pub present: Vec<DatabaseName>,
    /// Tokens of the API.
    pub tokens: usize,
    /// Bytes of all databases.
    pub size: Bytes,
}

/// Reads the newest document about the installation, and writes its files to a data directory that has none of them yet:
/// the secret, certificates, passwords for `dormouse connect`. Call it before the plane starts. Blocks. Returns when
/// the document was stored, and the number of databases.
///
/// # Errors
/// [`Error::Repository`]; [`Error::NoBackup`]; [`Error::Invalid`] if the directory belongs to another installation.
pub fn prepare(
    data_dir: &Path,
    location: &Location,
    key: &Key,
    options: &Options,
    installation: Option<&str>,
) -> Result<(Timestamp, usize), Error> {
    let repository = Repository::open(location, key, options)?;
    let (backup, found) = newest(&repository, installation)?;
    for (name, bytes) in &found.files {
        let path = below(data_dir, name)?;
        match std::fs::read(&path) {
            Ok(present) if present == *bytes => continue,
            Ok(_) => {
                return Err(Error::Invalid(format!(
                    "{} belongs to another installation: recover into an empty data directory",
                    path.display()
                )));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritten(&path, &error)),
        }
        write_private(&path, bytes).map_err(|error| unwritten(&path, &error))?;
    }
    Ok((backup.labels.taken_at, found.databases.len()))
}

/// The newest document about an installation: this one, or the only one there is.
fn newest(
    repository: &Repository,
    installation: Option<&str>,
) -> Result<(Backup, Installation), Error> {
    let of = |backup: &Backup| backup.labels.more.get(OF).cloned().unwrap_or_default();
    let mut all = repository.list(&Filter::Installation)?;
    all.retain(is_installation);
    let mut ids: Vec<String> = all.iter().map(of).collect();
    ids.sort();
    ids.dedup();
    if let (None, [_, _, ..]) = (installation, ids.as_slice()) {
        return Err(Error::Invalid(format!(
            "the repository has backups of several installations: name one of {} with --installation",
            ids.join(", ")
        )));
    }
    let is_it = |backup: &Backup| installation.is_none_or(|id| of(backup) == id);
    let newest = all.into_iter().rev().find(is_it).ok_or_else(|| {
        Error::NoBackup(
            "the repository has no document about this installation, so nothing was backed up to it"
                .to_owned(),
        )
    })?;
    let bytes = repository.read_document(&newest.id, INSTALLATION)?;
    Ok((newest, read(INSTALLATION, &bytes)?))
}

fn below(data_dir: &Path, name: &str) -> Result<PathBuf, Error> {
    let path = Path::new(name);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    if path.components().all(plain) && !name.is_empty() {
        return Ok(data_dir.join(path));
    }
    Err(Error::Invalid(format!(
        "the repository names a file '{name}' outside of the data directory"
    )))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

    if let Some(parent) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)
}

fn unwritten(path: &Path, error: &std::io::Error) -> Error {
    Error::Machine {
        doing: format!("writing {}", path.display()),
        reason: error.to_string(),
    }
}

/// Restores every database of the newest document about the installation that is not there: the newest backup of
/// each. One that fails does not stop the others.
pub(crate) async fn recover(
    creator: Creator,
    by: Principal,
    tell: impl Fn(&str) + Send + Sync,
) -> Result<Recovered, Error> {
    let vault = creator.context.backups.vault()?;
    *creator.context.backups.installation.lock().await = Told::Recovering;
    let (_, id) = vault.installation();
    let found = vault.run(move |repository| Ok(newest(repository, Some(&id))));
    let (_, installation) = found.await??;
    let mut of: BTreeMap<DatabaseName, Backup> = BTreeMap::new();
    let all = creator.context.backups.list(None).await?;
    for listed in &installation.databases {
        let newest =
            |such: &dyn Fn(&Backup) -> bool| all.iter().rev().find(|backup| such(backup)).cloned();
        // it may have been renamed since, or restored and not backed up since
        let backup = newest(&|backup| backup.labels.instance == Some(listed.instance))
            .or_else(|| newest(&|backup| backup.labels.database.as_ref() == Some(&listed.name)));
        if let Some(backup) = backup {
            of.insert(listed.name.clone(), backup);
        }
    }
    let mut recovered = Recovered::default();
    let all = installation.databases.len();
    for (number, listed) in (1..).zip(&installation.databases) {
        let name = listed.name.clone();
        if creator.context.registry.find(&name).is_some() {
            recovered.present.push(name);
            continue;
        }
        tell(&format!("{number} of {all}: {name}"));
        let Some(backup) = of.remove(&name) else {
            let reason = "it has no backup".to_owned();
            recovered.lost.push(Lost { name, reason });
            continue;
        };
        match restore(
            creator.clone(),
            backup,
            Target::New(name.clone()),
            None,
            by.clone(),
        )
        .await
        {
            Ok(restored) => {
                sleep(&creator, &name, &by).await;
                recovered.size.0 += restored.size.0;
                recovered.restored.push(restored);
            }
            Err(Error::Stopping) => return Err(Error::Stopping),
            Err(error) => {
                error!(database = %name, %error, "cannot be recovered");
                let reason = error.to_string();
                recovered.lost.push(Lost { name, reason });
            }
        }
    }
    recovered.tokens = recover_tokens(&creator, installation).await?;
    Ok(recovered)
}

/// Parks a database: many may be recovered, and nobody uses them yet.
async fn sleep(creator: &Creator, name: &DatabaseName, by: &Principal) {
    let Some(database) = creator.context.registry.find(name) else {
        return;
    };
    // one that cannot be parked now is when it is idle
    if let Ok(parked) = database.order(Order::Park, by.clone()) {
        let _refused = parked.await;
    }
}

async fn recover_tokens(creator: &Creator, installation: Installation) -> Result<usize, Error> {
    let catalog = creator.context.catalog.clone();
    let known = super::vault::blocking(move || catalog.tokens()).await?;
    let is_known = |id: &crate::token::TokenId| known.iter().any(|token| token.about.id == *id);
    let new: Vec<Change> = installation
        .tokens
        .into_iter()
        .filter(|token| !is_known(&token.about.id))
        .map(|token| Change::Token(Box::new(TokenChange::Add(token))))
        .collect();
    let count = new.len();
    creator.context.catalog.write(Durability::Now, new).await?;
    Ok(count)
}
