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
}

/// Why a text is not a [`Carry`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' cannot be carried over a park: write temporary_tables or none")]
pub struct InvalidCarry(String);

const TABLES: &str = "temporary_tables";
const NONE: &str = "none";

impl fmt::Display for Carry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.temporary_tables { TABLES } else { NONE })
    }
}

impl FromStr for Carry {
    type Err = InvalidCarry;

    fn from_str(text: &str) -> Result<Self, InvalidCarry> {
        match text.trim() {
            TABLES => Ok(Self {
                temporary_tables: true,
            }),
            NONE => Ok(Self::default()),
            _ => Err(InvalidCarry(text.to_owned())),
        }
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
        for text in ["none", "temporary_tables"] {
            assert_eq!(text.parse::<Carry>().unwrap().to_string(), text);
        }
        for text in ["", "all", "user_locks", "temporary_tables none"] {
            assert!(text.parse::<Carry>().is_err(), "{text}");
        }
    }
}
