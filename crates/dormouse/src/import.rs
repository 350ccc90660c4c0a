//! `dormouse import` and `dormouse export`: brings dumps and other servers' data into a database, and writes dumps.
//!
//! The importer is a client of Dormouse with an owner's rights: the database wakes as for any client, and what an owner may
//! not do is refused. A dump is cut into statements ([`splitter`]), each is looked at ([`classify`]), run ([`run`]), and
//! entered into the [`journal`], so that an import can go on after an error or a crash.

pub(crate) mod accounts;
pub(crate) mod advice;
pub(crate) mod bring;
pub(crate) mod checkpoint;
pub(crate) mod classify;
pub(crate) mod connection;
pub(crate) mod follow;
pub(crate) mod input;
pub(crate) mod journal;
pub(crate) mod live;
pub(crate) mod progress;
pub(crate) mod run;
pub(crate) mod splitter;
pub(crate) mod summary;
pub(crate) mod text;
pub(crate) mod until;
