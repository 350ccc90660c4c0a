//! Limits by client: how many connections there are, how often logins failed, how many wakes it caused.
//!
//! Failed logins are counted for each client and for each database:
//! - a client that has used up its own attempts is refused before anything else is done for it;
//! - if a database has used up its attempts, many addresses are guessing its passwords. Then a client that
//!   has failed within the last minute is refused, and only such a client: if everyone were, anybody could
//!   lock out a database's users. So each address has one attempt in a minute, instead of as many as
//!   its own limit allows, and a client that sends the right password is let in at its first.

mod bucket;
mod memory;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Limits;
use bucket::Bucket;
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
}

impl DatabaseBuckets {
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

/// A failure within this time is a recent one.
const RECENT: u64 = 60_000_000;

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
