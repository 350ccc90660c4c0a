//! `COM_CHANGE_USER`: a new login on the same connection. The proxy checks it like the first login, so
//! it wakes no database. The session leaves its backend and takes a new one when a statement needs it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::SessionState;
use dormouse_wire::login::ChangeUser;
use dormouse_wire::status::Status;

use super::context::SessionContext;
use super::hold::Hold;
use super::on_demand;
use super::wide::wide_charset;
use crate::client::{Client, Incoming, Over};
use crate::database::{Full, Membership};
use crate::handle::Who;
use crate::handshake::{Claim, PacketIo, Proof, Rejected, has_expired, prove, sessions_of};
use crate::identity::is_one_of;
use crate::refusal;

/// Number of refusals after which the command is answered as unknown (`sql/sql_parse.cc`,
/// `COM_CHANGE_USER`).
const MOST_REFUSALS: u8 = 3;

/// How long a server waits before it refuses.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// What a session keeps for `COM_CHANGE_USER`.
pub(super) struct Relogin {
    /// The random bytes of the greeting.
    salt: [u8; 20],
    /// Number of refusals since the last success.
    refusals: u8,
}

impl Relogin {
    pub(super) fn new(salt: [u8; 20]) -> Self {
        Self { salt, refusals: 0 }
    }
}

/// Handles a refused login: the user stays the same, and the session's state is discarded.
fn refused(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    relogin: &mut Relogin,
) -> Result<(), Over> {
    relogin.refusals += 1;
    drop_state(cx, state, hold);
    // the session ends if its character set would differ from the one that the client assumes
    if state.change_refused() {
        Ok(())
    } else {
        Err(Over)
    }
}

/// Leaves the backend; lost state is not reported to the client.
fn drop_state(cx: &SessionContext, state: &mut SessionState, hold: &mut Hold) {
    hold.retire(cx, state);
    hold.forget_lost();
    cx.limit_idle(cx.idle_default());
    cx.begins_with_globals();
}

/// Checks the new login and begins a new session for it.
pub(super) async fn change_user(
    cx: &mut SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    hold: &mut Hold,
    relogin: &mut Relogin,
    incoming: Incoming,
) -> Result<(), Over> {
    if !incoming.is_whole() {
        return Err(Over);
    }
    if relogin.refusals >= MOST_REFUSALS {
        tokio::time::sleep(REFUSAL_DELAY).await;
        return client.reply_error(&refusal::unknown_command()).await;
    }
    let Ok(login) = ChangeUser::parse(incoming.argument(), client.capabilities) else {
        return Err(client.end_with(&refusal::malformed()).await);
    };
    if let Some(charset) = wide_charset(login.collation) {
        let error = refusal::no_client_charset(charset);
        client.reply_error(&error).await?;
        return refused(cx, state, hold, relogin);
    }
    let name = String::from_utf8_lossy(&login.user).into_owned();
    let own = format!("{}.", cx.database().name);
    let user = name.strip_prefix(&own).unwrap_or(&name);

    let mut io = PacketIo::new(&mut client.stream, 1);
    let client_of = io.client(&cx.identity.peer);
    let claim = Claim {
        client: client_of,
        never_wakes: is_one_of(&cx.shared.config.never_wakes, user, &login.attributes),
        user,
        peer: cx.identity.peer,
        capabilities: cx.identity.capabilities,
        plugin: login.plugin.as_deref(),
        reply: &login.auth,
        salt: relogin.salt,
    };
    let timeout = cx.limits().handshake_timeout;
    let proof = tokio::time::timeout(
        timeout,
        prove(&cx.shared, &mut io, &cx.membership.database, claim),
    )
    .await;
    let (account, security) = match proof {
        Ok(Ok(Proof::Given(account, security))) => (account, security),
        Ok(Ok(Proof::Missing(error)) | Err(Rejected::With(error) | Rejected::Counted(error))) => {
            // the same delay as on a server, so that a client cannot try many passwords
            tokio::time::sleep(REFUSAL_DELAY).await;
            io.refuse(&error).await;
            return refused(cx, state, hold, relogin);
        }
        Ok(Err(Rejected::Silently)) | Err(_) => return Err(Over),
    };
    let who = Who {
        user: user.to_owned(),
        account_host: account.host.clone(),
    };
    let Membership { database, handle } = &cx.membership;
    if let Err(Full::Account | Full::Database) =
        database.change_user(handle, who, sessions_of(&account))
    {
        io.refuse(&refusal::too_many_of_account(user, &account))
            .await;
        return refused(cx, state, hold, relogin);
    }
    let seq = io.seq();

    relogin.refusals = 0;
    drop_state(cx, state, hold);
    cx.expired = has_expired(&account);
    let identity = Arc::make_mut(&mut cx.identity);
    user.clone_into(&mut identity.user);
    tracing::Span::current().record("user", user);
    identity.account_user = account.user;
    identity.account_host = account.host;
    identity.account_version = account.version;
    identity.security = security;
    identity.manager = account.manager;
    // the collation has two bytes in this packet and one in a login
    identity.collation = u8::try_from(login.collation).unwrap_or(identity.collation);
    identity.attributes = login.attributes;
    cx.never_wakes = identity.is_one_of(&cx.shared.config.never_wakes);
    *hold = Hold::new(account.enrolled);
    let schema = login.schema.filter(|schema| !schema.is_empty());
    *state = SessionState::new(schema.map(Into::into))
        .with_collation(cx.identity.collation)
        .with_status(Status(account.login_status));
    match on_demand::arrive(cx, state, hold).await {
        Ok(()) => {
            let ok = client.ok(state.status());
            client.reply_as(seq, &ok).await
        }
        Err(error) => {
            let packet = error.encode(client.capabilities);
            let _ = client.reply_as(seq, &packet).await;
            Err(Over)
        }
    }
}
