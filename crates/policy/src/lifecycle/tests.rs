use super::*;

mod properties;

const S: Duration = Duration::from_secs(1);

/// A moment with enough past.
fn start() -> Instant {
    Instant::now() + 100_000 * S
}

fn spec(suspend: &str, park: &str) -> Spec {
    Spec {
        idle_suspend: suspend.parse().unwrap(),
        idle_park: park.parse().unwrap(),
        ..Spec::default()
    }
}

/// An active database, used last at `at`.
fn active(at: Instant) -> Observed {
    Observed {
        state: State::Active,
        since: at,
        server: Server::Running,
        door: Door::Open,
        load: Load {
            last_statement: Some(at),
            ..Load::default()
        },
        opened: Some(at),
        notes: Notes::Stale,
        suspend_denied: None,
        park_denied: None,
        failures: Failures::default(),
        agenda: Agenda::default(),
        barred: false,
        order: None,
    }
}

fn suspended(at: Instant) -> Observed {
    Observed {
        state: State::Suspended,
        server: Server::Frozen,
        door: Door::Shut,
        notes: Notes::Fresh,
        ..active(at)
    }
}

fn parked(at: Instant) -> Observed {
    Observed {
        state: State::Parked,
        server: Server::Stopped,
        ..suspended(at)
    }
}

fn failed(at: Instant) -> Observed {
    let failures = (0..4).fold(Failures::default(), |f, _| f.start_failed(at));
    Observed {
        state: State::Failed,
        door: Door::Refusing,
        failures,
        ..parked(at)
    }
}

#[test]
fn a_failed_database_is_started_again_by_its_schedule() {
    let at = start();
    let mut seen = failed(at);
    seen.door = Door::Shut;
    let spec = spec("10s", "5m");
    assert_eq!(decide(&spec, &seen, at), Plan::wait(None));
    seen.agenda.wake_at = Some(at + 60 * S);
    assert_eq!(decide(&spec, &seen, at), Plan::wait(Some(at + 60 * S)));
    let plan = decide(&spec, &seen, at + 60 * S);
    assert_eq!(plan, Plan::act(Verb::Start, Cause::Schedule, DUE));
    // with the same delays as for statements
    seen.failures = (0..6).fold(seen.failures, |f, _| f.start_failed(at + 59 * S));
    let again = seen.failures.retry_at();
    assert_eq!(decide(&spec, &seen, at + 60 * S), Plan::wait(again));
    seen.barred = true;
    assert_eq!(decide(&spec, &seen, at + 6000 * S), Plan::wait(None));
}

fn holding(seen: Observed) -> Observed {
    Observed {
        load: Load {
            held: 1,
            ..seen.load
        },
        ..seen
    }
}

fn ordering(order: Order, seen: Observed) -> Observed {
    Observed {
        order: Some(order),
        ..seen
    }
}

/// A plan in one line, its times counted from `now`.
fn told(plan: &Plan, now: Instant) -> String {
    match (&plan.act, plan.look_again) {
        (Some(act), _) => {
            let verb = match act.verb {
                Verb::Settle(state) => format!("settle {state}"),
                verb => format!("{verb:?}").to_lowercase(),
            };
            format!("{verb}, {}: {}", act.cause.as_str(), act.reason)
        }
        (None, Some(at)) => format!("look again in {:?}", at - now),
        (None, None) => "rest".to_owned(),
    }
}

#[test]
fn the_schedule_wakes_and_keeps_awake() {
    let t = start();
    let spec = spec("10s", "5m");
    let at = |keep_awake, wake, changes, seen: Observed| Observed {
        agenda: Agenda {
            keep_awake,
            wake_at: Some(t + wake * S),
            changes_at: Some(t + changes * S),
        },
        ..seen
    };
    let cases = [
        (at(true, 0, 900, active(t)), 600, "look again in 300s"),
        (
            at(false, 900, 900, active(t)),
            600,
            "park, idle: idle for 600 s",
        ),
        (at(false, 100, 900, suspended(t)), 60, "look again in 40s"),
        (
            at(false, 100, 900, suspended(t)),
            100,
            "thaw, schedule: it is due to be awake",
        ),
        (at(false, 500, 900, parked(t)), 400, "look again in 100s"),
        (
            at(false, 500, 900, parked(t)),
            500,
            "start, schedule: it is due to be awake",
        ),
        (
            ordering(Order::Park, at(true, 0, 900, active(t))),
            60,
            "refuse, operator: it is kept awake now, by its hours or an event that is due",
        ),
        (
            at(true, 0, 900, parked(t)),
            500,
            "start, schedule: it is due to be awake",
        ),
    ];
    for (seen, after, expected) in cases {
        let now = t + after * S;
        assert_eq!(told(&decide(&spec, &seen, now), now), expected, "{seen:?}");
    }
}

