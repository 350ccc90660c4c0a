//! Handles each command of a session's client.

use dormouse_session::connections::{may_explain, may_tell, may_tell_within, with_values};
use dormouse_session::effects::{
    flushes_privileges, may_change_rights, may_change_stored_code, may_run_stored_code,
    may_set_globals,
};
use dormouse_session::kill::{Kill, Named};
use dormouse_session::reads::SetReads;
use dormouse_session::replay::Spoiled;
use dormouse_session::timeout::Timeout;
use dormouse_session::{Effects, Kind, SessionState, Show};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::ReplyEnd;

use super::account_rows::may_show_account;
use super::answer::try_answer;
use super::change_user::change_user;
use super::connections::tells;
use super::main_loop::Session;
use super::replay::keep;
use super::running::{Edit, Running};
use super::stored_code::{How, note_stored_code, run_changing_code};
use super::understudy::Sleeper;
use super::{asleep, edits, kill, mediate, reads, show};
use crate::client::{Incoming, Over};
use crate::refusal;

impl Session {
    /// Takes the next command and carries it out.
    pub(super) async fn command(&mut self) -> Result<(), Over> {
        let Some(incoming) = self.client.take(&self.cx.database().restriction).await? else {
            return Ok(());
        };
        self.client.count_received();
        if matches!(
            incoming.command,
            Command::Query | Command::StmtExecute | Command::StmtBulkExecute
        ) {
            self.client.tally.statement();
        }
        if !incoming.is_whole() && has_fixed_length(incoming.command) {
            return self.refuse_rest(&incoming).await;
        }
        match incoming.command {
            Command::Query
                if mediate::may_be(&self.cx, &self.state, &incoming, incoming.argument()) =>
            {
                Box::pin(self.mediated_query(incoming)).await
            }
            Command::Query => self.query(incoming).await,
            Command::Ping => self.ping().await,
            Command::Quit => Err(Over),
            Command::StmtExecute | Command::StmtBulkExecute => self.execute(incoming).await,
            Command::StmtPrepare => Box::pin(self.prepare(incoming)).await,
            Command::StmtClose => self.close_statement(incoming),
            Command::StmtReset => self.reset_statement(incoming).await,
            Command::StmtFetch => Box::pin(self.fetch(incoming)).await,
            Command::StmtSendLongData => Box::pin(self.long_data(incoming)).await,
            Command::InitDb => Box::pin(self.init_db(incoming)).await,
            Command::ResetConnection => Box::pin(self.reset_connection(incoming)).await,
            Command::ChangeUser => {
                let Self {
                    cx,
                    client,
                    state,
                    hold,
                    relogin,
                    reads,
                    ..
                } = self;
                reads.forget_wish();
                Box::pin(change_user(cx, client, state, hold, relogin, incoming)).await
            }
            Command::SetOption => Box::pin(self.set_option(incoming)).await,
            Command::ProcessKill => Box::pin(kill::command(self, &incoming)).await,
            Command::Refresh => Box::pin(self.refresh(incoming)).await,
            Command::FieldList
            | Command::CreateDb
            | Command::DropDb
            | Command::Statistics
            | Command::ProcessInfo
            | Command::Debug => self.run_command(incoming).await.map(|_| ()),
            Command::Shutdown => {
                self.refuse_command(incoming, "COM_SHUTDOWN", "'dormouse park' stops the server")
                    .await
            }
            Command::BinlogDump
            | Command::BinlogDumpGtid
            | Command::TableDump
            | Command::RegisterSlave => {
                let why = "replicas cannot follow a server that sleeps";
                self.refuse_command(incoming, "replication", why).await
            }
            Command::Sleep
            | Command::Connect
            | Command::Time
            | Command::DelayedInsert
            | Command::ConnectOut
            | Command::Daemon => {
                self.client.skip(incoming.left, incoming.continues).await?;
                self.client.reply_error(&refusal::unknown_command()).await
            }
        }
    }

    /// Skips a command of fixed length that claims to be longer: no part of it is read as another command.
    async fn refuse_rest(&mut self, incoming: &Incoming) -> Result<(), Over> {
        self.client.skip(incoming.left, incoming.continues).await?;
        if incoming.command.reply() == ReplyKind::None {
            return Ok(());
        }
        self.client.reply_error(&refusal::malformed()).await
    }

    async fn refuse_command(
        &mut self,
        incoming: Incoming,
        name: &str,
        why: &str,
    ) -> Result<(), Over> {
        self.client.skip(incoming.left, incoming.continues).await?;
        self.client
            .reply_error(&refusal::not_passed(name, why))
            .await
    }

    /// `COM_PING`, awake or asleep.
    async fn ping(&mut self) -> Result<(), Over> {
        if self.cx.database().door.is_shut() {
            self.cx.count_asleep();
        }
        self.state.pinged();
        self.client.reply_ok(self.state.status()).await
    }

    /// Sends the answer that was found while the database sleeps, if there is one; returns whether there is.
    async fn answer_asleep(&mut self, packets: Option<Vec<u8>>) -> Result<bool, Over> {
        let Some(packets) = packets else {
            return Ok(false);
        };
        self.cx.count_asleep();
        self.client.send_packets(&packets).await?;
        Ok(true)
    }

