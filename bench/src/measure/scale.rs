//! E9 and E16: how soon a database under load has more CPU, the gain in throughput, and how soon it
//! shrinks. The server process must stay the same, and no statement may fail.

mod plot;
mod watch;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::{Created, Dormouse};
use jiff::Timestamp;
use serde_json::Value;

use super::load::{self, Count, Load};
use super::millis;
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::sleepy_dormouse;
use crate::say;
use crate::stats::{median, ratios};

use watch::{Budget, Seen, Watch};

/// Minimum units of the scaled database; two units are a core.
const LEAST: u32 = 1;

/// Clients of the load.
const CLIENTS: usize = 8;

/// Time limits for the growth to the maximum, and for the fall to the minimum, which begins after
/// half a minute of rest.
const RAISED_WITHIN: Duration = Duration::from_secs(30);
const LOWERED_WITHIN: Duration = Duration::from_secs(120);

/// Rest before and after the load.
const REST: Duration = Duration::from_secs(2);

/// Maximum units of the scaled database: 4, or half a core less than the machine has, since the clients
/// need CPU.
fn most() -> anyhow::Result<u32> {
    let cores = std::thread::available_parallelism()?.get();
    Ok(u32::try_from(2 * cores - 1)?.clamp(2, 4))
}

/// A database under load.
struct Tenant<'a> {
    dormouse: &'a Dormouse,
    name: &'static str,
    most: u32,
    who: Created,
    server: u32,
    budget: Budget,
}

/// A change of size, from the ledger.
struct Scaled {
    at: Timestamp,
    took_ms: f64,
}

/// Results of a round.
struct Round {
    /// From the first statement to the first raise, and to the last, in ms.
    first_raise: f64,
    last_raise: f64,
    /// Statements per second with the maximum units, and of the database that always has them.
    scaled: f64,
    fixed: f64,
    /// The longest change of size up and down, from its decision, in ms.
    growth: f64,
    shrink: f64,
    failed: u64,
    pictured: Pictured,
}

/// Data of the plot.
struct Pictured {
    began: Instant,
    ended: Instant,
    seen: Seen,
}

/// Runs the rounds; draws the last one if requested.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let dormouse = sleepy_dormouse(options, "");
    let most = most()?;
    let scaled = Tenant::make(&dormouse, "scaled", LEAST..=most)?;
    let fixed = Tenant::make(&dormouse, "fixed", most..=most)?;
    let mut rounds = Vec::new();
    for number in 1..=options.rounds() {
        let last = number == options.rounds();
        let fixed_first = number % 2 == 1;
        let round = match one_round(options, &scaled, &fixed, fixed_first, last) {
            Ok(round) => round,
            Err(error) => {
                say(&format!("E9 round {number} does not count: {error:#}"));
                continue;
            }
        };
        say(&format!(
            "E9 round {number} of {}: raised after {:.0} ms, to the most after {:.0} ms",
            options.rounds(),
            round.first_raise,
            round.last_raise
        ));
        rounds.push(round);
    }
    anyhow::ensure!(!rounds.is_empty(), "E9: no round has come to its end");
    let lost = options.rounds() as usize - rounds.len();
    let what = "rounds in which it did not grow to the most, or back";
    report.figure("E9", what, lost as f64, Unit::Count);
    show(&rounds, most, report);
    if let Some((path, last)) = options.plot.as_ref().zip(rounds.last()) {
        plot::draw(&last.pictured, path).with_context(|| format!("drawing {}", path.display()))?;
    }
    Ok(())
}

/// Runs a round. In the last one the scaled database shrinks by itself, after half a minute of rest;
/// in the others because its range is changed.
fn one_round(
    options: &Options,
    scaled: &Tenant<'_>,
    fixed: &Tenant<'_>,
    fixed_first: bool,
    last: bool,
) -> anyhow::Result<Round> {
    let time = Duration::from_secs(options.seconds().into());
    let mut always = None;
    if fixed_first {
        always = Some(fixed.throughput(time)?);
    }
    scaled.budget.until(LEAST, LOWERED_WITHIN)?;

    let count = Arc::new(Count::default());
    let watch = Watch::begin(&scaled.budget, scaled.server, &count);
    sleep(REST);
    let loaded = Timestamp::now();
    let load = Load::start(scaled.dormouse, &scaled.who, CLIENTS, &count);
    let began = load.began;
    let reached = scaled.budget.until(scaled.most, RAISED_WITHIN);
    let per_second = rate(&count, time);
    let ended = load.stop();
    let calm = Timestamp::now();
    if !last {
        scaled.resize(LEAST..=LEAST);
    }
    let left = scaled.budget.until(LEAST, LOWERED_WITHIN);
    sleep(REST);
    let seen = watch.end()?;
    scaled.resize(LEAST..=scaled.most);
    reached.and(left)?;
    let always = match always {
        Some(always) => always,
        None => fixed.throughput(time)?,
    };

    let server = scaled.dormouse.server(scaled.name);
    anyhow::ensure!(server == scaled.server, "it got another server");
    let raised = |at: Option<&Instant>| {
        at.map(|at| millis(*at - began))
            .context("it was never raised")
    };
    let changes = scaled.changes()?;
    let longest = |from: Timestamp, to: Timestamp| {
        let between = changes.iter().filter(|c| (from..to).contains(&c.at));
        let times = between.map(|change| change.took_ms);
        times
            .reduce(f64::max)
            .context("the ledger has no change of size")
    };
    Ok(Round {
        first_raise: raised(seen.raises.first())?,
        last_raise: raised(seen.raises.last())?,
        scaled: per_second,
        fixed: always,
        growth: longest(loaded, calm)?,
        shrink: longest(calm, Timestamp::now())?,
        failed: count.failed(),
        pictured: Pictured { began, ended, seen },
    })
}

