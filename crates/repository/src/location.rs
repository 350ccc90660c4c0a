//! Where a repository stands, as text in the configuration.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a repository stands. It is written as restic writes it:
///
/// | text | place |
/// |---|---|
/// | `/srv/backups` or `local:/srv/backups` | a directory |
/// | `rest:https://user:password@host:8000/path` | a REST server of restic's |
/// | `s3:https://host/bucket/path` or `s3:bucket/path` | S3 and what speaks it |
/// | `gs:bucket:/path` | Google Cloud Storage |
/// | `azblob:container:/path` | Azure Blob Storage |
/// | `sftp:user@host:/path` | a directory on another host |
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Location {
    pub(crate) scheme: Scheme,
    pub(crate) rest: String,
}

/// The kinds of places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A directory of this machine.
    Local,
    /// A REST server of restic's.
    Rest,
    /// S3 and what speaks it.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Azblob,
    /// A directory on another host, by SFTP.
    Sftp,
}

impl Scheme {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Local,
        Self::Rest,
        Self::S3,
        Self::Gs,
        Self::Azblob,
        Self::Sftp,
    ];

    /// The word before the colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Rest => "rest",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Azblob => "azblob",
            Self::Sftp => "sftp",
        }
    }

    /// The feature of this crate that brings it; `None` if it is always there.
    #[must_use]
    pub const fn feature(self) -> Option<&'static str> {
        match self {
            Self::Local => None,
            Self::Rest => Some("rest"),
            Self::S3 | Self::Gs | Self::Azblob | Self::Sftp => Some("remote"),
        }
    }

    /// Whether this program can use it.
    #[must_use]
    pub const fn built_in(self) -> bool {
        match self {
            Self::Local => true,
            Self::Rest => cfg!(feature = "rest"),
            Self::S3 | Self::Gs | Self::Azblob | Self::Sftp => cfg!(feature = "remote"),
        }
    }
}

/// Why a text names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// A path that depends on the working directory.
    #[error(
        "'{0}' names no repository: write an absolute path, or one of local:, rest:, s3:, gs:, azblob:, sftp:"
    )]
    Relative(String),
    /// A word before the colon that means nothing.
    #[error(
        "'{0}:' is no kind of repository: use an absolute path, local:, rest:, s3:, gs:, azblob: or sftp:"
    )]
    Scheme(String),
    /// Nothing after the colon.
    #[error("'{0}:' says no place: write it after the colon")]
    Empty(&'static str),
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        if text.starts_with('/') {
            return Ok(Self {
                scheme: Scheme::Local,
                rest: text.to_owned(),
            });
        }
        let (word, rest) = text
            .split_once(':')
            .ok_or_else(|| InvalidLocation::Relative(text.to_owned()))?;
        let scheme = Scheme::ALL
            .into_iter()
            .find(|scheme| scheme.as_str() == word);
        let scheme = scheme.ok_or_else(|| InvalidLocation::Scheme(word.to_owned()))?;
        if rest.is_empty() {
            return Err(InvalidLocation::Empty(scheme.as_str()));
        }
        if scheme == Scheme::Local && !rest.starts_with('/') {
            return Err(InvalidLocation::Relative(rest.to_owned()));
        }
        Ok(Self {
            scheme,
            rest: rest.to_owned(),
        })
    }
}

impl Location {
    /// The kind of place.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The directory of a local repository.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        (self.scheme == Scheme::Local).then(|| PathBuf::from(&self.rest))
    }

    /// The place without a password that may stand in it.
    fn shown(&self) -> String {
        let Some((before, after)) = self.rest.split_once("://") else {
            return self.rest.clone();
        };
        let (authority, path) = after.split_once('/').unwrap_or((after, ""));
        match authority
            .rsplit_once('@')
            .and_then(|(login, host)| Some((login.split_once(':')?.0, host)))
        {
            Some((user, host)) => format!("{before}://{user}:…@{host}/{path}"),
            None => self.rest.clone(),
        }
    }
}

/// As it is written, but for a password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.scheme {
            Scheme::Local => f.write_str(&self.rest),
            scheme => write!(f, "{}:{}", scheme.as_str(), self.shown()),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests;
