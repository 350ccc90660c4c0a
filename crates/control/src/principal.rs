//! Who caused a change, for the ledger.

use std::fmt;
use std::sync::Arc;

use dormouse_types::{DatabaseName, misleads};

use crate::token::id::{TokenId, TokenName};

/// Maximum number of characters of a user name in the ledger.
const USER_MOST: usize = 80;

/// Who caused a change. Its text is what the ledger keeps: `dormouse`, `local:uid=1000`, `token:ci (ID)`,
/// `client:USER@DATABASE`. A user name cannot imitate another kind, and has no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Principal {
    /// Dormouse decided it.
    #[default]
    Dormouse,
    /// A local user on the API's socket.
    Local {
        /// User id.
        uid: u32,
    },
    /// The holder of a token.
    Token {
        /// The token's name.
        name: TokenName,
        /// The token's id.
        id: TokenId,
    },
    /// A session of a database needed it.
    Client {
        /// The account's user name, if it is known.
        user: Option<Arc<str>>,
        /// The database.
        database: DatabaseName,
    },
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dormouse => f.write_str("dormouse"),
            Self::Local { uid } => write!(f, "local:uid={uid}"),
            Self::Token { name, id } => write!(f, "token:{name} ({id})"),
            Self::Client { user, database } => {
                let user = user.as_deref().unwrap_or("?");
                f.write_str("client:")?;
                for letter in user.chars().take(USER_MOST) {
                    match misleads(letter) {
                        true => write!(f, "{}", letter.escape_default())?,
                        false => write!(f, "{letter}")?,
                    }
                }
                write!(f, "@{database}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_text() {
        let client = |user: Option<&str>| Principal::Client {
            user: user.map(Into::into),
            database: "shop".parse().unwrap(),
        };
        let token = Principal::Token {
            name: "ci".parse().unwrap(),
            id: "abcdefghij01".parse().unwrap(),
        };
        for (who, text) in [
            (Principal::Dormouse, "dormouse"),
            (Principal::Local { uid: 1000 }, "local:uid=1000"),
            (token, "token:ci (abcdefghij01)"),
            (client(Some("app")), "client:app@shop"),
            (client(None), "client:?@shop"),
            (client(Some("a\u{202e}b")), "client:a\\u{202e}b@shop"),
            (client(Some("a\n\u{1b}[2Jb")), "client:a\\n\\u{1b}[2Jb@shop"),
        ] {
            assert_eq!(who.to_string(), text);
        }
        assert!(client(Some(&"x".repeat(1000))).to_string().len() < 100);
    }
}
