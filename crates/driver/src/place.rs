//! Where the files of instances are, and which servers run on them.

use std::path::PathBuf;

use dormouse_types::{Bytes, Series};

/// Where the files of an instance are, and of which server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The data root in which they are. `None` for a new instance: that of the instance that is copied, or else the
    /// driver's first.
    pub root: Option<PathBuf>,
    /// The series of the server that runs on them. `None` for a new instance: that of the instance that is copied, or else
    /// the driver's first.
    pub series: Option<Series>,
}

/// What a driver has to offer for new instances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// Its data roots. New instances are made in the first, if nothing else is said; empty for a driver that has none.
    pub roots: Vec<Root>,
    /// Its servers. New instances are of the first, if nothing else is said; empty for a driver that cannot tell.
    pub servers: Vec<Server>,
}

/// A directory of instances, on a disk of its own or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The directory.
    pub dir: PathBuf,
    /// The disk that has it, or why nothing can be made or started there now.
    pub disk: Result<Disk, String>,
}

/// The disk of a data root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// What is free.
    pub free: Bytes,
    /// Its size, without what its file system reserves.
    pub size: Bytes,
}

/// A server that a driver can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its series.
    pub series: Series,
    /// The version that it gives in its greeting.
    pub greeting: String,
}

impl Offer {
    /// The server of this series; the first if none is named.
    #[must_use]
    pub fn server(&self, series: Option<Series>) -> Option<&Server> {
        match series {
            None => self.servers.first(),
            Some(series) => self.servers.iter().find(|server| server.series == series),
        }
    }
}
