use proptest::prelude::*;

use super::*;

const TICK: Duration = Duration::from_millis(200);

fn range(text: &str) -> UnitRange {
    text.parse().unwrap()
}

/// A load on a server.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// CPU, in thousandths of a core.
    cpu: u32,
    /// Percent of the time spent waiting for memory.
    stall: u32,
    /// Hits of the memory limit in each sample.
    hits: u64,
    /// Out-of-memory kills in each sample.
    kills: u64,
    /// The fewest units with enough memory.
    memory: u16,
}

/// A server under load, and its autoscaler.
struct Loop {
    range: UnitRange,
    units: Units,
    seen: Sample,
    window: Window,
    changed: Option<Instant>,
    start: Instant,
    told: Vec<String>,
}

impl Loop {
    fn new(bounds: &str) -> Self {
        let start = Instant::now();
        let seen = Sample {
            at: start,
            cpu: Duration::ZERO,
            strain: Strain::default(),
        };
        let mut window = Window::default();
        window.push(seen);
        Self {
            range: range(bounds),
            units: range(bounds).min,
            seen,
            window,
            changed: None,
            start,
            told: Vec::new(),
        }
    }

    /// Takes one sample and applies the decision.
    fn tick(&mut self, load: Load, tick: Duration) {
        let budget = self.units.millicores();
        let strain = &mut self.seen.strain;
        self.seen.at += tick;
        self.seen.cpu += tick * load.cpu.min(budget) / 1000;
        strain.throttled += tick * load.cpu.saturating_sub(budget) / 1000;
        if self.units.0 < load.memory || load.memory == 0 {
            strain.stalled += tick * load.stall / 100;
            strain.limit_hits += load.hits;
            strain.oom_kills += load.kills;
        }
        self.window.push(self.seen);
        let step = decide(
            self.range,
            self.units,
            &self.window,
            self.changed,
            self.seen.at,
        );
        if let Some(step) = step {
            let at = (self.seen.at - self.start).as_secs_f64();
            let (from, to) = (self.units.0, step.units.0);
            self.told
                .push(format!("{at:.1} s: {from} to {to}, {}", step.reason));
            self.units = step.units;
            self.changed = Some(self.seen.at);
            self.window.clear();
        }
    }

    fn run(&mut self, length: Duration, load: Load) {
        let end = self.seen.at + length;
        while self.seen.at < end {
            self.tick(load, TICK);
        }
    }

    /// Follows a script: `SECONDS: WORD NUMBER, WORD NUMBER, …` on each line.
    fn follow(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let (seconds, load) = line.split_once(':').unwrap();
            let length = Duration::from_secs_f64(seconds.parse().unwrap());
            let mut wanted = Load::default();
            let mut silent = false;
            for word in load.split(',').map(str::trim) {
                let (word, number) = word.split_once(' ').unwrap_or((word, "1"));
                match word {
                    "cpu" => wanted.cpu = number.parse().unwrap(),
                    "stall" => wanted.stall = number.parse().unwrap(),
                    "hits" => wanted.hits = number.parse().unwrap(),
                    "kills" => wanted.kills = number.parse().unwrap(),
                    "memory" => wanted.memory = number.parse().unwrap(),
                    "range" => self.range = range(number),
                    "restarted" => {
                        self.seen.cpu = Duration::ZERO;
                        self.seen.strain = Strain::default();
                    }
                    "unseen" => silent = true,
                    _ => panic!("{word}"),
                }
            }
            if silent {
                self.seen.at += length;
            } else {
                self.run(length, wanted);
            }
        }
    }
}

/// The steps that follow from a script.
fn steps(bounds: &str, script: &str) -> String {
    let mut server = Loop::new(bounds);
    server.follow(script);
    server.told.join("\n")
}

#[track_caller]
fn golden(bounds: &str, script: &str, expected: &[&str]) {
    assert_eq!(
        steps(bounds, script),
        expected.join("\n"),
        "{bounds}: {script}"
    );
}

#[test]
fn a_slow_ramp_grows_unit_by_unit_and_shrinks_afterwards() {
    golden(
        "1..4",
        "10: cpu 400
         10: cpu 480
         10: cpu 920
         10: cpu 1400
         60: cpu 30",
        &[
            "10.8 s: 1 to 2, used 92 % of 1 unit over the last second",
            "21.0 s: 2 to 3, used 92 % of 2 units over the last second",
            "31.0 s: 3 to 4, used 93 % of 3 units over the last second",
            "69.2 s: 4 to 3, used 3 % of 4 units over the last 30 s, at most 56 % in a second",
            "99.2 s: 3 to 1, used 2 % of 3 units over the last 30 s, at most 2 % in a second",
        ],
    );
}

