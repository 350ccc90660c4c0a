//! Metered use of a database.

use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// Use of a database over some time. All counters only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// CPU time of its server, in microseconds.
    pub cpu_us: u64,
    /// Allotted memory, in MiB times milliseconds.
    pub memory_mib_ms: u64,
    /// Disk space of its files, in MiB times milliseconds.
    pub storage_mib_ms: u64,
    /// Time awake, in milliseconds.
    pub active_ms: u64,
    /// Traffic of its clients.
    #[serde(flatten)]
    pub carried: Carried,
}

/// Traffic of a database's clients, including answers that Dormouse gives for a sleeping server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// Statements sent by clients.
    pub statements: u64,
    /// Bytes sent by clients, before compression and encryption.
    pub bytes_in: u64,
    /// Bytes sent to clients, before compression and encryption.
    pub bytes_out: u64,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            cpu_us: self.cpu_us.saturating_add(other.cpu_us),
            memory_mib_ms: self.memory_mib_ms.saturating_add(other.memory_mib_ms),
            storage_mib_ms: self.storage_mib_ms.saturating_add(other.storage_mib_ms),
            active_ms: self.active_ms.saturating_add(other.active_ms),
            carried: self.carried + other.carried,
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Add for Carried {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            statements: self.statements.saturating_add(other.statements),
            bytes_in: self.bytes_in.saturating_add(other.bytes_in),
            bytes_out: self.bytes_out.saturating_add(other.bytes_out),
        }
    }
}

impl Sub for Carried {
    type Output = Self;

    /// The difference; 0 where a counter has restarted.
    fn sub(self, before: Self) -> Self {
        Self {
            statements: self.statements.saturating_sub(before.statements),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
        }
    }
}
