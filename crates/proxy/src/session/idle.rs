//! How long a session may be idle: `wait_timeout`, which is kept here and not by the server.

use std::sync::atomic::Ordering;

use dormouse_session::timeout::{HIGHEST, Timeout};
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::text::TextOutcome;

use super::Attendant;
use super::taking::Incoming;
use crate::backend::BackendError;
use crate::relay::Broken;

impl Attendant {
    /// From now on it may be idle for as many seconds.
    pub(super) fn limit_idle(&self, seconds: u64) {
        let limit = &self.membership.handle.idle_limit;
        if limit.swap(seconds, Ordering::Relaxed) > seconds {
            self.database().look_again();
        }
    }

    /// It waits for its client.
    pub(super) fn is_idle(&self) {
        let now = self.shared.seconds();
        self.membership.handle.heard.store(now, Ordering::Relaxed);
    }

    /// Runs a statement that asks for `wait_timeout` or sets it, with the session's value on the
    /// backend for as long as it runs.
    pub(super) async fn exchange_with_timeout(
        &mut self,
        incoming: &mut Incoming,
        statement: Option<u32>,
        timeout: Timeout,
    ) -> Result<ReplyEnd, Broken> {
        let limit = self.membership.handle.idle_limit.load(Ordering::Relaxed);
        let shown = self.set_timeout(limit.clamp(1, HIGHEST.into())).await;
        shown.map_err(|_| Broken::not_taken())?;
        let end = self.pass_through(incoming, statement).await?;
        match (self.hide_timeout(timeout).await, timeout) {
            (Ok(_), Timeout::SetsDefault) => self.limit_idle(self.idle_default),
            (Ok(Some(seconds)), _) => self.limit_idle(seconds),
            (Ok(None), _) => {}
            // the client has its answer; what was lost is told at the next statement
            (Err(error), _) => self.broke(&error),
        }
        Ok(end)
    }

    async fn set_timeout(&mut self, seconds: u64) -> Result<(), BackendError> {
        let statement = format!("SET SESSION wait_timeout = {seconds}");
        self.ask(statement.as_bytes()).await.map(|_| ())
    }

    /// Asks its backend something of Dormouse's own.
    pub(super) async fn ask(&mut self, statement: &[u8]) -> Result<TextOutcome, BackendError> {
        let gone = || std::io::Error::from(std::io::ErrorKind::NotConnected);
        let backend = self.backend.take().ok_or_else(gone)?;
        let (backend, outcome) = backend.ask(statement).await?;
        self.backend = Some(backend);
        Ok(outcome)
    }

    /// What the session's value is now, if the statement may have changed it.
    async fn hide_timeout(&mut self, timeout: Timeout) -> Result<Option<u64>, BackendError> {
        let mut seconds = None;
        if timeout == Timeout::Sets
            && let TextOutcome::Rows { rows, .. } = self.ask(b"SELECT @@wait_timeout").await?
        {
            let value = rows.first().and_then(|row| row.first()?.as_deref());
            seconds = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        }
        self.set_timeout(HIGHEST.into()).await?;
        Ok(seconds)
    }
}
