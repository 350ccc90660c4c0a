//! R1: reads on two replicas.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::{Client, Created, Dormouse, Reply};

use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::sleepy_dormouse;
use crate::say;
use crate::stats::{median, ratios};

const NAME: &str = "reader";
const CLIENTS: u32 = 8;
const REPLICAS: u64 = 2;
const ROWS: u32 = 20_000;

/// Where the reads run; the first is what the others are compared with.
const READS: [&str; 3] = ["primary", "replica", "any"];

/// Target: throughput of two replicas ÷ that of one server.
const RATIO: f64 = 1.6;

/// Runs the rounds. Each server has one unit: half a CPU. So three of them and the clients fit onto two cores.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let dormouse = sleepy_dormouse(options, "");
    let who = dormouse.create(NAME, &["--units", "1..1", "--replicas", "2"]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE b",
        "CREATE TABLE b.t (id INT PRIMARY KEY, v VARCHAR(200) NOT NULL)",
        &format!("INSERT INTO b.t SELECT seq, CONCAT(MD5(seq), MD5(-seq)) FROM b.seq_1_to_{ROWS}"),
    ] {
        client.query(text).ok();
    }
    let mut figures = READS.map(|_| Vec::new());
    for round in 0..=options.rounds() {
        for turn in 0..READS.len() {
            // each round begins with another one
            let which = (turn + round as usize) % READS.len();
            let _ = dormouse.json(&["set", NAME, "--reads", READS[which]]);
            wait_for_replicas(&dormouse)?;
            let time = Duration::from_secs(options.seconds().into());
            let speed = reads(&dormouse, &who, time)?;
            if round > 0 {
                figures[which].push(speed);
            }
        }
        say(&format!("R1 round {round} of {}", options.rounds()));
    }
    for (name, figures) in READS.iter().zip(&figures) {
        let what = format!("{CLIENTS} clients, reads = {name}, servers of half a CPU");
        report.raw(format!("R1 {what}"), Unit::PerSecond, figures);
        report.figure("R1", what, median(figures), Unit::PerSecond);
    }
    let [primary, others @ ..] = &figures;
    for (name, figures) in READS[1..].iter().zip(others) {
        report.promise(
            "R1",
            format!("reads = {name} with two replicas ÷ one server"),
            median(&ratios(figures, primary)),
            Unit::Ratio,
            Target::AtLeast(RATIO),
        );
    }
    Ok(())
}

/// Waits until all replicas have what the primary has.
fn wait_for_replicas(dormouse: &Dormouse) -> anyhow::Result<()> {
    let limit = Duration::from_secs(120);
    let began = Instant::now();
    loop {
        let shown = dormouse.show(NAME);
        let replicas = shown["followers"].as_array().cloned().unwrap_or_default();
        let near = |replica: &serde_json::Value| replica["behind_s"].as_u64() == Some(0);
        if replicas.iter().filter(|replica| near(replica)).count() as u64 == REPLICAS {
            return Ok(());
        }
        anyhow::ensure!(
            began.elapsed() < limit,
            "no replicas within {limit:?}: {shown}"
        );
        thread::sleep(Duration::from_millis(200));
    }
}

/// Queries a second.
fn reads(dormouse: &Dormouse, who: &Created, time: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let done = thread::scope(|scope| {
        let running: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || reader(&mut dormouse.connect(who), client, began, time))
            })
            .collect();
        let done: Option<Vec<u32>> = running
            .into_iter()
            .map(|one| one.join().ok().flatten())
            .collect();
        done
    });
    let done: u32 = done.context("a query failed")?.into_iter().sum();
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}

/// Queries of 2,000 rows each, so that the servers have the work; returns their number.
fn reader(client: &mut Client, number: u32, began: Instant, time: Duration) -> Option<u32> {
    let mut done = 0;
    while began.elapsed() < time {
        let from = (number * 997 + done * 131) % (ROWS - 2_000);
        let to = from + 2_000;
        let text = format!(
            "SELECT MAX(CRC32(v)), SUM(LENGTH(REVERSE(v))) FROM b.t WHERE id BETWEEN {from} AND {to}"
        );
        match client.query(&text) {
            Reply::Rows(_) => done += 1,
            _ => return None,
        }
    }
    Some(done)
}
