//! Number of replicas of a database, by the load of the servers that run statements which only read.
//!
//! Which servers these are is said by where such statements run ([`Reads`]): the replicas, or the primary and the replicas.
//! If they run on the primary alone, more replicas help nobody, and there are as few as may be.
//!
//! What a replica uses to apply the changes of the primary is part of the load. A load of writes alone is none: the caller
//! says [`Usage::idle`] while no statement runs on a replica.
//!
//! Called by `control`, by the task that keeps the replicas of a database.

use std::time::Instant;

use dormouse_types::{Reads, ReplicaCount, ReplicaRange, UnitRange};

use super::{Fleet, Point, Trace, decide as decide_fleet};

/// The settings of a database that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// How many there may be.
    pub range: ReplicaRange,
    /// Where statements run that only read.
    pub reads: Reads,
    /// The sizes of a server: the largest one says what one server can do.
    pub units: UnitRange,
}

/// CPU use of a database's servers during a time, in thousandths of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Of the primary.
    pub primary: u64,
    /// Of all replicas together.
    pub replicas: u64,
    /// Whether no statement ran on a replica.
    pub idle: bool,
}

impl Usage {
    /// The point of a trace: what those servers used that run statements which only read.
    #[must_use]
    pub fn load(self, reads: Reads, at: Instant) -> Point {
        let millicores = match reads {
            _ if self.idle => 0,
            Reads::Primary => 0,
            Reads::Replica => self.replicas,
            Reads::Any => self.primary.saturating_add(self.replicas),
        };
        Point { at, millicores }
    }
}

/// A change of the number of replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// New number.
    pub replicas: ReplicaCount,
    /// Reason, for people; `None` if it is the setting alone, of which a person knows.
    pub reason: Option<String>,
}

/// The change of the number of replicas to make, if any. `changed` is when their number last changed. `settled`: as many follow
/// as there should be; else the number does not grow, because what the last change does is not seen yet.
#[must_use]
pub fn decide(
    setting: Setting,
    present: ReplicaCount,
    settled: bool,
    trace: &Trace,
    changed: Option<Instant>,
    now: Instant,
) -> Option<Change> {
    let Setting {
        range,
        reads,
        units,
    } = setting;
    let bounded = range.nearest(present);
    if bounded != present {
        return Some(Change {
            replicas: bounded,
            reason: None,
        });
    }
    let beside = match reads {
        Reads::Primary if present > range.min() => {
            return Some(Change {
                replicas: range.min(),
                reason: Some("statements that only read run on the primary".to_owned()),
            });
        }
        Reads::Primary => return None,
        Reads::Replica => 0,
        Reads::Any => 1,
    };
    let of = |replicas: ReplicaCount| u32::from(replicas.get()) + beside;
    let one = units.max.max(units.min).millicores();
    let fleet = Fleet {
        instances: of(present),
        min: of(range.min()),
        max: of(range.max()),
        one,
    };
    let change = decide_fleet(fleet, trace, changed, now)?;
    let replicas = usize::try_from(change.instances.saturating_sub(beside)).unwrap_or(usize::MAX);
    let replicas = range.nearest(ReplicaCount::at_most(replicas));
    if replicas == present || (replicas > present && !settled) {
        return None;
    }
    let (whose, one) = (
        match reads {
            Reads::Any => "its servers",
            _ => "its replicas",
        },
        super::cores(one.into()),
    );
    Some(Change {
        replicas,
        reason: Some(format!("{whose} {}; one has {one}", change.reason)),
    })
}

#[cfg(test)]
mod tests;
