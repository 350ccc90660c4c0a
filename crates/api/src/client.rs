//! The API's client, one request per connection.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dormouse_types::{DatabaseName, Delay, PoolStatus, SessionStatus};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Envelope, ErrorBody};
use crate::model::{
    BranchRequest, Branched, By, CreateRequest, Created, Database, Event, EventQuery, KeyList,
    MasterKeyRotated, MoveDone, MoveRequest, NewToken, RotateRequest, ServerStatus, SettingsPatch,
    Token, TokenId, TokenRequest, UsageQuery, UsageReport, WakesReport,
};
use crate::routes::ORDER_DEADLINE;
use target::{Stream, Target};

mod backups;
mod failure;
mod target;

pub use failure::ClientError;

mod transfers;
mod users;

/// Maximum size of a response, and of a line of a stream, in bytes.
const MAX_ANSWER: usize = 256 << 20;
const MAX_LINE: usize = 1 << 20;

/// Client for one `dormouse up`.
#[derive(Clone)]
pub struct Client {
    target: Target,
    /// The header with its token.
    token: Option<HeaderValue>,
}

impl fmt::Debug for Client {
    /// Omits the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

type Answer<T> = Result<T, ClientError>;

impl Client {
    /// A client for the API's socket; does not connect yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            target: Target::Socket(socket.to_owned()),
            token: None,
        }
    }

    /// A client for `https://HOST:PORT`; does not connect yet. The server's certificate must be signed by an
    /// authority in this file, or else by one that the system trusts.
    ///
    /// # Errors
    /// If the URL or the file cannot be used.
    pub fn over_tls(url: &str, authorities: Option<&Path>) -> Result<Self, ErrorBody> {
        Ok(Self {
            target: Target::tls(url, authorities)?,
            token: None,
        })
    }

    /// The same client with a token, which every request has.
    ///
    /// # Errors
    /// If the text cannot be one.
    pub fn with_token(mut self, token: &str) -> Result<Self, ErrorBody> {
        let unfit = |_| ErrorBody::new("invalid", "the token has characters that no token has");
        let mut header = HeaderValue::try_from(format!("Bearer {token}")).map_err(unfit)?;
        header.set_sensitive(true);
        self.token = Some(header);
        Ok(self)
    }

    /// `GET /v1/status`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Answer<ServerStatus> {
        self.json(Method::GET, "/v1/status", None).await
    }

    /// `GET /v1/databases`, sorted by name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn databases(&self) -> Answer<Vec<Database>> {
        self.json(Method::GET, "/v1/databases", None).await
    }

    /// `GET /v1/databases/NAME`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn database(&self, name: &DatabaseName) -> Answer<Database> {
        self.json(Method::GET, &format!("/v1/databases/{name}"), None)
            .await
    }

    /// `GET /v1/databases/NAME/sessions`, sorted by id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn sessions(&self, name: &DatabaseName) -> Answer<Vec<SessionStatus>> {
        self.json(Method::GET, &format!("/v1/databases/{name}/sessions"), None)
            .await
    }

    /// `GET /v1/databases/NAME/pool`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pool(&self, name: &DatabaseName) -> Answer<PoolStatus> {
        self.json(Method::GET, &format!("/v1/databases/{name}/pool"), None)
            .await
    }

    /// `GET /v1/usage`, or `GET /v1/databases/NAME/usage`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn usage(
        &self,
        name: Option<&DatabaseName>,
        query: UsageQuery,
    ) -> Answer<UsageReport> {
        let by = match query.by {
            By::Month => "month",
            By::Day => "day",
            By::Minute => "minute",
        };
        let mut path = match name {
            Some(name) => format!("/v1/databases/{name}/usage?by={by}"),
            None => format!("/v1/usage?by={by}"),
        };
        if let Some(month) = query.month {
            path.push_str(&format!("&month={month}"));
        }
        self.json(Method::GET, &path, None).await
    }

    /// `GET /v1/databases/NAME/wakes`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn wakes(&self, name: &DatabaseName, since: Delay) -> Answer<WakesReport> {
        let path = format!("/v1/databases/{name}/wakes?since={since}");
        self.json(Method::GET, &path, None).await
    }

    /// `GET /metrics`: text for Prometheus.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn metrics(&self) -> Answer<String> {
        let bytes = self.bytes(Method::GET, "/metrics", None).await?;
        String::from_utf8(bytes.into()).map_err(|e| self.broken(e))
    }

    /// `POST /v1/databases`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn create(&self, request: &CreateRequest) -> Answer<Created> {
        let body = self.encode(request)?;
        self.json(Method::POST, "/v1/databases", Some(body)).await
    }

    /// `POST /v1/databases/NAME/branches`: returns when the branch is awake.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn branch(&self, parent: &DatabaseName, request: &BranchRequest) -> Answer<Branched> {
        let (path, body) = (
            format!("/v1/databases/{parent}/branches"),
            self.encode(request)?,
        );
        self.json_in_the_end(Method::POST, &path, Some(body)).await
    }

    /// `POST /v1/databases/NAME/reset`: returns when the branch is awake.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn reset(&self, name: &DatabaseName) -> Answer<Branched> {
        let path = format!("/v1/databases/{name}/reset");
        self.json(Method::POST, &path, None).await
    }

    /// `POST /v1/databases/NAME/move`: returns when the database has moved.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn relocate(&self, name: &DatabaseName, request: &MoveRequest) -> Answer<MoveDone> {
        let (path, body) = (format!("/v1/databases/{name}/move"), self.encode(request)?);
        self.json_in_the_end(Method::POST, &path, Some(body)).await
    }

    /// `DELETE /v1/databases/NAME/move`: cancels a move.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cancel_move(&self, name: &DatabaseName) -> Answer<()> {
        let path = format!("/v1/databases/{name}/move");
        self.bytes(Method::DELETE, &path, None).await.map(drop)
    }

    /// `PATCH /v1/databases/NAME`: changes settings.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn set(&self, name: &DatabaseName, settings: &SettingsPatch) -> Answer<Database> {
        let body = self.encode(settings)?;
        self.json(Method::PATCH, &format!("/v1/databases/{name}"), Some(body))
            .await
    }

    /// `POST /v1/databases/NAME/wake`: returns when it is awake.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn wake(&self, name: &DatabaseName) -> Answer<Database> {
        self.json(Method::POST, &format!("/v1/databases/{name}/wake"), None)
            .await
    }

    /// `POST /v1/databases/NAME/suspend`: returns when it is suspended.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn suspend(&self, name: &DatabaseName) -> Answer<Database> {
        self.json(Method::POST, &format!("/v1/databases/{name}/suspend"), None)
            .await
    }

    /// `POST /v1/databases/NAME/park`: returns when it is parked.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn park(&self, name: &DatabaseName) -> Answer<Database> {
        self.json(Method::POST, &format!("/v1/databases/{name}/park"), None)
            .await
    }

    /// `POST /v1/databases/NAME/park?force=true`: parks although rows of MEMORY tables are lost.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn park_and_lose(&self, name: &DatabaseName) -> Answer<Database> {
        let path = format!("/v1/databases/{name}/park?force=true");
        self.json(Method::POST, &path, None).await
    }

    /// `GET /v1/keys`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn keys(&self) -> Answer<KeyList> {
        self.json(Method::GET, "/v1/keys", None).await
    }

    /// `POST /v1/keys/rotate-master`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_master_key(&self) -> Answer<MasterKeyRotated> {
        self.json(Method::POST, "/v1/keys/rotate-master", None)
            .await
    }

    /// `POST /v1/databases/NAME/rotate-key`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_key(&self, name: &DatabaseName) -> Answer<Database> {
        let path = format!("/v1/databases/{name}/rotate-key");
        self.json(Method::POST, &path, None).await
    }

    /// `POST /v1/databases/NAME/encrypt`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn encrypt(&self, name: &DatabaseName) -> Answer<Database> {
        let path = format!("/v1/databases/{name}/encrypt");
        self.json(Method::POST, &path, None).await
    }

    /// `DELETE /v1/databases/NAME`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drop_database(&self, name: &DatabaseName) -> Answer<()> {
        let path = format!("/v1/databases/{name}");
        self.bytes(Method::DELETE, &path, None).await.map(drop)
    }

    /// `GET /v1/tokens`, the oldest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn tokens(&self) -> Answer<Vec<Token>> {
        self.json(Method::GET, "/v1/tokens", None).await
    }

    /// `POST /v1/tokens`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn add_token(&self, request: &TokenRequest) -> Answer<NewToken> {
        let body = self.encode(request)?;
        self.json(Method::POST, "/v1/tokens", Some(body)).await
    }

    /// `POST /v1/tokens/ID/rotate`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rotate_token(&self, id: &TokenId, request: &RotateRequest) -> Answer<NewToken> {
        let body = self.encode(request)?;
        let path = format!("/v1/tokens/{id}/rotate");
        self.json(Method::POST, &path, Some(body)).await
    }

    /// `DELETE /v1/tokens/ID`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_token(&self, id: &TokenId) -> Answer<()> {
        let path = format!("/v1/tokens/{id}");
        self.bytes(Method::DELETE, &path, None).await.map(drop)
    }

    /// `GET /v1/events`: entries of the ledger, oldest first; [`EventQuery::follow`] is ignored.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, query: &EventQuery) -> Answer<Vec<Event>> {
        self.json(Method::GET, &events_path(query, false), None)
            .await
    }

    /// `GET /v1/events?follow=true`: entries of the ledger, then new ones as they are written.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn follow(&self, query: &EventQuery) -> Answer<EventStream> {
        let response = self
            .send(Method::GET, &events_path(query, true), None)
            .await?;
        let response = self.checked(response).await?;
        let (place, body) = (self.target.to_string(), response.into_body());
        Ok(EventStream {
            place,
            body,
            buffer: BytesMut::new(),
        })
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Answer<T> {
        let answer = self.bytes(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|e| self.broken(e))
    }

    /// Sends a request and reads the response, however long that takes.
    async fn json_in_the_end<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Answer<T> {
        let response = self.send(method, path, body).await?;
        let response = self.checked(response).await?;
        let answer = self.read(response.into_body()).await?;
        serde_json::from_slice(&answer).map_err(|e| self.broken(e))
    }

    /// Sends a request and reads the response, with a deadline slightly longer than the server's own.
    async fn bytes(&self, method: Method, path: &str, body: Option<Bytes>) -> Answer<Bytes> {
        let waited = ORDER_DEADLINE + Duration::from_secs(10);
        let exchange = async {
            let response = self.send(method, path, body).await?;
            let response = self.checked(response).await?;
            self.read(response.into_body()).await
        };
        let timeout = || ClientError::Timeout {
            place: self.target.to_string(),
            waited,
        };
        tokio::time::timeout(waited, exchange)
            .await
            .map_err(|_| timeout())?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Answer<Response<Incoming>> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| self.broken(e))?;
        // ends with the request; the sender or the body reports its errors
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "dormouse")
            .header(hyper::header::CONTENT_TYPE, "application/json");
        let request = match &self.token {
            Some(token) => request.header(hyper::header::AUTHORIZATION, token),
            None => request,
        };
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|e| self.broken(e))?;
        sender
            .send_request(request)
            .await
            .map_err(|e| self.broken(e))
    }

    async fn connect(&self) -> Answer<Box<dyn Stream>> {
        let place = || self.target.to_string();
        self.target.connect().await.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ClientError::NotRunning(place())
            }
            io::ErrorKind::PermissionDenied => ClientError::NoPermission(place()),
            io::ErrorKind::InvalidData if is_distrust(&e) => ClientError::NotTrusted {
                place: place(),
                reason: e.to_string(),
            },
            _ => self.broken(e),
        })
    }

    /// Converts an error response to [`ClientError`].
    async fn checked(&self, response: Response<Incoming>) -> Answer<Response<Incoming>> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.read(response.into_body()).await?;
        Err(self.failure(status, &body))
    }

    fn failure(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Envelope>(body) {
            Ok(envelope) => ClientError::Refused(envelope.error),
            Err(_) => self.broken(format!("HTTP status {status}")),
        }
    }

    async fn read(&self, body: Incoming) -> Answer<Bytes> {
        let read = Limited::new(body, MAX_ANSWER).collect().await;
        read.map(http_body_util::Collected::to_bytes)
            .map_err(|e| self.broken(e))
    }

    fn encode(&self, value: &impl Serialize) -> Answer<Bytes> {
        serde_json::to_vec(value)
            .map(Bytes::from)
            .map_err(|e| self.broken(e))
    }

    fn broken(&self, reason: impl ToString) -> ClientError {
        ClientError::Broken {
            place: self.target.to_string(),
            reason: reason.to_string(),
        }
    }
}

