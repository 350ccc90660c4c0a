//! Amounts of money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An amount of money in millionths of the currency's unit. Written `12`, `12.5`, `0.000125`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Money(pub u64);

/// Why a text is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not an amount of money: write a number with at most six digits after the point (12.50)"
)]
pub struct InvalidMoney(String);

/// One whole unit of the currency.
const ONE: u64 = 1_000_000;

impl FromStr for Money {
    type Err = InvalidMoney;

    fn from_str(text: &str) -> Result<Self, InvalidMoney> {
        let invalid = || InvalidMoney(text.to_owned());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 6 {
            return Err(invalid());
        }
        let whole: u64 = whole.parse().map_err(|_| invalid())?;
        let part: u64 = format!("{part:0<6}").parse().map_err(|_| invalid())?;
        let amount = whole.checked_mul(ONE).and_then(|w| w.checked_add(part));
        amount.map(Self).ok_or_else(invalid)
    }
}

impl TryFrom<String> for Money {
    type Error = InvalidMoney;

    fn try_from(text: String) -> Result<Self, InvalidMoney> {
        text.parse()
    }
}

impl From<Money> for String {
    fn from(money: Money) -> Self {
        money.to_string()
    }
}

impl fmt::Display for Money {
    /// Two digits after the decimal point, and more only if they are not 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = format!("{:06}", self.0 % ONE);
        let (cents, rest) = part.split_at(2);
        write!(f, "{}.{cents}{}", self.0 / ONE, rest.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (text, millionths, written) in [
            ("0", 0, "0.00"),
            ("12", 12_000_000, "12.00"),
            ("12.5", 12_500_000, "12.50"),
            ("0.000125", 125, "0.000125"),
            ("7.25", 7_250_000, "7.25"),
        ] {
            let money: Money = text.parse().unwrap();
            assert_eq!((money.0, money.to_string().as_str()), (millionths, written));
            assert_eq!(written.parse(), Ok(money));
        }
        for bad in ["", "-1", "1.", ".5", "1.0000001", "1,5", "18446744073710"] {
            assert!(bad.parse::<Money>().is_err(), "{bad:?} was accepted");
        }
    }
}
