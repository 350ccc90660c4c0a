//! Where a repository stands, as text in the configuration.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a repository stands. It is written as restic writes it, and never has a password or a key in it:
///
/// | text | place |
/// |---|---|
/// | `/srv/backups` or `local:/srv/backups` | a directory |
/// | `sftp:user@host:/path` or `sftp://user@host:2222//path` | a directory on another host |
/// | `s3:https://host/bucket/path` or `s3:host/bucket/path` | S3 and what speaks it |
/// | `gs:bucket:/path` | Google Cloud Storage |
/// | `azure:container:/path` | Azure Blob Storage |
/// | `rest:https://host:8000/path` | a REST server of restic's |
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Location {
    text: String,
    pub(crate) place: Place,
}

/// The parts of a location.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Local(PathBuf),
    Sftp(Host),
    S3 {
        /// With `https://` or `http://`.
        endpoint: String,
        bucket: String,
        root: String,
    },
    Gs {
        bucket: String,
        root: String,
    },
    Azure {
        container: String,
        root: String,
    },
    Rest {
        url: String,
        user: Option<String>,
    },
}

/// A directory on another host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// Without a slash in front: below the user's home.
    pub(crate) path: String,
}

/// Why a text names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// A path that depends on the working directory.
    #[error("'{0}' names no repository: write an absolute path, or one of {KINDS}")]
    Relative(String),
    /// A word before the colon that means nothing.
    #[error("'{0}:' is no kind of repository: use an absolute path, or one of {KINDS}")]
    Scheme(String),
    /// What stands after the colon is not of the form.
    #[error("'{text}' is not of the form {form}")]
    Form {
        /// The text.
        text: String,
        /// The forms of this kind.
        form: &'static str,
    },
    /// A password, which must not stand where others can read it.
    #[error(
        "the location of a repository must not have a password or a query in it: {0}, and write what is secret into a file \
         that credentials_file names, or into the environment"
    )]
    Secret(&'static str),
}

/// The kinds of places.
const KINDS: &str = "local:, sftp:, s3:, gs:, azure:, rest:";

const SFTP: &str = "'sftp:user@host:/path' or 'sftp://user@host:port//path'";
const S3: &str = "'s3:https://host/bucket/path' or 's3:host.domain/bucket/path'";
const GS: &str = "'gs:bucket:/path'";
const AZURE: &str = "'azure:container:/path'";
const REST: &str = "'rest:https://host:port/path' or 'rest:https://user@host:port/path'";

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        Ok(Self {
            place: place(text)?,
            text: text.to_owned(),
        })
    }
}

fn place(text: &str) -> Result<Place, InvalidLocation> {
    let relative = || InvalidLocation::Relative(text.to_owned());
    let local = |path: &str| match path.starts_with('/') {
        true => Ok(Place::Local(PathBuf::from(path))),
        false => Err(relative()),
    };
    if text.starts_with('/') {
        return local(text);
    }
    let (scheme, rest) = text.split_once(':').ok_or_else(relative)?;
    let wrong = |form| InvalidLocation::Form {
        text: text.to_owned(),
        form,
    };
    match scheme {
        "local" => local(rest),
        "sftp" => {
            no_password(rest, "log in with a key")?;
            sftp(rest).map(Place::Sftp).ok_or_else(|| wrong(SFTP))
        }
        "s3" => {
            no_secret(rest, "leave it out of the URL")?;
            s3(rest).ok_or_else(|| wrong(S3))
        }
        "gs" => {
            no_password(rest, "leave it out")?;
            let (bucket, root) = bucket(rest).ok_or_else(|| wrong(GS))?;
            Ok(Place::Gs { bucket, root })
        }
        "azure" => {
            no_password(rest, "leave it out")?;
            let (container, root) = bucket(rest).ok_or_else(|| wrong(AZURE))?;
            Ok(Place::Azure { container, root })
        }
        "rest" => {
            no_secret(
                rest,
                "leave it out of the URL, as in rest:https://user@host/path",
            )?;
            rest_server(rest).ok_or_else(|| wrong(REST))
        }
        _ => Err(InvalidLocation::Scheme(scheme.to_owned())),
    }
}

/// Refuses a URL with a password or a query.
fn no_secret(url: &str, advice: &'static str) -> Result<(), InvalidLocation> {
    match url.contains(['?', '#']) {
        true => Err(InvalidLocation::Secret(advice)),
        false => no_password(url, advice),
    }
}

/// Refuses a location with a password.
fn no_password(url: &str, advice: &'static str) -> Result<(), InvalidLocation> {
    let url = url.strip_prefix("//").unwrap_or(url);
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let password = authority
        .rsplit_once('@')
        .is_some_and(|(login, _)| login.contains(':'));
    match password {
        true => Err(InvalidLocation::Secret(advice)),
        false => Ok(()),
    }
}

fn bucket(rest: &str) -> Option<(String, String)> {
    let (bucket, root) = rest.split_once(":/")?;
    let plain = !bucket.is_empty() && !bucket.contains(['/', ':', '@', '?']);
    plain.then(|| (bucket.to_owned(), root.to_owned()))
}

fn s3(rest: &str) -> Option<Place> {
    let (protocol, rest) = match rest.split_once("://") {
        Some((protocol @ ("https" | "http"), rest)) => (protocol, rest),
        Some(_) => return None,
        // as restic: the host comes first
        None => ("https", rest.trim_start_matches('/')),
    };
    let (host, rest) = rest.split_once('/')?;
    let (bucket, root) = rest.split_once('/').unwrap_or((rest, ""));
    let is_host = !host.is_empty() && !host.contains('@') && host.contains(['.', ':']);
    (is_host && !bucket.is_empty()).then(|| Place::S3 {
        endpoint: format!("{protocol}://{host}"),
        bucket: bucket.to_owned(),
        root: root.trim_matches('/').to_owned(),
    })
}

fn rest_server(url: &str) -> Option<Place> {
    let (protocol, rest) = url.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let good = matches!(protocol, "https" | "http") && !host.is_empty() && user != Some("");
    good.then(|| Place::Rest {
        url: format!("{protocol}://{host}/{path}"),
        user: user.map(str::to_owned),
    })
}

fn sftp(rest: &str) -> Option<Host> {
    let (authority, port, path) = match rest.strip_prefix("//") {
        // as restic: one slash ends the host, a second one begins an absolute path
        Some(rest) => {
            let (authority, path) = rest.split_once('/')?;
            let bracket = authority.rfind(']').unwrap_or(0);
            match authority[bracket..].rfind(':') {
                Some(at) => {
                    let (authority, port) = authority.split_at(bracket + at);
                    (authority, Some(port[1..].parse().ok()?), path)
                }
                None => (authority, None, path),
            }
        }
        None => {
            let bracket = rest.find(']').unwrap_or(0);
            let at = bracket + rest[bracket..].find(':')?;
            (&rest[..at], None, &rest[at + 1..])
        }
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let plain = |text: &str| {
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '@';
        !text.is_empty() && !text.starts_with('-') && !text.contains(odd)
    };
    let good = plain(host) && user.is_none_or(|user| plain(user) && !user.contains(':'));
    (good && !path.is_empty()).then(|| Host {
        user: user.map(str::to_owned),
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    })
}

impl Location {
    /// The directory of a local repository.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Local(path) => Some(path.clone()),
            _ => None,
        }
    }
}

/// As it is written, without `local:`.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Local(path) => path.display().fmt(f),
            _ => f.write_str(&self.text),
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
