//! `simulate`: runs the simulator on all cores. No running dormouse is needed.

use std::fmt::Display;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dormouse_api::ErrorBody;
use dormouse_api::model::SettingsPatch;
use dormouse_policy::spend::Prices;
use dormouse_sim::model::usual_prices;
use dormouse_sim::{Fleet, Report, Simulation, Tally, Trace};
use dormouse_types::Money;

use crate::Outcome;
use crate::cli::SimulateArgs;
use crate::config::Config;
use crate::output::Output;

/// Runs the command.
pub(crate) fn run(args: &SimulateArgs, output: &Output) -> Outcome {
    let began = Instant::now();
    let prices = match &args.config {
        Some(path) => prices(path)?,
        None => usual_prices(),
    };
    let simulation = Simulation::new(fleet(args)?, prices, began);
    let settings = SettingsPatch {
        idle_suspend: args.idle_suspend,
        idle_park: args.idle_park,
        units: args.units,
        ..SettingsPatch::default()
    };
    let report = simulate(&simulation, settings);
    output.result(&report, |_| report.to_string())?;
    output.remark(&format!(
        "simulated in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Reads the prices of CPU and memory from a configuration.
fn prices(path: &Path) -> Outcome<Prices> {
    let Prices {
        currency,
        cpu_hour,
        memory_gib_hour,
        ..
    } = Config::read(path)?.prices;
    let prices = Prices {
        currency,
        cpu_hour,
        memory_gib_hour,
        ..Prices::default()
    };
    if prices.cpu_hour == Money(0) && prices.memory_gib_hour == Money(0) {
        let message = format!("{} sets no prices for CPU or memory", path.display());
        let hint = "set cpu_hour or memory_gib_hour in its [prices], or leave --config out";
        return Err(ErrorBody::new("invalid", message).with_hint(hint));
    }
    Ok(prices)
}

fn fleet(args: &SimulateArgs) -> Outcome<Fleet> {
    if let Some(path) = &args.trace {
        return read(path).map(Fleet::Recorded);
    }
    let (databases, days) = (args.databases, args.days);
    if databases.saturating_mul(days) > dormouse_sim::DATABASE_DAYS_MOST {
        let most = dormouse_sim::DATABASE_DAYS_MOST;
        let message = format!("{databases} databases for {days} days are too many");
        let hint = format!("databases times days may be {most} at most");
        return Err(ErrorBody::new("limit", message).with_hint(hint));
    }
    Ok(Fleet::Made {
        databases,
        days,
        seed: args.seed,
    })
}

fn read(path: &Path) -> Outcome<Trace> {
    let hint = "`dormouse events --trace > FILE` writes one; docs/simulator.md describes them";
    let invalid = |what: &dyn Display, e: &dyn Display| {
        ErrorBody::new("invalid", format!("{what} is not a valid trace: {e}")).with_hint(hint)
    };
    if path == Path::new("-") {
        let read = Trace::read(std::io::stdin().lock());
        return read.map_err(|e| invalid(&"standard input", &e));
    }
    let file = File::open(path).map_err(|e| {
        let message = format!("cannot read {}: {e}", path.display());
        ErrorBody::new("machine", message).with_hint(hint)
    })?;
    Trace::read(BufReader::new(file)).map_err(|e| invalid(&path.display(), &e))
}

/// Simulates the fleet, and other policies on a sample of it. Threads take machines one by one; the
/// sums do not depend on which thread had which machine.
fn simulate(simulation: &Simulation, settings: SettingsPatch) -> Report {
    let sample = simulation.sample();
    let mut policies = vec![settings.clone()];
    policies.extend(dormouse_sim::alternatives(settings.clone()));
    let whole = (0..simulation.hosts()).map(|host| (None, host));
    let sampled = (0..policies.len()).flat_map(|n| sample.iter().map(move |host| (Some(n), *host)));
    let jobs: Vec<(Option<usize>, u64)> = whole.chain(sampled).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tallies = vec![Tally::default(); policies.len() + 1];
        while let Some((policy, host)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let asked = policy.map_or(&settings, |n| &policies[n]);
            let tally = simulation.live(*host, asked.clone());
            tallies[policy.map_or(0, |n| n + 1)].merge(&tally);
        }
        tallies
    };
    let mut tallies = vec![Tally::default(); policies.len() + 1];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(done) => tallies
                    .iter_mut()
                    .zip(&done)
                    .for_each(|(sum, t)| sum.merge(t)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let mut tallies = tallies.into_iter();
    let whole = tallies.next().unwrap_or_default();
    let others: Vec<_> = policies.into_iter().zip(tallies).collect();
    Report::new(simulation, settings, &whole, &others)
}
