//! Users of a database, managed from outside.

use std::sync::Arc;

use dormouse_policy::Cause;
use dormouse_policy::lifecycle::Notes;
use dormouse_types::{Account, DatabaseName, NewUser, OnDemand, State, Template, UserChange};
use tokio::time::timeout;

use super::Plane;
use crate::catalog::{Change, Durability, Entry};
use crate::create::{password, stage2};
use crate::database::Database;
use crate::error::Error;
use crate::servers::ServerError;
use crate::time::{Late, millis_since, now, within};

/// A database may fall asleep between its wake and the change.
const ATTEMPTS: u32 = 3;

/// Longest password, in bytes.
const PASSWORD: usize = 1024;

impl Plane {
    /// The accounts of a database: from the notes while it sleeps, else read from its server. A sleeping database is
    /// woken only if its notes are stale.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Server`].
    pub async fn users(&self, name: &DatabaseName) -> Result<Vec<Account>, Error> {
        let database = self.find(name)?;
        for _ in 0..ATTEMPTS {
            let view = database.view();
            if view.notes() == Notes::Fresh {
                return Ok(view.noted.accounts.clone());
            }
            self.wake(name).await?;
            let limit = self.context.host.deadlines.ask;
            let asked = async {
                let server = database.server()?;
                self.context.host.servers.snapshot(&server).await
            };
            match within(limit, asked).await {
                Ok(snapshot) => return Ok(snapshot.accounts),
                Err(_) if database.state() != State::Active => {}
                Err(error) => return Err(failed(&database, &error)),
            }
        }
        Err(asleep(&database))
    }

    /// Adds a user; wakes the database. Returns the password: the given one, or a generated one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] for a user that cannot be made; [`Error::Server`].
    pub async fn add_user(
        &self,
        name: &DatabaseName,
        user: NewUser,
        given: Option<String>,
    ) -> Result<String, Error> {
        let password = checked(given)?;
        let template = user.on_demand.clone().map(|pattern| Template {
            user: user.user.clone(),
            host: user.host.clone(),
            pattern,
        });
        let templates = self.find(name)?.spec().on_demand.users.len();
        if template.is_some() && templates >= OnDemand::MOST {
            return Err(Error::Invalid(format!(
                "a database has at most {} templates for users on demand; drop one of them first",
                OnDemand::MOST
            )));
        }
        let change = UserChange::Add {
            user,
            password: stage2(&password),
        };
        self.change_user(name, change).await?;
        if let Some(template) = template {
            self.add_template(name, template).await?;
        }
        Ok(password)
    }

    /// Gives a user a new password; wakes the database. Returns the password.
    ///
    /// # Errors
    /// As [`add_user`](Self::add_user).
    pub async fn rotate_user(
        &self,
        name: &DatabaseName,
        user: String,
        host: String,
        given: Option<String>,
    ) -> Result<String, Error> {
        let password = checked(given)?;
        let change = UserChange::Rotate {
            user,
            host,
            password: stage2(&password),
        };
        self.change_user(name, change).await?;
        Ok(password)
    }

    /// Drops a user; wakes the database.
    ///
    /// # Errors
    /// As [`add_user`](Self::add_user).
    pub async fn drop_user(
        &self,
        name: &DatabaseName,
        user: String,
        host: String,
    ) -> Result<(), Error> {
        self.remove_template(name, &user, &host).await?;
        let change = UserChange::Drop { user, host };
        self.change_user(name, change).await
    }

    async fn change_user(&self, name: &DatabaseName, change: UserChange) -> Result<(), Error> {
        let began = now();
        let database = self.find(name)?;
        for _ in 0..ATTEMPTS {
            self.wake(name).await?;
            let limit = self.context.host.deadlines.ask;
            let Ok(_may) = timeout(self.context.host.deadlines.start, database.may_change()).await
            else {
                continue;
            };
            let asked = async {
                let server = database.server()?;
                self.context
                    .host
                    .servers
                    .change_user(&server, &change)
                    .await
            };
            match within(limit, asked).await {
                Ok(_) => {
                    self.record_user(&database, &change, began).await;
                    return Ok(());
                }
                Err(Late::Failed(ServerError::BadRequest(why))) => return Err(Error::Invalid(why)),
                Err(_) if database.state() != State::Active => {}
                Err(error) => return Err(failed(&database, &error)),
            }
        }
        Err(asleep(&database))
    }

    async fn record_user(
        &self,
        database: &Arc<Database>,
        change: &UserChange,
        began: std::time::Instant,
    ) {
        let (user, host, done) = match change {
            UserChange::Add { user, .. } => (&user.user, &user.host, "was added"),
            UserChange::Rotate { user, host, .. } => (user, host, "has a new password"),
            UserChange::OnDemand(order) => (&order.user, &order.host, "is complete"),
            UserChange::Drop { user, host } => (user, host, "was dropped"),
        };
        let entry = Entry {
            actor: self.principal.clone(),
            duration_ms: Some(millis_since(began)),
            figures: database.view().figures(),
            ..Entry::noted(
                &database.name,
                Cause::Operator,
                format!("user '{user}'@'{host}' {done}"),
            )
        };
        let change = vec![Change::Ledger(Box::new(entry))];
        if let Err(error) = self.context.catalog.write(Durability::Soon, change).await {
            tracing::warn!(%error, "a change of users is not in the ledger");
        }
    }
}

/// A usable password: the given one, or a generated one.
fn checked(given: Option<String>) -> Result<String, Error> {
    match given {
        None => password(),
        Some(given) if given.is_empty() || given.len() > PASSWORD => Err(Error::Invalid(format!(
            "a password has 1 to {PASSWORD} bytes"
        ))),
        Some(given) => Ok(given),
    }
}

fn failed(database: &Database, error: &Late<ServerError>) -> Error {
    Error::Server {
        database: database.name.clone(),
        reason: error.to_string(),
    }
}

fn asleep(database: &Database) -> Error {
    Error::Refused {
        database: database.name.clone(),
        state: database.state(),
        reasons: vec!["it fell asleep each time before its accounts were reached".to_owned()],
    }
}
