//! A place in the history of a database: the last transaction of each domain (MariaDB's GTIDs, `domain-server-number`).

use std::collections::BTreeMap;
use std::fmt;

/// The last transactions that a server has, or that a session may have seen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position(BTreeMap<u32, (u32, u64)>);

impl Position {
    /// Reads what a server says: `0-1-100,1-2-7`, or nothing. `None`: it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut all = Self::default();
        for one in text.split(',').map(str::trim) {
            if one.is_empty() {
                continue;
            }
            let mut parts = one.split('-');
            let domain = parts.next()?.parse().ok()?;
            let server = parts.next()?.parse().ok()?;
            let number = parts.next()?.parse().ok()?;
            if parts.next().is_some() {
                return None;
            }
            all.add(domain, server, number);
        }
        Some(all)
    }

    fn add(&mut self, domain: u32, server: u32, number: u64) {
        let entry = self.0.entry(domain).or_insert((server, number));
        if entry.1 < number {
            *entry = (server, number);
        }
    }

    /// Adds what another one has.
    pub fn merge(&mut self, other: &Self) {
        for (domain, (server, number)) in &other.0 {
            self.add(*domain, *server, *number);
        }
    }

    /// Whether a server at this position has all of another one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(domain, (_, number))| {
            let own = self.0.get(domain);
            own.is_some_and(|(_, own)| own >= number)
        })
    }

    /// Whether it is the beginning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (domain, (server, number))) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{domain}-{server}-{number}")?;
        }
        Ok(())
    }
}
