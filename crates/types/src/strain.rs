//! How limits hold a server back.

use std::time::Duration;

/// How its limits have held a server back, counted from some moment on, such as its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strain {
    /// How long it could have run, but had used its CPU up; the sum over CPUs.
    pub throttled: Duration,
    /// How long it waited for memory to be reclaimed; zero where the kernel does not tell.
    pub stalled: Duration,
    /// How often it reached its memory limit.
    pub limit_hits: u64,
    /// How many times something in it was killed for want of memory.
    pub oom_kills: u64,
}

impl Strain {
    /// What came since; `None` if a count fell.
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
