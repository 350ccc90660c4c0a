//! The history of databases: binary logs, archived in the repository of the backups, and recovery to a moment with them.
//!
//! A database with the setting `history` has a server that writes a binary log ([`dormouse_engine::history`]). While it is
//! awake its files are stored every `[history] archive_every`, and once more when it has fallen asleep; nothing is woken
//! for that. With each archive the plane notes what the clock said and how long the log was ([`dormouse_binlog::Anchors`]),
//! since timestamps in the log are the clients' own.
//!
//! An archive is a backup of kind `history` with the files that the log had then. It replaces the one before it, unless
//! the server has removed files that only that one has. The files of a **timeline** (an instance and the base of its
//! files' names) from all its archives are a log without a gap. A database that moves or fails over has several; they go on
//! from one another, since the instance to which it goes has followed the one before ([`mod@line`]).
//!
//! Files here: [`state`] (what all share), [`archive`] (storing), [`files`] (reading back), [`search`], [`mod@line`], [`recover`], [`lay_out`], and [`watch`], which stores by the
//! clock.

pub(crate) mod archive;
pub(crate) mod files;
mod lay_out;
mod line;
pub(crate) mod recover;
pub(crate) mod search;
pub(crate) mod state;
pub(crate) mod watch;

pub use search::{Found, Range, Reading};
pub use state::{Point, Scope};
