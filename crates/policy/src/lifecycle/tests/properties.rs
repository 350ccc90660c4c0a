use dormouse_types::Delay;
use proptest::prelude::*;

use super::*;

fn any_delay() -> impl Strategy<Value = Delay> {
    prop_oneof![
        Just(Delay::Never),
        Just(Delay::After(Duration::ZERO)),
        (0..1_000u64).prop_map(|s| Delay::After(Duration::from_secs(s))),
        Just(Delay::After(Duration::MAX)),
    ]
}

prop_compose! {
    fn any_spec()(idle_suspend in any_delay(), idle_park in any_delay()) -> Spec {
        Spec { idle_suspend, idle_park, ..Spec::default() }
    }
}

/// A time up to some seconds before or after now.
fn any_moment(now: Instant) -> impl Strategy<Value = Instant> {
    (-2_000_000i64..1_000).prop_map(move |ms| {
        let by = Duration::from_millis(ms.unsigned_abs());
        if ms < 0 { now - by } else { now + by }
    })
}

fn any_denied(now: Instant) -> impl Strategy<Value = Option<Denial>> {
    let denied =
        (any::<u32>(), 0..3u32, any_moment(now)).prop_map(|(times, sessions, at)| Denial {
            times,
            at,
            sessions,
        });
    proptest::option::of(denied)
}

fn any_failures(now: Instant) -> impl Strategy<Value = Failures> {
    (
        0..10u32,
        0..40u32,
        proptest::option::of(any_moment(now)),
        proptest::option::of(any_moment(now)),
    )
        .prop_map(|(starts, restarts, last, well_since)| Failures {
            starts,
            restarts,
            last,
            well_since,
        })
}

fn any_load(now: Instant) -> impl Strategy<Value = Load> {
    (
        0..3u32,
        0..3u32,
        0..3u32,
        0..3u32,
        proptest::option::of(any_moment(now)),
    )
        .prop_map(
            |(sessions, running, held, transactions, last_statement)| Load {
                sessions,
                running,
                held,
                transactions,
                last_statement,
            },
        )
}

fn any_observed(now: Instant) -> impl Strategy<Value = Observed> {
    let servers = prop_oneof![
        Just(Server::Stopped),
        Just(Server::Running),
        Just(Server::Frozen)
    ];
    let doors = prop_oneof![Just(Door::Open), Just(Door::Shut), Just(Door::Refusing)];
    let notes = prop_oneof![Just(Notes::Fresh), Just(Notes::Stale), Just(Notes::Awaited)];
    let orders = prop_oneof![
        Just(None),
        Just(Some(Order::Wake)),
        Just(Some(Order::Suspend)),
        Just(Some(Order::Park)),
        Just(Some(Order::ParkAndLose)),
        Just(Some(Order::Drop)),
    ];
    let first = (
        0..State::ALL.len(),
        any_moment(now),
        servers,
        doors,
        any_load(now),
        notes,
    );
    let second = (
        proptest::option::of(any_moment(now)),
        any_denied(now),
        any_denied(now),
        any_failures(now),
        orders,
    );
    let third = (
        proptest::bool::weighted(0.2),
        proptest::option::of(any_moment(now)),
        proptest::option::of(any_moment(now)),
        proptest::bool::weighted(0.2),
    );
    (first, second, third).prop_map(
        |(
            (state, since, server, door, load, notes),
            (opened, suspend_denied, park_denied, failures, order),
            (keep_awake, wake_at, changes_at, barred),
        )| Observed {
            state: State::ALL[state],
            since,
            server,
            door,
            load,
            opened,
            notes,
            suspend_denied,
            park_denied,
            failures,
            agenda: Agenda {
                keep_awake,
                wake_at,
                changes_at,
            },
            barred,
            order,
        },
    )
}

fn any_case() -> impl Strategy<Value = (Spec, Observed, Instant)> {
    let now = start();
    (any_spec(), any_observed(now), Just(now))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_database_in_use_never_sleeps_unless_ordered((spec, seen, now) in any_case()) {
        let act = decide(&spec, &seen, now).act;
        let act = act.filter(|act| act.cause != Cause::Operator);
        if matches!(act.map(|a| a.verb), Some(Verb::Suspend | Verb::Park)) {
            prop_assert_eq!(seen.load.running.min(1) * u32::from(seen.state == State::Active), 0);
            prop_assert!(seen.load.held == 0 || seen.barred);
            prop_assert!(seen.server != Server::Stopped);
        }
    }

    #[test]
    fn never_parks_against_a_denial_unless_ordered((spec, seen, now) in any_case()) {
        let act = decide(&spec, &seen, now).act;
        let held_off = seen.park_denied.and_then(|d| d.holds(seen.load.sessions, now)).is_some();
        if let Some(Act { verb: Verb::Park, cause, .. }) = act {
            prop_assert!(!held_off || cause == Cause::Operator);
        }
    }

    #[test]
    fn the_next_evaluation_is_always_later_than_now((spec, seen, now) in any_case()) {
        let plan = decide(&spec, &seen, now);
        if let Some(at) = plan.look_again {
            prop_assert!(plan.act.is_none() && at > now);
        }
    }

    #[test]
    fn waiting_statements_lead_to_an_action_or_another_evaluation((spec, seen, now) in any_case()) {
        let plan = decide(&spec, &seen, now);
        let told = seen.barred && seen.door == Door::Refusing;
        let waits = (seen.load.held > 0 && !told) || matches!(seen.order, Some(Order::Wake | Order::Drop));
        let served = seen.state == State::Active && seen.server == Server::Running
            && seen.door == Door::Open;
        let elsewhere = seen.state == State::Creating && seen.order != Some(Order::Drop);
        if waits && !served && !elsewhere {
            prop_assert!(plan.act.is_some() || plan.look_again.is_some(), "{:?}", seen);
        }
    }

    #[test]
    fn an_awake_idle_database_always_has_a_next_evaluation((spec, seen, now) in any_case()) {
        let plan = decide(&spec, &seen, now);
        let finite = |d: Delay| d.duration().is_some_and(|d| d < Duration::from_secs(1 << 30));
        let kept = seen.agenda.keep_awake;
        if seen.state == State::Active && !kept && (finite(spec.idle_suspend) || finite(spec.idle_park)) {
            prop_assert!(plan.act.is_some() || plan.look_again.is_some());
        }
    }
}
