//! A repository on a REST server of restic's, or on `rclone serve restic`.

use std::fmt;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, RANGE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Service;
use super::http::{failed, of_status};
use crate::files::{CONFIG, Entry, Fail, FailKind, Part};

/// The form of lists that has lengths.
const LISTS: &str = "application/vnd.x.restic.rest.v2";

/// The server.
pub(crate) struct Rest {
    client: Client,
    /// Ends with a slash.
    base: String,
    login: Option<(String, Zeroizing<String>)>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    size: u64,
}

impl Rest {
    pub(crate) fn new(
        client: Client,
        url: &str,
        login: Option<(String, Zeroizing<String>)>,
    ) -> Self {
        Self {
            client,
            base: format!("{}/", url.trim_end_matches('/')),
            login,
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        // The server sorts data files into folders by itself.
        let path = match path.split('/').collect::<Vec<_>>().as_slice() {
            ["data", _, name] => format!("data/{name}"),
            _ => path.to_owned(),
        };
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.login {
            Some((user, password)) => request.basic_auth(user, Some(password.as_str())),
            None => request,
        }
    }

    async fn send(request: RequestBuilder) -> Result<Response, Fail> {
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(of_status(status, &text))
    }
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// A success, also if there was nothing.
fn or_gone<T>(done: Result<T, Fail>) -> Result<Option<T>, Fail> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(fail) if fail.kind == FailKind::Gone => Ok(None),
        Err(fail) => Err(fail),
    }
}

impl Service for Rest {
    async fn create(&self) -> Result<(), Fail> {
        Self::send(self.request(Method::POST, "?create=true"))
            .await
            .map(drop)
    }

    async fn length(&self, path: &str) -> Result<Option<u64>, Fail> {
        let head = or_gone(Self::send(self.request(Method::HEAD, path)).await)?;
        let Some(head) = head else { return Ok(None) };
        let length = head.headers().get(reqwest::header::CONTENT_LENGTH);
        let length = length
            .and_then(|text| text.to_str().ok())
            .and_then(|text| text.parse().ok());
        length.map(Some).ok_or_else(|| {
            let text = format!("it does not tell the length of '{path}'");
            Fail::new(FailKind::Broken, text)
        })
    }

    async fn list(&self, folder: &str) -> Result<Vec<Entry>, Fail> {
        let request = self
            .request(Method::GET, &format!("{folder}/"))
            .header(ACCEPT, LISTS);
        let response = request.send().await.map_err(failed)?;
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|text| text.to_str().ok())
        };
        let is_rclone = header(reqwest::header::SERVER).is_some_and(|by| by.starts_with("rclone/"));
        // It has no folders without files.
        if status == StatusCode::NOT_FOUND && is_rclone {
            return Ok(Vec::new());
        }
        let has_lengths = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with(LISTS));
        let body = response.bytes().await.map_err(failed)?;
        if !status.is_success() {
            return Err(of_status(status, &String::from_utf8_lossy(&body)));
        }
        if !has_lengths {
            let text = "it is no REST server of restic's, or one from before version 0.9.7";
            return Err(Fail::new(FailKind::Setup, text));
        }
        // The server says null when there is none.
        let listed: Option<Vec<Listed>> = serde_json::from_slice(&body).map_err(|error| {
            let text = format!("its list of '{folder}' cannot be read: {error}");
            Fail::new(FailKind::Broken, text)
        })?;
        let listed = listed.unwrap_or_default().into_iter();
        Ok(listed
            .map(|Listed { name, size }| Entry {
                name,
                size,
                modified: None,
            })
            .collect())
    }

    async fn read(&self, path: &str, part: Option<Part>) -> Result<Bytes, Fail> {
        let mut request = self.request(Method::GET, path);
        if let Some(Part { offset, length }) = part {
            if length == 0 {
                return Ok(Bytes::new());
            }
            request = request.header(RANGE, format!("bytes={offset}-{}", offset + length - 1));
        }
        let response = Self::send(request).await?;
        if part.is_some() && response.status() != StatusCode::PARTIAL_CONTENT {
            let text = "it sends whole files instead of parts";
            return Err(Fail::new(FailKind::Broken, text));
        }
        response.bytes().await.map_err(failed)
    }

    async fn write(&self, path: &str, content: &[Bytes]) -> Result<(), Fail> {
        let request = self.request(Method::POST, path).body(content.concat());
        match Self::send(request).await {
            // Written by an attempt whose answer was lost: names say what is in a file.
            Err(fail) if path != CONFIG && fail.text.contains("403") => {
                match self.length(path).await {
                    Ok(Some(length)) if length == super::size(content) => Ok(()),
                    _ => Err(fail),
                }
            }
            done => done.map(drop),
        }
    }

    async fn remove(&self, path: &str) -> Result<(), Fail> {
        or_gone(Self::send(self.request(Method::DELETE, path)).await).map(drop)
    }
}