#[test]
fn at_its_spend_limit_a_database_refuses_then_sleeps_and_an_order_still_wakes_it() {
    let t = start();
    let spec = spec("10s", "5m");
    let barred = |door, seen: Observed| Observed {
        barred: true,
        door,
        ..seen
    };
    let running = Observed {
        load: Load {
            running: 1,
            ..Load::default()
        },
        ..active(t)
    };
    let limit = "its spend limit of this month is used up";
    let cases = [
        (
            barred(Door::Open, active(t)),
            format!("bar, limit: {limit}"),
        ),
        (
            barred(Door::Refusing, running),
            "look again in 100ms".to_owned(),
        ),
        (
            barred(Door::Refusing, active(t)),
            format!("park, limit: {limit}"),
        ),
        (
            barred(Door::Shut, suspended(t)),
            format!("park, limit: {limit}"),
        ),
        (barred(Door::Shut, parked(t)), "rest".to_owned()),
        (
            barred(Door::Shut, holding(parked(t))),
            format!("bar, limit: {limit}"),
        ),
        (barred(Door::Refusing, parked(t)), "rest".to_owned()),
        (
            ordering(Order::Wake, barred(Door::Refusing, parked(t))),
            "start, operator: ordered".to_owned(),
        ),
        (
            Observed {
                door: Door::Refusing,
                ..parked(t)
            },
            "rearm, limit: it may be used again".to_owned(),
        ),
    ];
    for (seen, expected) in cases {
        assert_eq!(told(&decide(&spec, &seen, t), t), expected, "{seen:?}");
    }
}

#[test]
fn an_idle_database_is_suspended_then_parked() {
    let t = start();
    let spec = spec("10s", "5m");
    let cases = [
        (active(t), 0, "look again in 10s"),
        (active(t), 9, "look again in 1s"),
        (active(t), 10, "suspend, idle: idle for 10 s"),
        (suspended(t), 10, "look again in 290s"),
        (suspended(t), 299, "look again in 1s"),
        (suspended(t), 300, "park, idle: idle for 300 s"),
        (parked(t), 300, "rest"),
        (parked(t), 30_000, "rest"),
    ];
    for (seen, after, expected) in cases {
        let now = t + after * S;
        assert_eq!(
            told(&decide(&spec, &seen, now), now),
            expected,
            "{} after {after} s",
            seen.state
        );
    }
}

#[test]
fn delays_may_be_zero_never_or_in_reverse_order() {
    let t = start();
    let cases = [
        ("0", "5m", active(t), 0, "suspend, idle: idle for 0.0 s"),
        ("never", "never", active(t), 90_000, "rest"),
        ("never", "never", suspended(t), 90_000, "rest"),
        ("never", "5m", active(t), 299, "look again in 1s"),
        ("never", "5m", active(t), 300, "park, idle: idle for 300 s"),
        (
            "10s",
            "never",
            active(t),
            10,
            "suspend, idle: idle for 10 s",
        ),
        ("10s", "5s", active(t), 4, "look again in 1s"),
        ("10s", "5s", active(t), 5, "park, idle: idle for 5.0 s"),
        ("10s", "0", active(t), 0, "park, idle: idle for 0.0 s"),
    ];
    for (suspend, park, seen, after, expected) in cases {
        let now = t + after * S;
        let plan = decide(&spec(suspend, park), &seen, now);
        assert_eq!(
            told(&plan, now),
            expected,
            "{suspend}/{park} after {after} s"
        );
    }
}

#[test]
fn idleness_counts_from_the_later_of_the_last_statement_and_the_last_wake() {
    let t = start();
    let spec = spec("10s", "5m");
    let woken_later = Observed {
        opened: Some(t + 5 * S),
        ..active(t)
    };
    assert_eq!(
        told(&decide(&spec, &woken_later, t + 10 * S), t + 10 * S),
        "look again in 5s"
    );
    let never_used = Observed {
        load: Load::default(),
        opened: None,
        since: t + 7 * S,
        ..suspended(t)
    };
    assert_eq!(
        told(&decide(&spec, &never_used, t + 10 * S), t + 10 * S),
        "look again in 297s"
    );
}

