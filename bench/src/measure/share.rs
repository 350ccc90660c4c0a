//! C1: many databases that together need more CPU than the machine has. They are woken at the same
//! time; then each gets the same share, no statement fails, and none grows beyond the machine's
//! memory.

use std::fs;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::{Created, Dormouse, process};
use dormouse_types::Units;
use serde_json::Value;

use super::fleet::{cpu_times, used};
use super::load::{self, Count, Load};
use super::{TICK, millis};
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::sleepy_dormouse;
use crate::say;
use crate::stats::{median, percentile};

/// Range of units of each database.
const UNITS: &str = "1..2";

/// Clients per database.
const CLIENTS: usize = 2;

/// Time limit for the wake of all.
const WOKEN_WITHIN: Duration = Duration::from_secs(120);

/// Name of the threads of Dormouse's control plane.
const PLANE: &str = "plane";

/// A database.
struct Tenant {
    name: String,
    who: Created,
    count: Arc<Count>,
}

/// Shares of the databases.
struct Had {
    cpu: Vec<f64>,
    statements: Vec<f64>,
}

/// Creates, parks and loads the databases.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let many = options.sharing();
    let dormouse = sleepy_dormouse(options, "");
    say(&format!("C1 making {many} databases"));
    let tenants: Vec<Tenant> = (0..many).map(|n| Tenant::make(&dormouse, n)).collect();
    let clients = tenants.iter().map(|tenant| {
        let clients = load::connect(&dormouse, &tenant.who, CLIENTS);
        let parked = dormouse.json(&["park", &tenant.name]);
        anyhow::ensure!(parked["state"] == "parked", "{} does not park", tenant.name);
        Ok(clients)
    });
    let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;

    let began = Instant::now();
    let loads = tenants.iter().zip(clients);
    let loads: Vec<Load> = loads
        .map(|(tenant, clients)| Load::of(clients, &tenant.count))
        .collect();
    while tenants.iter().any(|tenant| tenant.count.first().is_none()) {
        anyhow::ensure!(began.elapsed() < WOKEN_WITHIN, "some are still not awake");
        sleep(Duration::from_millis(20));
    }
    let firsts = tenants.iter().filter_map(|tenant| tenant.count.first());
    let firsts: Vec<f64> = firsts.map(|first| millis(first - began)).collect();
    say(&format!(
        "C1 all awake after {:.0} ms",
        percentile(&firsts, 100.0)
    ));

    let time = options.sharing_time();
    let (had, plane) = watch(&dormouse, &tenants, time)?;
    let allotted = allotted(&dormouse)?;
    for load in loads {
        load.stop();
    }
    let failed = tenants.iter().map(|tenant| tenant.count.failed()).sum();
    show_wakes(many, &firsts, report);
    show_shares(many, time, &had, failed, report);
    show_sizes(many, allotted, &dormouse, report)?;
    let what = format!("CPU of the control plane with {many} databases under load, of one core");
    report.figure("C1", what, plane, Unit::PercentOfCore);
    Ok(())
}

impl Tenant {
    fn make(dormouse: &Dormouse, number: u32) -> Self {
        let name = format!("share-{number}");
        let who = dormouse.create(&name, &["--units", UNITS]);
        load::fill(dormouse, &who);
        Self {
            name,
            who,
            count: Arc::default(),
        }
    }
}

