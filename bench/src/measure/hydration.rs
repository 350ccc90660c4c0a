//! H1: after a sleep, how long until statements find as much in the buffer pool as before; with the
//! hot pages read back behind them, and with the list of hot pages taken away. And what of it is
//! lost when an awake server is made smaller, or larger.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_api::model::Wishes;
use dormouse_testkit::{Client, Dormouse, Reply};
use dormouse_types::{DatabaseName, UnitRange, Units};

use super::{Orders, millis};
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::say;
use crate::server::socket_of;
use crate::stats::median;

const NAME: &str = "hot";

/// The former hit ratio is back when a slice has this share of it, and the next two as well.
const BACK: f64 = 0.95;

/// The sizes between which an awake database is moved. The pool of the smaller one, 1 GiB, holds
/// the rows that are read, but not those that were read before as well.
const LARGE: Units = Units(2);
const SMALL: Units = Units(1);

/// Rows that fill a page alone, which nobody reads again: as much as the smaller pool.
const COLD: u32 = 163_840;

const SLICE: Duration = Duration::from_millis(100);

/// What is not back by then is told as this.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a database sleeps.
#[derive(Debug, Clone, Copy)]
enum Nap {
    Suspend,
    Park,
}

/// What a change of size cost.
#[derive(Debug, Clone, Copy)]
struct Dip {
    /// The lowest hit ratio of a slice, of what it was before.
    lowest: f64,
    /// What the pool held before and holds after it, in MiB.
    held: [f64; 2],
    /// From the order until the hit ratio was no lower any more; nothing if it never was.
    back: Duration,
}

/// A database larger than the pool it wakes with, and who reads it: one session, single rows,
/// all alike.
struct Reader {
    name: DatabaseName,
    client: Client,
    orders: Orders,
    list: PathBuf,
    rows: u64,
    random: u64,
}

/// Runs H1.
pub(crate) fn run(
    options: &Options,
    dormouse: &Dormouse,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut reader = Reader::new(options, dormouse)?;
    for (nap, word) in [(Nap::Suspend, "suspend"), (Nap::Park, "park")] {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for round in 0..options.rounds() {
            let hydrated = millis(reader.time_to_warm(nap, true)?);
            let not = millis(reader.time_to_warm(nap, false)?);
            say(&format!(
                "H1 {word} {round}: back after {hydrated:.0} ms, {not:.0} ms without a list"
            ));
            with.push(hydrated);
            without.push(not);
        }
        let ratios: Vec<f64> = without.iter().zip(&with).map(|(o, w)| o / w).collect();
        for (how, times) in [("hydrated", &with), ("not hydrated", &without)] {
            let what = format!("95 % of the hit ratio after a {word}, {how}");
            report.raw(format!("H1 {what}"), Unit::Milliseconds, times);
            report.figure("H1", what, median(times), Unit::Milliseconds);
        }
        report.promise(
            "H1",
            format!("not hydrated ÷ hydrated, after a {word}"),
            median(&ratios),
            Unit::Ratio,
            Target::AtLeast(3.0),
        );
    }
    resized(options, &mut reader, report)
}

