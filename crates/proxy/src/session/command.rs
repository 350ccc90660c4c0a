//! What each command means for the session.

use dormouse_session::kill::Kill;
use dormouse_session::{Effects, Show};
use dormouse_wire::command::Command;

use super::taking::Incoming;
use super::{Attendant, Over};
use crate::refusal;

impl Attendant {
    /// Takes the next command and carries it out.
    pub(super) async fn command(&mut self) -> Result<(), Over> {
        let Some(incoming) = self.take().await? else {
            return Ok(());
        };
        match incoming.command {
            Command::Query => self.query(incoming).await,
            Command::Ping => self.reply_ok().await,
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
            | Command::Debug => self.run_on_server(incoming, None).await.map(|_| ()),
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

    async fn refuse_command(
        &mut self,
        incoming: Incoming,
        name: &str,
        why: &str,
    ) -> Result<(), Over> {
        self.skip(incoming.left, incoming.continues).await?;
        self.reply_error(&refusal::not_passed(name, why)).await
    }

    async fn query(&mut self, incoming: Incoming) -> Result<(), Over> {
        let text = incoming.argument();
        let effects = Effects::of(text);
        // what is for us begins with KILL, SHOW or a comment
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        if matches!(first, Some(b'K' | b'k' | b'S' | b's' | b'/')) {
            if let Some(kill) = Kill::parse(text) {
                return Box::pin(self.kill(kill)).await;
            }
            if let Some(show) = Show::parse(text) {
                return self.show(show).await;
            }
        }
        let noted = (effects != Effects::None).then(|| text.to_vec());
        if let Some(end) = self.run_on_server(incoming, None).await? {
            self.state.ran(
                noted.as_deref().unwrap_or_default(),
                effects,
                end.error.is_some(),
            );
        }
        Ok(())
    }

    async fn init_db(&mut self, incoming: Incoming) -> Result<(), Over> {
        let name = incoming.argument().to_vec();
        if let Some(end) = self.run_on_server(incoming, None).await?
            && end.error.is_none()
        {
            self.state.changed_schema(&name);
        }
        Ok(())
    }

    async fn set_option(&mut self, incoming: Incoming) -> Result<(), Over> {
        let on = incoming.argument().first() == Some(&0);
        if let Some(end) = self.run_on_server(incoming, None).await?
            && end.error.is_none()
        {
            self.state.set_multi_statements(on);
        }
        Ok(())
    }

    /// With a backend the server does it; without one there is nothing to reset but what we keep.
    async fn reset_connection(&mut self, incoming: Incoming) -> Result<(), Over> {
        self.lost.clear();
        if self.backend.is_none() {
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
