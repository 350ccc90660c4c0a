//! What woke a database: the wakes in the ledger, added up by what caused them, with what followed them.
//!
//! A wake is followed by the time until the next sleep. A minute's use belongs to the wakes that its awake time followed.
//! Pure: `metering` reads the ledger and the use, and calls [`add_up`].

use std::collections::HashMap;
use std::ops::Range;

use dormouse_types::{DatabaseName, Money, State, Usage, WokenBy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::calendar::MINUTE;
use kind::Kind;

mod hint;
mod kind;

pub(crate) use kind::Transition;

/// The longest time over which wakes are added up, in days. Use by the minute is kept as long.
pub const MOST_DAYS: u16 = 35;
/// Maximum number of rows in a report.
pub(crate) const MOST_ROWS: usize = 100;

/// What woke a database over a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakesReport {
    /// The database.
    pub database: DatabaseName,
    /// Beginning of the time, at a whole minute.
    pub since: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Number of wakes.
    pub wakes: u64,
    /// Time awake, in milliseconds.
    pub awake_ms: u64,
    /// What being awake cost, at today's prices: CPU, memory, statements and traffic; `None` without prices.
    pub cost: Option<Money>,
    /// The currency's name; may be empty.
    pub currency: String,
    /// Of what the shares are.
    pub measure: Measure,
    /// By share, the largest first; at most 100.
    pub rows: Vec<WakesRow>,
    /// Number of further rows.
    pub more: u64,
}

/// Of what a share is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// What being awake cost.
    Cost,
    /// Memory over time (unit-hours), if nothing has a price.
    Memory,
    /// Time awake, if there are no figures of use.
    Awake,
}

/// Wakes with one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakesRow {
    /// What kind of cause: `statement`, `unknown`, `order`, `created`, `timetable`, `pattern`, `event`, or a cause of the ledger.
    pub cause: String,
    /// The statement, for the kind `statement`.
    pub woken_by: Option<WokenBy>,
    /// Who gave the order, for the kind `order`.
    pub by: Option<String>,
    /// Number of wakes that began in the time.
    pub wakes: u64,
    /// Time awake that followed them, in milliseconds.
    pub awake_ms: u64,
    /// Its cost; `None` without prices.
    pub cost: Option<Money>,
    /// Share of the report's measure, in millionths.
    pub share_ppm: u32,
    /// What to change.
    pub hint: String,
}

/// Wakes of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) kind: Kind,
    pub(crate) wakes: u64,
    pub(crate) awake_ms: u64,
    /// What was used in the time that followed.
    pub(crate) used: Usage,
}

/// A time awake, and the index of its kind.
struct Awake {
    time: Range<i64>,
    kind: usize,
}

/// Adds up the wakes of a time, in milliseconds since 1970. The transitions are in order and include the last one before
/// the time. `minutes`: what was used awake in these minutes since 1970, in order.
pub(crate) fn add_up(
    transitions: impl IntoIterator<Item = Transition>,
    minutes: &[(i64, Usage)],
    period: &Range<i64>,
) -> Vec<Sum> {
    let mut sums = Sums::default();
    let mut open: Option<(i64, usize)> = None;
    for transition in transitions {
        let ended = transition.at;
        let began = ended.saturating_sub(i64::try_from(transition.duration_ms).unwrap_or(i64::MAX));
        match (transition.from, transition.to) {
            // its server was started again
            (Some(State::Active), State::Active) => {}
            (_, State::Active) => {
                if let Some((from, kind)) = open.take() {
                    sums.was_awake(from..began, kind, period);
                }
                let kind = sums.kind(Kind::of(&transition));
                if ended >= period.start
                    && let Some(sum) = sums.all.get_mut(kind)
                {
                    sum.wakes += 1;
                }
                open = Some((began, kind));
            }
            _ => {
                if let Some((from, kind)) = open.take() {
                    sums.was_awake(from..ended, kind, period);
                }
            }
        }
    }
    if let Some((from, kind)) = open {
        sums.was_awake(from..period.end, kind, period);
    }
    for (minute, used) in minutes {
        sums.used(*minute, *used);
    }
    let mut all = sums.all;
    all.retain(|sum| sum.wakes > 0 || sum.awake_ms > 0);
    all
}

#[derive(Default)]
struct Sums {
    all: Vec<Sum>,
    index: HashMap<Kind, usize>,
    /// In order.
    awake: Vec<Awake>,
    /// Before it no time reaches into a minute that is still to come.
    next: usize,
}

impl Sums {
    /// The index of the sum of a kind.
    fn kind(&mut self, kind: Kind) -> usize {
        let (all, index) = (&mut self.all, &mut self.index);
        *index.entry(kind).or_insert_with_key(|kind| {
            all.push(Sum {
                kind: kind.clone(),
                wakes: 0,
                awake_ms: 0,
                used: Usage::default(),
            });
            all.len() - 1
        })
    }

