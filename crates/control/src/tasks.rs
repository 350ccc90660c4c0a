//! The plane's background tasks, and their end when Dormouse stops.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::lock::Lock;

/// The plane's background tasks. They hold the lock on the data directory, because all of them use it.
pub(crate) struct Tasks {
    _lock: Lock,
    stopping: AtomicBool,
    ends: Notify,
    running: Mutex<JoinSet<()>>,
}

impl Tasks {
    /// No task yet.
    pub(crate) fn new(lock: Lock) -> Self {
        Self {
            _lock: lock,
            stopping: AtomicBool::new(false),
            ends: Notify::new(),
            running: Mutex::default(),
        }
    }

    /// Runs a task that ends when the plane stops.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn(task);
    }

    /// Whether Dormouse is stopping; nothing new may start then.
    pub(crate) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Completes when Dormouse is stopping.
    pub(crate) async fn ending(&self) {
        let ends = self.ends.notified();
        if !self.stopping() {
            ends.await;
        }
    }

    /// Asks every task to end. [`Tasks::join`] waits for them.
    pub(crate) fn end(&self) {
        self.stopping.store(true, Ordering::Release);
        self.ends.notify_waiters();
    }

    /// Waits for all tasks; aborts those that do not end in time.
    pub(crate) async fn join(&self, grace: Duration) {
        let mut running =
            std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while running.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            running.shutdown().await;
        }
    }
}
