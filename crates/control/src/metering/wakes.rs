//! What woke a database, and what that cost.

use std::sync::Arc;
use std::time::Duration;

use dormouse_types::DatabaseName;
use jiff::Timestamp;

use super::{Metering, priced};
use crate::calendar::{DAY, MINUTE};
use crate::catalog::{Detail, Wanted};
use crate::error::Error;
use crate::wakes::{self, MOST_DAYS, MOST_ROWS, WakesReport, add_up};

impl Metering {
    /// What woke a database in the last while, up to now.
    pub(crate) async fn wakes(
        self: &Arc<Self>,
        database: &DatabaseName,
        last: Duration,
    ) -> Result<WakesReport, Error> {
        if self.parts.registry.find(database).is_none() {
            return Err(Error::NotFound(database.clone()));
        }
        let now = self.parts.calendar.moment();
        let last = i64::try_from(last.as_millis()).unwrap_or(i64::MAX);
        if !(1..=i64::from(MOST_DAYS) * DAY).contains(&last) {
            let what = format!("wakes are added up over at most {MOST_DAYS}d");
            return Err(Error::Invalid(what));
        }
        // a minute's use cannot be divided
        let from = (now.wall - last).div_euclid(MINUTE) * MINUTE;
        let period = from..now.wall.max(from);
        let wanted = Wanted {
            database: Some(database.clone()),
            days: period.start.div_euclid(DAY)..period.end.div_euclid(DAY) + 1,
            detail: Detail::Minutes,
        };
        let used = self.gather(wanted, now).await?;
        let used = used.into_values().filter(|used| used.ended.is_none());
        let mut minutes: Vec<_> = used.map(|used| (used.at, used.metered.charged)).collect();
        minutes.retain(|(at, _)| at.saturating_mul(MINUTE) >= period.start);
        minutes.sort_by_key(|(at, _)| *at);
        let (catalog, name, since) = (self.parts.catalog.clone(), database.clone(), period.start);
        // the catalog is a file: reading it blocks
        let read = tokio::task::spawn_blocking(move || catalog.transitions(&name, since));
        let transitions = read.await.unwrap_or(Err(Error::Stopping))?;
        let sums = add_up(transitions, &minutes, &period);
        let prices = &self.parts.prices;
        let is_priced = priced(prices);
        let mut total = dormouse_types::Usage::default();
        sums.iter().for_each(|sum| total += sum.used);
        let cost = |used: &_| is_priced.then(|| prices.cost(used));
        let (sum_wakes, awake_ms) = sums.iter().fold((0, 0), |(wakes, awake), sum| {
            (wakes + sum.wakes, awake + sum.awake_ms)
        });
        let (measure, mut rows) = wakes::rows(sums, cost);
        let more = rows.len().saturating_sub(MOST_ROWS) as u64;
        rows.truncate(MOST_ROWS);
        let time = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        Ok(WakesReport {
            database: database.clone(),
            since: time(period.start),
            until: time(period.end),
            wakes: sum_wakes,
            awake_ms,
            cost: cost(&total),
            currency: prices.currency.clone(),
            measure,
            rows,
            more,
        })
    }
}
