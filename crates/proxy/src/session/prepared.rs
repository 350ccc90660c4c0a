//! Prepared statements: the client's ids in front of whatever backend there is.

use dormouse_session::effects::{may_change_rights, may_set_globals};
use dormouse_session::timeout::Timeout;
use dormouse_session::{Effects, Kind, Statement, Statements};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::Prepared;
use dormouse_wire::packet::{HEADER, write_packet};
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::status::Status;
use dormouse_wire::stmt::{BulkView, ExecuteView, set_statement, statement_of};

use super::statement::Unready;
use super::taking::Incoming;
use super::{Attendant, Over};
use crate::backend::{Backend, BackendError};
use crate::inbox::Bytes;
use crate::refusal;

impl Attendant {
    pub(super) async fn prepare(&mut self, incoming: Incoming) -> Result<(), Over> {
        if self.state.statements.len() >= Statements::MOST {
            self.skip(incoming.left, incoming.continues).await?;
            return self
                .reply_error(&refusal::too_many_statements(Statements::MOST))
                .await;
        }
        let text = incoming.argument();
        let keep = incoming.is_whole() && self.state.statements.can_keep(text.len());
        let effects = self.state.judge(text, incoming.is_whole());
        let statement = Statement {
            text: keep.then(|| text.into()),
            effects,
            kind: Kind::of(text),
            timeout: Timeout::of(text, self.state.mode()),
            schema: self.state.schema().cloned(),
            context: self.state.statements.context(),
            params: 0,
            types: None,
            backend: None,
            bound: false,
            cursor: false,
            long_data: false,
            data_lost: false,
        };
        let id = self.state.statements.add(statement);
        let text = self.state.statements.get(id).and_then(|s| s.text.clone());
        let end = self.run_on_server(incoming, Some(id)).await?;
        if let Some(end) = &end {
            self.state
                .ran_command(text.as_deref().unwrap_or_default(), end);
        }
        let prepared = end.and_then(|end| end.prepared);
        match (prepared, self.state.statements.get(id)) {
            (Some(prepared), Some(statement)) => {
                statement.backend = Some(prepared.statement);
                statement.params = prepared.params;
                if prepared.params > 0 && matches!(statement.effects, Effects::Replay(_)) {
                    // its text alone does not tell what it sets
                    statement.effects = Effects::Unknown;
                }
            }
            _ => {
                let _never_prepared = self.state.statements.remove(id);
            }
        }
        Ok(())
    }

    /// The client's statement id in a command, if there is such a statement; else the client has
    /// been told.
    async fn known(&mut self, incoming: &Incoming, doing: &str) -> Result<Option<u32>, Over> {
        let named = statement_of(incoming.payload());
        let id = named.map(|id| self.state.statements.resolve(id));
        if let Some(id) = id
            && self.state.statements.get(id).is_some()
        {
            return Ok(Some(id));
        }
        self.skip(incoming.left, incoming.continues).await?;
        let error = match named {
            Some(id) => refusal::unknown_statement(id, doing),
            None => refusal::malformed(),
        };
        self.reply_error(&error).await?;
        Ok(None)
    }

    pub(super) async fn execute(&mut self, mut incoming: Incoming) -> Result<(), Over> {
        let Some(id) = self.known(&incoming, "EXECUTE").await? else {
            return Ok(());
        };
        let Some(statement) = self.state.statements.get(id) else {
            return Ok(());
        };
        let kind = ReplyKind::of(incoming.payload());
        if let Some(types) = types_of(&incoming, statement.params) {
            statement.types = Some(types);
        }
        statement.cursor = false;
        if std::mem::take(&mut statement.data_lost) {
            return self.refuse_without_data(incoming, id).await;
        }
        let (effects, kind_of, timeout) = (statement.effects, statement.kind, statement.timeout);
        let (text, schema) = (statement.text.clone(), statement.schema.clone());
        if self.answers(&mut incoming, Some(id)).await? {
            return Ok(());
        }
        self.timeout = timeout;
        let run = self.run_on_server(incoming, Some(id)).await;
        self.timeout = None;
        let Some(end) = run? else {
            return Ok(());
        };
        if let Some(statement) = self.state.statements.get(id) {
            statement.bound |= end.error.is_none();
            statement.long_data = false;
            let open = |status: Status| {
                status.contains(Status::CURSOR_EXISTS) && !status.contains(Status::LAST_ROW_SENT)
            };
            statement.cursor = kind == ReplyKind::Execute && end.status.is_some_and(open);
        }
        let text = text.as_deref().unwrap_or_default();
        self.state
            .ran_within(schema.as_deref(), text, effects, kind_of, &end);
        if may_set_globals(text, effects) {
            self.pool().globals().may_be_set();
        }
        if may_change_rights(text, self.state.mode(), kind_of, effects) {
            self.pool().rights_changed();
        }
        if timeout.is_some() {
            self.state.arrived();
        }
        Ok(())
    }

