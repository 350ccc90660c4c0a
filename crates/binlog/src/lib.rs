//! MariaDB's binary log, read without a server: which transactions stand in it, and where to stop for a time.
//!
//! A log is a series of files `BASE.000001`, `BASE.000002`, …; a file is a series of *events*; the events from a GTID
//! to a commit are a *group*: one transaction, or one statement that is a transaction of its own (`CREATE TABLE`).
//!
//! - [`read`] passes over the groups of one file. A file that ends in the middle of a group, because its server was
//!   killed or is still writing, ends at its last whole group.
//! - [`Stop`] and [`Cutter`] find the position up to which a log is to be applied.
//! - [`Search`] finds groups by their text.
//! - [`LastGroups`] tells whether a connection has written a group behind a [`Position`].
//! - Files of an encrypted server are read with its keys ([`Keys`]).
//!
//! Invariants:
//! - any bytes give a value or an error, never a panic, and no more memory than the file has bytes;
//! - no file is opened, no clock is read: the caller gives readers and times.
//!
//! Called by `control`. Sources of the layouts: MariaDB's Knowledge Base ("Replication Protocol: Binlog Event Types",
//! "Start Encryption Event", "GTID Event"), checked against files of MariaDB 10.11 and 11.8.

mod anchor;
mod crypt;
mod cut;
mod error;
mod event;
mod file;
pub mod follow;
mod group;
mod last_groups;
mod place;
mod position;
mod reader;
mod search;

pub use anchor::{Anchor, Anchors};
pub use crypt::Keys;
pub use cut::{Cutter, Stop};
pub use error::{Fault, Wrong};
pub use file::{End, read};
pub use group::{Group, Gtid, Kind, NoGtid, Table};
pub use last_groups::{LastGroups, Written};
pub use place::{Name, Place};
pub use position::{NoPosition, Position};
pub use search::Search;

#[cfg(test)]
mod tests;
