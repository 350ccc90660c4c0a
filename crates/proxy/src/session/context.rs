//! A session's context: its database, its user, the configuration.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dormouse_session::sleeping::AsleepContext;
use dormouse_session::tls_status::TlsStatus;
use dormouse_session::{Role, SessionState};
use dormouse_types::{Manager, Variables, WokenBy};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::{ErrPacket, Tracking};

use crate::backend::{Backend, ConnectionId};
use crate::config::Limits;
use crate::control_path::ControlPath;
use crate::database::{Database, Membership};
use crate::guard::Client;
use crate::guard::Seat;
use crate::handle::{BUSY, LeaseState, SessionHandle};
use crate::identity::Identity;
use crate::pool::entered::Entering;
use crate::pool::{Counters, Pool};
use crate::refusal;
use crate::shared::Shared;
use crate::stream::Peer;

/// A session's database, user and configuration. Only `COM_CHANGE_USER` changes it.
pub(crate) struct SessionContext {
    pub(crate) shared: Arc<Shared>,
    pub(crate) membership: Membership,
    /// Its places in the counts of connections, held until it ends.
    pub(crate) _seats: Box<[Seat]>,
    pub(crate) identity: Arc<Identity>,
    /// Whether the password had expired at the login: then only the server can answer.
    pub(crate) expired: bool,
    /// Whether it does not wake the database, nor keep it awake.
    pub(crate) never_wakes: bool,
    /// The client's cipher, if its server would tell another.
    pub(crate) tls: Option<Box<TlsStatus>>,
}