/// The range as a command-line argument.
fn written(units: &RangeInclusive<u32>) -> String {
    format!("{}..{}", units.start(), units.end())
}

/// Statements per second, over `time` from now on.
fn rate(count: &Count, time: Duration) -> f64 {
    let (began, before) = (Instant::now(), count.answered());
    sleep(time);
    (count.answered() - before) as f64 / began.elapsed().as_secs_f64()
}

impl<'a> Tenant<'a> {
    /// Creates a database with these units.
    fn make(
        dormouse: &'a Dormouse,
        name: &'static str,
        units: RangeInclusive<u32>,
    ) -> anyhow::Result<Self> {
        let who = dormouse.create(name, &["--units", &written(&units)]);
        load::fill(dormouse, &who);
        let server = dormouse.server(name);
        let instance = dormouse.show(name)["instance"].as_u64();
        let budget = Budget::of(server, instance.context("it has an instance")?)?;
        Ok(Self {
            dormouse,
            name,
            most: *units.end(),
            who,
            server,
            budget,
        })
    }

    /// Statements per second at the current size.
    fn throughput(&self, time: Duration) -> anyhow::Result<f64> {
        let count = Arc::new(Count::default());
        let load = Load::start(self.dormouse, &self.who, CLIENTS, &count);
        // about as long as the other database is under load before it is measured
        sleep(REST);
        let per_second = rate(&count, time);
        load.stop();
        anyhow::ensure!(count.failed() == 0, "a statement has failed");
        Ok(per_second)
    }

    /// Changes its range of units.
    fn resize(&self, units: RangeInclusive<u32>) {
        let command = ["set", self.name, "--units", &written(&units)];
        let _ = self.dormouse.json(&command);
    }

    /// Its changes of size, from the ledger.
    fn changes(&self) -> anyhow::Result<Vec<Scaled>> {
        let events = self.dormouse.json(&["events", self.name]);
        let events = events.as_array().context("a list of events")?;
        let scaled = events.iter().filter(|event| event["event"] == "scaled");
        scaled.map(Scaled::read).collect()
    }
}

impl Scaled {
    fn read(event: &Value) -> anyhow::Result<Self> {
        let at = event["at"].as_str().context("an event has a time")?;
        Ok(Self {
            at: at.parse()?,
            took_ms: event["duration_ms"]
                .as_f64()
                .context("a change of size takes time")?,
        })
    }
}

fn show(rounds: &[Round], most: u32, report: &mut Report) {
    let all = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<f64>>();
    let [first, last] = [all(|r| r.first_raise), all(|r| r.last_raise)];
    let [scaled, fixed] = [all(|r| r.scaled), all(|r| r.fixed)];
    let worth = ratios(&scaled, &fixed);
    let (ms, qps) = (Unit::Milliseconds, Unit::QueriesPerSecond);
    report.raw("E9 load to first raise", ms, &first);
    report.raw("E9 load to most", ms, &last);
    report.raw("E9 scaled", qps, &scaled);
    report.raw("E9 fixed", qps, &fixed);
    let what = "load to the first raise of CPU, p50";
    report.promise("E9", what, median(&first), ms, Target::AtMost(1500.0));
    let what = format!("load to {most} units of {LEAST}..{most}, p50");
    report.figure("E9", what, median(&last), ms);
    let what = format!("statements with {most} units from the start");
    report.figure("E9", what, median(&fixed), qps);
    let what = format!("once grown to {most} units ÷ with {most} from the start");
    report.promise(
        "E9",
        what,
        median(&worth),
        Unit::Ratio,
        Target::AtLeast(0.95),
    );
    let failed = rounds.iter().map(|r| r.failed as f64).sum();
    report.promise(
        "E9",
        "statements that failed",
        failed,
        Unit::Count,
        Target::AtMost(0.0),
    );
    for (way, times) in [("growth", all(|r| r.growth)), ("shrink", all(|r| r.shrink))] {
        report.raw(format!("E16 {way}"), ms, &times);
        let what = format!("{way} of a running server, the longest, from decision to end");
        let longest = times.into_iter().fold(0.0, f64::max);
        report.promise("E16", what, longest, ms, Target::AtMost(5000.0));
    }
}