    fn was_awake(&mut self, time: Range<i64>, kind: usize, period: &Range<i64>) {
        let time = time.start.max(period.start)..time.end.min(period.end);
        if time.is_empty() {
            return;
        }
        if let Some(sum) = self.all.get_mut(kind) {
            sum.awake_ms += (time.end - time.start).unsigned_abs();
        }
        self.awake.push(Awake { time, kind });
    }

    /// Divides what was used in a minute among the wakes that it followed.
    fn used(&mut self, minute: i64, used: Usage) {
        let time = minute.saturating_mul(MINUTE)..minute.saturating_add(1).saturating_mul(MINUTE);
        while self
            .awake
            .get(self.next)
            .is_some_and(|awake| awake.time.end <= time.start)
        {
            self.next += 1;
        }
        let overlap = |awake: &Awake| {
            let from = awake.time.start.max(time.start);
            u64::try_from(awake.time.end.min(time.end) - from).unwrap_or(0)
        };
        let within = self.awake.get(self.next..).unwrap_or_default();
        let parts: Vec<(usize, u64)> = { within.iter() }
            .take_while(|awake| awake.time.start < time.end)
            .map(|awake| (awake.kind, overlap(awake)))
            .collect();
        let mut left: u64 = parts.iter().map(|(_, ms)| ms).sum();
        let mut rest = used;
        for (kind, ms) in parts {
            let part = share(&rest, ms, left);
            left = left.saturating_sub(ms);
            rest = without(&rest, &part);
            if let Some(sum) = self.all.get_mut(kind) {
                sum.used += part;
            }
        }
    }
}

/// `part` of `whole` parts of this use; its storage is not a consequence of being awake.
fn share(used: &Usage, part: u64, whole: u64) -> Usage {
    let of = |amount: u64| {
        let product = u128::from(amount) * u128::from(part);
        u64::try_from(product / u128::from(whole.max(1))).unwrap_or(u64::MAX)
    };
    Usage {
        cpu_us: of(used.cpu_us),
        memory_mib_ms: of(used.memory_mib_ms),
        storage_mib_ms: 0,
        active_ms: of(used.active_ms),
        carried: dormouse_types::Carried {
            statements: of(used.carried.statements),
            bytes_in: of(used.carried.bytes_in),
            bytes_out: of(used.carried.bytes_out),
        },
    }
}

fn without(used: &Usage, part: &Usage) -> Usage {
    Usage {
        cpu_us: used.cpu_us.saturating_sub(part.cpu_us),
        memory_mib_ms: used.memory_mib_ms.saturating_sub(part.memory_mib_ms),
        storage_mib_ms: 0,
        active_ms: used.active_ms.saturating_sub(part.active_ms),
        carried: used.carried - part.carried,
    }
}

/// The rows of a report, and of what their shares are. `cost`: the cost of a use, if there are prices.
pub(crate) fn rows(
    sums: Vec<Sum>,
    cost: impl Fn(&Usage) -> Option<Money>,
) -> (Measure, Vec<WakesRow>) {
    let amount = |measure, sum: &Sum| match measure {
        Measure::Cost => cost(&sum.used).map_or(0, |cost| cost.0),
        Measure::Memory => sum.used.memory_mib_ms,
        Measure::Awake => sum.awake_ms,
    };
    let total = |measure| -> u128 {
        sums.iter()
            .map(|sum| u128::from(amount(measure, sum)))
            .sum()
    };
    let measure = [Measure::Cost, Measure::Memory]
        .into_iter()
        .find(|measure| total(*measure) > 0)
        .unwrap_or(Measure::Awake);
    let whole = total(measure).max(1);
    let share = |sum: &Sum| {
        let millionths = u128::from(amount(measure, sum)) * 1_000_000 / whole;
        u32::try_from(millionths).unwrap_or(u32::MAX)
    };
    let row = |sum: &Sum| WakesRow {
        cause: sum.kind.as_str().to_owned(),
        woken_by: match &sum.kind {
            Kind::Statement { statement, account } => Some(WokenBy {
                statement: statement.clone(),
                account: account.clone(),
            }),
            _ => None,
        },
        by: match &sum.kind {
            Kind::Order(by) => Some(by.clone()),
            _ => None,
        },
        wakes: sum.wakes,
        awake_ms: sum.awake_ms,
        cost: cost(&sum.used),
        share_ppm: share(sum),
        hint: hint::of(&sum.kind).to_owned(),
    };
    let mut sums: Vec<&Sum> = sums.iter().collect();
    sums.sort_by(|a, b| {
        let key = |sum: &Sum| (share(sum), sum.wakes, sum.awake_ms);
        key(b).cmp(&key(a)).then_with(|| a.kind.cmp(&b.kind))
    });
    (measure, sums.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests;
