//! Metering of all databases: writes the counts of their meters, and compares the cost with the spend limits.
//!
//! Every [`PACE`] the meters with unwritten counts are written in one transaction; the meter of a sleeping
//! database has none. A kill loses only what the meters cannot compute again: the statements and bytes since
//! the last write.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_policy::Cause;
use dormouse_policy::spend::{Ladder, Prices, Rung, rung};
use dormouse_types::Money;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::error;

use crate::calendar::{Calendar, DAY, MINUTE, Moment};
use crate::catalog::{Catalog, Change, Durability, Entry};
use crate::config::UsageKeep;
use crate::database::Database;
use crate::doors::Doors;
use crate::meter::Seen;
use crate::registry::Registry;
use crate::status::Spend;
use crate::storage::Storage;
use crate::tasks::Tasks;

pub(crate) mod report;
mod wakes;

/// Interval between two writes.
const PACE: Duration = Duration::from_secs(5);
/// The same while a database is about to reach a step of its limit.
const PACE_NEAR: Duration = Duration::from_secs(1);
/// Poll interval for sleeping databases: for the statements that the proxy answered for them, and their
/// limits.
const SWEEP: Duration = Duration::from_secs(60);
/// A step is near if a database could reach it within this many seconds.
const NEAR_S: u64 = 30;

/// Meters all databases.
pub(crate) struct Metering {
    parts: Parts,
    /// The databases with unwritten counts.
    queue: Mutex<Vec<Arc<Database>>>,
    /// Ends the pause between two writes.
    write_soon: Notify,
    /// Held while a rung is decided, so that each decision uses current values.
    deciding: tokio::sync::Mutex<()>,
}

/// Dependencies of [`Metering`].
pub(crate) struct Parts {
    pub(crate) catalog: Catalog,
    pub(crate) doors: Arc<dyn Doors>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) storage: Arc<Storage>,
    pub(crate) calendar: Calendar,
    pub(crate) prices: Prices,
    pub(crate) ladder: Ladder,
    pub(crate) keep: UsageKeep,
}

