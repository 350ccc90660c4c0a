use dormouse_wire::reply::ErrPacket;

use super::*;

/// A script: what happens, and the step that must follow.
type Script = Vec<(Event, Step)>;

fn error(code: u16) -> ErrPacket {
    ErrPacket::new(code, "HY000", "")
}

fn given(code: u16) -> Why {
    Why::Given(error(code))
}

/// The steps of a command up to the event that the door awaits.
fn to_door() -> Script {
    vec![
        (Event::Begun, Step::Begin),
        (Event::Allowed, Step::EnterDoor),
    ]
}

/// A retry up to the door.
fn again(event: Event) -> Script {
    vec![(event, Step::Begin), (Event::Allowed, Step::EnterDoor)]
}

/// From the door of the server of this generation up to its backend.
fn to_backend(generation: u64) -> Script {
    vec![
        (Event::Passed { generation }, Step::CheckAgain),
        (Event::Allowed, Step::MakeReady),
    ]
}

/// From the door up to the sending.
fn to_sending(generation: u64) -> Script {
    let sending = [
        (Event::Ready, Step::Complete),
        (Event::Completed, Step::Send),
    ];
    [to_backend(generation), sending.into()].concat()
}

fn connection_lost(unread: bool, delivered: bool, whole: bool) -> Event {
    Event::ConnectionLost {
        unread,
        delivered,
        whole,
        alive: false,
    }
}

/// The server runs on and has ended the connection alone.
fn ended_alone(unread: bool, delivered: bool) -> Event {
    Event::ConnectionLost {
        unread,
        delivered,
        whole: true,
        alive: true,
    }
}

/// The whole command was not read by the server of this generation, and is sent once more.
fn unread_once(generation: u64) -> Script {
    let lost = (connection_lost(true, false, true), Step::LoseBackend);
    [to_sending(generation), vec![lost], again(Event::Performed)].concat()
}

fn interrupted_with(pins: &[Pin], may_have_committed: bool, step: Step) -> Script {
    let event = Event::Interrupted {
        pins: pins.to_vec(),
        may_have_committed,
        logged: Logged::Nothing,
        reads: false,
    };
    let left = (connection_lost(false, false, true), Step::Interrupt);
    [to_door(), to_sending(1), vec![left, (event, step)]].concat()
}

fn end(why: Option<Why>) -> Step {
    Step::End { why, unsent: false }
}

fn end_unsent(why: Why) -> Step {
    Step::End {
        why: Some(why),
        unsent: true,
    }
}

/// The events of a script lead to its steps, one by one.
fn follows(what: &str, scripts: &[Script]) {
    let mut steps = Steps::new(Duration::from_secs(10));
    for (n, (event, expected)) in scripts.concat().into_iter().enumerate() {
        let step = steps.next(event.clone());
        assert_eq!(step, expected, "{what}: step {n}, after {event:?}");
    }
}

#[test]
fn a_command_that_meets_no_obstacle() {
    let done = vec![(Event::Replied, Step::Done)];
    follows("reply", &[to_door(), to_sending(1), done]);
}

#[test]
fn what_ends_a_command_before_it_is_sent() {
    let refused = |event: Event| vec![(event, Step::Refuse(given(7)))];
    let passed = (Event::Passed { generation: 1 }, Step::CheckAgain);
    let ready = vec![(Event::Ready, Step::Complete)];
    let ends = |event: Event, step: Step| vec![(event, step)];
    let table: [(&str, Vec<Script>); 10] = [
        (
            "restricted",
            vec![
                vec![(Event::Begun, Step::Begin)],
                refused(Event::Restricted(error(7))),
            ],
        ),
        (
            "no pass",
            vec![to_door(), refused(Event::NotPassed(error(7)))],
        ),
        (
            "restricted while it was held",
            vec![
                to_door(),
                vec![passed],
                refused(Event::Restricted(error(7))),
            ],
        ),
        (
            "refused by the server",
            vec![to_door(), to_backend(1), refused(Event::Refused(error(7)))],
        ),
        (
            "a state that cannot be restored",
            vec![
                to_door(),
                to_backend(1),
                ends(Event::CannotRestore(error(7)), end_unsent(given(7))),
            ],
        ),
        (
            "a transaction lost between two commands",
            vec![
                to_door(),
                to_backend(1),
                ends(
                    Event::SessionStateLost(vec![Pin::Transaction]),
                    Step::Plan(Again::Transaction),
                ),
            ],
        ),
        (
            "more than a transaction lost between two commands",
            vec![
                to_door(),
                to_backend(1),
                ends(
                    Event::SessionStateLost(vec![Pin::Transaction, Pin::TemporaryTable]),
                    end_unsent(Why::StateLost(vec![Pin::Transaction, Pin::TemporaryTable])),
                ),
            ],
        ),
        (
            "something else lost between two commands",
            vec![
                to_door(),
                to_backend(1),
                ends(
                    Event::SessionStateLost(vec![Pin::UserLock]),
                    end_unsent(Why::StateLost(vec![Pin::UserLock])),
                ),
            ],
        ),
        (
            "answered without the server",
            vec![
                to_door(),
                to_backend(1),
                ready.clone(),
                ends(Event::Answered, Step::Answered),
            ],
        ),
        (
            "too long to be completed",
            vec![
                to_door(),
                to_backend(1),
                ready,
                refused(Event::NotCompleted(error(7))),
            ],
        ),
    ];
    for (what, scripts) in table {
        follows(what, &scripts);
    }
}

