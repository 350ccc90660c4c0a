//! The data path: from an accepted socket to a server's reply.
//!
//! Modules stand in the order in which a connection meets them:
//! [`accept`] → [`handshake`] → [`route`] → [`session`] → [`door`] → [`backend`] → [`relay`].
//!
//! Invariants:
//! - a reply's bytes are forwarded as they are; rows are never decoded nor copied twice;
//! - a statement reaches a server only with a [`door::Pass`]; while the door is shut it is held;
//! - an idle session owns no buffer;
//! - whatever a client sends ends in a reply, an error or a closed connection, never in a wait
//!   without a deadline.
//!
//! The control path is seen through [`ControlPath`] and steers through the methods of [`Proxy`].

mod accept;
mod backend;
mod chunk;
mod config;
mod control_path;
mod directory;
mod door;
mod guard;
mod handshake;
mod inbox;
mod mailbox;
mod pool;
mod refusal;
mod relay;
mod route;
mod session;
mod steer;
mod stream;
mod tally;

pub use accept::{Listeners, Proxy, StartError};
pub use config::{Limits, PoolLimits, ProxyConfig, Tls};
pub use control_path::{ControlError, ControlPath};
