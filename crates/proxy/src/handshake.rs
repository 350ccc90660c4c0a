//! The login: greeting, TLS, login packet, route, check of the password.
//!
//! No byte after a packet is read: bytes after an SSLRequest belong to the TLS acceptor, bytes after
//! the login are the first command. Nothing here wakes a database.

mod account;
mod claim;
mod exchange;
mod io;
mod prove;
mod random;
mod rejected;

use std::sync::Arc;
use std::time::Instant;

use dormouse_types::{Account, DatabaseName};
use dormouse_wire::auth::NATIVE;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::greeting::Greeting;
use dormouse_wire::login::{Login, SslRequest};
use dormouse_wire::proxy_protocol::Told;
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::status::Status;

use crate::database::{Database, Full, Membership};
use crate::directory::Directory;
use crate::guard::Seat;
use crate::handle::{SessionHandle, Who};
use crate::identity::{Identity, is_one_of};
use crate::refusal;
use crate::route::{Route, route};
use crate::shared::{HandshakeSlot, Shared};
use crate::stream::Peer;

pub(crate) use account::sessions_of;
pub(crate) use claim::Claim;
pub(crate) use io::PacketIo;
use prove::disprove;
pub(crate) use prove::{Proof, has_expired, prove};
use random::salt;
pub(crate) use rejected::Rejected;

/// A client whose login was accepted and has not been answered yet.
pub(crate) struct Admitted {
    pub(crate) membership: Membership,
    pub(crate) identity: Identity,
    pub(crate) account: Account,
    /// The schema the login asks for.
    pub(crate) schema: Option<Vec<u8>>,
    /// The random bytes of the greeting.
    pub(crate) salt: [u8; 20],
    /// Whether everything after the login is compressed.
    pub(crate) compress: bool,
    /// Whether the client says that it is interactive.
    pub(crate) interactive: bool,
}

/// A client whose login was accepted, and its place among the connections of its address, if that was
/// learnt from a PROXY header.
pub(crate) struct Entered {
    pub(crate) login: Admitted,
    pub(crate) seat: Option<Seat>,
}

/// Performs one client's login, except for the final answer. On failure the client gets the error,
/// and `None` is returned.
pub(crate) async fn admit(
    shared: &Shared,
    io: &mut PacketIo<'_>,
    peer: Peer,
    id: u32,
    slot: &mut HandshakeSlot,
) -> Option<Entered> {
    let limits = &shared.config.limits;
    let timeout = limits.handshake_timeout;
    let deadline = tokio::time::Instant::now() + timeout;
    io.end_by(deadline);
    let mut peer = peer;
    let mut unfinished = false;
    let rejected = tokio::select! {
        biased;
        done = tokio::time::timeout_at(deadline, enter(shared, io, &mut peer, id)) => match done {
            Ok(Ok(entered)) => return Some(entered),
            Ok(Err(rejected)) => rejected,
            Err(_) => {
                unfinished = true;
                refusal::handshake_timeout(timeout).into()
            }
        },
        () = slot.until_given_up() => refusal::limit("handshakes", limits.handshakes).into(),
    };
    // TLS costs CPU: a client that begins it and does not log in is treated as one that guesses
    if io.has_begun_tls()
        && (unfinished || matches!(rejected, Rejected::Silently))
        && let Some(client) = io.client(&peer)
    {
        shared.guard.failed(client, None, Instant::now());
    }
    if let Rejected::With(error) | Rejected::Counted(error) = rejected {
        io.refuse(&error).await;
    }
    None
}

/// Learns the client's address, if a balancer tells it, and performs the login.
async fn enter(
    shared: &Shared,
    io: &mut PacketIo<'_>,
    peer: &mut Peer,
    id: u32,
) -> Result<Entered, Rejected> {
    let mut seat = None;
    if let Peer::Tcp { from, .. } = *peer
        && shared.is_trusted_proxy(from.ip())
    {
        if let Told::Addresses { from, to } = io.proxy_header().await? {
            *peer = Peer::Tcp { from, to };
        }
        if let Peer::Tcp { from, .. } = *peer {
            seat = Some(shared.let_in(from.ip())?);
        }
    }
    let login = login(shared, io, *peer, id).await?;
    Ok(Entered { login, seat })
}

/// The capabilities to offer.
fn offer(shared: &Shared) -> Capabilities {
    Capabilities::MARIADB_OFFER.set(Capabilities::SSL, shared.tls().is_some())
}

