//! State transitions of one database.
//!
//! ```text
//! active ──idle_suspend, order─────────────▶ suspended ──idle_park, order, spend limit──▶ parked
//!    │ ▲ ◀──statement, order, schedule──────────┘                                          ▲ │
//!    │ └────────────────statement, order, login, schedule──────────────────────────────────┼─┘
//!    └──idle_park (without idle_suspend, or sooner), order, spend limit────────────────────┘
//!
//! active or parked ──four failed starts in a row──▶ failed ──demand after a delay──▶ active
//! ```
//!
//! `control` calls [`decide`] whenever something may have changed, and between any two actions. The
//! result depends only on the argument, which includes a summary of the past: recent failures and denials. An
//! interrupted transition, of this process or of an earlier one, shows as a transitional state in the catalog and
//! is resolved by the state of the server's process.

use std::time::{Duration, Instant};

use dormouse_types::State;

use crate::Spec;

mod denial;
mod failures;
mod observed;
mod plan;
mod reason;

pub use denial::Denial;
pub use failures::Failures;
pub use observed::{Agenda, Door, Load, Notes, Observed, Order, Server};
pub use plan::{Act, Cause, Plan, Verb};
pub use reason::Reason;

/// Minimum interval between evaluations of an active database while a statement runs.
const SOONEST_LOOK: Duration = Duration::from_millis(100);

/// What to do with a database at the time `now`.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use dormouse_policy::lifecycle::{Agenda, Door, Failures, Load, Notes, Server};
/// use dormouse_policy::{Cause, Observed, Spec, Verb, decide};
/// use dormouse_types::State;
///
/// let spec = Spec::default(); // suspend after 10 s, park after 5 min
/// // `last` is the end of the last statement, by the caller's clock
/// # let last = <Instant>::now();
/// let seen = Observed {
///     state: State::Active,
///     since: last,
///     server: Server::Running,
///     door: Door::Open,
///     load: Load { sessions: 3, last_statement: Some(last), ..Load::default() },
///     opened: Some(last),
///     notes: Notes::Stale,
///     suspend_denied: None,
///     park_denied: None,
///     failures: Failures::default(),
///     agenda: Agenda::default(),
///     barred: false,
///     order: None,
/// };
///
/// let plan = decide(&spec, &seen, last + Duration::from_secs(4));
/// assert_eq!(plan.act, None);
/// assert_eq!(plan.look_again, Some(last + Duration::from_secs(10)));
///
/// // open sessions do not matter: idle means that no statement runs
/// let act = decide(&spec, &seen, last + Duration::from_secs(10)).act.expect("an action");
/// assert_eq!((act.verb, act.cause), (Verb::Suspend, Cause::Idle));
/// assert_eq!(act.reason.to_string(), "idle for 10 s");
/// ```
#[must_use]
pub fn decide(spec: &Spec, seen: &Observed, now: Instant) -> Plan {
    if seen.state == State::Dropping || seen.order == Some(Order::Drop) {
        return match seen
            .park_denied
            .and_then(|d| d.holds(seen.load.sessions, now))
        {
            Some(until) if seen.state == State::Dropping && seen.order.is_none() => {
                Plan::wait(Some(until))
            }
            _ => Plan::act(Verb::Drop, Cause::Operator, "it was dropped"),
        };
    }
    match seen.state {
        State::Creating | State::Dropping => Plan::wait(None),
        State::Active => active(spec, seen, now),
        State::Suspended => suspended(spec, seen, now),
        State::Parked => parked(seen, now),
        State::Failed => failed(seen, now),
        State::Suspending | State::Parking | State::Waking | State::Migrating => {
            interrupted(seen, now)
        }
    }
}

