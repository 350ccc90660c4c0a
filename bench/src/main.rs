//! Measures Dormouse and its peers on the same machine in the same run: the program of `./dev bench`.
//! `docs/performance.md` describes the measures.
//!
//! Method: the peers run in interleaved rounds, each round in another order; a ratio is computed within a
//! round, and the report has the median over the rounds.

mod cleanup;
mod endpoint;
mod machine;
mod measure;
mod options;
mod report;
mod rig;
mod server;
mod stats;
mod sysbench;
mod tls;

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use dormouse_engine::{Installation, Search};

use machine::Machine;
use options::{Measure, Options};
use report::Report;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // not {:?}, which adds a backtrace
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> anyhow::Result<()> {
    cleanup::on_signals()?;
    let search = Search {
        mariadbd: options.mariadbd.clone(),
        ..Search::default()
    };
    let installation = Installation::probe(&search)?;
    let machine = Machine::look(options, &installation)?;
    for warning in machine.warnings() {
        say(&format!("warning: {warning}"));
    }
    let mut report = Report::new(machine, options);
    // fixtures panic; the figures measured so far must not be lost
    let measuring = AssertUnwindSafe(|| measure_all(options, &installation, &mut report));
    let outcome = catch_unwind(measuring)
        .unwrap_or_else(|_| Err(anyhow::anyhow!("a fixture failed, see above")));
    print(options, &report)?;
    outcome.context("not everything was measured")
}

fn measure_all(
    options: &Options,
    installation: &Installation,
    report: &mut Report,
) -> anyhow::Result<()> {
    let wants = |measures: &[Measure]| measures.iter().any(|m| options.wants(*m));
    if wants(&[Measure::M1]) {
        measure::crowd::run(options, installation, report)?;
    }
    if wants(&[Measure::M2, Measure::P1, Measure::P2, Measure::P3]) {
        let rig = rig::Rig::build(options, installation, &rig::Plan::USUAL)?;
        if wants(&[Measure::M2]) {
            measure::connect::run(options, &rig, report)?;
        }
        if wants(&[Measure::P1, Measure::P2]) {
            measure::throughput::run(options, &rig, report)?;
        }
        if wants(&[Measure::P3]) {
            measure::latency::run(options, &rig, report)?;
        }
    }
    if wants(&[Measure::P4, Measure::P5, Measure::P6]) {
        let dormouse = rig::sleepy_dormouse(options, "");
        if wants(&[Measure::P4, Measure::P5]) {
            measure::wake::run(options, &dormouse, report)?;
        }
        if wants(&[Measure::P6]) {
            measure::create::run(options, &dormouse, report)?;
        }
    }
    if wants(&[Measure::H1]) {
        let dormouse = rig::sleepy_dormouse(options, "");
        measure::hydration::run(options, &dormouse, report)?;
    }
    if wants(&[Measure::H2]) {
        measure::history::run(options, report)?;
    }
    if wants(&[Measure::P7]) {
        measure::memory::run(options, report)?;
    }
    if wants(&[Measure::P8]) {
        measure::fleet::run(options, report)?;
    }
    if wants(&[Measure::P12]) {
        measure::relocation::run(options, report)?;
    }
    if wants(&[Measure::P13]) {
        measure::failover::run(options, report)?;
    }
    if wants(&[Measure::R1]) {
        measure::reads::run(options, report)?;
    }
    if wants(&[Measure::E9]) {
        measure::scale::run(options, report)?;
    }
    if wants(&[Measure::C1]) {
        measure::share::run(options, report)?;
    }
    Ok(())
}

/// Prints the table to stdout, or to stderr if the JSON goes to stdout.
fn print(options: &Options, report: &Report) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report).context("writing JSON")? + "\n";
    let mut stdout = std::io::stdout();
    match options.json.as_deref() {
        Some(path) if path == Path::new("-") => {
            eprint!("{}", report.text());
            stdout.write_all(json.as_bytes())?;
        }
        Some(path) => {
            fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
            stdout.write_all(report.text().as_bytes())?;
        }
        None => stdout.write_all(report.text().as_bytes())?,
    }
    Ok(())
}

/// Reports progress.
fn say(text: &str) {
    eprintln!("bench: {text}");
}
