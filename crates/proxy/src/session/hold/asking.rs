//! Dormouse's own queries on a session's backend.

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
        match backend.probe(&mut probe).await {
            Ok(backend) => {
                self.put_back(backend);
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
                let hidden = format!("SET SESSION wait_timeout = {}", timeout::HIGHEST);
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
