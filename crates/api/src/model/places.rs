//! Where databases can be, and of which servers.

use std::path::PathBuf;

use dormouse_types::Bytes;
use serde::{Deserialize, Serialize};

/// A directory in which databases are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRoot {
    /// The directory.
    pub dir: PathBuf,
    /// Free space of its disk; `None` if it cannot be used.
    pub free: Option<Bytes>,
    /// Size of its disk; `None` if it cannot be used.
    pub size: Option<Bytes>,
    /// Why it cannot be used, if so: its databases cannot be started.
    pub trouble: Option<String>,
}
