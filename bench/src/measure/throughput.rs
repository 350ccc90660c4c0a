//! P1 and P2: point selects with eight threads, and what a proxy spends on each.

use dormouse_testkit::process;

use super::TICK;
use crate::endpoint::{Endpoint, Way};
use crate::options::{Measure, Options};
use crate::report::{Report, Target, Unit};
use crate::rig::{ROWS, Rig};
use crate::say;
use crate::stats::{median, ratios};
use crate::sysbench::{self, Statements, THREADS, Workload};

/// What the rounds brought for one way and one kind of statement.
struct Track {
    way: Way,
    name: &'static str,
    statements: Statements,
    per_second: Vec<f64>,
    /// The proxy's CPU time per query in µs; empty if there is no proxy.
    cpu: Vec<f64>,
}

/// Runs the rounds.
pub(crate) fn run(options: &Options, rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let mut tracks: Vec<Track> = Vec::new();
    for statements in Statements::ALL {
        tracks.extend(rig.in_order_of(0).map(|endpoint| Track {
            way: endpoint.way,
            name: endpoint.name,
            statements,
            per_second: Vec::new(),
            cpu: Vec::new(),
        }));
    }
    for round in 0..options.rounds() {
        for statements in Statements::ALL {
            for endpoint in rig.in_order_of(round) {
                let track = tracks
                    .iter_mut()
                    .find(|t| t.way == endpoint.way && t.statements == statements);
                if let Some(track) = track {
                    track.sample(endpoint, options.seconds())?;
                }
            }
        }
        let [tcp, dormouse] = [Way::Tcp, Way::Dormouse].map(|way| last(&tracks, way));
        say(&format!(
            "P1 round {} of {}: {tcp:.0}/s by TCP, {dormouse:.0}/s through Dormouse",
            round + 1,
            options.rounds()
        ));
    }
    for track in &tracks {
        let kind = track.statements.as_str();
        report.raw(
            format!("P1 {kind}, {}", track.name),
            Unit::QueriesPerSecond,
            &track.per_second,
        );
        if !track.cpu.is_empty() {
            report.raw(
                format!("P2 {kind}, {}", track.name),
                Unit::Microseconds,
                &track.cpu,
            );
        }
    }
    for statements in Statements::ALL {
        let of: Vec<&Track> = tracks
            .iter()
            .filter(|t| t.statements == statements)
            .collect();
        if options.wants(Measure::P1) {
            throughput(&of, statements, report);
        }
        if options.wants(Measure::P2) {
            cpu(&of, statements, report);
        }
    }
    Ok(())
}

impl Track {
    fn sample(&mut self, endpoint: &Endpoint, seconds: u32) -> anyhow::Result<()> {
        let before = endpoint.proxy.map(process::cpu_ticks);
        let load = sysbench::run(endpoint, &Workload::points(self.statements, ROWS), seconds)?;
        let after = endpoint.proxy.map(process::cpu_ticks);
        self.per_second.push(load.per_second);
        if let Some((before, after)) = before.zip(after) {
            self.cpu.push((after - before) as f64 * TICK / load.queries);
        }
        Ok(())
    }
}

fn last(tracks: &[Track], way: Way) -> f64 {
    let track = tracks.iter().find(|t| t.way == way);
    track
        .and_then(|t| t.per_second.last().copied())
        .unwrap_or(f64::NAN)
}

fn of<'a>(tracks: &[&'a Track], way: Way) -> Option<&'a Track> {
    tracks.iter().copied().find(|track| track.way == way)
}

fn throughput(tracks: &[&Track], statements: Statements, report: &mut Report) {
    let kind = statements.as_str();
    let Some(tcp) = of(tracks, Way::Tcp) else {
        return;
    };
    for track in tracks {
        let what = format!("{kind} point selects, {THREADS} threads: {}", track.name);
        report.figure(
            "P1",
            what,
            median(&track.per_second),
            Unit::QueriesPerSecond,
        );
    }
    for track in tracks
        .iter()
        .filter(|t| !matches!(t.way, Way::Socket | Way::Tcp))
    {
        let ratio = median(&ratios(&track.per_second, &tcp.per_second));
        let what = format!("{kind}: {} ÷ TCP", track.name);
        match (track.way, statements) {
            (Way::Dormouse, Statements::Prepared) => {
                report.promise("P1", what, ratio, Unit::Ratio, Target::AtLeast(0.72));
            }
            _ => report.figure("P1", what, ratio, Unit::Ratio),
        }
    }
}

fn cpu(tracks: &[&Track], statements: Statements, report: &mut Report) {
    let kind = statements.as_str();
    for track in tracks.iter().filter(|t| !t.cpu.is_empty()) {
        let what = format!("{kind}: CPU per query of {}", track.name);
        report.figure("P2", what, median(&track.cpu), Unit::Microseconds);
    }
    let Some(dormouse) = of(tracks, Way::Dormouse) else {
        return;
    };
    for peer in [Way::HaProxy, Way::HaProxySocket] {
        let Some(peer) = of(tracks, peer) else {
            continue;
        };
        let ratio = median(&ratios(&dormouse.cpu, &peer.cpu));
        let what = format!("{kind}: CPU per query, Dormouse ÷ {}", peer.name);
        match (peer.way, statements) {
            (Way::HaProxy, Statements::Prepared) => {
                report.promise("P2", what, ratio, Unit::Ratio, Target::AtMost(0.8));
            }
            _ => report.figure("P2", what, ratio, Unit::Ratio),
        }
    }
}
