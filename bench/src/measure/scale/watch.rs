//! Samples the CPU limit and the CPU use of a server, many times a second.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::process;

use super::super::load::Count;

/// Interval of reading the CPU limit.
const LOOK: Duration = Duration::from_millis(10);

/// Number of readings per sample.
const LOOKS: u32 = 10;

/// The CPU limit of an instance's control group.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    file: PathBuf,
    machine: f64,
}

impl Budget {
    /// The limit of an instance and its server process.
    pub(super) fn of(server: u32, instance: u64) -> anyhow::Result<Self> {
        let groups = process::control_groups(server);
        let files = groups.iter().flat_map(|group| {
            let own = group.join(instance.to_string());
            ["cpu.max", "cpu.cfs_quota_us"].map(|name| own.join(name))
        });
        Ok(Self {
            file: { files }
                .find(|file| file.is_file())
                .context("no control group limits the server's CPU on this machine")?,
            machine: std::thread::available_parallelism()?.get() as f64,
        })
    }

    /// The limit in cores; without a limit, all cores of the machine.
    pub(super) fn cores(&self) -> f64 {
        let read = |file: &PathBuf| fs::read_to_string(file).unwrap_or_default();
        let text = read(&self.file);
        // "QUOTA PERIOD" in one file, or in two files; "max" and -1 mean no limit
        let mut words = text.split_whitespace().map(str::to_owned);
        let quota = words.next();
        let period = words
            .next()
            .unwrap_or_else(|| read(&self.file.with_file_name("cpu.cfs_period_us")));
        let number = |text: String| text.trim().parse::<f64>().ok().filter(|n| *n > 0.0);
        match (quota.and_then(number), number(period)) {
            (Some(quota), Some(period)) => (quota / period).min(self.machine),
            _ => self.machine,
        }
    }

    /// CPU of `units` on this machine, in cores.
    pub(super) fn of_units(&self, units: u32) -> f64 {
        (f64::from(units) / 2.0).min(self.machine)
    }

    /// Waits until the limit is that of `units`.
    pub(super) fn until(&self, units: u32, limit: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.cores() != self.of_units(units) {
            anyhow::ensure!(
                began.elapsed() < limit,
                "the server may use {} cores after {limit:?}, not those of {units} units",
                self.cores()
            );
            sleep(LOOK);
        }
        Ok(())
    }
}

/// Sample over a tenth of a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// End of the sample.
    pub(super) at: Instant,
    /// CPU limit, in cores.
    pub(super) allowed: f64,
    /// CPU use, in cores.
    pub(super) used: f64,
    /// Statements answered per second.
    pub(super) per_second: f64,
}

/// All samples.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) samples: Vec<Sample>,
    /// Times at which the limit was raised.
    pub(super) raises: Vec<Instant>,
}

/// Samples in a thread until [`end`](Self::end).
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    /// Begins to sample a server and the counter of its clients.
    pub(super) fn begin(budget: &Budget, server: u32, count: &Arc<Count>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, budget, count) = (Arc::clone(&stop), budget.clone(), Arc::clone(count));
        let thread = std::thread::spawn(move || look(&budget, server, &count, &told));
        Self { stop, thread }
    }

    /// Ends; returns the samples.
    pub(super) fn end(self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.thread.join();
        seen.map_err(|_| anyhow::anyhow!("the sampling thread has failed"))
    }
}

fn look(budget: &Budget, server: u32, count: &Count, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let figures = || {
        let cpu = process::cpu_ticks(server) as f64 * super::super::TICK / 1e6;
        (Instant::now(), cpu, count.answered() as f64)
    };
    let (mut allowed, mut before) = (budget.cores(), figures());
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..LOOKS {
            sleep(LOOK);
            let now = budget.cores();
            if now > allowed {
                seen.raises.push(Instant::now());
            }
            allowed = now;
        }
        let now = figures();
        let seconds = (now.0 - before.0).as_secs_f64();
        seen.samples.push(Sample {
            at: now.0,
            allowed,
            used: (now.1 - before.1) / seconds,
            per_second: (now.2 - before.2) / seconds,
        });
        before = now;
    }
    seen
}
