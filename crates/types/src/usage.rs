//! What a database has used.

use std::ops::{Add, AddAssign, Sub};

use serde::{Deserialize, Serialize};

/// What a database has used over some time. All of it only ever counts up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// CPU time of its server, in microseconds.
    pub cpu_us: u64,
    /// Memory it was allotted, in MiB times milliseconds.
    pub memory_mib_ms: u64,
    /// Disk that its files took, in MiB times milliseconds.
    pub storage_mib_ms: u64,
    /// How long it was awake, in milliseconds.
    pub active_ms: u64,
    /// What passed between clients and its server.
    #[serde(flatten)]
    pub carried: Carried,
}

/// What passed between a database's clients and its server, or was answered in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// Statements that clients sent.
    pub statements: u64,
    /// Bytes that clients sent, as they are before compression and encryption.
    pub bytes_in: u64,
    /// Bytes that clients were sent, likewise.
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

    /// What came since; nothing where a count began anew.
    fn sub(self, before: Self) -> Self {
        Self {
            statements: self.statements.saturating_sub(before.statements),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
        }
    }
}
