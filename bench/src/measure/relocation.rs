//! P12: a database moves under load.

use std::path::Path;
use std::time::{Duration, Instant};

use dormouse_api::model::{MoveDone, MoveRequest};
use dormouse_types::DatabaseName;

use super::Orders;
use super::traffic::{Seen, Traffic, fill};
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::sleepy_dormouse_with;
use crate::stats::{median, percentile};
use crate::{cleanup, say};

const NAME: &str = "mover";

/// Targets: of a move in all, and of its longest statement.
const SECONDS: f64 = 30.0;
const PAUSE_MS: f64 = 250.0;

/// Moves in a round. A server without a log is restarted for the first one; the second one finds the log of the first.
const MOVES: [&str; 2] = ["server restarted to keep a log", "server keeps a log"];

/// Figures of all rounds of one kind of move.
#[derive(Default)]
struct Figures {
    /// Seconds.
    took: Vec<f64>,
    /// Milliseconds: of the switch alone, as Dormouse tells it.
    switched: Vec<f64>,
    /// Milliseconds: the longest statement of the move, and the percentile 99.9 of all of the move.
    longest: Vec<f64>,
    most: Vec<f64>,
}

/// Runs the rounds.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new()
        .prefix("dmroot")
        .tempdir_in("/tmp")?;
    cleanup::remember(dir.path());
    let other = dir.path().join("root");
    let dormouse = sleepy_dormouse_with(
        options,
        &format!("data_dirs = ['{}']\n", other.display()),
        "",
    );
    let rows = options.moved_rows();
    let who = dormouse.create(NAME, &["--units", "2..2"]);
    say(&format!("P12: filling a table of {rows} rows"));
    fill(&dormouse, &who, rows);
    let orders = Orders::to(&dormouse)?;
    let name: DatabaseName = NAME.parse()?;
    let roots = [other, dormouse.data_dir()];
    let mut figures = MOVES.map(|_| Figures::default());
    let (mut quiet, mut failed) = (Vec::new(), 0);
    for round in 1..=options.rounds() {
        // its next server keeps no log
        let _ = dormouse.json(&["park", NAME]);
        let traffic = Traffic::start(&dormouse, &who, rows);
        let began = Instant::now();
        std::thread::sleep(Duration::from_secs(options.seconds().into()));
        let mut times = vec![(began, Instant::now())];
        let mut done = Vec::new();
        for root in &roots {
            let began = Instant::now();
            done.push(relocate(&orders, &name, root)?);
            times.push((began, Instant::now()));
        }
        let seen = traffic.stop()?;
        failed += report_failures(&seen);
        quiet.push(seen.longest(times[0].0, times[0].1).0);
        for ((figures, done), (from, to)) in figures.iter_mut().zip(&done).zip(&times[1..]) {
            figures.add(done, &seen, *from, *to);
        }
        say(&format!(
            "P12 round {round} of {}: {}",
            options.rounds(),
            tell(&figures)
        ));
    }
    report.raw(
        "P12 longest statement without a move",
        Unit::Milliseconds,
        &quiet,
    );
    report.figure(
        "P12",
        "longest statement of 8 clients without a move, p50",
        median(&quiet),
        Unit::Milliseconds,
    );
    for (kind, figures) in MOVES.iter().zip(&figures) {
        figures.report(kind, report);
    }
    report.promise(
        "P12",
        "statements that failed, connections dropped",
        f64::from(failed),
        Unit::Count,
        Target::AtMost(0.0),
    );
    drop(dormouse);
    Ok(())
}

fn relocate(orders: &Orders, name: &DatabaseName, root: &Path) -> anyhow::Result<MoveDone> {
    let request = MoveRequest {
        root: Some(root.to_owned()),
        ..MoveRequest::default()
    };
    Ok(orders
        .runtime
        .block_on(orders.api.relocate(name, &request))?)
}

/// Number of statements that failed and connections that were dropped.
fn report_failures(seen: &Seen) -> u32 {
    for error in &seen.errors {
        say(&format!("a statement failed: {error}"));
    }
    seen.dropped + u32::try_from(seen.errors.len()).unwrap_or(u32::MAX)
}

fn tell(figures: &[Figures]) -> String {
    let each = figures.iter().map(|one| {
        format!(
            "{:.1} s, longest statement {:.0} ms, switch {:.0} ms",
            one.took.last().unwrap_or(&f64::NAN),
            one.longest.last().unwrap_or(&f64::NAN),
            one.switched.last().unwrap_or(&f64::NAN)
        )
    });
    each.collect::<Vec<_>>().join("; ")
}

impl Figures {
    fn add(&mut self, done: &MoveDone, seen: &Seen, from: Instant, to: Instant) {
        self.took.push((to - from).as_secs_f64());
        self.switched.extend(done.paused_ms.map(|ms| ms as f64));
        let (longest, most) = seen.longest(from, to);
        self.longest.push(longest);
        self.most.push(most);
    }

    fn report(&self, kind: &str, report: &mut Report) {
        for (what, unit, figures) in [
            ("in all", Unit::Seconds, &self.took),
            ("longest statement", Unit::Milliseconds, &self.longest),
            ("p99.9 of its statements", Unit::Milliseconds, &self.most),
            ("switch", Unit::Milliseconds, &self.switched),
        ] {
            report.raw(format!("P12 {kind}: {what}"), unit, figures);
        }
        let most = |figures: &[f64]| percentile(figures, 99.0);
        let name = |what: &str| format!("{kind}: {what}");
        let target = Target::AtMost(SECONDS);
        report.promise(
            "P12",
            name("move in all, p99"),
            most(&self.took),
            Unit::Seconds,
            target,
        );
        let target = Target::AtMost(PAUSE_MS);
        let (p50, p99) = (median(&self.longest), most(&self.longest));
        report.figure(
            "P12",
            name("longest statement of a move, p50"),
            p50,
            Unit::Milliseconds,
        );
        report.promise(
            "P12",
            name("longest statement of a move, p99"),
            p99,
            Unit::Milliseconds,
            target,
        );
        let p999 = median(&self.most);
        report.figure(
            "P12",
            name("p99.9 of the statements of a move"),
            p999,
            Unit::Milliseconds,
        );
        let switch = most(&self.switched);
        report.figure(
            "P12",
            name("door shut for the switch, p99"),
            switch,
            Unit::Milliseconds,
        );
    }
}
