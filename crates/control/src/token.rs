//! Tokens of the API: their roles, their text, and who they admit when.
//!
//! A token is written `dm_ID_SECRET`. The id is public: it is in lists, in the ledger and in logs. The secret has
//! 256 random bits, so its SHA-256 is stored instead of a slow hash: nobody can try all secrets.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use dormouse_types::DatabaseName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::Error;
use crate::random;

pub(crate) mod id;

pub use id::{InvalidId, TokenId, TokenName};

/// Lifetime of a token whose creator chooses none: 90 days.
pub const LIFETIME: Duration = Duration::from_secs(90 * 86_400);
/// Longest lifetime of a token that expires, and longest grace of a rotation: ten years.
pub const LIFETIME_MOST: Duration = Duration::from_secs(3660 * 86_400);
/// How long the former secret stays valid after a rotation that chooses nothing else.
pub const GRACE: Duration = Duration::from_secs(86_400);
/// Maximum number of tokens.
pub const TOKENS_MOST: u64 = 10_000;
/// A use is written at most once in this time.
pub(crate) const USED_STEP: Duration = Duration::from_secs(3600);

const PREFIX: &str = "dm_";
const SECRET_LENGTH: usize = 43;

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Reads everything, operates every database; loses no data and manages no tokens.
    Operator,
    /// Reads everything, changes nothing.
    Viewer,
    /// Everything on one database; sees no other.
    Owner,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Admin, Self::Operator, Self::Viewer, Self::Owner];

    /// The word used in JSON, on the command line and in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| {
            format!("'{text}' is not a role: write admin, operator, viewer or owner")
        })
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Its name.
    pub name: TokenName,
    /// Its role.
    pub role: Role,
    /// The only database that it is for; set for [`Role::Owner`].
    pub database: Option<DatabaseName>,
    /// When it was added.
    pub created: Timestamp,
    /// When it expires; `None`: never.
    pub expires: Option<Timestamp>,
    /// Until when the secret before the last rotation is valid too.
    pub former_until: Option<Timestamp>,
    /// When it was last used, to the hour.
    pub used: Option<Timestamp>,
}

/// A token with its text, which is shown once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// The text, `dm_ID_SECRET`.
    pub token: String,
    /// The rest.
    #[serde(flatten)]
    pub about: Token,
}

impl fmt::Debug for NewToken {
    /// Omits the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// The SHA-256 of a secret.
pub(crate) type Hash = [u8; 32];

/// A token as stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) about: Token,
    pub(crate) hash: Hash,
    /// Valid until [`Token::former_until`].
    pub(crate) former: Option<Hash>,
    /// For the next rotation; `None`: it never expires.
    pub(crate) lifetime: Option<Duration>,
}

/// Why a token does not admit its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is malformed, unknown, removed, or its secret is wrong.
    Unknown,
    /// It, or this former secret of it, has expired. Only whoever knows the secret is told.
    Expired,
}

impl fmt::Debug for Stored {
    /// Omits the hashes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

impl Stored {
    /// Whether a secret with this hash admits its holder now. Takes the same time for every wrong hash.
    pub(crate) fn admits(&self, hash: &Hash, now: Timestamp) -> Result<(), Unfit> {
        let present = bool::from(self.hash.ct_eq(hash));
        let former = bool::from(self.former.unwrap_or(self.hash).ct_eq(hash));
        let until = match (present, former) {
            (true, _) => self.about.expires,
            (false, true) => Some(self.about.former_until.unwrap_or(Timestamp::MIN)),
            (false, false) => return Err(Unfit::Unknown),
        };
        match until {
            Some(until) if until <= now => Err(Unfit::Expired),
            _ => Ok(()),
        }
    }
}

/// A new random id.
pub(crate) fn new_id() -> Result<TokenId, Error> {
    let drawn = random::lower(id::ID_LENGTH, "the id of a token")?;
    drawn.parse().map_err(|error: InvalidId| Error::Machine {
        doing: "drawing the id of a token".to_owned(),
        reason: error.to_string(),
    })
}

/// A new secret and its hash.
pub(crate) fn new_secret() -> Result<(String, Hash), Error> {
    let secret = random::letters(SECRET_LENGTH, "the secret of a token")?;
    let hash = hash(&secret);
    Ok((secret, hash))
}

/// The text of a token.
pub(crate) fn text(id: &TokenId, secret: &str) -> String {
    format!("{PREFIX}{id}_{secret}")
}

/// The id and the secret's hash in a token's text.
pub(crate) fn parse(text: &str) -> Option<(TokenId, Hash)> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let fits = secret.len() == SECRET_LENGTH && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| Some((id.parse().ok()?, hash(secret))))?
}

fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// The moment a lifetime ends that begins now; `None`: never.
pub(crate) fn ends(now: Timestamp, lifetime: Option<Duration>) -> Result<Option<Timestamp>, Error> {
    let Some(lifetime) = lifetime else {
        return Ok(None);
    };
    let too_long = || {
        Error::Invalid(format!(
            "a token's time is at most {} days",
            LIFETIME_MOST.as_secs() / 86_400
        ))
    };
    if lifetime > LIFETIME_MOST {
        return Err(too_long());
    }
    now.checked_add(lifetime).map(Some).map_err(|_| too_long())
}

#[cfg(test)]
mod tests;
