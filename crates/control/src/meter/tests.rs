use proptest::prelude::*;

use super::*;
use crate::calendar::MINUTE;
use dormouse_types::State;

/// 2026-03-01 00:00.
const START: i64 = 20_513 * DAY;
const HOUR: i64 = 60 * MINUTE;

fn start() -> Moment {
    Moment {
        wall: START,
        at: Instant::now(),
    }
}

impl Moment {
    fn after(self, ms: i64) -> Self {
        Self {
            wall: self.wall + ms,
            at: self.at + Duration::from_millis(ms.unsigned_abs()),
        }
    }
}

fn meter(now: Moment) -> Meter {
    Meter::new("shop".parse().unwrap(), InstanceId(7), Units(1), now)
}

fn process(pid: u32) -> Option<Incarnation> {
    Some(Incarnation(u128::from(pid)))
}

fn seen(state: State, pid: Option<u32>, cpu_ms: u64) -> Seen {
    Seen {
        incarnation: pid.and_then(process),
        cpu: Some(Duration::from_millis(cpu_ms)),
        state,
        units: Units(1),
        memory: Some(Bytes::mib(20)),
        storage: Some(Bytes::mib(100)),
        carried: Carried::default(),
    }
}

fn awake(pid: u32, cpu_ms: u64) -> Seen {
    seen(State::Active, Some(pid), cpu_ms)
}

/// All unwritten counts, by day since [`START`], as `day: cpu ms, active ms, memory and storage in MiB times
/// hours`.
fn days(book: &Book) -> Vec<String> {
    let line = |(day, Metered { used, .. }): (&i64, &Metered)| {
        format!(
            "{}: {} {} {} {}",
            day - START / DAY,
            used.cpu_us / 1000,
            used.active_ms,
            used.memory_mib_ms / HOUR.unsigned_abs(),
            used.storage_mib_ms / HOUR.unsigned_abs()
        )
    };
    book.days.iter().map(line).collect()
}

#[test]
fn what_a_server_has_used_before_it_serves_the_database_is_not_counted() {
    let now = start();
    let mut meter = meter(now);
    meter.see(now, awake(1, 500));
    meter.see(now.after(1000), awake(1, 900));
    // a replica takes its place: it has used much
    meter.hand_over();
    meter.see(now.after(2000), awake(2, 700_000));
    assert_eq!(meter.total(now.after(2000)).cpu_us, 900_000);
    meter.see(now.after(3000), awake(2, 700_100));
    assert_eq!(meter.total(now.after(3000)).cpu_us, 1_000_000);
    // a server that is started counts from its start
    meter.see(now.after(4000), awake(3, 50));
    assert_eq!(meter.total(now.after(4000)).cpu_us, 1_050_000);
}

#[test]
fn a_sleep_is_counted_when_it_ends_and_split_by_days() {
    let t = start().after(22 * HOUR);
    let mut meter = meter(t);
    meter.see(t, awake(5, 100));
    meter.see(t.after(HOUR), seen(State::Parked, None, 150));
    assert!(meter.take().is_some());
    for hour in 1..30 {
        meter.see(t.after(hour * HOUR), seen(State::Parked, None, 150));
        assert!(
            meter.take().is_none(),
            "it sleeps: nothing is to be written"
        );
    }
    let asked = meter.unwritten(t.after(30 * HOUR));
    assert_eq!(
        days(&asked),
        ["0: 0 0 0 100", "1: 0 0 0 2400", "2: 0 0 0 400"]
    );
    meter.see(t.after(30 * HOUR), awake(6, 90));
    assert_eq!(
        days(&meter.book),
        ["0: 0 0 0 100", "1: 0 0 0 2400", "2: 90 0 0 400"]
    );
    assert_eq!(
        meter.book.minutes.len(),
        1,
        "a sleep is not told by the minute"
    );
}

#[test]
fn rates_follow_the_state() {
    let t = start();
    for (state, pid, expected) in [
        (State::Waking, Some(5), "0: 0 0 2048 100"),
        (State::Active, Some(5), "0: 0 3600000 2048 100"),
        (State::Suspending, Some(5), "0: 0 0 2048 100"),
        (State::Suspended, Some(5), "0: 0 0 20 100"),
        (State::Parking, Some(5), "0: 0 0 2048 100"),
        (State::Parked, None, "0: 0 0 0 100"),
        (State::Active, None, "0: 0 0 0 100"),
        (State::Failed, None, "0: 0 0 0 100"),
    ] {
        let mut meter = meter(t);
        meter.see(t, seen(state, pid, 0));
        assert_eq!(days(&meter.unwritten(t.after(HOUR))), [expected], "{state}");
    }
}

