//! The machine's side: the server program, its template, and the driver that runs instances.

use std::path::Path;
use std::sync::Arc;

use dormouse_api::ErrorBody;
use dormouse_control::Servers;
use dormouse_driver::Driver;
use dormouse_engine::{EngineError, Installation, Search, Secret, Template};

use crate::Outcome;
use crate::config::{CgroupMode, Config};

/// What the plane and the data path need of it.
pub(super) struct Machine {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) servers: Arc<dyn Servers>,
    pub(super) secret: Secret,
    /// The server's version, in words.
    pub(super) engine: String,
    /// What the machine lets the driver do, in words.
    pub(super) capabilities: String,
    pub(super) warnings: Vec<String>,
}
