//! The door in front of one database's server.
//!
//! *Open*, statements pass and are counted. *Shut*, they are held in order of arrival until the
//! door opens, a limit is reached, or the control refuses them. The door can be shut only while no
//! statement runs (or by force, when the server has died), so no statement is ever refused because
//! of a state change.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_types::{Activity, Target};
use tokio::sync::{Notify, oneshot};

/// The bit of [`Door::state`] that says open; the rest counts running statements.
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
    /// Told when the last statement leaves a shut door.
    empty: Notify,
    /// Told, now and again, while the door is being shut.
    closing: Notify,
    /// Told when it opens.
    opened: Notify,
}

/// A statement that has kept running for so long while the door is being shut may be waiting for a
/// lock: sessions that may hold one get on by a statement.
const STUCK: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Queue {
    target: Option<Arc<Target>>,
    held: VecDeque<Held>,
    refused: Option<String>,
}

/// A statement that is held.
struct Held {
    sender: oneshot::Sender<Result<Pass, String>>,
    /// Where its session may be in the middle of something that others wait for.
    amidst: Option<Arc<Target>>,
}

/// What a statement finds at the door.
pub(crate) enum Entry {
    /// It may go.
    Pass(Pass),
    /// It is held until this says otherwise; a dropped sender means the database is no more.
    Held(oneshot::Receiver<Result<Pass, String>>),
    /// The server cannot be started; the text says why.
    Refused(String),
    /// Too many are held.
    Full,
}

/// The right to have one statement on the server; it counts as running until this is dropped.
pub(crate) struct Pass {
    door: Arc<Door>,
    /// Where to.
    pub(crate) target: Arc<Target>,
    /// Whether it leaves no mark as the last statement (a login, a probe).
    quiet: bool,
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.quiet {
            let now = u64::try_from(self.door.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
            self.door.last_statement.store(now + 1, Ordering::Relaxed);
        }
        self.door.step_out();
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
        })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more running statement, unless the door is shut.
    fn step_in(&self) -> bool {
        let count = |state| (state & OPEN != 0).then(|| state + 1);
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, count)
            .is_ok()
    }

    fn step_out(&self) {
        // the last one out of a shut door
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

    /// Asks for a pass for a statement of a session whose backend is at `known`, if it has one;
    /// `amidst` says whether that backend may hold locks for it, and is asked only if it is held.
    pub(crate) fn enter(
        self: &Arc<Self>,
        known: Option<&Arc<Target>>,
        amidst: impl FnOnce() -> bool,
        most_held: usize,
    ) -> Entry {
        // the usual way takes no lock; once inside, the target cannot change
        if let Some(target) = known
            && self.step_in()
        {
            if self.generation.load(Ordering::Acquire) == target.generation {
                return Entry::Pass(self.pass(Arc::clone(target), false));
            }
            self.step_out();
        }
        let mut queue = self.queue();
        if let Some(target) = queue.target.clone()
            && self.step_in()
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
        let amidst = known.filter(|_| amidst()).cloned();
        queue.held.push_back(Held { sender, amidst });
        Entry::Held(receiver)
    }

    /// A pass that does not count as a statement of the client, if the door is open.
    pub(crate) fn enter_quietly(self: &Arc<Self>) -> Option<Pass> {
        let target = self.queue().target.clone()?;
        self.step_in().then(|| self.pass(target, true))
    }

    /// Whether it is shut: one load, for every statement asks.
    pub(crate) fn is_shut(&self) -> bool {
        self.state.load(Ordering::Acquire) & OPEN == 0
    }

    /// Whether it is shut and nobody is refused.
    pub(crate) fn sleeps(&self) -> bool {
        self.is_shut() && self.queue().refused.is_none()
    }

    /// Where the open door leads; `None` while it is shut.
    pub(crate) fn target(&self) -> Option<Arc<Target>> {
        let queue = self.queue();
        (self.state.load(Ordering::Acquire) & OPEN != 0)
            .then(|| queue.target.clone())
            .flatten()
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

    /// The door is being shut: who has a pass and only waits shall give it back and be held.
    pub(crate) async fn closes(&self) {
        self.closing.notified().await;
    }

    /// Shuts it and waits until no statement runs any more. If that takes too long it opens again
    /// and answers `false`. One that waits for a lock ends because sessions that may hold it are
    /// let in meanwhile, statement by statement.
    pub(crate) async fn drain(self: &Arc<Self>, deadline: Duration) -> bool {
        let target = {
            let mut queue = self.queue();
            let was_open = self.state.fetch_and(!OPEN, Ordering::AcqRel) & OPEN != 0;
            queue.refused = None;
            queue.target.clone().filter(|_| was_open)
        };
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
                    self.let_on();
                }
            }
        };
        if tokio::time::timeout(deadline, emptied).await.is_ok() {
            return true;
        }
        if let Some(target) = target {
            self.open((*target).clone());
        }
        false
    }

    /// Lets in who may hold what others wait for.
    fn let_on(self: &Arc<Self>) {
        let mut queue = self.queue();
        let generation = self.generation.load(Ordering::Acquire);
        let (on, held) = std::mem::take(&mut queue.held)
            .into_iter()
            .partition(|held| matches!(&held.amidst, Some(at) if at.generation == generation));
        queue.held = held;
        for Held { sender, amidst } in on {
            if let Some(target) = amidst {
                self.let_in(sender, target);
            }
        }
    }

    /// Gives a pass to one that is held.
    fn let_in(self: &Arc<Self>, held: oneshot::Sender<Result<Pass, String>>, target: Arc<Target>) {
        if held.is_closed() {
            return;
        }
        self.state.fetch_add(1, Ordering::AcqRel);
        // if it has gone meanwhile, the pass comes back and is dropped
        let _ = held.send(Ok(self.pass(target, false)));
    }

    /// Opens it. Those held get their passes first, all counted before anyone can shut it again.
    pub(crate) fn open(self: &Arc<Self>, target: Target) {
        let mut queue = self.queue();
        let target = Arc::new(target);
        queue.target = Some(Arc::clone(&target));
        queue.refused = None;
        self.generation.store(target.generation, Ordering::Release);
        self.state.fetch_or(OPEN, Ordering::AcqRel);
        for held in std::mem::take(&mut queue.held) {
            self.let_in(held.sender, Arc::clone(&target));
        }
        self.opened.notify_waiters();
    }

    /// Shuts it; without `force` only if no statement runs or is held. Says whether it is shut.
    pub(crate) fn shut(&self, force: bool) -> bool {
        let mut queue = self.queue();
        let shut = if force {
            self.state.fetch_and(!OPEN, Ordering::AcqRel);
            true
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

    /// Shuts it and refuses everyone with this reason.
    pub(crate) fn refuse(&self, reason: &str) {
        let mut queue = self.queue();
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        queue.refused = Some(reason.to_owned());
        for held in std::mem::take(&mut queue.held) {
            let _ = held.sender.send(Err(reason.to_owned()));
        }
    }

    /// Counts a session's transaction in or out.
    pub(crate) fn transaction(&self, open: bool) {
        if open {
            self.transactions.fetch_add(1, Ordering::Relaxed);
        } else {
            self.transactions.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The load, but for the number of sessions.
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
