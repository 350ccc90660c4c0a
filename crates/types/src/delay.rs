//! [`Delay`]: idle time before a database sleeps.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A delay that may also be `never`. Written `0`, `500ms`, `10s`, `5m`, `2h`, `1d` or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Delay {
    /// After this long.
    After(Duration),
    /// Never.
    Never,
}

/// Why a text is not a delay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a delay: write a number with ms, s, m, h or d (10s, 5m), 0, or never")]
pub struct InvalidDelay(String);

impl Delay {
    /// The delay as a duration, or `None` for `never`.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::After(d) => Some(d),
            Self::Never => None,
        }
    }
}

impl FromStr for Delay {
    type Err = InvalidDelay;

    fn from_str(text: &str) -> Result<Self, InvalidDelay> {
        let invalid = || InvalidDelay(text.to_owned());
        if text == "never" {
            return Ok(Self::Never);
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" if number == 0 => 1,
            _ => return Err(invalid()),
        };
        number
            .checked_mul(millis)
            .map(|ms| Self::After(Duration::from_millis(ms)))
            .ok_or_else(invalid)
    }
}

impl TryFrom<String> for Delay {
    type Error = InvalidDelay;

    fn try_from(text: String) -> Result<Self, InvalidDelay> {
        text.parse()
    }
}

impl From<Delay> for String {
    fn from(delay: Delay) -> Self {
        delay.to_string()
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::After(d) = self else {
            return f.write_str("never");
        };
        let ms = d.as_millis();
        for (unit, size) in [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1000),
        ] {
            if ms >= size && ms.is_multiple_of(size) {
                return write!(f, "{}{unit}", ms / size);
            }
        }
        if ms == 0 {
            f.write_str("0")
        } else {
            write!(f, "{ms}ms")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_parsed_as_formatted() {
        for text in ["0", "500ms", "10s", "90s", "5m", "2h", "1d", "never"] {
            assert_eq!(
                text.parse::<Delay>().map(|d| d.to_string()),
                Ok(text.to_owned())
            );
        }
        assert_eq!(
            "60s".parse::<Delay>().map(|d| d.to_string()),
            Ok("1m".to_owned())
        );
    }

    #[test]
    fn invalid_delays_are_refused() {
        for bad in [
            "",
            "s",
            "10",
            "-1s",
            "1 s",
            "1w",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(bad.parse::<Delay>().is_err(), "{bad:?} was accepted");
        }
    }
}
