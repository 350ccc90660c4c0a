//! The statement of a session that runs on a replica, so that others can end it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dormouse_types::Target;
use tokio::sync::Notify;

/// A session's statement on a replica, if one runs.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    target: Arc<Target>,
    thread: u32,
    interrupt: Arc<Notify>,
}

impl Elsewhere {
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement begins on this server, on the connection with this number. Returns what is notified when it is to end.
    pub(crate) fn begin(&self, target: &Arc<Target>, thread: u32) -> Arc<Notify> {
        let interrupt = Arc::new(Notify::new());
        *self.running() = Some(Running {
            target: Arc::clone(target),
            thread,
            interrupt: Arc::clone(&interrupt),
        });
        interrupt
    }

    /// It has ended.
    pub(crate) fn end(&self) -> Option<(Arc<Target>, u32)> {
        let running = self.running().take()?;
        Some((running.target, running.thread))
    }

    /// Whether one runs.
    pub(crate) fn is_running(&self) -> bool {
        self.running().is_some()
    }

    /// Has its session end it at the server. Returns whether one runs.
    pub(crate) fn interrupt(&self) -> bool {
        let running = self.running();
        if let Some(running) = &*running {
            running.interrupt.notify_one();
        }
        running.is_some()
    }
}
