//! The backup repository: directories and small documents, stored encrypted, compressed and deduplicated in restic's
//! format. A stock `restic` reads what stands here, and this crate restores what `restic` wrote.
//!
//! It knows nothing of databases, servers or the catalog: it gets a directory whose files do not change, and labels.
//! A backup is one snapshot of restic's with the trees `/files` (the directory) and `/documents` (the documents), the
//! database's name as its host, and the labels as tags `key=value`.
//!
//! - **Every call blocks.** Call it from a thread that may wait.
//! - **Nothing is half stored.** `rustic_core` skips what it cannot read, with a warning in a log. Here a snapshot is
//!   written only if every file was read whole and every write succeeded; else the call fails and no backup appears.
//!   What was sent already is used by the next attempt, or removed by [`Repository::prune`].
//! - **No panic leaves this crate.** Each call into `rustic_core` runs in `catch_unwind` and ends in [`Error::Tool`].
//! - **Locks.** Stores and prunes need no lock against each other: a prune first marks data and deletes it a day later.
//!   `restic` needs locks, so a store, prune or forget leaves one that `restic` respects, and respects restic's; see [`Error::Locked`].
//!   Operations of one process that do not go together wait for each other.
//! - **A place on another host may hang.** Each request ends by a time limit, or when its operation is cancelled.
//! - **Chunks have a fixed size of 64 KiB**, four pages of InnoDB: a page that changed costs 64 KiB before compression.
//!   restic's own chunks have 512 KiB to 8 MiB, and a page would cost 1.5 MB.

mod access;
mod contents;
mod disk;
mod error;
mod files;
mod guard;
mod key;
mod labels;
mod location;
mod locks;
mod place;
mod remote;
mod repository;
mod restore;
mod secrets;
mod source;
mod store;
mod turns;
mod upkeep;
mod watch;

pub use error::{Error, Fault};
pub use key::Key;
pub use labels::{Backup, BackupId, Filter, InvalidBackupId, Labels};
pub use location::{InvalidLocation, Location};
pub use place::check_place;
pub use repository::{KeyInfo, Options, Repository};
pub use restore::{DOCUMENTS, FILES, Owner, Restored};
pub use source::Document;
pub use store::{Reading, Stored};
pub use upkeep::{Checked, Pruned, Sample};
pub use watch::{Cancel, Progress, TellWait, Watch};
