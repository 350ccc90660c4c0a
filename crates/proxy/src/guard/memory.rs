//! What is remembered of clients that failed or caused wakes, in bounded memory.
//!
//! The table has a fixed number of sets, each with a few places. A client's set is chosen by a keyed hash,
//! so nobody can choose addresses that fall into the set of another. In a full set the client whose buckets
//! are fullest is forgotten: a flood of new addresses cannot make the guard forget one that has used up its
//! attempts, and a client that is forgotten had at most a few.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};

use super::bucket::Bucket;

/// Number of sets.
const SETS: usize = 4096;

/// Places in a set.
const PLACES: usize = 8;

/// Whom failures and wakes are counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// An IPv4 address, or the first 64 bits of an IPv6 address: one customer usually has all of these.
    Address(IpAddr),
    /// A user of the operating system, on the Unix socket.
    User(u32),
    /// One of these at one account of one database, by a keyed hash.
    Login(u64),
}

impl Client {
    /// The client at this address.
    pub(crate) fn at(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from(network))
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// What is remembered of one client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    client: Client,
    pub(super) failures: Bucket,
    pub(super) wakes: Bucket,
    /// The time of the last failed login, in microseconds; 0 for never.
    pub(super) failed_at: u64,
    /// The number of failed logins since the last that did not fail.
    pub(super) in_row: u32,
    /// Whether one did not fail.
    pub(super) has_entered: bool,
}

impl Record {
    fn missing(&self, now: u64) -> u64 {
        let missing = self.failures.missing(now).max(self.wakes.missing(now));
        // one that has logged in is worth more than one that did nothing, and less than one that is blocked
        missing.max(u64::from(self.has_entered))
    }
}

/// The remembered clients.
pub(super) struct Memory {
    sets: Vec<Vec<Record>>,
    hash: RandomState,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            sets: vec![Vec::new(); SETS],
            hash: RandomState::new(),
        }
    }
}

impl Memory {
    fn set(&self, client: Client) -> usize {
        usize::try_from(self.hash.hash_one(client) % SETS as u64).unwrap_or(0)
    }

    /// A client at one account of one database.
    pub(super) fn login(&self, client: Client, database: &str, user: &str) -> Client {
        Client::Login(self.hash.hash_one((client, database, user)))
    }

    /// What is remembered of a client.
    pub(super) fn of(&self, client: Client) -> Option<&Record> {
        let set = self.sets.get(self.set(client))?;
        set.iter().find(|record| record.client == client)
    }

    /// The record of a client; a new one if there is none.
    pub(super) fn remember(&mut self, client: Client, now: u64) -> Option<&mut Record> {
        let set = self.set(client);
        let set = self.sets.get_mut(set)?;
        let place = set.iter().position(|record| record.client == client);
        let place = place.unwrap_or_else(|| {
            let new = Record {
                client,
                failures: Bucket::default(),
                wakes: Bucket::default(),
                failed_at: 0,
                in_row: 0,
                has_entered: false,
            };
            if set.len() < PLACES {
                set.reserve_exact(1);
                set.push(new);
                return set.len() - 1;
            }
            let fullest = (0..set.len()).min_by_key(|at| set.get(*at).map(|one| one.missing(now)));
            let place = fullest.unwrap_or(0);
            if let Some(old) = set.get_mut(place) {
                *old = new;
            }
            place
        });
        set.get_mut(place)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sets.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_client_and_a_mapped_address_is_ipv4() {
        let client = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::9"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"));
        assert_ne!(client("10.0.0.2"), client("10.0.0.1"));
    }

    #[test]
    fn a_million_addresses_take_bounded_memory_and_free_nobody_that_is_blocked() {
        let mut memory = Memory::default();
        let bad = Client::at("10.9.9.9".parse().unwrap());
        for _ in 0..3 {
            memory.remember(bad, 1).unwrap().failures.take(3, 1);
        }
        for n in 0..1_000_000_u32 {
            let other = Client::at(IpAddr::V4(n.into()));
            memory.remember(other, 1).unwrap().failures.take(3, 1);
        }
        assert_eq!(memory.len(), SETS * PLACES);
        let left = memory.of(bad).expect("it is remembered");
        assert!(left.failures.wait(3, 1) > 0);
    }
}
