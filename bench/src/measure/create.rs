//! P6: from the request for a new database to the first login, with a warm pool.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use dormouse_api::model::{CreateRequest, SettingsPatch};
use dormouse_testkit::{Client, Dormouse, Reply, process};

use super::{Orders, millis};
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::rig::settle;
use crate::say;
use crate::server::socket_of;
use crate::stats::{median, percentile};

/// Default size of the warm pool.
const POOL: usize = 2;

/// Creates and drops databases one after another.
pub(crate) fn run(
    options: &Options,
    dormouse: &Dormouse,
    report: &mut Report,
) -> anyhow::Result<()> {
    let orders = Orders::to(dormouse)?;
    let databases = orders.runtime.block_on(orders.api.databases())?;
    let busy = databases
        .iter()
        .filter(|database| database.pid.is_some())
        .count();
    let mut times = Vec::new();
    let mut answers = Vec::new();
    for sample in 0..=options.creates() {
        process::until("the pool is full", || ready(dormouse) == busy + POOL);
        settle();
        let request = CreateRequest {
            root: None,
            version: None,
            name: format!("new-{sample}").parse()?,
            settings: SettingsPatch::default(),
        };
        let asked = Instant::now();
        let made = orders.runtime.block_on(orders.api.create(&request))?;
        let answered = asked.elapsed();
        let mut client = Client::tcp(dormouse.address());
        let reply = client.login(&made.user, &made.password, None);
        let time = asked.elapsed();
        anyhow::ensure!(matches!(reply, Reply::Ok(_)), "the login failed: {reply:?}");
        if sample > 0 {
            times.push(millis(time));
            answers.push(millis(answered));
        }
        if sample % 10 == 0 {
            say(&format!(
                "P6 {sample} of {}: {:.1} ms",
                options.creates(),
                millis(time)
            ));
        }
        drop(client);
        orders
            .runtime
            .block_on(orders.api.drop_database(&request.name))?;
    }
    report.raw("P6 create to login", Unit::Milliseconds, &times);
    report.raw("P6 create", Unit::Milliseconds, &answers);
    let p50 = median(&times);
    report.promise(
        "P6",
        "create to first login, p50",
        p50,
        Unit::Milliseconds,
        Target::AtMost(30.0),
    );
    let p99 = percentile(&times, 99.0);
    report.figure("P6", "create to first login, p99", p99, Unit::Milliseconds);
    report.figure(
        "P6",
        "of this the create, p50",
        median(&answers),
        Unit::Milliseconds,
    );
    Ok(())
}

/// Number of servers that are ready.
pub(super) fn ready(dormouse: &Dormouse) -> usize {
    let pids = dormouse.servers();
    let greets = |pid: &u32| {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let socket = line.split('\0').find_map(socket_of)?;
        UnixStream::connect(socket).ok()?.read_exact(&mut [0]).ok()
    };
    pids.iter().filter_map(greets).count()
}
