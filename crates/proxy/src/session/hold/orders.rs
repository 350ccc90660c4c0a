//! Giving a backend up for other sessions, and doing what the control path orders.

use std::sync::Arc;

use dormouse_session::{Depth, Pin, SessionState};
use dormouse_types::Pooling;
use dormouse_wire::status::Status;

use super::held::Hold;
use crate::client::Over;
use crate::handle::LeaseState;
use crate::mailbox::Order;
use crate::pool::Counters;
use crate::session::context::Context;

impl Hold {
    /// Does what the control path orders, between two statements.
    pub(crate) async fn obey(
        &mut self,
        cx: &Context,
        state: &mut SessionState,
        order: Order,
    ) -> Result<(), Over> {
        match order {
            Order::Capture(reply) => {
                let _ = reply.send(Box::pin(self.capture(cx, state)).await);
            }
            Order::Release(reply) => {
                if self.has_backend() {
                    self.lose(state);
                    if !cx.never_wakes {
                        // captured without pins: nothing is lost
                        self.forget_lost();
                    }
                }
                let _ = reply.send(());
            }
            Order::Yield => Box::pin(self.give_up(cx, state)).await,
            Order::End => return Err(Over),
        }
        Ok(())
    }

    /// Notes the state so that it can be restored; returns what cannot be. The door is shut: only the
    /// control path uses the server now.
    async fn capture(&mut self, cx: &Context, state: &mut SessionState) -> Vec<Pin> {
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
            // a session that never wakes the database is told what it loses, and pins nothing
            return Vec::new();
        }
        let pins = state.pins();
        if !pins.is_empty() && !state.in_transaction() {
            cx.handle().pinned_by(pins.clone());
        }
        pins
    }

    /// Reads the state back once the session has settled.
    pub(crate) async fn probe(&mut self, cx: &Context, state: &mut SessionState) {
        let Some(pass) = cx.database().door.enter_quietly() else {
            return;
        };
        if self
            .backend()
            .is_some_and(|backend| backend.target == pass.target)
        {
            self.ask_state(cx, state, Depth::Needed).await;
        } else {
            self.lose(state);
        }
    }

    /// A command is over: other sessions may see whether the lease can be had, and get it if they wait.
    pub(crate) async fn rest(&mut self, cx: &Context, state: &mut SessionState) {
        let Some(lease) = &mut self.lease else {
            return;
        };
        let Some(backend) = &mut lease.backend else {
            return;
        };
        let context = state.statements.context();
        if context != lease.context {
            lease.context = context;
            backend.cache.retire();
        }
        let handle = cx.handle();
        if handle.lease() != LeaseState::Running {
            // the server had no part in the command: nothing has changed
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

    /// Another session needs a backend: gives this one up, unless something pins it.
    async fn give_up(&mut self, cx: &Context, state: &mut SessionState) {
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
            // the state of its lease says so already
            return pool.kept();
        }
        cx.handle().set_lease(LeaseState::Idle);
        if !pool.is_wanted() {
            return;
        }
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
