//! Orders from another shell to the import that follows: a Unix socket next to the state of the imports.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use dormouse_api::ErrorBody;
use dormouse_types::DatabaseName;
use serde::{Deserialize, Serialize};

use super::cut_over::CutOver;
use crate::Outcome;

/// How long after twice its limit a cut-over is waited for, in seconds.
const MARGIN: u64 = 60;

/// The order to cut over.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The user says that nothing writes at the other server.
    pub(crate) source_is_quiet: bool,
    /// How long statements may be held.
    pub(crate) limit_seconds: u64,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// It is done.
    Done(CutOver),
    /// It is not done, and the import follows on.
    Failed(ErrorBody),
}

/// An order, and where its answer goes.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) request: Request,
    stream: UnixStream,
}

impl Order {
    /// Answers it.
    pub(crate) fn answer(mut self, reply: &Reply) {
        let mut text = serde_json::to_vec(reply).unwrap_or_default();
        text.push(b'\n');
        // whoever has asked may have left
        let _gone = self.stream.write_all(&text);
    }
}

/// The socket.
#[derive(Debug)]
pub(crate) struct Orders {
    path: PathBuf,
    receiver: Receiver<Order>,
}

fn path(data_dir: &Path, name: &DatabaseName) -> PathBuf {
    data_dir.join("imports").join(format!("{name}.orders"))
}

impl Orders {
    /// Listens. The caller holds the lock of the database's imports.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub(crate) fn listen(data_dir: &Path, name: &DatabaseName) -> Outcome<Self> {
        let path = path(data_dir, name);
        let failed = |e: std::io::Error| {
            ErrorBody::new(
                "machine",
                format!("cannot listen on {}: {e}", path.display()),
            )
        };
        let _left = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut line = String::new();
                let Ok(copy) = stream.try_clone() else {
                    continue;
                };
                let patience = Duration::from_secs(5);
                let _unset = copy.set_read_timeout(Some(patience));
                if BufReader::new(copy).read_line(&mut line).is_err() {
                    continue;
                }
                let Ok(request) = serde_json::from_str(&line) else {
                    continue;
                };
                if sender.send(Order { request, stream }).is_err() {
                    return;
                }
            }
        });
        Ok(Self { path, receiver })
    }

    /// The next order, if there is one.
    pub(crate) fn take(&self) -> Option<Order> {
        self.receiver.try_recv().ok()
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        let _removed = std::fs::remove_file(&self.path);
    }
}

/// Gives an order and waits for its answer.
///
/// # Errors
/// No import follows, or it could not cut over.
pub(crate) fn give(data_dir: &Path, name: &DatabaseName, request: Request) -> Outcome<CutOver> {
    let absent = || {
        ErrorBody::new("refused", format!("no import into {name} is following"))
            .with_hint("run `dormouse import NAME --from URL --follow` in another shell first")
    };
    let mut stream = UnixStream::connect(path(data_dir, name)).map_err(|_| absent())?;
    let mut text = serde_json::to_vec(&request).unwrap_or_default();
    text.push(b'\n');
    let mut line = String::new();
    let patience = 2 * request.limit_seconds + MARGIN;
    let asked = stream
        .set_read_timeout(Some(Duration::from_secs(patience)))
        .and_then(|()| stream.write_all(&text))
        .and_then(|()| BufReader::new(stream).read_line(&mut line));
    match asked {
        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
            let message = format!("the import has not answered for {patience} s");
            return Err(ErrorBody::new("timeout", message).with_hint(
                "look at what it prints; if the other server is read-only, `SET GLOBAL read_only = OFF` there sets it back",
            ));
        }
        asked => drop(asked.map_err(|_| absent())?),
    }
    match serde_json::from_str(&line) {
        Ok(Reply::Done(done)) => Ok(done),
        Ok(Reply::Failed(error)) => Err(error),
        Err(_) => Err(ErrorBody::new(
            "machine",
            "the import that follows has ended before it has answered",
        )
        .with_hint("run it again: it tells whether the cut-over was done")),
    }
}
