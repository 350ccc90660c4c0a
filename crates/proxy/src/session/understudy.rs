//! Runs commands of a sleeping database on an understudy, so that they do not wake it.
//!
//! `dormouse_session::understudy` tells which ones. The code that brings a session to any backend brings it to one
//! there, and it leaves after each command. In every doubt (none runs, an error, a limit) the session is as before, and its
//! database wakes and answers.

mod arriving;

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::diagnostics::mentioned;
use dormouse_session::lexer::contains;
use dormouse_session::understudy::{LONGEST, Script, Shown, may_show, stands_in};
use dormouse_session::{Effects, Kind, SessionState, SpareStatement};
use dormouse_types::Target;
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::packet::{HEADER, write_packet};
use dormouse_wire::status::Status;
use dormouse_wire::stmt::{ExecuteView, set_statement};

use super::asleep::{is_asleep, leave};
use super::context::SessionContext;
use super::edits::{self, Answer};
use super::hold::Hold;
use super::main_loop::Session;
use super::parameters::types_of;
use super::running::{Edit, Running};
use crate::backend::{Backend, BackendError, ConnectionId, Reply, Schema};
use crate::client::{Client, Incoming, Over};
use crate::deadline::about_within;
use crate::pool::Pool;
use arriving::{backend, globals};

/// How long an answer may take, with the way there.
const PATIENCE: Duration = Duration::from_secs(3);

/// What an understudy is to run.
enum Scene<'a> {
    /// A command as the client has sent it.
    Whole(&'a Incoming),
    /// An execution of a prepared text.
    Execution {
        incoming: &'a Incoming,
        text: Arc<[u8]>,
        params: u16,
        types: Option<Box<[u8]>>,
    },
}

/// What an understudy runs by this.
struct Part {
    script: Script,
    /// What it runs first.
    before: Option<String>,
}

/// A command that an understudy has run.
struct Played {
    pool: Arc<Pool>,
    backend: Box<Backend>,
    /// What gave it the global values of the database.
    globals: Vec<Vec<u8>>,
    reply: Reply,
    /// Whether its rows are binary.
    binary: bool,
    script: Script,
}

/// A session whose database sleeps, for the time of one command.
pub(super) struct Sleeper<'a> {
    cx: &'a SessionContext,
    client: &'a mut Client,
    state: &'a mut SessionState,
    hold: &'a mut Hold,
}

impl<'a> Sleeper<'a> {
    pub(super) fn of(session: &'a mut Session) -> Self {
        let Session {
            cx,
            client,
            state,
            hold,
            ..
        } = session;
        Self {
            cx,
            client,
            state,
            hold,
        }
    }

    /// Answers a query. Returns whether the client has its answer.
    pub(super) async fn query(
        mut self,
        running: &Running,
        effects: Effects,
        kind: Kind,
    ) -> Result<bool, Over> {
        let incoming = &running.incoming;
        let text = incoming.argument();
        let part = match is_plain(running) {
            true => self.part(incoming, text, (effects, kind)),
            false => None,
        };
        let Some(part) = part else {
            return Ok(false);
        };
        let Some(mut played) = self.play(part, Scene::Whole(incoming)).await else {
            return Ok(false);
        };
        if let Some(edit) = &running.edit {
            let Some(edited) = edits::edit(self.cx, edit, &played.answer()) else {
                return Ok(false);
            };
            played.reply.bytes = edited;
        }
        self.end_statement(played, text, (effects, kind)).await
    }

    /// Prepares a statement under this id. Returns the number of its parameters, if the client has its answer.
    pub(super) async fn prepare(
        mut self,
        incoming: &Incoming,
        id: u32,
        effects: Effects,
    ) -> Result<Option<u16>, Over> {
        let text: Arc<[u8]> = incoming.argument().into();
        // it leaves FOUND_ROWS() as it is
        let Some(part) = self.part(incoming, &text, (effects, Kind::Select)) else {
            return Ok(None);
        };
        let Some(mut played) = self.play(part, Scene::Whole(incoming)).await else {
            return Ok(None);
        };
        let end = played.reply.end.clone();
        let Some(prepared) = end.prepared else {
            return Ok(None);
        };
        // the client's id takes the place of the server's, behind the first byte
        if let Some(place) = played.reply.bytes.get_mut(HEADER + 1..HEADER + 5) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        played.backend.keep_statement(SpareStatement {
            id: prepared.statement,
            key: Some((Arc::clone(&text), None)),
            types: None,
        });
        let note = |state: &mut SessionState| {
            state.arrived();
            state.prepared(&text, &end);
        };
        self.end_play(played, note).await?;
        Ok(Some(prepared.params))
    }

