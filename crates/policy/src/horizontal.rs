//! Number of equal instances that share a load.
//!
//! The rule is the one that CockroachDB published for the SQL servers of its serverless clusters, over
//! the CPU use of the last five minutes: four times the average is the baseline, so that a load
//! can rise without waiting for a new instance; 4/3 of the peak, if larger, covers bursts. The number
//! of instances is the larger of the two, rounded up.
//!
//! The number grows at once. It shrinks when there are five minutes of samples since the last change;
//! as average and peak are over all five minutes, no part of them needed more.
//!
//! Invariants: the number is always within its bounds, more load never leads to fewer instances,
//! and under a constant load the number settles.
//!
//! [`replicas`] applies it to the servers of a database that run statements which only read.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub mod replicas;

/// Length of the trace.
pub const SPAN: Duration = Duration::from_secs(300);
/// Length that counts as a full trace: the first point does not say when its time began.
const NEARLY: Duration = Duration::from_secs(270);
/// Maximum number of points: one in two seconds, and some more.
const MOST: usize = 256;
/// Points closer together than this are merged.
const APART: Duration = Duration::from_secs(2);

/// CPU use of all instances together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// End of the time that it covers.
    pub at: Instant,
    /// CPU in thousandths of a core.
    pub millicores: u64,
}

/// The points of the last five minutes.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    points: VecDeque<Point>,
}

impl Trace {
    /// Adds a point. One that is not newer than the last is ignored; of those within two seconds the
    /// highest is kept.
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

    /// Average and peak over five minutes, in thousandths of a core. Each point counts for the time since the one before;
    /// the time before the trace began counts as zero.
    fn average_and_peak(&self) -> Option<(u64, u64)> {
        let (first, last) = (self.points.front()?, self.points.back()?);
        let peak = self.points.iter().map(|p| p.millicores).max()?;
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let used: u128 = pairs
            .map(|(before, p)| {
                let time = p.at.saturating_duration_since(before.at).as_millis();
                time.saturating_mul(u128::from(p.millicores))
            })
            .fold(0, u128::saturating_add);
        let seen = last.at.saturating_duration_since(first.at);
        let over = if seen >= NEARLY { seen } else { SPAN };
        let average = used / over.as_millis().max(1);
        Some((u64::try_from(average).unwrap_or(u64::MAX), peak))
    }
}

/// The instances and their bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// Current number.
    pub instances: u32,
    /// Minimum number.
    pub min: u32,
    /// Maximum number.
    pub max: u32,
    /// CPU of one instance, in thousandths of a core.
    pub one: u32,
}

/// A change of the number of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// New number.
    pub instances: u32,
    /// Reason, for people.
    pub reason: String,
}

/// The change of the number of instances to make, if any. `changed` is when their number last
/// changed.
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
