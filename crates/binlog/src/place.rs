//! Places in a log.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a log's file: a base and a number. Files of one base are in order of their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name {
    base: String,
    number: u64,
    digits: usize,
}

impl Name {
    /// Reads `BASE.000001`; `None` if it is no name of a log's file.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (base, number) = text.rsplit_once('.')?;
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let plain = !base.is_empty() && !base.contains('/') && number.len() >= 6 && digits;
        Some(Self {
            base: base.to_owned(),
            number: number.parse().ok()?,
            digits: number.len(),
        })
        .filter(|_| plain)
    }

    /// The part before the number, which all files of one log have in common.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether `next` is the file after this one.
    #[must_use]
    pub fn is_followed_by(&self, next: &Self) -> bool {
        self.base == next.base && self.number.checked_add(1) == Some(next.number)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:0digits$}",
            self.base,
            self.number,
            digits = self.digits
        )
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text).ok_or_else(|| format!("'{text}' is no name of a binary log's file"))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |name: &Self| (name.number, name.digits);
        self.base
            .cmp(&other.base)
            .then_with(|| key(self).cmp(&key(other)))
    }
}

/// A position in a log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file.
    pub file: Name,
    /// Bytes from its begin.
    pub position: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.position)
    }
}