#[test]
fn a_server_that_is_gone_is_waited_for_until_patience_ends() {
    let start = Instant::now();
    let gone = |s| Event::ServerGone {
        at: start + Duration::from_secs(s),
    };
    let pause = |s| {
        let paused = vec![(gone(s), Step::Pause)];
        [to_backend(1), paused, again(Event::Performed)].concat()
    };
    let timeout = vec![(gone(13), Step::Refuse(Why::HoldTimeout))];
    let over = [to_backend(1), timeout].concat();
    // ten seconds from the first time on
    follows("gone for long", &[to_door(), pause(3), pause(12), over]);
    let back = [to_sending(2), vec![(Event::Replied, Step::Done)]].concat();
    follows("gone for a while", &[to_door(), pause(3), back]);
}

#[test]
fn without_patience_a_server_that_is_gone_is_not_waited_for() {
    let mut steps = Steps::new(Duration::ZERO);
    for (event, _) in [to_door(), to_backend(1)].concat() {
        let _step = steps.next(event);
    }
    let step = steps.next(Event::ServerGone { at: Instant::now() });
    assert_eq!(step, Step::Refuse(Why::HoldTimeout));
}

#[test]
fn a_door_that_shuts_and_a_backend_that_breaks_send_the_command_back() {
    let shutting = [to_backend(1), again(Event::Shutting)].concat();
    let ready = vec![(Event::Ready, Step::Complete)];
    let broke = [to_backend(1), ready, again(Event::BackendBroke)].concat();
    let done = [to_sending(2), vec![(Event::Replied, Step::Done)]].concat();
    follows("retries", &[to_door(), shutting, broke, done]);
}

#[test]
fn a_command_that_was_not_read_is_sent_again_but_not_for_ever() {
    let done = [to_sending(2), vec![(Event::Replied, Step::Done)]].concat();
    follows("the next server", &[to_door(), unread_once(1), done]);

    let last = |generation| {
        let not_read = vec![
            (connection_lost(true, false, true), Step::LoseBackend),
            (Event::Performed, end(Some(Why::Unread))),
        ];
        [to_sending(generation), not_read].concat()
    };
    let twice = [unread_once(1), unread_once(1)].concat();
    follows("one server", &[to_door(), twice.clone(), last(1)]);
    let other = [unread_once(2), unread_once(2)].concat();
    follows(
        "another server counts anew",
        &[to_door(), twice, other, last(2)],
    );
}

#[test]
fn what_ends_a_command_that_was_sent() {
    let silently = || end(None);
    let table: [(&str, Script); 7] = [
        (
            "the client left",
            vec![
                (Event::ClientLeft { running: false }, Step::LoseBackend),
                (Event::Performed, silently()),
            ],
        ),
        (
            "the client left a running statement",
            vec![
                (Event::ClientLeft { running: true }, Step::EndStatement),
                (Event::Performed, Step::LoseBackend),
                (Event::Performed, silently()),
            ],
        ),
        (
            "no reply",
            vec![
                (Event::Fault { delivered: false }, Step::LoseBackend),
                (Event::Performed, end(Some(Why::OutOfTurn))),
            ],
        ),
        (
            "no reply, behind the beginning of one",
            vec![
                (Event::Fault { delivered: true }, Step::LoseBackend),
                (Event::Performed, silently()),
            ],
        ),
        (
            "the server left in the middle of its reply",
            vec![(connection_lost(false, true, true), silently())],
        ),
        (
            "the server left in the middle of a long command",
            vec![
                (connection_lost(true, false, false), Step::LoseBackend),
                (Event::Performed, silently()),
            ],
        ),
        (
            "the server left in the middle of the reply to a long command",
            vec![(connection_lost(false, true, false), silently())],
        ),
    ];
    for (what, script) in table {
        follows(what, &[to_door(), to_sending(1), script]);
    }
}

