//! What the catalog holds, and the changes that are written to it.

use std::sync::Arc;

use dormouse_policy::{Cause, Spec};
use dormouse_types::{Account, Bytes, DatabaseName, Events, InstanceId, State, Units, Variables};
use jiff::Timestamp;

use crate::instance::serving::Serving;
use crate::meter::SharedMeter;
use crate::status::{EventKind, Figures};

/// Use of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It is being made.
    Preparing,
    /// It waits for a database to claim it.
    Warm,
    /// It belongs to a database.
    Claimed,
    /// It is being removed.
    Removing,
    /// The catalog never handed it out, and leaves it alone.
    Foreign,
}

/// What is noted of a database before it sleeps, for logins and answers during the sleep and for the next start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Noted {
    pub(crate) accounts: Vec<Account>,
    /// `None` until its server was asked for the first time.
    pub(crate) schemas: Option<Vec<String>>,
    pub(crate) globals: Vec<(String, String)>,
    /// What clients ask for when they connect.
    pub(crate) variables: Option<Variables>,
    /// When its event scheduler has something to do.
    pub(crate) events: Events,
    /// Whether the door has stayed shut since.
    pub(crate) fresh: bool,
}

/// One database, as remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseRow {
    pub(crate) name: DatabaseName,
    /// Its primary instance.
    pub(crate) instance: InstanceId,
    pub(crate) spec: Spec,
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    /// Counts the servers that its primary has had.
    pub(crate) generation: u64,
    /// No less than what the server of its primary may use.
    pub(crate) units: Units,
    pub(crate) reason: String,
    pub(crate) noted: Noted,
    /// How much disk its files took when that mattered last.
    pub(crate) storage: Option<Bytes>,
    /// Whether its storage quota was used up.
    pub(crate) full: bool,
}

/// One instance, as remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceRow {
    pub(crate) id: InstanceId,
    pub(crate) phase: Phase,
    /// The version of its server.
    pub(crate) version: String,
    /// The database that it serves, and as what.
    pub(crate) serves: Option<(DatabaseName, Role)>,
    /// Where it is.
    pub(crate) host: String,
    /// Its server at the last write; the driver knows the present one.
    pub(crate) serving: Option<Arc<Serving>>,
}

/// Role of an instance for its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// It takes the statements.
    Primary,
}

/// All that is remembered but the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contents {
    pub(crate) databases: Vec<DatabaseRow>,
    pub(crate) instances: Vec<InstanceRow>,
    /// The highest instance id ever handed out.
    pub(crate) last_instance: u32,
}

/// An entry of the ledger that is yet to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) database: DatabaseName,
    pub(crate) event: EventKind,
    pub(crate) from: Option<State>,
    pub(crate) to: Option<State>,
    pub(crate) cause: Cause,
    pub(crate) reason: String,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) figures: Figures,
}

/// A change of the catalog; all changes of one write are in one transaction.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// An instance exists in this phase (a new row, or the phase of an old one).
    Instance {
        id: InstanceId,
        phase: Phase,
        version: String,
    },
    /// An instance is no more.
    InstanceGone(InstanceId),
    /// A database is being made of this instance.
    Claim(Box<DatabaseRow>),
    /// A database came into a state, or is on the way to one; with what is true of its primary.
    State {
        name: DatabaseName,
        instance: InstanceId,
        state: State,
        since: Timestamp,
        generation: u64,
        units: Units,
        serving: Option<Arc<Serving>>,
        reason: String,
    },
    /// The owner's settings of a database.
    Spec { name: DatabaseName, spec: Spec },
    /// The notes of a database.
    Note {
        name: DatabaseName,
        noted: Box<Noted>,
    },
    /// The notes of a database are stale from now on.
    Stale(DatabaseName),
    /// A database's files take so much disk, and whether its quota is used up.
    Storage {
        name: DatabaseName,
        used: Bytes,
        full: bool,
    },
    /// A database is no more, nor its instance.
    Gone {
        name: DatabaseName,
        instance: InstanceId,
    },
    /// The ledger has one more entry.
    Ledger(Box<Entry>),
    /// What this meter has counted, and up to where; taken from it when it is written.
    Meter(SharedMeter),
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A crash of dormouse does not lose it; a loss of power may.
    Soon,
    /// Nothing loses it.
    Now,
}
