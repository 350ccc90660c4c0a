//! Gets a backend: from the pool, or by a login to the server.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_link::Unusable;
use dormouse_session::SessionState;
use dormouse_types::{Doing, Manager, SessionStatus, Target, pin};
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::ErrPacket;
use tokio::sync::oneshot;

use super::carrying::make_again;
use super::held::Hold;
use super::lease::Lease;
use super::unready::Unready;
use crate::backend::{Backend, BackendError, ChangeCounts, Connection, Schema};
use crate::client::Over;
use crate::door::Pass;
use crate::handle::LeaseState;
use crate::pool::place::Place;
use crate::pool::{Counters, Grant, Need, Offer};
use crate::refusal;
use crate::session::context::SessionContext;

/// Pause before another attempt while the server has no connection free.
const PAUSE: Duration = Duration::from_millis(5);

/// Number of sessions that an error names.
const NAMED: usize = 3;

/// Why a session that waited for a lease has none.
enum Short {
    /// It took too long.
    Time,
    /// The door is being shut: only held statements may go on waiting.
    Door,
}

impl Hold {
    /// If the login names a schema and the server is awake, connects at once: the server's own
    /// answer about the schema is part of the login's answer.
    pub(crate) async fn arrive(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
    ) -> Result<(), ErrPacket> {
        if state.schema().is_none() {
            return Ok(());
        }
        let Some(pass) = cx.database().door.enter_quietly() else {
            return Ok(());
        };
        match self.take(cx, state, &pass, Schema::Required).await {
            Ok(Ok(())) => {
                drop(pass);
                self.share_lease(cx, state).await;
                Ok(())
            }
            Ok(Err(Unready::Refused(error) | Unready::CannotRestore(error))) => Err(error),
            // the server is being stopped; the first statement will wait for the next server
            Ok(Err(Unready::ServerGone | Unready::Shutting | Unready::SessionStateLost(_))) => {
                Ok(())
            }
            Err(Over) => Err(refusal::ended()),
        }
    }

    /// Gets a new backend; drops the old one, if there is one. The outer error ends the
    /// session.
    pub(crate) async fn replace(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        pass: &Pass,
    ) -> Result<Result<(), Unready>, Over> {
        self.lose(state);
        if !self.has_told() && Box::pin(self.was_ended_alone(cx, &pass.target)).await {
            return Err(Over);
        }
        let mut lost = self.take_lost();
        if state.carries_locks() {
            // the door has opened without them: others may have had the locks
            lost.extend(state.lose_carried());
        }
        if !lost.is_empty() {
            return Ok(Err(Unready::SessionStateLost(lost)));
        }
        self.take(cx, state, pass, Schema::IfThere).await
    }

    /// Gets a lease on the pass's server and restores the session's state on its backend.
    pub(super) async fn take(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        pass: &Pass,
        missing: Schema,
    ) -> Result<Result<(), Unready>, Over> {
        let rights = cx.pool().rights();
        let grant = match self.grant(cx, state, pass).await? {
            Ok(grant) => grant,
            Err(unready) => return Ok(Err(unready)),
        };
        let opened = match self.open(cx, pass, grant).await {
            Ok(backend) => {
                let connection = cx.connection_id();
                let former = cx.former_globals();
                backend.restore(state, &former, connection, missing).await
            }
            Err(error) => Err(error),
        };
        let opened = match opened {
            Ok(backend) => Box::pin(make_again(backend, state)).await,
            Err(error) => Err(error),
        };
        Ok(match opened {
            Ok(mut backend) => {
                state.arrived();
                state.carried_over();
                for (name, _why) in std::mem::take(&mut backend.residue.missing) {
                    // a stand-in has been prepared for it
                    state.tried_text(&name, 1, true);
                }
                if std::mem::take(&mut backend.residue.entered) {
                    cx.entered(state, &backend, rights);
                }
                let context = state.statements.parsing_context();
                self.lease = Some(Lease::new(cx, backend, context));
                Ok(())
            }
            Err(BackendError::LockTaken) => Err(Unready::SessionStateLost(state.lose_carried())),
            Err(BackendError::Refused(error)) => Err(Unready::Refused(error)),
            Err(BackendError::NoAccount(error)) => Err(Unready::CannotRestore(error)),
            Err(BackendError::Restore { statement, error }) => Err(Unready::CannotRestore(
                refusal::cannot_restore(&statement, &error.message),
            )),
            Err(error) => {
                self.broke(cx, state, &error);
                Err(Unready::ServerGone)
            }
        })
    }

    /// A backend, or the right to open one; waits for it.
    async fn grant(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        pass: &Pass,
    ) -> Result<Result<Grant, Unready>, Over> {
        let pool = Arc::clone(cx.pool());
        let need = Need {
            identity: Arc::clone(&cx.identity),
            target: Arc::clone(&pass.target),
            schema: state.schema().is_some(),
            session: None,
        };
        let limits = pool.limits();
        let patient = !limits.open_after.is_zero();
        let receiver = match pool.ask(&need, !patient) {
            Offer::Now(grant) => return Ok(Ok(grant)),
            Offer::Wait(receiver) => receiver,
        };
        let began = Instant::now();
        // one deadline, however often the door is shut meanwhile
        let since = *self.waits_since.get_or_insert(began);
        let most = limits.lease_timeout.saturating_sub(since.elapsed());
        let first = if patient {
            limits.open_after.min(most)
        } else {
            most
        };
        cx.handle().set_lease(LeaseState::Waiting);
        let mut granted = self.wait_for_grant(cx, state, receiver, first).await?;
        if patient && matches!(granted, Err(Short::Time)) {
            granted = match pool.ask(&need, true) {
                Offer::Now(grant) => Ok(grant),
                Offer::Wait(receiver) => {
                    let rest = most.saturating_sub(first);
                    self.wait_for_grant(cx, state, receiver, rest).await?
                }
            };
        }
        cx.handle().set_lease(LeaseState::None);
        pool.waited(began.elapsed());
        Ok(granted.map_err(|short| match short {
            Short::Door => Unready::Shutting,
            Short::Time => {
                Counters::count(&pool.counters().timeouts);
                Unready::Refused(refusal::no_backend(
                    limits.backends_max,
                    limits.lease_timeout.as_secs(),
                    &holders(cx),
                ))
            }
        }))
    }

