//! Schemas and users that are made when a login names them.

use crate::reserved::{PLATFORM_USERS, SYSTEM_SCHEMAS};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which schemas and users a login makes; none by default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnDemand {
    /// Schemas that a login may name before they exist.
    pub schemas: NamesOrOff,
    /// Accounts whose credential other users log in with before they exist.
    pub users: Vec<Template>,
}

impl OnDemand {
    /// Most templates of a database.
    pub const MOST: usize = 16;

    /// Whether a login makes a schema of this name, if its account may.
    #[must_use]
    pub fn makes_schema(&self, name: &str) -> bool {
        let pattern = self.schemas.0.as_ref();
        pattern.is_some_and(|pattern| pattern.matches(name)) && is_possible(name)
    }

    /// The templates for a user of this name, in the order of their making.
    pub fn templates_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = &'a Template> {
        let of_user = |one: &&Template| one.pattern.matches(user);
        let possible = is_possible(user);
        self.users.iter().filter(of_user).filter(move |_| possible)
    }
}

/// An account whose credential other users log in with before they exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The account's name.
    pub user: String,
    /// Its host, which is that of the users, too.
    pub host: String,
    /// The names of the users.
    pub pattern: NamePattern,
}

/// A user that a login makes, with a schema of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserOnDemand {
    /// Its name and that of its schema.
    pub user: String,
    /// Its host.
    pub host: String,
    /// The user of the account that it gets its credential from, at the same host; `None`: it exists, but a crash
    /// has left it without a schema.
    pub template: Option<String>,
    /// Users and schemas that a database may have at most for a login to add one.
    pub most: u32,
}

/// What an account is to users on demand. Kept in its row of `mysql.global_priv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// An ordinary account.
    #[default]
    None,
    /// Users get its credential.
    Template,
    /// A login has made it; its schema or its rights are missing.
    Pending,
}

impl Mark {
    /// Reads the value of the key; anything unknown counts as [`Mark::None`].
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text {
            "template" => Self::Template,
            "pending" => Self::Pending,
            _ => Self::None,
        }
    }
}

/// Longest name that a login makes, in characters: that of a schema.
const LONGEST: usize = 64;

/// Users with a meaning of their own, and words that are no user.
const RESERVED: [&str; 4] = ["admin", "root", "public", "none"];

/// Whether a login may make a user or schema of this name: letters of ASCII, digits, `_`, `-` and `$`, which mean the
/// same in every character set and need no escape but in patterns.
#[must_use]
pub fn is_possible(name: &str) -> bool {
    (1..=LONGEST).contains(&name.len())
        && name.bytes().all(is_plain)
        && ![&RESERVED[..], &SYSTEM_SCHEMAS, &PLATFORM_USERS]
            .concat()
            .iter()
            .any(|one| one.eq_ignore_ascii_case(name))
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$')
}

/// A pattern of names as in `LIKE`: `%` is any characters, `_` any one, `\_` the character itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

/// Why a text is no [`NamePattern`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a pattern of names: 1 to {LONGEST} letters of ASCII, digits, _, - and $, in which % is any \
     characters, _ any one and \\_ an underscore (app\\_%), and not the word off"
)]
pub struct InvalidPattern(String);

impl NamePattern {
    /// Whether the pattern matches all of this name, with upper and lower case being different.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n, mut retry) = (0, 0, None);
        while n < name.len() {
            let (step, fits) = match pattern.get(p) {
                Some(b'%') => {
                    p += 1;
                    retry = Some((p, n));
                    continue;
                }
                Some(b'\\') => (2, pattern.get(p + 1) == name.get(n)),
                Some(b'_') => (1, true),
                one => (1, one == name.get(n)),
            };
            if fits {
                (p, n) = (p + step, n + 1);
                continue;
            }
            let Some((after, from)) = retry else {
                return false;
            };
            (p, n) = (after, from + 1);
            retry = Some((after, from + 1));
        }
        let rest = pattern.get(p..).unwrap_or_default();
        rest.iter().all(|byte| *byte == b'%')
    }
}

impl FromStr for NamePattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPattern(text.chars().take(80).collect());
        let mut bytes = text.bytes();
        let mut length = 0;
        while let Some(byte) = bytes.next() {
            let literal = match byte {
                b'\\' => bytes.next() == Some(b'_'),
                b'%' => true,
                byte => is_plain(byte),
            };
            if !literal {
                return Err(invalid());
            }
            length += 1;
        }
        if !(1..=LONGEST).contains(&length) || text == "off" {
            return Err(invalid());
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for NamePattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A pattern, or `off`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamesOrOff(pub Option<NamePattern>);

impl FromStr for NamesOrOff {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            pattern => pattern.parse().map(|pattern| Self(Some(pattern))),
        }
    }
}

impl TryFrom<String> for NamesOrOff {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NamesOrOff> for String {
    fn from(names: NamesOrOff) -> Self {
        names.to_string()
    }
}

impl fmt::Display for NamesOrOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(pattern) => pattern.fmt(f),
            None => f.write_str("off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> NamePattern {
        text.parse().unwrap()
    }

    #[test]
    fn names_match_as_with_like() {
        for (text, name, expected) in [
            ("app_%", "app_x", true),
            ("app_%", "appsx", true),
            ("app_%", "app", false),
            (r"app\_%", "app_x", true),
            (r"app\_%", "appsx", false),
            ("app_%", "App_x", false),
            ("%", "anything", true),
            ("a%b%c", "aXbYbc", true),
            ("a%b%c", "aXbYb", false),
            ("a", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(pattern(text).matches(name), expected, "{text} {name}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_meant_is_refused() {
        let long = "x".repeat(65);
        for text in [
            "", "off", "a b", "a'b", "a`b", r"a\b", r"a\", "ä%", "a.b", &long,
        ] {
            assert!(text.parse::<NamePattern>().is_err(), "{text:?}");
        }
        assert_eq!("off".parse::<NamesOrOff>().unwrap(), NamesOrOff(None));
        assert_eq!("app_%".parse::<NamesOrOff>().unwrap().to_string(), "app_%");
    }

    #[test]
    fn no_pattern_makes_a_reserved_name() {
        let all = OnDemand {
            schemas: "%".parse().unwrap(),
            users: vec![Template {
                user: "template".to_owned(),
                host: "%".to_owned(),
                pattern: pattern("%"),
            }],
        };
        for name in [
            "mysql",
            "MySQL",
            "sys",
            "information_schema",
            "PERFORMANCE_SCHEMA",
            "dormouse",
            "admin",
            "root",
            "PUBLIC",
            "none",
            "",
            "a'b",
            "a`b",
            "a\\b",
            "a b",
            "ä",
            "a\0b",
        ] {
            assert!(!all.makes_schema(name), "{name:?}");
            assert_eq!(all.templates_of(name).count(), 0, "{name:?}");
        }
        assert!(all.makes_schema("app-1_$"));
        assert_eq!(all.templates_of("app-1_$").count(), 1);
        assert!(!OnDemand::default().makes_schema("app"));
    }
}
