//! What the plane decides, as pure and total functions.
//!
//! What is known goes in as data, with the time; what should be done comes out, with the reason.
//!
//! Invariants:
//! - no I/O, no clock, no task, no randomness: the same arguments give the same answer;
//! - every input has an answer, also one that "cannot happen";
//! - a decision that changes nothing says when to look again, or else some event will tell.
//!
//! Called by `control` alone.

pub mod admission;
pub mod autoscale;
pub mod horizontal;
pub mod lifecycle;
pub mod placement;
pub mod schedule;
pub mod settings;
pub mod spec;
pub mod spend;
pub mod storage;
pub mod warm;

pub use lifecycle::{Act, Cause, Observed, Plan, Reason, Verb, decide};
pub use settings::{Cap, SettingsPatch};
pub use spec::Spec;
