//! Runs a statement on a replica's backend and passes the reply on, unless it is an error.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use dormouse_session::{Depth, SessionState, SpareStatement};
use dormouse_types::Target;
use dormouse_wire::command::ReplyKind;
use dormouse_wire::framer::{Event, ReplyEnd};
use dormouse_wire::packet::{HEADER, write_packet};
use dormouse_wire::stmt::{ExecuteView, set_statement};
use tokio::sync::Notify;

use super::backends::{Away, give_back};
use super::ending::end_at;
use super::{Read, Reader};
use crate::backend::{Backend, BackendError, Listening, is_alive};
use crate::chunk::Chunk;
use crate::client::{Client, Over};
use crate::relay::{Broken, Changes, read as read_reply, relay};
use crate::replicas::ReplicaServer;
use crate::session::context::SessionContext;
use crate::session::exchange::filter_of;
use crate::session::parameters::types_of;

/// How long a reply may take before it is looked whether the server is there at all, and how often.
const SLOW: Duration = Duration::from_millis(500);

/// How long the questions about what a statement has left may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Errors that are the client's even though the primary might answer: the statement was ended by somebody, or took too
/// long.
const OWN_ERRORS: [u16; 3] = [1317, 1927, 1969];

/// The error code of a packet that tells about progress.
const PROGRESS: u16 = 0xFFFF;

/// A command, as this backend takes it.
struct Command<'a> {
    bytes: Cow<'a, [u8]>,
    kind: ReplyKind,
    /// What it leaves for other sessions to use.
    statement: Option<SpareStatement>,
}

/// How a statement ended.
enum Ended {
    /// The client has the reply.
    Replied(Box<Backend>, ReplyEnd),
    /// The client has been shown nothing.
    Nothing(Option<Away>),
    /// The client is gone, or its reply is cut short.
    Over,
}

impl Reader<'_> {
    /// Runs the statement on this replica. Returns whether the client has its answer.
    pub(super) async fn run_on(
        &mut self,
        server: &Arc<ReplicaServer>,
        primary: &Arc<Target>,
        read: &Read<'_>,
    ) -> Result<bool, Over> {
        let away = |away: &Away| {
            tracing::debug!(instance = %server.target.instance, %away, "the primary reads");
            if let Some(rest) = away.rest() {
                server.avoid(rest);
            }
        };
        let arrived = match Box::pin(self.arrive(server, primary)).await {
            Ok(backend) => command(self.state, backend, read).await,
            Err(error) => Err(error),
        };
        let (backend, command) = match arrived {
            Ok(both) => both,
            Err(error) => {
                away(&error);
                return Ok(false);
            }
        };
        let thread = backend.thread;
        let interrupt = self.cx.handle().elsewhere.begin(&server.target, thread);
        let conversation = Conversation {
            server,
            thread,
            interrupt: &interrupt,
        };
        let ended = conversation.hold(self, backend, &command, read).await;
        self.cx.handle().elsewhere.end();
        match ended {
            Ended::Replied(mut backend, end) => {
                if let Some(statement) = command.statement {
                    backend.keep_statement(statement);
                }
                self.finish(server, backend, read, &end)
                    .await
                    .map(|()| true)
            }
            Ended::Nothing(error) => {
                error.iter().for_each(away);
                Ok(false)
            }
            Ended::Over => Err(Over),
        }
    }

    /// Notes what the statement has left, and gives the backend back.
    async fn finish(
        &mut self,
        server: &Arc<ReplicaServer>,
        backend: Box<Backend>,
        read: &Read<'_>,
        end: &ReplyEnd,
    ) -> Result<(), Over> {
        let (cx, state) = (self.cx, &mut *self.state);
        let changed = end.session_changes;
        if changed && self.hold.has_backend() && !self.hold.leave(cx, state) {
            self.hold.lose(state);
            self.hold.forget_lost();
        }
        state.stood_in_for(read.text, read.effects, read.kind, end);
        self.reads.memory().causality.has_read_on(server.run());
        let asks = state.needs_probe() || state.wants_probe();
        let backend = match asks {
            true => {
                let mut probe = match changed {
                    // stored code that a view calls has changed the session
                    true => state.probe(Depth::Everything, backend.thread),
                    false => state.probe_last_statement(),
                };
                let asked = tokio::time::timeout(PATIENCE, backend.probe(&mut probe));
                match Box::pin(asked).await {
                    Ok(Ok(backend)) => {
                        state.captured(probe);
                        Some(backend)
                    }
                    Ok(Err(_)) | Err(_) => None,
                }
            }
            false => Some(backend),
        };
        if let Some(mut backend) = backend {
            if changed || end.error.is_some() || end.warnings > 0 {
                backend.residue.overlay = None;
            }
            backend.residue.left_by = Some(cx.handle().id);
            give_back(server, backend);
        }
        if self.hold.has_backend() {
            state.arrived();
            return Ok(());
        }
        match state.lost_backend().as_slice() {
            [] => Ok(()),
            // only the replica's backend has it, which the session cannot keep
            _ => Err(Over),
        }
    }
}

