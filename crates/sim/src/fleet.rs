//! Generated fleets: the requests of each database, from a seed.
//!
//! Only the seed of a fleet is stored: each database draws its requests one after the other during
//! the simulation, always the same ones.

use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::time::{DAY, HOUR, MINUTE, MS, Micros, SECOND};

/// Kind of use of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Office hours: ten sessions of a dozen requests on weekdays from 8 to 18, occasionally a
    /// report.
    Office,
    /// A job every five minutes, every hour, or at two at night, a third each.
    Cron,
    /// Sessions at any time, a few a day, most of them short and some of thousands of requests.
    Bursty,
    /// A request every few seconds, day and night.
    Steady,
    /// Used for two days and never again.
    Trial,
    /// Leisure: many sessions on Saturdays and Sundays from 9 to 23, else none.
    Weekend,
}

impl Kind {
    /// Every kind, with its number per thousand databases.
    pub const MIX: [(Self, u64); 6] = [
        (Self::Office, 300),
        (Self::Cron, 120),
        (Self::Bursty, 120),
        (Self::Steady, 5),
        (Self::Trial, 355),
        (Self::Weekend, 100),
    ];

    /// Name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Office => "office",
            Self::Cron => "cron",
            Self::Bursty => "bursty",
            Self::Steady => "steady",
            Self::Trial => "trial",
            Self::Weekend => "weekend",
        }
    }

    fn draw(random: &mut Random) -> Self {
        let mut ticket = random.below(1000);
        for (kind, share) in Self::MIX {
            if ticket < share {
                return kind;
            }
            ticket -= share;
        }
        Self::Trial
    }
}

/// A request of a client: a few statements together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Arrival time.
    pub at: Micros,
    /// Number of statements.
    pub statements: u32,
    /// Duration without throttling.
    pub takes: Micros,
    /// CPU time.
    pub cpu: Micros,
}

/// The requests of one database of a generated fleet, in order of time.
#[derive(Debug, Clone)]
pub struct Requests {
    kind: Kind,
    random: Random,
    /// All requests arrive before this.
    end: Micros,
    at: Micros,
    /// Remaining requests of this session, and their mean distance.
    left: u32,
    gap: Micros,
    /// For a job: period and offset in it; for a trial: its end, and zero.
    rhythm: (Micros, Micros),
}

impl Requests {
    /// The requests of the database with number `database`, up to `end`.
    #[must_use]
    pub fn new(seed: u64, database: u64, end: Micros) -> Self {
        let mut random = Random::of(seed, database);
        let kind = Kind::draw(&mut random);
        let mut at = 0;
        let mut left = 0;
        let mut rhythm = (0, 0);
        match kind {
            Kind::Cron => {
                let period = [5 * MINUTE, HOUR, DAY][random.below(3) as usize];
                let sharp = random.below(2) == 0;
                let within = if sharp {
                    0
                } else {
                    random.below(period / MINUTE) * MINUTE
                };
                rhythm = (
                    period,
                    if period == DAY {
                        2 * HOUR + within % HOUR
                    } else {
                        within
                    },
                );
            }
            Kind::Trial => {
                // some ended before the first day
                let begin = random.below(end + 2 * DAY);
                at = begin.saturating_sub(2 * DAY);
                rhythm = (begin, 0);
            }
            Kind::Steady => left = u32::MAX,
            Kind::Office | Kind::Bursty | Kind::Weekend => {}
        }
        Self {
            kind,
            random,
            end,
            at,
            left,
            gap: 5 * SECOND,
            rhythm,
        }
    }

    /// Kind of use.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Begins the next session: sets its beginning, length and rate; `None` if there is none.
    fn session(&mut self) -> Option<()> {
        let random = &mut self.random;
        match self.kind {
            Kind::Office => {
                let at = self.at + random.wait(50 * MINUTE);
                let open = |day| day < 5;
                self.at = within(at, open, 8, 18, || random.wait(25 * MINUTE));
                self.left = random.heavy(6.0, 2.0, 200.0);
                self.gap = 20 * SECOND;
            }
            Kind::Weekend => {
                let at = self.at + random.wait(20 * MINUTE);
                let open = |day| day >= 5;
                self.at = within(at, open, 9, 23, || random.wait(10 * MINUTE));
                self.left = random.heavy(8.0, 2.0, 300.0);
                self.gap = 15 * SECOND;
            }
            Kind::Trial => {
                self.at += random.wait(2 * HOUR);
                self.left = random.heavy(6.0, 2.0, 200.0);
                self.gap = 20 * SECOND;
                if self.at >= self.rhythm.0 {
                    return None;
                }
            }
            Kind::Bursty => {
                self.at += random.wait(4 * HOUR);
                self.left = random.heavy(5.0, 1.3, 5000.0);
                self.gap = 2 * SECOND;
            }
            Kind::Cron => {
                let (period, offset) = self.rhythm;
                let next = (self.at.saturating_sub(offset)).div_ceil(period) * period + offset;
                self.at = next + 1 + random.wait(300 * MS);
                self.left = 1;
                self.gap = 0;
            }
            Kind::Steady => return None,
        }
        Some(())
    }

