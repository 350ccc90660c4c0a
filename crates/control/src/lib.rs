//! The control path: observe, decide, act, write.
//!
//! Modules are in the order of one turn of a database's actor. It observes its `instance` by the driver, sessions
//! and statements by the [`doors`], and its server by the [`servers`]. It [decides](dormouse_policy::decide), in
//! another crate and without side effects. It acts, in `database`, by verbs of the instance and the doors. It
//! writes intents and results to the `catalog` and its ledger. Other modules watch all databases at once. The
//! [`plane`] is the interface for callers.
//!
//! Invariants:
//! - one actor per database performs its transitions, one at a time; events wake it and carry no commands;
//! - the intent of an irreversible act is in the catalog before the act; a statement passes to a server that was
//!   started only when the catalog says that the notes of the database are stale;
//! - a server may never use more than the catalog says;
//! - Dormouse may end at any await: the next start continues from the state that it observes;
//! - instances whose ids this catalog did not assign are never touched;
//! - a database is woken by a statement, an order, its agenda, or accounts that must be read again after a
//!   crash.
//!
//! Called by `api` (orders, questions) and, through a trait of the proxy's, by the data path.

// what is observed
pub mod calendar;
pub mod disk;
pub mod doors;
mod instance;
pub mod servers;
// what acts
mod admission;
mod database;
mod random;
mod registry;
mod time;
// who may do it, and who did it
pub mod principal;
pub mod token;
// what is written
mod catalog;
mod meter;
pub mod status;
pub mod usage;
pub mod wakes;
// what watches all databases
mod actors;
mod adopt;
pub mod backups;
mod branches;
mod follower;
pub mod history;
mod metering;
mod moves;
mod outcome;
mod place;
mod replicas;
mod seed;
mod shed;
mod spares;
mod storage;
mod tasks;
mod understudy;
mod warm;
// the whole
pub mod config;
mod create;
pub mod error;
pub mod lock;
pub mod plane;
mod rebuild;
mod startup;

pub use calendar::Calendar;
pub use config::{Deadlines, LedgerKeep, PlaneConfig, UsageKeep};
pub use create::OWNER;
pub use disk::{Ballast, BallastState, Disk};
pub use doors::Doors;
pub use dormouse_driver::{Offer, Place, Root};
pub use dormouse_policy::placement::Capacity;
pub use dormouse_policy::spend::{Ladder, Prices, Rung};
pub use dormouse_policy::{Cap, Cause, SettingsPatch, Spec};
pub use error::{Error, ErrorKind};
pub use lock::{Lock, LockError};
pub use moves::MoveDone;
pub use moves::check::UpgradeCheck;
pub use moves::counts::MoveCounts;
pub use moves::progress::MoveStatus;
pub use plane::Plane;
pub use plane::tokens::{AddToken, Admitted, Refused, RotateToken};
pub use plane::transfers::{Direction, Transfer};
pub use principal::Principal;
pub use replicas::{ReplicaDoing, ReplicaStatus};
pub use servers::admin::AdminServers;
pub use servers::{Converted, Origin, PoolHits, Progress, Server, ServerError, Servers, Snapshot};
pub use status::{
    BranchOf, Branched, Created, DatabaseKeys, Encryption, EncryptionState, Event, EventFilter,
    EventKind, Figures, KeyList, Spend, Status, UnderstudyCounts,
};
pub use token::{NewToken, Role, Token, TokenId, TokenName};
pub use usage::{By, UsageQuery, UsageReport, UsageRow};
pub use wakes::{Measure, WakesReport, WakesRow};