#[test]
fn a_throttled_load_skips_sizes_up_to_twice_the_size_plus_one() {
    golden(
        "1..16",
        "10: cpu 100\n 10: cpu 1800",
        &[
            "11.0 s: 1 to 3, used 100 % of 1 unit over the last second and could have used 360 %",
            "12.0 s: 3 to 5, used 100 % of 3 units over the last second and could have used 120 %",
        ],
    );
    golden(
        "1..16",
        "5: cpu 8000",
        &[
            "1.0 s: 1 to 3, used 100 % of 1 unit over the last second and could have used 1600 %",
            "2.0 s: 3 to 7, used 100 % of 3 units over the last second and could have used 533 %",
            "3.0 s: 7 to 15, used 100 % of 7 units over the last second and could have used 228 %",
            "4.0 s: 15 to 16, used 100 % of 15 units over the last second",
        ],
    );
    golden(
        "1..4",
        "5: cpu 8000",
        &[
            "1.0 s: 1 to 3, used 100 % of 1 unit over the last second and could have used 1600 %",
            "2.0 s: 3 to 4, used 100 % of 3 units over the last second",
        ],
    );
}

#[test]
fn it_shrinks_after_a_full_window_of_low_load_as_far_as_the_busiest_second_fits() {
    golden(
        "1..8",
        "5: cpu 3000\n 120: cpu 100",
        &[
            "1.0 s: 1 to 3, used 100 % of 1 unit over the last second and could have used 600 %",
            "2.0 s: 3 to 7, used 100 % of 3 units over the last second and could have used 200 %",
            "34.2 s: 7 to 6, used 5 % of 7 units over the last 30 s, at most 69 % in a second",
            "64.2 s: 6 to 1, used 3 % of 6 units over the last 30 s, at most 3 % in a second",
        ],
    );
    let spikes = " 18: cpu 100\n 2: cpu 1600\n".repeat(8);
    golden(
        "2..8",
        &format!("5: cpu 3500\n {spikes}"),
        &[
            "1.0 s: 2 to 5, used 100 % of 2 units over the last second and could have used 350 %",
            "2.0 s: 5 to 8, used 100 % of 5 units over the last second and could have used 140 %",
            "34.2 s: 8 to 7, used 7 % of 8 units over the last 30 s, at most 70 % in a second",
            "64.2 s: 7 to 4, used 7 % of 7 units over the last 30 s, at most 45 % in a second",
        ],
    );
}

#[test]
fn low_load_is_at_most_a_fifth_of_the_budget() {
    let grown =
        "1.0 s: 2 to 4, used 100 % of 2 units over the last second and could have used 150 %";
    golden("2..4", "5: cpu 1500\n 90: cpu 440", &[grown]);
    golden(
        "2..4",
        "1: cpu 1500\n 90: cpu 400",
        &[
            grown,
            "31.0 s: 4 to 2, used 20 % of 4 units over the last 30 s, at most 20 % in a second",
        ],
    );
}

#[test]
fn samples_before_a_change_do_not_count() {
    let mut server = Loop::new("1..1");
    server.run(2 * SECOND, BUSY_LOAD);
    let now = server.seen.at;
    let grows = |changed| decide(range("1..4"), Units(1), &server.window, changed, now).is_some();
    assert!(grows(None) && grows(Some(now - SECOND)) && !grows(Some(now - SECOND + TICK / 2)));
}

#[test]
fn short_memory_grows_by_one_unit() {
    golden(
        "1..3",
        "10: cpu 50, stall 23",
        &[
            "1.0 s: 1 to 2, waited for memory during 23 % of the last second",
            "2.0 s: 2 to 3, waited for memory during 23 % of the last second",
        ],
    );
    golden(
        "1..4",
        "10: cpu 50, stall 4, hits 3, memory 2",
        &[
            "1.0 s: 1 to 2, waited for memory during 4 % of the last second and reached its limit 15 times",
        ],
    );
    golden(
        "1..4",
        "10: cpu 50, kills 1, memory 2",
        &["1.0 s: 1 to 2, something in it was killed for want of memory"],
    );
}

#[test]
fn neither_reclaim_alone_nor_short_stalls_are_a_shortage_of_memory() {
    golden("1..4", "60: cpu 50, hits 900", &[]);
    golden("1..4", "60: cpu 50, stall 9", &[]);
}

