//! Size of an awake database, while it can change.
//!
//! A request with so much CPU that the autoscaler may act is simulated in steps, with a call of
//! [`autoscale::decide`] as often as in the plane; once a second while the size can only shrink, until
//! it is the minimum again. Other requests are too small to change the size and only add to the CPU
//! time of the samples. Several large requests run one after the other. Memory is never short, and a
//! change of size takes no time.

use std::time::Duration;

use dormouse_policy::autoscale::{self, Sample, Strain, Window};
use dormouse_types::{UnitRange, Units};

use crate::fleet::Request;
use crate::tally;
use crate::time::{Clock, MS, Micros, SECOND};

/// Sampling interval of a database that may grow.
const LOOK: Micros = 200 * MS;
/// Sampling interval of a database that can only shrink.
const CALM_LOOK: Micros = SECOND;
/// Period of the CPU quota (`cpu.max`).
const QUOTA_PERIOD: Micros = 100 * MS;

/// Size of a database, from a large request until it is the minimum again.
pub(crate) struct Scaler {
    pub(crate) units: Units,
    range: UnitRange,
    clock: Clock,
    window: Window,
    changed: Option<Micros>,
    at: Micros,
    look: Micros,
    /// Remaining CPU time of large requests, and their maximum rate in millicores.
    left: Micros,
    rate: u64,
    used: Micros,
    throttled: Micros,
}

/// Result of a time of work.
pub(crate) struct Worked {
    /// Allotted memory, in MiB times microseconds.
    pub(crate) memory: u128,
    /// End of the last large request, if it ended.
    pub(crate) ended: Option<Micros>,
}

/// CPU rate of a request that is only limited by the maximum size, in millicores.
fn rate(request: &Request) -> u64 {
    let most = u64::from(Units(UnitRange::MOST).millicores());
    (request.cpu * 1000 / request.takes.max(1)).clamp(1, most)
}

/// Whether a request uses so much CPU that a database of this size may grow.
pub(crate) fn is_large(request: &Request, units: Units) -> bool {
    let budget = u64::from(units.millicores());
    let second = request.cpu.min(rate(request) * SECOND / 1000);
    second * 10 >= 9 * budget * SECOND / 1000
}

/// Duration of a request on a database of this size.
pub(crate) fn takes(request: &Request, units: Units) -> Micros {
    let millicores = u64::from(units.millicores()).max(1);
    if request.cpu * 1000 <= millicores * QUOTA_PERIOD {
        return request.takes;
    }
    request.takes.max(request.cpu * 1000 / millicores)
}

impl Scaler {
    pub(crate) fn new(range: UnitRange, units: Units, at: Micros, clock: Clock) -> Self {
        let mut scaler = Self {
            units,
            range,
            clock,
            window: Window::default(),
            changed: None,
            at,
            look: at + LOOK,
            left: 0,
            rate: 0,
            used: 0,
            throttled: 0,
        };
        scaler.sample();
        scaler
    }

    /// Adds a large request.
    pub(crate) fn add(&mut self, request: &Request) {
        self.rate = if self.left == 0 { 0 } else { self.rate }.max(rate(request));
        self.left += request.cpu;
        self.look = self.look.min(self.at + self.pause());
    }

    /// Adds the CPU time of a small request.
    pub(crate) fn add_small(&mut self, cpu: Micros) {
        self.used += cpu;
    }

    /// The database is awake again since `at`, after a sleep or a cancelled one.
    pub(crate) fn wake(&mut self, at: Micros) {
        self.window = Window::default();
        self.at = at;
        self.look = at + self.pause();
        self.sample();
    }

    /// Whether a large request is running.
    pub(crate) fn is_busy(&self) -> bool {
        self.left > 0
    }

