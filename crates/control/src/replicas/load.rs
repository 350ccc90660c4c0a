//! CPU use of the servers of a database with replicas, for their number.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use dormouse_policy::horizontal::replicas::{Change, Setting, Usage, decide};
use dormouse_policy::horizontal::{Point, Trace};
use dormouse_types::{Incarnation, InstanceId, Reads, ReplicaCount};

use crate::database::Database;
use crate::database::context::Context;
use crate::time::{now, within};

/// How often servers are sampled.
const SAMPLE: Duration = Duration::from_secs(5);

/// How often a database that sleeps is looked at while it has more replicas than the fewest.
pub(super) const ASLEEP: Duration = Duration::from_secs(30);

/// A run of a server with its CPU time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    instance: InstanceId,
    incarnation: Incarnation,
    cpu: Duration,
}

/// The load of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Load {
    trace: Trace,
    /// When the number last changed.
    changed: Option<Instant>,
    /// When servers were last sampled.
    sampled: Option<Instant>,
    /// What they had used then.
    used: BTreeMap<InstanceId, (Incarnation, Duration)>,
    /// How many statements had run on replicas then.
    reads: u64,
}

impl Load {
    /// Samples the servers of an awake database, if that is due: its primary, and the replicas that follow.
    pub(super) async fn look(
        &mut self,
        context: &Context,
        database: &Database,
        following: &BTreeSet<InstanceId>,
    ) {
        let since = |at| now().saturating_duration_since(at);
        if self.sampled.is_some_and(|at| since(at) < SAMPLE) {
            return;
        }
        let host = &context.host;
        let ask = async |instance| {
            let seen = within(host.deadlines.ask, host.driver.observe(instance)).await;
            let seen = seen.ok()?;
            Some(Sample {
                instance,
                incarnation: seen.incarnation?,
                cpu: seen.cpu?,
            })
        };
        let primary = ask(database.seat()).await;
        let mut replicas = Vec::new();
        for instance in following {
            replicas.extend(ask(*instance).await);
        }
        let on_replicas = context.doors.pool(&database.name).reads.on_replicas;
        let reads = database.spec().reads;
        self.sample(primary, &replicas, on_replicas, reads, now());
    }

    /// Notes the servers of the primary and of the replicas, and how many statements have run on replicas so far. A run that
    /// was not seen before counts from now on.
    fn sample(
        &mut self,
        primary: Option<Sample>,
        replicas: &[Sample],
        on_replicas: u64,
        reads: Reads,
        now: Instant,
    ) {
        let before = std::mem::take(&mut self.used);
        let elapsed = self
            .sampled
            .replace(now)
            .map(|at| now.saturating_duration_since(at));
        let ran = on_replicas > std::mem::replace(&mut self.reads, on_replicas);
        let mut rate = |one: &Sample| {
            self.used.insert(one.instance, (one.incarnation, one.cpu));
            let (incarnation, cpu) = before.get(&one.instance).copied()?;
            let used = one.cpu.checked_sub(cpu);
            let used = used.filter(|_| incarnation == one.incarnation)?;
            let rate = used.as_micros() * 1000 / elapsed?.as_micros().max(1);
            u64::try_from(rate).ok()
        };
        let usage = Usage {
            primary: primary.as_ref().and_then(&mut rate).unwrap_or(0),
            replicas: replicas.iter().filter_map(rate).sum(),
            idle: !ran,
        };
        self.trace.push(usage.load(reads, now));
    }

    /// Notes that the database sleeps.
    pub(super) fn rests(&mut self, now: Instant) {
        self.sampled = None;
        self.used.clear();
        self.trace.push(Point {
            at: now,
            millicores: 0,
        });
    }

    /// The change of the number of replicas to make, if any. `settled`: all follow that there should be.
    pub(super) fn decide(
        &mut self,
        setting: Setting,
        present: ReplicaCount,
        settled: bool,
        now: Instant,
    ) -> Option<Change> {
        let change = decide(setting, present, settled, &self.trace, self.changed, now)?;
        self.changed = Some(now);
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use dormouse_types::{UnitRange, Units};

    use super::*;

    fn sample(instance: u32, incarnation: u128, cpu: u64) -> Sample {
        Sample {
            instance: InstanceId(instance),
            incarnation: Incarnation(incarnation),
            cpu: Duration::from_millis(cpu),
        }
    }

    /// The reason for three replicas after these samples, five seconds apart: CPU times of a primary and a replica, the
    /// run of the latter, and how many statements have run there.
    fn reason(reads: Reads, samples: &[(u64, u64, u128, u64)]) -> Option<String> {
        let mut load = Load::default();
        let mut at = now();
        for (primary, replica, run, on_replicas) in samples {
            at += SAMPLE;
            let (primary, replica) = (sample(1, 7, *primary), sample(2, *run, *replica));
            load.sample(Some(primary), &[replica], *on_replicas, reads, at);
        }
        let setting = Setting {
            range: "1..3".parse().unwrap(),
            reads,
            units: UnitRange {
                min: Units(1),
                max: Units(1),
            },
        };
        let one = ReplicaCount::at_most(1);
        load.decide(setting, one, true, at)?.reason
    }

    #[test]
    fn the_cpu_time_between_two_samples_of_one_run_is_the_load() {
        let told = |used: &str, whose: &str| {
            Some(format!(
                "{whose} used {used} cores at the peak of 5 minutes; one has 0.50 cores"
            ))
        };
        let busy = [(0, 0, 1, 10), (6000, 4000, 1, 11)];
        assert_eq!(reason(Reads::Any, &busy), told("2.00", "its servers"));
        assert_eq!(reason(Reads::Replica, &busy), told("0.80", "its replicas"));
        assert_eq!(reason(Reads::Primary, &busy), None);
        // nothing was read there
        let writes = [(0, 0, 1, 10), (6000, 4000, 1, 10)];
        assert_eq!(reason(Reads::Any, &writes), None);
        // what a run had used when it was seen first is of an unknown time
        assert_eq!(reason(Reads::Replica, &[(9000, 9000, 1, 10)]), None);
        let another = [(0, 0, 1, 10), (0, 9000, 2, 11)];
        assert_eq!(reason(Reads::Replica, &another), None);
    }

    #[test]
    fn a_sleep_is_no_load() {
        let mut load = Load::default();
        let at = now();
        load.sample(Some(sample(1, 7, 0)), &[], 1, Reads::Any, at);
        load.rests(at + SAMPLE);
        // the same run goes on after a freeze: its rate over the sleep is not known
        load.sample(
            Some(sample(1, 7, 9000)),
            &[],
            2,
            Reads::Any,
            at + SAMPLE * 2,
        );
        let setting = Setting {
            range: "1..3".parse().unwrap(),
            reads: Reads::Any,
            units: UnitRange {
                min: Units(1),
                max: Units(1),
            },
        };
        let one = ReplicaCount::at_most(1);
        assert_eq!(load.decide(setting, one, true, at + SAMPLE * 2), None);
    }
}