#[test]
fn a_size_too_small_for_its_memory_is_retried_with_growing_delays() {
    let short = "1 to 2, waited for memory during 30 % of the last second";
    let calm = "2 to 1, used 5 % of 2 units over the last 30 s, at most 5 % in a second";
    let expected = [
        ("1.0", short),
        ("601.0", calm),
        ("602.0", short),
        ("1802.0", calm),
        ("1803.0", short),
        ("4203.0", calm),
        ("4204.0", short),
        ("9004.0", calm),
        ("9005.0", short),
    ];
    let expected = expected.map(|(at, what)| format!("{at} s: {what}"));
    assert_eq!(
        steps("1..4", "10000: cpu 50, stall 30, memory 2"),
        expected.join("\n")
    );
}

#[test]
fn a_changed_range_is_applied_at_once() {
    golden(
        "1..4",
        "1: cpu 10\n 1: cpu 10, range 2..4",
        &["1.2 s: 1 to 2, the range is 2..4 now"],
    );
    golden(
        "1..4",
        "10: cpu 1900\n 1: cpu 1900, range 1..2",
        &[
            "1.0 s: 1 to 3, used 100 % of 1 unit over the last second and could have used 380 %",
            "2.0 s: 3 to 4, used 100 % of 3 units over the last second",
            "10.2 s: 4 to 2, the range is 1..2 now",
        ],
    );
}

#[test]
fn after_a_gap_it_shrinks_only_with_a_full_window_without_gaps() {
    golden(
        "1..4",
        "10: cpu 480\n 20: cpu 50\n 3: unseen\n 40: cpu 50",
        &[
            "1.0 s: 1 to 2, used 96 % of 1 unit over the last second",
            "63.2 s: 2 to 1, used 5 % of 2 units over the last 30 s, at most 5 % in a second",
        ],
    );
}

#[test]
fn a_new_process_begins_a_new_window() {
    golden(
        "1..4",
        "0.8: cpu 480\n 3: cpu 480, restarted",
        &["2.0 s: 1 to 2, used 96 % of 1 unit over the last second"],
    );
}

#[test]
fn old_samples_cause_no_change() {
    let mut server = Loop::new("1..4");
    for _ in 0..4 {
        server.tick(BUSY_LOAD, TICK);
    }
    let mut late = server.seen;
    late.at += TICK;
    late.cpu += TICK / 2;
    server.window.push(late);
    let decided = |after| {
        let now = late.at + after;
        decide(server.range, Units(1), &server.window, None, now).is_some()
    };
    assert!(decided(Duration::ZERO) && decided(2 * SECOND) && !decided(3 * SECOND));
}

#[test]
fn invalid_ranges_cause_no_panic() {
    let odd = |min, max| UnitRange {
        min: Units(min),
        max: Units(max),
    };
    let at = |range, units| {
        let step = decide(
            range,
            Units(units),
            &Window::default(),
            None,
            Instant::now(),
        );
        step.map_or(units, |s| s.units.0)
    };
    assert_eq!(
        (at(odd(0, 0), 0), at(odd(4, 2), 1), at(odd(4, 2), 9)),
        (1, 4, 4)
    );
}

const SECOND: Duration = Duration::from_secs(1);
const BUSY_LOAD: Load = Load {
    cpu: 1000,
    stall: 0,
    hits: 0,
    kills: 0,
    memory: 0,
};

fn any_load() -> impl Strategy<Value = Load> {
    (0..6000u32, 0..20u32, 0..4u64, 0..30u64, 0..8u16).prop_map(
        |(cpu, stall, hits, kills, memory)| Load {
            cpu,
            stall,
            hits,
            kills: u64::from(kills == 0),
            memory,
        },
    )
}

fn any_range() -> impl Strategy<Value = UnitRange> {
    (1..6u16, 0..16u16).prop_map(|(min, more)| UnitRange {
        min: Units(min),
        max: Units(min + more),
    })
}

/// Samples: length in milliseconds, CPU and throttled share in percent.
fn any_looks() -> impl Strategy<Value = Vec<(u64, u32, u32)>> {
    proptest::collection::vec((100..400u64, 0..150u32, 0..300u32), 0..200)
}

