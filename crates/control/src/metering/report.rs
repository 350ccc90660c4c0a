//! Usage reports.

use std::collections::BTreeMap;
use std::sync::Arc;

use dormouse_types::{DatabaseName, InstanceId, Usage};
use jiff::Timestamp;

use super::{Metering, priced};
use crate::calendar::{DAY, MINUTE, Moment};
use crate::catalog::{Detail, UsageOf, Wanted};
use crate::error::Error;
use crate::meter::Metered;
use crate::usage::{By, UsageQuery, UsageReport, UsageRow};

impl Metering {
    /// Usage of databases, up to now.
    pub(crate) async fn usage(self: &Arc<Self>, query: UsageQuery) -> Result<UsageReport, Error> {
        let now = self.parts.calendar.moment();
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
        let mut all = self.gather(wanted, now).await?;
        if query.present {
            all.retain(|_, account| account.ended.is_none());
        }
        if let Some(name) = query.database.filter(|_| all.is_empty())
            && self.parts.registry.find(&name).is_none()
        {
            return Err(Error::NotFound(name));
        }
        // a database without usage is included in this month only: in others it did not exist
        if month != now.month() {
            all.retain(|_, account| account.metered != Metered::default());
        }
        let mut total = Metered::default();
        all.values().for_each(|account| total += account.metered);
        let priced = priced(&self.parts.prices);
        let cost = |charged: &Usage| priced.then(|| self.parts.prices.cost(charged));
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
            currency: self.parts.prices.currency.clone(),
        })
    }

    /// Usage, written or not, by database and time.
    pub(super) async fn gather(
        self: &Arc<Self>,
        wanted: Wanted,
        now: Moment,
    ) -> Result<BTreeMap<(DatabaseName, InstanceId, i64), UsageOf>, Error> {
        let (metering, also) = (Arc::clone(self), wanted.clone());
        let unwritten =
            move || metering.unwritten(also.database.as_ref(), now, also.detail, also.days.clone());
        let (written, unwritten) = self.parts.catalog.usage(wanted, unwritten).await?;
        let mut all: BTreeMap<_, UsageOf> = BTreeMap::new();
        for account in written.into_iter().chain(unwritten) {
            let key = (account.database.clone(), account.instance, account.at);
            match all.get_mut(&key) {
                Some(sum) => sum.metered += account.metered,
                None => drop(all.insert(key, account)),
            }
        }
        Ok(all)
    }

    /// Usage that the meters have counted but not written.
    fn unwritten(
        &self,
        named: Option<&DatabaseName>,
        now: Moment,
        detail: Detail,
        days: std::ops::Range<i64>,
    ) -> Vec<UsageOf> {
        let mut all = Vec::new();
        for database in self.parts.registry.all() {
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

fn time(count: i64, unit: i64) -> Timestamp {
    Timestamp::from_millisecond(count.saturating_mul(unit)).unwrap_or(Timestamp::MAX)
}