#[test]
fn errors_of_interrupted_commands() {
    let transaction = [Pin::Transaction];
    let more = [Pin::Transaction, Pin::UserLock];
    let refuse = Step::Refuse;
    let table = [
        (&[][..], false, refuse(Why::OutcomeUnknown)),
        (&[], true, refuse(Why::OutcomeUnknown)),
        (&transaction, false, Step::Plan(Again::Transaction)),
        (&transaction, true, refuse(Why::OutcomeUnknown)),
        (&more, false, end(Some(Why::TransactionLost(String::new())))),
        (&more, true, end(Some(Why::OutcomeUnknown))),
        (&[Pin::UserLock], false, end(Some(Why::OutcomeUnknown))),
    ];
    for (pins, may_have_committed, step) in table {
        let what = format!("{pins:?}, {may_have_committed}");
        follows(&what, &[interrupted_with(pins, may_have_committed, step)]);
    }
}

/// A command that commits the transaction is interrupted, and its server's log tells this of it.
fn resolved(pins: &[Pin], outcome: Outcome, step: Step) -> Script {
    logged(Logged::Commit, pins, outcome, step)
}

/// A command of which its server's log tells is interrupted, and the log tells this of it.
fn logged(logged: Logged, pins: &[Pin], outcome: Outcome, step: Step) -> Script {
    let event = Event::Interrupted {
        pins: pins.to_vec(),
        may_have_committed: true,
        logged,
        reads: false,
    };
    vec![
        (connection_lost(false, false, true), Step::Interrupt),
        (event, Step::Resolve),
        (Event::Resolved(outcome), step),
    ]
}

#[test]
fn what_becomes_of_a_command_whose_commit_was_interrupted() {
    let unknown = || Outcome::Unknown("no log".to_owned());
    let unresolved = || Why::Unresolved("no log".to_owned());
    let transaction = [Pin::Transaction];
    let more = [Pin::Transaction, Pin::UserLock];
    let table = [
        (&transaction[..], Outcome::Committed, Step::Begin),
        (
            &more,
            Outcome::Committed,
            end(Some(Why::Committed(vec![Pin::UserLock]))),
        ),
        (
            &transaction,
            Outcome::RolledBack,
            Step::Plan(Again::Transaction),
        ),
        (
            &more,
            Outcome::RolledBack,
            end(Some(Why::TransactionLost(String::new()))),
        ),
        (&transaction, unknown(), Step::Refuse(unresolved())),
        (&more, unknown(), end(Some(unresolved()))),
    ];
    for (pins, outcome, step) in table {
        let what = format!("{pins:?}, {outcome:?}");
        let script = resolved(pins, outcome, step);
        follows(&what, &[to_door(), to_sending(1), script]);
    }
}

#[test]
fn a_command_that_has_committed_is_run_again_for_its_reply_and_every_error_says_that_it_has() {
    let committed = || resolved(&[Pin::Transaction], Outcome::Committed, Step::Begin);
    let begun = || [to_door(), to_sending(1), committed()].concat();
    let door = || vec![(Event::Allowed, Step::EnterDoor)];
    let done = vec![(Event::Replied, Step::Done)];
    follows("its reply", &[begun(), door(), to_sending(2), done]);

    let told = || Step::Refuse(Why::Committed(Vec::new()));
    let refused = vec![(Event::NotPassed(error(7)), told())];
    follows("no server", &[begun(), door(), refused]);
    let lost = vec![
        (connection_lost(false, false, true), Step::Interrupt),
        (
            Event::Interrupted {
                pins: Vec::new(),
                may_have_committed: true,
                logged: Logged::Nothing,
                reads: false,
            },
            told(),
        ),
    ];
    follows("another death", &[begun(), door(), to_sending(2), lost]);
    let restored = vec![(
        Event::CannotRestore(error(7)),
        end_unsent(Why::Committed(Vec::new())),
    )];
    follows(
        "a state that cannot be restored",
        &[begun(), door(), to_backend(2), restored],
    );
}

