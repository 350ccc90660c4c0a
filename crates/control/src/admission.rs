//! Limits how many servers start at once, and how many instances are observed at once when Dormouse starts.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use crate::error::Error;

/// Poll interval for background starts waiting for a permit.
const BACKGROUND_POLL: Duration = Duration::from_millis(50);

/// Maximum number of instances observed at once when Dormouse starts.
const FIRST_LOOKS: usize = 8;

/// Permits for work that must not be done for all databases at once.
pub(crate) struct Admission {
    starts: Semaphore,
    first_looks: Semaphore,
}

/// Whether a statement or a caller waits for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Importance {
    /// A statement, a login or a `create` waits.
    Awaited,
    /// Nothing waits: every awaited start goes first.
    Background,
}

impl Admission {
    /// At most `starts` servers may start at once, and at least one.
    pub(crate) fn new(starts: usize) -> Self {
        Self {
            starts: Semaphore::new(starts.max(1)),
            first_looks: Semaphore::new(FIRST_LOOKS),
        }
    }

    /// Waits until a server may start.
    pub(crate) async fn start(&self, importance: Importance) -> Result<SemaphorePermit<'_>, Error> {
        if importance == Importance::Awaited {
            return self.starts.acquire().await.map_err(|_| Error::Stopping);
        }
        loop {
            match self.starts.try_acquire() {
                Ok(permit) => return Ok(permit),
                Err(TryAcquireError::Closed) => return Err(Error::Stopping),
                Err(TryAcquireError::NoPermits) => tokio::time::sleep(BACKGROUND_POLL).await,
            }
        }
    }

    /// Waits until an instance that an earlier run left may be observed.
    pub(crate) async fn look_first(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.first_looks
            .acquire()
            .await
            .map_err(|_| Error::Stopping)
    }

    /// Closes it when Dormouse stops: no more permits are given.
    pub(crate) fn close(&self) {
        self.starts.close();
        self.first_looks.close();
    }
}
