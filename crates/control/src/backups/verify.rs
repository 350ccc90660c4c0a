//! Restoring a backup for a test: into an instance that no database has, whose server checks every table.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::Cause;
use dormouse_repository::Backup;
use dormouse_types::{Bytes, DatabaseName, Units};
use jiff::Timestamp;
use tracing::{error, info};

use super::restore::{Received, receive};
use super::state::entry;
use super::vault::blocking;
use crate::admission::Importance;
use crate::adopt;
use crate::catalog::{Change, Durability};
use crate::create::{Creator, to_its_end};
use crate::error::Error;
use crate::instance::Instance;
use crate::principal::Principal;
use crate::status::EventKind;
use crate::time::{now, within};

/// Time limit for the check of all tables.
const CHECK: Duration = Duration::from_secs(6 * 3600);

/// A backup that was restored for a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The database.
    pub database: DatabaseName,
    /// Id of the backup.
    pub backup: String,
    /// The moment whose state it has.
    pub taken_at: Timestamp,
    /// Bytes of its files.
    pub size: Bytes,
    /// Tables that are damaged, as `schema.table: reason`.
    pub damaged: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Restores a backup, starts a server on it, checks every table, and removes it.
pub(crate) async fn verify(
    creator: Creator,
    backup: Backup,
    name: DatabaseName,
    cause: Cause,
    by: Principal,
) -> Result<Verified, Error> {
    let work = async move {
        let began = now();
        let checked = async {
            creator.check_disk(&name)?;
            let received = receive(&creator, &backup, None, "verify").await?;
            let checked = check(&creator, &received).await;
            creator.warm.discard(received.arrival.id).await;
            checked.map(|damaged| (damaged, received.size))
        };
        let checked = checked.await;
        let took = now().saturating_duration_since(began);
        let short = backup.id.short();
        let good = matches!(&checked, Ok((damaged, _)) if damaged.is_empty());
        let (event, reason) = match &checked {
            Ok((damaged, size)) if damaged.is_empty() => {
                let reason =
                    format!("backup {short} was restored for a test: {size}, every table is good");
                info!(database = %name, reason, "verified");
                (EventKind::BackedUp, reason)
            }
            Ok((damaged, _)) => {
                let reason = format!("backup {short} is damaged: {}", damaged.join("; "));
                error!(database = %name, reason, "a backup is damaged");
                (EventKind::Refused, reason)
            }
            Err(error) => {
                let reason = format!("backup {short} could not be restored for a test: {error}");
                error!(database = %name, reason, "a backup cannot be restored");
                (EventKind::Refused, reason)
            }
        };
        let mut changes = vec![Change::Ledger(Box::new(entry(
            &name, event, cause, reason, took, by,
        )))];
        let backups = &creator.context.backups;
        {
            let mut counts = backups.counts();
            *(if good {
                &mut counts.verified
            } else {
                &mut counts.damaged
            }) += 1;
        }
        if good
            && let Some(instance) = backup.labels.instance
            && let Some(mut known) = backups.known(instance)
            && let Some(last) = known
                .last
                .as_mut()
                .filter(|last| last.id == backup.id.as_str())
        {
            last.verified = Some(Timestamp::now());
            changes.push(backups.note(instance, known));
        }
        creator
            .context
            .catalog
            .write(Durability::Soon, changes)
            .await?;
        let (damaged, size) = checked?;
        Ok(Verified {
            database: name,
            backup: backup.id.to_string(),
            taken_at: backup.labels.taken_at,
            size,
            damaged,
            took,
        })
    };
    to_its_end(work).await
}

/// Starts a server on the files, and lets it check every table.
async fn check(creator: &Creator, received: &Received) -> Result<Vec<String>, Error> {
    let host = &creator.context.host;
    let Received {
        arrival, manifest, ..
    } = received;
    let admitted = creator
        .context
        .admission
        .start(Importance::Background)
        .await?;
    let mut instance = Instance::new(Arc::clone(host), arrival.id, Units(1));
    adopt::renew_rights(host, &mut instance, arrival, &manifest.name).await?;
    adopt::start(&mut instance).await?;
    drop(admitted);
    let checked = async {
        let server = instance.server()?;
        host.servers.check(&server).await
    };
    let checked = within(CHECK, checked).await;
    instance.disconnect().await;
    let mut damaged = checked.map_err(|error| Error::Server {
        database: manifest.name.clone(),
        reason: error.to_string(),
    })?;
    if let Some(dir) = host.driver.directory(arrival.id) {
        let found = blocking(move || {
            undefined(&dir.join("data")).map_err(|error| Error::Machine {
                doing: format!("listing the files of {}", dir.display()),
                reason: error.to_string(),
            })
        });
        damaged.extend(found.await?);
    }
    Ok(damaged)
}

/// Files of tables of other engines than InnoDB, which lists its own.
const PARTS: [&str; 6] = ["CSV", "MAD", "MAI", "MYD", "MYI", "ARZ"];

/// The tables that have a file and no definition, as `schema/table.MYD: reason`.
fn undefined(data: &Path) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for schema in std::fs::read_dir(data)? {
        let schema = schema?;
        if !schema.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(schema.path())? {
            let path = file?.path();
            let part = path.extension().and_then(|part| part.to_str());
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let (Some(part), Some(stem)) = (part, stem) else {
                continue;
            };
            // a partition belongs to the table before the '#'; what begins with one is temporary
            let table = stem.split('#').next().unwrap_or_default();
            if !PARTS.contains(&part) || table.is_empty() {
                continue;
            }
            if !path.with_file_name(format!("{table}.frm")).exists() {
                let schema = schema.file_name();
                let schema = schema.to_string_lossy();
                found.push(format!(
                    "{schema}/{stem}.{part}: the definition of this table is missing, the file {schema}/{table}.frm"
                ));
            }
        }
    }
    found.sort();
    Ok(found)
}
