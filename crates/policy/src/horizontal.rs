//! How many equal instances should share a load.
//!
//! The rule is the one CockroachDB published for the SQL servers of its serverless clusters, over
//! the CPU used in the last five minutes: four times the average is the baseline, so that a load
//! may rise at once without waiting for anybody; 4/3 of the peak raises it where the load comes in
//! bursts. The larger of the two, in instances rounded up, is what there should be.
//!
//! More is decided at once. Fewer is decided when five minutes have been seen since the last
//! change: as average and peak are those of all five minutes, none of them called for more.
//!
//! What holds: the count is always within its bounds, more load never leads to fewer instances,
//! and a constant load settles.
//!
//! To be called by whatever runs read replicas; there are none yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back the load is looked at.
pub const SPAN: Duration = Duration::from_secs(300);
/// What is taken for all of it: the time that the first point is for is not told.
const NEARLY: Duration = Duration::from_secs(270);
/// The most points that are kept: one in two seconds, and some more.
const MOST: usize = 256;
/// Points closer together than this are one.
const APART: Duration = Duration::from_secs(2);

/// The CPU that all instances used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When, at the end of the time it is for.
    pub at: Instant,
    /// How much, in thousandths of a core.
    pub millicores: u64,
}

/// The points of the last five minutes.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    points: VecDeque<Point>,
}

impl Trace {
    /// Takes one more point. One that is no newer than the last is ignored; of those within two
    /// seconds the highest is kept.
    pub fn push(&mut self, point: Point) {
        if let Some(last) = self.points.back_mut() {
            if point.at <= last.at {
                return;
            }
            if point.at.saturating_duration_since(last.at) < APART {
                last.millicores = last.millicores.max(point.millicores);
                return;
            }
        }
        self.points.push_back(point);
        while self.points.len() > MOST || self.oldest_is_past(point.at) {
            self.points.pop_front();
        }
    }

    fn oldest_is_past(&self, now: Instant) -> bool {
        self.points
            .front()
            .is_some_and(|p| now.saturating_duration_since(p.at) > SPAN)
    }

    /// The average and the peak over five minutes, in thousandths of a core. In the part of them
    /// that was not seen, before the trace began, nothing was used.
    fn average_and_peak(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        let peak = self.points.iter().map(|p| p.millicores).max()?;
        let sum: u128 = self.points.iter().map(|p| u128::from(p.millicores)).sum();
        let mean = sum / self.points.len().max(1) as u128;
        let seen = last.at.saturating_duration_since(first.at);
        let average = if seen >= NEARLY {
            mean
        } else {
            mean * seen.as_millis() / SPAN.as_millis()
        };
        Some((u64::try_from(average).unwrap_or(u64::MAX), peak))
    }
}

/// What there is and may be of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// How many there are.
    pub instances: u32,
    /// The fewest there may be.
    pub min: u32,
    /// The most there may be.
    pub max: u32,
    /// What one of them may use, in thousandths of a core.
    pub one: u32,
}

/// Another number of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// How many there should be.
    pub instances: u32,
    /// Why.
    pub reason: String,
}

/// How many instances there should be, if not as many as there are. `changed` is when their number
/// was last changed.
#[must_use]
pub fn decide(
    fleet: Fleet,
    trace: &Trace,
    changed: Option<Instant>,
    now: Instant,
) -> Option<Change> {
    let max = fleet.max.max(fleet.min);
    let bounded = fleet.instances.clamp(fleet.min, max);
    if bounded != fleet.instances {
        return Some(Change {
            instances: bounded,
            reason: format!("there may be {} to {max} instances", fleet.min),
        });
    }
    let (average, peak) = trace.average_and_peak()?;
    let baseline = average.saturating_mul(4);
    let raised = peak.saturating_add(peak.div_ceil(3));
    let wanted = baseline.max(raised).div_ceil(u64::from(fleet.one.max(1)));
    let wanted = u32::try_from(wanted)
        .unwrap_or(u32::MAX)
        .clamp(fleet.min, max);
    let since = |moment| now.saturating_duration_since(moment);
    let seen = since(trace.points.front()?.at) >= NEARLY;
    let agreed = seen && changed.is_none_or(|changed| since(changed) >= SPAN);
    if wanted == fleet.instances || (wanted < fleet.instances && !agreed) {
        return None;
    }
    let reason = if baseline >= raised {
        format!("used {} on average in 5 minutes", cores(average))
    } else {
        format!("used {} at the peak of 5 minutes", cores(peak))
    };
    Some(Change {
        instances: wanted,
        reason,
    })
}

fn cores(millicores: u64) -> String {
    format!("{}.{:02} cores", millicores / 1000, millicores % 1000 / 10)
}

#[cfg(test)]
mod tests;
