//! Options that say where a database is made, and by which server.

use std::path::PathBuf;

use clap::Args;
use dormouse_types::Series;

/// Where a database is made, and by which server.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// Data directory in which it is made: one of data_dirs of the configuration, or DATA_DIR; without it, the one
    /// with the most room
    #[arg(long = "in", value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,

    /// Version of its server, as in 11.8: that of the section engine, which is the default, or one of the section servers of the
    /// configuration
    #[arg(long = "version", value_name = "VERSION")]
    pub(crate) series: Option<Series>,
}