/// Makes the database smaller and larger while it is read.
fn resized(options: &Options, reader: &mut Reader, report: &mut Report) -> anyhow::Result<()> {
    reader.add_cold_rows(options)?;
    let (mut down, mut up) = (Vec::new(), Vec::new());
    for round in 0..options.rounds() {
        reader.warm_up()?;
        down.push(reader.resize(SMALL)?);
        up.push(reader.resize(LARGE)?);
        let [smaller, larger] = [&down, &up].map(|all| all[all.len() - 1]);
        say(&format!(
            "H1 size {round}: lowest hit ratio {:.3} of before, back after {:.0} ms; larger again \
             with {:.0} MiB",
            smaller.lowest,
            millis(smaller.back),
            larger.held[1]
        ));
    }
    let lowest: Vec<f64> = down.iter().map(|dip| dip.lowest).collect();
    let what = "made smaller: lowest hit ratio of 100 ms ÷ before";
    report.raw(format!("H1 {what}"), Unit::Ratio, &lowest);
    report.figure("H1", what, median(&lowest), Unit::Ratio);
    let back: Vec<f64> = down.iter().map(|dip| millis(dip.back)).collect();
    let what = "made smaller: 95 % of the hit ratio is back";
    report.raw(format!("H1 {what}"), Unit::Milliseconds, &back);
    report.figure("H1", what, median(&back), Unit::Milliseconds);
    // made larger, it reads noted pages back, which the server counts like a statement's misses
    for (way, all) in [("smaller", &down), ("larger", &up)] {
        for (which, held) in [("before", 0), ("after", 1)] {
            let held: Vec<f64> = all.iter().map(|dip| dip.held[held]).collect();
            let what = format!("made {way}: data in the pool {which}");
            report.figure("H1", what, median(&held), Unit::Mebibytes);
        }
    }
    Ok(())
}

impl Reader {
    fn new(options: &Options, dormouse: &Dormouse) -> anyhow::Result<Self> {
        let rows: u64 = if options.quick { 200_000 } else { 1_600_000 };
        say(&format!("filling a table of {} MiB", rows / 4096));
        let who = dormouse.create(NAME, &["--units", "2..2"]);
        let mut client = dormouse.connect(&who);
        for text in [
            "CREATE DATABASE app".to_owned(),
            "CREATE TABLE app.t (id INT PRIMARY KEY, k INT, c CHAR(210) CHARACTER SET latin1)"
                .to_owned(),
            format!("INSERT INTO app.t SELECT seq, seq, REPEAT('x', 210) FROM app.seq_1_to_{rows}"),
        ] {
            client.query(&text).ok();
        }
        let pid = dormouse.server(NAME);
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline"))?;
        let socket = line.split('\0').find_map(socket_of);
        let socket = socket.context("the server's configuration names no socket")?;
        Ok(Self {
            name: NAME.parse()?,
            client,
            orders: Orders::to(dormouse)?,
            list: socket.with_file_name("data").join("ib_buffer_pool"),
            rows,
            random: 0x9E37_79B9_7F4A_7C15,
        })
    }

    /// What fills the larger pool beside the rows that are read.
    fn add_cold_rows(&mut self, options: &Options) -> anyhow::Result<()> {
        let rows = if options.quick { COLD / 16 } else { COLD };
        say(&format!("filling another table of {} MiB", rows / 128));
        for text in [
            "CREATE TABLE app.cold (id INT PRIMARY KEY, c VARCHAR(15000) CHARACTER SET latin1)"
                .to_owned(),
            format!("INSERT INTO app.cold SELECT seq, REPEAT('x', 8000) FROM app.seq_1_to_{rows}"),
        ] {
            let reply = self.client.try_query(&text)?;
            anyhow::ensure!(matches!(reply, Reply::Ok(_)), "{text}: {reply:?}");
        }
        Ok(())
    }