    async fn show(&mut self, show: Show, text: &[u8]) -> Result<(), Over> {
        match show::show(self, show, text) {
            Ok(packets) => self.client.send_packets(&packets).await,
            Err(error) => self.client.reply_error(&error).await,
        }
    }

    /// A statement that the plane may run in the client's place.
    async fn mediated_query(&mut self, incoming: Incoming) -> Result<(), Over> {
        self.reads.used_primary();
        if mediate::mediate(self, &incoming, None).await? {
            return Ok(());
        }
        self.query(incoming).await
    }

    async fn query(&mut self, incoming: Incoming) -> Result<(), Over> {
        let text = incoming.argument();
        let mode = self.state.mode();
        let effects = self.state.judge(text, incoming.is_whole());
        let kind = Kind::of(text);
        let mut edit = None;
        if kind == Kind::Change
            && incoming.is_whole()
            && let Some(set) = SetReads::parse(text)
        {
            return Box::pin(reads::set(self, set)).await;
        }
        // fast check: a statement that Dormouse itself answers begins with KILL, SHOW or a comment
        let first = text.iter().find(|byte| **byte > b' ');
        if kind == Kind::Other
            && incoming.is_whole()
            && matches!(first, Some(b'K' | b'k' | b'S' | b's' | b'/'))
        {
            if let Some(kill) = Kill::parse(text, mode)
                && kill.connection != Named::Parameter
            {
                let text = text.to_vec();
                return Box::pin(kill::kill(self, kill, &text, None)).await;
            }
            match Show::parse(text) {
                None => {}
                Some(Show::EngineStatus) => edit = Some(Edit::EngineStatus),
                // the server sends the list, which is then edited
                Some(Show::Processes) if self.cx.database().door.target().is_some() => {
                    edit = Some(Edit::Processes);
                }
                Some(show) => {
                    let text = text.to_vec();
                    return self.show(show, &text).await;
                }
            }
        }
        if self.cx.database().door.is_shut() {
            let answer = asleep::query(&self.cx, &mut self.state, &self.hold, &incoming);
            if self.answer_asleep(answer).await? {
                return Ok(());
            }
        }
        let text = incoming.argument();
        // the text that is meant, read once
        let executed = match first {
            Some(b'E' | b'e' | b'/' | b'#' | b'-') if incoming.is_whole() => {
                self.state.executed(text)
            }
            _ => None,
        };
        let meant = executed.as_deref().unwrap_or(text);
        let with_values = executed.is_some().then(|| with_values(text, meant, mode));
        let told = with_values
            .flatten()
            .filter(|text| tells_ids(&self.state, text));
        if let Some(text) = &told
            && let Some(kill) = Kill::parse(text, mode)
        {
            return Box::pin(kill::kill(self, kill, text, None)).await;
        }
        let timeout = Timeout::of(meant, mode);
        if edit.is_none() && kind == Kind::Other && incoming.is_whole() {
            edit = edits::of_text(&self.cx, &self.state, meant);
        }
        let explains = kind == Kind::Other
            && matches!(first, Some(b'S' | b's' | b'E' | b'e' | b'/'))
            && may_explain(text, mode);
        let within =
            effects == Effects::Unknown && incoming.is_whole() && may_tell_within(text, mode);
        let tells = explains && incoming.is_whole() || within || tells(&self.state, &incoming);
        let unblocks = flushes_privileges(meant, mode);
        let changes_code = may_change_stored_code(meant, kind, effects);
        let changes_rights = unblocks || may_change_rights(text, mode, kind, effects);
        let noted = effects != Effects::None || self.state.wants_text(text);
        let noted = noted.then(|| incoming.argument().into());
        let mut running = Running::new(&self.cx, incoming, None);
        running.edit = edit;
        running.shows_account = may_show_account(kind, effects);
        running.tells = tells || told.is_some();
        running.kept = told.map(Into::into);
        running.executed = executed.map(Into::into);
        running.timeout = timeout;
        running.noted = noted;
        if try_answer(&self.cx, &mut self.client, &mut self.state, &mut running).await? {
            return Ok(());
        }
        if self.cx.database().door.is_shut()
            && Box::pin(Sleeper::of(self).query(&running, effects, kind)).await?
        {
            return Ok(());
        }
        if self.cx.database().replicas.any() && reads::query(self, &running, effects, kind).await? {
            return Ok(());
        }
        let rights = self.cx.pool().rights();
        let ran = match changes_code {
            true => Box::pin(run_changing_code(self, &mut running)).await?,
            false => self.run_on_server(&mut running).await?,
        };
        if let Some(end) = ran {
            keep(&mut self.state, &running, effects, &end);
            let text = running.noted.as_deref().unwrap_or_default();
            self.state.ran(text, effects, kind, &end);
            let how = How {
                effects,
                untracked: running.timeout.is_some(),
            };
            note_stored_code(&self.cx, &mut self.state, &self.hold, how, || {
                may_run_stored_code(running.incoming.argument(), mode)
            });
            if matches!(effects, Effects::Replay(replay) if replay.schema) && end.error.is_none() {
                self.entered(rights);
            }
            if may_set_globals(text, effects) {
                self.cx.pool().globals().note_set();
            }
            if changes_rights {
                self.cx.pool().rights_changed();
                if unblocks && end.error.is_none() {
                    self.cx.database().buckets.unblock();
                }
            }
            if let Some(how) = running.timeout {
                Box::pin(self.hold.hide_values(&self.cx, &mut self.state, how)).await;
            }
        }
        Ok(())
    }

