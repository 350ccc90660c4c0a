//! Load by sysbench.

use std::process::Command;

use anyhow::Context as _;

use crate::endpoint::{Endpoint, Via};
use crate::machine;

/// Threads of the usual load, each with a connection of its own.
pub(crate) const THREADS: u32 = 8;

/// The schema in which the table is.
pub(crate) const SCHEMA: &str = "sbtest";

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statements {
    /// Prepared once, then executed: sysbench's default.
    Prepared,
    /// As text each time.
    Text,
}

impl Statements {
    /// Both kinds.
    pub(crate) const ALL: [Self; 2] = [Self::Prepared, Self::Text];

    /// In words.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Prepared => "prepared",
            Self::Text => "text",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::Prepared => "--db-ps-mode=auto",
            Self::Text => "--db-ps-mode=disable",
        }
    }
}

/// One of sysbench's scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// A row by its key.
    PointSelect,
    /// A transaction of 14 selects, two updates, a delete and an insert.
    ReadWrite,
}

impl Script {
    fn options(self) -> [&'static str; 2] {
        match self {
            Self::PointSelect => ["oltp_point_select", "--skip-trx=on"],
            // its rows are equally likely: what is measured is not how they are fought for
            Self::ReadWrite => ["oltp_read_write", "--rand-type=uniform"],
        }
    }
}

/// A load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) script: Script,
    pub(crate) statements: Statements,
    /// Threads, each with a connection of its own.
    pub(crate) threads: u32,
    /// Rows of the one table.
    pub(crate) rows: u32,
}

impl Workload {
    /// Point selects with [`THREADS`] threads.
    pub(crate) fn points(statements: Statements, rows: u32) -> Self {
        Self {
            script: Script::PointSelect,
            statements,
            threads: THREADS,
            rows,
        }
    }
}

/// What a run of load came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Statements that were answered.
    pub(crate) queries: f64,
    /// Of them in a second.
    pub(crate) per_second: f64,
    /// Runs of the script in a second: transactions.
    pub(crate) transactions_per_second: f64,
    /// How long a run of the script takes, 95th percentile, in ms.
    pub(crate) p95_ms: f64,
    /// Transactions that met another one (deadlocks) and were run again.
    pub(crate) collisions: f64,
}

/// Makes the table.
pub(crate) fn prepare(endpoint: &Endpoint, rows: u32) -> anyhow::Result<()> {
    let workload = Workload::points(Statements::Text, rows);
    sysbench(endpoint, &workload, &["--threads=1", "prepare"]).map(drop)
}

/// Runs load for some seconds.
pub(crate) fn run(endpoint: &Endpoint, workload: &Workload, seconds: u32) -> anyhow::Result<Load> {
    let (threads, time) = (
        format!("--threads={}", workload.threads),
        format!("--time={seconds}"),
    );
    let arguments = [&threads, &time, workload.statements.option(), "run"];
    let said = sysbench(endpoint, workload, &arguments)?;
    let load =
        parse(&said).with_context(|| format!("sysbench through {}:\n{said}", endpoint.name))?;
    anyhow::ensure!(
        load.collisions == 0.0 || workload.script == Script::ReadWrite,
        "sysbench through {} ignored errors:\n{said}",
        endpoint.name
    );
    Ok(load)
}

fn sysbench(
    endpoint: &Endpoint,
    workload: &Workload,
    arguments: &[&str],
) -> anyhow::Result<String> {
    let program = machine::find("sysbench").context("sysbench is not installed")?;
    let mut command = Command::new(program);
    command.args(workload.script.options());
    command.args(["--db-driver=mysql", "--mysql-ssl=off"]);
    command.args([
        "--tables=1",
        &format!("--table-size={}", workload.rows),
        &format!("--mysql-db={SCHEMA}"),
    ]);
    command.arg(format!("--mysql-user={}", endpoint.user));
    command.arg(format!("--mysql-password={}", endpoint.password));
    match &endpoint.via {
        Via::Tcp(address) => {
            command.arg(format!("--mysql-host={}", address.ip()));
            command.arg(format!("--mysql-port={}", address.port()));
        }
        Via::Unix(path) => {
            command.arg("--mysql-host=localhost");
            command.arg(format!("--mysql-socket={}", path.display()));
        }
    }
    let output = command
        .args(arguments)
        .output()
        .context("running sysbench")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "sysbench through {} failed ({}):\n{said}{}",
        endpoint.name,
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(said)
}

/// Reads the summary. A run in which anything went wrong is no measurement.
fn parse(said: &str) -> anyhow::Result<Load> {
    let line = |name: &str| {
        let found = said
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        found.with_context(|| format!("it did not say '{name}'"))
    };
    let count = |name: &str| -> anyhow::Result<f64> {
        let words = line(name)?;
        let first = words.split_whitespace().next().unwrap_or_default();
        first
            .parse()
            .with_context(|| format!("'{name}' is no number"))
    };
    let rate = |name: &str| -> anyhow::Result<f64> {
        let words = line(name)?.split_once('(');
        let rate = words.and_then(|(_, rest)| rest.split(' ').next());
        rate.and_then(|text| text.parse().ok())
            .with_context(|| format!("no rate of {name}"))
    };
    anyhow::ensure!(count("reconnects")? == 0.0, "it counted reconnects");
    Ok(Load {
        queries: count("queries")?,
        per_second: rate("queries")?,
        transactions_per_second: rate("transactions")?,
        p95_ms: count("95th percentile")?,
        collisions: count("ignored errors")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
SQL statistics:
    queries performed:
        read:                            51029
        total:                           51029
    transactions:                        51029  (25511.21 per sec.)
    queries:                             51029  (25511.21 per sec.)
    ignored errors:                      0      (0.00 per sec.)
    reconnects:                          0      (0.00 per sec.)

Latency (ms):
         avg:                                    0.31
         95th percentile:                        0.48
";

    #[test]
    fn reads_a_summary() {
        let load = parse(SAID).unwrap();
        assert_eq!(
            load,
            Load {
                queries: 51029.0,
                per_second: 25511.21,
                transactions_per_second: 25511.21,
                p95_ms: 0.48,
                collisions: 0.0,
            }
        );
    }

    #[test]
    fn a_run_that_reconnects_is_no_measurement() {
        let bad = SAID.replace(
            "reconnects:                          0",
            "reconnects:                          3",
        );
        assert!(parse(&bad).is_err_and(|e| e.to_string().contains("reconnects")));
        assert!(parse("FATAL: no\n").is_err());
    }

    #[test]
    fn collisions_are_counted() {
        let some = SAID.replace(
            "ignored errors:                      0",
            "ignored errors:                      3",
        );
        assert_eq!(parse(&some).unwrap().collisions, 3.0);
    }
}
