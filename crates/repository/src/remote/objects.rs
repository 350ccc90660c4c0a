//! A repository in an object store, by OpenDAL.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use opendal::options::{ListOptions, ReadOptions, WriteOptions};
use opendal::{Buffer, ErrorKind, HttpTransporter, OperationContext, Operator};
use opendal_http_transport_reqwest::ReqwestTransport;
use reqwest::Client;

use super::Service;
use super::http::{explained, is_untrusted, one_line};
use crate::files::{CONFIG, Entry, FOLDERS, Fail, FailKind, Part};

/// The store.
pub(crate) struct Objects {
    operator: Operator,
    /// What must be there before: the bucket or container, in words.
    bucket: String,
}

impl Objects {
    /// Prepares the way to a store; nothing is sent yet.
    pub(crate) fn new(
        builder: impl opendal::Builder,
        client: Client,
        bucket: String,
    ) -> Result<Self, String> {
        let operator = Operator::new(builder).map_err(|error| one_line(error.message()))?;
        let transport = HttpTransporter::new(ReqwestTransport::new(client));
        let context = OperationContext::default().with_http_transport(transport);
        Ok(Self {
            operator: operator.with_context(context),
            bucket,
        })
    }

    /// What an error of OpenDAL means. Its own text has the URL and headers, which may have secrets.
    fn failed(&self, error: opendal::Error) -> Fail {
        let said = error.message();
        let told = quoted(said, "message: \"").or_else(|| quoted(said, "code: \""));
        let mut text = told.unwrap_or_else(|| without_urls(said));
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            let more = without_urls(&error.to_string());
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        let code = quoted(said, "code: \"").unwrap_or_default();
        let is = |words: &[&str]| {
            words
                .iter()
                .any(|word| said.contains(word) || code == *word)
        };
        let no_bucket = [
            "NoSuchBucket",
            "ContainerNotFound",
            "The specified bucket does not exist",
        ];
        let text = one_line(&text);
        if is(&no_bucket) {
            let text = format!("{} does not exist: create it first", self.bucket);
            return Fail::new(FailKind::Setup, text);
        }
        let full = [
            "QuotaExceeded",
            "InsufficientStorage",
            "XMinioStorageFull",
            "EntityTooLarge",
        ];
        let denied = [
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "AuthenticationFailed",
            "no valid credential",
            "failed to load credential",
            "credential",
        ];
        let kind = match error.kind() {
            _ if is(&full) => FailKind::Full,
            _ if is_untrusted(&text) => FailKind::Setup,
            ErrorKind::NotFound => FailKind::Gone,
            ErrorKind::PermissionDenied => FailKind::Denied,
            ErrorKind::RangeNotSatisfied => FailKind::Short,
            ErrorKind::ConfigInvalid => FailKind::Setup,
            _ if error.is_temporary() || error.kind() == ErrorKind::RateLimited => FailKind::Away,
            _ if is(&denied) => FailKind::Denied,
            _ => FailKind::Away,
        };
        let text = match (text.is_empty(), kind) {
            (true, FailKind::Denied) => "the credentials are wrong, or may not do this".to_owned(),
            (true, FailKind::Gone) => "it is not there".to_owned(),
            (true, _) => error.kind().to_string(),
            (false, _) => explained(text),
        };
        Fail::new(kind, text)
    }
}

/// The quoted text behind some words.
fn quoted(text: &str, words: &str) -> Option<String> {
    let (_, rest) = text.split_once(words)?;
    let (quoted, _) = rest.split_once('"')?;
    Some(quoted.to_owned()).filter(|quoted| !quoted.is_empty())
}

/// A text without what follows the path of a URL, such as the signature of a request.
fn without_urls(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('?') {
        Some((before, _)) if before.contains("://") => before,
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.bucket)
    }
}

impl Service for Objects {
    /// There are no folders to make: only the bucket must be there.
    async fn create(&self) -> Result<(), Fail> {
        self.list(FOLDERS[0]).await.map(drop)
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, Fail> {
        match self.operator.stat(path).await {
            Ok(meta) => Ok(Some(meta.content_length())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if path == CONFIG {
                    // A missing bucket has the same answer.
                    self.list("keys").await?;
                }
                Ok(None)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Fail> {
        let options = ListOptions {
            recursive: true,
            ..ListOptions::default()
        };
        let path = format!("{folder}/");
        let listed = self.operator.list_options(&path, options).await;
        let listed = listed.map_err(|error| self.failed(error))?;
        let files = listed.iter().filter(|entry| entry.metadata().is_file());
        Ok(files
            .map(|entry| Entry {
                name: entry.name().to_owned(),
                size: entry.metadata().content_length(),
                modified: entry.metadata().last_modified().map(SystemTime::from),
            })
            .collect())
    }

    async fn read(&self, path: &str, part: Option<Part>) -> Result<Bytes, Fail> {
        let mut options = ReadOptions::default();
        if let Some(Part { offset, length }) = part {
            options.range = (offset..offset + length).into();
        }
        let read = self.operator.read_options(path, options).await;
        read.map(|bytes| bytes.to_bytes())
            .map_err(|error| self.failed(error))
    }

    async fn write(&self, path: &str, content: &[Bytes]) -> Result<(), Fail> {
        let content = Buffer::from(content.to_vec());
        let options = WriteOptions {
            content_type: Some("application/octet-stream".to_owned()),
            ..WriteOptions::default()
        };
        let written = self.operator.write_options(path, content, options).await;
        written.map(drop).map_err(|error| self.failed(error))
    }

    async fn remove(&self, path: &str) -> Result<(), Fail> {
        match self.operator.delete(path).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed(error)),
            _ => Ok(()),
        }
    }
}
