//! How a caller follows an operation and ends it early.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use rustic_core::{ProgressBars, ProgressType, RusticProgress};

/// Ends an operation early when set. Clones share the flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the operation at its next file, read or write; it returns [`crate::Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether [`Cancel::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// How far an operation is, in bytes of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done, files that had not changed included.
    pub done: u64,
    /// What there is to do; 0 as long as it is not known.
    pub total: u64,
}

/// See [`Watch::waits`].
pub type TellWait = Arc<dyn Fn(Option<&str>) + Send + Sync>;

/// What a caller gives to an operation to follow it and to end it. The default does neither.
#[derive(Clone, Default)]
pub struct Watch {
    /// Ends the operation early.
    pub cancel: Cancel,
    /// Called often, from several threads; must not block.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
    /// Called when the operation begins to wait for something, in words, and when it goes on; must not block.
    pub waits: Option<TellWait>,
}

impl Watch {
    pub(crate) fn waits_for(&self, what: Option<&str>) {
        if let Some(waits) = &self.waits {
            waits(what);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}

impl ProgressBars for Watch {
    fn progress(&self, kind: ProgressType, _prefix: &str) -> rustic_core::Progress {
        match (kind, &self.progress) {
            (ProgressType::Bytes, Some(tell)) => rustic_core::Progress::new(Counter {
                done: AtomicU64::new(0),
                total: AtomicU64::new(0),
                tell: Arc::clone(tell),
            }),
            _ => rustic_core::Progress::hidden(),
        }
    }
}

struct Counter {
    done: AtomicU64,
    total: AtomicU64,
    tell: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl Counter {
    fn tell(&self, done: u64, total: u64) {
        (self.tell)(Progress { done, total });
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter")
            .field("done", &self.done)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

impl RusticProgress for Counter {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, total: u64) {
        self.total.store(total, Relaxed);
        self.tell(self.done.load(Relaxed), total);
    }

    fn set_title(&self, _title: &str) {}

    fn inc(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Relaxed) + bytes;
        self.tell(done, self.total.load(Relaxed));
    }

    fn finish(&self) {}
}