/// Whether the error is that of a certificate.
fn is_distrust(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

/// Stream of events.
#[derive(Debug)]
pub struct EventStream {
    place: String,
    body: Incoming,
    buffer: BytesMut,
}

impl EventStream {
    /// Waits for the next event; `None` when the server stops.
    ///
    /// # Errors
    /// [`ClientError::Broken`].
    pub async fn next(&mut self) -> Answer<Option<Event>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                let line = line.trim_ascii();
                if line.is_empty() {
                    continue;
                }
                return serde_json::from_slice(line)
                    .map(Some)
                    .map_err(|e| self.broken(e));
            }
            if self.buffer.len() > MAX_LINE {
                return Err(self.broken("a line is too long"));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(e)) => return Err(self.broken(e)),
            }
        }
    }

    fn broken(&self, reason: impl ToString) -> ClientError {
        ClientError::Broken {
            place: self.place.clone(),
            reason: reason.to_string(),
        }
    }
}

/// Names are DNS labels and all other values are numbers, so nothing needs encoding.
fn events_path(query: &EventQuery, follow: bool) -> String {
    let mut path = format!("/v1/events?follow={follow}");
    if let Some(database) = &query.database {
        path.push_str(&format!("&database={database}"));
    }
    if let Some(after) = query.after {
        path.push_str(&format!("&after={after}"));
    }
    if let Some(limit) = query.limit {
        path.push_str(&format!("&limit={limit}"));
    }
    path
}