#[test]
fn a_database_in_use_does_not_sleep_and_is_evaluated_again() {
    let t = start();
    let now = t + 60 * S;
    let running = |n| Observed {
        load: Load {
            running: n,
            ..active(t).load
        },
        ..active(t)
    };
    let cases = [
        (spec("10s", "5m"), running(1), "look again in 10s"),
        (spec("10s", "2s"), running(1), "look again in 2s"),
        (spec("0", "5m"), running(1), "look again in 100ms"),
        (spec("never", "never"), running(1), "rest"),
        (spec("10s", "5m"), holding(active(t)), "look again in 10s"),
        (
            spec("10s", "5m"),
            ordering(Order::Suspend, running(1)),
            "suspend, operator: ordered",
        ),
        (
            spec("10s", "5m"),
            ordering(Order::Park, running(3)),
            "park, operator: ordered",
        ),
        (
            spec("10s", "5m"),
            ordering(Order::Park, holding(active(t))),
            "park, operator: ordered",
        ),
        (
            spec("10s", "5m"),
            ordering(Order::Park, holding(suspended(t))),
            "park, operator: ordered",
        ),
    ];
    for (spec, seen, expected) in cases {
        assert_eq!(told(&decide(&spec, &seen, now), now), expected);
    }
}

#[test]
fn sessions_and_transactions_do_not_keep_it_from_being_suspended() {
    let t = start();
    let load = Load {
        sessions: 50,
        transactions: 3,
        ..active(t).load
    };
    let now = t + 10 * S;
    let plan = decide(&spec("10s", "5m"), &Observed { load, ..active(t) }, now);
    assert_eq!(told(&plan, now), "suspend, idle: idle for 10 s");
}

#[test]
fn a_statement_wakes_it_from_every_sleep() {
    let t = start();
    let cases = [
        (holding(suspended(t)), "thaw, demand: a statement arrived"),
        (holding(parked(t)), "start, demand: a statement arrived"),
        (
            holding(Observed {
                state: State::Waking,
                ..parked(t)
            }),
            "start, demand: a statement arrived",
        ),
        (
            holding(Observed {
                state: State::Parking,
                ..parked(t)
            }),
            "start, demand: a statement arrived",
        ),
    ];
    for (seen, expected) in cases {
        assert_eq!(told(&decide(&Spec::default(), &seen, t), t), expected);
    }
}

#[test]
fn orders_are_carried_out_without_waiting_for_idleness() {
    let t = start();
    let cases = [
        (
            ordering(Order::Suspend, active(t)),
            "suspend, operator: ordered",
        ),
        (ordering(Order::Park, active(t)), "park, operator: ordered"),
        (
            ordering(Order::Park, suspended(t)),
            "park, operator: ordered",
        ),
        (
            ordering(Order::Wake, suspended(t)),
            "thaw, operator: ordered",
        ),
        (ordering(Order::Wake, parked(t)), "start, operator: ordered"),
        (ordering(Order::Wake, failed(t)), "start, operator: ordered"),
        (
            ordering(Order::Park, failed(t)),
            "refuse, operator: its server cannot be started",
        ),
        (
            ordering(Order::Drop, active(t)),
            "drop, operator: it was dropped",
        ),
        (
            ordering(Order::Drop, failed(t)),
            "drop, operator: it was dropped",
        ),
    ];
    for (seen, expected) in cases {
        assert_eq!(told(&decide(&Spec::default(), &seen, t), t), expected);
    }
}

#[test]
fn an_order_is_met_by_the_state_it_names_or_by_deeper_sleep() {
    assert!(Order::Wake.met(State::Active) && !Order::Wake.met(State::Waking));
    assert!(Order::Suspend.met(State::Suspended) && Order::Suspend.met(State::Parked));
    assert!(Order::Park.met(State::Parked) && !Order::Park.met(State::Suspended));
    assert!(State::ALL.into_iter().all(|s| !Order::Drop.met(s)));
}

#[test]
fn a_denied_sleep_is_tried_again_later_or_when_the_sessions_are_gone() {
    let t = start();
    let spec = spec("10s", "30s");
    let now = t + 31 * S;
    let denied = Denial::again(Some(Denial::again(None, 2, t)), 2, t + 30 * S);
    let with = |sessions| Observed {
        park_denied: Some(denied),
        load: Load {
            sessions,
            ..suspended(t).load
        },
        ..suspended(t)
    };
    assert_eq!(
        told(&decide(&spec, &with(2), now), now),
        "look again in 15s"
    );
    assert_eq!(
        told(&decide(&spec, &with(0), now), now),
        "park, idle: idle for 31 s"
    );
    let later = t + 60 * S;
    assert_eq!(
        told(&decide(&spec, &with(2), later), later),
        "park, idle: idle for 60 s"
    );
    let ordered = ordering(Order::Park, with(2));
    assert_eq!(
        told(&decide(&spec, &ordered, now), now),
        "park, operator: ordered"
    );
    let park_first = Spec {
        idle_suspend: "45s".parse().unwrap(),
        ..spec
    };
    let awake = Observed {
        park_denied: Some(denied),
        ..active(t)
    };
    let awake = Observed {
        load: Load {
            sessions: 2,
            ..awake.load
        },
        ..awake
    };
    let now = t + 45 * S;
    assert_eq!(
        told(&decide(&park_first, &awake, now), now),
        "suspend, idle: idle for 45 s"
    );
}