    /// Waits for a grant, at most for the duration `most`; obeys orders meanwhile.
    async fn wait_for_grant(
        &mut self,
        cx: &SessionContext,
        state: &mut SessionState,
        mut receiver: oneshot::Receiver<Grant>,
        most: Duration,
    ) -> Result<Result<Grant, Short>, Over> {
        let deadline = tokio::time::sleep(most);
        tokio::pin!(deadline);
        let door = Arc::clone(&cx.database().door);
        let short = loop {
            tokio::select! {
                biased;
                grant = &mut receiver => return Ok(grant.map_err(|_| Short::Time)),
                order = poll_fn(|poll| cx.handle().mailbox.poll_next(poll)) => {
                    Box::pin(self.obey(cx, state, order)).await?;
                }
                () = door.until_closing() => break Short::Door,
                () = &mut deadline => break Short::Time,
            }
        };
        receiver.close();
        // it may have come just before the receiver was closed
        let grant = receiver.try_recv();
        cx.pool().gave_up();
        Ok(grant.map_err(|_| short))
    }

    /// Turns a grant into a backend.
    async fn open(
        &mut self,
        cx: &SessionContext,
        pass: &Pass,
        grant: Grant,
    ) -> Result<Box<Backend>, BackendError> {
        let place = match reuse(cx, grant)? {
            Ok(backend) => {
                Counters::count(&cx.pool().counters().restores);
                return Ok(backend);
            }
            Err(place) => place,
        };
        let before = ChangeCounts::now(&place);
        let mut opened = self.log_in(cx, &pass.target).await;
        // the server counts the pool's idle connections, too
        const TOO_MANY: [u16; 2] = [1203, 1226];
        let mut tries = 0;
        while let Err(BackendError::Refused(error)) = &opened
            && TOO_MANY.contains(&error.code)
            && (cx.pool().close_idle_of(&cx.identity) || tries > 0)
            && tries < 10
        {
            tries += 1;
            tokio::time::sleep(PAUSE).await;
            opened = self.log_in(cx, &pass.target).await;
        }
        let connection = opened?;
        Counters::count(&cx.pool().counters().opened);
        let target = &pass.target;
        Ok(Backend::new(
            connection,
            target,
            &cx.identity,
            place,
            before,
        ))
    }

    /// Logs in; gives the account the proxy's credential if it lacks it.
    async fn log_in(
        &mut self,
        cx: &SessionContext,
        target: &Arc<Target>,
    ) -> Result<Connection, BackendError> {
        let identity = &*cx.identity;
        let (user, host) = (&identity.account_user, &identity.account_host);
        let credential = cx.control().credential(target.origin, user, host);
        let certificate = || {
            let names = identity.security.names();
            let sign = |names| cx.control().client_certificate(target.instance, names);
            names.map(sign).transpose()
        };
        if self.enrolled {
            match Connection::connect(target, identity, credential, certificate()?).await {
                Err(BackendError::Refused(error)) if error.code == 1045 => {}
                done => return done,
            }
        }
        match cx.control().enroll(&cx.database().name, user, host).await? {
            true => self.enrolled = true,
            false => {
                let error = refusal::access_denied(&identity.user, &identity.peer.host(), true);
                return Err(BackendError::NoAccount(error));
            }
        }
        Connection::connect(target, identity, credential, certificate()?).await
    }
}

/// The backend that was granted, if it can be used; else the right to open one in its place.
pub(crate) fn reuse(
    cx: &SessionContext,
    grant: Grant,
) -> std::io::Result<Result<Box<Backend>, Place>> {
    let mut backend = match grant {
        Grant::Backend(backend) => backend,
        Grant::Open(place) => return Ok(Err(place)),
    };
    match backend.check_idle() {
        Ok(()) => backend.move_here().map(Ok),
        Err(noise) => {
            if noise == Unusable::Bytes {
                cx.fault(Malformed("bytes on a connection between two commands"));
            }
            Ok(Err(backend.close()))
        }
    }
}

/// The sessions that hold the backends, as far as this one may see them: an owner sees all, others those of their own
/// user.
fn holders(cx: &SessionContext) -> String {
    let now = cx.shared.seconds();
    let sees_all = cx.identity.manager == Manager::Owner;
    let mut holders: Vec<SessionStatus> = cx
        .pool()
        .backends()
        .into_iter()
        .filter_map(|backend| Some(backend.session?.status(now)))
        .filter(|session| sees_all || session.user == cx.identity.user)
        .collect();
    // those that have it longest are the likeliest cause
    holders.sort_by_key(|session| std::cmp::Reverse(session.held_s));
    let named: Vec<String> = holders
        .iter()
        .take(NAMED)
        .map(|session| {
            let (id, user, host) = (session.id, &session.user, &session.host);
            let held = session.held_s.unwrap_or_default();
            let why = match session.doing {
                Doing::Pinned => pin::list(&session.pins),
                doing => doing.as_str().to_owned(),
            };
            format!("session {id} of '{user}' at {host} ({why}, for {held} s)")
        })
        .collect();
    match named.is_empty() {
        true => String::new(),
        false => format!(": {}", named.join(", ")),
    }
}
