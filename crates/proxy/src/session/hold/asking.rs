//! Dormouse's own queries on a session's backend.

use std::sync::atomic::Ordering;

use dormouse_session::timeout::Timeout;
use dormouse_session::{Depth, SessionState, timeout};
use dormouse_wire::status::Status;
use dormouse_wire::text::TextOutcome;

use super::held::Hold;
use super::unready::Unready;
use crate::backend::BackendError;
use crate::refusal;
use crate::session::context::SessionContext;

impl Hold {
    /// Runs a statement of Dormouse's own.
    pub(crate) async fn ask(&mut self, statement: &[u8]) -> Result<TextOutcome, BackendError> {
        let gone = || std::io::Error::from(std::io::ErrorKind::NotConnected);
        let backend = self.take_backend().ok_or_else(gone)?;
        let (backend, outcome) = backend.ask(statement).await?;
        self.put_back(backend);
        Ok(outcome)
    }

    /// Gives the backend, which its client has had reset, the session's connection id again. If that fails, the session
    /// goes on with another backend.
    pub(crate) async fn was_reset(&mut self, cx: &SessionContext, state: &mut SessionState) {
        let Some(backend) = self.backend_mut() else {
            return;
        };
        backend.was_reset();
        let Some(statement) = backend.attach(&cx.connection_id()) else {
            return;
        };
        match self.ask(&statement).await {
            Ok(TextOutcome::Ok(_)) => {}
            Ok(TextOutcome::Rows { .. } | TextOutcome::Err(_)) => self.lose(state),
            Err(error) => self.broke(cx, state, &error),
        }
    }

    /// Runs a `SET` of Dormouse's own, which does not show in the session's profiles.
    pub(crate) async fn set_unprofiled(
        &mut self,
        state: &SessionState,
        statement: &str,
    ) -> Result<(), BackendError> {
        if state.is_profiling() {
            let quiet = format!(
                "SET SESSION profiling = 0, {}",
                statement.trim_start_matches("SET ")
            );
            self.ask(quiet.as_bytes()).await?;
            self.ask(b"SET SESSION profiling = 1").await?;
        } else {
            self.ask(statement.as_bytes()).await?;
        }
        Ok(())
    }

    /// After a statement that was run with the session's own values of [the variables that have others on a
    /// backend](timeout), whose end is noted: gives the backend Dormouse's values again.
    pub(crate) async fn hide_values(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        how: Timeout,
    ) {
        match self.hidden(state, how).await {
            Ok(_) if how == Timeout::SetsDefault => cx.limit_idle(cx.idle_default()),
            Ok(Some(seconds)) => cx.limit_idle(seconds),
            Ok(None) => {}
            // the client has its reply; the next statement is answered with an error that names the lost state
            Err(error) => self.broke(cx, state, &error),
        }
        // the last statement that the server ran is one of Dormouse's own
        state.arrived();
    }

    /// After a reset: gives the backend Dormouse's values.
    pub(crate) async fn be_patient(&mut self, cx: &SessionContext, state: &mut SessionState) {
        if self.has_backend()
            && let Err(error) = self.ask(timeout::hide().as_bytes()).await
        {
            self.broke(cx, state, &error);
        }
    }

    /// Hides the values. Returns the session's `wait_timeout`, if the statement may have changed it.
    async fn hidden(
        &mut self,
        state: &mut SessionState,
        how: Timeout,
    ) -> Result<Option<u64>, BackendError> {
        let Some(backend) = self.take_backend() else {
            return Ok(None);
        };
        let mut probe = state.probe_last_statement();
        let backend = backend.probe(&mut probe).await?;
        self.put_back(backend);
        state.captured(probe);
        let mut seconds = None;
        const SET: &[u8] = b"SELECT @@wait_timeout, @@session_track_state_change";
        if how != Timeout::Asks
            && let TextOutcome::Rows { rows, .. } = self.ask(SET).await?
        {
            let value = |column: usize| {
                let row = rows.first()?;
                std::str::from_utf8(row.get(column)?.as_deref()?).ok()
            };
            seconds = value(0).and_then(|value| value.parse().ok());
            if let Some(tracking) = value(1) {
                state.set_state_tracking(tracking == "1");
            }
        }
        let hide = timeout::hide();
        self.set_unprofiled(state, &hide).await?;
        Ok(seconds)
    }

    /// Reads the session's state from the backend.
    pub(super) async fn ask_state(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        depth: Depth,
    ) {
        if state.owes() && Box::pin(self.catch_up(cx, state, false)).await.is_err() {
            return self.lose(state);
        }
        let Some(backend) = self.take_backend() else {
            return;
        };
        let mut probe = state.probe(depth, backend.thread);
        let globals = cx.pool().globals().count();
        match backend.probe(&mut probe).await {
            Ok(mut backend) => {
                let created = probe.created_code();
                if let Some(created) =
                    created.filter(|count| *count != backend.residue.created_code)
                {
                    // a procedure may have done so, with a text of its own
                    backend.residue.created_code = created;
                    drop(cx.pool().stored_code().changes());
                }
                self.put_back(backend);
                if probe.has_variables() {
                    cx.handle().globals.store(globals, Ordering::Relaxed);
                }
                state.captured(probe);
            }
            Err(error) => self.broke(cx, state, &error),
        }
    }

    /// Runs on the backend what was answered while the server slept; with `begin` also the
    /// transaction that the client believes to be open.
    pub(crate) async fn catch_up(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        begin: bool,
    ) -> Result<(), Unready> {
        for text in state.take_owed() {
            self.run_owed(cx, state, &text).await?;
            if timeout::is_named(&text) {
                let hidden = timeout::hide_again();
                self.run_owed(cx, state, hidden.as_bytes()).await?;
            }
        }
        if begin && let Some(text) = state.deferred().map(<[u8]>::to_vec) {
            let status = self.run_owed(cx, state, &text).await?;
            state.begun(status);
            self.count_transaction(cx, state.in_transaction());
        }
        Ok(())
    }

    async fn run_owed(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        text: &[u8],
    ) -> Result<Status, Unready> {
        match self.ask(text).await {
            Ok(TextOutcome::Ok(ok)) => Ok(ok.status),
            Ok(TextOutcome::Err(error)) => Err(Unready::CannotRestore(refusal::cannot_restore(
                text,
                &error.message,
            ))),
            Ok(TextOutcome::Rows { .. }) => {
                self.lose(state);
                Err(Unready::ServerGone)
            }
            Err(error) => {
                self.broke(cx, state, &error);
                Err(Unready::ServerGone)
            }
        }
    }
}
