//! The door in front of one database's server.
//!
//! The door is in one of five states:
//! - *open*: statements get a pass and are counted while they run;
//! - *closing* ([`Door::drain`]): new statements are held, running ones finish. It ends shut, or, if that
//!   takes too long, open again;
//! - *shut*: statements are held in order of arrival until the door opens, refuses, or they reach a limit.
//!   [`Door::shut`] shuts at once, but only if no statement runs, or by force when the server has died;
//! - *open for some* ([`Door::open_for`]): shut, but for sessions that must be served before all others;
//! - *refusing* ([`Door::refuse`]): shut, and every statement gets the reason as an error, because the
//!   server cannot be started (`failed`) or may not (the spend limit).
//!
//! Invariant: neither a suspend nor a park makes a statement fail; it is held.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_types::{Activity, Target};
use tokio::sync::{Notify, oneshot};

/// The bit of [`Door::state`] that means open; the other bits count running statements.
const OPEN: u64 = 1 << 63;

/// The door of one database.
pub(crate) struct Door {
    state: AtomicU64,
    /// The generation of the present target.
    generation: AtomicU64,
    transactions: AtomicU32,
    /// When the last statement ended, in milliseconds after `born`, plus one; 0 for never.
    last_statement: AtomicU64,
    born: Instant,
    queue: Mutex<Queue>,
    /// Notified when the last running statement ends while the door is shut.
    empty: Notify,
    /// Notified repeatedly while the door is being shut.
    closing: Notify,
    /// Notified when it opens.
    opened: Notify,
    /// Whether its server must be started, and not only thawed.
    cold: AtomicBool,
    /// Whether a statement has been counted as the cause of the next start.
    caused: AtomicBool,
}

/// A statement that still runs this long after the door began to shut may be waiting for a lock. Held
/// statements of sessions that may hold a lock then get passes.
const STUCK: Duration = Duration::from_millis(20);

/// How often it is looked whether a session in a transaction has sent its next statement.
const NEXT: Duration = Duration::from_millis(1);

#[derive(Default)]
struct Queue {
    target: Option<Arc<Target>>,
    /// Whether it is open for some: the next step opens it for all.
    opening: bool,
    held: VecDeque<Held>,
    refused: Option<String>,
}

impl Queue {
    fn opens_for(&self, target: &Arc<Target>) -> bool {
        let same = |now: &Arc<Target>| Arc::ptr_eq(now, target);
        self.opening && self.target.as_ref().is_some_and(same)
    }
}

/// A statement that is held.
struct Held {
    sender: oneshot::Sender<Result<Pass, String>>,
    /// The server on which its session may hold locks.
    may_hold_locks_on: Option<Arc<Target>>,
}

/// The door's answer to a statement.
pub(crate) enum Entry {
    /// The door is open.
    Pass(Pass),
    /// It is held until this receives a pass or a refusal; a dropped sender means that the database has
    /// been removed.
    Held(oneshot::Receiver<Result<Pass, String>>),
    /// The server cannot be started, or may not because of the spend limit; the text is the reason.
    Refused(String),
    /// Too many statements are held.
    Full,
}

/// The right to have one statement on the server; it counts as running until this is dropped.
pub(crate) struct Pass {
    door: Arc<Door>,
    /// The server.
    pub(crate) target: Arc<Target>,
    /// Whether it does not set the time of the database's last statement (a login, a probe).
    quiet: bool,
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.quiet {
            let now = u64::try_from(self.door.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.door.last_statement.store(now + 1, Ordering::Relaxed);
        }
        self.door.count_out();
    }
}

