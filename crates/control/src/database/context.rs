//! Dependencies of database actors.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_types::Units;
use jiff::tz::TimeZone;

use crate::admission::Admission;
use crate::backups::state::Backups;
use crate::calendar::Calendar;
use crate::catalog::Catalog;
use crate::doors::Doors;
use crate::history::state::Histories;
use crate::instance::host::Host;
use crate::metering::Metering;
use crate::moves::counts::MoveCounter;
use crate::registry::Registry;
use crate::storage::Storage;
use crate::tasks::Tasks;

/// Dependencies of database actors, shared by all of them.
pub(crate) struct Context {
    pub(crate) host: Arc<Host>,
    pub(crate) doors: Arc<dyn Doors>,
    pub(crate) catalog: Catalog,
    pub(crate) registry: Arc<Registry>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metering: Arc<Metering>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) backups: Arc<Backups>,
    pub(crate) histories: Histories,
    pub(crate) moves: MoveCounter,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) data_dir: PathBuf,
    pub(crate) calendar: Calendar,
    pub(crate) time_zone: TimeZone,
    /// How long a server may stand still while its files are copied.
    pub(crate) frozen_at_most: Duration,
    /// Units that are free of charge past the spend limit.
    pub(crate) baseline: Units,
}
