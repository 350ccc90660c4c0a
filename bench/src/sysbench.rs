//! Load by sysbench's point selects.

use std::process::Command;

use anyhow::Context as _;

use crate::machine;
use crate::rig::{Endpoint, Via};

/// Rows of the one table.
const ROWS: u32 = 10_000;

/// Threads, each with a connection of its own.
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

/// What a run of load came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Load {
    /// Statements that were answered.
    pub(crate) queries: f64,
    /// Of them in a second.
    pub(crate) per_second: f64,
}

/// Makes the table.
pub(crate) fn prepare(endpoint: &Endpoint) -> anyhow::Result<()> {
    sysbench(endpoint, &["prepare"]).map(drop)
}

/// Runs load for some seconds.
pub(crate) fn run(
    endpoint: &Endpoint,
    statements: Statements,
    seconds: u32,
) -> anyhow::Result<Load> {
    let (threads, time) = (format!("--threads={THREADS}"), format!("--time={seconds}"));
    let said = sysbench(endpoint, &[&threads, &time, statements.option(), "run"])?;
    parse(&said).with_context(|| format!("sysbench through {}:\n{said}", endpoint.name))
}

fn sysbench(endpoint: &Endpoint, arguments: &[&str]) -> anyhow::Result<String> {
    let program = machine::find("sysbench").context("sysbench is not installed")?;
    let mut command = Command::new(program);
    command.args([
        "oltp_point_select",
        "--db-driver=mysql",
        "--mysql-ssl=off",
        "--skip-trx=on",
    ]);
    command.args([
        "--tables=1",
        &format!("--table-size={ROWS}"),
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
        "sysbench through {} failed:\n{said}{}",
        endpoint.name,
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
    for trouble in ["ignored errors", "reconnects"] {
        anyhow::ensure!(count(trouble)? == 0.0, "it counted {trouble}");
    }
    let queries = count("queries")?;
    let rate = line("queries")?
        .split_once('(')
        .and_then(|(_, rest)| rest.split(' ').next());
    let per_second = rate
        .and_then(|text| text.parse().ok())
        .context("no rate of queries")?;
    Ok(Load {
        queries,
        per_second,
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
";

    #[test]
    fn reads_a_summary() {
        let load = parse(SAID).unwrap();
        assert_eq!(
            load,
            Load {
                queries: 51029.0,
                per_second: 25511.21
            }
        );
    }

    #[test]
    fn a_run_with_errors_is_no_measurement() {
        let bad = SAID.replace(
            "ignored errors:                      0",
            "ignored errors:    3",
        );
        assert!(parse(&bad).is_err_and(|e| e.to_string().contains("ignored errors")));
        assert!(parse("FATAL: no\n").is_err());
    }
}