    /// Whether the size cannot change until the next large request.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0 && self.units <= self.range.min
    }

    /// Advances to `until`.
    pub(crate) fn work(&mut self, until: Micros) -> Worked {
        let mut worked = Worked {
            memory: 0,
            ended: None,
        };
        while self.at < until {
            let to = self.look.min(until);
            worked.memory += tally::memory(self.units, to - self.at);
            if let Some(end) = self.run(to) {
                worked.ended = Some(end);
            }
            self.at = to;
            if self.at == self.look {
                self.sample();
                self.resize();
                self.look = self.at + self.pause();
            }
        }
        worked
    }

    fn pause(&self) -> Micros {
        if self.left > 0 && self.units < self.range.max {
            LOOK
        } else {
            CALM_LOOK
        }
    }

    /// Uses CPU up to `to`; returns the end of a request, if one ended.
    fn run(&mut self, to: Micros) -> Option<Micros> {
        if self.left == 0 {
            return None;
        }
        let budget = u64::from(self.units.millicores()).max(1);
        let speed = self.rate.min(budget);
        let could = (to - self.at) * speed / 1000;
        if could < self.left {
            self.left -= could;
            self.used += could;
            // the demand above the quota is throttled
            self.throttled += (to - self.at) * (self.rate - speed) / 1000;
            return None;
        }
        let end = self.at + self.left * 1000 / speed;
        self.used += self.left;
        self.left = 0;
        Some(end.min(to))
    }

    fn sample(&mut self) {
        self.window.push(Sample {
            at: self.clock.at(self.at),
            cpu: Duration::from_micros(self.used),
            strain: Strain {
                throttled: Duration::from_micros(self.throttled),
                ..Strain::default()
            },
        });
    }

    fn resize(&mut self) {
        let changed = self.changed.map(|at| self.clock.at(at));
        let now = self.clock.at(self.at);
        let step = autoscale::decide(self.range, self.units, &self.window, changed, now);
        if let Some(step) = step {
            self.units = step.units;
            self.changed = Some(self.at);
            self.window.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn range(text: &str) -> UnitRange {
        text.parse().unwrap()
    }

    fn job(cpu: Micros, cores: u64) -> Request {
        Request {
            at: 0,
            statements: 1,
            takes: cpu / cores,
            cpu,
        }
    }

    #[test]
    fn a_long_job_makes_its_database_grow_and_shrink_afterwards() {
        let clock = Clock(Instant::now());
        let mut scaler = Scaler::new(range("1..4"), Units(1), 0, clock);
        let job = job(60 * SECOND, 2);
        assert!(is_large(&job, Units(1)));
        scaler.add(&job);
        scaler.work(5 * SECOND);
        assert_eq!(scaler.units, Units(4));
        let ended = scaler.work(120 * SECOND).ended;
        // two cores from a few seconds on
        assert!(
            ended > Some(30 * SECOND) && ended < Some(34 * SECOND),
            "{ended:?}"
        );
        assert!(scaler.is_done(), "{}", scaler.units.0);
    }

    #[test]
    fn the_result_does_not_depend_on_the_number_of_steps() {
        let clock = Clock(Instant::now());
        let run = |step: Micros| {
            let mut scaler = Scaler::new(range("1..4"), Units(1), 0, clock);
            scaler.add(&job(20 * SECOND, 2));
            let (mut memory, mut ended) = (0, None);
            for n in 1..=(120 * SECOND / step) {
                let worked = scaler.work(n * step);
                memory += worked.memory;
                ended = worked.ended.or(ended);
            }
            (memory, ended.map(|end| end / MS))
        };
        assert_eq!(run(120 * SECOND), run(SECOND));
        assert_eq!(run(120 * SECOND), run(100 * MS));
    }

    #[test]
    fn a_short_request_is_not_throttled_a_longer_one_is() {
        assert_eq!(takes(&job(40 * MS, 1), Units(1)), 40 * MS);
        assert_eq!(takes(&job(400 * MS, 1), Units(1)), 800 * MS);
        assert_eq!(takes(&job(400 * MS, 1), Units(2)), 400 * MS);
        assert!(!is_large(&job(400 * MS, 1), Units(1)));
    }
}
