//! Storing the log of a database.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use dormouse_binlog::{Anchor, Anchors, Name};
use dormouse_driver::Log;
use dormouse_repository::{BackupId, Error as RepositoryError, Filter, Labels, Reading, Watch};
use dormouse_types::{InstanceId, State as Life};
use jiff::Timestamp;
use tracing::{debug, warn};

use super::files::{self, first_in};
use super::state::{
    ANCHORS, Archive, BASE, BEGAN, BEGINS, Began, FIRST, HISTORY, KEYS, LAST, State, base_of,
};
use crate::backups::manifest::document;
use crate::backups::state::KIND;
use crate::backups::vault::blocking;
use crate::create::Creator;
use crate::database::Database;
use crate::error::Error;
use crate::instance::rekeying::with_keys;
use crate::time::within;

/// The server's files are removed when they are archived and there are more than this, or they have more bytes.
const FILES_MOST: usize = 16;
const BYTES_MOST: u64 = 64 << 20;

/// Most anchors of one archive. More are thinned out: they only bound how far a false timestamp counts.
const ANCHORS_MOST: usize = 2000;

/// What an attempt found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The database keeps no history yet: its server starts with one next time.
    Nothing,
    /// Everything is archived.
    Complete,
    /// Somebody has begun the log anew: there is a gap in it.
    Broken,
}

/// Where the log of an instance is collected before it is stored.
fn collected(creator: &Creator, instance: InstanceId) -> PathBuf {
    let dir = creator.context.data_dir.join("history");
    dir.join(instance.to_string())
}

/// When an archive is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// If the log has changed.
    Changed,
    /// Also if it has not: up to when it has all changes is known to the repository then.
    Always,
}

/// Stores what the repository lacks of a database's log, in whatever state the database is.
pub(crate) async fn archive(
    creator: &Creator,
    database: &Database,
    when: When,
) -> Result<Stored, Error> {
    archive_of(creator, database, database.seat(), when).await
}

/// Stores what the repository lacks of the log of this instance, which serves the database or did so.
pub(crate) async fn archive_of(
    creator: &Creator,
    database: &Database,
    seat: InstanceId,
    when: When,
) -> Result<Stored, Error> {
    let instance = database.instance;
    let slot = creator.context.histories.slot(instance);
    let mut state = slot.lock().await;
    let dir = collected(creator, instance);
    let from = Timestamp::now();
    let copied = creator.context.host.driver.copy_log(seat, &dir).await;
    let log = copied.map_err(|error| Error::Machine {
        doing: format!("reading the binary log of database '{}'", database.name),
        reason: error.to_string(),
    })?;
    let until = Timestamp::now();
    let Some(log) = log else {
        return Ok(Stored::Nothing);
    };
    let is_former = seat != database.seat();
    let names = log.files.first().zip(log.files.last());
    let names = names.and_then(|(first, last)| Some((Name::new(&first.0)?, Name::new(&last.0)?)));
    let Some((first, last)) = names else {
        return Ok(Stored::Nothing);
    };
    if state.base != log.base {
        *state = load(creator, instance, &log.base).await?;
    }
    let began = began(&dir, &log).map_err(|error| Error::Machine {
        doing: format!("reading the log of database '{}'", database.name),
        reason: error.to_string(),
    })?;
    if begun_anew(&state, &log, &began) {
        state.broken = true;
    }
    if state.broken {
        return Ok(Stored::Broken);
    }
    if state.files != log.files || when == When::Always {
        let anchor = Anchor {
            file: last.clone(),
            size: log.files.last().map_or(0, |(_, size)| *size),
            from: from.as_millisecond(),
            until: until.as_millisecond(),
        };
        let mut anchors = state.anchors.clone();
        anchors.forget_before(&first);
        anchors.add(anchor);
        anchors.thin(ANCHORS_MOST);
        let id = send_log(
            creator,
            (database, seat),
            &dir,
            &log,
            (&first, &last),
            (&anchors, &began),
            &state,
        )
        .await?;
        let before = state.newest.replace(id);
        let covers = state
            .files
            .first()
            .is_none_or(|(name, _)| Name::new(name).is_some_and(|before| first <= before));
        state.files.clone_from(&log.files);
        state.began = began;
        state.anchors = anchors;
        if let Some(before) = before.filter(|_| covers) {
            forget(creator, before).await;
        }
    }
    if is_former {
        // what follows is not in this timeline: nothing is known of it
        *state = State::default();
        return Ok(Stored::Complete);
    }
    state.complete = Some(from);
    purge(creator, database, &log, &last).await;
    Ok(Stored::Complete)
}

/// What the repository has of a timeline.
async fn load(creator: &Creator, instance: InstanceId, base: &str) -> Result<State, Error> {
    let vault = creator.context.backups.vault()?;
    let all = vault.list(Filter::All).await?;
    let newest = all
        .iter()
        .filter(|backup| base_of(backup) == Some(base))
        .filter_map(Archive::read)
        .filter(|archive| archive.instance == instance)
        .max_by(|a, b| a.stored_at.cmp(&b.stored_at));
    let mut state = State {
        base: base.to_owned(),
        ..State::default()
    };
    let Some(newest) = newest else {
        return Ok(state);
    };
    let id = newest.id.clone();
    let text = vault.run(move |repository| repository.read_document(&id, ANCHORS));
    let anchors: Anchors =
        serde_json::from_slice(&text.await?).map_err(|error| Error::Machine {
            doing: format!(
                "reading the document {ANCHORS} of archive {}",
                newest.id.short()
            ),
            reason: error.to_string(),
        })?;
    let id = newest.id.clone();
    let text = vault.run(move |repository| repository.read_document(&id, BEGAN));
    state.began = serde_json::from_slice(&text.await?).map_err(|error| Error::Machine {
        doing: format!(
            "reading the document {BEGAN} of archive {}",
            newest.id.short()
        ),
        reason: error.to_string(),
    })?;
    // its lengths are not known: what the log has now is stored once more, and replaces it
    state.files = vec![(newest.first.to_string(), 0), (newest.last.to_string(), 0)];
    state.anchors = anchors;
    state.newest = Some(newest.id);
    Ok(state)
}

