//! Commands about prepared statements (`COM_STMT_*`). Clients use the session's ids; each backend has
//! ids of its own.

use std::sync::Arc;

use dormouse_session::effects::{
    flushes_privileges, may_change_rights, may_change_stored_code, may_run_stored_code,
    may_set_globals,
};
use dormouse_session::kill::{Kill, Named};
use dormouse_session::lexer::Mode;
use dormouse_session::timeout::Timeout;
use dormouse_session::{Effects, Kind, Show, Statement, Statements};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::Prepared;
use dormouse_wire::status::Status;
use dormouse_wire::stmt::{ExecuteView, first_number, statement_of};

use super::account_rows::may_show_account;
use super::answer::try_answer;
use super::asleep::is_asleep;
use super::connections::tells;
use super::edits;
use super::main_loop::Session;
use super::parameters::types_of;
use super::replay::keep;
use super::running::Running;
use super::stored_code::{How, note_stored_code, run_changing_code};
use super::understudy::Sleeper;
use super::{kill, mediate, reads};
use crate::client::{Incoming, Over};
use crate::refusal;

impl Session {
    pub(super) async fn prepare(&mut self, incoming: Incoming) -> Result<(), Over> {
        if self.state.statements.len() >= Statements::MOST {
            self.client.skip(incoming.left, incoming.continues).await?;
            return self
                .client
                .reply_error(&refusal::too_many_statements(Statements::MOST))
                .await;
        }
        let text = incoming.argument();
        let keep = incoming.is_whole() && self.state.statements.can_keep(text.len());
        let effects = self.state.judge(text, incoming.is_whole());
        // its reply has binary rows, which are not edited
        let lists = incoming.is_whole() && Show::parse(text) == Some(Show::Processes);
        let tells = lists || tells(&self.state, &incoming);
        let statement = Statement {
            text: keep.then(|| text.into()),
            effects,
            kind: Kind::of(text),
            timeout: Timeout::of(text, self.state.mode()),
            tells,
            schema: self.state.schema().cloned(),
            parsing_context: self.state.statements.parsing_context(),
            params: 0,
            types: None,
            backend: None,
            bound: false,
            cursor: false,
            long_data: false,
            data_lost: false,
            replaced: false,
        };
        let id = self.state.statements.add(statement);
        let text = self.state.statements.get(id).and_then(|s| s.text.clone());
        let mut running = Running::new(&self.cx, incoming, Some(id));
        running.tells = tells;
        let may = text.is_some() && !tells && self.cx.database().door.is_shut();
        let stood_in = match may {
            true => Box::pin(Sleeper::of(self).prepare(&running.incoming, id, effects)).await?,
            false => None,
        };
        let prepared = match stood_in {
            Some(params) => Some((None, params)),
            None => self
                .prepare_on_server(&mut running, text.as_deref())
                .await?
                .map(|prepared| (Some(prepared.statement), prepared.params)),
        };
        match (prepared, self.state.statements.get(id)) {
            (Some((backend, params)), Some(statement)) => {
                statement.backend = backend;
                statement.params = params;
                if params > 0 && matches!(statement.effects, Effects::Replay(_)) {
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

    async fn prepare_on_server(
        &mut self,
        running: &mut Running,
        text: Option<&[u8]>,
    ) -> Result<Option<Prepared>, Over> {
        let end = self.run_on_server(running).await?;
        if let Some(end) = &end {
            self.state.prepared(text.unwrap_or_default(), end);
        }
        Ok(end.and_then(|end| end.prepared))
    }

    /// The client's statement id in a command. `None`: there is no such statement, and the client has
    /// got an error.
    async fn known(&mut self, incoming: &Incoming, doing: &str) -> Result<Option<u32>, Over> {
        let named = statement_of(incoming.payload());
        let id = named.map(|id| self.state.statements.resolve(id));
        if let Some(id) = id
            && self.state.statements.get(id).is_some()
        {
            return Ok(Some(id));
        }
        self.client.skip(incoming.left, incoming.continues).await?;
        let error = match named {
            Some(id) => refusal::unknown_statement(id, doing),
            None => refusal::malformed(),
        };
        self.client.reply_error(&error).await?;
        Ok(None)
    }

    /// The text of a statement that the plane may run in the client's place.
    fn mediated_text(&mut self, incoming: &Incoming, id: u32) -> Option<Arc<[u8]>> {
        let statement = self.state.statements.get(id)?;
        let alone = statement.params == 0 && incoming.command == Command::StmtExecute;
        let text = statement.text.clone().filter(|_| alone)?;
        mediate::may_be(&self.cx, &self.state, incoming, &text).then_some(text)
    }

    pub(super) async fn execute(&mut self, incoming: Incoming) -> Result<(), Over> {
        let doing = match incoming.command {
            Command::StmtBulkExecute => "mysqld_stmt_bulk_execute",
            _ => "mysqld_stmt_execute",
        };
        let Some(id) = self.known(&incoming, doing).await? else {
            return Ok(());
        };
        // first, so that an idle client's memory has no room for what follows and for this at once
        if let Some(text) = self.mediated_text(&incoming, id)
            && mediate::mediate(self, &incoming, Some(&text)).await?
        {
            self.reads.used_primary();
            return Ok(());
        }
        let Some(statement) = self.state.statements.get(id) else {
            return Ok(());
        };
        if let Some((kill, text, parameter)) = kill_of(statement, &incoming) {
            return Box::pin(kill::kill(self, kill, &text, parameter)).await;
        }
        let reply_kind = ReplyKind::of(incoming.payload());
        if let Some(types) = types_of(&incoming, statement.params) {
            statement.types = Some(types);
        }
        statement.cursor = false;
        if std::mem::take(&mut statement.data_lost) {
            return self.refuse_without_data(incoming, id).await;
        }
        let (effects, kind, timeout) = (statement.effects, statement.kind, statement.timeout);
        let (text, schema) = (statement.text.clone(), statement.schema.clone());
        let text_of = text.as_deref().unwrap_or_default();
        let edit = edits::of_prepared(&self.cx, &self.state, &incoming, text_of);
        let mut running = Running::new(&self.cx, incoming, Some(id));
        running.edit = edit;
        running.shows_account = may_show_account(kind, effects);
        running.timeout = timeout;
        if try_answer(&self.cx, &mut self.client, &mut self.state, &mut running).await? {
            return Ok(());
        }
        if self.cx.database().door.is_shut()
            && Box::pin(Sleeper::of(self).execute(&running, effects, kind)).await?
        {
            return Ok(());
        }
        if self.cx.database().replicas.any()
            && reads::execution(self, &running, text_of, effects, kind).await?
        {
            return Ok(());
        }
        let changes_code = may_change_stored_code(text_of, kind, effects);
        let ran = match changes_code {
            true => Box::pin(run_changing_code(self, &mut running)).await?,
            false => self.run_on_server(&mut running).await?,
        };
        let Some(end) = ran else {
            return Ok(());
        };
        keep(&mut self.state, &running, effects, &end);
        if let Some(statement) = self.state.statements.get(id) {
            statement.bound |= end.error.is_none();
            statement.long_data = false;
            let open = |status: Status| {
                status.contains(Status::CURSOR_EXISTS) && !status.contains(Status::LAST_ROW_SENT)
            };
            statement.cursor = reply_kind == ReplyKind::Execute && end.status.is_some_and(open);
        }
        let text = text.as_deref().unwrap_or_default();
        self.state
            .ran_within(schema.as_deref(), text, effects, kind, &end);
        let mode = self.state.mode();
        let how = How {
            effects,
            untracked: timeout.is_some(),
        };
        note_stored_code(&self.cx, &mut self.state, &self.hold, how, || {
            may_run_stored_code(text, mode)
        });
        if may_set_globals(text, effects) {
            self.cx.pool().globals().note_set();
        }
        let mode = self.state.mode();
        if may_change_rights(text, mode, kind, effects) {
            self.cx.pool().rights_changed();
            if end.error.is_none() && flushes_privileges(text, mode) {
                self.cx.database().buckets.unblock();
            }
        }
        if let Some(how) = timeout {
            Box::pin(self.hold.hide_values(&self.cx, &mut self.state, how)).await;
        }
        Ok(())
    }

    /// Refuses an execution of which long data did not reach the server (`COM_STMT_SEND_LONG_DATA` has no
    /// reply that could say so).
    async fn refuse_without_data(&mut self, incoming: Incoming, id: u32) -> Result<(), Over> {
        self.client.skip(incoming.left, incoming.continues).await?;
        let of_server = self.state.statements.get(id).and_then(|statement| {
            statement.long_data = false;
            statement.backend
        });
        if let (Some(of_server), Some(backend)) = (of_server, self.hold.take_backend()) {
            match backend
                .tell(Command::StmtReset, &of_server.to_le_bytes())
                .await
            {
                Ok((backend, _)) => self.hold.put_back(backend),
                Err(error) => self.hold.broke(&self.cx, &mut self.state, &error),
            }
        }
        self.client.reply_error(&refusal::long_data_lost()).await
    }

    pub(super) async fn fetch(&mut self, incoming: Incoming) -> Result<(), Over> {
        let Some(id) = self.known(&incoming, "mysqld_stmt_fetch").await? else {
            return Ok(());
        };
        let mut running = Running::new(&self.cx, incoming, Some(id));
        let end = self.run_on_server(&mut running).await?;
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
                let mut running = Running::new(&self.cx, incoming, Some(id));
                let sent = self.run_on_server(&mut running).await?;
                if sent.is_none()
                    && let Some(statement) = self.state.statements.get(id)
                {
                    statement.data_lost = true;
                }
                Ok(())
            }
            // the command has no reply; the execution is answered with the error
            None => self.client.skip(incoming.left, incoming.continues).await,
        }
    }

    pub(super) async fn reset_statement(&mut self, incoming: Incoming) -> Result<(), Over> {
        let Some(id) = self.known(&incoming, "mysqld_stmt_reset").await? else {
            return Ok(());
        };
        let Some(statement) = self.state.statements.get(id) else {
            return Ok(());
        };
        let nothing = !statement.cursor && !statement.long_data;
        statement.data_lost = false;
        statement.cursor = false;
        statement.long_data = false;
        if statement.backend.is_none() || nothing && is_asleep(&self.cx, &self.hold) {
            return self.client.reply_ok(self.state.status()).await;
        }
        let mut running = Running::new(&self.cx, incoming, Some(id));
        self.run_on_server(&mut running).await.map(|_| ())
    }

    /// Keeps the statement in the backend's cache: another session may use it.
    pub(super) fn close_statement(&mut self, incoming: Incoming) -> Result<(), Over> {
        let id = statement_of(incoming.payload()).map(|id| self.state.statements.resolve(id));
        let context = self.state.statements.parsing_context();
        let Some(statement) = id.and_then(|id| self.state.statements.remove(id)) else {
            return Ok(());
        };
        let (Some(backend), Some(left)) = (self.hold.backend_mut(), statement.leave(context))
        else {
            return Ok(());
        };
        backend.keep_statement(left);
        Ok(())
    }
}

/// The `KILL` that an execution runs, with its text and the value of its parameter.
fn kill_of(
    statement: &mut Statement,
    incoming: &Incoming,
) -> Option<(Kill, Arc<[u8]>, Option<u32>)> {
    let text = statement.text.clone()?;
    // fast check
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    let may_be = matches!(first, b'K' | b'k' | b'/') && incoming.is_whole();
    let kill = match incoming.command {
        Command::StmtExecute if may_be => Kill::parse(&text, Mode::default())?,
        _ => return None,
    };
    if let Some(types) = types_of(incoming, statement.params) {
        statement.types = Some(types);
    }
    let view = ExecuteView::parse(incoming.payload(), statement.params).ok()?;
    match (&kill.connection, statement.params, &statement.types) {
        (Named::Parameter, 1, Some(types)) => {
            let id = first_number(&view, types).and_then(|id| u32::try_from(id).ok());
            Some((kill, text, id))
        }
        (Named::Parameter, ..) => None,
        (_, 0, _) => Some((kill, text, None)),
        _ => None,
    }
}