/// A transaction that is lost while a command runs in it, up to the backend on which it is to be run again.
fn lost_and_planned() -> Script {
    let planned = (Event::Planned(Ok(())), Step::Begin);
    let door = (Event::Allowed, Step::EnterDoor);
    let again = vec![
        (Event::Passed { generation: 2 }, Step::CheckAgain),
        (Event::Allowed, Step::MakeReady),
        (Event::Ready, Step::Replay(Again::Transaction)),
    ];
    let lost = interrupted_with(&[Pin::Transaction], false, Step::Plan(Again::Transaction));
    [lost, vec![planned, door], again].concat()
}

#[test]
fn a_lost_transaction_is_run_again_before_its_command() {
    let sent = vec![
        (Event::Replayed, Step::Complete),
        (Event::Completed, Step::Send),
        (Event::Replied, Step::Done),
    ];
    follows("while it ran", &[lost_and_planned(), sent.clone()]);
    // another server ends meanwhile
    let again = vec![
        (Event::BackendBroke, Step::Plan(Again::Transaction)),
        (Event::Planned(Ok(())), Step::Begin),
        (Event::Allowed, Step::EnterDoor),
        (Event::Passed { generation: 3 }, Step::CheckAgain),
        (Event::Allowed, Step::MakeReady),
        (Event::Ready, Step::Replay(Again::Transaction)),
    ];
    follows("twice", &[lost_and_planned(), again, sent]);
}

#[test]
fn a_transaction_that_cannot_be_run_again_is_an_error_whatever_stands_in_the_way() {
    let lost = |text: &str| Step::Refuse(Why::TransactionLost(text.to_owned()));
    let not = Event::NotReplayed("no".to_owned());
    let differs = vec![(not, Step::LoseBackend), (Event::Performed, lost("no"))];
    follows("it differs", &[lost_and_planned(), differs]);

    let begun = || interrupted_with(&[Pin::Transaction], false, Step::Plan(Again::Transaction));
    let planned = (Event::Planned(Err("long".to_owned())), lost("long"));
    follows("not planned", &[begun(), vec![planned]]);
    let full = ErrPacket::new(1040, "08004", "too many");
    let held = vec![
        (Event::Planned(Ok(())), Step::Begin),
        (Event::Allowed, Step::EnterDoor),
        (Event::NotPassed(full), lost("too many")),
    ];
    follows("no pass", &[begun(), held]);
}

#[test]
fn a_query_that_only_reads_is_run_again_if_it_has_written_nothing_for_sure() {
    let event = Event::Interrupted {
        pins: Vec::new(),
        may_have_committed: false,
        logged: Logged::Nothing,
        reads: true,
    };
    let begun = [
        to_door(),
        to_sending(1),
        vec![
            (connection_lost(false, false, true), Step::Interrupt),
            (event, Step::Plan(Again::Read)),
            (Event::Planned(Ok(())), Step::Begin),
            (Event::Allowed, Step::EnterDoor),
            (Event::Passed { generation: 2 }, Step::CheckAgain),
            (Event::Allowed, Step::MakeReady),
            (Event::Ready, Step::Replay(Again::Read)),
        ],
    ]
    .concat();
    let sent = vec![
        (Event::Replayed, Step::Complete),
        (Event::Completed, Step::Send),
        (Event::Replied, Step::Done),
    ];
    follows("it reads", &[begun.clone(), sent]);
    let wrote = vec![
        (Event::NotReplayed(String::new()), Step::LoseBackend),
        (Event::Performed, Step::Refuse(Why::OutcomeUnknown)),
    ];
    follows("it may have written", &[begun, wrote]);
}

/// A change outside of a transaction is interrupted, and its server's log tells this of it.
fn changed(pins: &[Pin], outcome: Outcome, step: Step) -> Script {
    let resolved = logged(Logged::Change, pins, outcome, step);
    [to_door(), to_sending(1), resolved].concat()
}

