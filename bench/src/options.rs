//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Measures Dormouse on this machine, in comparison with a plain server and HAProxy.
///
/// C1  shares of many databases with more demand than CPU
/// E9  time from load to more CPU, and back (E16), without a restart of the server
/// H1  time after a sleep until 95 % of the hit ratio is back, with and without hydration
/// H2  small commits a second with a history ÷ without
/// M1  throughput of 500 clients on 8 backends ÷ as many connections, direct and by HAProxy
/// M2  connect, one query, quit: connections per second ÷ direct TCP
/// P1  point selects per second with 8 threads, through the proxy ÷ direct TCP
/// P2  CPU time of the proxy per query ÷ HAProxy's, in the runs of P1
/// P3  time that the proxy adds to the median round trip of one thread
/// P4  from a statement on a parked database to its first row ÷ start of a bare server
/// P5  from a statement on a suspended database to its first row
/// P6  from the request for a new database to the first login
/// P7  memory of Dormouse per idle client, plain and with TLS; P7b after one statement of each
/// P8  start, CPU at rest and memory of Dormouse with 10,000 parked databases
/// P12 a database of 1 GB moves under load: time in all, longest statement
/// P13 a server and its files are lost under load: time until its replica answers
/// R1  queries of eight clients on two replicas ÷ on one server, each server with half a CPU
#[derive(Debug, Parser)]
#[command(
    name = "dormouse-bench",
    version,
    verbatim_doc_comment,
    after_help = "\
Everything runs in private directories below /tmp, with servers of its own, and is removed at the
end, also after Ctrl-C. As root each server runs as an unprivileged user. Progress is printed on
stderr. Use an otherwise idle machine: client, proxy and server share its cores, and other load
changes the results. A missed target is reported; it is not a failure of this program.

Examples:
  ./dev bench                            everything, about twenty minutes
  ./dev bench --only P4,P5 --json r.json two measures, with raw figures in a file
  ./dev bench --quick                    does it work at all? about a minute; figures mean nothing
  ./dev bench --json | jq .measures      JSON on stdout, the table on stderr"
)]
pub(crate) struct Options {
    /// Rounds of each comparison; wakes and creates are repeated 20 and 10 times as often
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Seconds of load for each peer in a round
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,

    /// Run only these measures
    #[arg(long, value_name = "P1,P2…", value_delimiter = ',', ignore_case = true)]
    only: Vec<Measure>,

    /// One short round of each measure with few clients: checks that it works; the figures are meaningless
    #[arg(long)]
    pub(crate) quick: bool,

    /// Write the results as JSON to FILE, or to stdout
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,

    /// Draw the last round of E9 into FILE, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,

    /// The Dormouse program [default: `dormouse` beside this program]
    #[arg(long, value_name = "PATH", env = "DORMOUSE_BINARY")]
    dormouse: Option<PathBuf>,

    /// The database server [default: /usr/sbin/mariadbd, then PATH]
    #[arg(long, value_name = "PATH", env = "DORMOUSE_BENCH_MARIADBD")]
    pub(crate) mariadbd: Option<PathBuf>,
}

/// A measure of docs/performance.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Measure {
    /// Many databases under load.
    C1,
    /// More CPU under load.
    E9,
    /// Hot pages after a sleep.
    H1,
    /// Writes with a history.
    H2,
    /// Many clients, few backends.
    M1,
    /// Short connections.
    M2,
    /// Throughput.
    P1,
    /// CPU per query.
    P2,
    /// Latency.
    P3,
    /// Parked to first row.
    P4,
    /// Suspended to first row.
    P5,
    /// Create to login.
    P6,
    /// Memory per client.
    P7,
    /// Many parked databases.
    P8,
    /// A move under load.
    P12,
    /// A lost server with a replica.
    P13,
    /// Reads on replicas.
    R1,
}

