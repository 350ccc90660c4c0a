//! P3: the round trip of one thread.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::Client;
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;

use crate::endpoint::{Endpoint, Way};
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::Rig;
use crate::say;
use crate::stats::{differences, median, percentile};
use crate::sysbench::SCHEMA;

/// The ways take turns of this length within a round.
const TURN: Duration = Duration::from_millis(100);

/// A connection that sends the same statement again and again. Its reply is always as long, so
/// it is read without being looked at.
struct Loop {
    way: Way,
    name: &'static str,
    client: Client,
    request: Vec<u8>,
    reply: Vec<u8>,
    /// Of this round, in µs.
    samples: Vec<f64>,
    /// Median of each round, in µs.
    medians: Vec<f64>,
    /// 99th percentile of each round, in µs.
    tails: Vec<f64>,
}

impl Loop {
    fn on(endpoint: &Endpoint) -> anyhow::Result<Self> {
        let statement = format!("SELECT c FROM {SCHEMA}.sbtest1 WHERE id=4242");
        let mut client = endpoint.connect()?;
        let before = client.received;
        let rows = client.query(&statement).rows();
        anyhow::ensure!(rows.len() == 1, "the row is not there: {rows:?}");
        let length = usize::try_from(client.received - before)?;
        let mut request = Vec::new();
        write_packet(
            &mut request,
            0,
            &[&[Command::Query as u8], statement.as_bytes()].concat(),
        );
        Ok(Self {
            way: endpoint.way,
            name: endpoint.name,
            client,
            request,
            reply: vec![0; length],
            samples: Vec::new(),
            medians: Vec::new(),
            tails: Vec::new(),
        })
    }

    fn turn(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while began.elapsed() < TURN {
            let sent = Instant::now();
            self.client.exchange(&self.request, &mut self.reply)?;
            self.samples.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        Ok(())
    }

    fn end_round(&mut self) {
        self.medians.push(median(&self.samples));
        self.tails.push(percentile(&self.samples, 99.0));
        self.samples.clear();
    }
}

/// Runs the rounds.
pub(crate) fn run(options: &Options, rig: &Rig, report: &mut Report) -> anyhow::Result<()> {
    let mut loops = rig
        .in_order_of(0)
        .map(Loop::on)
        .collect::<anyhow::Result<Vec<_>>>()?;
    for one in &mut loops {
        one.turn()?;
        one.samples.clear();
    }
    let turns = (options.latency_time().as_millis() / TURN.as_millis()).max(1);
    for round in 0..options.rounds() {
        for _ in 0..turns {
            for one in &mut loops {
                one.turn()?;
            }
            loops.rotate_left(1);
        }
        loops.iter_mut().for_each(Loop::end_round);
        say(&format!("P3 round {} of {}", round + 1, options.rounds()));
    }
    // the order of the rig again
    let ways: Vec<Way> = rig.in_order_of(0).map(|endpoint| endpoint.way).collect();
    loops.sort_by_key(|one| ways.iter().position(|way| *way == one.way));
    let direct = loops
        .iter()
        .find(|one| one.way == Way::Tcp)
        .context("no direct way")?;
    for one in &loops {
        report.raw(
            format!("P3 p50, {}", one.name),
            Unit::Microseconds,
            &one.medians,
        );
        report.raw(
            format!("P3 p99, {}", one.name),
            Unit::Microseconds,
            &one.tails,
        );
        let what = format!("one thread, text, p50: {}", one.name);
        report.figure("P3", what, median(&one.medians), Unit::Microseconds);
    }
    for one in loops
        .iter()
        .filter(|one| !matches!(one.way, Way::Socket | Way::Tcp))
    {
        let added = median(&differences(&one.medians, &direct.medians));
        let what = format!("added to the p50 of TCP: {}", one.name);
        match one.way {
            Way::Dormouse => {
                report.promise("P3", what, added, Unit::Microseconds, Target::AtMost(20.0));
            }
            _ => report.figure("P3", what, added, Unit::Microseconds),
        }
    }
    for one in loops
        .iter()
        .filter(|one| matches!(one.way, Way::Tcp | Way::HaProxy | Way::Dormouse))
    {
        let what = format!("one thread, text, p99: {}", one.name);
        report.figure("P3", what, median(&one.tails), Unit::Microseconds);
    }
    Ok(())
}
