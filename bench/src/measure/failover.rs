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

/// Rows of its table.
const ROWS: u64 = 10_000;

/// Target for the time without an answer.
const STILL_MS: f64 = 3000.0;

/// Runs the rounds.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let dormouse = sleepy_dormouse(options, "");
    let orders = Orders::to(&dormouse)?;
    let (mut still, mut longest, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let mut dropped = 0;
    for round in 1..=options.losses() {
        // a server that dies again and again is started later each time: each round has another database
        let name = format!("survivor{round}");
        let arguments = [
            "--units",
            "2..2",
            "--replicas",
            "1",
            "--durability",
            "replica",
        ];
        let who = dormouse.create(&name, &arguments);
        fill(&dormouse, &who, ROWS);
        until_acknowledged(&dormouse, &name);
        let traffic = Traffic::start(&dormouse, &who, ROWS);
        let second = Duration::from_secs(1);
        std::thread::sleep(second);
        let database: DatabaseName = name.parse()?;
        let before = orders.runtime.block_on(orders.api.database(&database))?;
        let pid = before.pid.context("it has a server")?;
        let files = dormouse.instance(&name);
        let lost = dormouse.data_dir().join("lost");
        let began = Instant::now();
        fs::rename(&files, &lost)?;
        process::kill(pid);
        process::until("another server serves it", || {
            let asked = orders.runtime.block_on(orders.api.database(&database));
            asked.is_ok_and(|now| now.instance != before.instance)
        });
        std::thread::sleep(second);
        let ended = Instant::now();
        let seen = traffic.stop()?;
        fs::remove_dir_all(&lost)?;
        orders
            .runtime
            .block_on(orders.api.drop_database(&database))?;
        still.push(millis(seen.stood_still(began, ended)));
        longest.push(seen.longest(began, ended).0);
        failed.push(seen.errors.len() as f64);
        dropped += seen.dropped;
        for error in &seen.errors {
            say(&format!("a statement failed: {error}"));
        }
        say(&format!(
            "P13 round {round} of {}: a client got no work done for {:.0} ms",
            options.losses(),
            still.last().unwrap_or(&f64::NAN)
        ));
    }
    report.raw("P13 a client gets no work done", Unit::Milliseconds, &still);
    report.raw("P13 longest statement", Unit::Milliseconds, &longest);
    report.raw("P13 statements that failed", Unit::Count, &failed);
    let name = |what: &str| format!("server and files lost: {what}");
    let target = Target::AtMost(STILL_MS);
    report.figure(
        "P13",
        name("a client gets no work done, p50"),
        median(&still),
        Unit::Milliseconds,
    );
    report.figure(
        "P13",
        name("longest statement, p50"),
        median(&longest),
        Unit::Milliseconds,
    );
    let p99 = percentile(&still, 99.0);
    report.promise(
        "P13",
        name("a client gets no work done, p99"),
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
fn until_acknowledged(dormouse: &Dormouse, name: &str) {
    process::until("its replica follows", || {
        dormouse.show(name)["followers"][0]["doing"] == "following"
    });
    let mut server = dormouse.platform(name);
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
