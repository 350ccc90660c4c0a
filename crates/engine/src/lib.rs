//! One database server: finding its installation, configuration, templates, administration.
//!
//! Drivers run servers; this crate only runs the programs that create a template. It supports MariaDB;
//! types have the server's [`Family`] where MySQL will differ.
//!
//! Invariants:
//! - an instance never reads the machine's own server configuration ([`config`]);
//! - a template or an instance's directory is complete or absent under its final name ([`Template`]);
//! - only Dormouse's own account can log in to a new instance ([`template`]);
//! - every wait on a server has a deadline ([`Admin`]).
//!
//! Called by `driver-local` (files and configuration) and `control` (a running server).

pub mod admin;
pub mod attach;
pub mod backup_tool;
pub mod buffer_pool;
pub mod config;
pub mod encryption;
pub mod error;
pub mod error_log;
pub mod fresh;
pub mod history;
pub mod installation;
pub mod layout;
pub mod repair;
pub mod rights;
pub mod secret;
pub mod template;
pub mod tls;
pub mod version;

pub use admin::encryption::{Converted, Progress};
pub use admin::{Admin, AdminError, Rows};
pub use backup_tool::{BackupTool, NoBackupTool};
pub use encryption::{Keeper, KeeperConfig, KeyError, MasterSource, PlainRing};
pub use error::EngineError;
pub use history::History;
pub use installation::{Installation, Search, machine_memory};
pub use layout::Layout;
pub use secret::{Origin, Secret};
pub use template::{Owner, Template, give};
pub use version::{Family, Version};