fn active(spec: &Spec, seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Stopped => return died(seen, now),
        Server::Frozen => return settle(seen, State::Suspended),
        Server::Running if seen.door == Door::Refusing && seen.barred => {}
        Server::Running if seen.door != Door::Open => return settle(seen, State::Active),
        Server::Running if seen.barred => return refuse_by_limit(),
        Server::Running => {}
    }
    match seen.order {
        Some(Order::Move) => return ordered(Verb::Move),
        Some(Order::Suspend | Order::Park | Order::ParkAndLose) if seen.agenda.keep_awake => {
            return kept_awake();
        }
        // running statements are waited for, new ones are held
        Some(Order::Suspend) => return ordered(Verb::Suspend),
        Some(Order::Park | Order::ParkAndLose) => return ordered(Verb::Park),
        _ => {}
    }
    if seen.barred {
        let held_off = seen
            .park_denied
            .and_then(|d| d.holds(seen.load.sessions, now));
        return match held_off {
            Some(until) => Plan::wait(Some(until)),
            None if seen.load.running > 0 => Plan::wait(now.checked_add(SOONEST_LOOK)),
            None => Plan::act(Verb::Park, Cause::Limit, LIMIT),
        };
    }
    let (suspend, park) = (spec.idle_suspend.duration(), spec.idle_park.duration());
    if seen.agenda.keep_awake {
        return Plan::wait(seen.agenda.changes_at.filter(|at| *at > now));
    }
    if is_busy(&seen.load) {
        let soonest = [suspend, park].into_iter().flatten().min();
        return Plan::wait(soonest.and_then(|d| now.checked_add(d.max(SOONEST_LOOK))));
    }
    let idle = idle_since(seen);
    let due = |delay: Option<Duration>, denied: Option<Denial>| {
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
    Plan::wait([suspend_due, park_due].into_iter().flatten().min())
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
    if seen.barred && seen.load.held > 0 && seen.door != Door::Refusing {
        return refuse_by_limit();
    }
    if seen.door == Door::Refusing && !seen.barred {
        return Plan::act(Verb::Rearm, Cause::Limit, "it may be used again");
    }
    let park_ordered = matches!(seen.order, Some(Order::Park | Order::ParkAndLose));
    if seen.load.held > 0 && !seen.barred && !park_ordered {
        return Plan::act(Verb::Thaw, Cause::Demand, STATEMENT);
    }
    if seen.notes != Notes::Fresh {
        let reason = "it was frozen unobserved: its accounts must be read again";
        return Plan::act(Verb::Thaw, Cause::StartUp, reason);
    }
    match seen.order {
        Some(Order::Wake | Order::Move) => return ordered(Verb::Thaw),
        Some(_) if park_ordered && seen.agenda.keep_awake => return kept_awake(),
        Some(_) if park_ordered => return ordered(Verb::Park),
        _ => {}
    }
    if due_by_schedule(seen, now) {
        return Plan::act(Verb::Thaw, Cause::Schedule, DUE);
    }
    let idle = idle_since(seen);
    let due = if seen.barred {
        Some(now)
    } else {
        spec.idle_park.duration().and_then(|d| idle.checked_add(d))
    };
    let Some(due) = due else {
        return Plan::wait(next_schedule(seen, now));
    };
    let held_off = seen
        .park_denied
        .and_then(|d| d.holds(seen.load.sessions, now));
    match held_off {
        Some(until) => Plan::wait(sooner(Some(until.max(due)), next_schedule(seen, now))),
        None if seen.barred => Plan::act(Verb::Park, Cause::Limit, LIMIT),
        None if due <= now => {
            let idle_for = Reason::Idle(now.saturating_duration_since(idle));
            Plan::act(Verb::Park, Cause::Idle, idle_for)
        }
        None => Plan::wait(sooner(Some(due), next_schedule(seen, now))),
    }
}

fn parked(seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Stopped if seen.door == Door::Refusing && !seen.barred => {
            Plan::act(Verb::Rearm, Cause::Limit, "it may be used again")
        }
        Server::Stopped if seen.order == Some(Order::Move) => ordered(Verb::Move),
        Server::Stopped => start(seen, now).unwrap_or_else(|| Plan::wait(next_schedule(seen, now))),
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
        Some(Order::Move) => return ordered(Verb::Move),
        Some(Order::Suspend | Order::Park | Order::ParkAndLose) => {
            return Plan::act(Verb::Refuse, Cause::Operator, UNABLE);
        }
        _ => {}
    }
    let wanted = if seen.load.held > 0 {
        Some((Cause::Demand, STATEMENT))
    } else if due_by_schedule(seen, now) {
        Some((Cause::Schedule, DUE))
    } else if seen.notes == Notes::Awaited {
        Some((Cause::Demand, LOGIN))
    } else {
        None
    };
    let wait = seen.failures.retry_at().filter(|at| *at > now);
    match (seen.door, wanted) {
        (Door::Shut, None) => Plan::wait(next_schedule(seen, now)),
        _ if wait.is_some() => Plan::wait(wait),
        (Door::Shut, Some((cause, reason))) => Plan::act(Verb::Start, cause, reason),
        (Door::Open | Door::Refusing, _) => Plan::act(
            Verb::Rearm,
            Cause::Failed,
            "the next statement may try again",
        ),
    }
}

