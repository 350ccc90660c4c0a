//! Why something about a repository failed: what happened, whose fault it is, and what to do.

use std::io;
use std::path::PathBuf;

use rustic_core::{ErrorKind, RusticError};

use crate::files::{Fail, FailKind};

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller asked for something that cannot be.
    Request,
    /// The configuration: location, key or rights.
    Configuration,
    /// The place where the repository stands: unreachable, full, locked.
    Place,
    /// The repository's contents.
    Contents,
    /// This machine's files: what was to be stored, or where it was to be restored.
    Files,
    /// Dormouse.
    Dormouse,
}

/// Why an operation failed. Each text says what happened and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting or an option of the location is wrong.
    #[error(
        "the repository '{location}' cannot be used: {cause}; correct the location or its options"
    )]
    Setting {
        /// The location.
        location: String,
        /// What is wrong.
        cause: String,
    },
    /// The key is empty.
    #[error(
        "the key of the repository '{location}' is empty; check the file, variable or command that gives it"
    )]
    EmptyKey {
        /// The location.
        location: String,
    },
    /// There is no repository.
    #[error(
        "no repository stands at '{location}'; check the location and that it is mounted, or create one with `dormouse backup init`"
    )]
    NotThere {
        /// The location.
        location: String,
    },
    /// There is one already.
    #[error(
        "a repository stands at '{location}' already, nothing was changed; use it, or choose an empty place"
    )]
    AlreadyThere {
        /// The location.
        location: String,
    },
    /// The key opens nothing.
    #[error(
        "the key does not open the repository '{location}'; give the key it was created with, or one added since"
    )]
    WrongKey {
        /// The location.
        location: String,
    },
    /// Another program holds a lock.
    #[error(
        "the repository '{location}' is locked by {holder} since {since}; wait for it to end, or run `restic unlock` if it has ended without removing its lock (after 30 minutes without a sign of life the lock is ignored)"
    )]
    Locked {
        /// The location.
        location: String,
        /// Who holds it.
        holder: String,
        /// Since when.
        since: String,
    },
    /// The place does not answer, or fails.
    #[error(
        "the repository '{location}' cannot be reached while {doing}: {cause}; check the network, the disk and the service, then try again"
    )]
    Unreachable {
        /// The location.
        location: String,
        /// What was done.
        doing: String,
        /// What failed.
        cause: String,
    },
    /// The place refuses.
    #[error(
        "access to the repository '{location}' was refused while {doing}: {cause}; check the owner, rights and credentials"
    )]
    Denied {
        /// The location.
        location: String,
        /// What was done.
        doing: String,
        /// What was said.
        cause: String,
    },
    /// The place is full.
    #[error(
        "the repository '{location}' has no space left, nothing that stands in it was lost; free space there (forget and prune old backups), then try again"
    )]
    Full {
        /// The location.
        location: String,
    },
    /// Something in the repository is missing, truncated or altered.
    #[error(
        "the repository '{location}' is damaged: {cause}; run `dormouse backup verify`, repair it with `restic repair`, and make new backups into a new repository"
    )]
    Damaged {
        /// The location.
        location: String,
        /// What is damaged.
        cause: String,
    },
    /// A file to store cannot be read.
    #[error("'{path}' cannot be read, so nothing was stored: {cause}", path = .path.display())]
    Source {
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        cause: io::Error,
    },
    /// A file to store was changed meanwhile.
    #[error("'{path}' changed while it was stored, so no backup was made; store a copy that nothing writes to", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The directory to restore into has contents.
    #[error("'{path}' is not empty, so nothing was restored; give a directory that is empty or does not exist", path = .path.display())]
    TargetNotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// A restored file cannot be written.
    #[error("'{path}' cannot be restored: {cause}; the directory has incomplete files, remove it", path = .path.display())]
    Target {
        /// The file or directory.
        path: PathBuf,
        /// What failed.
        cause: io::Error,
    },
    /// There is no such backup.
    #[error("the repository '{location}' has no backup {id}; list what it has")]
    NoBackup {
        /// The location.
        location: String,
        /// The id asked for.
        id: String,
    },
    /// The backup has no such part.
    #[error("backup {id} has no '{path}'")]
    NoPart {
        /// The backup.
        id: String,
        /// What was asked for.
        path: String,
    },
    /// A document has a name that is none, or two have the same.
    #[error("'{0}' cannot be a document's name: use a file name without '/', and each once")]
    DocumentName(String),
    /// There is no such key.
    #[error("the repository '{location}' has no key {id}; list its keys")]
    NoKey {
        /// The location.
        location: String,
        /// The id asked for.
        id: String,
    },
    /// The key in use cannot be removed.
    #[error("key {id} opened the repository and cannot be removed; open it with another key first")]
    KeyInUse {
        /// The key.
        id: String,
    },
    /// The caller ended it.
    #[error("cancelled")]
    Cancelled,
    /// `rustic_core` failed in a way that has no name here.
    #[error(
        "the repository '{location}' failed: {cause}; this is a fault of Dormouse or of its library, please report it"
    )]
    Tool {
        /// The location.
        location: String,
        /// What it said.
        cause: String,
    },
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::Setting { .. }
            | Self::EmptyKey { .. }
            | Self::NotThere { .. }
            | Self::WrongKey { .. }
            | Self::Denied { .. } => Fault::Configuration,
            Self::Locked { .. } | Self::Unreachable { .. } | Self::Full { .. } => Fault::Place,
            Self::Damaged { .. } => Fault::Contents,
            Self::Source { .. }
            | Self::Changed { .. }
            | Self::TargetNotEmpty { .. }
            | Self::Target { .. } => Fault::Files,
            Self::AlreadyThere { .. }
            | Self::NoBackup { .. }
            | Self::NoPart { .. }
            | Self::DocumentName(_)
            | Self::NoKey { .. }
            | Self::KeyInUse { .. }
            | Self::Cancelled => Fault::Request,
            Self::Tool { .. } => Fault::Dormouse,
        }
    }

    /// Whether the same call may succeed later with nothing changed.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Locked { .. } | Self::Unreachable { .. } | Self::Full { .. }
        )
    }
}