    /// Executes a prepared statement. Returns whether the client has its answer.
    pub(super) async fn execute(
        mut self,
        running: &Running,
        effects: Effects,
        kind: Kind,
    ) -> Result<bool, Over> {
        let incoming = &running.incoming;
        // the flags of the command, behind the statement's id
        let without_cursor = incoming.payload().get(5) == Some(&0);
        let short = incoming.payload().len() <= LONGEST;
        let executes = incoming.command == Command::StmtExecute && without_cursor && short;
        let id = running.statement.filter(|_| executes && is_plain(running));
        let statement = id.and_then(|id| self.state.statements.get(id));
        let Some(statement) = statement.filter(|statement| !statement.long_data) else {
            return Ok(false);
        };
        let (params, types) = (statement.params, statement.types.clone());
        let instead = running.instead.as_deref().map(Into::into);
        let text: Option<Arc<[u8]>> = instead.or_else(|| statement.text.clone());
        let part = { text.as_ref() }.and_then(|text| self.part(incoming, text, (effects, kind)));
        let (Some(text), Some(part)) = (text, part) else {
            return Ok(false);
        };
        let scene = Scene::Execution {
            incoming,
            text: Arc::clone(&text),
            params,
            types,
        };
        let Some(played) = self.play(part, scene).await else {
            return Ok(false);
        };
        self.end_statement(played, &text, (effects, kind)).await
    }

    /// What an understudy is to run, if the session is not bound to its server. The session leaves that then.
    fn part(
        &mut self,
        incoming: &Incoming,
        text: &[u8],
        (effects, kind): (Effects, Kind),
    ) -> Option<Part> {
        let cx = self.cx;
        let admitted = cx.database().reservation.admits(|| cx.identity.key());
        let may = incoming.is_whole()
            && incoming.last_seq() == 0
            && admitted
            && !cx.identity.account_user.is_empty()
            && is_asleep(cx, self.hold)
            && self.state.can_be_stood_in_for(text, effects);
        let mode = self.state.mode();
        // what the last statement has left may be on the backend alone
        let there = self.hold.has_backend() && self.state.diagnostics().is_none();
        let may = may && !(there && mentioned(text, mode).is_some());
        let script = may.then(|| stands_in(text, mode))??;
        let before = self.state.before_stand_in(effects, kind)?;
        let left = !self.hold.has_backend() || leave(cx, self.state, self.hold);
        left.then_some(Part { script, before })
    }

    /// Runs a command on an understudy. `None`: only the database can answer.
    async fn play(&mut self, part: Part, scene: Scene<'_>) -> Option<Played> {
        let (cx, state) = (self.cx, &*self.state);
        let target = cx.control().understudy(&cx.database().name)?;
        let door = Arc::clone(&cx.database().door);
        let played = about_within(PATIENCE, play(cx, state, &target, part, scene));
        let played = tokio::select! {
            biased;
            played = Box::pin(played) => played?,
            // the session is not held up when its database wakes
            () = door.until_open() => return None,
        };
        played
            .inspect_err(|error| tracing::debug!(%error, "an understudy did not answer"))
            .ok()
            .filter(Played::is_right)
    }

    /// Sends the client the answer to a statement.
    async fn end_statement(
        self,
        played: Played,
        text: &[u8],
        (effects, kind): (Effects, Kind),
    ) -> Result<bool, Over> {
        let end = played.reply.end.clone();
        let note = |state: &mut SessionState| state.stood_in_for(text, effects, kind, &end);
        self.end_play(played, note).await?;
        Ok(true)
    }

