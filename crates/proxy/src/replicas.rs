//! The replicas of one database on which statements may read, as the control path has told last.
//!
//! Each has a pool of backends of its own, and what is known of its server: how many statements run there, and which
//! transactions it has for certain.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_session::reads::{Newest, Position, ServerRun};
use dormouse_types::{Carry, InstanceId, Pooling, ReadCounts, Reads, Replica, Target};

use crate::config::PoolLimits;
use crate::pool::Pool;

/// By how many running statements a server must be ahead of the one that a session used last, before the session changes.
const WORTH_A_CHANGE: u32 = 2;

/// A count that no server has.
const UNKNOWN: u64 = u64::MAX;

/// The replicas of one database.
#[derive(Default)]
pub(crate) struct Replicas {
    /// Whether there are any: all that a statement of a database without replicas reads.
    any: AtomicBool,
    /// The next one for a session that has not read on any.
    turn: AtomicU32,
    offered: Mutex<Offered>,
    pub(crate) counters: ReadCounters,
}

#[derive(Default)]
struct Offered {
    reads: Reads,
    all: Vec<Arc<ReplicaServer>>,
    /// Those that may not be read any more, until the last statement there has ended.
    leaving: Vec<Arc<ReplicaServer>>,
}

/// Counts of reads since the proxy started.
#[derive(Debug, Default)]
pub(crate) struct ReadCounters {
    /// Statements that have run on replicas.
    pub(crate) reads: AtomicU64,
    /// Times a statement waited until a replica had what its session had seen.
    pub(crate) waits: AtomicU64,
    /// Statements that a replica was to run, and that the primary has run.
    pub(crate) fallbacks: AtomicU64,
}

impl ReadCounters {
    /// The counts now.
    pub(crate) fn status(&self) -> ReadCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            on_replicas: count(&self.reads),
            waits: count(&self.waits),
            fallbacks: count(&self.fallbacks),
        }
    }
}

/// The statements that give a session on a replica the primary's global values, and the count of changes for which they do.
type Globals = (u64, Arc<[Vec<u8>]>);

/// The server of a replica.
pub(crate) struct ReplicaServer {
    pub(crate) target: Arc<Target>,
    pub(crate) pool: Arc<Pool>,
    running: AtomicU32,
    /// What it has for certain.
    applied: Mutex<Position>,
    /// Until when it gets no statement, after it did not answer, or was behind.
    avoided: Mutex<Option<Instant>>,
    /// The count of changes of privileges of which it is known to have all.
    rights: AtomicU64,
    globals: Mutex<Option<Globals>>,
    removed: AtomicBool,
}

/// A statement that runs on a replica, or is about to; counted until this is dropped.
pub(crate) struct Visit(pub(crate) Arc<ReplicaServer>);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Where the next read of a session runs.
pub(crate) enum Place {
    Primary,
    Replica(Visit),
}

impl Replicas {
    fn offered(&self) -> MutexGuard<'_, Offered> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are any. One load, because it is asked for every statement.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Where statements that read run if their session does not say.
    pub(crate) fn reads(&self) -> Reads {
        self.offered().reads
    }

    /// Takes the servers that may be read now. Backends on others are closed when their statements have ended.
    pub(crate) fn change(&self, replicas: Vec<Replica>, reads: Reads, limits: &PoolLimits) {
        let mut offered = self.offered();
        let known = std::mem::take(&mut offered.all);
        offered.reads = reads;
        offered.all = replicas
            .into_iter()
            .map(|replica| {
                let same = known.iter().find(|one| one.is(&replica)).cloned();
                same.unwrap_or_else(|| ReplicaServer::new(replica, limits))
            })
            .collect();
        self.any.store(!offered.all.is_empty(), Ordering::Release);
        let stays = |one: &Arc<ReplicaServer>| offered.all.iter().any(|now| Arc::ptr_eq(now, one));
        let gone: Vec<_> = known.iter().filter(|one| !stays(one)).cloned().collect();
        offered.leaving.extend(gone.iter().cloned());
        offered.leaving.retain(|one| one.running() > 0);
        drop(offered);
        gone.iter().for_each(|one| one.remove());
    }

    /// Whether statements still run on one that may not be read any more.
    pub(crate) fn reads_on(&self, replica: InstanceId) -> bool {
        let mut offered = self.offered();
        offered.leaving.retain(|one| one.running() > 0);
        { offered.leaving.iter() }.any(|one| one.target.instance == replica)
    }