/// The command for this backend: a prepared statement has another id there, or is prepared first.
async fn command<'r>(
    state: &mut SessionState,
    mut backend: Box<Backend>,
    read: &Read<'r>,
) -> Result<(Box<Backend>, Command<'r>), Away> {
    let incoming = &read.running.incoming;
    let statement = read
        .running
        .statement
        .and_then(|id| state.statements.get(id));
    let Some(statement) = statement else {
        let command = Command {
            bytes: Cow::Borrowed(&incoming.bytes),
            kind: ReplyKind::of(incoming.payload()),
            statement: None,
        };
        return Ok((backend, command));
    };
    let text: Arc<[u8]> = read.text.into();
    let schema = statement.schema.clone();
    let id = match backend.cache.take(&text, schema.as_ref()) {
        Some(cached) => cached.id,
        None => {
            let prepared;
            (backend, prepared) = backend.prepare(&text).await?;
            prepared.map_err(BackendError::Refused)?.statement
        }
    };
    let sent = types_of(incoming, statement.params);
    let mut payload = match (&sent, &statement.types) {
        (None, Some(types)) => ExecuteView::with_types(incoming.payload(), statement.params, types),
        _ => incoming.payload().to_vec(),
    };
    set_statement(&mut payload, id);
    let mut packet = Vec::with_capacity(payload.len() + HEADER);
    write_packet(&mut packet, 0, &payload);
    let command = Command {
        bytes: Cow::Owned(packet),
        kind: ReplyKind::Execute,
        statement: Some(SpareStatement {
            id,
            key: Some((text, schema)),
            types: sent.or_else(|| statement.types.clone()),
        }),
    };
    Ok((backend, command))
}

/// A command on its way, and its reply.
struct Conversation<'a> {
    server: &'a Arc<ReplicaServer>,
    thread: u32,
    /// Notified when the statement is to end.
    interrupt: &'a Notify,
}

impl Conversation<'_> {
    async fn hold(
        &self,
        reader: &mut Reader<'_>,
        backend: Box<Backend>,
        command: &Command<'_>,
        read: &Read<'_>,
    ) -> Ended {
        let (cx, client) = (reader.cx, &mut *reader.client);
        let mut changes = Changes {
            tracking: cx.tracking(reader.state, false),
            statement: None,
            filter: filter_of(cx, read.running, &backend),
        };
        let mut speaking = backend.speak();
        if let Err(error) = speaking.send(&command.bytes, client.write_timeout).await {
            return Ended::Nothing(Some(error.into()));
        }
        let mut listening = speaking.sent(command.kind, 0);
        let chunk = match self.first(cx, &mut listening, client).await {
            Ok(chunk) => chunk,
            Err(ended) => return ended,
        };
        if is_error_of_server(&chunk) {
            let read = listening.follow(&chunk);
            let ends = matches!(read, Ok(step) if matches!(step.event, Event::End(_)));
            if let Some(mut backend) = listening.into_backend().filter(|_| ends) {
                backend.residue.overlay = None;
                give_back(self.server, backend);
            }
            return Ended::Nothing(None);
        }
        listening.unread(&chunk);
        drop(chunk);
        let relayed = {
            let mut relayed = pin!(relay(&mut listening, client, &mut changes));
            loop {
                tokio::select! {
                    biased;
                    end = &mut relayed => break end,
                    () = self.interrupt.notified() => self.end(cx, "QUERY").await,
                }
            }
        };
        match relayed {
            Ok(end) => match listening.into_backend() {
                Some(backend) => Ended::Replied(backend, end),
                None => Ended::Over,
            },
            Err(broken) => self.broken(cx, broken).await,
        }
    }

    /// The first bytes of the reply.
    async fn first(
        &self,
        cx: &SessionContext,
        listening: &mut Listening,
        client: &Client,
    ) -> Result<Chunk, Ended> {
        let mut reading = pin!(read_reply(listening, client, false));
        loop {
            tokio::select! {
                biased;
                chunk = &mut reading => match chunk {
                    Ok(chunk) => return Ok(chunk),
                    Err(broken) => return Err(self.broken(cx, broken).await),
                },
                () = self.interrupt.notified() => self.end(cx, "QUERY").await,
                () = tokio::time::sleep(SLOW) => {
                    // one that is frozen or stuck does not close its connections
                    if !is_alive(Some(&self.server.target)).await {
                        return Err(Ended::Nothing(Some(Away::Silent)));
                    }
                }
            }
        }
    }

    async fn broken(&self, cx: &SessionContext, broken: Broken) -> Ended {
        match broken {
            Broken::Server {
                delivered: false, ..
            } => Ended::Nothing(Some(Away::Silent)),
            Broken::Server { .. } => Ended::Over,
            Broken::Fault { what, delivered } => {
                cx.fault(what);
                match delivered {
                    true => Ended::Over,
                    false => Ended::Nothing(Some(BackendError::Malformed(what).into())),
                }
            }
            Broken::Client { running } => {
                if running {
                    self.end(cx, "CONNECTION").await;
                }
                Ended::Over
            }
        }
    }

    async fn end(&self, cx: &SessionContext, what: &str) {
        Box::pin(end_at(cx, self.server, self.thread, what)).await;
    }
}

/// Whether a reply begins with an error that the primary may not have.
fn is_error_of_server(reply: &[u8]) -> bool {
    let code = match reply.get(HEADER..HEADER + 3) {
        Some([0xff, low, high]) => u16::from_le_bytes([*low, *high]),
        _ => return false,
    };
    code != PROGRESS && !OWN_ERRORS.contains(&code)
}