#[test]
fn each_process_is_counted_from_its_start_to_its_last_count() {
    let t = start();
    let mut meter = meter(t);
    for (step, total) in [
        (awake(5, 100), 100),
        (awake(5, 130), 130),
        // another way to read the counter gives less: that is ignored
        (awake(5, 129), 130),
        (awake(5, 131), 131),
        // it has ended; observed twice
        (seen(State::Active, None, 140), 140),
        (seen(State::Active, None, 140), 140),
        (awake(6, 70), 210),
        // another process was started at once in its place
        (awake(7, 10), 220),
    ] {
        meter.see(t, step);
        assert_eq!(meter.total(t).cpu_us, total * 1000, "{step:?}");
    }
    let unknown = Seen {
        cpu: None,
        ..awake(7, 0)
    };
    meter.see(t, unknown);
    meter.see(t, awake(7, 15));
    assert_eq!(meter.total(t).cpu_us, 225_000);
}

fn resumed(mark: Mark, now: Moment) -> Meter {
    let spent = (Month::of_day(0), Metered::default());
    Meter::resumed(
        "shop".parse().unwrap(),
        InstanceId(7),
        Units(1),
        (mark, spent),
        now,
    )
}

#[test]
fn after_a_kill_counting_continues_from_the_mark() {
    let t = start();
    let mut meter = meter(t);
    meter.see(t, awake(5, 100));
    let mark = meter.take().unwrap().mark;
    let hour = t.after(HOUR);

    let mut alive = resumed(mark, hour);
    alive.see(hour, awake(5, 300));
    assert_eq!(days(&alive.book), ["0: 200 3600000 2048 100"]);

    // the process ended meanwhile, at an unknown time
    let mut ended = resumed(mark, hour);
    ended.see(hour, seen(State::Active, None, 250));
    assert_eq!(days(&ended.book), ["0: 150 0 0 100"]);

    let mut another = resumed(mark, hour);
    another.see(hour, awake(6, 80));
    assert_eq!(days(&another.book), ["0: 80 0 0 100"]);

    // the calendar was set back, or is wrong
    for (wall, ms) in [(t.wall - DAY, 0), (t.wall + 9999 * DAY, LONGEST)] {
        let hour = Moment { wall, ..hour };
        let mut meter = resumed(mark, hour);
        meter.see(hour, awake(5, 100));
        assert_eq!(meter.total(hour).active_ms, ms.unsigned_abs());
    }
}

#[test]
fn setting_the_calendar_moves_time_but_does_not_change_its_length() {
    let t = start();
    for step in [-HOUR, HOUR, -DAY, DAY] {
        let mut meter = meter(t);
        meter.see(t, awake(5, 0));
        for second in 1..=10 {
            let mut now = t.after(second * 1000);
            if second > 5 {
                now.wall += step;
            }
            meter.see(now, awake(5, second.unsigned_abs()));
        }
        let total = meter.book.total;
        assert_eq!((total.active_ms, total.cpu_us), (10_000, 10_000));
    }
}

#[test]
fn past_its_limit_the_baseline_is_free() {
    let t = start();
    let mut meter = meter(t);
    let statements = |statements| Carried {
        statements,
        ..Carried::default()
    };
    let see = |meter: &mut Meter, ms, units, cpu_ms, sent| {
        let seen = Seen {
            units: Units(units),
            carried: statements(sent),
            ..awake(5, cpu_ms)
        };
        meter.see(t.after(ms), seen);
    };
    let charged = |meter: &Meter| {
        let charged = meter.spent(t.after(9000)).charged;
        let (cpu, memory) = (charged.cpu_us / 1000, charged.memory_mib_ms / 2048);
        (cpu, memory, charged.carried.statements)
    };
    see(&mut meter, 0, 2, 0, 0);
    see(&mut meter, 1000, 2, 900, 10);
    meter.set_rung(t.after(1000), Rung::Slow);
    assert_eq!(charged(&meter).0, 900);
    // it still has two units: half a CPU and two GiB are free
    see(&mut meter, 2000, 1, 1800, 20);
    meter.set_rung(t.after(2000), Rung::ReadOnly);
    assert_eq!(charged(&meter), (900 + 400, 2000 + 1000, 10));
    // now it has only the free baseline
    see(&mut meter, 9000, 1, 5400, 30);
    assert_eq!(charged(&meter), (900 + 400, 2000 + 1000, 10));
    let spent = meter.spent(t.after(9000));
    assert_eq!(spent.used.cpu_us, 5_400_000);
    assert_eq!(spent.used.carried, statements(30));
    // its files are charged
    assert_eq!(spent.charged.storage_mib_ms, spent.used.storage_mib_ms);
}

