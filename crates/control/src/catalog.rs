//! The catalog: the persistent state of the plane, in SQLite.
//!
//! One writer performs all writes, one at a time. A transition's intent and result are committed without
//! waiting for the disk: only a power failure loses such a commit, and it also ends every server process,
//! after which the observed state overrides the catalog. Where a row stands for data (a database was made or
//! dropped, an instance id was assigned), the commit waits for the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dormouse_types::{DatabaseName, InstanceId, Variables};
use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::broadcast;

use crate::config::LedgerKeep;
use crate::error::Error;
use crate::meter::{Mark, Metered, SharedMeter, Taken};
use crate::status::{Event, EventFilter};
use crate::token::{Stored, TokenId};
use crate::wakes::Transition;

mod alike;
mod columns;
mod endpoint;
mod identity;
mod ledger;
mod manifest;
mod record;
mod rows;
mod schema;
mod tokens;
mod unclaimed;
mod usage;

pub(crate) use record::{
    Change, Contents, DatabaseRow, Durability, Entry, InstanceRow, Manifest, Moved, Noted, Phase,
    Role, TokenChange,
};
pub(crate) use tokens::NotChanged;
pub(crate) use usage::{Account as UsageOf, Detail, Wanted};

/// The catalog's file in the data directory.
pub(crate) const FILE: &str = "catalog.sqlite";

/// The catalog.
#[derive(Clone)]
pub(crate) struct Catalog {
    path: Arc<PathBuf>,
    writer: Arc<tokio::sync::Mutex<Writer>>,
    reader: Arc<Mutex<Connection>>,
    /// Reads tokens only, so that no request waits for a long read of the ledger.
    gate: Arc<Mutex<Connection>>,
    models: Arc<alike::Models>,
}

struct Writer {
    connection: Connection,
    manifests: manifest::Manifests,
    marks: unclaimed::Marks,
    keep: LedgerKeep,
    events: broadcast::Sender<Event>,
    until_prune: u32,
}

impl Catalog {
    /// Opens the catalog in `dir`, or creates it; reads everything but the ledger. Committed entries of the
    /// ledger are sent to `events`.
    pub(crate) fn open(
        dir: &Path,
        keep: LedgerKeep,
        events: broadcast::Sender<Event>,
    ) -> Result<(Self, Contents), Error> {
        let path = dir.join(FILE);
        let explain = |e: rusqlite::Error| explain(&path, &e);
        let mut connection = Connection::open(&path).map_err(explain)?;
        schema::prepare(&mut connection).map_err(|e| match e {
            schema::Unfit::Sqlite(e) => explain(e),
            schema::Unfit::Newer { found, known } => Error::Catalog {
                path: path.clone(),
                reason: format!("it has format {found}, this dormouse knows up to {known}"),
                hint: "run the newer dormouse that wrote it".to_owned(),
            },
            schema::Unfit::Damaged(what) => damaged(&path, &what),
        })?;
        let models = Arc::new(alike::Models::default());
        let mut contents = rows::load(&connection, &models).map_err(explain)?;
        contents.manifests = manifest::found(dir);
        contents.unclaimed = unclaimed::Marks::found(dir);
        contents.installation = identity::of(&connection, &contents).map_err(explain)??;
        let manifests = manifest::Manifests::new(dir, contents.installation);
        let marks = unclaimed::Marks::new(dir, contents.installation);
        marks.complete(&contents.instances);
        ledger::prune(&connection, keep).map_err(explain)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = || {
            let reader = Connection::open_with_flags(&path, flags).map_err(explain)?;
            reader.busy_timeout(schema::BUSY).map_err(explain)?;
            Ok::<_, Error>(Arc::new(Mutex::new(reader)))
        };
        let (reader, gate) = (reader()?, reader()?);
        let writer = Writer {
            connection,
            manifests,
            marks,
            keep,
            events,
            until_prune: ledger::PRUNE_EVERY,
        };
        let catalog = Self {
            path: Arc::new(path),
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            reader,
            gate,
            models,
        };
        Ok((catalog, contents))
    }

