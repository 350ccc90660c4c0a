//! Fixtures for tests and measurements: a Dormouse of its own on real servers, and a client that
//! speaks the protocol packet by packet.
//!
//! Everything here blocks, and panics when something does not go as it must: a fixture's failure
//! is the test's.
#![expect(clippy::expect_used, clippy::panic, reason = "fixtures fail the test")]

pub mod client;
pub mod dice;
pub mod dormouse;
pub mod process;
pub mod tls;

pub use client::{Client, Reply};
pub use dice::Dice;
pub use dormouse::{Created, Dormouse, program};