    /// A part of what was sent for an execution got no answer, for it has none, and did not arrive: the
    /// rest alone is not executed.
    async fn refuse_without_data(&mut self, incoming: Incoming, id: u32) -> Result<(), Over> {
        self.skip(incoming.left, incoming.continues).await?;
        let of_server = self.state.statements.get(id).and_then(|statement| {
            statement.long_data = false;
            statement.backend
        });
        if let (Some(of_server), Some(backend)) = (of_server, self.backend.take()) {
            match backend
                .tell(Command::StmtReset, &of_server.to_le_bytes())
                .await
            {
                Ok((backend, _)) => self.backend = Some(backend),
                Err(error) => self.broke(&error),
            }
        }
        self.reply_error(&refusal::long_data_lost()).await
    }

    pub(super) async fn fetch(&mut self, incoming: Incoming) -> Result<(), Over> {
        let Some(id) = self.known(&incoming, "FETCH").await? else {
            return Ok(());
        };
        let end = self.run_on_server(incoming, Some(id)).await?;
        let over = end
            .and_then(|end| end.status)
            .is_none_or(|s| s.contains(Status::LAST_ROW_SENT));
        if let Some(statement) = self.state.statements.get(id) {
            statement.cursor &= !over;
        }
        Ok(())
    }

    pub(super) async fn long_data(&mut self, incoming: Incoming) -> Result<(), Over> {
        let id = statement_of(incoming.payload()).map(|id| self.state.statements.resolve(id));
        match id.and_then(|id| Some((id, self.state.statements.get(id)?))) {
            Some((id, statement)) => {
                statement.long_data = true;
                let sent = self.run_on_server(incoming, Some(id)).await?;
                if sent.is_none()
                    && let Some(statement) = self.state.statements.get(id)
                {
                    statement.data_lost = true;
                }
                Ok(())
            }
            // there is no reply in which to complain; the execution will
            None => self.skip(incoming.left, incoming.continues).await,
        }
    }

    pub(super) async fn reset_statement(&mut self, incoming: Incoming) -> Result<(), Over> {
        let Some(id) = self.known(&incoming, "RESET").await? else {
            return Ok(());
        };
        let Some(statement) = self.state.statements.get(id) else {
            return Ok(());
        };
        let nothing = !statement.cursor && !statement.long_data;
        statement.data_lost = false;
        statement.cursor = false;
        statement.long_data = false;
        if statement.backend.is_none() || nothing && self.is_asleep() {
            return self.reply_ok().await;
        }
        self.run_on_server(incoming, Some(id)).await.map(|_| ())
    }

    /// The server need not hear of it: another session may want the same statement.
    pub(super) fn close_statement(&mut self, incoming: Incoming) -> Result<(), Over> {
        let id = statement_of(incoming.payload()).map(|id| self.state.statements.resolve(id));
        let context = self.state.statements.context();
        let Some(statement) = id.and_then(|id| self.state.statements.remove(id)) else {
            return Ok(());
        };
        let (Some(backend), Some(left)) = (&mut self.backend, statement.leave(context)) else {
            return Ok(());
        };
        backend.keep_statement(left);
        Ok(())
    }

    /// Whether a long execution lacks the types of its parameters, and its backend has not been told
    /// them, or others.
    pub(super) fn lacks_types(&mut self, incoming: &Incoming, id: u32) -> bool {
        !incoming.is_whole()
            && matches!(
                incoming.command,
                Command::StmtExecute | Command::StmtBulkExecute
            )
            && self.state.statements.get(id).is_some_and(|statement| {
                !statement.bound
                    && statement.types.is_some()
                    && types_of(incoming, statement.params).is_none()
            })
    }

    /// Gathers such an execution and puts the types into it. `false`: it is too long for that.
    pub(super) async fn complete_types(
        &mut self,
        incoming: &mut Incoming,
        id: u32,
    ) -> Result<bool, Over> {
        let Some(payload) = self.gather_rest(incoming).await? else {
            return Ok(false);
        };
        let statement = self.state.statements.get(id);
        let known =
            statement.and_then(|statement| Some((statement.params, statement.types.clone()?)));
        let payload = match (known, incoming.command) {
            (Some((params, types)), Command::StmtExecute) => {
                ExecuteView::with_types(&payload, params, &types)
            }
            (Some((params, types)), _) => BulkView::with_types(&payload, params, &types),
            (None, _) => payload,
        };
        let mut packets = Vec::with_capacity(payload.len() + HEADER);
        write_packet(&mut packets, 0, &payload);
        incoming.bytes = Bytes::Owned(packets);
        Ok(true)
    }

