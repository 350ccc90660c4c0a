//! Waits for the server for a login that makes its user.

use std::sync::Arc;
use std::time::Instant;

use dormouse_types::{Account, DatabaseName, Mark, UserOnDemand, Verifier, WokenBy};
use dormouse_wire::reply::ErrPacket;

use crate::database::Database;
use crate::door::{Entry, Pass};
use crate::guard::Client;
use crate::refusal;
use crate::shared::Shared;
use crate::stream::Peer;

/// The accounts for a user that does not exist: those that would be made, each with its template's credential. Only an
/// account that is marked as a template counts, and only for clients that are admitted by the template's host. `address`: the client's.
pub(crate) async fn candidates(
    shared: &Shared,
    database: &DatabaseName,
    (user, address): (&str, &str),
    patience: std::time::Duration,
) -> Vec<(Account, String)> {
    let policy = shared.control.on_demand(database);
    let mut all = Vec::new();
    for template in policy.templates_of(user) {
        let accounts = shared
            .control
            .accounts(database, &template.user, address, patience)
            .await
            .unwrap_or_default();
        let found = accounts.into_iter().find(|account| {
            account.on_demand == Mark::Template
                && (&account.user, &account.host) == (&template.user, &template.host)
                // such a credential names the account
                && !account
                    .verifiers
                    .iter()
                    .any(|v| matches!(v, Verifier::UnixSocket(_) | Verifier::Other(_)))
        });
        if let Some(account) = found {
            let candidate = Account {
                user: user.to_owned(),
                enrolled: false,
                manager: dormouse_types::Manager::None,
                on_demand: Mark::Pending,
                ..account
            };
            all.push((candidate, template.user.clone()));
        }
    }
    all
}

/// A login that makes its user.
pub(crate) struct Making<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) database: &'a Arc<Database>,
    pub(crate) peer: Peer,
    /// Whether it must not wake the database.
    pub(crate) never_wakes: bool,
}

impl Making<'_> {
    /// Makes the user of this account, which the client has proved, or completes it; returns the account that it has.
    /// `template`: whose credential it gets; `None` if it exists, but a crash has left it without its schema.
    pub(crate) async fn make(
        &self,
        account: &Account,
        template: Option<String>,
    ) -> Result<Account, ErrPacket> {
        let Self {
            shared, database, ..
        } = self;
        let name = &database.name;
        let failed = |why: &dyn std::fmt::Display| refusal::not_made(why);
        if let Some(reason) = database.restriction.reason() {
            return Err(refusal::restricted(name, &reason));
        }
        if template.is_some() {
            // known without waking it
            if database.door.target().is_none()
                && shared.control.has_schema(name, account.user.as_bytes()) == Some(true)
            {
                return Err(failed(&format!(
                    "user {user} is not made on demand: schema {user} exists already, and is not given to a new user",
                    user = account.user
                )));
            }
            shared
                .guard
                .on_demand(&database.buckets, Instant::now())
                .map_err(|reached| refusal::too_many_on_demand(&reached))?;
        }
        let pass = self.enter(&account.user).await?;
        let order = UserOnDemand {
            user: account.user.clone(),
            host: account.host.clone(),
            template,
            most: shared.config.limits.on_demand_in_all,
        };
        shared
            .control
            .make_user(name, &pass.target, order)
            .await
            .map_err(|why| failed(&why))?;
        let patience = shared.config.limits.handshake_timeout;
        let address = self.peer.host();
        let accounts = shared
            .control
            .accounts(name, &account.user, &address, patience)
            .await;
        let accounts = accounts.map_err(|why| refusal::no_accounts(why, patience))?;
        // another login may have made it, and its password may have been changed since
        accounts
            .into_iter()
            .find(|made| {
                made.user == account.user
                    && made.host == account.host
                    && made.verifiers == account.verifiers
                    && made.on_demand == Mark::None
            })
            .ok_or_else(|| refusal::access_denied(&account.user, &self.peer.host(), true))
    }

    /// Waits at the door, like a statement; wakes the database.
    async fn enter(&self, user: &str) -> Result<Pass, ErrPacket> {
        let Self {
            shared,
            database,
            peer,
            never_wakes,
        } = self;
        let (door, limits) = (&database.door, &shared.config.limits);
        if *never_wakes {
            return door.enter_quietly().ok_or_else(refusal::never_wakes);
        }
        if door.causes_start() {
            let client = match peer {
                Peer::Tcp { from, .. } => Some(Client::at(from.ip())),
                Peer::Unix => None,
            };
            let allowed = shared.guard.wake(client, &database.buckets, Instant::now());
            allowed.map_err(|reached| {
                door.causes_none();
                refusal::too_many_wakes(&reached)
            })?;
        }
        let by: &dyn Fn() -> WokenBy =
            &|| WokenBy::new(WokenBy::LOGIN.to_owned(), user, &peer.host());
        let receiver = match door.enter(None, || false, limits.held_statements) {
            Entry::Pass(pass) => return Ok(pass),
            Entry::Held(receiver) => receiver,
            Entry::Full => return Err(refusal::too_many_held(limits.held_statements)),
            Entry::Refused(reason) => {
                shared.control.demand(&database.name, user, by);
                return Err(refusal::cannot_wake(&reason));
            }
        };
        shared.control.demand(&database.name, user, by);
        match tokio::time::timeout(limits.hold_timeout, receiver).await {
            Ok(Ok(Ok(pass))) => Ok(pass),
            Ok(Ok(Err(reason))) => Err(refusal::cannot_wake(&reason)),
            Ok(Err(_)) => Err(refusal::ended()),
            Err(_) => {
                let why = shared.control.last_failure(&database.name);
                Err(refusal::hold_timeout(limits.hold_timeout.as_secs(), why))
            }
        }
    }
}
