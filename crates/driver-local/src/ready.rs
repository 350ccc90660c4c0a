//! Waiting until a server takes connections.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use dormouse_engine::{Layout, error_log};
use dormouse_link::Link;
use dormouse_types::Endpoint;
use rustix::fs::OFlags;
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

use crate::process::Handle;

/// How often a server that does not listen yet is asked again.
const LOOK: Duration = Duration::from_millis(1);

/// The most of an error log that is read for a reason, in bytes.
const MOST_LOG: u64 = 64 << 10;

/// Returns when the server has sent the first byte of its greeting; an error says why it will
/// not. `log_from` is where its part of the error log begins.
pub(crate) async fn wait(
    handle: &Handle,
    endpoint: &Endpoint,
    layout: &Layout,
    log_from: u64,
    patience: Duration,
) -> Result<(), String> {
    let outcome = tokio::select! {
        greeted = timeout(patience, greeting(endpoint)) => greeted.map_err(|_| format!("it did not take connections within {patience:?}")),
        _ = handle.ended() => Err("its process ended".to_owned()),
    };
    outcome.map_err(|what| format!("{what}: {}", reason(layout, log_from)))
}

/// What the error log says from there on.
pub(crate) fn reason(layout: &Layout, log_from: u64) -> String {
    error_log::reason(&log_since(layout, log_from))
}

/// A server listens before it is ready, so a connection alone says nothing.
async fn greeting(endpoint: &Endpoint) {
    loop {
        if let Ok(mut link) = Link::connect(endpoint).await
            && link.read_u8().await.is_ok()
        {
            return;
        }
        sleep(LOOK).await;
    }
}

/// How long the error log is now.
pub(crate) fn log_length(layout: &Layout) -> u64 {
    std::fs::symlink_metadata(layout.error_log()).map_or(0, |meta| meta.len())
}

/// The log belongs to the server's user, so it may be anything by now.
fn log_since(layout: &Layout, from: u64) -> String {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .custom_flags(i32::try_from(flags).unwrap_or_default());
    let read = || {
        let mut file = options.open(layout.error_log())?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(MOST_LOG).read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}
