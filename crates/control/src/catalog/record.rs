//! Contents of the catalog, and the changes that are written to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::{Cause, Spec};
use dormouse_types::{
    Account, Bytes, DatabaseName, Events, InstanceId, State, Units, Variables, WokenBy,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backups::known::Known;
use crate::instance::serving::Serving;
use crate::meter::SharedMeter;
use crate::principal::Principal;
use crate::status::{BranchOf, EventKind, Figures};
use crate::token::{Hash, Stored, TokenId};

/// Use of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// It is being made, or it is an understudy: no database ever claims that, and the next start removes it.
    Preparing,
    /// It waits for a database to claim it.
    Warm,
    /// It belongs to a database.
    Claimed,
    /// It is being removed.
    Removing,
    /// The catalog never assigned its id; it is not touched.
    Foreign,
}

/// What is noted of a database before it sleeps, for logins and answers during the sleep and for the next start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Noted {
    pub(crate) accounts: Vec<Account>,
    /// `None` until its server was queried for the first time.
    pub(crate) schemas: Option<Vec<String>>,
    pub(crate) globals: Vec<(String, String)>,
    /// Variables that clients query when they connect.
    pub(crate) variables: Option<Variables>,
    /// When its event scheduler runs the next event.
    pub(crate) events: Events,
    /// Whether the door has stayed shut since the notes were taken.
    pub(crate) fresh: bool,
}

/// One database, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseRow {
    pub(crate) name: DatabaseName,
    /// Its primary instance.
    pub(crate) instance: InstanceId,
    /// The instance that it began with: another one, if it has moved.
    pub(crate) origin: InstanceId,
    pub(crate) spec: Arc<Spec>,
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    /// Number of servers that its primary has had.
    pub(crate) generation: u64,
    /// Version of the rights of the accounts in its primary's files.
    pub(crate) rights: u8,
    /// At least what the server of its primary may use.
    pub(crate) units: Units,
    pub(crate) reason: String,
    pub(crate) noted: Noted,
    /// Disk space of its files when its size or fill level last mattered.
    pub(crate) storage: Option<Bytes>,
    /// Whether its storage quota was used up.
    pub(crate) full: bool,
    /// Of which database it is a copy.
    pub(crate) branch: Option<Box<BranchOf>>,
}

/// One instance, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InstanceRow {
    pub(crate) id: InstanceId,
    pub(crate) phase: Phase,
    /// The server's version.
    pub(crate) version: String,
    /// The database that it serves, and its role.
    pub(crate) serves: Option<(DatabaseName, Role)>,
    /// Of [`Role::Former`]: when it is removed.
    pub(crate) kept_until: Option<Timestamp>,
    /// Its host.
    pub(crate) host: String,
    /// Version of the rights of the accounts in its files.
    pub(crate) rights: u8,
    /// Its server at the last write; the driver knows the current one.
    pub(crate) serving: Option<Arc<Serving>>,
}

/// Role of an instance for its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// It takes the statements.
    Primary,
    /// It follows the primary.
    Replica,
    /// It was the primary, and is kept for a while after a move.
    Former,
}

/// What stands of a database beside the files of its instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The installation, by the number that its catalog has.
    pub(crate) catalog: i32,
    /// The database.
    pub(crate) name: DatabaseName,
    /// The server's version.
    pub(crate) version: String,
    /// Version of the rights of the accounts in its files.
    pub(crate) rights: u8,
    pub(crate) spec: Spec,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) branch: Option<Box<BranchOf>>,
    /// The instance that it began with, if it has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<InstanceId>,
}

/// Everything stored but the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Contents {
    pub(crate) databases: Vec<DatabaseRow>,
    pub(crate) instances: Vec<InstanceRow>,
    /// What is known of the backups of each instance.
    pub(crate) backups: BTreeMap<InstanceId, Known>,
    /// The highest instance id ever assigned.
    pub(crate) last_instance: u32,
    /// Names the installation.
    pub(crate) installation: i32,
    /// What stands beside the files of instances.
    pub(crate) manifests: Vec<(InstanceId, Manifest)>,
    /// The instances that are marked as nobody's, and the installation that has marked them.
    pub(crate) unclaimed: Vec<(InstanceId, i32)>,
}