#[test]
fn a_dead_server_is_restarted_at_once_then_with_delays_and_never_given_up() {
    let t = start();
    let dead = |deaths| Observed {
        server: Server::Stopped,
        door: Door::Shut,
        failures: (0..deaths).fold(Failures::default(), |f, _| f.died(t)),
        ..active(t)
    };
    let cases = [
        (dead(1), "start, crash: its server died"),
        (dead(3), "start, crash: its server died"),
        (
            dead(5),
            "settle parked, crash: its server keeps dying: next start in 2.0 s",
        ),
        (
            dead(100),
            "settle parked, crash: its server keeps dying: next start in 30 s",
        ),
        (
            Observed {
                state: State::Parked,
                ..dead(5)
            },
            "look again in 2s",
        ),
        (
            Observed {
                server: Server::Stopped,
                ..suspended(t)
            },
            "settle parked, crash: its server died while it was frozen",
        ),
    ];
    for (seen, expected) in cases {
        assert_eq!(told(&decide(&Spec::default(), &seen, t), t), expected);
    }
}

#[test]
fn a_failed_start_is_retried_then_given_up_until_the_next_demand() {
    let t = start();
    let waking = |starts| {
        holding(Observed {
            state: State::Waking,
            failures: (0..starts).fold(Failures::default(), |f, _| f.start_failed(t)),
            ..parked(t)
        })
    };
    let rearmed = Observed {
        door: Door::Shut,
        ..failed(t)
    };
    let noted = |notes, seen| Observed { notes, ..seen };
    let (stale, awaited) = (
        |seen| noted(Notes::Stale, seen),
        |seen| noted(Notes::Awaited, seen),
    );
    let cases = [
        (waking(1), 0, "start, demand: a statement arrived"),
        (waking(2), 0, "look again in 200ms"),
        (waking(2), 1, "start, demand: a statement arrived"),
        (waking(4), 0, "giveup, failed: its server cannot be started"),
        (failed(t), 0, "look again in 5s"),
        (
            failed(t),
            5,
            "rearm, failed: the next statement may try again",
        ),
        (rearmed, 5, "rest"),
        (stale(rearmed), 5, "rest"),
        (awaited(rearmed), 4, "look again in 1s"),
        (
            awaited(rearmed),
            5,
            "start, demand: a login arrived, and its accounts must be read again",
        ),
        (awaited(waking(0)), 0, "start, demand: a statement arrived"),
        (holding(rearmed), 5, "start, demand: a statement arrived"),
    ];
    for (seen, after, expected) in cases {
        let now = t + after * S;
        assert_eq!(
            told(&decide(&Spec::default(), &seen, now), now),
            expected,
            "after {after} s"
        );
    }
}

#[test]
fn an_interrupted_transition_is_resolved_by_the_state_of_the_process() {
    let t = start();
    for state in [
        State::Suspending,
        State::Parking,
        State::Waking,
        State::Migrating,
    ] {
        let with = |server| Observed {
            state,
            server,
            ..parked(t)
        };
        let cases = [
            (
                Server::Running,
                "settle active, start_up: found with its server running",
            ),
            (
                Server::Frozen,
                "settle suspended, start_up: found with its server frozen",
            ),
            (
                Server::Stopped,
                "settle parked, start_up: found without a server",
            ),
        ];
        for (server, expected) in cases {
            assert_eq!(
                told(&decide(&Spec::default(), &with(server), t), t),
                expected,
                "{state}"
            );
        }
    }
}

#[test]
fn accounts_that_may_be_out_of_date_are_read_again() {
    let t = start();
    let stale = |seen| Observed {
        notes: Notes::Stale,
        ..seen
    };
    let parked = decide(&Spec::default(), &stale(parked(t)), t);
    assert_eq!(
        told(&parked, t),
        "start, start_up: its server ended unobserved: its accounts must be read again"
    );
    let suspended = decide(&Spec::default(), &stale(suspended(t)), t);
    assert_eq!(
        told(&suspended, t),
        "thaw, start_up: it was frozen unobserved: its accounts must be read again"
    );
}

#[test]
fn a_drop_that_failed_is_tried_again_later() {
    let t = start();
    let dropping = Observed {
        state: State::Dropping,
        park_denied: Some(Denial::again(None, 0, t)),
        ..parked(t)
    };
    assert_eq!(
        told(&decide(&Spec::default(), &dropping, t), t),
        "look again in 15s"
    );
    let later = t + 15 * S;
    assert_eq!(
        told(&decide(&Spec::default(), &dropping, later), later),
        "drop, operator: it was dropped"
    );
    let again = ordering(Order::Drop, dropping);
    assert_eq!(
        told(&decide(&Spec::default(), &again, t), t),
        "drop, operator: it was dropped"
    );
}
