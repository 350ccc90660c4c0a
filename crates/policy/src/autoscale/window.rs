//! The samples of a server in the last 30 s.

use dormouse_types::Strain;
use std::time::{Duration, Instant};

use dormouse_types::Units;

/// Length of a full window.
pub(super) const FULL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// Minimum distance of two samples, whatever the caller's interval; so a window has about 300 at
/// most.
const APART: Duration = Duration::from_millis(100);
/// With a longer gap between two samples the busiest second is unknown.
const GAP: Duration = Duration::from_secs(2);
/// Percent of a second stalled on memory that alone is a shortage.
const STALLED: u32 = 10;
/// The same, if the memory limit was also reached in that second. Reaching the limit alone is not a
/// shortage: cgroup v1 counts each reclaim of file cache.
const STALLED_AT_LIMIT: u32 = 1;
/// First and maximum time for which a size at which memory was short is not tried again.
const HOLD: Duration = Duration::from_secs(600);
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);
/// Shortages closer together than this count as one.
const ONE_SHORTAGE: Duration = Duration::from_secs(60);

/// Sample of a server. The counters grow for as long as its process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Time of the sample.
    pub at: Instant,
    /// CPU time used by the process.
    pub cpu: Duration,
    /// Throttling and memory pressure.
    pub strain: Strain,
}

/// The difference of two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spell {
    /// Length.
    pub(super) span: Duration,
    /// CPU time used.
    pub(super) cpu: Duration,
    /// Throttling and memory pressure.
    pub(super) strain: Strain,
}

impl Spell {
    fn between(from: &Sample, to: &Sample) -> Option<Self> {
        Some(Self {
            span: to.at.checked_duration_since(from.at)?,
            cpu: to.cpu.checked_sub(from.cpu)?,
            strain: to.strain.since(from.strain)?,
        })
    }

    /// A CPU time and a share of a budget, in the same unit.
    fn compared(&self, cpu: Duration, percent: u32, units: Units) -> (u128, u128) {
        let budget = u128::from(units.millicores()) * self.span.as_nanos() / 1000;
        (cpu.as_nanos() * 100, budget * u128::from(percent))
    }

    /// Whether this CPU time is less than a percentage of the budget of `units`.
    pub(super) fn is_below(&self, cpu: Duration, percent: u32, units: Units) -> bool {
        let (used, share) = self.compared(cpu, percent, units);
        used < share
    }

    /// Whether this CPU time is at most a percentage of the budget of `units`.
    pub(super) fn is_within(&self, cpu: Duration, percent: u32, units: Units) -> bool {
        let (used, share) = self.compared(cpu, percent, units);
        used <= share
    }

    /// This CPU time in percent of the budget of `units`.
    pub(super) fn percent(&self, cpu: Duration, units: Units) -> u128 {
        let (used, one) = self.compared(cpu, 1, units);
        used / one.max(1)
    }

    /// Whether memory was short.
    pub(super) fn lacks_memory(&self) -> bool {
        let over = |percent: u32| {
            self.strain.stalled.as_nanos() * 100 > self.span.as_nanos() * u128::from(percent)
        };
        let at_limit = self.strain.limit_hits > 0 && over(STALLED_AT_LIMIT);
        self.strain.oom_kills > 0 || at_limit || over(STALLED)
    }
}

/// The last shortage of memory.
#[derive(Debug, Clone, Copy)]
struct Shortage {
    /// When it was last seen.
    at: Instant,
    /// Number of shortages, each soon after the hold time of the one before.
    times: u32,
}

impl Shortage {
    fn hold(self) -> Duration {
        let doubled = 2u32.saturating_pow(self.times.saturating_sub(1));
        HOLD.saturating_mul(doubled).min(LONGEST_HOLD)
    }

    fn again(before: Option<Self>, now: Instant) -> Self {
        let times = before.map_or(1, |before| {
            let since = now.saturating_duration_since(before.at);
            if since <= ONE_SHORTAGE {
                before.times
            } else if since <= before.hold().saturating_mul(2) {
                before.times.saturating_add(1)
            } else {
                1
            }
        });
        Self { at: now, times }
    }
}