async fn send_log(
    creator: &Creator,
    (database, id): (&Database, InstanceId),
    dir: &Path,
    log: &Log,
    (first, last): (&Name, &Name),
    (anchors, began): (&Anchors, &Began),
    state: &State,
) -> Result<BackupId, Error> {
    let mut labels = Labels::new(database.name.clone(), Timestamp::now());
    labels.instance = Some(database.instance);
    labels.version = Some(creator.context.host.version_of(id));
    labels
        .more
        .extend([creator.context.backups.vault()?.installation()]);
    for (name, value) in [
        (KIND, HISTORY.to_owned()),
        (BASE, log.base.clone()),
        (FIRST, first.to_string()),
        (LAST, last.to_string()),
    ] {
        labels.more.insert(name.to_owned(), value);
    }
    let keys = with_keys(&creator.context.host.keys, move |keys| keys.reveal(id)).await;
    let keys = keys.map_err(|error| Error::Machine {
        doing: format!("reading the keys of database '{}'", database.name),
        reason: error.to_string(),
    })?;
    let (logs, ring) = (dir.to_owned(), keys.clone());
    let begins = blocking(move || first_in(&logs, &files::keys(ring.as_ref()))).await?;
    if let Some(begins) = begins {
        labels.more.insert(BEGINS.to_owned(), begins.to_string());
    }
    let mut documents = vec![document(ANCHORS, anchors)?, document(BEGAN, began)?];
    if let Some(keys) = keys {
        documents.push(document(KEYS, &keys)?);
    }
    let (dir, before) = (dir.to_owned(), state.newest.clone());
    let vault = creator.context.backups.vault()?;
    let stored = vault.run(move |repository| {
        let store = |reading: &Reading| {
            repository.store(&dir, &documents, &labels, reading, &Watch::default())
        };
        match before.map(Reading::ChangedSince) {
            None => store(&Reading::All),
            Some(since) => match store(&since) {
                Err(RepositoryError::NoBackup { .. }) => store(&Reading::All),
                other => other,
            },
        }
    });
    let stored = stored.await?;
    debug!(database = %database.name, id = stored.backup.id.short(), sent = stored.sent, %last, "archived");
    Ok(stored.backup.id)
}

/// Forgets an archive whose files the next one has. If that fails, both stay, which does no harm.
async fn forget(creator: &Creator, id: BackupId) {
    let Ok(vault) = creator.context.backups.vault() else {
        return;
    };
    let forgotten = vault.run(move |repository| repository.forget(&[id])).await;
    if let Err(error) = forgotten {
        warn!(%error, "an archive that another one has replaced is left");
    }
}

/// Lets a server that runs remove files that are archived, if they are many.
async fn purge(creator: &Creator, database: &Database, log: &Log, last: &Name) {
    let bytes: u64 = log.files.iter().map(|(_, size)| size).sum();
    if (log.files.len() <= FILES_MOST && bytes <= BYTES_MOST)
        || log.files.len() < 2
        || database.state() != Life::Active
        || database.is_followed_from_afar()
    {
        return;
    }
    let host = &creator.context.host;
    let name = last.to_string();
    let purged = within(host.deadlines.ask, async {
        let server = database.server()?;
        host.servers.purge_log(&server, &name).await
    });
    let purged = tokio::select! {
        purged = purged => purged.map_err(|error| error.to_string()),
        () = database.until(|now| now.state != Life::Active) => Ok(()),
    };
    if let Err(error) = purged {
        warn!(database = %database.name, %error, "archived files of its log are left");
    }
}

/// When each file was begun, by the timestamp of its first event.
pub(crate) fn began(dir: &Path, log: &Log) -> io::Result<Began> {
    let mut all = Began::new();
    for (name, _) in &log.files {
        // behind the four bytes by which a log is known
        let mut head = [0; 8];
        let mut file = File::open(dir.join(name))?;
        if let Err(error) = file.read_exact(&mut head) {
            match error.kind() {
                io::ErrorKind::UnexpectedEof => continue,
                _ => return Err(error),
            }
        }
        let [.., a, b, c, d] = head;
        all.insert(name.clone(), u32::from_le_bytes([a, b, c, d]));
    }
    Ok(all)
}

/// Whether the log has been begun anew under the names of other files (`RESET MASTER`), which removes what was not
/// archived.
fn begun_anew(state: &State, log: &Log, began: &Began) -> bool {
    let is_another = |(name, at): (&String, &u32)| began.get(name).is_some_and(|now| now != at);
    if state.began.iter().any(is_another) {
        return true;
    }
    let Some(last) = state.files.last().and_then(|(name, _)| Name::new(name)) else {
        return false;
    };
    let here = |name: &Name, size: u64| {
        let there = log
            .files
            .iter()
            .find(|(other, _)| *other == name.to_string());
        there.is_some_and(|(_, now)| *now >= size)
    };
    let size = state.files.last().map_or(0, |(_, size)| *size);
    !here(&last, size)
}
