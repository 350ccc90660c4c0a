//! The words every crate shares: names, ids, units, delays, states, accounts, variables.
//!
//! Nothing here does I/O or reads a clock; time is a [`jiff::Timestamp`] or a
//! [`std::time::Duration`] handed in by the caller.

pub mod account;
pub mod delay;
pub mod events;
pub mod money;
pub mod month;
pub mod name;
pub mod pool;
pub mod state;
pub mod strain;
pub mod timetable;
pub mod traffic;
pub mod units;
pub mod usage;
pub mod variables;

pub use account::{Account, Expiry, Transport, Verifier};
pub use delay::Delay;
pub use events::Events;
pub use money::Money;
pub use month::Month;
pub use name::{DatabaseName, InstanceId};
pub use pool::{Doing, PoolStatus, SessionStatus};
pub use state::State;
pub use strain::Strain;
pub use timetable::Timetable;
pub use traffic::{Activity, Pooling, Target, Veto};
pub use units::{Bytes, UnitRange, Units};
pub use usage::{Carried, Usage};
pub use variables::{VARIABLES, Variable, VariableKind, Variables};
