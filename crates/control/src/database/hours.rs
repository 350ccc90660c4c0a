//! Wakes and wake times by the clock: the timetable, the server's own events, the learnt pattern of use.

use std::time::Instant;

use dormouse_policy::Cause;
use dormouse_policy::lifecycle::Agenda;
use dormouse_policy::schedule::{self, EVENT_LEAD, PATTERN_LEAD, Pattern};
use dormouse_types::{Events, State};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use super::actor::Actor;
use super::habits::Habits;
use crate::calendar::{Calendar, Moment};
use crate::error::Error;
use crate::status::{Event, EventFilter, EventKind};

/// Time within which a server begins an event that is due.
const BEGINNING: SignedDuration = SignedDuration::from_secs(3);

/// Maximum number of ledger entries to learn from.
const LEARN_FROM: usize = 10_000;

/// What the clock requires now, and the reason in words.
pub(super) fn agenda(actor: &Actor) -> (Agenda, String) {
    if actor
        .database
        .moving()
        .is_some_and(|moving| moving.keeps_awake())
    {
        let agenda = Agenda {
            keep_awake: true,
            ..Agenda::default()
        };
        return (agenda, "it is being moved".to_owned());
    }
    let spec = actor.database.spec();
    let next_event = actor.database.view().noted.events.next;
    let habits = actor.habits.as_ref().filter(|_| spec.prewake);
    if spec.keep_awake.is_empty() && next_event.is_none() && habits.is_none() {
        return (Agenda::default(), String::new());
    }
    let moment = actor.context.calendar.moment();
    let Ok(now) = Timestamp::from_millisecond(moment.wall) else {
        return (Agenda::default(), String::new());
    };
    let asked = schedule::agenda(
        &spec.keep_awake,
        &actor.context.time_zone,
        next_event,
        habits.map(|h| &h.pattern),
        now,
    );
    let instant = |at: Timestamp| instant(moment, now, at);
    let mut agenda = Agenda {
        keep_awake: asked.keep_awake,
        wake_at: asked.wake_at.and_then(instant),
        changes_at: asked.changes_at.and_then(instant),
    };
    if let Some(event) = next_event
        && let (Ok(from), Ok(to)) = (event.checked_sub(EVENT_LEAD), event.checked_add(BEGINNING))
        && from <= now
        && now < to
    {
        agenda.keep_awake = true;
        agenda.changes_at = agenda.changes_at.into_iter().chain(instant(to)).min();
    }
    (agenda, asked.reason)
}

/// Omits an event that is overdue: it would wake its database repeatedly.
pub(super) fn ahead(calendar: &Calendar, events: Events) -> Events {
    let overdue = |at: &Timestamp| is_within(calendar, *at, -BEGINNING);
    Events {
        next: events.next.filter(|at| !overdue(at)),
        ..events
    }
}

/// Whether an event at this time would wake a sleeping database at once.
pub(super) fn is_due(calendar: &Calendar, event: Timestamp) -> bool {
    is_within(calendar, event, EVENT_LEAD)
}

fn is_within(calendar: &Calendar, at: Timestamp, time: SignedDuration) -> bool {
    let wait = at.as_millisecond().saturating_sub(calendar.moment().wall);
    i128::from(wait) <= time.as_millis()
}

/// Learns from the ledger at what times the database is used; once a day.
pub(super) async fn learn(actor: &mut Actor) {
    if !actor.database.spec().prewake {
        actor.habits = None;
        return;
    }
    let zone = actor.context.time_zone.clone();
    let Ok(now) = Timestamp::from_millisecond(actor.context.calendar.moment().wall) else {
        return;
    };
    let today = now.to_zoned(zone.clone()).date();
    if actor.habits.as_ref().is_some_and(|h| h.learnt == today) {
        return;
    }
    let filter = EventFilter {
        database: Some(actor.database.name.clone()),
        limit: LEARN_FROM,
        ..EventFilter::default()
    };
    let catalog = actor.context.catalog.clone();
    let learn = move || {
        let events = catalog.events(&filter)?;
        Ok::<_, Error>(Pattern::learn(&wanted(&events), &zone, now))
    };
    let learnt = tokio::task::spawn_blocking(learn).await;
    match learnt.unwrap_or(Err(Error::Stopping)) {
        Ok(pattern) => {
            actor.habits = Some(Box::new(Habits {
                learnt: today,
                pattern,
            }));
        }
        Err(error) => warn!(%error, "cannot learn its pattern of use"),
    }
}

fn instant(moment: Moment, now: Timestamp, at: Timestamp) -> Option<Instant> {
    let wait = at.duration_since(now).max(SignedDuration::ZERO);
    moment.at.checked_add(wait.try_into().ok()?)
}

/// Times at which a statement woke it, or would have if the schedule had not woken it before.
fn wanted(events: &[Event]) -> Vec<Timestamp> {
    let mut wanted = Vec::new();
    let mut ahead: Option<Timestamp> = None;
    let changes = events.iter().filter(|e| e.event == EventKind::Changed);
    for event in changes {
        match (event.to, event.cause) {
            (Some(State::Active), Cause::Demand) => wanted.push(event.at),
            (Some(State::Active), Cause::Schedule) => ahead = Some(event.at),
            (Some(State::Suspended | State::Parked), _) => {
                let idle = event
                    .figures
                    .idle_ms
                    .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
                let used =
                    idle.and_then(|ms| event.at.checked_sub(SignedDuration::from_millis(ms)).ok());
                if let (Some(woken), Some(used)) = (ahead.take(), used)
                    && used
                        > woken
                            .saturating_add(SignedDuration::from_secs(1))
                            .unwrap_or(woken)
                {
                    wanted.push(woken.saturating_add(PATTERN_LEAD).unwrap_or(woken));
                }
            }
            _ => {}
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Figures;

    fn event(at: i64, to: State, cause: Cause, idle_ms: Option<u64>) -> Event {
        Event {
            id: at,
            at: Timestamp::from_second(at).unwrap(),
            database: "shop".parse().ok(),
            actor: None,
            woken_by: None,
            event: EventKind::Changed,
            from: None,
            to: Some(to),
            cause,
            reason: String::new(),
            duration_ms: None,
            figures: Figures {
                idle_ms,
                ..Figures::default()
            },
        }
    }

    #[test]
    fn a_scheduled_wake_counts_as_wanted_if_a_statement_followed() {
        let events = [
            event(100, State::Active, Cause::Demand, None),
            event(200, State::Suspended, Cause::Idle, Some(10_000)),
            event(1000, State::Active, Cause::Schedule, None),
            event(1500, State::Parked, Cause::Idle, Some(100_000)),
            event(2000, State::Active, Cause::Schedule, None),
            event(2010, State::Suspended, Cause::Idle, Some(10_000)),
            event(3000, State::Active, Cause::Operator, None),
        ];
        let seconds: Vec<_> = wanted(&events).iter().map(|at| at.as_second()).collect();
        assert_eq!(seconds, [100, 1060]);
    }
}
