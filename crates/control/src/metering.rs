//! Metering of all databases: what their meters have counted is written, and what it costs is held
//! against their limits.
//!
//! Every [`PACE`] those that have news are written in one transaction; one that sleeps has none.
//! What a kill loses is what the meters cannot work out again: statements and bytes since the last
//! writing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dormouse_policy::spend::{Prices, Rung, rung};
use dormouse_types::{DatabaseName, InstanceId, Money, Usage};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::error;

use crate::catalog::{Change, Detail, Durability, Entry, UsageOf, Wanted};
use crate::database::Database;
use crate::meter::{DAY, MINUTE, Metered, Moment, Seen};
use crate::usage::{By, UsageQuery, UsageReport, UsageRow};
use crate::world::World;
use crate::{Cause, Error, EventKind, Spend};

/// How often news is written.
const PACE: Duration = Duration::from_secs(5);
/// The same while some database is about to reach a step of its limit.
const PACE_NEAR: Duration = Duration::from_secs(1);
/// Those that sleep are looked at this often: for answers given in their place, and their limits.
const SWEEP: Duration = Duration::from_secs(60);
/// A step is near when a database could reach it in this many seconds.
const NEAR_S: u64 = 30;

/// The databases that have news to be written.
#[derive(Default)]
pub(crate) struct Metering {
    queue: Mutex<Vec<Arc<Database>>>,
    /// Ends the waiting between two writings.
    pub(crate) nudge: Notify,
    /// Who holds it decides on a rung, from what is true then.
    judging: tokio::sync::Mutex<()>,
}

impl Metering {
    fn push(&self, database: &Arc<Database>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(Arc::clone(database));
    }

    fn drain(&self) -> Vec<Arc<Database>> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl World {
    /// Tells a database's meter what is true, as its view says; with the count of CPU time of its
    /// process, or of the one that has ended.
    pub(crate) fn metered(&self, database: &Arc<Database>, cpu: Option<Duration>) {
        let view = database.view();
        let seen = Seen {
            incarnation: view.incarnation(),
            cpu,
            state: view.state,
            units: view.units,
            memory: view.memory,
            storage: view.storage,
            carried: self.doors.carried(&database.name),
        };
        let mut meter = database.meter();
        meter.see(self.moment(), seen);
        if meter.queue() {
            self.metering.push(database);
        }
    }

    /// The limit of a database has changed: it is held against the new one at once, also if it
    /// sleeps and has no news, and is soon looked at again in case it nears a step.
    pub(crate) async fn limit_changed(&self, database: &Arc<Database>) {
        self.hold_against_limit(database).await;
        self.metering.push(database);
        self.metering.nudge.notify_one();
    }

    /// Writes what has been counted, of all that have news. Says whether one is about to reach a
    /// step of its limit.
    pub(crate) async fn write_meters(&self) -> bool {
        let queued = self.metering.drain();
        if queued.is_empty() {
            return false;
        }
        let changes = queued.iter().map(|database| {
            database.meter().unqueue();
            Change::Meter(database.shared_meter())
        });
        if let Err(error) = self
            .catalog
            .write(Durability::Soon, changes.collect())
            .await
        {
            error!(%error, hint = error.hint(), "cannot write what was used; it is tried again");
            for database in &queued {
                if database.meter().queue() {
                    self.metering.push(database);
                }
            }
        }
        let mut near = false;
        for database in &queued {
            near |= self.hold_against_limit(database).await;
        }
        near
    }

    /// What was answered in a database's place is told by nobody else.
    fn count_carried(&self, database: &Arc<Database>, now: Moment) {
        let carried = self.doors.carried(&database.name);
        let mut meter = database.meter();
        meter.carried(now, carried);
        if meter.queue() {
            self.metering.push(database);
        }
    }

    /// Those that sleep.
    async fn sweep(&self) {
        let now = self.moment();
        for database in self.databases() {
            self.count_carried(&database, now);
            self.hold_against_limit(&database).await;
        }
    }

    /// Changes the rung of a database if what it has cost this month calls for it. Says whether it
    /// is about to reach the next one.
    async fn hold_against_limit(&self, database: &Arc<Database>) -> bool {
        if database.spec().spend_limit.is_none() && database.rung() == Rung::Free {
            return false;
        }
        let _alone = self.metering.judging.lock().await;
        let (before, limit) = (database.rung(), database.spec().spend_limit);
        let (prices, ladder) = (&self.config.prices, &self.config.ladder);
        let now = self.moment();
        let spent = prices.cost(&database.meter().spent(now).charged);
        // what costs nothing has no limit to come to
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
            database: database.name.clone(),
            event: EventKind::Noted,
            from: Some(view.state),
            to: Some(view.state),
            cause: Cause::Limit,
            reason,
            duration_ms: None,
            figures: view.figures(),
        };
        let changes = vec![
            Change::Meter(database.shared_meter()),
            Change::Ledger(Box::new(entry)),
        ];
        match self.catalog.write(Durability::Soon, changes).await {
            Ok(()) => {
                database.change(|v| v.rung = rung);
                self.restrict(database);
                database.nudge.notify_one();
            }
            // the view is as it was: it is tried again with the next writing
            Err(error) => {
                error!(database = %database.name, %error, hint = error.hint(), "cannot write its limit's step");
            }
        }
    }