fn window(looks: impl IntoIterator<Item = (u64, u32, u32)>, start: Instant) -> (Window, Instant) {
    let mut window = Window::default();
    let mut sample = Sample {
        at: start,
        cpu: Duration::ZERO,
        strain: Strain::default(),
    };
    window.push(sample);
    for (ms, cpu, throttled) in looks {
        let tick = Duration::from_millis(ms);
        sample.at += tick;
        sample.cpu += tick * cpu / 100;
        sample.strain.throttled += tick * throttled / 100;
        window.push(sample);
    }
    (window, sample.at)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_size_never_leaves_the_range(
        bounds in any_range(),
        turns in proptest::collection::vec((any_load(), 0..60u32, any::<bool>(), any_range()), 1..8),
    ) {
        let mut server = Loop::new("1..1");
        server.range = bounds;
        for (load, looks, unseen, next) in turns {
            for _ in 0..looks {
                server.tick(load, TICK);
                prop_assert!(server.range.min <= server.units && server.units <= server.range.max);
            }
            if unseen {
                server.seen.at += looks * SECOND;
            }
            server.range = next;
        }
    }

    #[test]
    fn a_constant_load_settles(
        bounds in any_range(),
        units in 1..20u16,
        cpu in 0..12_000u32,
        ticks in proptest::collection::vec(100..400u64, 1..20),
    ) {
        let mut server = Loop::new("1..1");
        server.range = bounds;
        server.units = Units(units);
        let load = Load { cpu, ..Load::default() };
        let mut ticks = ticks.into_iter().cycle().map(Duration::from_millis);
        let mut run = |server: &mut Loop, seconds: u32| {
            let end = server.seen.at + seconds * SECOND;
            while server.seen.at < end {
                server.tick(load, ticks.next().unwrap());
            }
        };
        // up takes five seconds at most, down a window for each third
        run(&mut server, 130);
        let settled = server.told.len();
        run(&mut server, 130);
        prop_assert_eq!(server.told.len(), settled, "{:?}", server.told);
    }

    #[test]
    fn a_periodic_load_settles(
        bounds in any_range(),
        units in 1..20u16,
        round in proptest::collection::vec(prop_oneof![0..400u32, 0..8000u32], 1..25),
    ) {
        let mut server = Loop::new("1..1");
        server.range = bounds;
        server.units = Units(units);
        let mut round = round.into_iter().cycle();
        let mut run = |server: &mut Loop, looks: u32| {
            for _ in 0..looks {
                server.tick(Load { cpu: round.next().unwrap(), ..Load::default() }, TICK);
            }
        };
        run(&mut server, 150 * 5);
        let settled = server.told.len();
        run(&mut server, 100 * 5);
        prop_assert_eq!(server.told.len(), settled, "{:?}", server.told);
    }

    #[test]
    fn more_load_never_leads_to_a_smaller_size(
        looks in any_looks(),
        more in proptest::collection::vec((0..100u32, 0..100u32), 200),
        bounds in any_range(),
        units in 1..20u16,
    ) {
        let start = Instant::now();
        let heavier = looks.iter().zip(more).map(|((ms, cpu, throttled), (c, t))| (*ms, cpu + c, throttled + t));
        let size = |(window, now): (Window, Instant)| {
            decide(bounds, Units(units), &window, None, now).map_or(Units(units), |s| s.units)
        };
        prop_assert!(size(window(looks.clone(), start)) <= size(window(heavier, start)));
    }

    #[test]
    fn any_samples_are_accepted_and_few_are_kept(
        samples in proptest::collection::vec((0..40_000u64, 0..1000u64, any::<[u8; 4]>()), 0..2000),
        steady in any::<bool>(),
        changed in proptest::option::of(0..40_000u64),
        now in 0..80_000u64,
        bounds in any_range(),
        units in any::<u16>(),
    ) {
        let start = Instant::now();
        let moment = |ms| start + Duration::from_millis(ms);
        let mut window = Window::default();
        let mut at = 0;
        for (ms, cpu, [a, b, c, d]) in samples {
            at = if steady { at + ms / 1000 } else { ms };
            let cpu = if steady { at } else { cpu };
            let [throttled, stalled] = [a, b].map(|x| Duration::from_millis(x.into()));
            let strain = Strain { throttled, stalled, limit_hits: c.into(), oom_kills: d.into() };
            let strain = if steady { Strain::default() } else { strain };
            window.push(Sample { at: moment(at), cpu: Duration::from_millis(cpu), strain });
            prop_assert!(window.since(None).len() <= 303);
        }
        let step = decide(bounds, Units(units), &window, changed.map(moment), moment(now));
        if let Some(SizeStep { units, .. }) = step {
            prop_assert!(bounds.min <= units && units <= bounds.max);
        }
    }
}
