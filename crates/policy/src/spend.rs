//! What use costs, and what is done as the cost nears a limit.

use dormouse_types::{Bytes, Money, Units, Usage};
use serde::{Deserialize, Serialize};

/// What use costs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// What the amounts are in, as shown; `None`: no name.
    pub currency: Option<String>,
    /// An hour of CPU time.
    pub cpu_hour: Money,
    /// A GiB of memory for an hour.
    pub memory_gib_hour: Money,
    /// A GiB of disk for 30 days.
    pub storage_gib_month: Money,
    /// A million statements.
    pub million_statements: Money,
    /// A GiB sent to clients.
    pub traffic_gib: Money,
}

const HOUR_MS: u128 = 3_600_000;

impl Prices {
    /// What use costs, rounded down once.
    #[must_use]
    pub fn cost(&self, used: &Usage) -> Money {
        let part = |price: Money, amount: u64, per: u128| {
            u128::from(price.0).saturating_mul(u128::from(amount)) as f64 / per as f64
        };
        let sum = part(self.cpu_hour, used.cpu_us, HOUR_MS * 1000)
            + part(self.memory_gib_hour, used.memory_mib_ms, HOUR_MS * 1024)
            + part(
                self.storage_gib_month,
                used.storage_mib_ms,
                HOUR_MS * 720 * 1024,
            )
            + part(self.million_statements, used.carried.statements, 1_000_000)
            + part(self.traffic_gib, used.carried.bytes_out, 1 << 30);
        Money(sum as u64)
    }

    /// The most that CPU and memory of so many units can cost in an hour.
    #[must_use]
    pub fn rate(&self, units: Units) -> Money {
        let hour = Usage {
            cpu_us: u64::from(units.millicores()) * 3_600_000,
            memory_mib_ms: (units.memory().0 / Bytes::mib(1).0) * 3_600_000,
            ..Usage::default()
        };
        self.cost(&hour)
    }
}

/// What is done about a database's cost; the order is that of severity.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// Nothing.
    #[default]
    Free,
    /// Its owner is warned: this percentage of the limit is reached.
    Warned(u8),
    /// It is kept to the free baseline.
    Slow,
    /// It takes no statement that could make it larger.
    ReadOnly,
    /// It is not woken.
    Asleep,
}

/// At which share of the limit what is done, in percent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    /// The owner is warned.
    pub warn: Vec<u8>,
    /// Slowed to the baseline.
    pub slow: Option<u16>,
    /// Read-only.
    pub read_only: Option<u16>,
    /// Put to sleep.
    pub asleep: Option<u16>,
    /// What is free beyond the limit.
    pub baseline: Units,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            warn: vec![50, 80, 95],
            slow: Some(100),
            read_only: None,
            asleep: None,
            baseline: Units(1),
        }
    }
}

/// The rung that is reached when so much of a limit is spent.
#[must_use]
pub fn rung(ladder: &Ladder, limit: Money, spent: Money) -> Rung {
    let reached =
        |percent: u16| u128::from(spent.0) * 100 >= u128::from(limit.0) * u128::from(percent);
    if ladder.asleep.is_some_and(reached) {
        Rung::Asleep
    } else if ladder.read_only.is_some_and(reached) {
        Rung::ReadOnly
    } else if ladder.slow.is_some_and(reached) {
        Rung::Slow
    } else {
        let warned = ladder.warn.iter().filter(|p| reached(u16::from(**p))).max();
        warned.map_or(Rung::Free, |percent| Rung::Warned(*percent))
    }
}
