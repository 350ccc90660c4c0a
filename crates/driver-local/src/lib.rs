//! Instances as processes of this machine, each in a cgroup of its own where the machine allows it.
//!
//! Invariants:
//! - there are never two servers on one data directory: a server holds its instance's lock file
//!   from before it is executed until it ends ([`spawn`]);
//! - a server outlives the process that drives it; the next one finds it by its command line,
//!   which names the configuration file that only this instance has ([`process`]);
//! - signals go through a pidfd that was checked against the process's start time;
//! - nothing here needs root, a cgroup or a particular hierarchy: each capability is tried, and
//!   what is missing has a fallback or is reported ([`Capabilities`]).
//!
//! Called by the binary, which hands it to `control` as a [`Driver`](dormouse_driver::Driver).

pub mod cgroup;
mod driver;
mod endpoint;
mod owner;
mod process;
mod ready;
mod scan;
mod spawn;

pub use cgroup::{Capabilities, CgroupMode};
pub use driver::{LocalConfig, LocalDriver, SetupError};
pub use endpoint::Transport;
pub use owner::UID_BASE;
