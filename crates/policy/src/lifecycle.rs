//! The life of one database: active, suspended, parked, and back.
//!
//! ```text
//! active ──idle_suspend──▶ suspended ──idle_park──▶ parked
//!    ▲ ◀──── a statement ──────┘                       │
//!    └──────────────────── a statement ◀───────────────┘
//! ```
//!
//! [`decide`] is asked whenever something may have changed and between any two acts. It looks only
//! at what is true now, so it needs no memory of how that came about: a transition that broke off
//! half way, in this process or in one before it, is told by a state of transition, and is settled
//! by what the server's process is.

use std::time::{Duration, Instant};

use dormouse_types::State;
use serde::{Deserialize, Serialize};

use crate::Spec;

mod denied;
mod failures;
mod reason;

pub use denied::Denied;
pub use failures::Failures;
pub use reason::Reason;

/// While a statement runs, an active database is looked at no more often than this.
const SOONEST_LOOK: Duration = Duration::from_millis(100);

/// What the server's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// There is none.
    Stopped,
    /// It runs.
    Running,
    /// It is kept, and never scheduled.
    Frozen,
}

/// What becomes of a statement that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// It goes to the server.
    Open,
    /// It is held, and asks for a wake.
    Shut,
    /// It gets an error.
    Refusing,
}

/// The database's load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Client connections.
    pub sessions: u32,
    /// Statements on the server now.
    pub running: u32,
    /// Statements held until the server is awake.
    pub held: u32,
    /// Sessions with an open transaction. They veto a park, by their own voice; not a suspend.
    pub transactions: u32,
    /// When the last statement ended.
    pub last_statement: Option<Instant>,
}

/// Whether the accounts and schemas noted for the time of sleep are those of the server's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notes {
    /// They were taken with the traffic shut, which has not been opened since.
    Fresh,
    /// They may be out of date: the server must be asked.
    Stale,
}

/// What somebody demands, idle or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Make it active.
    Wake,
    /// Make it suspended.
    Suspend,
    /// Make it parked.
    Park,
    /// Make it disappear.
    Drop,
}

impl Order {
    /// Whether a database in this state is as ordered. A parked database sleeps deeper than one
    /// that was told to suspend.
    #[must_use]
    pub fn met(self, state: State) -> bool {
        match self {
            Self::Wake => state == State::Active,
            Self::Suspend => matches!(state, State::Suspended | State::Parked),
            Self::Park => state == State::Parked,
            Self::Drop => false,
        }
    }
}

/// What the clock asks for, as [`schedule`](crate::schedule) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agenda {
    /// Whether it is to stay awake now.
    pub keep_awake: bool,
    /// When it is woken, if it sleeps.
    pub wake_at: Option<Instant>,
    /// When this may be different.
    pub changes_at: Option<Instant>,
}

/// All that is known of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The state the catalog says.
    pub state: State,
    /// When it came into this state.
    pub since: Instant,
    /// What its server's process is.
    pub server: Server,
    /// What becomes of its statements.
    pub gate: Gate,
    /// Its load.
    pub load: Load,
    /// When its traffic was last opened, if this is known.
    pub opened: Option<Instant>,
    /// What is noted of it for the time it sleeps.
    pub notes: Notes,
    /// The last attempt to suspend it that was denied, if none has succeeded since.
    pub suspend_denied: Option<Denied>,
    /// The last attempt to park it that was denied, if none has succeeded since.
    pub park_denied: Option<Denied>,
    /// What went wrong with its server.
    pub failures: Failures,
    /// What is set for its hours.
    pub agenda: Agenda,
    /// It has cost as much as it may, and sleeps until that is over.
    pub barred: bool,
    /// What somebody demands.
    pub order: Option<Order>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Start the server and open the traffic.
    Start,
    /// Let the frozen server run and open the traffic.
    Thaw,
    /// Freeze the server, the traffic shut.
    Suspend,
    /// Stop the server, the sessions kept.
    Park,
    /// Nothing is in the way: call the state what it is, and set the traffic to match.
    Settle(State),
    /// Shut the traffic that was refusing: the next statement may ask for a wake again.
    Rearm,
    /// Tell those who wait that the database may not be used.
    Bar,
    /// Tell those who wait that the server cannot be started.
    GiveUp,
    /// End the server and remove all there is.
    Drop,
    /// Answer the order with a no.
    Refuse,
}

