//! What was seen of a server in the last 30 s.

use dormouse_types::Strain;
use std::time::{Duration, Instant};

use dormouse_types::Units;

/// How far a full window reaches back.
pub(super) const FULL: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// Samples stand at least this far apart, whatever the rhythm of those who take them; so there are
/// at most some 300.
const APART: Duration = Duration::from_millis(100);
/// With a longer gap between two samples the busiest second is not known.
const GAP: Duration = Duration::from_secs(2);
/// Percent of a second spent waiting for memory that tells of a shortage by itself.
const STALLED: u32 = 10;
/// The same, if the memory limit was reached in that second too. Reaching it alone is no shortage:
/// a control group's first version counts each reclaim of its file cache.
const STALLED_AT_LIMIT: u32 = 1;
/// How long a size at which memory was short is not tried again, the first time and at most.
const HOLD: Duration = Duration::from_secs(600);
const LONGEST_HOLD: Duration = Duration::from_secs(24 * 3600);
/// Shortages closer together than this are one.
const ONE_SHORTAGE: Duration = Duration::from_secs(60);

/// What was seen of a server at one moment. The counts go up for as long as its process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// The CPU time it has used.
    pub cpu: Duration,
    /// How it was held back.
    pub strain: Strain,
}

/// What happened between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spell {
    /// How long it was.
    pub(super) span: Duration,
    /// CPU time used.
    pub(super) cpu: Duration,
    /// How it was held back.
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

    /// A CPU time and a share of a budget, in the same measure.
    fn compared(&self, cpu: Duration, percent: u32, units: Units) -> (u128, u128) {
        let budget = u128::from(units.millicores()) * self.span.as_nanos() / 1000;
        (cpu.as_nanos() * 100, budget * u128::from(percent))
    }

    /// Whether this much CPU time is less than a share of what so many units may use.
    pub(super) fn is_below(&self, cpu: Duration, percent: u32, units: Units) -> bool {
        let (used, share) = self.compared(cpu, percent, units);
        used < share
    }

    /// Whether it is no more than that.
    pub(super) fn is_within(&self, cpu: Duration, percent: u32, units: Units) -> bool {
        let (used, share) = self.compared(cpu, percent, units);
        used <= share
    }

    /// How many percent of what so many units may use this CPU time is.
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
    /// How many there were, each soon after the time that the one before it held for.
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

/// The samples of the last 30 s, in the order of time and all of one process; and, for longer,
/// when memory was last short.
#[derive(Debug, Clone, Default)]
pub struct Window {
    samples: Vec<Sample>,
    shortage: Option<Shortage>,
}

impl Window {
    /// Takes one more sample. One that is no newer than the last is ignored; if a count has fallen,
    /// the process is a new one and the window begins with it.
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
        // one sample that is as old as the window is long, and all after it
        let old = self
            .samples
            .partition_point(|s| sample.at.saturating_duration_since(s.at) >= FULL);
        self.samples.drain(..old.saturating_sub(1));
        if second_before(&self.samples).is_some_and(|s| s.lacks_memory()) {
            self.shortage = Some(Shortage::again(self.shortage, sample.at));
        }
    }

    /// Forgets all samples but the last, and gives their memory back: after a change of size or a
    /// nap. When memory was short is kept.
    pub fn clear(&mut self) {
        self.samples = self.samples.last().copied().into_iter().collect();
    }

    /// Memory was so short at this time that its server was killed for it.
    pub fn starved(&mut self, at: Instant) {
        self.shortage = Some(Shortage::again(self.shortage, at));
    }

    /// Whether memory was ever short: what is to be kept of it when its server ends.
    #[must_use]
    pub fn was_short(&self) -> bool {
        self.shortage.is_some()
    }

    /// The CPU used over the window, or as much of it as there is, in thousandths of a core.
    /// `None` before there is a second of it.
    #[must_use]
    pub fn millicores(&self) -> Option<u32> {
        let all = Spell::between(self.samples.first()?, self.samples.last()?)?;
        if all.span < SECOND {
            return None;
        }
        u32::try_from(all.cpu.as_nanos() * 1000 / all.span.as_nanos()).ok()
    }

    /// The samples since a moment.
    pub(super) fn since(&self, moment: Option<Instant>) -> &[Sample] {
        let from = moment.map_or(0, |m| self.samples.partition_point(|s| s.at < m));
        self.samples.get(from..).unwrap_or_default()
    }

    /// Until when no smaller size is tried, since memory was short.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let shortage = self.shortage?;
        shortage.at.checked_add(shortage.hold())
    }
}

/// The spell that ends with the last sample and is a second long, or a little longer.
pub(super) fn second_before(samples: &[Sample]) -> Option<Spell> {
    before(samples, SECOND)
}

/// All 30 s, if there are as many and no gap is in them.
pub(super) fn full(samples: &[Sample]) -> Option<Spell> {
    let spell = before(samples, FULL)?;
    let gapless = samples
        .windows(2)
        .all(|two| matches!(two, [a, b] if b.at.saturating_duration_since(a.at) <= GAP));
    gapless.then_some(spell)
}

/// The second in which most CPU was used for its length.
pub(super) fn busiest_second(samples: &[Sample]) -> Option<Spell> {
    let ends = 1..=samples.len();
    let seconds = ends.filter_map(|end| second_before(samples.get(..end)?));
    // a / b < c / d, without the division
    let weight = |a: &Spell, b: &Spell| a.cpu.as_nanos() * b.span.as_nanos();
    seconds.max_by(|a, b| weight(a, b).cmp(&weight(b, a)))
}

/// The shortest spell that ends with the last sample and is at least this long.
fn before(samples: &[Sample], length: Duration) -> Option<Spell> {
    let last = samples.last()?;
    let old = samples.partition_point(|s| last.at.saturating_duration_since(s.at) >= length);
    Spell::between(samples.get(old.checked_sub(1)?)?, last)
}
