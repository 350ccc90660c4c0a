//! State of an instance while its server runs.

use std::time::{Duration, Instant};

use dormouse_driver::{Observed, Run};
use dormouse_policy::autoscale::{Sample, Window};
use dormouse_types::{Incarnation, Units};

use super::rekeying::Rekeying;
use super::shrink::Shrink;
use super::warming::Warming;
use crate::servers::PoolHits;

/// Poll interval for the load of a server that runs.
pub(crate) const POLL: Duration = Duration::from_millis(200);

/// Maximum time between an out-of-memory kill and the end of the server.
const DYING: Duration = Duration::from_secs(10);

/// State of an instance while its server runs.
pub(super) struct Awake {
    /// Time of the last observation.
    pub(super) looked: Instant,
    /// Counts the requests to its buffer pool.
    pub(super) pool: PoolCount,
    /// The task that grows the buffer pool.
    pub(super) warming: Option<Warming>,
    /// The task that encrypts its files with a new key.
    pub(super) rekeying: Option<Rekeying>,
    pub(super) window: Window,
    /// When its size last changed.
    pub(super) changed: Option<Instant>,
    /// The shrink that is under way.
    pub(super) shrink: Option<Shrink>,
    /// The run that was last seen, and the count of out-of-memory kills when it was first seen.
    seen: Option<(Incarnation, u64)>,
    /// When such a kill was seen, and the size at that time.
    starved: Option<(Instant, Units)>,
    /// Units of its next server, if above the minimum, because the last one was killed for lack of memory.
    pub(super) next_units: Option<Units>,
}

impl Awake {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            looked: now,
            pool: PoolCount::default(),
            warming: None,
            rekeying: None,
            window: Window::default(),
            changed: None,
            shrink: None,
            seen: None,
            starved: None,
            next_units: None,
        }
    }

    /// Records the server's load, or its end.
    pub(super) fn note(&mut self, seen: &Observed, units: Units, now: Instant) {
        let kills = seen.strain.map_or(0, |strain| strain.oom_kills);
        match (seen.incarnation, self.seen) {
            (Some(new), known) if known.is_none_or(|(old, _)| old != new) => {
                self.seen = Some((new, kills));
                self.starved = None;
            }
            (_, Some((_, before))) if kills > before && self.starved.is_none() => {
                self.starved = Some((now, units));
                self.window.starved(now);
            }
            _ => {}
        }
        let (Run::Running, Some(cpu)) = (seen.run, seen.cpu) else {
            self.window.clear();
            self.shrink = None;
            return;
        };
        self.window.push(Sample {
            at: now,
            cpu,
            strain: seen.strain.unwrap_or_default(),
        });
    }

    /// Records the death of the server. If it was killed for lack of memory, returns `true`, and the next
    /// server gets more units.
    pub(super) fn died(&mut self, now: Instant) -> bool {
        let starved = self.starved.take();
        let starved = starved.filter(|(at, _)| now.saturating_duration_since(*at) < DYING);
        if let Some((_, units)) = starved {
            self.next_units = Some(Units(units.0.saturating_add(1)));
        }
        starved.is_some()
    }

    /// Clears the load window and cancels warming and shrinking.
    pub(super) fn clear_load(&mut self) {
        self.window.clear();
        self.shrink = None;
        self.warming = None;
        self.rekeying = None;
    }

    /// Clears the load window after a change of size.
    pub(super) fn resized(&mut self, now: Instant) {
        self.window.clear();
        self.changed = Some(now);
        self.shrink = None;
    }
}

/// Page requests to a server's buffer pool since it woke or changed its size.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PoolCount {
    /// `None`: unknown, because Dormouse found the server awake.
    since: Option<PoolHits>,
    /// Hit ratio in millionths; set from a sleep to the next wake, and while a change of size is written.
    pub(super) ratio_ppm: Option<u32>,
}

impl PoolCount {
    /// Starts to count at these counters.
    pub(super) fn begin(&mut self, hits: PoolHits) {
        *self = Self {
            since: Some(hits),
            ratio_ppm: None,
        };
    }

    /// Computes the hit ratio up to these counters, and starts to count at them.
    pub(super) fn restart_at(&mut self, hits: PoolHits) {
        *self = Self {
            ratio_ppm: self.since.and_then(|then| hits.ratio_ppm_since(then)),
            since: Some(hits),
        };
    }

    /// The counters at which the count started.
    pub(super) fn since(self) -> Option<PoolHits> {
        self.since
    }

    pub(super) fn forget_ratio(&mut self) {
        self.ratio_ppm = None;
    }
}