/// Why something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A statement needs the server.
    Demand,
    /// Nobody has used it for long enough.
    Idle,
    /// Its load.
    Load,
    /// The machine's room for databases.
    Room,
    /// A time that was set for it.
    Schedule,
    /// A limit on what it may cost or hold.
    Limit,
    /// Somebody ordered it.
    Operator,
    /// The server died.
    Crash,
    /// A session cannot live through it.
    Veto,
    /// Found so when dormouse started, or left so by an attempt that broke off.
    StartUp,
    /// The server could not be started, or would not do as told.
    Failed,
    /// Its files take too much disk, or no longer do.
    Storage,
}

impl Cause {
    /// The word used in JSON and the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Demand => "demand",
            Self::Idle => "idle",
            Self::Load => "load",
            Self::Room => "room",
            Self::Schedule => "schedule",
            Self::Limit => "limit",
            Self::Operator => "operator",
            Self::Crash => "crash",
            Self::Veto => "veto",
            Self::StartUp => "start_up",
            Self::Failed => "failed",
            Self::Storage => "storage",
        }
    }
}

/// One thing to do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// What to do.
    pub verb: Verb,
    /// Why, as a word.
    pub cause: Cause,
    /// Why, for a human.
    pub reason: Reason,
}

/// What follows from what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to do now; then look again at once.
    pub act: Option<Act>,
    /// When to look again if nothing happens before: always later than now. `None` if only an
    /// event can change anything: a statement, an order, the end of the process.
    pub look_again: Option<Instant>,
}

impl Plan {
    fn act(verb: Verb, cause: Cause, reason: impl Into<Reason>) -> Self {
        Self {
            act: Some(Act {
                verb,
                cause,
                reason: reason.into(),
            }),
            look_again: None,
        }
    }

    fn rest(look_again: Option<Instant>) -> Self {
        Self {
            act: None,
            look_again,
        }
    }
}

/// What to do with a database of which this is known, at the time `now`.
#[must_use]
pub fn decide(spec: &Spec, seen: &Observed, now: Instant) -> Plan {
    if seen.state == State::Dropping || seen.order == Some(Order::Drop) {
        return match seen
            .park_denied
            .and_then(|d| d.holds(seen.load.sessions, now))
        {
            Some(until) if seen.state == State::Dropping && seen.order.is_none() => {
                Plan::rest(Some(until))
            }
            _ => Plan::act(Verb::Drop, Cause::Operator, "it was dropped"),
        };
    }
    match seen.state {
        State::Creating | State::Dropping => Plan::rest(None),
        State::Active => active(spec, seen, now),
        State::Suspended => suspended(spec, seen, now),
        State::Parked => parked(seen, now),
        State::Failed => failed(seen, now),
        State::Suspending | State::Parking | State::Waking | State::Migrating => between(seen, now),
    }
}

fn active(spec: &Spec, seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Stopped => return died(seen, now),
        Server::Frozen => return settle(seen, State::Suspended),
        Server::Running if seen.gate == Gate::Refusing && seen.barred => {}
        Server::Running if seen.gate != Gate::Open => return settle(seen, State::Active),
        Server::Running if seen.barred => return bar(),
        Server::Running => {}
    }
    match seen.order {
        Some(Order::Suspend | Order::Park) if seen.agenda.keep_awake => return kept_awake(),
        // what runs is waited for, what comes is held
        Some(Order::Suspend) => return ordered(Verb::Suspend),
        Some(Order::Park) => return ordered(Verb::Park),
        _ => {}
    }
    if seen.barred {
        let held_off = seen
            .park_denied
            .and_then(|d| d.holds(seen.load.sessions, now));
        return match held_off {
            Some(until) => Plan::rest(Some(until)),
            None if seen.load.running > 0 => Plan::rest(now.checked_add(SOONEST_LOOK)),
            None => Plan::act(Verb::Park, Cause::Limit, LIMIT),
        };
    }
    let (suspend, park) = (spec.idle_suspend.duration(), spec.idle_park.duration());
    if seen.agenda.keep_awake {
        return Plan::rest(seen.agenda.changes_at.filter(|at| *at > now));
    }
    if is_busy(&seen.load) {
        let soonest = [suspend, park].into_iter().flatten().min();
        return Plan::rest(soonest.and_then(|d| now.checked_add(d.max(SOONEST_LOOK))));
    }
    let idle = idle_since(seen);
    let due = |delay: Option<Duration>, denied: Option<Denied>| {
        let due = idle.checked_add(delay?)?;
        let until = denied.and_then(|d| d.holds(seen.load.sessions, now));
        Some(until.map_or(due, |u| due.max(u)))
    };
    let suspend_due = due(suspend, seen.suspend_denied);
    let park_due = due(park, seen.park_denied);
    let idle_for = Reason::Idle(now.saturating_duration_since(idle));
    if park_due.is_some_and(|t| t <= now) {
        return Plan::act(Verb::Park, Cause::Idle, idle_for);
    }
    if suspend_due.is_some_and(|t| t <= now) {
        return Plan::act(Verb::Suspend, Cause::Idle, idle_for);
    }
    Plan::rest([suspend_due, park_due].into_iter().flatten().min())
}

