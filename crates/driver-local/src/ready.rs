//! Waits until a server accepts connections.

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

/// Poll interval while the server does not listen yet.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Most bytes read from an error log.
const MAX_LOG: u64 = 64 << 10;

/// Waits for the first byte of the server's greeting. The error is the reason of the failed start, with the
/// error log from `log_from` on.
pub(crate) async fn wait(
    handle: &Handle,
    endpoint: &Endpoint,
    layout: &Layout,
    log_from: u64,
    patience: Duration,
) -> Result<(), String> {
    let outcome = tokio::select! {
        greeted = timeout(patience, greeting(endpoint)) => greeted.map_err(|_| format!("it did not accept connections within {patience:?}")),
        _ = handle.ended() => Err("its process ended".to_owned()),
    };
    outcome.map_err(|what| format!("{what}: {}", reason(layout, log_from)))
}

/// Reason of a failure in the error log from `log_from` on.
pub(crate) fn reason(layout: &Layout, log_from: u64) -> String {
    error_log::reason(&log_since(layout, log_from))
}

/// Waits for a greeting: a server listens before it is ready, so connecting is not enough.
async fn greeting(endpoint: &Endpoint) {
    loop {
        if let Ok(mut link) = Link::connect(endpoint).await
            && link.read_u8().await.is_ok()
        {
            return;
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Length of the error log now.
pub(crate) fn log_length(layout: &Layout) -> u64 {
    std::fs::symlink_metadata(layout.error_log()).map_or(0, |meta| meta.len())
}

/// Reads the error log. The server's user owns it and may have replaced it, by a link for instance.
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
        file.take(MAX_LOG).read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}