    /// Runs a command that is not a statement.
    async fn run_command(&mut self, incoming: Incoming) -> Result<Option<ReplyEnd>, Over> {
        // COM_INIT_DB leaves the same warnings as USE
        let like: &[u8] = match incoming.command {
            Command::InitDb => b"USE",
            _ => b"",
        };
        let lists = incoming.command == Command::ProcessInfo;
        let shows = matches!(
            incoming.command,
            Command::ProcessInfo | Command::Statistics | Command::Debug | Command::FieldList
        );
        let mut running = Running::new(&self.cx, incoming, None);
        running.edit = lists.then_some(Edit::Processes);
        let end = self.run_on_server(&mut running).await?;
        if let Some(end) = &end {
            if let Some(log) = &mut self.state.transaction
                && !shows
            {
                log.spoil(Spoiled::Effects);
            }
            self.state.ran_command(like, end);
        }
        Ok(end)
    }

    /// `COM_REFRESH`, whose first bit stands for privileges.
    async fn refresh(&mut self, incoming: Incoming) -> Result<(), Over> {
        let privileges = matches!(incoming.argument(), [what, ..] if what & 1 != 0);
        let end = self.run_command(incoming).await?;
        if privileges {
            self.cx.pool().rights_changed();
            if end.is_some_and(|end| end.error.is_none()) {
                self.cx.database().buckets.unblock();
            }
        }
        Ok(())
    }

    async fn init_db(&mut self, incoming: Incoming) -> Result<(), Over> {
        let answer = asleep::init_db(&self.cx, &mut self.state, &self.hold, &incoming);
        if self.answer_asleep(answer).await? {
            return Ok(());
        }
        let name = incoming.argument().to_vec();
        let rights = self.cx.pool().rights();
        if let Some(end) = self.run_command(incoming).await?
            && end.error.is_none()
        {
            self.state.changed_schema(&name);
            self.entered(rights);
        }
        Ok(())
    }

    /// Notes that the server has let the session into its schema. `rights`: the count of changes of privileges before.
    fn entered(&self, rights: u64) {
        if let Some(backend) = self.hold.backend() {
            self.cx.entered(&self.state, backend, rights);
        }
    }

    async fn set_option(&mut self, incoming: Incoming) -> Result<(), Over> {
        let answer = asleep::set_option(&self.cx, &mut self.state, &mut self.hold, &incoming);
        if self.answer_asleep(answer).await? {
            return Ok(());
        }
        let on = incoming.argument().first() == Some(&0);
        let mut running = Running::new(&self.cx, incoming, None);
        if let Some(end) = self.run_on_server(&mut running).await?
            && end.error.is_none()
        {
            self.state.set_multi_statements(on);
        }
        Ok(())
    }

    /// With a backend the server resets it; without one usually only the session's state is reset.
    async fn reset_connection(&mut self, incoming: Incoming) -> Result<(), Over> {
        self.hold.forget_lost();
        self.reads.forget_wish();
        self.cx.limit_idle(self.cx.idle_default());
        asleep::before_reset(&self.cx, &mut self.state, &mut self.hold);
        // else it begins anew with other values than at its login, which only a server tells
        let same = self.cx.would_begin_the_same();
        if same && !self.hold.has_backend() && !self.state.outlasts_reset() {
            self.cx.begins_with_globals();
            self.state.reset();
            return self.client.reply_ok(self.state.status()).await;
        }
        let mut running = Running::new(&self.cx, incoming, None);
        if let Some(end) = self.run_on_server(&mut running).await?
            && end.error.is_none()
        {
            self.cx.begins_with_globals();
            self.state.reset();
            if let Some(status) = end.status {
                self.state.begins_with_status(status);
            }
            self.hold.count_transaction(&self.cx, false);
            self.hold.was_reset(&self.cx, &mut self.state).await;
            self.hold.be_patient(&self.cx, &mut self.state).await;
        }
        Ok(())
    }
}

/// Whether the text that an `EXECUTE` runs may tell ids of connections or kill one.
fn tells_ids(state: &SessionState, text: &[u8]) -> bool {
    let schema = state.schema().map(|schema| &**schema);
    may_tell(text, schema) || may_tell_within(text, state.mode())
}

/// Whether a command's argument has a fixed length of a few bytes. These may be answered without a
/// server.
fn has_fixed_length(command: Command) -> bool {
    matches!(
        command,
        Command::Ping
            | Command::ResetConnection
            | Command::SetOption
            | Command::ProcessKill
            | Command::StmtClose
            | Command::StmtReset
    )
}