fn suspended(spec: &Spec, seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Stopped => {
            let reason = "its server died while it was frozen";
            return Plan::act(Verb::Settle(State::Parked), Cause::Crash, reason);
        }
        Server::Running => return settle(seen, State::Active),
        Server::Frozen => {}
    }
    if seen.barred && seen.load.held > 0 && seen.gate != Gate::Refusing {
        return bar();
    }
    if seen.gate == Gate::Refusing && !seen.barred {
        return Plan::act(Verb::Rearm, Cause::Limit, "it may be used again");
    }
    if seen.load.held > 0 && !seen.barred && seen.order != Some(Order::Park) {
        return Plan::act(Verb::Thaw, Cause::Demand, "a statement arrived");
    }
    if seen.notes == Notes::Stale {
        let reason = "it was frozen unobserved: its accounts must be read again";
        return Plan::act(Verb::Thaw, Cause::StartUp, reason);
    }
    match seen.order {
        Some(Order::Wake) => return ordered(Verb::Thaw),
        Some(Order::Park) if seen.agenda.keep_awake => return kept_awake(),
        Some(Order::Park) => return ordered(Verb::Park),
        _ => {}
    }
    if called(seen, now) {
        return Plan::act(Verb::Thaw, Cause::Schedule, DUE);
    }
    let idle = idle_since(seen);
    let due = if seen.barred {
        Some(now)
    } else {
        spec.idle_park.duration().and_then(|d| idle.checked_add(d))
    };
    let Some(due) = due else {
        return Plan::rest(called_at(seen, now));
    };
    let held_off = seen
        .park_denied
        .and_then(|d| d.holds(seen.load.sessions, now));
    match held_off {
        Some(until) => Plan::rest(sooner(Some(until.max(due)), called_at(seen, now))),
        None if seen.barred => Plan::act(Verb::Park, Cause::Limit, LIMIT),
        None if due <= now => {
            let idle_for = Reason::Idle(now.saturating_duration_since(idle));
            Plan::act(Verb::Park, Cause::Idle, idle_for)
        }
        None => Plan::rest(sooner(Some(due), called_at(seen, now))),
    }
}

fn parked(seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Stopped if seen.gate == Gate::Refusing && !seen.barred => {
            Plan::act(Verb::Rearm, Cause::Limit, "it may be used again")
        }
        Server::Stopped => start(seen, now).unwrap_or_else(|| Plan::rest(called_at(seen, now))),
        Server::Running => settle(seen, State::Active),
        Server::Frozen => settle(seen, State::Suspended),
    }
}

fn failed(seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Running => return settle(seen, State::Active),
        Server::Frozen => return settle(seen, State::Suspended),
        Server::Stopped => {}
    }
    match seen.order {
        Some(Order::Wake) => return ordered(Verb::Start),
        Some(Order::Suspend | Order::Park) => {
            return Plan::act(
                Verb::Refuse,
                Cause::Operator,
                "its server cannot be started",
            );
        }
        _ => {}
    }
    let wait = seen.failures.retry_at().filter(|at| *at > now);
    match seen.gate {
        Gate::Shut if seen.load.held == 0 && !called(seen, now) => Plan::rest(called_at(seen, now)),
        _ if wait.is_some() => Plan::rest(wait),
        Gate::Shut if seen.load.held == 0 => Plan::act(Verb::Start, Cause::Schedule, DUE),
        Gate::Shut => Plan::act(Verb::Start, Cause::Demand, "a statement arrived"),
        Gate::Open | Gate::Refusing => Plan::act(
            Verb::Rearm,
            Cause::Failed,
            "the next statement may try again",
        ),
    }
}

