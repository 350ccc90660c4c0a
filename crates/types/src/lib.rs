//! Types shared by all crates: names, ids, units, delays, states, accounts, variables. The modules do not
//! depend on an order; they are listed alphabetically.
//!
//! No code here does I/O or reads a clock; the caller passes times as a [`jiff::Timestamp`] or a
//! [`std::time::Duration`].

pub mod account;
pub mod activity;
pub mod backup;
pub mod carry;
pub mod delay;
pub mod endpoint;
pub mod events;
pub mod layer;
pub mod marker;
pub mod money;
pub mod month;
pub mod name;
pub mod network;
pub mod on_demand;
pub mod pin;
pub mod pooling;
pub mod replicas;
pub mod reserved;
pub mod run_again;
pub mod series;
pub mod sessions;
pub mod state;
pub mod strain;
pub mod timetable;
pub mod trace;
pub mod units;
pub mod usage;
pub mod user;
pub mod variables;
pub mod woken;

pub use account::{Account, CertificateNames, Expiry, Manager, Specified, Transport, Verifier};
pub use activity::{Activity, Veto, VetoReason};
pub use backup::{Backups, Cron, Keep};
pub use carry::{Carry, InvalidCarry};
pub use delay::Delay;
pub use endpoint::{Endpoint, Incarnation, Target, TlsIdentity};
pub use events::Events;
pub use layer::Layer;
pub use marker::Marker;
pub use money::Money;
pub use month::Month;
pub use name::{DatabaseName, InstanceId};
pub use network::{Access, InvalidNetwork, Network, Networks, RefusedBy};
pub use on_demand::{Mark, NamePattern, NamesOrOff, OnDemand, Template, UserOnDemand};
pub use pin::Pin;
pub use pooling::{InvalidPooling, Pooling};
pub use replicas::{CommitDurability, Reads, Replica, ReplicaCount, ReplicaRange};
pub use run_again::RunAgain;
pub use series::{InvalidSeries, Series};
pub use sessions::{Doing, Ended, PoolStatus, ReadCounts, SessionStatus};
pub use state::State;
pub use strain::Strain;
pub use timetable::Timetable;
pub use trace::Trace;
pub use units::{Bytes, UnitRange, Units};
pub use usage::{Carried, Usage};
pub use user::{NewUser, UserChange, UserLimits, UserRole};
pub use variables::{VARIABLES, Variable, VariableKind, Variables};
pub use woken::{WokenBy, misleads};