    /// Draws the size of a request; most are short, some long.
    fn work(&mut self) -> Request {
        let random = &mut self.random;
        let (statements, cpu, cores) = match self.kind {
            Kind::Cron => match self.rhythm.0 {
                DAY => (2000, 20 * SECOND + random.wait(100 * SECOND), 2),
                HOUR => (100, 200 * MS + random.wait(2 * SECOND), 1),
                _ => (10, 20 * MS + random.wait(100 * MS), 1),
            },
            Kind::Office if random.below(300) == 0 => (5, SECOND + random.wait(8 * SECOND), 2),
            Kind::Bursty => (1 + random.below(10) as u32, MS + random.wait(40 * MS), 1),
            Kind::Steady => (1 + random.below(4) as u32, MS + random.wait(4 * MS), 1),
            Kind::Office | Kind::Weekend | Kind::Trial => (
                1 + random.below(16) as u32,
                2 * MS + random.wait(15 * MS),
                1,
            ),
        };
        Request {
            at: self.at,
            statements,
            takes: 2 * MS + cpu / cores,
            cpu,
        }
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        if self.left == 0 {
            self.session()?;
        } else {
            self.at += self.random.wait(self.gap);
        }
        if self.at >= self.end {
            return None;
        }
        self.left -= 1;
        Some(self.work())
    }
}

/// `at` if it is on an open day between the two hours, else `late` after the next opening.
fn within(
    at: Micros,
    open: impl Fn(Micros) -> bool,
    from: Micros,
    to: Micros,
    late: impl FnOnce() -> Micros,
) -> Micros {
    let (mut day, time) = (at / DAY, at % DAY);
    if open(day % 7) && (from * HOUR..to * HOUR).contains(&time) {
        return at;
    }
    if time >= from * HOUR {
        day += 1;
    }
    while !open(day % 7) {
        day += 1;
    }
    day * DAY + from * HOUR + late()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind(kind: Kind, days: u64) -> Vec<Request> {
        let mut fleet = (0..).map(|n| Requests::new(1, n, days * DAY));
        fleet.find(|r| r.kind() == kind).unwrap().collect()
    }

    #[test]
    fn every_kind_has_its_days_and_hours() {
        for at in of_kind(Kind::Office, 28).iter().map(|r| r.at) {
            assert!(at / DAY % 7 < 5 && at % DAY >= 8 * HOUR && at % DAY < 20 * HOUR);
        }
        for at in of_kind(Kind::Weekend, 28).iter().map(|r| r.at) {
            assert!(at / DAY % 7 >= 5 || at % DAY < 3 * HOUR, "at {at}");
        }
        let trial = of_kind(Kind::Trial, 28);
        let used = trial.last().zip(trial.first()).map(|(l, f)| l.at - f.at);
        assert!(used < Some(3 * DAY), "{used:?}");
        let steady = of_kind(Kind::Steady, 1).len();
        assert!((16_000..18_500).contains(&steady), "{steady}");
    }

    #[test]
    fn a_job_runs_once_per_period() {
        let jobs = of_kind(Kind::Cron, 28);
        let gaps: Vec<_> = jobs.windows(2).map(|w| w[1].at - w[0].at).collect();
        let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
        assert!(
            [5 * MINUTE, HOUR, DAY]
                .iter()
                .any(|p| mean.abs_diff(*p) < SECOND),
            "{mean}"
        );
        assert!(gaps.iter().all(|g| g.abs_diff(mean) < 10 * SECOND));
    }

    #[test]
    fn requests_are_in_order_and_end() {
        for n in 0..200 {
            let end = 3 * DAY;
            let all: Vec<_> = Requests::new(5, n, end).collect();
            assert!(all.is_sorted_by_key(|r| r.at), "{n}");
            assert!(all.iter().all(|r| r.at < end && r.statements > 0));
        }
    }

    #[test]
    fn the_mix_adds_up_to_a_thousand() {
        assert_eq!(Kind::MIX.iter().map(|(_, share)| share).sum::<u64>(), 1000);
    }
}
