//! Tokens of the API: adds, rotates and removes them, and tells whom one admits.

use std::time::Duration;

use dormouse_policy::Cause;
use dormouse_types::DatabaseName;
use jiff::Timestamp;

use crate::catalog::{Catalog, Change, Durability, Entry, NotChanged, TokenChange};
use crate::error::Error;
use crate::principal::Principal;
use crate::status::{EventKind, Figures};
use crate::token::{
    self, NewToken, Role, Stored, TOKENS_MOST, Token, TokenId, TokenName, USED_STEP, Unfit,
};

/// The tokens; from [`Plane::tokens`](super::Plane::tokens).
pub struct Tokens<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) principal: &'a Principal,
}

/// A token to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddToken {
    /// Its name.
    pub name: TokenName,
    /// Its role.
    pub role: Role,
    /// Its database, for [`Role::Owner`] only.
    pub database: Option<DatabaseName>,
    /// Its lifetime; `None`: it never expires.
    pub lifetime: Option<Duration>,
}

/// How to rotate a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotateToken {
    /// How long the former secret stays valid; at most until it expires.
    pub grace: Duration,
    /// The new lifetime; `None`: as long as before.
    pub lifetime: Option<Option<Duration>>,
}

/// The holder of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// The token's id.
    pub id: TokenId,
    /// The token's name.
    pub name: TokenName,
    /// What its holder may do.
    pub role: Role,
    /// The only database, for [`Role::Owner`].
    pub database: Option<DatabaseName>,
    secret: token::Hash,
}

/// Why nobody is admitted.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The token is no valid one.
    #[error("the token is not valid")]
    Unfit(Unfit),
    /// The tokens cannot be read.
    #[error(transparent)]
    Unread(#[from] Error),
}

