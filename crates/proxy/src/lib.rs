//! The data path: from an accepted socket to a server's reply.
//!
//! Modules are in the order in which a connection uses them:
//! [`accept`] → [`handshake`] → [`route`] → [`session`] → [`door`] → [`pool`] → [`backend`] →
//! [`relay`]. After them come modules that several of these use; the control path calls [`doors`].
//! There are no import cycles between files.
//!
//! Invariants:
//! - a reply's bytes are forwarded unchanged; rows are never decoded nor copied twice;
//! - a statement reaches a server only with a [`door::Pass`]; while the door is shut it is held;
//! - an idle session owns no buffer;
//! - every command ends in a reply, an error or a closed connection. Each wait for a peer has a
//!   deadline, except the wait for a reply, because a statement may run for any time. That wait ends
//!   with the reply, with the death of the server, or half a second after the client has left
//!   ([`stream`]); then the server is asked to end the statement.
//!
//! The proxy calls the control path through [`ControlPath`]; the control path calls the methods of
//! [`Proxy`].

mod config;
mod control_path;

mod accept;
mod listen;

mod handshake;

mod route;

mod session;

mod door;

mod pool;

mod backend;

mod relay;

mod doors;
mod opening;

// used by several of them
mod carriers;
mod chunk;
mod client;
mod database;
mod deadline;
mod directory;
mod elsewhere;
mod guard;
mod handle;
mod identity;
mod inbox;
mod mailbox;
mod on_demand;
mod refusal;
mod replicas;
mod reservation;
mod security;
mod shared;
mod stream;
mod tally;
mod understudies;

pub use accept::Proxy;
pub use config::{Limits, PoolLimits, ProxyConfig, Tls};
pub use control_path::{ControlError, ControlPath};
pub use listen::{Listeners, StartError};
