//! What woke a database.

use serde::{Deserialize, Serialize};

/// What woke a database. It has no value of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WokenBy {
    /// The digest of the statement, the name of a command without a text (`COM_INIT_DB`), or [`WokenBy::LOGIN`].
    pub statement: String,
    /// The client: `USER@ADDRESS`.
    pub account: String,
}

impl WokenBy {
    /// Stands in the place of a statement for a login that needed the server.
    pub const LOGIN: &str = "login";

    /// The largest number of characters of a user name that are kept.
    const USER_MOST: usize = 80;

    /// A statement, or what stands in its place, of this user from this address.
    #[must_use]
    pub fn new(statement: String, user: &str, address: &str) -> Self {
        let user = user.chars().take(Self::USER_MOST);
        let user: String = user
            .map(|letter| if misleads(letter) { '\u{fffd}' } else { letter })
            .collect();
        Self {
            statement,
            account: format!("{user}@{address}"),
        }
    }
}

/// Whether a character changes how the text around it looks on a terminal.
#[must_use]
pub fn misleads(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_one_short_line() {
        let of = |user: &str| WokenBy::new(String::new(), user, "10.0.0.7").account;
        assert_eq!(of("app"), "app@10.0.0.7");
        assert_eq!(of("a\n\u{202e}b"), "a\u{fffd}\u{fffd}b@10.0.0.7");
        assert!(of(&"x".repeat(1000)).len() < 100);
    }
}
