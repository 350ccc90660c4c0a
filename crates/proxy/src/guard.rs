//! Limits by client: how many connections there are, how often logins failed, how many wakes it caused.
//!
//! Failed logins are counted for each client, for each client at each account, and for each database:
//! - a client that fails at one account again and again has to wait longer and longer there, and its attempts
//!   meanwhile count nowhere: an old password in one program locks out nobody else behind the same address;
//! - a client that has used up its own attempts is refused before anything else is done for it, unless somebody
//!   there has logged in before: then only those who have may go on, each at that account;
//! - if a database has used up its attempts, many addresses are guessing its passwords. Then a client that
//!   has failed within the last minute is refused, and only such a client: if everyone were, anybody could
//!   lock out a database's users. So each address has one attempt in a minute, instead of as many as
//!   its own limit allows, and a client that sends the right password is let in at its first.

mod bucket;
mod errors;
mod memory;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dormouse_tenant::check::PasswordErrors as Change;
use dormouse_types::Account;

use crate::config::Limits;
use bucket::Bucket;
use errors::PasswordErrors;
pub(crate) use memory::Client;
use memory::Memory;

/// Limits by client.
pub(crate) struct Guard {
    born: Instant,
    limits: Limits,
    seats: Mutex<Seats>,
    memory: Mutex<Memory>,
}

/// The connections now.
#[derive(Default)]
struct Seats {
    all: u32,
    /// Only addresses with connections.
    by_address: HashMap<Client, u32>,
}

/// The buckets of one database.
#[derive(Default)]
pub(crate) struct DatabaseBuckets(Mutex<OfDatabase>);

#[derive(Default)]
struct OfDatabase {
    failures: Bucket,
    wakes: Bucket,
    on_demand: Bucket,
    errors: PasswordErrors,
}

impl DatabaseBuckets {
    /// Whether an account has had `max_password_errors` wrong passwords in a row: its first method lets nobody in.
    pub(crate) fn blocks(&self, account: &Account) -> bool {
        self.get().errors.blocks(account)
    }

    /// Notes a password for an account that exists.
    pub(crate) fn password(&self, account: &Account, right: bool) {
        let errors = &mut self.get().errors;
        match right {
            true => errors.right(account),
            false => errors.wrong(account),
        }
    }

    /// Follows a statement about accounts.
    pub(crate) fn changed(&self, changes: &[Change]) {
        let errors = &mut self.get().errors;
        changes.iter().for_each(|change| errors.change(change));
    }

    /// Unblocks all accounts: privileges were flushed.
    pub(crate) fn unblock(&self) {
        self.get().errors.forget();
    }

    fn get(&self) -> MutexGuard<'_, OfDatabase> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A limit that is reached: its name and value, and how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) limit: &'static str,
    pub(crate) value: u32,
    pub(crate) wait: Duration,
}

/// Failures in a row at one account after which a client has to wait there, at least.
const FREE: u32 = 5;

/// The longest of these waits.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A failure within this time is a recent one.
const RECENT: u64 = 60_000_000;

/// A client that logs in to an account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginOf<'a> {
    pub(crate) client: Client,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
}

/// One counted connection; dropping it removes it from the count.
pub(crate) struct Seat {
    guard: Arc<Guard>,
    address: Option<Client>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.guard.seats();
        match self.address {
            None => seats.all = seats.all.saturating_sub(1),
            Some(address) => {
                let count = seats.by_address.entry(address).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    seats.by_address.remove(&address);
                }
            }
        }
    }
}

