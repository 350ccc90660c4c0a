//! The server's status flags, in OK and EOF packets and in the greeting.

use std::fmt;

/// A set of status flags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Status(pub u16);

impl Status {
    /// A transaction is open.
    pub const IN_TRANS: Self = Self(1);
    /// `autocommit` is on.
    pub const AUTOCOMMIT: Self = Self(2);
    /// Another result of the same command follows.
    pub const MORE_RESULTS: Self = Self(8);
    /// A cursor is open for the statement; no rows follow.
    pub const CURSOR_EXISTS: Self = Self(64);
    /// The cursor has no more rows.
    pub const LAST_ROW_SENT: Self = Self(128);
    /// The current schema was dropped.
    pub const DB_DROPPED: Self = Self(256);
    /// `sql_mode` has `NO_BACKSLASH_ESCAPES`.
    pub const NO_BACKSLASH_ESCAPES: Self = Self(512);
    /// A prepared statement was prepared again and its columns changed.
    pub const METADATA_CHANGED: Self = Self(1024);
    /// The statement was slow.
    pub const WAS_SLOW: Self = Self(2048);
    /// The result contains output parameters.
    pub const PS_OUT_PARAMS: Self = Self(4096);
    /// The open transaction is read only.
    pub const IN_TRANS_READONLY: Self = Self(8192);
    /// The OK packet contains session changes.
    pub const SESSION_STATE_CHANGED: Self = Self(0x4000);
    /// `sql_mode` has `ANSI_QUOTES` (MariaDB).
    pub const ANSI_QUOTES: Self = Self(0x8000);

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set and `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Status({:#06x})", self.0)
    }
}