    /// Fills the pool with all rows, and reads those that are read.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        self.client.query("SELECT COUNT(c) FROM app.t");
        self.client.query("SELECT SUM(LENGTH(c)) FROM app.cold");
        self.read_for(Duration::from_secs(2)).map(drop)
    }

    /// Gives it so many units, and reads until it has them and is as warm as before.
    fn resize(&mut self, units: Units) -> anyhow::Result<Dip> {
        let former = self.read_for(10 * SLICE)?;
        let held = self.holds()?;
        let wishes = Wishes {
            units: Some(UnitRange {
                min: units,
                max: units,
            }),
            ..Wishes::default()
        };
        let api = &self.orders.api;
        self.orders.runtime.block_on(api.set(&self.name, &wishes))?;
        let ordered = Instant::now();
        let mut dip = Dip {
            lowest: 1.0,
            held: [held; 2],
            back: Duration::ZERO,
        };
        let mut warm = 0;
        while ordered.elapsed() < PATIENCE {
            let ratio = self.read_for(SLICE)? / former;
            dip.lowest = dip.lowest.min(ratio);
            if ratio < BACK {
                (dip.back, warm) = (ordered.elapsed(), 0);
                continue;
            }
            warm += 1;
            let api = &self.orders.api;
            let now = self.orders.runtime.block_on(api.database(&self.name))?;
            // what follows a change of size may take its pages later
            if now.units != units {
                warm = 0;
            } else if warm >= 20 {
                dip.held[1] = self.holds()?;
                return Ok(dip);
            }
        }
        anyhow::bail!("it is not warm with {} units after {PATIENCE:?}", units.0)
    }

    /// Warms it up, lets it sleep, and reads until it is as warm as before.
    fn time_to_warm(&mut self, nap: Nap, hydrated: bool) -> anyhow::Result<Duration> {
        self.client.query("SELECT COUNT(c) FROM app.t");
        // whatever was read back for the last round has come to its end
        self.read_for(Duration::from_secs(2))?;
        let former = self.read_for(10 * SLICE)?;
        anyhow::ensure!(former > 0.9, "the pool is cold: {former}");
        let api = &self.orders.api;
        let sleep = async {
            match nap {
                Nap::Suspend => api.suspend(&self.name).await,
                Nap::Park => api.park(&self.name).await,
            }
        };
        self.orders.runtime.block_on(sleep)?;
        if !hydrated && let Err(error) = fs::remove_file(&self.list) {
            anyhow::ensure!(error.kind() == io::ErrorKind::NotFound, error);
        }
        let woken = Instant::now();
        let mut back: Option<(Duration, u32)> = None;
        while woken.elapsed() < PATIENCE {
            let ratio = self.read_for(SLICE)?;
            back = match back {
                _ if ratio < BACK * former => None,
                Some((at, 1)) => return Ok(at),
                Some((at, more)) => Some((at, more - 1)),
                None => Some((woken.elapsed(), 2)),
            };
        }
        Ok(PATIENCE)
    }

    /// Reads rows, and says how many of the pages that were needed for it were in the pool.
    fn read_for(&mut self, time: Duration) -> anyhow::Result<f64> {
        let began = Instant::now();
        let (requests, reads) = self.asked()?;
        while began.elapsed() < time {
            // xorshift
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let id = self.random % self.rows + 1;
            let read = format!("SELECT k FROM app.t WHERE id={id}");
            let reply = self.client.try_query(&read)?;
            anyhow::ensure!(matches!(reply, Reply::Rows(_)), "{read}: {reply:?}");
        }
        let (now_requests, now_reads) = self.asked()?;
        let all = (now_requests - requests).max(1.0);
        Ok(1.0 - (now_reads - reads).max(0.0) / all)
    }

    /// What the pool holds, in MiB.
    fn holds(&mut self) -> anyhow::Result<f64> {
        let asked = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_bytes_data'";
        let Reply::Rows(rows) = self.client.try_query(asked)? else {
            anyhow::bail!("the server does not tell what its pool holds");
        };
        let bytes = rows.first().and_then(|row| row.get(1)?.as_ref());
        let bytes: f64 = bytes.context("what the pool holds")?.parse()?;
        Ok(bytes / f64::from(1 << 20))
    }

    fn asked(&mut self) -> anyhow::Result<(f64, f64)> {
        let asked = "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_read%'";
        let Reply::Rows(rows) = self.client.try_query(asked)? else {
            anyhow::bail!("the server does not tell what its pool was asked");
        };
        let figure = |name: &str| -> Option<f64> {
            let row = rows.iter().find(|row| row[0].as_deref() == Some(name))?;
            row.get(1)?.as_ref()?.parse().ok()
        };
        let requests = figure("Innodb_buffer_pool_read_requests");
        let reads = figure("Innodb_buffer_pool_reads");
        requests.zip(reads).context("figures of the pool")
    }
}