/// Resolves an interrupted transition.
fn interrupted(seen: &Observed, now: Instant) -> Plan {
    match seen.server {
        Server::Running => settle(seen, State::Active),
        Server::Frozen => settle(seen, State::Suspended),
        Server::Stopped => start(seen, now).unwrap_or_else(|| settle(seen, State::Parked)),
    }
}

/// Restarts the server of an active database after it has died.
fn died(seen: &Observed, now: Instant) -> Plan {
    if seen.failures.given_up() {
        return Plan::act(Verb::GiveUp, Cause::Crash, UNABLE);
    }
    match seen.failures.retry_at() {
        Some(at) if at > now => {
            let pause = Reason::Dying(at - now);
            Plan::act(Verb::Settle(State::Parked), Cause::Crash, pause)
        }
        _ => Plan::act(Verb::Start, Cause::Crash, "its server died"),
    }
}

/// Starts a database without a server, if a statement, an order or the schedule needs it.
fn start(seen: &Observed, now: Instant) -> Option<Plan> {
    let ordered = seen.order == Some(Order::Wake);
    let (cause, reason) = if ordered {
        (Cause::Operator, "ordered")
    } else if seen.barred && seen.load.held > 0 && seen.door != Door::Refusing {
        return Some(refuse_by_limit());
    } else if seen.load.held > 0 && !seen.barred {
        (Cause::Demand, STATEMENT)
    } else if seen.notes == Notes::Awaited {
        (Cause::Demand, LOGIN)
    } else if seen.notes == Notes::Stale {
        (
            Cause::StartUp,
            "its server ended unobserved: its accounts must be read again",
        )
    } else if due_by_schedule(seen, now) {
        (Cause::Schedule, DUE)
    } else {
        return None;
    };
    if seen.failures.given_up() {
        return Some(Plan::act(Verb::GiveUp, Cause::Failed, UNABLE));
    }
    match seen.failures.retry_at() {
        Some(at) if at > now => Some(Plan::wait(Some(at))),
        _ => Some(Plan::act(Verb::Start, cause, reason)),
    }
}

/// Sets the state and the door to match the server's process.
fn settle(seen: &Observed, state: State) -> Plan {
    let reason = match seen.server {
        Server::Stopped => "found without a server",
        Server::Running => "found with its server running",
        Server::Frozen => "found with its server frozen",
    };
    Plan::act(Verb::Settle(state), Cause::StartUp, reason)
}

/// Reason for the sleep of a database at its spend limit.
pub const LIMIT: &str = "its spend limit of this month is used up";

/// Refuses statements of a database at its spend limit.
fn refuse_by_limit() -> Plan {
    Plan::act(Verb::Bar, Cause::Limit, LIMIT)
}

/// Reason for a wake by a statement.
const STATEMENT: &str = "a statement arrived";

/// Reason for a wake by a login whose accounts are not known.
const LOGIN: &str = "a login arrived, and its accounts must be read again";

/// Reason for the state `failed`.
const UNABLE: &str = "its server cannot be started";

/// Reason for a wake by the schedule; the caller replaces it by the agenda's own reason.
const DUE: &str = "it is due to be awake";

/// When the schedule wakes a sleeping database, if that is in the future.
fn next_schedule(seen: &Observed, now: Instant) -> Option<Instant> {
    sooner(seen.agenda.wake_at, seen.agenda.changes_at).filter(|at| !seen.barred && *at > now)
}

/// Whether the schedule wakes a sleeping database now.
fn due_by_schedule(seen: &Observed, now: Instant) -> bool {
    let due = seen.agenda.wake_at.is_some_and(|at| at <= now);
    !seen.barred && (due || seen.agenda.keep_awake)
}

fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}

/// Refuses an order to sleep: the schedule would wake the database at once.
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

/// Start of the idle time: the later of the last statement and the last wake.
fn idle_since(seen: &Observed) -> Instant {
    seen.load
        .last_statement
        .max(seen.opened)
        .unwrap_or(seen.since)
}

#[cfg(test)]
mod tests;