impl Metering {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            parts,
            queue: Mutex::default(),
            write_soon: Notify::new(),
            deciding: tokio::sync::Mutex::default(),
        }
    }

    /// Passes a database's view to its meter, with the CPU counter of its server, or of its last one.
    pub(crate) fn see(&self, database: &Arc<Database>, cpu: Option<Duration>) {
        let view = database.view();
        let seen = Seen {
            incarnation: view.incarnation(),
            cpu,
            state: view.state,
            units: view.units,
            memory: view.memory,
            storage: view.storage,
            carried: self.parts.doors.carried(&database.name),
        };
        let mut meter = database.meter();
        meter.see(self.parts.calendar.moment(), seen);
        if meter.queue() {
            self.push(database);
        }
    }

    /// Compares a database with its changed limit at once, even if it sleeps and has no unwritten counts, and
    /// soon again in case it nears a step.
    pub(crate) async fn limit_changed(&self, database: &Arc<Database>) {
        self.hold_against_limit(database).await;
        self.push(database);
        self.write_soon.notify_one();
    }

    /// Writes the meters in the queue. Returns whether a database is about to reach a step of its limit.
    pub(crate) async fn write_meters(&self) -> bool {
        let queued = self.drain();
        if queued.is_empty() {
            return false;
        }
        let changes = queued.iter().map(|database| {
            database.meter().unqueue();
            Change::Meter(database.shared_meter())
        });
        if let Err(error) = self
            .parts
            .catalog
            .write(Durability::Soon, changes.collect())
            .await
        {
            error!(%error, hint = error.hint(), "cannot write the usage; it is tried again");
            for database in &queued {
                if database.meter().queue() {
                    self.push(database);
                }
            }
        }
        let mut near = false;
        for database in &queued {
            near |= self.hold_against_limit(database).await;
        }
        near
    }

    /// Counts the statements that the proxy answered for a sleeping database.
    fn count_carried(&self, database: &Arc<Database>, now: Moment) {
        let carried = self.parts.doors.carried(&database.name);
        let mut meter = database.meter();
        meter.carried(now, carried);
        if meter.queue() {
            self.push(database);
        }
    }

    /// Polls all databases, for those that sleep.
    async fn sweep(&self) {
        let now = self.parts.calendar.moment();
        for database in self.parts.registry.all() {
            self.count_carried(&database, now);
            self.hold_against_limit(&database).await;
        }
    }

    /// Changes the rung of a database if its cost this month requires it. Returns whether it is about to
    /// reach the next rung.
    async fn hold_against_limit(&self, database: &Arc<Database>) -> bool {
        if database.spec().spend_limit.is_none() && database.rung() == Rung::Free {
            return false;
        }
        let _alone = self.deciding.lock().await;
        let (before, limit) = (database.rung(), database.spec().spend_limit);
        let (prices, ladder) = (&self.parts.prices, &self.parts.ladder);
        let now = self.parts.calendar.moment();
        let spent = prices.cost(&database.meter().spent(now).charged);
        // without prices no limit can be reached
        let limit = limit.filter(|_| priced(prices));
        let reached = |spent| limit.map_or(Rung::Free, |limit| rung(ladder, limit, spent));
        let after = reached(spent);
        if after != before {
            self.set_rung(database, after, now, spent).await;
        }
        let an_hour = prices.rate(database.spec().units.max).0;
        after
            != reached(Money(
                spent
                    .0
                    .saturating_add(an_hour.saturating_mul(NEAR_S) / 3600),
            ))
    }

    async fn set_rung(&self, database: &Arc<Database>, rung: Rung, now: Moment, spent: Money) {
        let reason = self.describe(database, rung, now, spent);
        database.meter().set_rung(now, rung);
        let view = database.view();
        let entry = Entry {
            from: Some(view.state),
            to: Some(view.state),
            figures: view.figures(),
            ..Entry::noted(&database.name, Cause::Limit, reason)
        };
        let changes = vec![
            Change::Meter(database.shared_meter()),
            Change::Ledger(Box::new(entry)),
        ];
        match self.parts.catalog.write(Durability::Soon, changes).await {
            Ok(()) => {
                database.change(|v| v.rung = rung);
                self.parts.storage.restrict(database);
                database.wake_actor();
            }
            // the view is unchanged: the next write tries again
            Err(error) => {
                error!(database = %database.name, %error, hint = error.hint(), "cannot write the step of its spend limit");
            }
        }
    }

    fn describe(&self, database: &Database, rung: Rung, now: Moment, spent: Money) -> String {
        let Some(limit) = database.spec().spend_limit else {
            return "it has no limit any more".to_owned();
        };
        let currency = &self.parts.prices.currency;
        let cost = format!("{spent} of {limit} {currency}");
        let until = now.month().next();
        let free = match self.parts.ladder.baseline.0 {
            1 => "1 unit, which is free".to_owned(),
            units => format!("{units} units, which are free"),
        };
        let what = match rung {
            Rung::Free => "nothing is held back".to_owned(),
            Rung::Warned(percent) => format!("{percent} % of its limit"),
            Rung::Slow => format!("slowed to {free}, until {until}"),
            Rung::ReadOnly => format!("it can be read and emptied only, until {until}"),
            Rung::Asleep => format!("it sleeps until {until}"),
        };
        format!("it has cost {} this month: {what}", cost.trim_end())
    }

    /// The cost of a database this month and its rung; `None` without prices.
    pub(crate) fn spend(&self, database: &Database) -> Option<Spend> {
        let prices = &self.parts.prices;
        priced(prices).then(|| Spend {
            cost: prices.cost(&database.meter().spent(self.parts.calendar.moment()).charged),
            currency: prices.currency.clone(),
            rung: database.rung(),
        })
    }

    /// Writes the meters until Dormouse stops; [`Metering::write_all`] writes the rest.
    pub(crate) async fn run(self: Arc<Self>, tasks: Arc<Tasks>) {
        let mut near = false;
        let mut sweep = Instant::now();
        let mut pruned = None;
        while !tasks.stopping() {
            let today = self.parts.calendar.moment().wall.div_euclid(DAY);
            if pruned != Some(today) {
                pruned = Some(today);
                self.prune_usage(today).await;
            }
            if Instant::now() >= sweep {
                sweep = Instant::now() + SWEEP;
                self.sweep().await;
            }
            let pace = if near { PACE_NEAR } else { PACE };
            tokio::select! {
                () = tokio::time::sleep(pace) => {}
                () = self.write_soon.notified() => {}
                () = tasks.ending() => {}
            }
            near = self.write_meters().await;
        }
    }

    async fn prune_usage(&self, today: i64) {
        let keep = self.parts.keep;
        let minute = (today - i64::from(keep.minutes)) * (DAY / MINUTE);
        let day = today - i64::from(keep.days);
        if let Err(error) = self.parts.catalog.prune_usage(minute, day).await {
            error!(%error, hint = error.hint(), "cannot remove old usage");
        }
    }

    /// The last write.
    pub(crate) async fn write_all(&self) {
        let now = self.parts.calendar.moment();
        for database in self.parts.registry.all() {
            self.count_carried(&database, now);
        }
        self.write_meters().await;
    }

    fn push(&self, database: &Arc<Database>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(Arc::clone(database));
    }

    fn drain(&self) -> Vec<Arc<Database>> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether anything has a price.
fn priced(prices: &Prices) -> bool {
    let nothing = Prices {
        currency: prices.currency.clone(),
        ..Prices::default()
    };
    *prices != nothing
}
