//! P8: cost of many unused databases: duration of the start of Dormouse, its CPU at rest, and its
//! memory per database.

mod multiply;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::{Created, Dormouse, process};

use super::create::ready;
use super::millis;
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::sleepy_dormouse;
use crate::say;

/// Databases that Dormouse creates; the others are copies of them.
const REAL: u32 = 5;

/// Default size of the warm pool.
const POOL: usize = 2;

/// Duration of the measurement of the CPU.
const REST: Duration = Duration::from_secs(15);

/// Measures a Dormouse without databases, then the same with many.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let many = options.parked();
    let mut dormouse = sleepy_dormouse(options, "");
    // both times it adopts the servers of the warm pool
    process::until("the pool is full", || ready(&dormouse) == POOL);
    dormouse.stop();
    dormouse.up();
    until_idle(&dormouse);
    let empty = process::resident(dormouse.pid());

    let owners: Vec<Created> = (0..REAL).map(|n| make(&dormouse, n)).collect();
    process::until("the pool is full", || ready(&dormouse) == POOL);
    dormouse.stop();
    say(&format!("P8 making {many} parked databases of {REAL}"));
    multiply::multiply(&dormouse.data_dir(), many)?;

    let began = Instant::now();
    dormouse.up();
    let ready = began.elapsed();
    let first = dormouse.connect(&owners[0]);
    let accepted = began.elapsed();
    drop(first);
    until_idle(&dormouse);
    let settled = began.elapsed();
    say(&format!("P8 all looked at after {:.0} ms", millis(settled)));
    let before = cpu_times(dormouse.pid(), None)?;
    sleep(REST);
    let used = used(&before, &cpu_times(dormouse.pid(), None)?);
    let grown = process::resident(dormouse.pid()).saturating_sub(empty);

    let asked = Instant::now();
    let all = dormouse.json(&["ls"]);
    let listed = asked.elapsed();
    let counted = all.as_array().map(Vec::len);
    anyhow::ensure!(
        counted == Some(many as usize),
        "Dormouse lists {counted:?} databases"
    );
    let mut client = dormouse.connect(&owners[1]);
    let asked = Instant::now();
    let one = client.query("SELECT COUNT(*) FROM app.t").value();
    let woken = asked.elapsed();
    anyhow::ensure!(one == "1", "a database among many answered {one}");

    let times = [
        ("until it says that it is up", ready, None),
        ("until a client is logged in", accepted, Some(2000.0)),
        ("until it rests", settled, None),
    ];
    for (until, time, most) in times {
        let what = format!("start with {many} parked databases {until}");
        let time = millis(time);
        match most {
            Some(most) => {
                report.promise("P8", what, time, Unit::Milliseconds, Target::AtMost(most));
            }
            None => report.figure("P8", what, time, Unit::Milliseconds),
        }
    }
    let cpu = used.as_secs_f64() / REST.as_secs_f64() * 100.0;
    report.promise(
        "P8",
        format!("CPU with {many} parked databases, of one core"),
        cpu,
        Unit::PercentOfCore,
        Target::AtMost(1.0),
    );
    report.promise(
        "P8",
        format!("memory per parked database of {many}"),
        grown as f64 / 1024.0 / f64::from(many),
        Unit::Kibibytes,
        Target::AtMost(4.0),
    );
    let what = format!("`dormouse ls --json` with {many} parked databases");
    report.figure("P8", what, millis(listed), Unit::Milliseconds);
    let what = format!("one of {many}: parked to first row");
    report.figure("P8", what, millis(woken), Unit::Milliseconds);
    Ok(())
}

/// Creates a parked database with a table.
fn make(dormouse: &Dormouse, number: u32) -> Created {
    let name = multiply::real(number);
    let who = dormouse.create(&name, &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id INT PRIMARY KEY)",
        "INSERT INTO app.t VALUES (1)",
    ] {
        client.query(text).ok();
    }
    drop(client);
    let parked = dormouse.json(&["park", &name]);
    assert_eq!(parked["state"], "parked");
    who
}

/// CPU time of each thread of a process, or of those with a name, from `schedstat`: clock ticks of
/// 10 ms are too coarse for an idle process.
pub(super) fn cpu_times(
    pid: u32,
    name: Option<&str>,
) -> anyhow::Result<HashMap<OsString, Duration>> {
    let mut all = HashMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let read = |file| fs::read_to_string(task.path().join(file));
        // a thread may have ended by now
        let Ok((comm, said)) = read("comm").and_then(|comm| Ok((comm, read("schedstat")?))) else {
            continue;
        };
        if name.is_some_and(|name| comm.trim_end() != name) {
            continue;
        }
        // nanoseconds on a CPU, nanoseconds waiting for one, time slices: see sched-stats in the
        // kernel's documentation
        let spent = said.split(' ').next().unwrap_or_default();
        let spent = spent.parse().context("schedstat")?;
        all.insert(task.file_name(), Duration::from_nanos(spent));
    }
    Ok(all)
}

/// CPU time used between two readings. A thread that ended in between counts as idle.
pub(super) fn used(
    before: &HashMap<OsString, Duration>,
    after: &HashMap<OsString, Duration>,
) -> Duration {
    let of = |(thread, now): (&OsString, &Duration)| {
        *now - before.get(thread).copied().unwrap_or_default()
    };
    after.iter().map(of).sum()
}

/// Waits until Dormouse has used no CPU for a while, with a timeout.
fn until_idle(dormouse: &Dormouse) {
    const LOOK: Duration = Duration::from_millis(250);
    const LOOKS: u32 = 120;
    let mut before = process::cpu_ticks(dormouse.pid());
    for _ in 0..LOOKS {
        sleep(LOOK);
        let now = process::cpu_ticks(dormouse.pid());
        if now == before {
            return;
        }
        before = now;
    }
}
