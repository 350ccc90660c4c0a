//! One connection to a server: login as the client's user, questions of Dormouse's own, taking on a
//! session's state.
//!
//! Invariant: a [`Backend`] is between two commands. Using it turns it into another type
//! ([`states`]), and only complete replies turn that back; whatever else happens to it, it is closed.

mod assume;
mod error;
mod link;
mod login;
mod question;
mod residue;
mod secure;
mod shelf;
mod states;

pub(crate) use assume::Schema;
pub(crate) use error::BackendError;
pub(crate) use login::Connection;
pub(crate) use residue::Before;
pub(crate) use states::{Backend, Listening, Noise, Speaking};

#[cfg(test)]
pub(crate) use link::Link;
#[cfg(test)]
pub(crate) mod tests;
