//! Commands that are answered while the database sleeps, so that they do not wake it.
//!
//! What a statement is answered is decided in `dormouse_session::sleeping`. A backend that the
//! session has, on a server that is suspended, is told of it in front of the next statement.

use std::sync::atomic::Ordering;

use dormouse_session::AsleepContext;
use dormouse_session::timeout::{self, Timeout};
use dormouse_types::Variables;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::EofPacket;
use dormouse_wire::text::TextOutcome;

use super::statement::Unready;
use super::taking::Incoming;
use super::{Attendant, Over};
use crate::refusal;

impl Attendant {
    /// Whether the database sleeps and the session can be answered without it: its state went with
    /// no server, or the client has been told.
    pub(super) fn is_asleep(&self) -> bool {
        self.lost.is_empty() && !self.expired && self.database().door.sleeps()
    }

    /// Counts a command that was answered while the database slept.
    pub(super) fn count_asleep(&self) {
        let count = &self.database().sleeping_answers;
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// `COM_PING`, awake or asleep.
    pub(super) async fn ping(&mut self) -> Result<(), Over> {
        if self.database().door.is_shut() {
            self.count_asleep();
        }
        self.state.pinged();
        self.reply_ok().await
    }

    /// Answers a statement of a database that sleeps, if it can be; says whether it has.
    pub(super) async fn query_asleep(&mut self, incoming: &Incoming) -> Result<bool, Over> {
        if !incoming.is_whole() || !self.is_asleep() {
            return Ok(false);
        }
        let text = incoming.argument();
        let Some(asleep) = self.asleep(|state, ground| state.answer_asleep(text, ground)) else {
            return Ok(false);
        };
        if let Some(seconds) = asleep.wait_timeout {
            let default = Timeout::of(text, self.state.mode()) == Some(Timeout::SetsDefault);
            self.limit_idle(if default { self.idle_default } else { seconds });
        }
        self.answer(asleep.packets).await
    }

    /// The same for `COM_INIT_DB`.
    pub(super) async fn init_db_asleep(&mut self, incoming: &Incoming) -> Result<bool, Over> {
        if !incoming.is_whole() || !self.is_asleep() {
            return Ok(false);
        }
        match self.asleep(|state, ground| state.use_asleep(incoming.argument(), ground)) {
            Some(asleep) => self.answer(asleep.packets).await,
            None => Ok(false),
        }
    }

    /// The same for `COM_SET_OPTION`: 0 switches multi-statements on, 1 off.
    pub(super) async fn set_option_asleep(&mut self, incoming: &Incoming) -> Result<bool, Over> {
        let on = match incoming.argument() {
            [0, 0] => true,
            [1, 0] => false,
            _ => return Ok(false),
        };
        if !self.is_asleep() || self.backend.is_some() && !self.leave_asleep() {
            return Ok(false);
        }
        self.state.set_multi_statements(on);
        let eof = EofPacket {
            status: self.state.status(),
            ..EofPacket::default()
        };
        let mut packet = Vec::new();
        write_packet(&mut packet, 1, &eof.encode());
        self.answer(packet).await
    }

    /// Before `COM_RESET_CONNECTION`: what the backend of a sleeping server holds is not needed.
    pub(super) fn reset_asleep(&mut self) {
        if !self.database().door.sleeps() {
            return;
        }
        self.count_asleep();
        if self.backend.is_some() && !self.leave_asleep() {
            self.lose_backend();
            self.lost.clear();
        }
    }

    /// Leaves the backend, if nothing keeps the session on it.
    fn leave_asleep(&mut self) -> bool {
        self.state.is_free() && self.leave_backend()
    }

    async fn answer(&mut self, packets: Vec<u8>) -> Result<bool, Over> {
        self.count_asleep();
        self.send_packets(&packets).await?;
        Ok(true)
    }

    /// Asks the session's state, with all that is known of the database while it sleeps.
    fn asleep<T>(
        &mut self,
        ask: impl FnOnce(&mut dormouse_session::SessionState, &AsleepContext<'_>) -> T,
    ) -> T {
        let variables = self.shared.plane.variables(&self.database().name);
        // a backend may be older than a change of a global variable
        let backend = self.backend.is_some();
        let trusted = |all: &&Variables| !backend || all.get(Variables::CHANGED) == Some("0");
        self.on_ground(variables.as_ref().filter(trusted), ask)
    }

    /// Asks the session's state, with these global variables.
    pub(super) fn on_ground<T>(
        &mut self,
        globals: Option<&Variables>,
        ask: impl FnOnce(&mut dormouse_session::SessionState, &AsleepContext<'_>) -> T,
    ) -> T {
        let plane = &self.shared.plane;
        let name = &self.membership.database.name;
        let ground = AsleepContext {
            globals,
            capabilities: self.identity.capabilities,
            collation: self.identity.collation,
            connection_id: self.membership.handle.id,
            wait_timeout: self.membership.handle.idle_limit.load(Ordering::Relaxed),
            socket: self.shared.socket(),
            backend: self.backend.is_some(),
            has_schema: &|schema| plane.has_schema(name, schema),
        };
        ask(&mut self.state, &ground)
    }

    /// Runs on the backend what was answered while the server slept; with `begin` also the
    /// transaction that the client believes to be open.
    pub(super) async fn catch_up(&mut self, begin: bool) -> Result<(), Unready> {
        for text in self.state.take_owed() {
            self.run_owed(&text).await?;
            if timeout::is_named(&text) {
                let hidden = format!("SET SESSION wait_timeout = {}", timeout::HIGHEST);
                self.run_owed(hidden.as_bytes()).await?;
            }
        }
        if begin && let Some(text) = self.state.deferred().map(<[u8]>::to_vec) {
            let status = self.run_owed(&text).await?;
            self.state.begun(status);
            self.count_transaction(self.state.in_transaction());
        }
        Ok(())
    }

    async fn run_owed(&mut self, text: &[u8]) -> Result<dormouse_wire::status::Status, Unready> {
        let Some(backend) = self.backend.take() else {
            return Err(Unready::Gone);
        };
        let outcome = match backend.ask(text).await {
            Ok((backend, outcome)) => {
                self.backend = Some(backend);
                outcome
            }
            Err(error) => {
                self.broke(&error);
                return Err(Unready::Gone);
            }
        };
        match outcome {
            TextOutcome::Ok(ok) => Ok(ok.status),
            TextOutcome::Err(error) => {
                Err(Unready::Lost(refusal::cannot_restore(text, &error.message)))
            }
            TextOutcome::Rows { .. } => {
                self.lose_backend();
                Err(Unready::Gone)
            }
        }
    }
}
