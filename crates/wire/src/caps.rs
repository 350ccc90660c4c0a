//! Capability bits, which client and server negotiate when a connection starts.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Sub};

/// A set of capabilities. MySQL and MariaDB share the low 32 bits; the high 32 are MariaDB's,
/// and are sent only if bit 0 is clear.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(pub u64);

macro_rules! capabilities {
    ($($(#[$doc:meta])+ $name:ident = $bit:literal;)+) => {
        impl Capabilities {
            $($(#[$doc])+ pub const $name: Self = Self(1 << $bit);)+
            const NAMES: &'static [(&'static str, Self)] =
                &[$((stringify!($name), Self::$name)),+];
        }
    };
}

capabilities! {
    /// "Not MariaDB": set by MySQL servers and clients (originally: new password hashes).
    LONG_PASSWORD = 0;
    /// The count of affected rows is that of rows found, not of rows changed.
    FOUND_ROWS = 1;
    /// Two bytes of column flags.
    LONG_FLAG = 2;
    /// The login contains a schema.
    CONNECT_WITH_DB = 3;
    /// `schema.table.column` is not allowed.
    NO_SCHEMA = 4;
    /// zlib compression.
    COMPRESS = 5;
    /// ODBC behaviour; unused.
    ODBC = 6;
    /// `LOAD DATA LOCAL INFILE` is possible.
    LOCAL_FILES = 7;
    /// Spaces before `(` are ignored.
    IGNORE_SPACE = 8;
    /// The protocol since 4.1, the only one supported here.
    PROTOCOL_41 = 9;
    /// The session's `wait_timeout` starts as `interactive_timeout`.
    INTERACTIVE = 10;
    /// The client switches to TLS.
    SSL = 11;
    /// Client side only.
    IGNORE_SIGPIPE = 12;
    /// OK packets carry status flags.
    TRANSACTIONS = 13;
    /// Originally: the 4.1 protocol.
    RESERVED = 14;
    /// The login's proof has a length byte.
    SECURE_CONNECTION = 15;
    /// Several statements in one COM_QUERY.
    MULTI_STATEMENTS = 16;
    /// Several results for COM_QUERY.
    MULTI_RESULTS = 17;
    /// Several results for COM_STMT_EXECUTE, and output parameters.
    PS_MULTI_RESULTS = 18;
    /// Authentication plugins.
    PLUGIN_AUTH = 19;
    /// The login contains attributes.
    CONNECT_ATTRS = 20;
    /// The login's proof has a length-encoded length.
    PLUGIN_AUTH_LENENC = 21;
    /// The client supports expired passwords (sandbox mode).
    EXPIRED_PASSWORDS = 22;
    /// OK packets contain session changes.
    SESSION_TRACK = 23;
    /// Results end with an OK packet; no packet ends the columns.
    DEPRECATE_EOF = 24;
    /// MySQL: column definitions may be left out.
    OPTIONAL_METADATA = 25;
    /// MySQL: zstd compression.
    ZSTD = 26;
    /// MySQL: attributes of single statements.
    QUERY_ATTRIBUTES = 27;
    /// MySQL: several authentication factors.
    MULTI_FACTOR = 28;
    /// MariaDB before 10.2: progress reports.
    PROGRESS_OBSOLETE = 29;
    /// Client side only.
    SSL_VERIFY = 30;
    /// Client side only.
    REMEMBER_OPTIONS = 31;
    /// MariaDB: progress reports, in packets that look like errors.
    PROGRESS = 32;
    /// MariaDB: withdrawn.
    RESERVED_2 = 33;
    /// MariaDB: COM_STMT_BULK_EXECUTE.
    STMT_BULK = 34;
    /// MariaDB: column definitions contain extended types and formats.
    EXTENDED_METADATA = 35;
    /// MariaDB: column definitions are left out when unchanged since the prepare.
    CACHE_METADATA = 36;
    /// MariaDB: COM_STMT_BULK_EXECUTE can return a result for each row.
    BULK_UNIT = 37;
}

impl Capabilities {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// What Dormouse offers its clients: the capabilities that MariaDB 10.11 and all later versions
    /// support. Dormouse compresses itself, with zlib only: no MariaDB server offers zstd. The caller
    /// adds TLS.
    pub const MARIADB_OFFER: Self = Self(0x81ff_f7fe | 0xd << 32);

    /// What Dormouse's own clients request: no capability that changes the meaning of a statement.
    pub const OWN_CLIENT: Self = Self(
        Self::LONG_FLAG.0
            | Self::PROTOCOL_41.0
            | Self::TRANSACTIONS.0
            | Self::SECURE_CONNECTION.0
            | Self::MULTI_STATEMENTS.0
            | Self::MULTI_RESULTS.0
            | Self::PS_MULTI_RESULTS.0
            | Self::PLUGIN_AUTH.0
            | Self::PLUGIN_AUTH_LENENC.0
            | Self::SESSION_TRACK.0
            | Self::DEPRECATE_EOF.0,
    );

    /// The low 32 bits.
    #[must_use]
    pub const fn low(self) -> u32 {
        (self.0 & 0xFFFF_FFFF) as u32
    }

    /// The high 32 bits, as sent.
    #[must_use]
    pub const fn extended(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Joins the two halves; `extended` is ignored if bit 0 is set.
    #[must_use]
    pub const fn from_halves(low: u32, extended: u32) -> Self {
        let all = Self(low as u64 | (extended as u64) << 32);
        if all.contains(Self::LONG_PASSWORD) {
            Self(low as u64)
        } else {
            all
        }
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set with `other` added if `yes` is true, else removed.
    #[must_use]
    pub const fn set(self, other: Self, yes: bool) -> Self {
        if yes {
            Self(self.0 | other.0)
        } else {
            Self(self.0 & !other.0)
        }
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Capabilities {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Sub for Capabilities {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({:#x}:", self.0)?;
        let known = Self::NAMES.iter().filter(|(_, bit)| self.contains(*bit));
        known
            .map(|(name, _)| name)
            .try_for_each(|name| write!(f, " {name}"))?;
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offer_is_supported_by_every_mariadb() {
        let offer = Capabilities::MARIADB_OFFER;
        assert_eq!((offer.low(), offer.extended()), (0x81ff_f7fe, 0xd));
        for absent in [
            Capabilities::LONG_PASSWORD,
            Capabilities::ZSTD,
            Capabilities::SSL,
            Capabilities::CACHE_METADATA,
            Capabilities::BULK_UNIT,
            Capabilities::QUERY_ATTRIBUTES,
        ] {
            assert!(!offer.contains(absent), "{absent:?} is offered");
        }
    }

    #[test]
    fn mysql_has_no_extended_bits() {
        assert_eq!(Capabilities::from_halves(0x201, 0xd), Capabilities(0x201));
        assert_eq!(
            Capabilities::from_halves(0x200, 0xd),
            Capabilities(0xd_0000_0200)
        );
    }

    #[test]
    fn shows_names() {
        let set = Capabilities::SSL | Capabilities::PROGRESS;
        assert_eq!(
            format!("{set:?}"),
            "Capabilities(0x100000800: SSL PROGRESS)"
        );
        assert_eq!(set - Capabilities::SSL, Capabilities::PROGRESS);
        assert_eq!(set & Capabilities::SSL, Capabilities::SSL);
    }
}
