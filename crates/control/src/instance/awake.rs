//! State of an instance while its server runs.

use std::time::{Duration, Instant};

use dormouse_driver::{Observed, Run};
use dormouse_policy::autoscale::{Sample, Window};
use dormouse_types::{Incarnation, Units};

use super::shrink::Shrink;
use super::warming::Warming;
use crate::servers::PoolHits;

/// Poll interval for the load of a server that runs.
pub(crate) const POLL: Duration = Duration::from_millis(200);

/// How long a process that is killed for want of memory may take to end.
const DYING: Duration = Duration::from_secs(10);

/// State of an instance while its server runs.
pub(super) struct Awake {
    /// When the driver was asked last.
    pub(super) looked: Instant,
    /// Counts the requests to its buffer pool.
    pub(super) pool: PoolCount,
    /// The buffer pool is being grown.
    pub(super) warming: Option<Warming>,
    pub(super) window: Window,
    /// When its size changed last.
    pub(super) changed: Option<Instant>,
    /// The shrink that is under way.
    pub(super) shrink: Option<Shrink>,
    /// The run that was seen last, and how many kills for want of memory had been counted when it was
    /// seen first.
    seen: Option<(Incarnation, u64)>,
    /// When such a kill was seen, and what size it had.
    starved: Option<(Instant, Units)>,
    /// Units of its next server, if not the least, because the last one was killed for want of memory.
    pub(super) next_units: Option<Units>,
}

impl Awake {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            looked: now,
            pool: PoolCount::default(),
            warming: None,
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

    /// Records the death of the server. If it was killed for want of memory, returns `true`, and the next server
    /// gets more.
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
    }

    /// Clears the load window after a change of size.
    pub(super) fn resized(&mut self, now: Instant) {
        self.window.clear();
        self.changed = Some(now);
        self.shrink = None;
    }
}

/// What a server's buffer pool was asked for since it woke, or changed its size.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PoolCount {
    /// `None`: not known, because Dormouse has found the server awake.
    since: Option<PoolHits>,
    /// Of what was asked for, what was in the pool, in millionths; known from a sleep to the next wake,
    /// and while a change of size is written down.
    pub(super) ratio_ppm: Option<u32>,
}

impl PoolCount {
    /// Counts from here.
    pub(super) fn begin(&mut self, hits: PoolHits) {
        *self = Self {
            since: Some(hits),
            ratio_ppm: None,
        };
    }

    /// Computes the hit ratio up to these counters, and counts from there.
    pub(super) fn restart_at(&mut self, hits: PoolHits) {
        *self = Self {
            ratio_ppm: self.since.and_then(|then| hits.ratio_ppm_since(then)),
            since: Some(hits),
        };
    }

    /// The counters from which it counts.
    pub(super) fn since(self) -> Option<PoolHits> {
        self.since
    }

    pub(super) fn forget_ratio(&mut self) {
        self.ratio_ppm = None;
    }
}