impl Tokens<'_> {
    /// Whom a token's text admits. Notes that it was used, at most once an hour.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit(&self, text: &str) -> Result<Admitted, Refused> {
        let unknown = Refused::Unfit(Unfit::Unknown);
        let Some((id, hash)) = token::parse(text) else {
            return Err(unknown);
        };
        let now = Timestamp::now();
        let stored = self.read(id).await?.ok_or(unknown)?;
        stored.admits(&hash, now).map_err(Refused::Unfit)?;
        let Token {
            id,
            name,
            role,
            database,
            used,
            ..
        } = stored.about;
        let last = used.unwrap_or(Timestamp::MIN);
        let again = last.checked_add(USED_STEP).unwrap_or(Timestamp::MAX);
        // a clock that was set back must not stop this for ever
        if now >= again || now < last {
            self.note_use(id.clone(), now);
        }
        Ok(Admitted {
            id,
            name,
            role,
            database,
            secret: hash,
        })
    }

    /// Whether someone who was admitted still is: the token may have been removed or rotated, or it has expired.
    pub async fn still_admits(&self, admitted: &Admitted) -> bool {
        match self.read(admitted.id.clone()).await {
            Ok(Some(stored)) => {
                stored.about.role == admitted.role
                    && stored.about.database == admitted.database
                    && stored.admits(&admitted.secret, Timestamp::now()).is_ok()
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Every token, the oldest first.
    ///
    /// # Errors
    /// [`Error::Catalog`].
    pub async fn list(&self) -> Result<Vec<Token>, Error> {
        let catalog = self.catalog.clone();
        let all = tokio::task::spawn_blocking(move || catalog.tokens()).await;
        let all = all.map_err(|_| Error::Stopping)??;
        Ok(all.into_iter().map(|stored| stored.about).collect())
    }

    /// Adds a token.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`] without its database, [`Error::Limit`], [`Error::Catalog`].
    pub async fn add(&self, wanted: AddToken) -> Result<NewToken, Error> {
        let AddToken {
            name,
            role,
            database,
            lifetime,
        } = wanted;
        match (role, &database) {
            (Role::Owner, None) => {
                let message = "the role owner is for one database: name it";
                return Err(Error::Invalid(message.to_owned()));
            }
            (Role::Admin | Role::Operator | Role::Viewer, Some(_)) => {
                let message = format!(
                    "the role {role} is for all databases: the role for one database is owner"
                );
                return Err(Error::Invalid(message));
            }
            _ => {}
        }
        // whole milliseconds, as they are stored
        let now = to_millis(Timestamp::now());
        let (secret, hash) = token::new_secret()?;
        let about = Token {
            id: token::new_id()?,
            name,
            role,
            expires: token::ends(now, lifetime)?,
            database,
            created: now,
            former_until: None,
            used: None,
        };
        let what = format!("{} was added: {}", names(&about), describe(&about));
        let new = NewToken {
            token: token::text(&about.id, &secret),
            about: about.clone(),
        };
        let change = TokenChange::Add(Stored {
            about,
            hash,
            former: None,
            lifetime,
        });
        self.change(change, what, &new.about).await?;
        Ok(new)
    }

    /// Gives a token a new secret and lifetime.
    ///
    /// # Errors
    /// [`Error::NoToken`], [`Error::Invalid`], [`Error::Catalog`].
    pub async fn rotate(&self, id: &TokenId, how: RotateToken) -> Result<NewToken, Error> {
        let stored = self.existing(id).await?;
        let now = to_millis(Timestamp::now());
        let lifetime = how.lifetime.unwrap_or(stored.lifetime);
        let (secret, hash) = token::new_secret()?;
        let grace = token::ends(now, Some(how.grace))?;
        // the former secret does not outlive the time that it was given
        let former_until = match (grace, stored.about.expires) {
            (Some(grace), Some(expires)) => Some(grace.min(expires)),
            (grace, None) => grace,
            (None, expires) => expires,
        };
        let former_until = former_until.filter(|until| *until > now);
        let about = Token {
            expires: token::ends(now, lifetime)?,
            former_until,
            ..stored.about
        };
        let former = match former_until {
            Some(until) => format!("its former secret is valid until {until:.0}"),
            None => "its former secret is invalid".to_owned(),
        };
        let what = format!(
            "{} was rotated: {}; {former}",
            names(&about),
            describe(&about)
        );
        let change = TokenChange::Rotate {
            id: id.clone(),
            hash,
            former_until,
            expires: about.expires,
            lifetime,
        };
        self.change(change, what, &about).await?;
        Ok(NewToken {
            token: token::text(id, &secret),
            about,
        })
    }

    /// Removes a token; no later request is admitted with it.
    ///
    /// # Errors
    /// [`Error::NoToken`], [`Error::Catalog`].
    pub async fn remove(&self, id: &TokenId) -> Result<(), Error> {
        let about = self.existing(id).await?.about;
        let what = format!("{} was removed", names(&about));
        self.change(TokenChange::Remove(id.clone()), what, &about)
            .await
    }

    async fn existing(&self, id: &TokenId) -> Result<Stored, Error> {
        let found = self.read(id.clone()).await?;
        found.ok_or_else(|| Error::NoToken(id.clone()))
    }

    async fn read(&self, id: TokenId) -> Result<Option<Stored>, Error> {
        let catalog = self.catalog.clone();
        let found = tokio::task::spawn_blocking(move || catalog.token(&id)).await;
        found.map_err(|_| Error::Stopping)?
    }

    async fn change(&self, change: TokenChange, reason: String, of: &Token) -> Result<(), Error> {
        let entry = Entry {
            database: None,
            actor: self.principal.clone(),
            woken_by: None,
            event: EventKind::Token,
            from: None,
            to: None,
            cause: Cause::Operator,
            reason,
            duration_ms: None,
            figures: Figures::default(),
        };
        match self.catalog.change_token(change, entry).await? {
            Ok(()) => Ok(()),
            Err(NotChanged::NoToken) => Err(Error::NoToken(of.id.clone())),
            Err(NotChanged::NoDatabase) => Err(match &of.database {
                Some(name) => Error::NotFound(name.clone()),
                None => Error::NoToken(of.id.clone()),
            }),
            Err(NotChanged::TooMany) => Err(Error::Limit {
                what: "there are too many tokens".to_owned(),
                most: TOKENS_MOST,
            }),
        }
    }

    /// Writes that a token was used, in the background.
    fn note_use(&self, id: TokenId, now: Timestamp) {
        let catalog = self.catalog.clone();
        tokio::spawn(async move {
            let change = Change::Token(Box::new(TokenChange::Used(id, now)));
            if let Err(error) = catalog.write(Durability::Soon, vec![change]).await {
                tracing::warn!(%error, "cannot note that a token was used");
            }
        });
    }
}

fn names(token: &Token) -> String {
    format!("token {} ({})", token.name, token.id)
}

fn describe(token: &Token) -> String {
    let role = match &token.database {
        Some(database) => format!("{} of {database}", token.role),
        None => token.role.to_string(),
    };
    match token.expires {
        Some(at) => format!("{role}, expires {at:.0}"),
        None => format!("{role}, never expires"),
    }
}

fn to_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}
