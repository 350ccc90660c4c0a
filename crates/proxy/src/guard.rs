//! Limits by client address: how many connections it has, how often its logins failed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Counts per address. Clients on the Unix socket are not counted: file permissions restrict that.
#[derive(Default)]
pub(crate) struct Guard {
    addresses: Mutex<HashMap<IpAddr, Counts>>,
}

#[derive(Default)]
struct Counts {
    connections: u32,
    failures: u32,
    /// The time of the first failure in the present count.
    since: Option<Instant>,
}

const MINUTE: Duration = Duration::from_secs(60);

/// One counted connection; dropping it removes it from the count.
pub(crate) struct Seat {
    guard: Arc<Guard>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut addresses = self.guard.addresses();
        if let Some(counts) = addresses.get_mut(&self.address) {
            counts.connections -= 1;
            if counts.connections == 0 && counts.failures == 0 {
                addresses.remove(&self.address);
            }
        }
    }
}

impl Guard {
    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Counts>> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection, unless the address has `most` already.
    pub(crate) fn seat(self: &Arc<Self>, address: IpAddr, most: u32) -> Option<Seat> {
        let mut addresses = self.addresses();
        let counts = addresses.entry(address).or_default();
        if counts.connections >= most {
            return None;
        }
        counts.connections += 1;
        Some(Seat {
            guard: Arc::clone(self),
            address,
        })
    }

    /// Whether the address has failed `most` times within the last minute.
    pub(crate) fn is_blocked(&self, address: IpAddr, most: u32, now: Instant) -> bool {
        self.addresses()
            .get(&address)
            .is_some_and(|counts| counts.fresh(now) >= most)
    }

    /// Notes a failed login.
    pub(crate) fn failed(&self, address: IpAddr, now: Instant) {
        let mut addresses = self.addresses();
        let counts = addresses.entry(address).or_default();
        let failures = counts.fresh(now);
        if failures == 0 {
            counts.since = Some(now);
        }
        counts.failures = failures.saturating_add(1);
    }

    /// Removes addresses without connections and recent failures.
    pub(crate) fn sweep(&self, now: Instant) {
        self.addresses()
            .retain(|_, counts| counts.connections > 0 || counts.fresh(now) > 0);
    }
}

impl Counts {
    fn fresh(&self, now: Instant) -> u32 {
        let recent = self
            .since
            .is_some_and(|since| now.duration_since(since) < MINUTE);
        if recent { self.failures } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn connections_are_counted_while_they_last() {
        let guard = Arc::new(Guard::default());
        let seat = guard.seat(HOME, 1);
        assert!(seat.is_some() && guard.seat(HOME, 1).is_none());
        drop(seat);
        assert!(guard.seat(HOME, 1).is_some());
    }

    #[test]
    fn failures_block_for_a_minute_from_the_first() {
        let guard = Guard::default();
        let start = Instant::now();
        guard.failed(HOME, start);
        guard.failed(HOME, start + MINUTE / 2);
        assert!(guard.is_blocked(HOME, 2, start + MINUTE / 2));
        assert!(!guard.is_blocked(HOME, 2, start + MINUTE));
        guard.sweep(start + MINUTE);
        assert!(
            guard.addresses().is_empty(),
            "an address without connections and failures was kept"
        );
    }
}
