//! The clock of transitions, and waits with a time limit.

use std::future::Future;
use std::time::{Duration, Instant};

/// The current time, which a test may have paused.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whole milliseconds since a moment.
pub(crate) fn millis_since(began: Instant) -> u64 {
    millis(now().saturating_duration_since(began))
}

/// Why an operation within a time limit failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Late<E> {
    /// The time limit passed.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The operation's own error.
    #[error(transparent)]
    Failed(E),
}

/// Waits for an operation, up to a time limit.
pub(crate) async fn within<T, E>(
    limit: Duration,
    doing: impl Future<Output = Result<T, E>>,
) -> Result<T, Late<E>> {
    match tokio::time::timeout(limit, doing).await {
        Ok(done) => done.map_err(Late::Failed),
        Err(_) => Err(Late::TimedOut(limit)),
    }
}
