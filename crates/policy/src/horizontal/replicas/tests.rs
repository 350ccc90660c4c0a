use std::time::Duration;

use dormouse_types::Units;
use proptest::prelude::*;

use super::*;

const LOOK: Duration = Duration::from_secs(5);

fn setting(range: &str, reads: Reads) -> Setting {
    Setting {
        range: range.parse().unwrap(),
        reads,
        units: UnitRange {
            min: Units(1),
            max: Units(2),
        },
    }
}

fn count(count: u8) -> ReplicaCount {
    count.try_into().unwrap()
}

/// A database whose clients read, looked at every five seconds.
struct Loop {
    setting: Setting,
    present: ReplicaCount,
    trace: Trace,
    changed: Option<Instant>,
    start: Instant,
    now: Instant,
    told: Vec<String>,
}

impl Loop {
    fn new(setting: Setting) -> Self {
        let start = Instant::now();
        Self {
            setting,
            present: setting.range.min(),
            trace: Trace::default(),
            changed: None,
            start,
            now: start,
            told: Vec::new(),
        }
    }

    /// Statements that read demand so many thousandths of a core together, and those that write of the primary.
    fn run(&mut self, seconds: u64, reads: u64, writes: u64) {
        for _ in 0..seconds / LOOK.as_secs() {
            self.now += LOOK;
            let one = u64::from(self.setting.units.max.millicores());
            let n = u64::from(self.present.get());
            let usage = match self.setting.reads {
                Reads::Any => Usage {
                    primary: (reads / (n + 1) + writes).min(one),
                    replicas: (reads / (n + 1)).min(one) * n,
                    idle: reads == 0,
                },
                Reads::Replica => Usage {
                    primary: writes.min(one),
                    replicas: (reads / n.max(1)).min(one) * n,
                    idle: reads == 0,
                },
                Reads::Primary => Usage {
                    primary: (reads + writes).min(one),
                    replicas: 0,
                    idle: true,
                },
            };
            self.trace.push(usage.load(self.setting.reads, self.now));
            self.look(true);
        }
    }

    fn look(&mut self, settled: bool) {
        let change = decide(
            self.setting,
            self.present,
            settled,
            &self.trace,
            self.changed,
            self.now,
        );
        if let Some(Change { replicas, reason }) = change {
            let at = (self.now - self.start).as_secs();
            let why = reason.unwrap_or_else(|| "as set".to_owned());
            self.told
                .push(format!("{at} s: {} to {replicas}, {why}", self.present));
            self.present = replicas;
            self.changed = Some(self.now);
        }
    }
}

#[track_caller]
fn golden(setting: Setting, load: &[(u64, u64, u64)], expected: &[&str]) {
    let mut database = Loop::new(setting);
    for (seconds, reads, writes) in load {
        database.run(*seconds, *reads, *writes);
    }
    assert_eq!(database.told.join("\n"), expected.join("\n"), "{load:?}");
}

#[test]
fn the_number_follows_the_statements_that_read_on_replicas() {
    golden(
        setting("1..3", Reads::Replica),
        &[(60, 100, 0), (60, 900, 0), (600, 100, 0)],
        &[
            "65 s: 1 to 2, its replicas used 0.90 cores at the peak of 5 minutes; one has 1.00 cores",
            "425 s: 2 to 1, its replicas used 0.10 cores on average in 5 minutes; one has 1.00 cores",
        ],
    );
}

#[test]
fn the_primary_is_one_of_the_servers_if_it_may_read_too() {
    golden(
        setting("1..3", Reads::Any),
        &[(60, 300, 0), (60, 2000, 0), (600, 100, 0)],
        &[
            "65 s: 1 to 2, its servers used 2.00 cores at the peak of 5 minutes; one has 1.00 cores",
            "425 s: 2 to 1, its servers used 0.09 cores on average in 5 minutes; one has 1.00 cores",
        ],
    );
}

#[test]
fn writes_alone_are_no_load_and_reads_on_the_primary_neither() {
    for reads in [Reads::Replica, Reads::Any] {
        golden(setting("1..3", reads), &[(900, 0, 5000)], &[]);
    }
    golden(setting("1..3", Reads::Primary), &[(900, 5000, 0)], &[]);
}

#[test]
fn a_fixed_number_stays_and_changed_settings_apply_at_once() {
    golden(setting("2", Reads::Replica), &[(900, 9000, 0)], &[]);
    let mut database = Loop::new(setting("1..3", Reads::Replica));
    database.run(30, 9000, 0);
    database.setting.reads = Reads::Primary;
    database.look(true);
    database.setting.range = "0".parse().unwrap();
    database.look(true);
    database.setting.range = "2".parse().unwrap();
    database.look(false);
    let last: Vec<_> = database.told.iter().rev().take(3).rev().collect();
    assert_eq!(
        last,
        [
            "30 s: 3 to 1, statements that only read run on the primary",
            "30 s: 1 to 0, as set",
            "30 s: 0 to 2, as set",
        ]
    );
}

#[test]
fn it_grows_only_when_those_follow_that_there_should_be() {
    let mut database = Loop::new(setting("1..3", Reads::Replica));
    database.now += LOOK;
    database.trace.push(Point {
        at: database.now,
        millicores: 9000,
    });
    database.look(false);
    assert_eq!(database.present, count(1));
    database.look(true);
    assert_eq!(database.present, count(3));
}

#[test]
fn a_sleep_of_five_minutes_brings_back_the_smallest_number() {
    let mut database = Loop::new(setting("1..3", Reads::Any));
    database.run(60, 9000, 0);
    assert_eq!(database.present, count(3));
    database.run(300, 0, 0);
    assert_eq!(database.present, count(3));
    database.run(60, 0, 0);
    assert_eq!(database.present, count(1));
}

proptest! {
    #[test]
    fn the_number_is_in_the_range_and_more_load_never_leads_to_fewer(
        points in proptest::collection::vec((0..20u64, 0..4_000u64, 0..4_000u64), 1..200),
        present in 0..=3u8,
        range in (1..=3u8, 1..=3u8),
        reads in prop_oneof![Just(Reads::Primary), Just(Reads::Replica), Just(Reads::Any)],
        settled in any::<bool>(),
        changed in proptest::option::of(0..2000u64),
    ) {
        let (min, max) = (range.0.min(range.1), range.0.max(range.1));
        let setting = setting(&format!("{min}..{max}"), reads);
        let start = Instant::now();
        let number = |heavier: u64| {
            let mut trace = Trace::default();
            let mut now = start;
            for (seconds, load, extra) in &points {
                now += Duration::from_secs(*seconds);
                trace.push(Point { at: now, millicores: load + heavier * extra });
            }
            let changed = changed.map(|s| start + Duration::from_secs(s));
            let change = decide(setting, count(present), settled, &trace, changed, now);
            change.map_or(present, |change| change.replicas.get())
        };
        prop_assert!((min..=max).contains(&number(0)));
        prop_assert!(number(0) <= number(1));
        if reads == Reads::Primary {
            prop_assert_eq!(number(1), if present < min { min } else if present > max { max } else { min });
        }
    }
}