    /// Sends the client its answer; `note` notes what has run. Then the session leaves the understudy.
    async fn end_play(
        self,
        played: Played,
        note: impl FnOnce(&mut SessionState),
    ) -> Result<(), Over> {
        let Played {
            pool,
            backend,
            globals,
            reply,
            script,
            ..
        } = played;
        let state = self.state;
        self.cx.count_asleep();
        note(state);
        self.client.send_packets(&reply.bytes).await?;
        let backend = match state.needs_probe() || state.wants_probe() {
            true => {
                let mut probe = state.probe_last_statement();
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
            let tainted = matches!(script, Script::Set(_)) || state.is_tainted();
            let overlay = || [globals, state.overlay()].concat();
            backend.residue.overlay = (!tainted).then(overlay);
            backend.residue.last_insert_id = state.last_insert_id();
            backend.residue.left_by = Some(self.cx.handle().id);
            pool.give_back(backend);
        }
        state.leave();
        Ok(())
    }
}

/// Whether nothing of a command or of its answer is to be changed but values of its only row.
fn is_plain(running: &Running) -> bool {
    matches!(running.edit, None | Some(Edit::Row(_)))
        && !running.tells
        && running.executed.is_none()
        && running.put_back.is_none()
        && running.victim.is_none()
}

async fn play(
    cx: &SessionContext,
    state: &SessionState,
    target: &Arc<Target>,
    Part { script, before }: Part,
    scene: Scene<'_>,
) -> Result<Played, BackendError> {
    let pool = cx.shared.understudies.pool(target);
    let globals = globals(cx, state, &script)?;
    let backend = backend(cx, &pool, target).await?;
    let text = match &scene {
        Scene::Whole(incoming) => incoming.argument(),
        Scene::Execution { text, .. } => text,
    };
    let connection = match contains(text, "CONNECTION_ID") {
        true => cx.connection_id(),
        false => ConnectionId {
            id: None,
            control: cx.control(),
        },
    };
    let mut backend = backend
        .restore(state, &globals, connection, Schema::NotHere)
        .await?;
    if let Some(before) = before {
        (backend, _) = backend.ask(before.as_bytes()).await?;
    }
    let tracking = cx.tracking(state, false);
    let reply;
    let binary = matches!(scene, Scene::Execution { .. });
    match scene {
        Scene::Whole(incoming) => {
            let kind = ReplyKind::of(incoming.payload());
            (backend, reply) = backend.reply_to(&incoming.bytes, kind, tracking).await?;
        }
        Scene::Execution {
            incoming,
            text,
            params,
            types,
        } => {
            let cached = backend.cache.take(&text, None);
            let id = match cached {
                Some(cached) => cached.id,
                None => {
                    let prepared;
                    (backend, prepared) = backend.prepare(&text).await?;
                    prepared.map_err(BackendError::Refused)?.statement
                }
            };
            let sent = types_of(incoming, params);
            let mut payload = match (&sent, &types) {
                (None, Some(types)) => ExecuteView::with_types(incoming.payload(), params, types),
                _ => incoming.payload().to_vec(),
            };
            set_statement(&mut payload, id);
            let mut packet = Vec::with_capacity(payload.len() + HEADER);
            write_packet(&mut packet, 0, &payload);
            (backend, reply) = backend
                .reply_to(&packet, ReplyKind::Execute, tracking)
                .await?;
            backend.keep_statement(SpareStatement {
                id,
                key: Some((text, None)),
                types: sent.or(types),
            });
        }
    }
    Ok(Played {
        pool,
        backend,
        globals,
        reply,
        binary,
        script,
    })
}

impl Played {
    /// Whether the reply is what the database's server would send, as far as that can be seen.
    fn is_right(&self) -> bool {
        let end = &self.reply.end;
        let open = end
            .status
            .is_some_and(|status| status.contains(Status::IN_TRANS));
        let changed = end.session_changes && !matches!(self.script, Script::Set(_));
        // a prepared SHOW is checked when it is executed
        let shows = self.script == Script::Show(Shown::Variables) && end.prepared.is_none();
        let right = self.reply.whole
            && end.error.is_none()
            && !open
            && !changed
            && (!shows || self.may_show());
        if !right {
            tracing::debug!(?end, "an understudy's answer is not passed on");
        }
        right
    }

    fn answer(&self) -> Answer<'_> {
        Answer {
            reply: &self.reply.bytes,
            capabilities: self.backend.capabilities,
            binary: self.binary,
        }
    }

    /// Whether each row is of a variable that has the same value on every server.
    fn may_show(&self) -> bool {
        let may = |name: &Vec<u8>| std::str::from_utf8(name).is_ok_and(may_show);
        let names = self.answer().first_values();
        names.is_some_and(|names| names.iter().all(may))
    }
}