    fn describe(&self, database: &Database, rung: Rung, now: Moment, spent: Money) -> String {
        let Some(limit) = database.spec().spend_limit else {
            return "it has no limit any more".to_owned();
        };
        let currency = &self.config.prices.currency;
        let cost = format!("{spent} of {limit} {currency}");
        let until = now.month().next();
        let free = match self.config.ladder.baseline.0 {
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

    /// What a database has cost this month, and what follows from that; `None` if nothing costs
    /// anything.
    pub(crate) fn spend(&self, database: &Database) -> Option<Spend> {
        let prices = &self.config.prices;
        priced(prices).then(|| Spend {
            cost: prices.cost(&database.meter().spent(self.moment()).charged),
            currency: prices.currency.clone(),
            rung: database.rung(),
        })
    }

    /// What has been used, up to now.
    pub(crate) async fn usage(self: &Arc<Self>, query: UsageQuery) -> Result<UsageReport, Error> {
        let now = self.moment();
        let month = query.month.unwrap_or_else(|| now.month());
        let detail = match query.by {
            By::Month => Detail::Sum,
            By::Day => Detail::Days,
            By::Minute => Detail::Minutes,
        };
        let wanted = Wanted {
            database: query.database.clone(),
            days: month.days(),
            detail,
        };
        let (world, named) = (Arc::clone(self), query.database.clone());
        let unwritten = move || world.unwritten(named.as_ref(), now, detail, month.days());
        let (written, unwritten) = self.catalog.usage(wanted, unwritten).await?;
        let mut all: BTreeMap<(DatabaseName, InstanceId, i64), UsageOf> = BTreeMap::new();
        for account in written.into_iter().chain(unwritten) {
            let key = (account.database.clone(), account.instance, account.at);
            match all.get_mut(&key) {
                Some(sum) => sum.metered += account.metered,
                None => drop(all.insert(key, account)),
            }
        }
        if let Some(name) = query.database.filter(|_| all.is_empty())
            && self.find(&name).is_none()
        {
            return Err(Error::NotFound(name));
        }
        // in this month a database that has used nothing yet is told of, in others it was not there
        if month != now.month() {
            all.retain(|_, account| account.metered != Metered::default());
        }
        let mut total = Metered::default();
        all.values().for_each(|account| total += account.metered);
        let priced = priced(&self.config.prices);
        let cost = |charged: &Usage| priced.then(|| self.config.prices.cost(charged));
        let rows = all.into_values().map(|account| UsageRow {
            from: match query.by {
                By::Month => None,
                By::Day => Some(time(account.at, DAY)),
                By::Minute => Some(time(account.at, MINUTE)),
            },
            dropped: account.ended.map(|at| time(at, 1)),
            used: account.metered.used,
            charged: account.metered.charged,
            cost: cost(&account.metered.charged),
            database: account.database,
            instance: account.instance,
        });
        Ok(UsageReport {
            month,
            by: query.by,
            rows: rows.collect(),
            used: total.used,
            charged: total.charged,
            cost: cost(&total.charged),
            currency: self.config.prices.currency.clone(),
        })
    }

    /// What the meters have not written yet, or need not.
    fn unwritten(
        &self,
        named: Option<&DatabaseName>,
        now: Moment,
        detail: Detail,
        days: std::ops::Range<i64>,
    ) -> Vec<UsageOf> {
        let mut all = Vec::new();
        for database in self.databases() {
            if named.is_some_and(|name| *name != database.name) {
                continue;
            }
            let book = database.meter().unwritten(now);
            let account = |at, metered| UsageOf {
                database: database.name.clone(),
                instance: database.instance,
                ended: None,
                at,
                metered,
            };
            match detail {
                Detail::Sum => {
                    let mut sum = Metered::default();
                    book.days
                        .range(days.clone())
                        .for_each(|(_, day)| sum += *day);
                    all.push(account(0, sum));
                }
                Detail::Days => {
                    all.extend(
                        book.days
                            .range(days.clone())
                            .map(|(at, m)| account(*at, *m)),
                    );
                }
                Detail::Minutes => {
                    let minutes = days.start * (DAY / MINUTE)..days.end * (DAY / MINUTE);
                    all.extend(book.minutes.range(minutes).map(|(at, m)| account(*at, *m)));
                }
            }
        }
        all
    }
}

/// Whether anything costs anything.
fn priced(prices: &Prices) -> bool {
    let nothing = Prices {
        currency: prices.currency.clone(),
        ..Prices::default()
    };
    *prices != nothing
}

fn time(count: i64, unit: i64) -> Timestamp {
    Timestamp::from_millisecond(count.saturating_mul(unit)).unwrap_or(Timestamp::MAX)
}

/// Writes what was counted until dormouse stops; [`World::stop`] writes the rest.
pub(crate) async fn write_down(world: Arc<World>) {
    let mut near = false;
    let mut sweep = Instant::now();
    let mut pruned = None;
    while !world.stopping() {
        let today = world.moment().wall.div_euclid(DAY);
        if pruned != Some(today) {
            pruned = Some(today);
            world.prune_usage(today).await;
        }
        if Instant::now() >= sweep {
            sweep = Instant::now() + SWEEP;
            world.sweep().await;
        }
        let pace = if near { PACE_NEAR } else { PACE };
        tokio::select! {
            () = tokio::time::sleep(pace) => {}
            () = world.metering.nudge.notified() => {}
            () = world.ending() => {}
        }
        near = world.write_meters().await;
    }
}

impl World {
    async fn prune_usage(&self, today: i64) {
        let keep = self.config.usage_keep;
        let minute = (today - i64::from(keep.minutes)) * (DAY / MINUTE);
        let day = today - i64::from(keep.days);
        if let Err(error) = self.catalog.prune_usage(minute, day).await {
            error!(%error, hint = error.hint(), "cannot remove old usage");
        }
    }

    /// The last writing.
    pub(crate) async fn write_all_meters(&self) {
        let now = self.moment();
        for database in self.databases() {
            self.count_carried(&database, now);
        }
        self.write_meters().await;
    }
}