/// A transition that broke off.
fn between(seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Running => settle(seen, State::Active),
        Server::Frozen => settle(seen, State::Suspended),
        Server::Stopped => start(seen, now).unwrap_or_else(|| settle(seen, State::Parked)),
    }
}

/// The server of an active database is gone.
fn died(seen: &Observed, now: Instant) -> Plan {
    if seen.failures.given_up() {
        return Plan::act(Verb::GiveUp, Cause::Crash, "its server keeps dying");
    }
    match seen.failures.retry_at() {
        Some(at) if at > now => {
            let pause = Reason::Dying(at - now);
            Plan::act(Verb::Settle(State::Parked), Cause::Crash, pause)
        }
        _ => Plan::act(Verb::Start, Cause::Crash, "its server died"),
    }
}

/// What to do with a database that has no server, if anybody wants one.
fn start(seen: &Observed, now: Instant) -> Option<Plan> {
    let ordered = seen.order == Some(Order::Wake);
    let (cause, reason) = if ordered {
        (Cause::Operator, "ordered")
    } else if seen.barred && seen.load.held > 0 && seen.gate != Gate::Refusing {
        return Some(bar());
    } else if seen.load.held > 0 && !seen.barred {
        (Cause::Demand, "a statement arrived")
    } else if seen.notes == Notes::Stale {
        (
            Cause::StartUp,
            "its server ended unobserved: its accounts must be read again",
        )
    } else if called(seen, now) {
        (Cause::Schedule, DUE)
    } else {
        return None;
    };
    if seen.failures.given_up() {
        return Some(Plan::act(
            Verb::GiveUp,
            Cause::Failed,
            "its server cannot be started",
        ));
    }
    match seen.failures.retry_at() {
        Some(at) if at > now => Some(Plan::rest(Some(at))),
        _ => Some(Plan::act(Verb::Start, cause, reason)),
    }
}

fn settle(seen: &Observed, state: State) -> Plan {
    let reason = match seen.server {
        Server::Stopped => "found without a server",
        Server::Running => "found with its server running",
        Server::Frozen => "found with its server frozen",
    };
    Plan::act(Verb::Settle(state), Cause::StartUp, reason)
}

/// Why a database that may not be used sleeps.
pub const LIMIT: &str = "its spend limit of this month is used up";

fn bar() -> Plan {
    Plan::act(Verb::Bar, Cause::Limit, LIMIT)
}

/// Why a sleeping database is woken by the clock; who keeps the agenda knows more.
const DUE: &str = "it is due to be awake";

/// When the clock wakes a sleeping database, if that is later.
fn called_at(seen: &Observed, now: Instant) -> Option<Instant> {
    sooner(seen.agenda.wake_at, seen.agenda.changes_at).filter(|at| !seen.barred && *at > now)
}

/// Whether the clock wakes a sleeping database now.
fn called(seen: &Observed, now: Instant) -> bool {
    let due = seen.agenda.wake_at.is_some_and(|at| at <= now);
    !seen.barred && (due || seen.agenda.keep_awake)
}

fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// It would be woken at once.
fn kept_awake() -> Plan {
    let reason = "it is kept awake now, by its hours or an event that is due";
    Plan::act(Verb::Refuse, Cause::Operator, reason)
}

fn ordered(verb: Verb) -> Plan {
    Plan::act(verb, Cause::Operator, "ordered")
}

/// Whether a statement runs or waits.
fn is_busy(load: &Load) -> bool {
    load.running > 0 || load.held > 0
}

/// Since when nobody has used it: the later of the last statement and the last wake.
fn idle_since(seen: &Observed) -> Instant {
    seen.load
        .last_statement
        .max(seen.opened)
        .unwrap_or(seen.since)
}

#[cfg(test)]
mod tests;
