//! A release series of a database server: files of one series are those of all its servers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Major and minor version of a server, as in `11.8`. Servers of a series differ in patches only, and run on each other's
/// files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Series {
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
}

/// A text that names no series.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a version of a server: write it as in 11.8")]
pub struct InvalidSeries(String);

impl FromStr for Series {
    type Err = InvalidSeries;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let read = || {
            let (major, minor) = text.split_once('.')?;
            if !digits(major) || !digits(minor) {
                return None;
            }
            Some(Self {
                major: major.parse().ok()?,
                minor: minor.parse().ok()?,
            })
        };
        read().ok_or_else(|| InvalidSeries(text.to_owned()))
    }
}

impl TryFrom<String> for Series {
    type Error = InvalidSeries;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Series> for String {
    fn from(series: Series) -> Self {
        series.to_string()
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.major, self.minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_two_numbers() {
        for text in ["10.11", "11.8", "0.0"] {
            let read: Series = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
        }
        for other in [
            "",
            "11",
            "11.",
            ".8",
            "11.8.2",
            "+1.8",
            "11.8-MariaDB",
            "70000.1",
        ] {
            assert!(other.parse::<Series>().is_err(), "{other:?}");
        }
        let series = |text: &str| text.parse::<Series>().unwrap();
        assert!(series("10.11") < series("11.8") && series("11.4") < series("11.8"));
    }
}
