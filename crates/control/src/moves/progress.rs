//! A move that is under way, as shared by the task that does it, the database's actor and those who look.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;

use crate::follower::Follower;
use crate::instance::Instance;
use crate::time::now;

/// A move that is under way.
pub(crate) struct Moving {
    began: Instant,
    stage: Mutex<(&'static str, Option<String>)>,
    /// How long the door may be shut until no statement runs and no transaction is open, in milliseconds.
    patience: AtomicU64,
    /// How long the door may stay shut until the follower has the rest, in milliseconds.
    rest: AtomicU64,
    /// Whether the database must not sleep.
    awake: AtomicBool,
    /// Whether it is to end before the switch.
    cancelled: AtomicBool,
    cancel: Notify,
    /// Whether the switch has begun: it can be cancelled no longer.
    committed: AtomicBool,
}

/// What is known of a move that is under way.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MoveStatus {
    /// What is being done.
    pub stage: String,
    /// What it waits for.
    pub waits_for: Option<String>,
    /// How long it has lasted, in milliseconds.
    pub took_ms: u64,
}

impl Moving {
    pub(crate) fn new() -> Self {
        Self {
            began: now(),
            stage: Mutex::new(("beginning", None)),
            patience: AtomicU64::new(0),
            rest: AtomicU64::new(0),
            awake: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            cancel: Notify::new(),
            committed: AtomicBool::new(false),
        }
    }

    /// Sets how long the door may be shut until no statement runs and no transaction is open.
    pub(super) fn set_patience(&self, patience: Duration) {
        let patience = crate::time::millis(patience);
        self.patience.store(patience, Ordering::SeqCst);
    }

    /// How long the door may be shut until no statement runs and no transaction is open.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::SeqCst))
    }

    /// Sets how long the door may stay shut until the follower has the rest.
    pub(super) fn set_rest(&self, rest: Duration) {
        self.rest.store(crate::time::millis(rest), Ordering::SeqCst);
    }

    /// How long the door may stay shut until the follower has the rest.
    pub(crate) fn rest(&self) -> Duration {
        Duration::from_millis(self.rest.load(Ordering::SeqCst))
    }

    /// From now on the database must not sleep: an instance follows it.
    pub(super) fn keep_awake(&self) {
        self.awake.store(true, Ordering::SeqCst);
    }

    /// Whether the database must not sleep.
    pub(crate) fn keeps_awake(&self) -> bool {
        self.awake.load(Ordering::SeqCst)
    }

    /// What it does now.
    pub(super) fn tell(&self, stage: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = (stage, None);
    }

    /// What it waits for.
    pub(super) fn waits_for(&self, what: String) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.1 = Some(what);
    }

    /// What it waits for, if it has not been put off for another reason.
    pub(super) fn waits_at_first_for(&self, what: &str) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        stage.1.get_or_insert_with(|| what.to_owned());
    }

    pub(crate) fn status(&self) -> MoveStatus {
        let (stage, waits_for) = self
            .stage
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        MoveStatus {
            stage: stage.to_owned(),
            waits_for,
            took_ms: crate::time::millis(self.began.elapsed()),
        }
    }

    /// Ends it before the switch; `false` if that has begun.
    pub(crate) fn cancel(&self) -> bool {
        self.cancelled.store(true, Ordering::SeqCst);
        self.cancel.notify_waiters();
        !self.committed.load(Ordering::SeqCst)
    }

    /// The switch begins; `false` if it was cancelled.
    pub(crate) fn commit(&self) -> bool {
        self.committed.store(true, Ordering::SeqCst);
        let goes_on = !self.is_cancelled();
        self.committed.store(goes_on, Ordering::SeqCst);
        goes_on
    }

    /// The switch was put off: it can be cancelled again.
    pub(crate) fn put_off(&self) {
        self.committed.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// Completes when it is cancelled.
    pub(super) async fn cancelled(&self) {
        loop {
            let cancel = self.cancel.notified();
            tokio::pin!(cancel);
            cancel.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            cancel.await;
        }
    }
}

/// What is to take the place of a database's primary.
pub(crate) struct Candidate {
    pub(crate) files: Mutex<Option<Files>>,
    /// When the instance that it comes from is removed.
    pub(crate) kept_until: Timestamp,
    pub(crate) moving: Arc<Moving>,
    /// How long statements were held for the switch, in milliseconds.
    pub(crate) paused: OnceLock<u64>,
}

/// The instance that takes the place.
pub(crate) enum Files {
    /// It follows the primary.
    Following(Follower),
    /// It has the files of the database as they were in this generation, when no server ran.
    Asleep(Instance, u64),
}

impl Candidate {
    /// How long statements were held for the switch, in milliseconds; `None` if there was no server.
    pub(crate) fn paused(&self) -> Option<u64> {
        self.paused.get().copied()
    }

    /// Takes the instance, or what another attempt has left.
    pub(crate) fn take(&self) -> Option<Files> {
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Gives it back after an attempt.
    pub(crate) fn put_back(&self, files: Files) {
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = Some(files);
    }
}
