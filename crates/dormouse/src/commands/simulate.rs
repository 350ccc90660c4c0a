//! `simulate`: lets a fleet live through its days on all cores. No running dormouse is needed.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dormouse_api::ErrorBody;
use dormouse_api::model::Wishes;
use dormouse_sim::model::usual_prices;
use dormouse_sim::{Fleet, Report, Simulation, Tally, Trace};

use crate::Outcome;
use crate::cli::SimulateArgs;
use crate::output::Output;

/// Runs the command.
pub(crate) fn run(args: &SimulateArgs, output: &Output) -> Outcome {
    let began = Instant::now();
    let simulation = Simulation::new(fleet(args)?, usual_prices(), began);
    let wishes = Wishes {
        idle_suspend: args.idle_suspend,
        idle_park: args.idle_park,
        units: args.units,
        ..Wishes::default()
    };
    let report = simulate(&simulation, wishes);
    output.result(&report, |_| report.to_string())?;
    output.remark(&format!(
        "simulated in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn fleet(args: &SimulateArgs) -> Outcome<Fleet> {
    if let Some(path) = &args.trace {
        return read(path).map(Fleet::Recorded);
    }
    let (databases, days) = (args.databases, args.days);
    if databases.saturating_mul(days) > dormouse_sim::DATABASE_DAYS_MOST {
        let most = dormouse_sim::DATABASE_DAYS_MOST;
        let message = format!("{databases} databases for {days} days are too many");
        let hint = format!("databases times days may be {most}");
        return Err(ErrorBody::new("limit", message).with_hint(hint));
    }
    Ok(Fleet::Made {
        databases,
        days,
        seed: args.seed,
    })
}

fn read(path: &Path) -> Outcome<Trace> {
    let invalid = |e: &dyn std::fmt::Display| {
        ErrorBody::new("invalid", format!("{} is no trace: {e}", path.display()))
            .with_hint("`dormouse events --trace` writes one; docs/simulator.md describes them")
    };
    if path == Path::new("-") {
        return Trace::read(std::io::stdin().lock()).map_err(|e| invalid(&e));
    }
    let file = File::open(path)
        .map_err(|e| ErrorBody::new("machine", format!("cannot read {}: {e}", path.display())))?;
    Trace::read(BufReader::new(file)).map_err(|e| invalid(&e))
}

/// The fleet as asked, and other policies on a sample of it. Machines are handed to threads one by
/// one; sums do not tell who had which.
fn simulate(simulation: &Simulation, wishes: Wishes) -> Report {
    let sample = simulation.sample();
    let mut policies = vec![wishes];
    policies.extend(dormouse_sim::alternatives(wishes));
    let whole = (0..simulation.hosts()).map(|host| (None, host));
    let sampled = (0..policies.len()).flat_map(|n| sample.iter().map(move |host| (Some(n), *host)));
    let jobs: Vec<(Option<usize>, u64)> = whole.chain(sampled).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tallies = vec![Tally::default(); policies.len() + 1];
        while let Some((policy, host)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let asked = policy.map_or(wishes, |n| policies[n]);
            let tally = simulation.live(*host, asked);
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
    Report::new(simulation, wishes, &whole, &others)
}