impl Guard {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            limits: limits.clone(),
            seats: Mutex::default(),
            memory: Mutex::default(),
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds of the guard's clock, which begins after the first minute so that 0 means never.
    fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.born).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX / 2) + 2 * RECENT
    }

    /// Counts a connection of the whole process (`connections`).
    pub(crate) fn seat(self: &Arc<Self>) -> Result<Seat, Reached> {
        let most = self.limits.connections;
        let mut seats = self.seats();
        if seats.all >= most {
            return Err(full("connections", most));
        }
        seats.all += 1;
        Ok(Seat {
            guard: Arc::clone(self),
            address: None,
        })
    }

    /// Counts a connection of an address (`connections_per_address`).
    pub(crate) fn seat_of(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Reached> {
        let most = self.limits.connections_per_address;
        // not by network: this limits sockets, of which one machine may need many
        let address = Client::Address(address.to_canonical());
        let mut seats = self.seats();
        let count = seats.by_address.entry(address).or_default();
        if *count >= most {
            return Err(full("connections_per_address", most));
        }
        *count += 1;
        Ok(Seat {
            guard: Arc::clone(self),
            address: Some(address),
        })
    }

    /// Whether a client has used up its failed logins (`failed_logins_per_minute`).
    pub(crate) fn blocked(&self, client: Client, now: Instant) -> Option<Reached> {
        let value = self.limits.failed_logins_per_minute;
        let now = self.micros(now);
        let wait = self.memory().of(client)?.failures.wait(value, now);
        (wait > 0).then(|| Reached {
            limit: "failed_logins_per_minute",
            value,
            wait: Duration::from_micros(wait),
        })
    }

    /// Whether a database has used up its failed logins (`failed_logins_per_minute_per_database`) and this
    /// client is one of those that failed.
    pub(crate) fn blocked_at(
        &self,
        client: Client,
        database: &DatabaseBuckets,
        now: Instant,
    ) -> Option<Reached> {
        let value = self.limits.failed_logins_per_minute_per_database;
        let now = self.micros(now);
        if database.get().failures.wait(value, now) == 0 {
            return None;
        }
        let failed_at = self.memory().of(client)?.failed_at;
        let wait = (failed_at + RECENT).saturating_sub(now);
        (wait > 0).then(|| Reached {
            limit: "failed_logins_per_minute_per_database",
            value,
            wait: Duration::from_micros(wait),
        })
    }

    /// How long a client has to wait before it may try this account again; the number of failures in a row.
    pub(crate) fn must_wait(&self, login: &LoginOf<'_>, now: Instant) -> Option<(u32, Duration)> {
        let free = FREE.max(self.limits.failed_logins_per_minute / 10);
        let now = self.micros(now);
        let memory = self.memory();
        let record = memory.of(memory.login(login.client, login.database, login.user))?;
        let beyond = record.in_row.checked_sub(free)?;
        let wait = Duration::from_secs(1 << beyond.min(6)).min(LONGEST_WAIT);
        let until = record.failed_at + u64::try_from(wait.as_micros()).unwrap_or(u64::MAX / 2);
        let left = until.saturating_sub(now);
        (left > 0).then(|| (record.in_row, Duration::from_micros(left)))
    }

    /// Whether a client has logged in to this account before.
    pub(crate) fn has_entered(&self, login: &LoginOf<'_>) -> bool {
        let memory = self.memory();
        let login = memory.login(login.client, login.database, login.user);
        memory.of(login).is_some_and(|record| record.has_entered)
    }

    /// Whether somebody there has logged in before.
    pub(crate) fn somebody_has_entered(&self, client: Client) -> bool {
        let memory = self.memory();
        memory.of(client).is_some_and(|record| record.has_entered)
    }

    /// Notes a login that did not fail.
    pub(crate) fn entered(&self, login: &LoginOf<'_>, now: Instant) {
        let now = self.micros(now);
        let mut memory = self.memory();
        let this = memory.login(login.client, login.database, login.user);
        for client in [login.client, this] {
            if let Some(record) = memory.remember(client, now) {
                record.has_entered = true;
                record.in_row = 0;
            }
        }
    }

    /// Notes a failed login at an account.
    pub(crate) fn failed_at_account(&self, login: &LoginOf<'_>, now: Instant) {
        let now = self.micros(now);
        let mut memory = self.memory();
        let this = memory.login(login.client, login.database, login.user);
        if let Some(record) = memory.remember(this, now) {
            record.in_row = record.in_row.saturating_add(1);
            record.failed_at = now;
        }
    }

    /// Notes a failed login, at a database if it named one.
    pub(crate) fn failed(&self, client: Client, database: Option<&DatabaseBuckets>, now: Instant) {
        let limits = &self.limits;
        let now = self.micros(now);
        if let Some(database) = database {
            let per_minute = limits.failed_logins_per_minute_per_database;
            database.get().failures.take(per_minute, now);
        }
        if let Some(record) = self.memory().remember(client, now) {
            record.failures.take(limits.failed_logins_per_minute, now);
            record.failed_at = now;
        }
    }

    /// Takes the token of a user or schema that a login makes (`on_demand_per_minute`).
    pub(crate) fn on_demand(
        &self,
        database: &DatabaseBuckets,
        now: Instant,
    ) -> Result<(), Reached> {
        let value = self.limits.on_demand_per_minute;
        let now = self.micros(now);
        let bucket = &mut database.get().on_demand;
        match bucket.wait(value, now) {
            0 => {
                bucket.take(value, now);
                Ok(())
            }
            wait => Err(Reached {
                limit: "on_demand_per_minute",
                value,
                wait: Duration::from_micros(wait),
            }),
        }
    }

    /// Takes the tokens of one start of a database's server (`wakes_per_minute`,
    /// `wakes_per_minute_per_address`); takes none if one is missing.
    pub(crate) fn wake(
        &self,
        client: Option<Client>,
        database: &DatabaseBuckets,
        now: Instant,
    ) -> Result<(), Reached> {
        let (of_database, of_address) = (
            self.limits.wakes_per_minute,
            self.limits.wakes_per_minute_per_address,
        );
        let now = self.micros(now);
        let short = |limit, value, bucket: Bucket| match bucket.wait(value, now) {
            0 => Ok(()),
            wait => Err(Reached {
                limit,
                value,
                wait: Duration::from_micros(wait),
            }),
        };
        let mut database = database.get();
        short("wakes_per_minute", of_database, database.wakes)?;
        if let Some(client) = client
            && let Some(record) = self.memory().remember(client, now)
        {
            short("wakes_per_minute_per_address", of_address, record.wakes)?;
            record.wakes.take(of_address, now);
        }
        database.wakes.take(of_database, now);
        Ok(())
    }
}

fn full(limit: &'static str, value: u32) -> Reached {
    Reached {
        limit,
        value,
        wait: Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
