//! Backups: what is kept of each database in a repository outside of it, and how it comes back.
//!
//! A backup is a copy as a branch is one, which is stored and removed again; nothing is woken for it. Beside the files
//! it has a document with all that a restore on another machine needs. The catalog knows the last backup of each
//! database, so that one that has slept since then costs nothing. What the repository has is always read from it.
//!
//! Files here: [`state`] (what all share), [`vault`] (the repository), [`known`] (what the catalog knows), [`manifest`] (the documents), [`make`],
//! [`restore`], [`verify`], [`upkeep`] (which are kept), [`recover`] (all databases on a new machine), and [`watch`], which
//! does most of these by the clock.

pub(crate) mod known;
pub(crate) mod make;
pub(crate) mod manifest;
pub(crate) mod recover;
pub(crate) mod restore;
pub(crate) mod state;
pub(crate) mod upkeep;
pub(crate) mod vault;
pub(crate) mod verify;
pub(crate) mod watch;

pub use dormouse_repository::{
    Backup, Checked, Key, KeyInfo, Location, Options, Pruned, Sample, check_place,
};
pub use make::{Attempt, Made};
pub use recover::{Lost, Recovered, prepare as prepare_recovery};
pub use restore::Restored;
pub use state::{Counts, Running};
pub use vault::BackupConfig;
pub use verify::Verified;
