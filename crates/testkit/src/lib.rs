//! Fixtures for tests and measurements: a Dormouse with real servers, and a client that sends single
//! packets.
//!
//! All functions block, and panic on a failure: a failed fixture fails the test.
#![expect(clippy::expect_used, clippy::panic, reason = "fixtures fail the test")]

pub mod client;
pub mod dice;
pub mod dormouse;
pub mod process;
pub mod tls;

pub use client::{Client, Reply};
pub use dice::Dice;
pub use dormouse::{Created, Dormouse, program};
