//! H1: time until the hit ratio of the buffer pool is back after a sleep, and after a scale-down and up
//! again; with the hot pages read back, and without the list of hot pages. Also whether an awake database
//! that shrinks keeps its hot pages.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_api::model::SettingsPatch;
use dormouse_testkit::{Client, Dormouse, Reply};
use dormouse_types::{DatabaseName, UnitRange, Units};

use super::{Orders, millis};
use crate::options::Options;
use crate::report::{Report, Target, Unit};
use crate::say;
use crate::server::socket_of;
use crate::stats::median;

const NAME: &str = "hot";

/// The hit ratio is back when three slices in a row have this share of the former one.
const BACK: f64 = 0.95;

/// Sizes of the scaled database: 2 GiB and 1 GiB of buffer pool.
const LARGE: Units = Units(2);
const SMALL: Units = Units(1);

/// Numbers of rows, of which two fill a page: they fit into both pools (390 MiB), they are more than
/// half of the smaller one (586 MiB), they fit only into the larger one (1.6 GiB).
const FEW: u64 = 50_000;
const FIT: u64 = 75_000;
const MANY: u64 = 215_000;

const SLICE: Duration = Duration::from_millis(100);

/// Time of reading after which the pool has the rows that are read.
const SETTLE: Duration = Duration::from_secs(15);

/// Maximum time; reported if the hit ratio is not back by then.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why a database loses its pages.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Suspend,
    Park,
    /// A scale-down and up again.
    Small,
}

/// A session that reads two random rows per statement among the first `rows`.
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
    let part = if options.quick { 8 } else { 1 };
    let mut reader = Reader::new(dormouse)?;
    reader.fill(FEW / part)?;
    compare(Loss::Suspend, options, &mut reader, report)?;
    compare(Loss::Park, options, &mut reader, report)?;
    reader.fill(MANY / part)?;
    compare(Loss::Small, options, &mut reader, report)?;
    reader.rows = FIT / part;
    shrunk(options, &mut reader, report)
}