/// Shares of each database over `time`, and the CPU of the plane in percent of a core.
fn watch(dormouse: &Dormouse, tenants: &[Tenant], time: Duration) -> anyhow::Result<(Had, f64)> {
    let servers = tenants.iter().map(|tenant| dormouse.server(&tenant.name));
    let servers: Vec<u32> = servers.collect();
    let look = || -> (Vec<f64>, Vec<f64>) {
        let ticks = servers.iter().map(|pid| process::cpu_ticks(*pid) as f64);
        let answered = tenants.iter().map(|tenant| tenant.count.answered() as f64);
        (ticks.collect(), answered.collect())
    };
    let (began, before) = (Instant::now(), cpu_times(dormouse.pid(), Some(PLANE))?);
    let (ticks, answered) = look();
    sleep(time);
    let (more_ticks, more_answered) = look();
    let plane = used(&before, &cpu_times(dormouse.pid(), Some(PLANE))?);
    let since = |before: &[f64], now: &[f64]| -> Vec<f64> {
        before
            .iter()
            .zip(now)
            .map(|(before, now)| now - before)
            .collect()
    };
    let had = Had {
        cpu: since(&ticks, &more_ticks)
            .iter()
            .map(|ticks| ticks * TICK / 1e3)
            .collect(),
        statements: since(&answered, &more_answered),
    };
    let share = plane.as_secs_f64() / began.elapsed().as_secs_f64();
    Ok((had, share * 100.0))
}

/// Sum of the units of all databases.
fn allotted(dormouse: &Dormouse) -> anyhow::Result<u64> {
    let all = dormouse.json(&["ls"]);
    let all = all.as_array().context("a list of databases")?;
    Ok(all.iter().filter_map(|one| one["units"].as_u64()).sum())
}

/// Numbers of granted and refused growth, from the ledger.
fn growth(dormouse: &Dormouse) -> anyhow::Result<[usize; 2]> {
    let events = dormouse.json(&["events", "--limit", "10000"]);
    let events = events.as_array().context("a list of events")?;
    let grows = |event: &&Value| {
        let [before, after] = ["units_before", "units"].map(|key| event["figures"][key].as_u64());
        before < after
    };
    let count = |kind: &str| {
        let such = events.iter().filter(|event| event["event"] == kind);
        such.filter(grows).count()
    };
    Ok([count("scaled"), count("refused")])
}

/// Memory budget of the machine in units: the 80 % that Dormouse allots.
fn budget() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("the machine's memory")?.parse()?;
    Ok(kib * 1024 * 8 / 10 / Units(1).memory().0)
}

fn show_wakes(many: u32, firsts: &[f64], report: &mut Report) {
    let ms = Unit::Milliseconds;
    report.raw("C1 parked to first row", ms, firsts);
    for (which, percent) in [("half of them", 50.0), ("the last of them", 100.0)] {
        let what = format!("{many} parked databases used at once: first row of {which}");
        report.figure("C1", what, percentile(firsts, percent), ms);
    }
}

fn show_shares(many: u32, time: Duration, had: &Had, failed: u64, report: &mut Report) {
    let seconds = time.as_secs();
    let figures = [
        ("CPU", &had.cpu, Unit::Milliseconds),
        ("statements", &had.statements, Unit::Count),
    ];
    for (name, each, unit) in figures {
        report.raw(format!("C1 {name} of each"), unit, each);
        let what = format!("{name} of each of {many} under load for {seconds} s, median");
        report.figure("C1", what, median(each), unit);
        for (which, percent) in [("least", 0.0), ("most", 100.0)] {
            let what = format!("{name}: what one has at {which} ÷ median");
            let share = percentile(each, percent) / median(each);
            report.figure("C1", what, share, Unit::Ratio);
        }
    }
    let what = "statements that failed";
    report.promise("C1", what, failed as f64, Unit::Count, Target::AtMost(0.0));
}

fn show_sizes(
    many: u32,
    allotted: u64,
    dormouse: &Dormouse,
    report: &mut Report,
) -> anyhow::Result<()> {
    let [granted, refused] = growth(dormouse)?;
    let what = format!("units of all {many} together, each {UNITS}");
    report.figure("C1", what, allotted as f64, Unit::Count);
    let what = "units that the machine's memory is good for";
    report.figure("C1", what, budget()? as f64, Unit::Count);
    let whats = [("granted", granted), ("refused", refused)];
    for (answer, times) in whats {
        let what = format!("growth that was {answer}");
        report.figure("C1", what, times as f64, Unit::Count);
    }
    Ok(())
}