impl Options {
    /// Whether a measure is selected.
    pub(crate) fn wants(&self, measure: Measure) -> bool {
        self.only.is_empty() || self.only.contains(&measure)
    }

    /// Rounds of each comparison.
    pub(crate) fn rounds(&self) -> u32 {
        if self.quick { 1 } else { self.rounds }
    }

    /// Seconds of load for each peer in a round.
    pub(crate) fn seconds(&self) -> u32 {
        if self.quick { 1 } else { self.seconds }
    }

    /// Duration of the round trips of one thread, for each peer in a round.
    pub(crate) fn latency_time(&self) -> Duration {
        Duration::from_secs(self.seconds().into()) / 2
    }

    /// Number of wakes from parked, and of bare starts.
    pub(crate) fn wakes(&self) -> u32 {
        if self.quick {
            5
        } else {
            (20 * self.rounds).max(60)
        }
    }

    /// Number of thaws.
    pub(crate) fn thaws(&self) -> u32 {
        if self.quick {
            5
        } else {
            (20 * self.rounds).max(100)
        }
    }

    /// Number of new databases.
    pub(crate) fn creates(&self) -> u32 {
        if self.quick {
            3
        } else {
            (10 * self.rounds).max(30)
        }
    }

    /// Number of clients that share few backends.
    pub(crate) fn crowd(&self) -> u32 {
        if self.quick { 50 } else { 500 }
    }

    /// Number of idle clients.
    pub(crate) fn clients(&self) -> usize {
        if self.quick { 200 } else { 5000 }
    }

    /// Number of databases that share the machine.
    pub(crate) fn sharing(&self) -> u32 {
        if self.quick { 4 } else { 30 }
    }

    /// Duration of their load.
    pub(crate) fn sharing_time(&self) -> Duration {
        Duration::from_secs(if self.quick { 2 } else { 20 })
    }

    /// Number of parked databases.
    pub(crate) fn parked(&self) -> u32 {
        if self.quick { 200 } else { 10_000 }
    }

    /// Rows of about a kilobyte of the database that moves.
    pub(crate) fn moved_rows(&self) -> u64 {
        if self.quick { 20_000 } else { 1_000_000 }
    }

    /// Number of servers that are lost.
    pub(crate) fn losses(&self) -> u32 {
        if self.quick { 1 } else { 2 * self.rounds }
    }

    /// Path of the Dormouse program.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        let program = match &self.dormouse {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("dormouse"),
        };
        anyhow::ensure!(
            program.is_file(),
            "there is no {}: build it with `cargo build --release --bin dormouse`, or name it with --dormouse",
            program.display()
        );
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(arguments: &[&str]) -> Options {
        Options::try_parse_from([&["bench"], arguments].concat()).unwrap()
    }

    #[test]
    fn the_definition_of_the_command_line_is_valid() {
        Options::command().debug_assert();
    }

    #[test]
    fn only_names_measures_in_either_case() {
        let options = parse(&["--only", "p1,P4"]);
        let wanted = Measure::value_variants()
            .iter()
            .filter(|m| options.wants(**m));
        assert_eq!(
            wanted.copied().collect::<Vec<_>>(),
            [Measure::P1, Measure::P4]
        );
        assert!(parse(&[]).wants(Measure::P7));
        assert!(Options::try_parse_from(["bench", "--only", "P9"]).is_err());
    }

    #[test]
    fn json_without_a_file_is_stdout() {
        assert_eq!(parse(&["--json"]).json, Some("-".into()));
        assert_eq!(parse(&["--json", "x.json"]).json, Some("x.json".into()));
        assert_eq!(parse(&[]).json, None);
    }

    #[test]
    fn few_rounds_do_not_reduce_the_minimum_numbers_of_samples() {
        let options = parse(&["--rounds", "1"]);
        assert_eq!(
            (options.wakes(), options.thaws(), options.creates()),
            (60, 100, 30)
        );
    }
}