    /// Commits changes, all or none, in the order given.
    pub(crate) async fn write(
        &self,
        durability: Durability,
        changes: Vec<Change>,
    ) -> Result<(), Error> {
        self.with_writer(move |writer| writer.commit(durability, &changes))
            .await
    }

    /// Writes the files with name and settings that a crash, or a former version, has not written.
    pub(crate) async fn write_manifests(&self, instances: &[InstanceId]) -> Result<(), Error> {
        for some in instances.chunks(64) {
            let some = some.to_vec();
            self.with_writer(move |writer| {
                let mut all = some.into_iter();
                all.try_for_each(|id| writer.manifests.write(&writer.connection, id))
            })
            .await?;
        }
        Ok(())
    }

    /// The instances from which databases have moved, or from which this one has, and which are kept no longer than this.
    pub(crate) async fn former(
        &self,
        name: Option<DatabaseName>,
        until: Timestamp,
    ) -> Result<Vec<InstanceId>, Error> {
        self.with_writer(move |writer| rows::former(&writer.connection, name.as_ref(), until))
            .await
    }

    /// The instances from which databases have moved, and which are kept longer than this, in the order in which they were left.
    pub(crate) async fn kept(
        &self,
        until: Timestamp,
    ) -> Result<Vec<(InstanceId, DatabaseName)>, Error> {
        self.with_writer(move |writer| rows::kept(&writer.connection, until))
            .await
    }

    /// The databases that have moved to another instance since then.
    pub(crate) async fn moved_since(
        &self,
        since: Timestamp,
    ) -> Result<BTreeSet<DatabaseName>, Error> {
        self.with_writer(move |writer| rows::moved_since(&writer.connection, since))
            .await
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Assigns the next instance id, in phase [`Phase::Preparing`].
    pub(crate) async fn new_instance(&self, version: String) -> Result<InstanceId, Error> {
        self.with_writer(move |writer| {
            set_durability(&writer.connection, Durability::Now)?;
            let id = rows::new_instance(&writer.connection, &version)?;
            writer.marks.mark(id);
            Ok(id)
        })
        .await
    }

    /// Changes a token and writes it to the ledger, durably; or tells why not.
    pub(crate) async fn change_token(
        &self,
        change: TokenChange,
        entry: Entry,
    ) -> Result<Result<(), NotChanged>, Error> {
        self.with_writer(move |writer| {
            if let Some(refused) = tokens::refusal(&writer.connection, &change)? {
                return Ok(Err(refused));
            }
            let changes = [
                Change::Token(Box::new(change)),
                Change::Ledger(Box::new(entry)),
            ];
            writer.commit(Durability::Now, &changes).map(Ok)
        })
        .await
    }

    /// A token. Blocks.
    pub(crate) fn token(&self, id: &TokenId) -> Result<Option<Stored>, Error> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        tokens::find(&gate, id).map_err(|e| explain(&self.path, &e))
    }

    /// Every token. Blocks.
    pub(crate) fn tokens(&self) -> Result<Vec<Stored>, Error> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        tokens::all(&gate).map_err(|e| explain(&self.path, &e))
    }

    /// Reduces the memory of a database's notes.
    pub(crate) fn condense(&self, noted: Noted) -> Noted {
        self.models.condense(noted)
    }

    /// The same variables, in memory that is shared with those of databases.
    pub(crate) fn share(&self, variables: Variables) -> Variables {
        self.models.share(variables)
    }

    /// Entries of the ledger.
    pub(crate) fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, Error> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        ledger::read(&reader, filter).map_err(|e| explain(&self.path, &e))
    }

    /// The changes of state of a database since a time in milliseconds since 1970, and the last one before.
    pub(crate) fn transitions(
        &self,
        database: &DatabaseName,
        since: i64,
    ) -> Result<Vec<Transition>, Error> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        ledger::transitions(&reader, database, since).map_err(|e| explain(&self.path, &e))
    }

    /// The mark of the meter of every existing database, with its usage since a day.
    pub(crate) fn meters(
        &self,
        since: i64,
    ) -> Result<BTreeMap<InstanceId, (Mark, Metered)>, Error> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        usage::load(&reader, since).map_err(|e| explain(&self.path, &e))
    }

    /// Reads the written usage, and calls `then` before the next write.
    pub(crate) async fn usage<T: Send + 'static>(
        &self,
        wanted: Wanted,
        then: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(Vec<UsageOf>, T), Error> {
        self.with_writer(move |writer| Ok((usage::read(&writer.connection, &wanted)?, then())))
            .await
    }

    /// Removes usage of minutes and days before these.
    pub(crate) async fn prune_usage(&self, minute: i64, day: i64) -> Result<(), Error> {
        self.with_writer(move |writer| usage::prune(&writer.connection, minute, day))
            .await
    }

    async fn with_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        match tokio::task::spawn_blocking(move || work(&mut writer)).await {
            Ok(done) => done.map_err(|e| explain(&self.path, &e)),
            Err(_) => Err(Error::Stopping),
        }
    }
}