/// What went wrong first below `rustic_core`, which keeps some errors to itself.
#[derive(Debug)]
pub(crate) enum Failure {
    Cancelled,
    Source {
        path: PathBuf,
        cause: io::Error,
    },
    Changed {
        path: PathBuf,
    },
    Place {
        doing: String,
        reading: bool,
        fail: Fail,
    },
}

impl Failure {
    pub(crate) fn place(doing: String, reading: bool, fail: Fail) -> Self {
        match fail.kind {
            FailKind::Cancelled => Self::Cancelled,
            _ => Self::Place {
                doing,
                reading,
                fail,
            },
        }
    }

    pub(crate) fn into_error(self, location: &str) -> Error {
        let location = location.to_owned();
        match self {
            Self::Cancelled => Error::Cancelled,
            Self::Source { path, cause } => Error::Source { path, cause },
            Self::Changed { path } => Error::Changed { path },
            Self::Place {
                doing,
                reading,
                fail: Fail { kind, text: cause },
            } => match kind {
                FailKind::Full => Error::Full { location },
                FailKind::Denied => Error::Denied {
                    location,
                    doing,
                    cause,
                },
                FailKind::Setup => Error::Setting { location, cause },
                FailKind::Gone | FailKind::Short if reading => Error::Damaged {
                    location,
                    cause: format!("{doing}: {cause}"),
                },
                FailKind::Gone => Error::NotThere { location },
                FailKind::Short | FailKind::Away | FailKind::Broken | FailKind::Cancelled => {
                    Error::Unreachable {
                        location,
                        doing,
                        cause,
                    }
                }
            },
        }
    }
}

/// An error of `rustic_core` that no failure below explains.
pub(crate) fn of_rustic(location: &str, error: &RusticError) -> Error {
    let location = location.to_owned();
    if error.is_incorrect_password() {
        return Error::WrongKey { location };
    }
    let cause = told(error);
    let kinds = [
        ErrorKind::Cryptography,
        ErrorKind::Verification,
        ErrorKind::Key,
    ];
    let whole = error.to_string();
    let first_line = whole.lines().next().unwrap_or_default();
    if damaged(&cause)
        || kinds
            .iter()
            .any(|kind| first_line.contains(&format!("`{kind}`")))
    {
        Error::Damaged { location, cause }
    } else {
        Error::Tool { location, cause }
    }
}

/// Whether a text of `rustic_core` speaks of contents that do not belong together; it has no kind for that.
fn damaged(text: &str) -> bool {
    let words = [
        "not found in index",
        "decrypt",
        "decompress",
        "deserializ",
        "mac check",
        "hash mismatch",
        "pack header",
    ];
    let text = text.to_ascii_lowercase();
    words.iter().any(|word| text.contains(word))
}

/// What a panic inside `rustic_core` means.
pub(crate) fn of_panic(location: &str, panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a text");
    let (location, cause) = (location.to_owned(), one_line(text));
    if damaged(&cause) {
        Error::Damaged { location, cause }
    } else {
        Error::Tool { location, cause }
    }
}

/// The message of an error of `rustic_core` without its decorations, and its causes, on one line.
fn told(error: &RusticError) -> String {
    let whole = error.to_string();
    let message = whole
        .split_once("Message:")
        .map_or(whole.as_str(), |(_, rest)| rest);
    let message = message.split("\n\n").next().unwrap_or(message);
    let mut text = one_line(message);
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&one_line(&error.to_string()));
        cause = error.source();
    }
    text
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
