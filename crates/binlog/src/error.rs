//! Why a log cannot be read.

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the binary log {file} cannot be read at position {position}: {wrong}")]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// Position of the event.
    pub position: u64,
    /// What is wrong.
    pub wrong: Wrong,
}

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Not a binary log.
    #[error("it does not begin as a binary log does")]
    NoLog,
    /// An event is not what its header or its checksum says.
    #[error(
        "{0}; the file was damaged: restore it from another backup, or restore to a time before this place"
    )]
    Damaged(&'static str),
    /// A kind of log that this version does not read.
    #[error("{0}, which this version of Dormouse does not read")]
    Unknown(&'static str),
    /// The key is missing.
    #[error("it is encrypted with version {0} of the database's key, which is not among its keys")]
    NoKey(u32),
    /// The reader failed.
    #[error("{0}")]
    Io(String),
}
