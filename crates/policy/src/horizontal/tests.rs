use proptest::prelude::*;

use super::*;

/// Instances of two cores each under a load, sampled every five seconds.
struct Loop {
    fleet: Fleet,
    trace: Trace,
    changed: Option<Instant>,
    start: Instant,
    now: Instant,
    told: Vec<String>,
}

const LOOK: Duration = Duration::from_secs(5);

impl Loop {
    fn new(min: u32, max: u32) -> Self {
        let start = Instant::now();
        Self {
            fleet: Fleet {
                instances: min,
                min,
                max,
                one: 2000,
            },
            trace: Trace::default(),
            changed: None,
            start,
            now: start,
            told: Vec::new(),
        }
    }

    fn look(&mut self, demand: u64) {
        self.now += LOOK;
        let all = u64::from(self.fleet.instances) * u64::from(self.fleet.one);
        self.trace.push(Point {
            at: self.now,
            millicores: demand.min(all),
        });
        if let Some(change) = decide(self.fleet, &self.trace, self.changed, self.now) {
            let at = (self.now - self.start).as_secs();
            self.told.push(format!(
                "{at} s: {} to {}, {}",
                self.fleet.instances, change.instances, change.reason
            ));
            self.fleet.instances = change.instances;
            self.changed = Some(self.now);
        }
    }

    fn run(&mut self, seconds: u64, demand: u64) {
        for _ in 0..seconds / LOOK.as_secs() {
            self.look(demand);
        }
    }
}

#[track_caller]
fn golden(bounds: (u32, u32), trace: &[(u64, u64)], expected: &[&str]) {
    let mut fleet = Loop::new(bounds.0, bounds.1);
    for (seconds, demand) in trace {
        fleet.run(*seconds, *demand);
    }
    assert_eq!(fleet.told.join("\n"), expected.join("\n"), "{trace:?}");
}

#[test]
fn the_average_sets_a_baseline_of_four_times_itself() {
    golden((1, 20), &[(600, 400)], &[]);
    golden(
        (1, 20),
        &[(600, 400), (600, 1500), (1200, 100)],
        &[
            "630 s: 1 to 2, used 0.51 cores on average in 5 minutes",
            "765 s: 2 to 3, used 1.00 cores on average in 5 minutes",
            "1310 s: 3 to 2, used 0.98 cores on average in 5 minutes",
            "1610 s: 2 to 1, used 0.10 cores on average in 5 minutes",
        ],
    );
}

#[test]
fn a_burst_above_the_baseline_raises_it_until_it_is_five_minutes_old() {
    golden(
        (3, 20),
        &[(600, 500), (30, 6000), (600, 500)],
        &[
            "605 s: 3 to 4, used 6.00 cores at the peak of 5 minutes",
            "935 s: 4 to 3, used 0.50 cores on average in 5 minutes",
        ],
    );
}

#[test]
fn changed_bounds_are_applied() {
    golden(
        (1, 4),
        &[(60, 9000)],
        &[
            "5 s: 1 to 2, used 2.00 cores at the peak of 5 minutes",
            "10 s: 2 to 3, used 4.00 cores at the peak of 5 minutes",
            "15 s: 3 to 4, used 6.00 cores at the peak of 5 minutes",
        ],
    );
    let mut fleet = Loop::new(1, 4);
    fleet.fleet.min = 2;
    fleet.look(0);
    assert_eq!(fleet.told, ["5 s: 1 to 2, there may be 2 to 4 instances"]);
}

proptest! {
    #[test]
    fn a_constant_load_settles_with_spare_capacity(demand in 0..40_000u64, min in 0..4u32, more in 0..100u32) {
        let mut fleet = Loop::new(min, min + more);
        fleet.run(700, demand);
        let settled = fleet.told.len();
        fleet.run(1500, demand);
        prop_assert_eq!(fleet.told.len(), settled, "{:?}", fleet.told);
        let n = fleet.fleet.instances;
        prop_assert!(n == min + more || u64::from(n) * 2000 >= demand * 4 || n == 0);
    }

    #[test]
    fn more_load_never_leads_to_fewer_and_bounds_are_kept(
        points in proptest::collection::vec((0..20u64, 0..30_000u64, 0..10_000u64), 1..200),
        instances in 0..40u32,
        min in 0..10u32,
        more in 0..20u32,
        one in 0..4000u32,
        changed in proptest::option::of(0..2000u64),
    ) {
        let start = Instant::now();
        let fleet = Fleet { instances, min, max: min + more, one };
        let size = |heavier: u64| {
            let mut trace = Trace::default();
            let mut now = start;
            for (seconds, load, extra) in &points {
                now += Duration::from_secs(*seconds);
                trace.push(Point { at: now, millicores: load + heavier * extra });
                assert!(trace.points.len() <= MOST);
            }
            let changed = changed.map(|s| start + Duration::from_secs(s));
            decide(fleet, &trace, changed, now).map_or(instances, |c| c.instances)
        };
        prop_assert!(size(0) <= size(1));
        prop_assert!((min..=min + more).contains(&size(0)));
    }
}
