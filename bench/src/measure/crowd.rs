//! M1: many clients on few backends, against as many connections to the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_engine::Installation;
use dormouse_testkit::process;

use super::TICK;
use crate::endpoint::{Endpoint, Way};
use crate::options::Options;
use crate::report::{Report, Unit};
use crate::rig::{Plan, Rig};
use crate::say;
use crate::stats::{median, ratios};
use crate::sysbench::{self, Script, Statements, Workload};

/// So many that few of the clients' transactions meet.
const PLAN: Plan = Plan {
    rows: 100_000,
    dormouse: "[pool]\nbackends_max = 8\n",
};

/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What the rounds brought for one way and one script.
struct Track {
    way: Way,
    name: &'static str,
    script: Script,
    /// Point selects or transactions.
    per_second: Vec<f64>,
    p95_ms: Vec<f64>,
    collisions: Vec<f64>,
    /// The proxy's CPU time per query in µs; empty if there is no proxy.
    cpu: Vec<f64>,
    /// Of the server at its largest, in MiB.
    memory: Vec<f64>,
}

/// Starts everything and runs the rounds.
pub(crate) fn run(
    options: &Options,
    installation: &Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rig = Rig::build(options, installation, &PLAN)?;
    let mut tracks = Vec::new();
    for script in [Script::PointSelect, Script::ReadWrite] {
        tracks.extend(compared(&rig, 0).map(|endpoint| Track::of(endpoint, script)));
    }
    for round in 0..options.rounds() {
        for script in [Script::PointSelect, Script::ReadWrite] {
            for endpoint in compared(&rig, round) {
                let track = tracks
                    .iter_mut()
                    .find(|t| t.way == endpoint.way && t.script == script);
                if let Some(track) = track {
                    track.sample(endpoint, options)?;
                }
            }
        }
        say(&format!("M1 round {} of {}", round + 1, options.rounds()));
    }
    for script in [Script::PointSelect, Script::ReadWrite] {
        let of: Vec<&Track> = tracks.iter().filter(|t| t.script == script).collect();
        show(&of, options.crowd(), report);
    }
    Ok(())
}

/// The ways that are compared, in the order of a round.
fn compared(rig: &Rig, round: u32) -> impl Iterator<Item = &Endpoint> {
    rig.in_order_of(round)
        .filter(|e| matches!(e.way, Way::Tcp | Way::HaProxy | Way::Dormouse))
}

impl Track {
    fn of(endpoint: &Endpoint, script: Script) -> Self {
        Self {
            way: endpoint.way,
            name: endpoint.name,
            script,
            per_second: Vec::new(),
            p95_ms: Vec::new(),
            collisions: Vec::new(),
            cpu: Vec::new(),
            memory: Vec::new(),
        }
    }

    fn sample(&mut self, endpoint: &Endpoint, options: &Options) -> anyhow::Result<()> {
        let workload = Workload {
            script: self.script,
            statements: Statements::Prepared,
            threads: options.crowd(),
            rows: PLAN.rows,
        };
        let before = endpoint.proxy.map(process::cpu_ticks);
        let (load, memory) = largest(endpoint.server, || {
            sysbench::run(endpoint, &workload, options.seconds())
        });
        let load = load?;
        let after = endpoint.proxy.map(process::cpu_ticks);
        self.per_second.push(load.transactions_per_second);
        self.p95_ms.push(load.p95_ms);
        self.collisions.push(load.collisions);
        self.memory.push(memory as f64 / f64::from(1 << 20));
        if let Some((before, after)) = before.zip(after) {
            self.cpu.push((after - before) as f64 * TICK / load.queries);
        }
        Ok(())
    }
}

/// A process's largest resident memory while something is done, in bytes.
fn largest<T>(pid: u32, work: impl FnOnce() -> T) -> (T, u64) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(process::resident(pid));
                std::thread::sleep(LOOK);
            }
            most
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, watching.join().unwrap_or_default())
    })
}

fn show(tracks: &[&Track], clients: u32, report: &mut Report) {
    let Some(tcp) = tracks.iter().find(|t| t.way == Way::Tcp) else {
        return;
    };
    let what = match tcp.script {
        Script::PointSelect => format!("{clients} clients, point selects"),
        Script::ReadWrite => format!("{clients} clients, read-write transactions"),
    };
    for track in tracks {
        let series = [
            ("", Unit::PerSecond, &track.per_second),
            ("p95 of ", Unit::Milliseconds, &track.p95_ms),
            ("CPU per query of ", Unit::Microseconds, &track.cpu),
            ("server's memory, ", Unit::Mebibytes, &track.memory),
        ];
        for (figure, unit, figures) in series {
            if !figures.is_empty() {
                let what = format!("{what}: {figure}{}", track.name);
                report.raw(format!("M1 {what}"), unit, figures);
                report.figure("M1", what, median(figures), unit);
            }
        }
        report.raw(
            format!("M1 {what}: collisions, {}", track.name),
            Unit::Count,
            &track.collisions,
        );
    }
    for track in tracks.iter().filter(|t| t.way != Way::Tcp) {
        let ratio = median(&ratios(&track.per_second, &tcp.per_second));
        let what = format!("{what}: {} ÷ TCP", track.name);
        report.figure("M1", what, ratio, Unit::Ratio);
    }
}
