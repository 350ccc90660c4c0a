//! Gives a backend up for other sessions, and carries out orders of the control path.

use std::sync::Arc;

use dormouse_session::{Depth, Pin, SessionState};
use dormouse_types::Pooling;
use dormouse_wire::status::Status;

use super::carrying::{read_carried, take_locks};
use super::held::{Hold, same_server};
use crate::client::Over;
use crate::handle::LeaseState;
use crate::mailbox::SessionOrder;
use crate::pool::Counters;
use crate::session::context::SessionContext;

impl Hold {
    /// Carries out an order, between two statements.
    pub(crate) async fn obey(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        order: SessionOrder,
    ) -> Result<(), Over> {
        match order {
            SessionOrder::Capture(reply) => {
                let _ = reply.send(Box::pin(self.capture(cx, state)).await);
            }
            SessionOrder::Release(reply) => {
                if self.has_backend() {
                    self.lose(state);
                    if !cx.never_wakes {
                        // captured without pins: nothing is lost
                        self.forget_lost();
                    }
                }
                if state.carries_locks() {
                    cx.database().carriers.add(cx.handle().id);
                }
                let _ = reply.send(());
            }
            SessionOrder::TakeLocks(order) => {
                Box::pin(take_locks(self, cx, state, *order)).await?;
            }
            SessionOrder::Yield => Box::pin(self.give_up(cx, state)).await,
            SessionOrder::End => return Err(Over),
        }
        Ok(())
    }

    /// Reads the state so that it can be restored; returns the state that cannot be. The door is shut: only
    /// the control path uses the server now.
    async fn capture(&mut self, cx: &SessionContext, state: &mut SessionState) -> Vec<Pin> {
        if state.may_have_lost_transaction()
            && let Some(backend) = self.take_backend()
        {
            match backend.in_transaction().await {
                Ok((backend, open)) => {
                    self.put_back(backend);
                    if !open {
                        state.saw_status(state.status().without(Status::IN_TRANS));
                        self.count_transaction(cx, false);
                    }
                }
                Err(error) => self.broke(cx, state, &error),
            }
        }
        if self.has_backend() && !state.in_transaction() {
            self.ask_state(cx, state, Depth::Everything).await;
        }
        if !self.has_backend() || cx.never_wakes {
            // a session that never wakes the database does not prevent a park; its client is told what is lost
            return Vec::new();
        }
        let pins = match read_carried(self, cx, state).await {
            true => Vec::new(),
            false => state.pins(),
        };
        if !pins.is_empty() && !state.in_transaction() {
            cx.handle().pinned_by(pins.clone());
        }
        pins
    }

    /// Reads the session's state from the backend once the session is idle.
    pub(crate) async fn probe(&mut self, cx: &SessionContext, state: &mut SessionState) {
        let Some(pass) = cx.database().door.enter_quietly() else {
            return;
        };
        if self
            .backend()
            .is_some_and(|backend| same_server(&backend.target, &pass.target))
        {
            self.ask_state(cx, state, Depth::Needed).await;
        } else {
            self.lose(state);
        }
    }

    /// After a command: marks the lease as idle or in a transaction, so that other sessions can ask for it,
    /// and gives it up if one is waiting.
    pub(crate) async fn share_lease(&mut self, cx: &SessionContext, state: &mut SessionState) {
        let Some(lease) = &mut self.lease else {
            return;
        };
        let Some(backend) = &mut lease.backend else {
            return;
        };
        let context = state.statements.parsing_context();
        if context != lease.parsing_context {
            lease.parsing_context = context;
            backend.cache.retire();
        }
        let handle = cx.handle();
        if handle.lease() != LeaseState::Running {
            // the command did not use the server
            return;
        }
        if state.in_transaction() {
            handle.set_lease(LeaseState::Transaction);
            if cx.limits().idle_transaction_timeout.is_some() {
                cx.database().recheck_idle();
            }
            return;
        }
        handle.set_lease(LeaseState::Idle);
        if backend.target.pooling == Pooling::Statement && cx.pool().is_wanted() {
            Box::pin(self.give_up(cx, state)).await;
        }
    }

    /// Gives this backend up for a session that waits for one, unless something pins it.
    async fn give_up(&mut self, cx: &SessionContext, state: &mut SessionState) {
        let Some(backend) = self.backend() else {
            return;
        };
        let now = cx.database().door.target();
        if now.is_some_and(|now| now.generation != backend.target.generation) {
            // its server is gone
            return self.lose(state);
        }
        let pool = Arc::clone(cx.pool());
        if state.in_transaction() {
            // its lease is already marked as in a transaction
            return pool.kept();
        }
        cx.handle().set_lease(LeaseState::Idle);
        if !pool.is_wanted() {
            return;
        }
        self.note_globals(state);
        if state.needs_probe() {
            self.ask_state(cx, state, Depth::Needed).await;
        }
        if !self.has_backend() {
            return;
        }
        if state.is_free() && self.leave(cx, state) {
            return Counters::count(&pool.counters().steals);
        }
        let pins = state.pins();
        for pin in &pins {
            pool.counters().pinned(*pin);
        }
        cx.handle().pinned_by(pins);
        pool.kept();
    }
}