#[test]
fn a_month_begins_at_zero() {
    let t = start().after(31 * DAY - HOUR);
    let mut meter = meter(t);
    meter.see(t, awake(5, 100));
    meter.see(t.after(2 * HOUR), awake(5, 300));
    assert_eq!(
        meter.spent(t.after(2 * HOUR)).used.active_ms,
        HOUR.unsigned_abs()
    );
    let next = meter.spent(t.after(2 * HOUR + 31 * DAY)).used;
    assert_eq!(next.cpu_us, 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Time passes, with this CPU time for each second awake, and statements.
    Pass {
        ms: i64,
        cpu_us: u64,
        statements: u64,
    },
    Look,
    /// It enters a state, or gets this many units; both are written at once.
    Become(State),
    Resize(u16),
    Grow(u64),
    /// The server dies, and another is started in its place.
    Die,
    Write,
    /// The catalog cannot be written.
    CannotWrite,
    /// Its limit is exceeded, or no longer.
    Rung(bool),
    /// The calendar is set.
    Set(i64),
    /// Dormouse is killed, and starts again later.
    Kill {
        ms: i64,
        cpu_us: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let ms = prop_oneof![1..5_000i64, 1..HOUR, 1..5 * DAY];
    let state = prop_oneof![
        Just(State::Active),
        Just(State::Suspended),
        Just(State::Parked)
    ];
    let pass =
        (ms.clone(), 0..1_000_000u64, 0..9u64).prop_map(|(ms, cpu_us, statements)| Step::Pass {
            ms,
            cpu_us,
            statements,
        });
    prop_oneof![
        4 => pass,
        4 => Just(Step::Look),
        3 => state.prop_map(Step::Become),
        1 => (1..5u16).prop_map(Step::Resize),
        1 => (0..999u64).prop_map(Step::Grow),
        1 => Just(Step::Die),
        3 => Just(Step::Write),
        1 => Just(Step::CannotWrite),
        1 => any::<bool>().prop_map(Step::Rung),
        1 => (-2 * DAY..2 * DAY).prop_map(Step::Set),
        2 => (ms, 0..1_000_000u64).prop_map(|(ms, cpu_us)| Step::Kill { ms, cpu_us }),
    ]
}

/// A database, its meter and the written counts, with the expected values.
struct Truth {
    now: Moment,
    meter: Meter,
    mark: Mark,
    state: State,
    pid: u32,
    cpu_us: u64,
    units: Units,
    storage_mib: u64,
    carried: Carried,
    /// The counter at the last observation, and at the last write.
    looked: u64,
    written: u64,
    sum: Metered,
    minutes: Metered,
    used: Usage,
    slow: bool,
    /// The charged part of its memory.
    paid_memory: u64,
}

impl Truth {
    fn new() -> Self {
        let now = start();
        let mut meter = meter(now);
        meter.see(now, awake(1, 0));
        let mark = meter.take().unwrap().mark;
        Self {
            now,
            meter,
            mark,
            state: State::Active,
            pid: 1,
            cpu_us: 0,
            units: Units(1),
            storage_mib: 100,
            carried: Carried::default(),
            looked: 0,
            written: 0,
            sum: Metered::default(),
            minutes: Metered::default(),
            used: Usage::default(),
            slow: false,
            paid_memory: 0,
        }
    }

    fn pass(&mut self, ms: i64, cpu_us: u64, statements: u64) {
        self.now = self.now.after(ms);
        let time = ms.unsigned_abs();
        let mut used = Usage {
            storage_mib_ms: self.storage_mib * time,
            memory_mib_ms: time
                * match self.state {
                    State::Active => self.units.memory().0 >> 20,
                    State::Suspended => 20,
                    _ => 0,
                },
            ..Usage::default()
        };
        if self.state == State::Active {
            used.cpu_us = cpu_us * time / 1000;
            used.active_ms = time;
            used.carried.statements = statements;
            self.cpu_us += used.cpu_us;
            self.carried.statements += statements;
        }
        self.used += used;
        // past its limit two GiB are free, and half a CPU
        let paid = match (self.slow, self.state) {
            (false, _) => used.memory_mib_ms,
            (true, State::Active) => used.memory_mib_ms - 2048 * time,
            (true, _) => 0,
        };
        self.paid_memory += paid;
    }

    fn look(&mut self) {
        let runs = self.state != State::Parked;
        self.meter.see(
            self.now,
            Seen {
                incarnation: runs.then_some(self.pid).and_then(process),
                cpu: Some(Duration::from_micros(self.cpu_us)),
                state: self.state,
                units: self.units,
                memory: Some(Bytes::mib(20)),
                storage: Some(Bytes::mib(self.storage_mib)),
                carried: self.carried,
            },
        );
        self.looked = self.carried.statements;
    }

    fn write(&mut self) {
        if let Some(taken) = self.meter.take() {
            self.mark = taken.mark;
            taken.days.values().for_each(|day| self.sum += *day);
            taken
                .minutes
                .values()
                .for_each(|minute| self.minutes += *minute);
        }
        self.written = self.looked;
    }

    fn next_process(&mut self) {
        self.pid += 1;
        self.cpu_us = 0;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass {
                ms,
                cpu_us,
                statements,
            } => self.pass(ms, cpu_us, statements),
            Step::Look => self.look(),
            Step::Become(state) => {
                self.look();
                if self.state == State::Parked && state != State::Parked {
                    self.next_process();
                }
                self.state = state;
                self.look();
                self.write();
            }
            Step::Resize(units) => {
                self.units = Units(units);
                self.look();
                self.write();
            }
            Step::Grow(storage_mib) => {
                self.storage_mib = storage_mib;
                self.meter.storage(self.now, Bytes::mib(storage_mib));
                self.write();
            }
            Step::Die if self.state != State::Parked => {
                let was = std::mem::replace(&mut self.state, State::Parked);
                self.look();
                self.state = was;
                self.next_process();
                self.look();
                self.write();
            }
            Step::Die => {}
            Step::Write => self.write(),
            Step::CannotWrite => {
                if let Some(taken) = self.meter.take() {
                    self.meter.put_back(taken);
                }
            }
            Step::Rung(slow) => {
                let rung = if slow { Rung::Slow } else { Rung::Free };
                self.look();
                self.meter.set_rung(self.now, rung);
                self.slow = slow;
                self.write();
            }
            Step::Set(by) => {
                self.look();
                self.now.wall += by;
                self.pass(1, 0, 0);
                // a mark by the old calendar would be wrong for the next run
                self.step(Step::Grow(self.storage_mib + 1));
            }
            Step::Kill { ms, cpu_us } => {
                self.used.carried.statements -= self.carried.statements - self.written;
                self.carried = Carried::default();
                (self.looked, self.written) = (0, 0);
                self.pass(ms, cpu_us, 0);
                self.meter = resumed(self.mark, self.now);
                self.look();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The written counts are always the true use, except for the statements since the last write before a
    /// kill.
    #[test]
    fn written_totals_equal_the_true_use(steps in prop::collection::vec(step(), 1..60)) {
        let mut truth = Truth::new();
        for step in steps.iter().copied() {
            truth.step(step);
            let told = truth.meter.unwritten(truth.now);
            let mut sum = truth.sum;
            told.days.values().for_each(|day| sum += *day);
            // use that depends on time only is known without an observation
            prop_assert_eq!(sum.used.active_ms, truth.used.active_ms, "{:?}", step);
        }
        truth.look();
        truth.write();
        let asleep = truth.meter.unwritten(truth.now);
        asleep.days.values().for_each(|day| truth.sum += *day);
        prop_assert_eq!(truth.sum.used, truth.used);
        let charged = truth.sum.charged;
        prop_assert_eq!(charged.storage_mib_ms, truth.used.storage_mib_ms);
        prop_assert_eq!(charged.memory_mib_ms, truth.paid_memory);
        prop_assert!(charged.cpu_us <= truth.used.cpu_us);
        if !steps.iter().any(|step| matches!(step, Step::Rung(true))) {
            prop_assert_eq!(charged, truth.used);
        }
        prop_assert!(truth.minutes.used.storage_mib_ms <= truth.used.storage_mib_ms);
        prop_assert_eq!(truth.minutes.used.cpu_us, truth.used.cpu_us);
    }
}
