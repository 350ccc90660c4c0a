//! A repository in an object store or on another host by SFTP, by OpenDAL.
//!
//! `rustic_backend` has OpenDAL too, with all services that it knows. This has four, and takes a list that it cannot
//! read whole for an error and not for a short one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use opendal::blocking::Operator;
use opendal::layers::{RetryLayer, TimeoutLayer};
use opendal::options::{ListOptions, ReadOptions};
use rustic_core::{
    ALL_FILE_TYPES, BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult,
    WriteBackend,
};
use tokio::runtime::Runtime;

use crate::location::Scheme;

/// The place.
pub(crate) struct Remote {
    operator: Operator,
    shown: String,
}

/// How often a request is tried again.
const RETRIES: usize = 5;

/// How long one request may take; data files have 32 MiB and more.
const TIMEOUT: Duration = Duration::from_secs(300);

fn runtime() -> Result<&'static Runtime, String> {
    static RUNTIME: OnceLock<io::Result<Runtime>> = OnceLock::new();
    let made = RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(2)
            .thread_name("repository")
            .enable_all()
            .build()
    });
    made.as_ref()
        .map_err(|error| format!("its threads cannot be started: {error}"))
}

/// The service of OpenDAL and the options that a location stands for.
pub(crate) fn service(
    scheme: Scheme,
    place: &str,
) -> Result<(&'static str, BTreeMap<String, String>), String> {
    let wrong = |form: &str| format!("'{place}' is not of the form {form}");
    let split = |form: &str| {
        place
            .split_once(":/")
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| wrong(form))
    };
    let pairs: Vec<(&str, String)> = match scheme {
        Scheme::S3 => {
            let form = "'https://host/bucket/path' or 'bucket/path'";
            let (endpoint, rest) = match place.split_once("://") {
                None => (None, place),
                Some((protocol, rest)) => {
                    let (host, rest) = rest.split_once('/').ok_or_else(|| wrong(form))?;
                    (Some(format!("{protocol}://{host}")), rest)
                }
            };
            let (bucket, root) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(wrong(form));
            }
            let mut pairs = vec![("bucket", bucket.to_owned()), ("root", root.to_owned())];
            pairs.extend(endpoint.map(|endpoint| ("endpoint", endpoint)));
            pairs
        }
        Scheme::Gs => {
            let (bucket, root) = split("'bucket:/path'")?;
            vec![("bucket", bucket.to_owned()), ("root", root.to_owned())]
        }
        Scheme::Azblob => {
            let (container, root) = split("'container:/path'")?;
            vec![
                ("container", container.to_owned()),
                ("root", root.to_owned()),
            ]
        }
        Scheme::Sftp => {
            let (host, path) = split("'user@host:/path'")?;
            vec![
                ("endpoint", format!("ssh://{host}")),
                ("root", format!("/{path}")),
            ]
        }
        Scheme::Local | Scheme::Rest => return Err("it is no service of OpenDAL".to_owned()),
    };
    let service = match scheme {
        Scheme::Gs => "gcs",
        other => other.as_str(),
    };
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Ok((service, pairs.collect()))
}

impl Remote {
    /// Prepares the way to a place; nothing is sent yet.
    pub(crate) fn open(
        scheme: Scheme,
        place: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let (service, mut all) = service(scheme, place)?;
        all.extend(options.clone());
        if let (Scheme::Azblob, Some(account)) = (scheme, all.get("account_name")) {
            let endpoint = format!("https://{account}.blob.core.windows.net");
            all.entry("endpoint".to_owned()).or_insert(endpoint);
        }
        let made = opendal::Operator::via_iter(service, all).map_err(|error| error.to_string())?;
        Self::over(made, format!("{}:{place}", scheme.as_str()))
    }

