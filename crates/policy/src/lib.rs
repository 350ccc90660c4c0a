//! The decisions of the control plane, as pure and total functions.
//!
//! Input: the observed state as data, and the time. Output: the action to take, and its reason.
//!
//! Invariants:
//! - no I/O, clock, task or randomness: the same arguments give the same result;
//! - every input has a result, also one that "cannot happen";
//! - a decision without an action gives the time of the next evaluation, or `None` if only an event can
//!   change it.
//!
//! Modules, in groups: settings; when a database is awake; how many servers are started; its size; what
//! it may use; its backups.
//!
//! Called by `control` and by `sim`.

pub mod spec;

pub mod settings;

pub mod lifecycle;
pub mod schedule;

pub mod admission;
pub mod warm;

pub mod autoscale;
pub mod horizontal;
pub mod placement;
pub mod roots;
pub mod shed;

pub mod spend;
pub mod storage;

pub mod backup;

pub use lifecycle::{Act, Cause, Observed, Plan, Reason, Verb, decide};
pub use settings::{Cap, SettingsPatch};
pub use spec::Spec;
