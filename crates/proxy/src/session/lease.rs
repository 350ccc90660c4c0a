//! Taking a backend, keeping it lazily, and giving it up for another session.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dormouse_link::Noise;
use dormouse_session::Depth;
use dormouse_types::Pooling;
use dormouse_wire::reader::Malformed;
use tokio::sync::oneshot;

use super::statement::{MOMENT, Unready};
use super::{Attendant, Over};
use crate::backend::{Backend, BackendError, Before, Schema};
use crate::directory::Lease;
use crate::door::Pass;
use crate::pool::{Counters, Grant, Need, Offer, Pool};
use crate::refusal;

/// Why a session that waited for a lease has none.
enum Short {
    /// It took too long.
    Time,
    /// The door is being shut: only held statements may go on waiting.
    Door,
}

impl Attendant {
    pub(super) fn pool(&self) -> &Arc<Pool> {
        self.membership.database.pool()
    }

    /// Gets a lease on the server that the pass leads to and brings its backend to the session's
    /// state. The outer error ends the session.
    pub(super) async fn take_lease(
        &mut self,
        pass: &Pass,
        missing: Schema,
    ) -> Result<Result<(), Unready>, Over> {
        let grant = match self.grant(pass).await? {
            Ok(grant) => grant,
            Err(unready) => return Ok(Err(unready)),
        };
        let backend = match self.seat(pass, grant).await {
            Ok(backend) => backend,
            Err(unready) => return Ok(Err(unready)),
        };
        match backend.assume(&self.state, missing).await {
            Ok(mut backend) => {
                self.state.arrived();
                for (name, _why) in std::mem::take(&mut backend.residue.missing) {
                    // what stands for it
                    self.state.tried_text(&name, 1, true);
                }
                self.hold(backend);
                Ok(Ok(()))
            }
            Err(BackendError::Refused(error)) => Ok(Err(Unready::Refused(error))),
            Err(BackendError::Restore { statement, error }) => Ok(Err(Unready::Lost(
                refusal::cannot_restore(&statement, &error.message),
            ))),
            Err(error) => {
                self.broke(&error);
                Ok(Err(Unready::Gone))
            }
        }
    }

    fn hold(&mut self, backend: Box<Backend>) {
        let handle = &self.membership.handle;
        handle.set_lease(Lease::Running);
        handle.thread.store(backend.thread, Ordering::SeqCst);
        let now = self.shared.seconds();
        handle.held_since.store(now, Ordering::Relaxed);
        backend.place.hold(handle);
        self.context = self.state.statements.context();
        self.backend = Some(backend);
    }

    /// A backend, or the right to open one; waits for it.
    async fn grant(&mut self, pass: &Pass) -> Result<Result<Grant, Unready>, Over> {
        let pool = Arc::clone(self.pool());
        let need = Need {
            identity: Arc::clone(&self.identity),
            target: Arc::clone(&pass.target),
            schema: self.state.schema().is_some(),
        };
        let limits = pool.limits();
        let patient = !limits.open_after.is_zero();
        let receiver = match pool.ask(&need, !patient) {
            Offer::Now(grant) => return Ok(Ok(grant)),
            Offer::Wait(receiver) => receiver,
        };
        let began = Instant::now();
        let first = if patient {
            limits.open_after.min(limits.lease_timeout)
        } else {
            limits.lease_timeout
        };
        self.membership.handle.set_lease(Lease::Waiting);
        let mut granted = self.wait_for_grant(receiver, first).await?;
        if patient && matches!(granted, Err(Short::Time)) {
            granted = match pool.ask(&need, true) {
                Offer::Now(grant) => Ok(grant),
                Offer::Wait(receiver) => {
                    let rest = limits.lease_timeout.saturating_sub(first);
                    self.wait_for_grant(receiver, rest).await?
                }
            };
        }
        self.membership.handle.set_lease(Lease::None);
        pool.waited(began.elapsed());
        Ok(granted.map_err(|short| match short {
            Short::Door => Unready::Shutting,
            Short::Time => {
                Counters::count(&pool.counters().timeouts);
                Unready::Refused(refusal::no_backend(
                    limits.backends_max,
                    limits.lease_timeout.as_secs(),
                ))
            }
        }))
    }

    /// Waits at most so long. Orders of the control path are obeyed meanwhile.
    async fn wait_for_grant(
        &mut self,
        mut receiver: oneshot::Receiver<Grant>,
        most: Duration,
    ) -> Result<Result<Grant, Short>, Over> {
        let deadline = tokio::time::sleep(most);
        tokio::pin!(deadline);
        let handle = Arc::clone(&self.membership.handle);
        let door = Arc::clone(&self.database().door);
        let short = loop {
            tokio::select! {
                biased;
                grant = &mut receiver => return Ok(grant.map_err(|_| Short::Time)),
                order = poll_fn(|cx| handle.mailbox.poll_next(cx)) => {
                    Box::pin(self.obey(order)).await?;
                }
                () = door.closes() => break Short::Door,
                () = &mut deadline => break Short::Time,
            }
        };
        receiver.close();
        // it may have come in this very moment
        let grant = receiver.try_recv();
        self.pool().gave_up();
        Ok(grant.map_err(|_| short))
    }