/// A move of a database to another instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) name: DatabaseName,
    /// The instance that it began with.
    pub(crate) origin: InstanceId,
    pub(crate) from: InstanceId,
    pub(crate) to: InstanceId,
    /// When the instance that it comes from is removed.
    pub(crate) kept_until: Timestamp,
}

/// An entry of the ledger that is not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `None`: it is about no database.
    pub(crate) database: Option<DatabaseName>,
    pub(crate) actor: Principal,
    /// The statement that needed the server, if one did.
    pub(crate) woken_by: Option<Arc<WokenBy>>,
    pub(crate) event: EventKind,
    pub(crate) from: Option<State>,
    pub(crate) to: Option<State>,
    pub(crate) cause: Cause,
    pub(crate) reason: String,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) figures: Figures,
}

impl Entry {
    /// What Dormouse notes about a database, whose state stays.
    pub(crate) fn noted(database: &DatabaseName, cause: Cause, reason: String) -> Self {
        Self {
            database: Some(database.clone()),
            actor: Principal::Dormouse,
            woken_by: None,
            event: EventKind::Noted,
            from: None,
            to: None,
            cause,
            reason,
            duration_ms: None,
            figures: Figures::default(),
        }
    }
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
    /// An instance was removed.
    InstanceGone(InstanceId),
    /// An instance follows the primary of a database.
    Replica {
        name: DatabaseName,
        instance: InstanceId,
        rights: u8,
    },
    /// A database has moved to another instance, which was made for that.
    Moved(Box<Moved>),
    /// A database is being made from this instance.
    Claim(Box<DatabaseRow>),
    /// A database entered a state or begins a transition; includes the data of its primary.
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
    Spec { name: DatabaseName, spec: Box<Spec> },
    /// The notes of a database.
    Note {
        name: DatabaseName,
        noted: Box<Noted>,
    },
    /// The notes of a database are stale from now on.
    Stale(DatabaseName),
    /// The accounts in the files of an instance have the rights of this version.
    Rights { instance: InstanceId, rights: u8 },
    /// The disk space of a database's files, and whether its quota is used up.
    Storage {
        name: DatabaseName,
        used: Bytes,
        full: bool,
    },
    /// A database and its instances were removed.
    Gone {
        name: DatabaseName,
        instance: InstanceId,
        /// The instance that it began with.
        origin: InstanceId,
    },
    /// A database has another name.
    Rename {
        from: DatabaseName,
        to: DatabaseName,
    },
    /// A name has no database any more, and its instance is being removed; another database gets the name at once.
    Vacate {
        name: DatabaseName,
        instance: InstanceId,
    },
    /// What is known of the backups of an instance.
    BackedUp {
        instance: InstanceId,
        known: Box<Known>,
    },
    /// A new entry of the ledger.
    Ledger(Box<Entry>),
    /// A token of the API.
    Token(Box<TokenChange>),
    /// The counts of this meter and its mark; taken from the meter when they are written.
    Meter(SharedMeter),
}

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A crash of Dormouse does not lose it; a power failure may.
    Soon,
    /// Neither a crash nor a power failure loses it.
    Now,
}

/// A change of a token.
#[derive(Debug, Clone)]
pub(crate) enum TokenChange {
    /// A new one.
    Add(Stored),
    /// It has a new secret; the former one is valid until `former_until`.
    Rotate {
        id: TokenId,
        hash: Hash,
        former_until: Option<Timestamp>,
        expires: Option<Timestamp>,
        lifetime: Option<Duration>,
    },
    /// It is invalid from now on.
    Remove(TokenId),
    /// It was used.
    Used(TokenId, Timestamp),
}
