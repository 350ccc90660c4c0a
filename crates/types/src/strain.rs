//! [`Strain`]: throttling and memory pressure of a server.

use std::time::Duration;

/// Effects of a server's limits: counters from some moment on, such as its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strain {
    /// Time throttled by the CPU quota, summed over CPUs.
    pub throttled: Duration,
    /// Time stalled on memory reclaim; zero if the kernel does not report it.
    pub stalled: Duration,
    /// Number of times that it reached its memory limit.
    pub limit_hits: u64,
    /// Number of its processes killed by the out-of-memory killer.
    pub oom_kills: u64,
}

impl Strain {
    /// The difference to `before`; `None` if a counter has fallen.
    #[must_use]
    pub fn since(self, before: Self) -> Option<Self> {
        Some(Self {
            throttled: self.throttled.checked_sub(before.throttled)?,
            stalled: self.stalled.checked_sub(before.stalled)?,
            limit_hits: self.limit_hits.checked_sub(before.limit_hits)?,
            oom_kills: self.oom_kills.checked_sub(before.oom_kills)?,
        })
    }
}