async fn login(
    shared: &Shared,
    io: &mut PacketIo<'_>,
    peer: Peer,
    id: u32,
) -> Result<Admitted, Rejected> {
    let offered = offer(shared);
    let salt = salt()?;
    let greeting = Greeting {
        version: shared.control.greeting_version(),
        connection_id: id,
        salt,
        capabilities: offered,
        // utf8mb4_general_ci
        collation: 45,
        status: Status::AUTOCOMMIT,
        auth_plugin: NATIVE.to_owned(),
    };
    io.send(&greeting.encode()).await?;
    let client = io.client(&peer);
    // counts a login that fails before a password is checked
    let count = |error: ErrPacket| {
        if let Some(client) = client {
            shared.guard.failed(client, None, Instant::now());
        }
        Rejected::Counted(error)
    };

    let mut payload = io.receive().await?;
    let mut server_name = None;
    if SslRequest::is_one(&payload) {
        let Some(tls) = shared.tls() else {
            return Err(refusal::bad_handshake("TLS was not offered").into());
        };
        SslRequest::parse(&payload).map_err(refusal::bad_handshake)?;
        server_name = io.start_tls(tls.config).await?;
        payload = io.receive().await?;
    }
    let login = Login::parse(&payload, offered)
        .map_err(refusal::bad_handshake)
        .map_err(count)?;
    // it may have been blocked since it connected, and is then refused before any work is done for it
    if let Some(client) = client
        && let Some(reached) = shared.guard.blocked(client, Instant::now())
        && !shared.guard.somebody_has_entered(client)
    {
        return Err(refusal::too_many_failures(&peer.host(), &reached).into());
    }
    let insecure = matches!(peer, Peer::Tcp { .. }) && !io.is_tls();
    if insecure && shared.tls().is_some_and(|tls| tls.require) {
        return Err(refusal::tls_required().into());
    }

    let user = String::from_utf8_lossy(&login.user);
    let domain = shared.config.domain.as_deref();
    let route = route(server_name.as_deref(), domain, &user, &login.attributes)
        .ok_or_else(refusal::no_database)
        .map_err(count)?;
    let claim = Claim {
        user: &route.user,
        peer,
        client,
        never_wakes: is_one_of(&shared.config.never_wakes, &route.user, &login.attributes),
        capabilities: login.capabilities,
        plugin: login.plugin.as_deref(),
        reply: &login.auth,
        salt,
    };
    let Some(database) = find(&shared.directory, &route) else {
        if let Some(client) = client
            && let Some(reached) = shared.guard.blocked(client, Instant::now())
        {
            return Err(refusal::too_many_failures(&peer.host(), &reached).into());
        }
        return Err(count(match peer {
            Peer::Unix => refusal::unknown_database(&route.database),
            Peer::Tcp { .. } => disprove(shared, io, claim).await?,
        }));
    };
    database.check_access(&peer)?;
    let (account, security) = match prove(shared, io, &database, claim).await? {
        Proof::Given(account, security) => (account, security),
        Proof::Missing(error) => return Err(Rejected::Counted(error)),
    };
    if let Some(schema) = &login.schema
        && database.door.target().is_none()
        && shared.control.has_schema(&database.name, schema) == Some(false)
        && !std::str::from_utf8(schema).is_ok_and(|schema| {
            shared
                .control
                .on_demand(&database.name)
                .makes_schema(schema)
        })
    {
        return Err(refusal::unknown_schema(schema).into());
    }
    let who = Who {
        user: route.user.clone(),
        account_host: account.host.clone(),
    };
    let handle = SessionHandle::new(id, who, peer);
    let most = shared.config.limits.connections_per_database;
    let membership = database
        .join(&handle, most, sessions_of(&account))
        .map_err(|full| match full {
            Full::Database => refusal::limit("connections_per_database", most),
            Full::Account => refusal::too_many_of_account(&route.user, &account),
        })?;
    // the lists may have been changed before the session could be found and ended
    if let Peer::Tcp { from, .. } = peer {
        let admitted = shared.access().check(from.ip());
        admitted.map_err(|list| refusal::not_admitted(from.ip().to_canonical(), list, None))?;
        database.check_access(&peer)?;
    }
    Ok(Admitted {
        identity: Identity {
            user: route.user,
            account_user: account.user.clone(),
            account_host: account.host.clone(),
            account_version: account.version,
            manager: account.manager,
            security,
            peer,
            // not requested from the server: a backend serves clients with and without these
            capabilities: login.capabilities - Capabilities::COMPRESS - Capabilities::INTERACTIVE,
            collation: login.collation,
            max_packet: login.max_packet,
            attributes: login.attributes,
        },
        membership,
        account,
        schema: login.schema.filter(|schema| !schema.is_empty()),
        salt,
        compress: login.capabilities.contains(Capabilities::COMPRESS),
        interactive: login.capabilities.contains(Capabilities::INTERACTIVE),
    })
}

fn find(directory: &Directory, route: &Route) -> Option<Arc<Database>> {
    let name: DatabaseName = route.database.parse().ok()?;
    directory.find(&name)
}
