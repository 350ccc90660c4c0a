//! From an accepted socket to a running session.

use std::sync::Arc;

use dormouse_session::SessionState;
use dormouse_session::sleeping::login_changes;
use dormouse_session::tls_status::TlsStatus;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::reply::OkPacket;
use dormouse_wire::status::Status;
use tracing::{Instrument as _, Span, debug, error_span};

use super::change_user::Relogin;
use super::context::SessionContext;
use super::hold::Hold;
use super::main_loop::Session;
use super::on_demand;
use super::reads::memory::SessionReads;
use crate::client::Client;
use crate::database::Membership;
use crate::guard::Seat;
use crate::handshake::{Admitted, PacketIo, admit, has_expired};
use crate::security::status_of;
use crate::shared::{HandshakeSlot, Shared};
use crate::stream::{ClientStream, Peer, Socket};

/// A client that has connected.
pub(crate) struct Arrival {
    pub(crate) peer: Peer,
    /// Its connection id.
    pub(crate) id: u32,
    /// Its place among the logins that have not ended.
    pub(crate) slot: HandshakeSlot,
    /// Its places in the counts of connections, held until it leaves.
    pub(crate) seats: Vec<Seat>,
}

/// Performs one client's login and serves it until it leaves.
pub(crate) async fn serve(shared: Arc<Shared>, socket: Socket, arrival: Box<Arrival>) {
    // boxed: the login's state is large and short-lived, and must not enlarge the session's task
    let entered = Box::pin(enter(shared, socket, arrival)).await;
    if let Some((session, span)) = entered {
        session.run().instrument(span).await;
    }
}

async fn enter(
    shared: Arc<Shared>,
    socket: Socket,
    arrival: Box<Arrival>,
) -> Option<(Box<Session>, Span)> {
    let Arrival {
        peer,
        id,
        mut slot,
        mut seats,
    } = *arrival;
    let mut stream = ClientStream::Plain(socket);
    let mut io = PacketIo::new(&mut stream, 0);
    let admitted = admit(&shared, &mut io, peer, id, &mut slot).await?;
    drop(slot);
    seats.extend(admitted.seat);
    let admitted = admitted.login;
    let (seq, compress) = (io.seq(), admitted.compress);
    let span = span_of(&admitted);
    let limits = &shared.config.limits;
    let idle_limit = match admitted.interactive {
        true => limits.interactive_timeout.as_secs(),
        false => limits.wait_timeout.as_secs(),
    };
    let session = begin(shared, stream, admitted, seats);
    let session = answer_login(session, seq, compress, idle_limit).instrument(span.clone());
    Some((session.await?, span))
}

/// The span of a session: all its lines in the log name database, session and user.
///
/// It has the highest level, so that it is present for log lines of every level. Then it costs about
/// 30 ns for each time that the session is woken, twice in a statement, and 550 bytes of memory while
/// the client is connected. With the log switched off it costs a nanosecond and no memory.
fn span_of(admitted: &Admitted) -> Span {
    let Membership { database, handle } = &admitted.membership;
    error_span!(
        "session",
        database = %database.name,
        session = handle.id,
        user = admitted.identity.user,
    )
}

/// Opens a backend if the login needs one, and sends the login's answer.
async fn answer_login(
    mut session: Box<Session>,
    seq: u8,
    compress: bool,
    idle_limit: u64,
) -> Option<Box<Session>> {
    debug!("login");
    let Session {
        cx,
        client,
        state,
        hold,
        ..
    } = &mut *session;
    cx.begins_with_globals();
    if let Err(error) = on_demand::arrive(cx, state, hold).await {
        let packet = error.encode(client.capabilities);
        let _ = client.reply_as(seq, &packet).await;
        return None;
    }
    let ok = login_ok(cx, client, state, hold).await;
    client.reply_as(seq, &ok).await.ok()?;
    if compress {
        client.compress();
    }
    cx.limit_idle(idle_limit);
    cx.mark_idle();
    Some(session)
}

/// The session of a client that has logged in.
fn begin(
    shared: Arc<Shared>,
    stream: ClientStream,
    admitted: Admitted,
    seats: Vec<Seat>,
) -> Box<Session> {
    let limits = &shared.config.limits;
    let identity = admitted.identity;
    let database = &admitted.membership.database;
    let state = SessionState::new(admitted.schema.map(Into::into))
        .with_collation(identity.collation)
        .with_status(Status(admitted.account.login_status));
    let state = match identity.capabilities.contains(Capabilities::IGNORE_SPACE) {
        true => state.with_ignore_space(),
        false => state,
    };
    let state = match identity.believes_the_greeting() {
        true => state.with_autocommit(),
        false => state,
    };
    let tally = Arc::clone(database.tally());
    let tls = tls_status(&stream, &shared).map(Box::new);
    Box::new(Session {
        client: Client::new(stream, identity.capabilities, tally, limits),
        state,
        hold: Hold::new(admitted.account.enrolled),
        reads: SessionReads::default(),
        shown_schema: None,
        relogin: Relogin::new(admitted.salt),
        idle_since: None,
        cx: SessionContext {
            never_wakes: identity.is_one_of(&shared.config.never_wakes),
            expired: has_expired(&admitted.account),
            identity: Arc::new(identity),
            membership: admitted.membership,
            tls,
            _seats: seats.into(),
            shared,
        },
    })
}

/// The client's cipher, if the server would tell that of the connection which Dormouse has to it.
fn tls_status(stream: &ClientStream, shared: &Shared) -> Option<TlsStatus> {
    match stream.tls() {
        Some(tls) => Some(status_of(tls)),
        None if shared.config.servers_on_sockets => None,
        None => Some(TlsStatus {
            cipher: "",
            version: "",
        }),
    }
}

/// The answer to the login.
async fn login_ok(
    cx: &SessionContext,
    client: &Client,
    state: &mut SessionState,
    hold: &Hold,
) -> Vec<u8> {
    if !client.capabilities.contains(Capabilities::SESSION_TRACK) {
        return client.ok(state.status());
    }
    let variables = cx.database().present_variables(cx.control()).await;
    let globals = variables.as_ref();
    let ok = OkPacket {
        status: state.status(),
        session_changes: cx.ask_state(state, globals, hold.has_backend(), |state, context| {
            login_changes(context, state.schema().map(|schema| &**schema))
        }),
        ..OkPacket::default()
    };
    ok.encode(client.capabilities, false)
}
