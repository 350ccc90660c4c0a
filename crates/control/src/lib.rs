//! The control path: observe, decide, act, and remember.
//!
//! Modules stand in the order of one turn: observe what the [driver](dormouse_driver),
//! the [`doors`] and the [`servers`] say; [decide](dormouse_policy::decide), which is elsewhere
//! and pure; act; and write what was done to the catalog and its ledger.
//!
//! Invariants:
//! - one actor per database does all its transitions, one after another; whatever happens only
//!   makes it look again, never tells it what to do;
//! - intent is in the catalog before anything is done that cannot be undone, and the result after;
//! - dormouse may end at any await: whatever is true then, the next start converges from it;
//! - files that the catalog of this data directory did not hand out are never touched;
//! - nothing here wakes a database but a statement, an order, or accounts that must be read anew
//!   after a crash.
//!
//! Called by `api` (orders, questions) and, through a trait of the proxy's, by the data path.

mod actor;
pub mod calendar;
mod catalog;
pub mod config;
mod create;
mod database;
pub mod doors;
pub mod error;
pub mod lock;
mod meter;
mod metering;
pub mod plane;
mod room;
pub mod servers;
mod startup;
pub mod status;
pub mod storage;
pub mod usage;
mod warm;
mod world;

pub use calendar::Calendar;
pub use config::{Deadlines, LedgerKeep, PlaneConfig, UsageKeep};
pub use create::OWNER;
pub use doors::Doors;
pub use dormouse_policy::placement::Capacity;
pub use dormouse_policy::spend::{Ladder, Prices, Rung};
pub use dormouse_policy::{Cap, Cause, SettingsPatch, Spec};
pub use error::{Error, ErrorKind};
pub use lock::{Lock, LockError};
pub use plane::Plane;
pub use servers::{AdminServers, PoolHits, Server, ServerError, Servers, Snapshot};
pub use status::{Created, Event, EventFilter, EventKind, Figures, Spend, Status};
pub use storage::Disk;
pub use usage::{By, UsageQuery, UsageReport, UsageRow};
