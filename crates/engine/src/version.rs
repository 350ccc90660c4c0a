//! A server's family and version.

use std::fmt;

use dormouse_types::Series;

/// A family of servers with the same SQL dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// MariaDB.
    MariaDb,
    /// MySQL.
    MySql,
}

/// A server's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its family.
    pub family: Family,
    /// Major version number.
    pub major: u16,
    /// Minor version number.
    pub minor: u16,
    /// Patch version number.
    pub patch: u16,
    /// The complete version, as from `SELECT VERSION()`: `10.11.19-MariaDB-0+deb12u1`.
    pub full: String,
}

impl Version {
    /// Parses the output of the server program for `--version`.
    #[must_use]
    pub fn from_banner(banner: &str) -> Option<Self> {
        let (_, rest) = banner.split_once(" Ver ")?;
        // a version may have blanks: "11.8.6-MariaDB-0+deb13u1 from Debian for debian-linux-gnu on …"
        let (version, _) = rest.split_once(" for ")?;
        Self::from_text(version.trim())
    }

    /// Parses a version from `SELECT VERSION()` or a greeting, with or without the prefix `5.5.5-` of
    /// MariaDB 10.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let family = if text.contains("MariaDB") {
            Family::MariaDb
        } else {
            Family::MySql
        };
        let full = match family {
            Family::MariaDb => text.strip_prefix(REPLICATION_PREFIX).unwrap_or(text),
            Family::MySql => text,
        };
        let numbers = full.split(['-', '+']).next()?;
        let mut numbers = numbers.split('.').map(str::parse::<u16>);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            family,
            major: next()?,
            minor: next()?,
            patch: next()?,
            full: full.to_owned(),
        })
    }

    /// The version as in the server's greeting: MariaDB 10 adds the prefix `5.5.5-` (`RPL_VERSION_HACK` in
    /// its sources), MariaDB 11 and MySQL do not.
    #[must_use]
    pub fn greeting(&self) -> String {
        match self.family {
            Family::MariaDb if self.major == 10 => format!("{REPLICATION_PREFIX}{}", self.full),
            Family::MariaDb | Family::MySql => self.full.clone(),
        }
    }

    /// Its series: servers of one run on each other's files.
    #[must_use]
    pub fn series(&self) -> Series {
        Series {
            major: self.major,
            minor: self.minor,
        }
    }

    /// Major, minor and patch number, to compare versions of one family.
    #[must_use]
    pub fn numbers(&self) -> (u16, u16, u16) {
        (self.major, self.minor, self.patch)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.full)
    }
}

/// Prefix of MariaDB 10's version, for old replicas that cannot parse a major number of two digits.
const REPLICATION_PREFIX: &str = "5.5.5-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_banners_are_parsed() {
        let read = |text| Version::from_banner(text).map(|v| (v.family, v.numbers(), v.full));
        assert_eq!(
            read(
                "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)\n"
            ),
            Some((
                Family::MariaDb,
                (10, 11, 19),
                "10.11.19-MariaDB-0+deb12u1".to_owned()
            ))
        );
        assert_eq!(
            read(
                "mariadbd  Ver 11.8.6-MariaDB-0+deb13u1 from Debian for debian-linux-gnu on x86_64 ()"
            ),
            Some((
                Family::MariaDb,
                (11, 8, 6),
                "11.8.6-MariaDB-0+deb13u1 from Debian".to_owned()
            ))
        );
        assert_eq!(
            read("/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)"),
            Some((Family::MySql, (8, 0, 36), "8.0.36".to_owned()))
        );
        for other in [
            "",
            "nginx version: 1.2",
            "x Ver ",
            "x Ver ten for y",
            "x Ver 10.11 for y",
        ] {
            assert_eq!(read(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_mariadb_10_has_the_replication_prefix() {
        for (text, greeting) in [
            (
                "10.11.19-MariaDB-0+deb12u1",
                "5.5.5-10.11.19-MariaDB-0+deb12u1",
            ),
            ("5.5.5-10.11.19-MariaDB", "5.5.5-10.11.19-MariaDB"),
            ("11.8.6-MariaDB-ubu2404", "11.8.6-MariaDB-ubu2404"),
            ("9.7.4-2", "9.7.4-2"),
        ] {
            assert_eq!(
                Version::from_text(text).map(|v| v.greeting()),
                Some(greeting.to_owned())
            );
        }
    }
}
