//! [`Carry`]: which state of sessions is carried over a park.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a planned park carries to the next server instead of being prevented by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Carry {
    /// Small temporary tables.
    pub temporary_tables: bool,
    /// Locks of `GET_LOCK()`.
    pub user_locks: bool,
}

/// Why a text is not a [`Carry`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot be carried over a park: write temporary_tables, user_locks, both with a comma, or none"
)]
pub struct InvalidCarry(String);

const TABLES: &str = "temporary_tables";
const LOCKS: &str = "user_locks";
const NONE: &str = "none";

impl fmt::Display for Carry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.temporary_tables, self.user_locks) {
            (true, true) => "temporary_tables, user_locks",
            (true, false) => TABLES,
            (false, true) => LOCKS,
            (false, false) => NONE,
        })
    }
}

impl FromStr for Carry {
    type Err = InvalidCarry;

    fn from_str(text: &str) -> Result<Self, InvalidCarry> {
        let mut carry = Self::default();
        if text.trim() == NONE {
            return Ok(carry);
        }
        for what in text.split(',') {
            match what.trim() {
                TABLES => carry.temporary_tables = true,
                LOCKS => carry.user_locks = true,
                _ => return Err(InvalidCarry(text.to_owned())),
            }
        }
        Ok(carry)
    }
}

impl TryFrom<String> for Carry {
    type Error = InvalidCarry;

    fn try_from(text: String) -> Result<Self, InvalidCarry> {
        text.parse()
    }
}

impl From<Carry> for String {
    fn from(carry: Carry) -> Self {
        carry.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in [
            "none",
            "temporary_tables",
            "user_locks",
            "temporary_tables, user_locks",
        ] {
            assert_eq!(text.parse::<Carry>().unwrap().to_string(), text);
        }
        let both: Carry = "user_locks,temporary_tables".parse().unwrap();
        assert!(both.temporary_tables && both.user_locks);
        for text in [
            "",
            "all",
            "none, user_locks",
            "temporary_tables none",
            "user_locks,",
        ] {
            assert!(text.parse::<Carry>().is_err(), "{text}");
        }
    }
}