impl Door {
    /// A shut door.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            transactions: AtomicU32::new(0),
            last_statement: AtomicU64::new(0),
            born: Instant::now(),
            queue: Mutex::default(),
            empty: Notify::new(),
            closing: Notify::new(),
            opened: Notify::new(),
            cold: AtomicBool::new(true),
            caused: AtomicBool::new(false),
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more running statement, unless the door is shut.
    fn count_in(&self) -> bool {
        let count = |state| (state & OPEN != 0).then(|| state + 1);
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, count)
            .is_ok()
    }

    fn count_out(&self) {
        // the last statement, and the door is shut
        if self.state.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.empty.notify_waiters();
        }
    }

    fn pass(self: &Arc<Self>, target: Arc<Target>, quiet: bool) -> Pass {
        Pass {
            door: Arc::clone(self),
            target,
            quiet,
        }
    }

    /// Asks for a pass. `known` is the server of the session's backend, if it has one; `may_hold_locks`
    /// tells whether the session may hold locks there, and is called only if the statement is held.
    pub(crate) fn enter(
        self: &Arc<Self>,
        known: Option<&Arc<Target>>,
        may_hold_locks: impl FnOnce() -> bool,
        most_held: usize,
    ) -> Entry {
        // the usual case takes no lock; while the statement is counted, the target cannot change
        if let Some(target) = known
            && self.count_in()
        {
            if self.generation.load(Ordering::Acquire) == target.generation {
                return Entry::Pass(self.pass(Arc::clone(target), false));
            }
            self.count_out();
        }
        let mut queue = self.queue();
        if let Some(target) = queue.target.clone()
            && self.count_in()
        {
            return Entry::Pass(self.pass(target, false));
        }
        if let Some(reason) = &queue.refused {
            return Entry::Refused(reason.clone());
        }
        queue.held.retain(|held| !held.sender.is_closed());
        if queue.held.len() >= most_held {
            return Entry::Full;
        }
        let (sender, receiver) = oneshot::channel();
        let may_hold_locks_on = known.filter(|_| may_hold_locks()).cloned();
        queue.held.push_back(Held {
            sender,
            may_hold_locks_on,
        });
        Entry::Held(receiver)
    }

    /// A pass that does not set the time of the database's last statement; `None` if the door is shut.
    pub(crate) fn enter_quietly(self: &Arc<Self>) -> Option<Pass> {
        let target = self.queue().target.clone()?;
        self.count_in().then(|| self.pass(target, true))
    }

    /// Whether it has opened to the server of this generation before, and to no other since.
    pub(crate) fn has_opened_to(&self, generation: u64) -> bool {
        self.generation.load(Ordering::Acquire) == generation
    }

    /// Whether the door is not open. One load, because it is checked for every statement.
    pub(crate) fn is_shut(&self) -> bool {
        self.state.load(Ordering::Acquire) & OPEN == 0
    }

    /// How many statements run.
    pub(crate) fn running(&self) -> u32 {
        let running = self.state.load(Ordering::Acquire) & !OPEN;
        u32::try_from(running).unwrap_or(u32::MAX)
    }

    /// Whether the door is not open and does not refuse statements.
    pub(crate) fn sleeps(&self) -> bool {
        self.is_shut() && self.queue().refused.is_none()
    }

    /// Whether there is no server: one must be started for the next statement.
    pub(crate) fn is_without_server(&self) -> bool {
        self.cold.load(Ordering::Acquire) && self.sleeps()
    }

    /// The server behind the door; `None` while it is shut.
    pub(crate) fn target(&self) -> Option<Arc<Target>> {
        let queue = self.queue();
        (self.state.load(Ordering::Acquire) & OPEN != 0)
            .then(|| queue.target.clone())
            .flatten()
    }

    /// Whether a statement that comes now is the first one to cause a start of the server.
    pub(crate) fn causes_start(&self) -> bool {
        self.is_shut()
            && self.cold.load(Ordering::Acquire)
            && !self.caused.swap(true, Ordering::AcqRel)
    }

    /// The statement that [`causes_start`](Self::causes_start) found is refused.
    pub(crate) fn causes_none(&self) {
        self.caused.store(false, Ordering::Release);
    }

    /// The sessions have left the server, which is stopped now.
    pub(crate) fn parked(&self) {
        self.cold.store(true, Ordering::Release);
        self.causes_none();
    }

    /// Waits until it is open.
    pub(crate) async fn until_open(&self) {
        loop {
            let opened = self.opened.notified();
            tokio::pin!(opened);
            opened.as_mut().enable();
            if self.target().is_some() {
                return;
            }
            opened.await;
        }
    }

    /// Waits until the door is being shut: a statement that has a pass and still waits for a lease must
    /// then give the pass back and be held.
    pub(crate) async fn until_closing(&self) {
        self.closing.notified().await;
    }

    /// Closes it: gives no new passes and waits until no statement runs. If that takes too long, opens it
    /// again and returns `false`. A statement that waits for a lock can end, because each statement of a
    /// session that may hold the lock gets a pass meanwhile.
    pub(crate) async fn drain(self: &Arc<Self>, deadline: Duration) -> bool {
        let emptied = async {
            loop {
                let empty = self.empty.notified();
                tokio::pin!(empty);
                empty.as_mut().enable();
                if self.state.load(Ordering::Acquire) == 0 {
                    return;
                }
                self.closing.notify_waiters();
                if tokio::time::timeout(STUCK, empty).await.is_err() {
                    self.let_in_lock_holders();
                }
            }
        };
        self.close(deadline, emptied).await
    }

    /// The same, but also waits until no transaction is open: statements of sessions in one get passes until they have
    /// ended it.
    pub(crate) async fn drain_transactions(self: &Arc<Self>, deadline: Duration) -> bool {
        let emptied = async {
            loop {
                let empty = self.empty.notified();
                tokio::pin!(empty);
                empty.as_mut().enable();
                let running = self.state.load(Ordering::Acquire);
                if running == 0 && self.transactions.load(Ordering::Acquire) == 0 {
                    return;
                }
                self.closing.notify_waiters();
                self.let_in_lock_holders();
                let _ = tokio::time::timeout(NEXT, empty).await;
            }
        };
        self.close(deadline, emptied).await
    }

    /// Gives no new passes, and waits for this; if that takes too long, opens it again and returns `false`.
    async fn close(
        self: &Arc<Self>,
        deadline: Duration,
        emptied: impl Future<Output = ()>,
    ) -> bool {
        let target = {
            let mut queue = self.queue();
            let was_open = self.state.fetch_and(!OPEN, Ordering::AcqRel) & OPEN != 0;
            let was_open = std::mem::take(&mut queue.opening) || was_open;
            queue.refused = None;
            queue.target.clone().filter(|_| was_open)
        };
        if tokio::time::timeout(deadline, emptied).await.is_ok() {
            return true;
        }
        if let Some(target) = target {
            self.open((*target).clone());
        }
        false
    }

    /// Gives passes to the held statements of sessions that may hold locks.
    fn let_in_lock_holders(self: &Arc<Self>) {
        let mut queue = self.queue();
        let generation = self.generation.load(Ordering::Acquire);
        let (on, held) = std::mem::take(&mut queue.held).into_iter().partition(
            |held| matches!(&held.may_hold_locks_on, Some(at) if at.generation == generation),
        );
        queue.held = held;
        for Held {
            sender,
            may_hold_locks_on,
        } in on
        {
            if let Some(target) = may_hold_locks_on {
                self.let_in(sender, target);
            }
        }
    }

    /// Gives a pass to a held statement.
    fn let_in(self: &Arc<Self>, held: oneshot::Sender<Result<Pass, String>>, target: Arc<Target>) {
        if held.is_closed() {
            return;
        }
        self.state.fetch_add(1, Ordering::AcqRel);
        // if its session has ended meanwhile, the pass comes back and is dropped
        let _ = held.send(Ok(self.pass(target, false)));
    }

    /// Opens it. Held statements get their passes first; all are counted before the door can be shut
    /// again.
    pub(crate) fn open(self: &Arc<Self>, target: Target) {
        let mut queue = self.queue();
        let target = self.stand_behind(&mut queue, target);
        self.admit_all(&mut queue, &target);
    }

    /// Opens it for this number of statements, whose passes are returned; others are held until it is
    /// [opened for all](Self::open_for_all).
    pub(crate) fn open_for(self: &Arc<Self>, target: Target, some: usize) -> Vec<Pass> {
        let mut queue = self.queue();
        let target = self.stand_behind(&mut queue, target);
        queue.opening = true;
        let pass = || {
            self.state.fetch_add(1, Ordering::AcqRel);
            self.pass(Arc::clone(&target), true)
        };
        std::iter::repeat_with(pass).take(some).collect()
    }

    /// Whether it is open for some, with this server behind it.
    pub(crate) fn opens_for(&self, target: &Arc<Target>) -> bool {
        self.queue().opens_for(target)
    }

    /// Opens it for all, if it is open for some with this server behind it. Returns whether it was.
    pub(crate) fn open_for_all(self: &Arc<Self>, target: &Arc<Target>) -> bool {
        let mut queue = self.queue();
        let opens = queue.opens_for(target);
        if opens {
            self.admit_all(&mut queue, target);
        }
        opens
    }

    fn stand_behind(&self, queue: &mut Queue, target: Target) -> Arc<Target> {
        let target = Arc::new(target);
        queue.target = Some(Arc::clone(&target));
        queue.refused = None;
        self.cold.store(false, Ordering::Release);
        self.causes_none();
        self.generation.store(target.generation, Ordering::Release);
        target
    }

    fn admit_all(self: &Arc<Self>, queue: &mut Queue, target: &Arc<Target>) {
        queue.opening = false;
        self.state.fetch_or(OPEN, Ordering::AcqRel);
        for held in std::mem::take(&mut queue.held) {
            self.let_in(held.sender, Arc::clone(target));
        }
        self.opened.notify_waiters();
    }

    /// Shuts it at once; without `force` only if no statement runs. Returns whether it is shut.
    pub(crate) fn shut(&self, force: bool) -> bool {
        let mut queue = self.queue();
        let shut = if force {
            self.state.fetch_and(!OPEN, Ordering::AcqRel);
            queue.opening = false;
            true
        } else if queue.opening {
            false
        } else {
            match self
                .state
                .compare_exchange(OPEN, 0, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => true,
                Err(state) => state & OPEN == 0,
            }
        };
        if shut {
            queue.refused = None;
        }
        shut
    }

    /// Shuts it and refuses all statements with this reason.
    pub(crate) fn refuse(&self, reason: &str) {
        let mut queue = self.queue();
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        queue.opening = false;
        queue.refused = Some(reason.to_owned());
        // a later start is another one
        self.cold.store(true, Ordering::Release);
        self.causes_none();
        for held in std::mem::take(&mut queue.held) {
            let _ = held.sender.send(Err(reason.to_owned()));
        }
    }

    /// Adds an open transaction to the count, or removes it.
    pub(crate) fn count_transaction(&self, open: bool) {
        if open {
            self.transactions.fetch_add(1, Ordering::Relaxed);
        } else {
            self.transactions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The load, without the number of sessions.
    pub(crate) fn activity(&self) -> Activity {
        let state = self.state.load(Ordering::Acquire) & !OPEN;
        let held = self
            .queue()
            .held
            .iter()
            .filter(|held| !held.sender.is_closed())
            .count();
        let last = self.last_statement.load(Ordering::Relaxed).checked_sub(1);
        Activity {
            sessions: 0,
            running: u32::try_from(state).unwrap_or(u32::MAX),
            held: u32::try_from(held).unwrap_or(u32::MAX),
            transactions: self.transactions.load(Ordering::Relaxed),
            last_statement: last.map(|ms| self.born + Duration::from_millis(ms)),
        }
    }
}

#[cfg(test)]
mod tests;
