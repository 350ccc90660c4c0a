//! Copies of a server's files as a crash at one moment would leave them.
//!
//! A server recovers from such a copy as it recovers from a crash, if its processes wrote nothing while the copy was
//! made: its caller freezes them. A [`Copy`](struct@Copy) works in *passes*. Passes before the last run beside the server and may
//! copy anything; the last one, with the server frozen, copies only what has changed since. Where the file system
//! shares blocks (`FICLONE`: btrfs, XFS, bcachefs), the last pass alone is fast enough.
//!
//! Writes that a frozen process had handed to the kernel may still reach the files during the last pass. They were in
//! flight together, and a crash may have kept any of them, so a copy with some of them is such a crash too; the server's
//! doublewrite buffer repairs pages of which it has a part.
//!
//! Files and directories of a copy have the times of change of their originals at the moment of the copy. Two copies of
//! a file with the same size and time are equal, so a backup need not read it again.
//!
//! [`Copy::check`](fn@Copy::check) checks the checksums of InnoDB's pages in a copy, [`check`](fn@check) those of any
//! directory to which nobody writes.
//!
//! The files belong to a server that may be hostile: links are not followed, and only plain files and directories are
//! copied.

mod check;
mod copy;
mod doublewrite;
mod file;
mod pages;
mod tree;

pub use check::Damage;
pub use copy::{Copied, Copy, Error, Stop, check};
pub use file::shares_blocks;
