//! Checking a password here, so that a sleeping database need not wake for it.
//!
//! `mysql_native_password` clients prove themselves by a scramble. `caching_sha2_password` clients
//! are asked, over TLS only, for full authentication: the password itself, which can be checked
//! against whatever the account table holds, and is wiped. Anyone else, and anyone without TLS, is
//! asked to switch to `mysql_native_password`.

use std::time::Instant;

use dormouse_types::{Account, Verifier};
use dormouse_wire::auth::{CACHING_SHA2, NATIVE, caching_sha2, native};
use dormouse_wire::login::{AuthSwitch, auth_more};
use dormouse_wire::reply::ErrPacket;
use tracing::debug;
use zeroize::Zeroizing;

use super::{PacketIo, Rejected, account, salt};
use crate::accept::Shared;
use crate::directory::Database;
use crate::refusal;
use crate::stream::Peer;

/// What a client claims.
pub(crate) struct Claim<'a> {
    pub(crate) database: &'a Database,
    pub(crate) user: &'a str,
    pub(crate) peer: Peer,
    /// The plugin the client has begun with.
    pub(crate) plugin: Option<&'a str>,
    /// What it sent for it.
    pub(crate) reply: &'a [u8],
    /// The salt it had.
    pub(crate) salt: [u8; 20],
}

/// How it ended.
pub(crate) enum Proof {
    /// The client is who it claims to be.
    Given(Account),
    /// It is not, or may not come in; what to tell it.
    Missing(ErrPacket),
}

/// What the client has shown.
enum Shown {
    /// A native scramble of this salt; empty for an empty password.
    Scramble(Vec<u8>, [u8; 20]),
    /// SHA1(SHA1(password)), or `None` for an empty password.
    Password(Option<[u8; 20]>),
}

impl Shown {
    fn is_empty(&self) -> bool {
        match self {
            Self::Scramble(reply, _) => reply.is_empty(),
            Self::Password(stage2) => stage2.is_none(),
        }
    }

    fn satisfies(&self, verifier: &Verifier) -> bool {
        match (verifier, self) {
            (Verifier::NoPassword, shown) => shown.is_empty(),
            (Verifier::Native(stage2), Self::Scramble(reply, salt)) => {
                native::verify(reply, salt, stage2)
            }
            (Verifier::Native(stage2), Self::Password(shown)) => shown.as_ref() == Some(stage2),
            (Verifier::Other(_), _) => false,
        }
    }
}

/// Lets the client show its password and checks it.
pub(crate) async fn prove(
    shared: &Shared,
    io: &mut PacketIo<'_>,
    claim: Claim<'_>,
) -> Result<Proof, Rejected> {
    // a user who does not exist goes through the same exchange as one who does
    let shown = show(io, &claim).await?;
    let accounts = shared
        .plane
        .accounts(&claim.database.name, claim.user)
        .await
        .map_err(refusal::plane)?;
    let account = account::find(&accounts, claim.user, &claim.peer);
    let denied = || refusal::access_denied(claim.user, &claim.peer.host(), !shown.is_empty());
    let Some(account) = account.filter(|a| a.verifiers.iter().any(|v| shown.satisfies(v))) else {
        if let Peer::Tcp { from, .. } = claim.peer {
            shared
                .guard
                .failed(from.ip().to_canonical(), Instant::now());
        }
        debug!(database = %claim.database.name, user = claim.user, "login refused");
        let only = account.and_then(|account| only_unknown_plugin(account));
        let error = only.map(|plugin| refusal::unsupported_plugin(claim.user, plugin));
        return Ok(Proof::Missing(error.unwrap_or_else(denied)));
    };
    if account.locked {
        let text = "Access denied, this account is locked";
        return Ok(Proof::Missing(ErrPacket::new(4151, "HY000", text)));
    }
    if account.require_tls {
        return Ok(Proof::Missing(refusal::tls_account(claim.user)));
    }
    Ok(Proof::Given(account.clone()))
}

/// The plugin of an account all of whose plugins are unknown here.
fn only_unknown_plugin(account: &Account) -> Option<&str> {
    let mut other = account.verifiers.iter().map(|verifier| match verifier {
        Verifier::Other(plugin) => Some(plugin.as_str()),
        Verifier::Native(_) | Verifier::NoPassword => None,
    });
    let first = other.next()??;
    other.all(|plugin| plugin.is_some()).then_some(first)
}

async fn show(io: &mut PacketIo<'_>, claim: &Claim<'_>) -> Result<Shown, Rejected> {
    match claim.plugin {
        None | Some(NATIVE) if matches!(claim.reply.len(), 0 | 20) => {
            Ok(Shown::Scramble(claim.reply.to_vec(), claim.salt))
        }
        Some(CACHING_SHA2) if claim.reply.is_empty() => Ok(Shown::Password(None)),
        Some(CACHING_SHA2) if io.is_tls() => {
            io.send(&auth_more(&[caching_sha2::PERFORM_FULL])).await?;
            let payload = Zeroizing::new(io.receive().await?);
            let password = caching_sha2::password(&payload)
                .ok_or_else(|| refusal::bad_handshake("no password where one was due"))?;
            let stage2 = (!password.is_empty()).then(|| native::stage2(&native::stage1(password)));
            Ok(Shown::Password(stage2))
        }
        _ => {
            let salt = salt()?;
            io.send(&AuthSwitch::with_salt(NATIVE, &salt).encode())
                .await?;
            Ok(Shown::Scramble(io.receive().await?, salt))
        }
    }
}
