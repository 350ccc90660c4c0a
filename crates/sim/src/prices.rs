//! What compute costs.

use dormouse_types::{Money, Usage};

/// Prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prices {
    pub cpu_hour: Money,
    pub memory_gib_hour: Money,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            cpu_hour: Money(40_000),
            memory_gib_hour: Money(5_000),
        }
    }
}

impl Prices {
    /// Cost.
    pub fn cost(&self, usage: &Usage) -> Money {
        let cpu = u128::from(usage.cpu_us) * u128::from(self.cpu_hour.0) / 3_600_000_000;
        let memory = u128::from(usage.memory_mib_ms) * u128::from(self.memory_gib_hour.0)
            / (1024 * 3_600_000);
        Money(u64::try_from(cpu + memory).unwrap_or(u64::MAX))
    }
}