    /// Turns a grant into a backend.
    async fn seat(&mut self, pass: &Pass, grant: Grant) -> Result<Box<Backend>, Unready> {
        let place = match grant {
            Grant::Backend(mut backend) => match backend.silence() {
                Ok(()) => {
                    Counters::count(&self.pool().counters().restores);
                    return backend.move_here().map_err(|_| Unready::Gone);
                }
                Err(noise) => {
                    if noise == Noise::Bytes {
                        self.fault(Malformed("bytes on a connection between two commands"));
                    }
                    backend.close()
                }
            },
            Grant::Open(place) => place,
        };
        let before = Before::now(&place);
        let mut opened = self.log_in(&pass.target).await;
        // the server counts connections that rest in the pool, too
        const TOO_MANY: [u16; 2] = [1203, 1226];
        let mut tries = 0;
        while let Err(BackendError::Refused(error)) = &opened
            && TOO_MANY.contains(&error.code)
            && (self.pool().close_idle_of(&self.identity) || tries > 0)
            && tries < 10
        {
            tries += 1;
            tokio::time::sleep(MOMENT).await;
            opened = self.log_in(&pass.target).await;
        }
        match opened {
            Ok(connection) => {
                Counters::count(&self.pool().counters().opened);
                Ok(Backend::new(
                    connection,
                    &pass.target,
                    &self.identity,
                    place,
                    before,
                ))
            }
            Err(BackendError::Refused(error)) => Err(Unready::Refused(error)),
            Err(BackendError::Restore { error, .. }) => Err(Unready::Lost(error)),
            Err(error) => {
                self.broke(&error);
                Err(Unready::Gone)
            }
        }
    }

    /// A command is over: others may see whether the lease can be had, and get it if they wait.
    pub(super) async fn rest(&mut self) {
        let Some(backend) = &mut self.backend else {
            return;
        };
        let context = self.state.statements.context();
        if context != self.context {
            self.context = context;
            backend.shelf.retire();
        }
        let handle = &self.membership.handle;
        if handle.lease() != Lease::Running {
            // the server had no part in it: nothing has changed
            return;
        }
        if self.state.in_transaction() {
            handle.set_lease(Lease::Transaction);
            if self.shared.config.limits.idle_transaction_timeout.is_some() {
                self.database().look_again();
            }
            return;
        }
        handle.set_lease(Lease::Idle);
        if backend.target.pooling == Pooling::Statement && self.pool().is_wanted() {
            Box::pin(self.give_up_lease()).await;
        }
    }

    /// Another session needs a backend: gives this one up, unless something pins it.
    pub(super) async fn give_up_lease(&mut self) {
        let Some(backend) = &self.backend else {
            return;
        };
        let now = self.database().door.target();
        if now.is_some_and(|now| now.generation != backend.target.generation) {
            // its server is no more
            return self.lose_backend();
        }
        if self.state.in_transaction() {
            // which it says already
            return self.pool().kept();
        }
        self.membership.handle.set_lease(Lease::Idle);
        if !self.pool().is_wanted() {
            return;
        }
        if self.state.needs_probe() {
            self.ask_state(Depth::Needed).await;
        }
        if self.backend.is_none() {
            return;
        }
        if !self.state.is_free() {
            return self.keep_lease();
        }
        if self.leave_backend() {
            Counters::count(&self.pool().counters().steals);
        } else {
            self.keep_lease();
        }
    }

    /// Counts for how long it has had the backend that it has no more.
    pub(super) fn count_held(&self) {
        let since = self.membership.handle.held_since.load(Ordering::Relaxed);
        let held = self.shared.seconds().saturating_sub(since);
        let counters = self.pool().counters();
        counters.held_s.fetch_add(held, Ordering::Relaxed);
    }

    fn keep_lease(&self) {
        let pins = self.state.pins();
        for pin in &pins {
            self.pool().counters().pinned(*pin);
        }
        self.membership.handle.pinned_by(pins);
        self.pool().kept();
    }

    /// Leaves the backend to others. The session must be free to. Says whether it has.
    pub(super) fn leave_backend(&mut self) -> bool {
        let handle = Arc::clone(&self.membership.handle);
        let Some(mut backend) = self.backend.take() else {
            return false;
        };
        // whoever takes aim counts first and looks for the thread then
        handle.thread.store(0, Ordering::SeqCst);
        if handle.aimed_at.load(Ordering::SeqCst) > 0 {
            handle.thread.store(backend.thread, Ordering::SeqCst);
            self.backend = Some(backend);
            return false;
        }
        for left in self.state.statements.leave() {
            backend.keep_statement(left);
        }
        let tainted = self.state.is_tainted();
        backend.residue.overlay = (!tainted).then(|| self.state.overlay());
        backend.residue.schema = self.state.schema().cloned();
        backend.residue.last_insert_id = self.state.last_insert_id();
        backend.residue.multi_statements = self.state.multi_statements();
        let profiled = self.state.has_profiled();
        self.state.leave();
        handle.set_lease(Lease::None);
        self.count_held();
        if backend.residue.expired || profiled {
            // it stays expired, whatever becomes of the password; and no reset forgets profiles
            drop(backend);
        } else {
            self.pool().give_back(backend);
        }
        true
    }

    /// The session is over: its backend can serve another, or is closed.
    pub(super) fn retire(&mut self) {
        if self.state.is_free() && !self.membership.handle.killed.load(Ordering::Acquire) {
            self.leave_backend();
        }
        self.lose_backend();
    }
}
