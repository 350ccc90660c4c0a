//! Checks a login in the proxy, so that a sleeping database is not woken for it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use dormouse_types::{Account, Endpoint, Mark, Verifier};
use dormouse_wire::auth::{CACHING_SHA2, NATIVE, ed25519, parsec};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::reply::ErrPacket;
use tracing::debug;

use super::account;
use super::claim::Claim;
use super::exchange::Exchange;
use super::io::PacketIo;
use super::rejected::Rejected;
use crate::database::Database;
use crate::guard::LoginOf;
use crate::on_demand::{Making, candidates};
use crate::refusal;
use crate::security::{Lacking, Security};
use crate::shared::Shared;

/// The result of the check.
pub(crate) enum Proof {
    /// The client has proved this account, and its backends must show this.
    Given(Account, Security),
    /// The client has not proved an account, or may not log in; the error to send it.
    Missing(ErrPacket),
}

/// Makes the client prove its account, and checks whether the account may log in.
pub(crate) async fn prove(
    shared: &Shared,
    io: &mut PacketIo<'_>,
    database: &Arc<Database>,
    claim: Claim<'_>,
) -> Result<Proof, Rejected> {
    if let Some(error) = too_many(shared, database, &claim) {
        return Ok(Proof::Missing(error));
    }
    let limit = shared.config.limits.handshake_timeout;
    let address = claim.peer.host();
    let accounts = shared
        .control
        .accounts(&database.name, claim.user, &address, io.patience(limit))
        .await
        .map_err(|why| refusal::no_accounts(why, limit))?;
    let mut accounts = accounts;
    let mut templates = Vec::new();
    if account::find(&accounts, claim.user, &claim.peer).is_none() {
        let name = &database.name;
        let made = candidates(shared, name, (claim.user, &address), io.patience(limit)).await;
        for (account, template) in made {
            templates.push((account.host.clone(), template));
            accounts.push(account);
        }
    }
    let account = account::find(&accounts, claim.user, &claim.peer);
    let verifiers = account.map_or(&[][..], |account| &account.verifiers);
    let blocked = account.is_some_and(|account| database.buckets.blocks(account));
    // as on a server, before the password is checked; an account's further methods stay open
    let verifiers = match (blocked, verifiers) {
        (false, all) => all,
        (true, [_, others @ ..]) if !others.is_empty() => others,
        (true, _) => return Ok(Proof::Missing(refusal::user_blocked())),
    };
    let mut exchange = Exchange::new(io, &claim, &shared.slow_checks);
    let proved = exchange.proves_any(verifiers).await?;
    let (hopeless, with_password) = (exchange.is_hopeless(verifiers), exchange.with_password());
    // other logins of the client may have failed meanwhile: those beyond its limit tell it nothing, right
    // or wrong, however many it has begun at once
    if let Some(error) = too_many(shared, database, &claim) {
        return Ok(Proof::Missing(error));
    }
    let denied = refusal::access_denied(claim.user, &address, with_password);
    if let Some(account) = account.filter(|_| with_password && !hopeless) {
        database.buckets.password(account, proved);
    }
    let Some(account) = account.filter(|_| proved) else {
        if let Some(client) = claim.client {
            let buckets = Some(&database.buckets);
            shared.guard.failed(client, buckets, Instant::now());
        }
        if let Some(login) = login_of(database, &claim) {
            shared.guard.failed_at_account(&login, Instant::now());
        }
        debug!(database = %database.name, user = claim.user, "login refused");
        let error = if hopeless {
            refusal::needs_tls(claim.user)
        } else {
            impossible(&claim, verifiers).unwrap_or(denied)
        };
        return Ok(Proof::Missing(error));
    };
    if let Some(login) = login_of(database, &claim) {
        shared.guard.entered(&login, Instant::now());
    }
    let unix = match database.door.target() {
        Some(target) => matches!(target.endpoint, Endpoint::Unix(_)),
        None => shared.config.servers_on_sockets,
    };
    let choice = account::server_choice(&accounts, claim.user, &claim.peer, unix);
    if let Some(choice) = choice
        && (&choice.user, &choice.host) != (&account.user, &account.host)
    {
        let error = refusal::other_account(claim.user, account, choice);
        return Ok(Proof::Missing(error));
    }
    // in the server's order (sql/sql_acl.cc, acl_authenticate)
    let security = match Security::of(&account.transport, io.tls()) {
        Ok(security) => security,
        Err(Lacking::Shown) => return Ok(Proof::Missing(denied)),
        Err(Lacking::AtServers) => {
            return Ok(Proof::Missing(refusal::cipher_account(claim.user)));
        }
    };
    if account.locked {
        return Ok(Proof::Missing(refusal::account_locked()));
    }
    let turns_away = account.expiry.is_some_and(|expiry| expiry.turns_away)
        && !claim.capabilities.contains(Capabilities::EXPIRED_PASSWORDS);
    if turns_away && has_expired(account) {
        return Ok(Proof::Missing(refusal::password_expired()));
    }
    if account.on_demand == Mark::Pending {
        let mut templates = templates.into_iter();
        let template = templates.find(|(host, _)| *host == account.host);
        let making = Making {
            shared,
            database,
            peer: claim.peer,
            never_wakes: claim.never_wakes,
        };
        let made = making.make(account, template.map(|(_, user)| user)).await;
        return Ok(made.map_or_else(Proof::Missing, |account| Proof::Given(account, security)));
    }
    Ok(Proof::Given(account.clone(), security))
}