impl Writer {
    fn commit(&mut self, durability: Durability, changes: &[Change]) -> rusqlite::Result<()> {
        set_durability(&self.connection, durability)?;
        self.marks.before(changes).map_err(|error| {
            let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            let what = format!("removing the mark of an instance that no database has: {error}");
            rusqlite::Error::SqliteFailure(failure, Some(what))
        })?;
        self.manifests.before(changes);
        let now = Timestamp::now();
        let mut written = Vec::new();
        let mut taken = TakenMeters::default();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for change in changes {
            match change {
                Change::Ledger(entry) => written.push(ledger::append(&transaction, entry, now)?),
                Change::Meter(meter) => {
                    if let Some(taken) = taken.take(meter) {
                        usage::write(&transaction, taken)?;
                    }
                }
                other => rows::apply(&transaction, other)?,
            }
        }
        transaction.commit()?;
        self.manifests.after(&self.connection, changes)?;
        self.marks.after(changes);
        taken.0.clear();
        let count = u32::try_from(written.len()).unwrap_or(u32::MAX);
        for event in written {
            // an error means that there is no subscriber
            let _ = self.events.send(event);
        }
        self.until_prune = self.until_prune.saturating_sub(count);
        if self.until_prune == 0 {
            self.until_prune = ledger::PRUNE_EVERY;
            ledger::prune(&self.connection, self.keep)?;
        }
        Ok(())
    }
}

/// Counts taken from meters; given back unless committed.
#[derive(Default)]
struct TakenMeters(Vec<(SharedMeter, Taken)>);

impl TakenMeters {
    fn take(&mut self, meter: &SharedMeter) -> Option<&Taken> {
        let taken = meter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        self.0.push((Arc::clone(meter), taken));
        self.0.last().map(|(_, taken)| taken)
    }
}

impl Drop for TakenMeters {
    fn drop(&mut self) {
        for (meter, taken) in self.0.drain(..) {
            meter
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .put_back(taken);
        }
    }
}

fn set_durability(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let level = match durability {
        Durability::Soon => "NORMAL",
        Durability::Now => "FULL",
    };
    connection.pragma_update(None, "synchronous", level)
}

/// Adds a hint to SQLite's error.
fn explain(path: &Path, error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase,
        PermissionDenied, ReadOnly, SystemIoFailure,
    };
    let hint = match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => return damaged(path, &error.to_string()),
        Some(DiskFull) => "make room on the disk",
        Some(SystemIoFailure) => "look at the disk and its free space",
        Some(CannotOpen | PermissionDenied | ReadOnly) => {
            "make the file and its directory writable for the user dormouse runs as"
        }
        Some(DatabaseBusy | DatabaseLocked) => "end the program that keeps it locked",
        _ => return damaged(path, &error.to_string()),
    };
    Error::Catalog {
        path: path.to_owned(),
        reason: error.to_string(),
        hint: hint.to_owned(),
    }
}

fn damaged(path: &Path, what: &str) -> Error {
    Error::Catalog {
        path: path.to_owned(),
        reason: format!("it is damaged ({what})"),
        hint: "put a copy of it back from a backup, or move it away with its -wal and -shm: dormouse up then makes \
               a new one, with the names and settings that it finds beside the databases' files (usage, tokens and the \
               ledger are lost)"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests;