    fn over(operator: opendal::Operator, shown: String) -> Result<Self, String> {
        let operator = operator
            .layer(
                TimeoutLayer::new()
                    .with_timeout(TIMEOUT)
                    .with_io_timeout(TIMEOUT),
            )
            .layer(RetryLayer::new().with_max_times(RETRIES).with_jitter());
        let _entered = runtime()?.enter();
        let operator = Operator::new(operator).map_err(|error| error.to_string())?;
        Ok(Self { operator, shown })
    }

    fn listed(&self, kind: FileType) -> Result<Vec<(Id, u32)>, opendal::Error> {
        let length =
            |meta: &opendal::Metadata| u32::try_from(meta.content_length()).unwrap_or(u32::MAX);
        if kind == FileType::Config {
            return match self.operator.stat("config") {
                Ok(meta) => Ok(vec![(Id::default(), length(&meta))]),
                Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(Vec::new()),
                Err(error) => Err(error),
            };
        }
        let options = ListOptions {
            recursive: true,
            ..ListOptions::default()
        };
        let mut found = Vec::new();
        for entry in self
            .operator
            .lister_options(&format!("{}/", kind.dirname()), options)?
        {
            let entry = entry?;
            if let (true, Ok(id)) = (entry.metadata().is_file(), entry.name().parse()) {
                found.push((id, length(entry.metadata())));
            }
        }
        Ok(found)
    }
}

fn path(kind: FileType, id: &Id) -> String {
    let hex = id.to_hex();
    match kind {
        FileType::Config => "config".to_owned(),
        FileType::Pack => format!(
            "data/{}/{}",
            hex.as_str().get(..2).unwrap_or("00"),
            hex.as_str()
        ),
        _ => format!("{}/{}", kind.dirname(), hex.as_str()),
    }
}

/// An error with the kind that the guard looks for.
fn failed(what: &str, path: &str, error: opendal::Error) -> Box<RusticError> {
    let kind = match error.kind() {
        opendal::ErrorKind::NotFound => io::ErrorKind::NotFound,
        opendal::ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
        opendal::ErrorKind::RangeNotSatisfied => io::ErrorKind::UnexpectedEof,
        _ => io::ErrorKind::Other,
    };
    RusticError::with_source(
        ErrorKind::Backend,
        format!("'{path}' cannot be {what}"),
        io::Error::new(kind, error.to_string()),
    )
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.shown)
    }
}

impl ReadBackend for Remote {
    fn location(&self) -> String {
        self.shown.clone()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.listed(kind)
            .map_err(|error| failed("listed", kind.dirname(), error))
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        let path = path(kind, id);
        let read = self
            .operator
            .read(&path)
            .map_err(|error| failed("read", &path, error))?;
        Ok(read.to_bytes())
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        let path = path(kind, id);
        let range = u64::from(offset)..u64::from(offset) + u64::from(length);
        let options = ReadOptions {
            range: range.into(),
            ..ReadOptions::default()
        };
        let read = self
            .operator
            .read_options(&path, options)
            .map_err(|error| failed("read", &path, error))?;
        let bytes = read.to_bytes();
        if bytes.len() as u64 == u64::from(length) {
            Ok(bytes)
        } else {
            let short = io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it was");
            Err(RusticError::with_source(
                ErrorKind::Backend,
                format!("'{path}' cannot be read"),
                short,
            ))
        }
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        path(kind, id)
    }
}

impl WriteBackend for Remote {
    fn create(&self) -> RusticResult<()> {
        for kind in ALL_FILE_TYPES {
            let path = format!("{}/", kind.dirname());
            self.operator
                .create_dir(&path)
                .map_err(|error| failed("created", &path, error))?;
        }
        Ok(())
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _cacheable: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        let path = path(kind, id);
        match self.operator.write(&path, content.into_vec()) {
            Ok(_) => Ok(()),
            Err(error) => Err(failed("written", &path, error)),
        }
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        let path = path(kind, id);
        self.operator
            .delete(&path)
            .map_err(|error| failed("removed", &path, error))
    }
}

#[cfg(test)]
mod tests;