/// Measures the time until the hit ratio is back, with and without the list of hot pages.
fn compare(
    loss: Loss,
    options: &Options,
    reader: &mut Reader,
    report: &mut Report,
) -> anyhow::Result<()> {
    let word = match loss {
        Loss::Suspend => "a suspend",
        Loss::Park => "a park",
        Loss::Small => "a scale-down, and up again",
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..options.rounds() {
        let hydrated = millis(reader.time_to_warm(loss, true)?);
        let not = millis(reader.time_to_warm(loss, false)?);
        say(&format!(
            "H1 {word}, {round}: back after {hydrated:.0} ms, {not:.0} ms without a list"
        ));
        with.push(hydrated);
        without.push(not);
    }
    let ratios: Vec<f64> = without.iter().zip(&with).map(|(o, w)| o / w).collect();
    for (how, times) in [("hydrated", &with), ("not hydrated", &without)] {
        let what = format!("95 % of the hit ratio after {word}: {how}");
        report.raw(format!("H1 {what}"), Unit::Milliseconds, times);
        report.figure("H1", what, median(times), Unit::Milliseconds);
    }
    report.promise(
        "H1",
        format!("not hydrated ÷ hydrated, after {word}"),
        median(&ratios),
        Unit::Ratio,
        Target::AtLeast(3.0),
    );
    Ok(())
}

/// Shrinks the database while rows that fit are read; the pool also holds rows that were read once
/// and do not fit.
fn shrunk(options: &Options, reader: &mut Reader, report: &mut Report) -> anyhow::Result<()> {
    let mut lowest = Vec::new();
    for round in 0..options.rounds() {
        reader.read_all();
        reader.read_for(SETTLE)?;
        let former = reader.read_for(10 * SLICE)?;
        reader.resize(SMALL)?;
        let mut low = f64::INFINITY;
        let smaller = Instant::now();
        while smaller.elapsed() < SETTLE {
            low = low.min(reader.read_for(SLICE)? / former);
        }
        reader.resize(LARGE)?;
        say(&format!(
            "H1 made smaller, {round}: lowest hit ratio {low:.3} of before"
        ));
        lowest.push(low);
    }
    let what = "made smaller: lowest hit ratio of 100 ms ÷ before";
    report.raw(format!("H1 {what}"), Unit::Ratio, &lowest);
    report.promise(
        "H1",
        what,
        median(&lowest),
        Unit::Ratio,
        Target::AtLeast(BACK),
    );
    Ok(())
}

impl Reader {
    fn new(dormouse: &Dormouse) -> anyhow::Result<Self> {
        let who = dormouse.create(NAME, &["--units", "2..2"]);
        let mut client = dormouse.connect(&who);
        for text in [
            "CREATE DATABASE app",
            "CREATE TABLE app.t (id INT PRIMARY KEY, k INT, c VARCHAR(15000) CHARACTER SET latin1)",
            // with a unique key the optimizer reads no page
            "SET eq_range_index_dive_limit = 1",
        ] {
            client.query(text).ok();
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
            rows: 0,
            random: 0x9E37_79B9_7F4A_7C15,
        })
    }

    /// Adds rows up to `rows`, and reads among all of them from now on.
    fn fill(&mut self, rows: u64) -> anyhow::Result<()> {
        say(&format!("filling a table of {} MiB", rows / 128));
        let first = self.rows + 1;
        let text = format!(
            "INSERT INTO app.t SELECT seq, seq, REPEAT('x', 7800) FROM app.seq_{first}_to_{rows}"
        );
        let reply = self.client.try_query(&text)?;
        anyhow::ensure!(matches!(reply, Reply::Ok(_)), "{text}: {reply:?}");
        self.rows = rows;
        Ok(())
    }

    /// Reads all rows once.
    fn read_all(&mut self) {
        self.client.query("SELECT SUM(LENGTH(c)) FROM app.t");
    }

    /// Warms the pool up, causes the loss of pages, and reads until the hit ratio is back.
    fn time_to_warm(&mut self, loss: Loss, hydrated: bool) -> anyhow::Result<Duration> {
        self.read_all();
        // the read-back of the last round has ended
        self.read_for(20 * SLICE)?;
        let former = self.read_for(10 * SLICE)?;
        anyhow::ensure!(former > 0.9, "the pool is cold: {former}");
        let api = &self.orders.api;
        match loss {
            Loss::Suspend => drop(self.orders.runtime.block_on(api.suspend(&self.name))?),
            Loss::Park => drop(self.orders.runtime.block_on(api.park(&self.name))?),
            Loss::Small => {
                self.resize(SMALL)?;
                self.read_for(20 * SLICE)?;
            }
        }
        if !hydrated && let Err(error) = fs::remove_file(&self.list) {
            anyhow::ensure!(error.kind() == io::ErrorKind::NotFound, error);
        }
        let began = Instant::now();
        if let Loss::Small = loss {
            self.resize(LARGE)?;
        }
        let mut back: Option<(Duration, u32)> = None;
        while began.elapsed() < PATIENCE {
            let ratio = self.read_for(SLICE)?;
            back = match back {
                _ if ratio < BACK * former => None,
                Some((at, 1)) => return Ok(at),
                Some((at, more)) => Some((at, more - 1)),
                None => Some((began.elapsed(), 2)),
            };
        }
        Ok(PATIENCE)
    }

    /// Changes the units, and reads until the change has been made.
    fn resize(&mut self, units: Units) -> anyhow::Result<()> {
        let settings = SettingsPatch {
            units: Some(UnitRange {
                min: units,
                max: units,
            }),
            ..SettingsPatch::default()
        };
        let Orders { runtime, api } = &self.orders;
        runtime.block_on(api.set(&self.name, &settings))?;
        let ordered = Instant::now();
        while ordered.elapsed() < PATIENCE {
            self.read_for(SLICE / 10)?;
            let Orders { runtime, api } = &self.orders;
            if runtime.block_on(api.database(&self.name))?.units == units {
                return Ok(());
            }
        }
        anyhow::bail!("it has not got {} units after {PATIENCE:?}", units.0)
    }

    /// Reads rows; returns the hit ratio from `ANALYZE FORMAT=JSON` of the statements, because the
    /// server's own counters include pages that are read back.
    fn read_for(&mut self, time: Duration) -> anyhow::Result<f64> {
        let began = Instant::now();
        let (mut accessed, mut read) = (0, 0);
        while began.elapsed() < time {
            let (one, other) = (self.any_row(), self.any_row());
            let text =
                format!("ANALYZE FORMAT=JSON SELECT SUM(k) FROM app.t WHERE id IN ({one},{other})");
            let reply = self.client.try_query(&text)?;
            let Reply::Rows(rows) = &reply else {
                anyhow::bail!("{text}: {reply:?}");
            };
            let told = rows.first().and_then(|row| row.first()?.as_deref());
            let told: serde_json::Value = serde_json::from_str(told.context("no plan")?)?;
            let plan = &told["query_block"]["nested_loop"][0]["table"]["r_engine_stats"];
            accessed += plan["pages_accessed"]
                .as_u64()
                .context("no pages in the plan")?;
            read += plan["pages_read_count"].as_u64().unwrap_or(0);
        }
        #[expect(clippy::cast_precision_loss, reason = "it is a ratio")]
        Ok(1.0 - read as f64 / accessed.max(1) as f64)
    }

    fn any_row(&mut self) -> u64 {
        // xorshift
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % self.rows + 1
    }
}