/// The error for a client that has failed too often, or recently at a database where many fail.
fn too_many(shared: &Shared, database: &Database, claim: &Claim<'_>) -> Option<ErrPacket> {
    let (login, now) = (login_of(database, claim)?, Instant::now());
    let (client, buckets) = (login.client, &database.buckets);
    if let Some((failures, wait)) = shared.guard.must_wait(&login, now) {
        return Some(refusal::must_wait(
            claim.user,
            &claim.peer.host(),
            failures,
            wait,
        ));
    }
    if shared.guard.has_entered(&login) {
        return None;
    }
    let reached = shared
        .guard
        .blocked(client, now)
        .or_else(|| shared.guard.blocked_at(client, buckets, now))?;
    Some(refusal::too_many_failures(&claim.peer.host(), &reached))
}

/// Who logs in where; `None`: its failures are not counted.
fn login_of<'a>(database: &'a Database, claim: &Claim<'a>) -> Option<LoginOf<'a>> {
    Some(LoginOf {
        client: claim.client?,
        database: database.name.as_str(),
        user: claim.user,
    })
}

/// Has the client prove an account of a database that does not exist: the exchange and the error are those of a
/// user that does not exist, so that a stranger cannot learn the names of databases.
pub(crate) async fn disprove(
    shared: &Shared,
    io: &mut PacketIo<'_>,
    claim: Claim<'_>,
) -> Result<ErrPacket, Rejected> {
    let mut exchange = Exchange::new(io, &claim, &shared.slow_checks);
    let _proves_nothing = exchange.proves_any(&[]).await?;
    let with_password = exchange.with_password();
    debug!(user = claim.user, "login to an unknown database refused");
    Ok(refusal::access_denied(
        claim.user,
        &claim.peer.host(),
        with_password,
    ))
}

/// Whether the password has expired. A client that may log in all the same can only set a new one.
pub(crate) fn has_expired(account: &Account) -> bool {
    account.expiry.is_some_and(|expiry| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_secs());
        i64::try_from(now).is_ok_and(|now| expiry.at <= now)
    })
}

/// The error for an account that no client could prove, or none from this host.
fn impossible(claim: &Claim<'_>, verifiers: &[Verifier]) -> Option<ErrPacket> {
    let is_socket = |v: &Verifier| matches!(v, Verifier::UnixSocket(_));
    // a hash that no password has, such as that of a locked account, is refused like a wrong password
    const KNOWN: [&str; 4] = [NATIVE, CACHING_SHA2, ed25519::PLUGIN, parsec::PLUGIN];
    let other = verifiers.iter().find_map(|verifier| match verifier {
        Verifier::Other(plugin) => Some(plugin).filter(|plugin| !KNOWN.contains(&plugin.as_str())),
        _ => None,
    });
    let all = |test: &dyn Fn(&Verifier) -> bool| verifiers.iter().all(test);
    match other {
        _ if verifiers.is_empty() => None,
        None => all(&is_socket).then(|| refusal::socket_account(claim.user, &claim.peer.host())),
        Some(plugin) => all(&|v| is_socket(v) || matches!(v, Verifier::Other(_)))
            .then(|| refusal::unsupported_plugin(claim.user, plugin)),
    }
}
