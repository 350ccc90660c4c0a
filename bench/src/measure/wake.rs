//! P4 and P5: from a statement of an idle session on a sleeping database to its first row.

use std::time::Instant;

use anyhow::Context as _;
use dormouse_testkit::{Client, Created, Dormouse, Reply};
use dormouse_types::DatabaseName;

use super::{Orders, millis};
use crate::options::{Measure, Options};
use crate::report::{Report, Target, Unit};
use crate::rig::settle;
use crate::say;
use crate::server::{Recipe, socket_of};
use crate::stats::{median, percentile};

const NAME: &str = "nap";

/// A statement that only the server can answer, with a known result.
const STATEMENT: &str = "SELECT COUNT(*) FROM app.t WHERE id=1";

/// Name of the first account on the server.
const OWNER: &str = "admin";

/// A database and a session that is never closed.
struct Sleeper {
    name: DatabaseName,
    who: Created,
    client: Client,
    orders: Orders,
}

/// Runs P4 and P5, as selected.
pub(crate) fn run(
    options: &Options,
    dormouse: &Dormouse,
    report: &mut Report,
) -> anyhow::Result<()> {
    let who = dormouse.create(NAME, &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id INT PRIMARY KEY, c CHAR(120))",
        "INSERT INTO app.t SELECT seq, seq FROM app.seq_1_to_10000",
    ] {
        client.query(text).ok();
    }
    let mut sleeper = Sleeper {
        name: NAME.parse()?,
        who,
        client,
        orders: Orders::to(dormouse)?,
    };
    if options.wants(Measure::P5) {
        suspended(options, &mut sleeper, report)?;
    }
    if options.wants(Measure::P4) {
        let recipe = recipe(dormouse)?;
        parked(options, &mut sleeper, &recipe, report)?;
    }
    Ok(())
}

fn recipe(dormouse: &Dormouse) -> anyhow::Result<Recipe> {
    let pid = dormouse.server(NAME);
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
    let socket = line.split('\0').find_map(socket_of);
    Recipe::of_running(
        pid,
        socket.context("the server's configuration names no socket")?,
    )
}

impl Sleeper {
    fn park(&self) -> anyhow::Result<()> {
        self.orders
            .runtime
            .block_on(self.orders.api.park(&self.name))?;
        settle();
        Ok(())
    }

    fn suspend(&self) -> anyhow::Result<()> {
        self.orders
            .runtime
            .block_on(self.orders.api.suspend(&self.name))?;
        settle();
        Ok(())
    }

    /// Milliseconds until the row of the statement has arrived.
    fn first_row(&mut self) -> anyhow::Result<f64> {
        let sent = Instant::now();
        let reply = self.client.try_query(STATEMENT)?;
        let time = sent.elapsed();
        is_the_row(&reply)?;
        Ok(millis(time))
    }

    /// Milliseconds until a server that is started directly on the parked database's files returns
    /// the same row to a new connection on its socket.
    fn bare_start(&self, recipe: &Recipe) -> anyhow::Result<f64> {
        let began = Instant::now();
        let (server, stream) = recipe.start()?;
        let mut client = Client::on(stream);
        let greeted = client.login(OWNER, &self.who.password, None);
        anyhow::ensure!(
            matches!(greeted, Reply::Ok(_)),
            "the login failed: {greeted:?}"
        );
        let reply = client.try_query(STATEMENT)?;
        let time = began.elapsed();
        is_the_row(&reply)?;
        drop(client);
        server.stop()?;
        settle();
        Ok(millis(time))
    }
}

fn is_the_row(reply: &Reply) -> anyhow::Result<()> {
    let row = vec![vec![Some("1".to_owned())]];
    anyhow::ensure!(*reply == Reply::Rows(row), "{STATEMENT}: {reply:?}");
    Ok(())
}

fn parked(
    options: &Options,
    sleeper: &mut Sleeper,
    recipe: &Recipe,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut woken, mut started) = (Vec::new(), Vec::new());
    // the first of each is a warm-up
    for sample in 0..=options.wakes() {
        sleeper.park()?;
        // alternately, since the second one profits from the files that the first has just written
        let (start, wake) = if sample % 2 == 0 {
            (sleeper.bare_start(recipe)?, sleeper.first_row()?)
        } else {
            let wake = sleeper.first_row()?;
            sleeper.park()?;
            (sleeper.bare_start(recipe)?, wake)
        };
        if sample > 0 {
            started.push(start);
            woken.push(wake);
        }
        if sample % 10 == 0 {
            say(&format!(
                "P4 {sample} of {}: {start:.0} ms started by hand, {wake:.0} ms woken",
                options.wakes()
            ));
        }
    }
    report.raw("P4 bare start to first row", Unit::Milliseconds, &started);
    report.raw("P4 parked to first row", Unit::Milliseconds, &woken);
    let (bare, bare_tail) = (median(&started), percentile(&started, 99.0));
    let (wake, tail) = (median(&woken), percentile(&woken, 99.0));
    report.figure(
        "P4",
        "bare server start to first row, p50",
        bare,
        Unit::Milliseconds,
    );
    report.figure(
        "P4",
        "bare server start to first row, p99",
        bare_tail,
        Unit::Milliseconds,
    );
    report.figure("P4", "parked to first row, p50", wake, Unit::Milliseconds);
    report.figure("P4", "parked to first row, p99", tail, Unit::Milliseconds);
    report.promise(
        "P4",
        "parked p50 ÷ bare start p50",
        wake / bare,
        Unit::Ratio,
        Target::AtMost(1.25),
    );
    report.promise(
        "P4",
        "parked p99 ÷ bare start p50",
        tail / bare,
        Unit::Ratio,
        Target::AtMost(2.0),
    );
    report.figure(
        "P4",
        "parked p99 ÷ bare start p99",
        tail / bare_tail,
        Unit::Ratio,
    );
    Ok(())
}

fn suspended(options: &Options, sleeper: &mut Sleeper, report: &mut Report) -> anyhow::Result<()> {
    let (mut thawed, mut awake) = (Vec::new(), Vec::new());
    for sample in 0..=options.thaws() {
        sleeper.suspend()?;
        let (thaw, again) = (sleeper.first_row()?, sleeper.first_row()?);
        if sample > 0 {
            thawed.push(thaw);
            awake.push(again);
        }
        if sample % 20 == 0 {
            say(&format!("P5 {sample} of {}: {thaw:.1} ms", options.thaws()));
        }
    }
    report.raw("P5 suspended to first row", Unit::Milliseconds, &thawed);
    report.raw(
        "P5 the same statement once more",
        Unit::Milliseconds,
        &awake,
    );
    report.figure(
        "P5",
        "suspended to first row, p50",
        median(&thawed),
        Unit::Milliseconds,
    );
    let tail = percentile(&thawed, 99.0);
    report.promise(
        "P5",
        "suspended to first row, p99",
        tail,
        Unit::Milliseconds,
        Target::AtMost(5.0),
    );
    report.figure(
        "P5",
        "the same statement once more, p50",
        median(&awake),
        Unit::Milliseconds,
    );
    Ok(())
}
