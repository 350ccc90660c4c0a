//! The control path: observe, decide, act, write.
//!
//! Modules stand in the order of one turn of a database's actor. It observes what the driver says of its
//! `instance`, what the [`doors`] say of sessions and statements, and what the [`servers`] answer. It
//! [decides](dormouse_policy::decide), in another crate and without side effects. It acts, in
//! `database`, by verbs of the instance and the doors. It writes what it intends and what it did to the
//! `catalog` and its ledger. Around that stand what watches all databases at once, and the [`plane`],
//! which callers see.
//!
//! Invariants:
//! - one actor per database performs its transitions, one at a time; events wake it, and never tell it what to
//!   do;
//! - the intent of what cannot be undone is in the catalog before it is done; a statement passes to a server that
//!   was started only when the catalog says that what was noted of the database is out of date;
//! - the catalog never says less than what a server may use;
//! - Dormouse may end at any await: from what is true then, the next start converges;
//! - files that the catalog of this data directory did not hand out are never touched;
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
mod registry;
mod time;
// what is written
mod catalog;
mod meter;
pub mod status;
pub mod usage;
// what watches all databases
mod metering;
mod storage;
mod tasks;
mod warm;
// the whole
pub mod config;
mod create;
pub mod error;
pub mod lock;
pub mod plane;
mod startup;

pub use calendar::Calendar;
pub use config::{Deadlines, LedgerKeep, PlaneConfig, UsageKeep};
pub use create::OWNER;
pub use disk::Disk;
pub use doors::Doors;
pub use dormouse_policy::placement::Capacity;
pub use dormouse_policy::spend::{Ladder, Prices, Rung};
pub use dormouse_policy::{Cap, Cause, SettingsPatch, Spec};
pub use error::{Error, ErrorKind};
pub use lock::{Lock, LockError};
pub use plane::Plane;
pub use servers::admin::AdminServers;
pub use servers::{PoolHits, Server, ServerError, Servers, Snapshot};
pub use status::{Created, Event, EventFilter, EventKind, Figures, Spend, Status};
pub use usage::{By, UsageQuery, UsageReport, UsageRow};
