//! What each command means for the session.

use dormouse_session::effects::{may_change_rights, may_set_globals};
use dormouse_session::kill::Kill;
use dormouse_session::timeout::Timeout;
use dormouse_session::{Effects, Kind, Show};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::ReplyEnd;

use super::taking::Incoming;
use super::{Attendant, Edit, Over};
use crate::refusal;

impl Attendant {
    /// Takes the next command and carries it out.
    pub(super) async fn command(&mut self) -> Result<(), Over> {
        let Some(incoming) = self.take().await? else {
            return Ok(());
        };
        self.count_received();
        if matches!(
            incoming.command,
            Command::Query | Command::StmtExecute | Command::StmtBulkExecute
        ) {
            self.database().tally().statement();
        }
        if !incoming.is_whole() && has_fixed_length(incoming.command) {
            return self.refuse_rest(&incoming).await;
        }
        match incoming.command {
            Command::Query => self.query(incoming).await,
            Command::Ping => self.ping().await,
            Command::Quit => Err(Over),
            Command::StmtExecute | Command::StmtBulkExecute => self.execute(incoming).await,
            Command::StmtPrepare => self.prepare(incoming).await,
            Command::StmtClose => self.close_statement(incoming),
            Command::StmtReset => self.reset_statement(incoming).await,
            Command::StmtFetch => self.fetch(incoming).await,
            Command::StmtSendLongData => self.long_data(incoming).await,
            Command::InitDb => self.init_db(incoming).await,
            Command::ResetConnection => Box::pin(self.reset_connection(incoming)).await,
            Command::ChangeUser => Box::pin(self.change_user(incoming)).await,
            Command::SetOption => self.set_option(incoming).await,
            Command::ProcessKill => Box::pin(self.process_kill(incoming)).await,
            Command::FieldList
            | Command::CreateDb
            | Command::DropDb
            | Command::Refresh
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
                self.skip(incoming.left, incoming.continues).await?;
                self.reply_error(&refusal::unknown_command()).await
            }
        }
    }

    /// A command of a few bytes that claims to be a megabyte long: nothing of it is taken for another.
    async fn refuse_rest(&mut self, incoming: &Incoming) -> Result<(), Over> {
        self.skip(incoming.left, incoming.continues).await?;
        if incoming.command.reply() == ReplyKind::None {
            return Ok(());
        }
        self.reply_error(&refusal::malformed()).await
    }

    async fn refuse_command(
        &mut self,
        incoming: Incoming,
        name: &str,
        why: &str,
    ) -> Result<(), Over> {
        self.skip(incoming.left, incoming.continues).await?;
        self.reply_error(&refusal::not_passed(name, why)).await
    }

    async fn query(&mut self, mut incoming: Incoming) -> Result<(), Over> {
        let text = incoming.argument();
        let mode = self.state.mode();
        let effects = self.state.judge(text, incoming.is_whole());
        let kind = Kind::of(text);
        // what is for us begins with KILL, SHOW or a comment
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        if kind == Kind::Other
            && incoming.is_whole()
            && matches!(first, Some(b'K' | b'k' | b'S' | b's' | b'/'))
        {
            if let Some(kill) = Kill::parse(text) {
                return Box::pin(self.kill(kill)).await;
            }
            match Show::parse(text) {
                None => {}
                // the server has the most to say of it
                Some(Show::Processes) if self.database().door.target().is_some() => {
                    self.edit = Some(Edit::Processes);
                }
                Some(show) => return self.show(show).await,
            }
        }
        if self.database().door.is_shut() && Box::pin(self.query_asleep(&incoming)).await? {
            return Ok(());
        }
        let changes_rights = may_change_rights(text, mode, kind, effects);
        let noted = effects != Effects::None || self.state.wants_text(text);
        let noted = noted.then(|| incoming.argument().to_vec());
        self.state.will_run(text, effects);
        self.timeout = match first {
            Some(b'S' | b's' | b'/') => Timeout::of(text, mode),
            _ => None,
        };
        if self.answers(&mut incoming, None).await? {
            self.timeout = None;
            return Ok(());
        }
        let run = self.run_on_server(incoming, None).await;
        self.edit = None;
        let timeout = self.timeout.take();
        if let Some(end) = run? {
            let text = noted.as_deref().unwrap_or_default();
            self.state.ran(text, effects, kind, &end);
            if may_set_globals(text, effects) {
                self.pool().globals().may_be_set();
            }
            if changes_rights {
                self.pool().rights_changed();
            }
            if timeout.is_some() {
                // what the server would now say of the last statement is about one of ours
                self.state.arrived();
            }
        }
        Ok(())
    }

    /// Runs a command that is no statement of the client's.
    async fn run_command(&mut self, incoming: Incoming) -> Result<Option<ReplyEnd>, Over> {
        // this one leaves the warnings as the statement does
        let like: &[u8] = match incoming.command {
            Command::InitDb => b"USE",
            _ => b"",
        };
        let end = self.run_on_server(incoming, None).await?;
        if let Some(end) = &end {
            self.state.ran_command(like, end);
        }
        Ok(end)
    }

    async fn init_db(&mut self, incoming: Incoming) -> Result<(), Over> {
        if self.init_db_asleep(&incoming).await? {
            return Ok(());
        }
        let name = incoming.argument().to_vec();
        if let Some(end) = self.run_command(incoming).await?
            && end.error.is_none()
        {
            self.state.changed_schema(&name);
        }
        Ok(())
    }

    async fn set_option(&mut self, incoming: Incoming) -> Result<(), Over> {
        if self.set_option_asleep(&incoming).await? {
            return Ok(());
        }
        let on = incoming.argument().first() == Some(&0);
        if let Some(end) = self.run_on_server(incoming, None).await?
            && end.error.is_none()
        {
            self.state.set_multi_statements(on);
        }
        Ok(())
    }

    /// With a backend the server does it; without one there is usually nothing to reset but what we
    /// keep.
    async fn reset_connection(&mut self, incoming: Incoming) -> Result<(), Over> {
        self.lost.clear();
        self.limit_idle(self.idle_default);
        self.reset_asleep();
        if self.backend.is_none() && !self.state.outlasts_reset() {
            self.state.reset();
            return self.reply_ok().await;
        }
        if let Some(end) = self.run_on_server(incoming, None).await?
            && end.error.is_none()
        {
            self.state.reset();
            self.count_transaction(false);
            if let Some(backend) = &mut self.backend {
                backend.shelf.clear();
            }
        }
        Ok(())
    }
}

/// Whether a command has an argument of a few bytes, or none. These may be answered without a server.
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