    /// Writes the present backend's id for a statement into a command about it, and the parameter
    /// types if this backend has never been told them.
    pub(super) fn address(&mut self, incoming: &mut Incoming, id: u32) {
        let Some(statement) = self.state.statements.get(id) else {
            return;
        };
        let Some(backend) = statement.backend else {
            return;
        };
        let missing = !statement.bound && types_of(incoming, statement.params).is_none();
        if missing
            && incoming.is_whole()
            && let Some(types) = &statement.types
        {
            let payload = match incoming.command {
                Command::StmtExecute => Some(ExecuteView::with_types(
                    incoming.payload(),
                    statement.params,
                    types,
                )),
                Command::StmtBulkExecute => Some(BulkView::with_types(
                    incoming.payload(),
                    statement.params,
                    types,
                )),
                _ => None,
            };
            if let Some(payload) = payload {
                let mut packet = Vec::with_capacity(payload.len() + HEADER);
                write_packet(&mut packet, 0, &payload);
                incoming.bytes = Bytes::Owned(packet);
            }
        }
        if let Some(payload) = incoming.bytes.get_mut(HEADER..) {
            set_statement(payload, backend);
        }
    }

    /// Prepares a statement on a backend that does not have it yet, under the schema it was first
    /// prepared in.
    pub(super) async fn prepare_again(&mut self, id: u32) -> Result<(), Unready> {
        let current = self.state.schema().cloned();
        let context = self.state.statements.context();
        let Some(statement) = self.state.statements.get(id) else {
            return Ok(());
        };
        let (text, schema) = (statement.text.clone(), statement.schema.clone());
        let same_context = statement.context == context;
        let (Some(text), Some(mut backend)) = (text, self.backend.take()) else {
            return Err(Unready::Lost(refusal::state_lost(&[
                dormouse_session::Pin::PreparedText,
            ])));
        };
        let mut shelved = match same_context {
            true => backend.shelf.take(&text, schema.as_ref()),
            false => None,
        };
        // one that has been told types must not use them for a client that has told none
        if statement.types.is_none() {
            let other = shelved.take_if(|shelved| shelved.types.is_some());
            other
                .into_iter()
                .for_each(|other| backend.shelf.close(other.id));
        }
        if let Some(shelved) = shelved {
            statement.backend = Some(shelved.id);
            statement.bound = shelved.types.is_some() && shelved.types == statement.types;
            self.backend = Some(backend);
            return Ok(());
        }
        let elsewhere = schema.is_some() && schema != current;
        if elsewhere && current.is_none() {
            // from there no way leads back to none
            self.backend = Some(backend);
            return Err(Unready::Refused(refusal::no_schema()));
        }
        let there = schema.filter(|_| elsewhere);
        let back = current.filter(|_| elsewhere);
        let prepared = match prepare_in(backend, &text, there.as_deref(), back.as_deref()).await {
            Ok((backend, prepared)) => {
                self.backend = Some(backend);
                prepared.map_err(Unready::Refused)?
            }
            Err(error) => {
                self.broke(&error);
                return Err(Unready::Gone);
            }
        };
        if let Some(statement) = self.state.statements.get(id) {
            statement.backend = Some(prepared.statement);
            statement.bound = false;
        }
        Ok(())
    }
}

/// Prepares a text in one schema and comes back to another.
async fn prepare_in(
    mut backend: Box<Backend>,
    text: &[u8],
    there: Option<&[u8]>,
    back: Option<&[u8]>,
) -> Result<(Box<Backend>, Result<Prepared, ErrPacket>), BackendError> {
    // either may have been dropped
    if let Some(schema) = there {
        (backend, _) = backend.tell(Command::InitDb, schema).await?;
    }
    let (mut backend, prepared) = backend.prepare(text).await?;
    if let Some(schema) = back {
        (backend, _) = backend.tell(Command::InitDb, schema).await?;
    }
    Ok((backend, prepared))
}

/// The parameter types in an execution, if it has any.
fn types_of(incoming: &Incoming, params: u16) -> Option<Box<[u8]>> {
    match incoming.command {
        Command::StmtExecute => ExecuteView::parse(incoming.payload(), params).ok()?.types,
        Command::StmtBulkExecute => BulkView::parse(incoming.payload(), params).ok()?.types,
        _ => None,
    }
    .map(Into::into)
}
