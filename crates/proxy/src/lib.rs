//! The data path: from an accepted socket to a server's reply.
//!
//! Modules stand in the order in which a connection meets them:
//! [`accept`] → [`handshake`] → [`route`] → [`session`] → [`door`] → [`pool`] → [`backend`] →
//! [`relay`]. Behind them stand those that several of these use; [`doors`] is what the control path
//! calls. No file imports, over however many others, one that imports it.
//!
//! Invariants:
//! - a reply's bytes are forwarded as they are; rows are never decoded nor copied twice;
//! - a statement reaches a server only with a [`door::Pass`]; while the door is shut it is held;
//! - an idle session owns no buffer;
//! - every command ends in a reply, an error or a closed connection. Each wait for a peer has a
//!   deadline, except the wait for a reply: a statement may run for as long as it likes. That wait ends
//!   with the reply, with the death of the server, or half a second after the client has left
//!   ([`stream`]); then the server is told to end the statement.
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

// what several of them use
mod chunk;
mod client;
mod database;
mod deadline;
mod directory;
mod guard;
mod handle;
mod identity;
mod inbox;
mod mailbox;
mod refusal;
mod shared;
mod stream;
mod tally;

pub use accept::Proxy;
pub use config::{Limits, PoolLimits, ProxyConfig, Tls};
pub use control_path::{ControlError, ControlPath};
pub use listen::{Listeners, StartError};
