//! Driver that runs instances as processes of this machine, each in its own cgroup if possible.
//!
//! Invariants:
//! - a data directory never has two servers: a server holds its instance's lock file from before `exec`
//!   until it ends ([`spawn`]);
//! - a server outlives the driver's process; the next driver finds it by its command line, which has the
//!   path of the instance's configuration file ([`scan`]);
//! - signals are sent through a pidfd that was checked against the process's start time;
//! - root, cgroups or a particular hierarchy are not required: each capability is probed; a missing one
//!   has a fallback or is reported ([`Capabilities`]);
//! - a server starts in a sandbox of all layers that the machine has ([`sandbox`]).
//!
//! Called by the binary, which passes it to `control` as a [`Driver`](dormouse_driver::Driver).

pub mod cgroup;
mod driver;
mod endpoint;
mod key_pipe;
mod owner;
mod process;
mod ready;
mod sandbox;
mod scan;
mod spawn;
mod watchdog;

pub use cgroup::{Capabilities, CgroupMode};
pub use driver::{Examined, LocalConfig, LocalDriver, SetupError, examine};
pub use endpoint::Transport;
pub use owner::UID_BASE;
pub use sandbox::{SandboxMissing, SandboxMode};