    /// Chooses the server that has the least to do. `primary`: how many statements run at all; `newest`: where the session
    /// has been last, which gets its statement if it has hardly more to do than others.
    pub(crate) fn choose(&self, reads: Reads, running: u32, newest: Newest) -> Place {
        let now = Instant::now();
        let offered = self.offered();
        let on_replicas: u32 = offered.all.iter().map(|one| one.running()).sum();
        let usable: Vec<_> = { offered.all.iter() }
            .filter(|one| !one.is_avoided(now))
            .collect();
        let turn = self.turn.load(Ordering::Relaxed) as usize;
        let least = (0..usable.len())
            .filter_map(|n| usable.get((n + turn) % usable.len()))
            .min_by_key(|one| one.running());
        let Some(least) = least else {
            return Place::Primary;
        };
        let used = usable.iter().find(|one| newest == one.run_as_newest());
        let stays = used.filter(|used| used.running() < least.running() + WORTH_A_CHANGE);
        let best = stays.unwrap_or(least);
        let on_primary = running.saturating_sub(on_replicas);
        let primary_is_better = match newest {
            Newest::Primary => on_primary < best.running() + WORTH_A_CHANGE,
            Newest::Nothing => on_primary < best.running(),
            Newest::Replica(_) => on_primary + WORTH_A_CHANGE <= best.running(),
        };
        if reads == Reads::Primary || reads == Reads::Any && primary_is_better {
            return Place::Primary;
        }
        if stays.is_none() {
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
        Place::Replica(best.visit())
    }

    /// The server of this run, if it may be read.
    pub(crate) fn find(&self, run: ServerRun) -> Option<Arc<ReplicaServer>> {
        let offered = self.offered();
        { offered.all.iter() }.find(|one| one.run() == run).cloned()
    }

    /// Closes backends that have been idle for too long.
    pub(crate) fn trim(&self, now: Instant) {
        if self.any() {
            let all = self.offered().all.clone();
            all.iter().for_each(|one| one.pool.trim(now));
        }
    }

    /// Closes the backends that no statement uses: the database goes to sleep, or is removed.
    pub(crate) fn clear(&self) {
        let all = self.offered().all.clone();
        all.iter().for_each(|one| one.pool.clear());
    }
}

impl ReplicaServer {
    fn new(replica: Replica, limits: &PoolLimits) -> Arc<Self> {
        let target = Target {
            instance: replica.instance,
            origin: replica.origin,
            generation: replica.generation,
            endpoint: replica.endpoint,
            pooling: Pooling::Statement,
            carry: Carry::default(),
        };
        Arc::new(Self {
            target: Arc::new(target),
            pool: Pool::new(limits.clone()),
            running: AtomicU32::new(0),
            applied: Mutex::default(),
            avoided: Mutex::default(),
            rights: AtomicU64::new(UNKNOWN),
            globals: Mutex::default(),
            removed: AtomicBool::new(false),
        })
    }

    fn is(&self, replica: &Replica) -> bool {
        let target = &self.target;
        target.instance == replica.instance
            && target.generation == replica.generation
            && target.endpoint == replica.endpoint
    }

    /// The run of the server.
    pub(crate) fn run(&self) -> ServerRun {
        ServerRun {
            instance: self.target.instance,
            generation: self.target.generation,
        }
    }

    fn run_as_newest(&self) -> Newest {
        Newest::Replica(self.run())
    }

    fn running(&self) -> u32 {
        self.running.load(Ordering::Acquire)
    }

    /// Counts a statement.
    pub(crate) fn visit(self: &Arc<Self>) -> Visit {
        self.running.fetch_add(1, Ordering::AcqRel);
        Visit(Arc::clone(self))
    }

    fn is_avoided(&self, now: Instant) -> bool {
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = avoided.is_some_and(|until| now < until);
        if !lasts {
            *avoided = None;
        }
        lasts
    }

    /// Gives it no statement for this time.
    pub(crate) fn avoid(&self, time: Duration) {
        let mut avoided = self.avoided.lock().unwrap_or_else(PoisonError::into_inner);
        *avoided = Some(Instant::now() + time);
    }

    fn applied(&self) -> MutexGuard<'_, Position> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is known to have these transactions.
    pub(crate) fn has(&self, position: &Position) -> bool {
        self.applied().covers(position)
    }

    /// Notes transactions that it has.
    pub(crate) fn has_applied(&self, position: &Position) {
        self.applied().merge(position);
    }

    /// Whether it is known to have the changes of privileges up to this count.
    pub(crate) fn has_rights(&self, count: u64) -> bool {
        self.rights.load(Ordering::Acquire) == count
    }

    /// Notes that it has them. Connections opened before may have the old privileges.
    pub(crate) fn got_rights(&self, count: u64) {
        if self.rights.swap(count, Ordering::AcqRel) != count {
            self.pool.rights_changed();
        }
    }

    /// The statements that give a session there the primary's global values, for this count of changes of those.
    pub(crate) fn globals(&self, count: u64) -> Option<Arc<[Vec<u8>]>> {
        let globals = self.globals.lock().unwrap_or_else(PoisonError::into_inner);
        let known = globals.as_ref().filter(|(of, _)| *of == count);
        known.map(|(_, statements)| Arc::clone(statements))
    }

    /// Notes them.
    pub(crate) fn globals_are(&self, count: u64, statements: Arc<[Vec<u8>]>) {
        let mut globals = self.globals.lock().unwrap_or_else(PoisonError::into_inner);
        *globals = Some((count, statements));
    }

    fn remove(&self) {
        self.removed.store(true, Ordering::SeqCst);
        self.pool.clear();
    }

    /// A backend has been given to its pool: if it may not be read any more, none is kept.
    pub(crate) fn tidy(&self) {
        if self.removed.load(Ordering::SeqCst) {
            self.pool.clear();
        }
    }
}

#[cfg(test)]
mod tests;
