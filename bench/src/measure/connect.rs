//! M2: connections that live for one query.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use dormouse_testkit::process;
use dormouse_wire::command::Command;

use super::TICK;
use crate::endpoint::{Endpoint, Way};
use crate::options::Options;
use crate::report::{Report, Unit};
use crate::rig::Rig;
use crate::say;
use crate::stats::{median, ratios};
use crate::sysbench::{SCHEMA, THREADS};

/// What the rounds brought for one way.
struct Track {
    way: Way,
    name: &'static str,
    per_second: Vec<f64>,
    /// The proxy's CPU time per connection in µs; empty if there is no proxy.
    cpu: Vec<f64>,
}

/// Runs the rounds.
pub(crate) fn run(options: &Options, rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let mut tracks: Vec<Track> = compared(rig, 0)
        .map(|endpoint| Track {
            way: endpoint.way,
            name: endpoint.name,
            per_second: Vec::new(),
            cpu: Vec::new(),
        })
        .collect();
    let time = Duration::from_secs(options.seconds().into());
    for round in 0..options.rounds() {
        for endpoint in compared(rig, round) {
            if let Some(track) = tracks.iter_mut().find(|t| t.way == endpoint.way) {
                track.sample(endpoint, time)?;
            }
        }
        say(&format!("M2 round {} of {}", round + 1, options.rounds()));
    }
    show(&tracks, report);
    Ok(())
}

/// The ways that are compared, in the order of a round.
fn compared(rig: &Rig, round: u32) -> impl Iterator<Item = &Endpoint> {
    rig.in_order_of(round)
        .filter(|e| matches!(e.way, Way::Tcp | Way::HaProxy | Way::Dormouse))
}

impl Track {
    fn sample(&mut self, endpoint: &Endpoint, time: Duration) -> anyhow::Result<()> {
        let before = endpoint.proxy.map(process::cpu_ticks);
        let began = Instant::now();
        let connections = connect_again_and_again(endpoint, began + time)? as f64;
        self.per_second
            .push(connections / began.elapsed().as_secs_f64());
        let after = endpoint.proxy.map(process::cpu_ticks);
        if let Some((before, after)) = before.zip(after) {
            self.cpu.push((after - before) as f64 * TICK / connections);
        }
        Ok(())
    }
}

/// How many connections all threads have made, used and closed.
fn connect_again_and_again(endpoint: &Endpoint, until: Instant) -> anyhow::Result<u64> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<u64> {
                    let mut made = 0;
                    while Instant::now() < until {
                        once(endpoint)?;
                        made += 1;
                    }
                    Ok(made)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a client failed"))?)
            .sum()
    })
}

/// Connects, logs in, asks for a row and quits, as a script of a web server's does.
fn once(endpoint: &Endpoint) -> anyhow::Result<()> {
    let mut client = endpoint.connect()?;
    let text = format!("SELECT c FROM {SCHEMA}.sbtest1 WHERE id=4242");
    let rows = client.query(&text).rows();
    anyhow::ensure!(rows.len() == 1, "the row is not there: {rows:?}");
    client.command(Command::Quit, &[]);
    Ok(())
}

fn show(tracks: &[Track], report: &mut Report) {
    let Some(tcp) = tracks.iter().find(|t| t.way == Way::Tcp) else {
        return;
    };
    let what = format!("connect, query, quit, {THREADS} threads");
    for track in tracks {
        let series = [
            ("", Unit::PerSecond, &track.per_second),
            ("CPU per connection of ", Unit::Microseconds, &track.cpu),
        ];
        for (figure, unit, figures) in series {
            if !figures.is_empty() {
                let what = format!("{what}: {figure}{}", track.name);
                report.raw(format!("M2 {what}"), unit, figures);
                report.figure("M2", what, median(figures), unit);
            }
        }
    }
    for track in tracks.iter().filter(|t| t.way != Way::Tcp) {
        let ratio = median(&ratios(&track.per_second, &tcp.per_second));
        report.figure(
            "M2",
            format!("{what}: {} ÷ TCP", track.name),
            ratio,
            Unit::Ratio,
        );
    }
}