/// The samples of the last 30 s, in order of time and of one process; and the last shortage of
/// memory, which is kept for longer.
#[derive(Debug, Clone, Default)]
pub struct Window {
    samples: Vec<Sample>,
    shortage: Option<Shortage>,
}

impl Window {
    /// Adds a sample. One that is not newer than the last is ignored; if a counter has fallen, the
    /// process is a new one and the window is cleared first.
    pub fn push(&mut self, sample: Sample) {
        if let Some(last) = self.samples.last() {
            if sample.at <= last.at {
                return;
            }
            if Spell::between(last, &sample).is_none() {
                self.samples.clear();
            }
        }
        if let [.., before, last] = self.samples.as_mut_slice()
            && last.at.saturating_duration_since(before.at) < APART
        {
            *last = sample;
        } else {
            self.samples.push(sample);
        }
        // keeps one sample as old as the window is long, and all newer ones
        let old = self
            .samples
            .partition_point(|s| sample.at.saturating_duration_since(s.at) >= FULL);
        self.samples.drain(..old.saturating_sub(1));
        if second_before(&self.samples).is_some_and(|s| s.lacks_memory()) {
            self.shortage = Some(Shortage::again(self.shortage, sample.at));
        }
    }

    /// Drops all samples but the last and frees their memory, after a change of size or a sleep. Keeps
    /// the last shortage of memory.
    pub fn clear(&mut self) {
        self.samples = self.samples.last().copied().into_iter().collect();
    }

    /// Records that the server was killed for lack of memory.
    pub fn starved(&mut self, at: Instant) {
        self.shortage = Some(Shortage::again(self.shortage, at));
    }

    /// Whether there was a shortage of memory, which must be kept when its server ends.
    #[must_use]
    pub fn was_short(&self) -> bool {
        self.shortage.is_some()
    }

    /// Mean CPU use over the window so far, in thousandths of a core. `None` before the window is a
    /// second long.
    #[must_use]
    pub fn millicores(&self) -> Option<u32> {
        let all = Spell::between(self.samples.first()?, self.samples.last()?)?;
        if all.span < SECOND {
            return None;
        }
        u32::try_from(all.cpu.as_nanos() * 1000 / all.span.as_nanos()).ok()
    }

    /// The samples since `moment`.
    pub(super) fn since(&self, moment: Option<Instant>) -> &[Sample] {
        let from = moment.map_or(0, |m| self.samples.partition_point(|s| s.at < m));
        self.samples.get(from..).unwrap_or_default()
    }

    /// Until when the size must not shrink because of a shortage of memory.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let shortage = self.shortage?;
        shortage.at.checked_add(shortage.hold())
    }
}

/// The spell of about a second that ends with the last sample.
pub(super) fn second_before(samples: &[Sample]) -> Option<Spell> {
    before(samples, SECOND)
}

/// The spell of 30 s, if there are as many without a gap.
pub(super) fn full(samples: &[Sample]) -> Option<Spell> {
    let spell = before(samples, FULL)?;
    let gapless = samples
        .windows(2)
        .all(|two| matches!(two, [a, b] if b.at.saturating_duration_since(a.at) <= GAP));
    gapless.then_some(spell)
}

/// The second with the highest CPU use.
pub(super) fn busiest_second(samples: &[Sample]) -> Option<Spell> {
    let ends = 1..=samples.len();
    let seconds = ends.filter_map(|end| second_before(samples.get(..end)?));
    // a / b < c / d, without the division
    let weight = |a: &Spell, b: &Spell| a.cpu.as_nanos() * b.span.as_nanos();
    seconds.max_by(|a, b| weight(a, b).cmp(&weight(b, a)))
}

/// The shortest spell of at least this length that ends with the last sample.
fn before(samples: &[Sample], length: Duration) -> Option<Spell> {
    let last = samples.last()?;
    let old = samples.partition_point(|s| last.at.saturating_duration_since(s.at) >= length);
    Spell::between(samples.get(old.checked_sub(1)?)?, last)
}