impl SessionContext {
    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.membership.database
    }

    pub(crate) fn handle(&self) -> &Arc<SessionHandle> {
        &self.membership.handle
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        self.database().pool()
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.config.limits
    }

    pub(crate) fn control(&self) -> &dyn ControlPath {
        &*self.shared.control
    }

    /// The connection id that its backends have.
    pub(crate) fn connection_id(&self) -> ConnectionId<'_> {
        ConnectionId {
            id: Some(self.handle().id),
            control: self.control(),
        }
    }

    /// Tells the control path that a statement needs the server, unless the session never wakes it. `by`: what the
    /// ledger says of it, if it is the first.
    pub(crate) fn demand(&self, by: &dyn Fn() -> WokenBy) {
        if !self.never_wakes {
            let name = &self.database().name;
            self.control().demand(name, &self.identity.user, by);
        }
    }

    /// Whether the session may cause the start of the server for which its statement would wait now. Only
    /// the first of several statements that wait for one start is counted, and a thaw is none.
    pub(crate) fn may_wake(&self) -> Result<(), ErrPacket> {
        let database = self.database();
        if !database.door.causes_start() {
            return Ok(());
        }
        let client = match self.identity.peer {
            Peer::Tcp { from, .. } => Some(Client::at(from.ip())),
            Peer::Unix => None,
        };
        let guard = &self.shared.guard;
        guard
            .wake(client, &database.buckets, Instant::now())
            .map_err(|reached| {
                database.door.causes_none();
                refusal::too_many_wakes(&reached)
            })
    }

    /// `wait_timeout` in seconds after a reset, and by `DEFAULT`; an interactive client has another after its login.
    pub(crate) fn idle_default(&self) -> u64 {
        self.limits().wait_timeout.as_secs()
    }

    /// Sets how many seconds the session may be idle.
    pub(crate) fn limit_idle(&self, seconds: u64) {
        let limit = &self.handle().idle_limit;
        if limit.swap(seconds, Ordering::Relaxed) > seconds {
            self.database().recheck_idle();
        }
    }

    /// The error for a statement whose server was not ready in time.
    pub(crate) fn hold_timeout(&self) -> ErrPacket {
        let why = self.control().last_failure(&self.database().name);
        refusal::hold_timeout(self.limits().hold_timeout.as_secs(), why)
    }

    /// How long the session may wait for its client now.
    pub(crate) fn may_be_idle(&self) -> Duration {
        let handle = self.handle();
        let limit = Duration::from_secs(handle.idle_limit.load(Ordering::Relaxed));
        match self.limits().idle_transaction_timeout {
            Some(shorter) if handle.lease() == LeaseState::Transaction => limit.min(shorter),
            _ => limit,
        }
    }

    /// Notes in the handle that the session runs a command.
    pub(crate) fn mark_busy(&self) {
        self.handle().heard.store(BUSY, Ordering::Relaxed);
    }

    /// Notes in the handle that the session waits for its client, and since when.
    pub(crate) fn mark_idle(&self) {
        let now = self.shared.seconds();
        self.handle().heard.store(now, Ordering::Relaxed);
    }

    /// Counts a command that was answered while the database slept.
    pub(crate) fn count_asleep(&self) {
        let count = &self.database().sleeping_answers;
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and logs that a server sent something that is no reply to its command: a bug of the server or of
    /// Dormouse.
    pub(crate) fn fault(&self, what: Malformed) {
        Counters::count(&self.pool().counters().faults);
        let thread = self.handle().thread.load(Ordering::Relaxed);
        tracing::error!(thread, %what, "a reply out of turn: its connection is closed");
    }

    /// How much of session tracking the client is sent. `own_values`: the backend has the session's own
    /// `session_track_state_change`, not Dormouse's, and reports what the client has asked for.
    pub(crate) fn tracking(&self, state: &SessionState, own_values: bool) -> Tracking {
        let asked = self.identity.capabilities;
        match asked.contains(Capabilities::SESSION_TRACK) {
            false => Tracking::Nothing,
            true if own_values || state.state_tracking() == Some(true) => Tracking::All,
            true => Tracking::AllButState,
        }
    }

    /// Notes that the session begins, or begins anew, with the present global values.
    pub(crate) fn begins_with_globals(&self) {
        let count = self.globals_count();
        self.handle().globals.store(count, Ordering::Relaxed);
        let begin = &self.handle().globals_at_begin;
        begin.store(count, Ordering::Relaxed);
    }

    /// Whether no global values are known to have been set since the session began or was reset last: then a reset leads
    /// to the same state.
    pub(crate) fn would_begin_the_same(&self) -> bool {
        let begin = &self.handle().globals_at_begin;
        begin.load(Ordering::Relaxed) == self.globals_count()
    }

    fn globals_count(&self) -> u64 {
        let pool = self.database().used_pool();
        pool.map_or(0, |pool| pool.globals().count())
    }

    /// The statements that give a new backend the global values with which the session began, where others have been
    /// set since.
    pub(crate) fn former_globals(&self) -> Vec<Vec<u8>> {
        let began = self.handle().globals.load(Ordering::Relaxed);
        let pool = self.database().used_pool();
        pool.map_or(Vec::new(), |pool| pool.globals().former(began))
    }

    /// Whether the session, which has this role, is known to be allowed to enter a schema.
    fn may_enter(&self, role: Option<&Role>, schema: &[u8]) -> bool {
        const OF_SERVER: [&[u8]; 3] = [b"mysql", b"sys", b"performance_schema"];
        let own = !OF_SERVER
            .iter()
            .any(|name| name.eq_ignore_ascii_case(schema));
        if own && self.identity.manager == Manager::Owner {
            return true;
        }
        let known = self.database().used_pool().zip(role);
        known.is_some_and(|(pool, role)| pool.may_enter(&self.identity, role, schema))
    }

    /// Notes that the session has entered its schema on this backend. `rights`: the count of changes of privileges
    /// before.
    pub(crate) fn entered(&self, state: &SessionState, backend: &Backend, rights: u64) {
        // an older backend has the global privileges of its login
        let present = backend.residue.rights == rights;
        if let (true, Some(schema), Some(role)) = (present, state.schema(), state.role()) {
            let entering = Entering {
                who: &self.identity,
                of_login: backend.residue.login_role(),
                role,
                schema,
                rights,
            };
            self.pool().entered(entering);
        }
    }

    /// Calls `ask` with the session's state and the facts that an answer without a server depends on.
    /// `globals`: the global variables; `backend`: whether the session has a backend.
    pub(crate) fn ask_state<T>(
        &self,
        state: &mut SessionState,
        globals: Option<&Variables>,
        backend: bool,
        ask: impl FnOnce(&mut SessionState, &AsleepContext<'_>) -> T,
    ) -> T {
        let control = self.control();
        let name = &self.database().name;
        let role = state.role();
        let context = AsleepContext {
            globals,
            capabilities: self.identity.capabilities,
            collation: self.identity.collation,
            connection_id: self.handle().id,
            wait_timeout: self.handle().idle_limit.load(Ordering::Relaxed),
            socket: self.shared.socket(),
            backend,
            has_schema: &|schema| control.has_schema(name, schema),
            may_enter: &|schema| self.may_enter(role.as_ref(), schema),
        };
        ask(state, &context)
    }
}