#[test]
fn what_becomes_of_a_change_outside_of_a_transaction() {
    let unknown = || Outcome::Unknown("no log".to_owned());
    let unresolved = || Why::Unresolved("no log".to_owned());
    let lock = || vec![Pin::UserLock];
    let table = [
        (
            vec![],
            Outcome::Committed,
            Step::Refuse(Why::Committed(vec![])),
        ),
        (
            lock(),
            Outcome::Committed,
            end(Some(Why::Committed(lock()))),
        ),
        (vec![], Outcome::RolledBack, Step::Plan(Again::Change)),
        (
            lock(),
            Outcome::RolledBack,
            end(Some(Why::StateLost(lock()))),
        ),
        (vec![], unknown(), Step::Refuse(unresolved())),
        (lock(), unknown(), end(Some(unresolved()))),
    ];
    for (pins, outcome, step) in table {
        let what = format!("{pins:?}, {outcome:?}");
        follows(&what, &[changed(&pins, outcome, step)]);
    }
}

#[test]
fn a_change_that_did_not_happen_is_run_again_and_no_error_says_that_it_may_have() {
    let planned = || changed(&[], Outcome::RolledBack, Step::Plan(Again::Change));
    let begun = || {
        let script = vec![
            (Event::Planned(Ok(())), Step::Begin),
            (Event::Allowed, Step::EnterDoor),
            (Event::Passed { generation: 2 }, Step::CheckAgain),
            (Event::Allowed, Step::MakeReady),
            (Event::Ready, Step::Replay(Again::Change)),
        ];
        [planned(), script].concat()
    };
    let sent = || {
        vec![
            (Event::Replayed, Step::Complete),
            (Event::Completed, Step::Send),
        ]
    };
    let done = vec![(Event::Replied, Step::Done)];
    follows("its reply", &[begun(), sent(), done]);
    // the next server ends as well, and its log is asked
    let event = || Event::Interrupted {
        pins: Vec::new(),
        may_have_committed: false,
        logged: Logged::Change,
        reads: false,
    };
    let lost = vec![
        (connection_lost(false, false, true), Step::Interrupt),
        (event(), Step::Resolve),
        (
            Event::Resolved(Outcome::Committed),
            Step::Refuse(Why::Committed(Vec::new())),
        ),
    ];
    follows("another death", &[begun(), sent(), lost]);

    let undone = |text: &str| Step::Refuse(Why::Undone(text.to_owned()));
    let enough = vec![(Event::Planned(Err("twice".to_owned())), undone("twice"))];
    follows("servers enough", &[planned(), enough]);
    let starved = vec![
        (Event::NotReplayed("memory".to_owned()), Step::LoseBackend),
        (Event::Performed, undone("memory")),
    ];
    follows("not on this server", &[begun(), starved]);
    let refused = vec![
        (Event::Planned(Ok(())), Step::Begin),
        (Event::Allowed, Step::EnterDoor),
        (Event::NotPassed(error(7)), Step::Refuse(given(7))),
    ];
    follows("no pass", &[planned(), refused]);
}

#[test]
fn an_event_out_of_place_ends_the_session_and_sends_nothing() {
    for event in [Event::Ready, Event::Completed, Event::Replied, Event::Begun] {
        follows("at the door", &[to_door(), vec![(event, end(None))]]);
    }
    let over = vec![(Event::Replied, Step::Done), (Event::Begun, end(None))];
    follows("when it is over", &[to_door(), to_sending(1), over]);
}

#[test]
fn a_connection_that_a_living_server_ends_ends_its_session() {
    let closed = || Step::End {
        why: None,
        unsent: false,
    };
    // in the middle of the command, as after KILL; before it came, by a limit of the server's own
    for event in [ended_alone(false, false), ended_alone(true, false)] {
        let mut steps = sent();
        assert_eq!(steps.next(event), Step::LoseBackend);
        assert_eq!(steps.next(Event::Performed), closed());
    }
    // a reply that is cut short can be followed by no error
    assert_eq!(sent().next(ended_alone(false, true)), closed());
}

/// A command that has been sent.
fn sent() -> Steps {
    let mut steps = Steps::new(Duration::from_secs(60));
    for event in [
        Event::Begun,
        Event::Allowed,
        Event::Passed { generation: 1 },
        Event::Allowed,
        Event::Ready,
        Event::Completed,
    ] {
        let _step = steps.next(event);
    }
    steps
}
