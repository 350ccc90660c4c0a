//! Encrypting the files of a running server with the newest key of its instance, in the background.

use std::sync::Arc;
use std::time::Duration;

use dormouse_engine::{Keeper, KeyError};
use dormouse_types::InstanceId;
use tokio::task::JoinHandle;
use tracing::{Instrument, debug, info, warn};

use super::host::Host;
use crate::servers::Server;

/// Delay before it is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The task that encrypts; dropping this aborts it, and the next one continues.
pub(super) struct Rekeying(JoinHandle<()>);

impl Drop for Rekeying {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Rekeying {
    /// Starts the task, unless databases cannot be encrypted at all.
    pub(super) fn begin(host: &Arc<Host>, server: Server) -> Option<Self> {
        if !host.keys.is_on() {
            return None;
        }
        let host = Arc::clone(host);
        let task = async move {
            while let Err(error) = settle(&host, &server).await {
                info!(%error, "files are not all encrypted yet");
                tokio::time::sleep(PAUSE).await;
            }
        };
        Some(Self(tokio::spawn(task.in_current_span())))
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

/// Encrypts the files of a running server with its newest key, if they are not, and forgets older keys. Does nothing
/// for an instance without keys.
///
/// # Errors
/// The reason, as text; it may be tried again.
pub(crate) async fn settle(host: &Host, server: &Server) -> Result<(), String> {
    let id = server.instance;
    let told = |error: KeyError| error.to_string();
    let status = with_keys(&host.keys, move |keys| keys.status(id));
    match status.await.map_err(told)? {
        Some(status) if !status.is_settled => {}
        _ => return Ok(()),
    }
    let converted = host.servers.encrypt(server).await;
    let Some(converted) = converted.map_err(|error| error.to_string())? else {
        debug!(instance = %id, "its keys take effect at the next start of its server");
        return Ok(());
    };
    let settle = with_keys(&host.keys, move |keys| {
        keys.settle(id, converted.version, converted.binary_log)
    });
    match settle.await {
        Ok(()) => info!(instance = %id, key = converted.version, "all files are encrypted"),
        // the next start of the server changes that
        Err(error) => warn!(instance = %id, %error, "older keys are still needed"),
    }
    Ok(())
}

/// Runs an operation on key files on a blocking thread.
pub(crate) async fn with_keys<T: Send + 'static>(
    keys: &Arc<Keeper>,
    work: impl FnOnce(&Keeper) -> Result<T, KeyError> + Send + 'static,
) -> Result<T, KeyError> {
    let keys = Arc::clone(keys);
    let done = tokio::task::spawn_blocking(move || work(&keys)).await;
    done.unwrap_or_else(|error| Err(KeyError::Refused(format!("the task failed: {error}"))))
}

/// Gives a new instance its key and encrypts its files, which have no rows yet, if new databases are encrypted.
pub(crate) async fn first(host: &Host, id: InstanceId, server: &Server) -> Result<(), String> {
    if !host.keys.encrypts_new() {
        return Ok(());
    }
    settle(host, server).await?;
    let status = with_keys(&host.keys, move |keys| keys.status(id)).await;
    match status.map_err(|error| error.to_string())? {
        Some(status) if status.is_settled => Ok(()),
        _ => Err("its files could not be encrypted; the log says why".to_owned()),
    }
}
