//! P13: a server and its files are lost while clients write, and a replica takes its place.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::{Dormouse, process};
use dormouse_types::DatabaseName;

use super::traffic::{Traffic, fill};
use super::{Orders, millis};
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::sleepy_dormouse;
use crate::say;
use crate::stats::{median, percentile};

const NAME: &str = "survivor";

/// Rows of its table.
const ROWS: u64 = 10_000;

/// Target for the time without an answer.
const STILL_MS: f64 = 3000.0;

/// Runs the rounds.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let dormouse = sleepy_dormouse(options, "");
    let arguments = [
        "--units",
        "2..2",
        "--replicas",
        "1",
        "--durability",
        "replica",
    ];
    let who = dormouse.create(NAME, &arguments);
    fill(&dormouse, &who, ROWS);
    let orders = Orders::to(&dormouse)?;
    let name: DatabaseName = NAME.parse()?;
    let (mut still, mut longest, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut dropped = 0;
    for round in 1..=options.losses() {
        until_acknowledged(&dormouse);
        let traffic = Traffic::start(&dormouse, &who, ROWS);
        let second = Duration::from_secs(1);
        std::thread::sleep(second);
        let before = orders.runtime.block_on(orders.api.database(&name))?;
        let pid = before.pid.context("it has a server")?;
        let files = dormouse.instance(NAME);
        let lost = dormouse.data_dir().join("lost");
        let began = Instant::now();
        fs::rename(&files, &lost)?;
        process::kill(pid);
        process::until("another server serves it", || {
            let asked = orders.runtime.block_on(orders.api.database(&name));
            asked.is_ok_and(|now| now.instance != before.instance)
        });
        std::thread::sleep(second);
        let ended = Instant::now();
        let seen = traffic.stop()?;
        fs::remove_dir_all(&lost)?;
        still.push(millis(seen.silence(began, ended)));
        longest.push(seen.longest(began, ended).0);
        failed.push(seen.errors.len() as f64);
        dropped += seen.dropped;
        for error in &seen.errors {
            say(&format!("a statement failed: {error}"));
        }
        say(&format!(
            "P13 round {round} of {}: no answer for {:.0} ms",
            options.losses(),
            still.last().unwrap_or(&f64::NAN)
        ));
    }
    report.raw("P13 no answer", Unit::Milliseconds, &still);
    report.raw("P13 longest statement", Unit::Milliseconds, &longest);
    report.raw("P13 statements that failed", Unit::Count, &failed);
    let name = |what: &str| format!("server and files lost: {what}");
    let target = Target::AtMost(STILL_MS);
    report.figure(
        "P13",
        name("no client gets an answer, p50"),
        median(&still),
        Unit::Milliseconds,
    );
    report.figure(
        "P13",
        name("longest statement, p50"),
        median(&longest),
        Unit::Milliseconds,
    );
    let p99 = percentile(&longest, 99.0);
    report.promise(
        "P13",
        name("longest statement, p99"),
        p99,
        Unit::Milliseconds,
        target,
    );
    let most = percentile(&failed, 100.0);
    report.figure(
        "P13",
        name("statements that failed, most, of 8 clients"),
        most,
        Unit::Count,
    );
    let none = Target::AtMost(0.0);
    report.promise(
        "P13",
        name("connections dropped"),
        f64::from(dropped),
        Unit::Count,
        none,
    );
    Ok(())
}

/// Waits until its replica follows, and commits wait for it.
fn until_acknowledged(dormouse: &Dormouse) {
    process::until("its replica follows", || {
        dormouse.show(NAME)["followers"][0]["doing"] == "following"
    });
    let mut server = dormouse.platform(NAME);
    process::until("commits wait for the replica", || {
        let asked = server.query("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_status'");
        asked
            .rows()
            .first()
            .and_then(|row| row[1].clone())
            .as_deref()
            == Some("ON")
    });
}
