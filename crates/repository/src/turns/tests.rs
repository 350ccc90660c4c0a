use std::sync::mpsc::channel;
use std::thread;

use super::*;

fn enter(turns: &Arc<Turns>, usage: Usage) -> Turn {
    turns.wait(usage, "x", &Watch::default()).unwrap()
}

/// Whether a use would have to wait.
fn waits(turns: &Arc<Turns>, usage: Usage) -> bool {
    let watch = Watch::default();
    watch.cancel.cancel();
    turns.wait(usage, "x", &watch).is_err()
}

#[test]
fn a_use_waits_for_what_does_not_go_with_it() {
    use Usage::{Alone, Prune, Read, Store};
    for (held, wait) in [
        (Read, vec![Alone]),
        (Store, vec![Alone]),
        (Prune, vec![Prune, Alone]),
        (Alone, vec![Read, Store, Prune, Alone]),
    ] {
        let turns = Arc::default();
        let turn = enter(&turns, held);
        for usage in [Read, Store, Prune, Alone] {
            let expected = wait.contains(&usage);
            assert_eq!(waits(&turns, usage), expected, "{usage:?} beside {held:?}");
        }
        drop(turn);
        assert!(!waits(&turns, Alone));
    }
}

#[test]
fn one_that_wants_to_be_alone_comes_before_those_that_came_later() {
    let turns: Arc<Turns> = Arc::default();
    let first = enter(&turns, Usage::Store);
    let (said, heard) = channel();
    let watch = Watch {
        waits: Some(Arc::new(move |what: Option<&str>| {
            let _ = said.send(what.map(str::to_owned));
        })),
        ..Watch::default()
    };
    let waiting = Arc::clone(&turns);
    let alone = thread::spawn(move || waiting.wait(Usage::Alone, "x", &watch).unwrap());
    assert_eq!(
        heard.recv().unwrap().as_deref(),
        Some("a backup or a restore")
    );
    assert!(
        waits(&turns, Usage::Store),
        "it would pass the one that waits"
    );
    drop(first);
    let alone = alone.join().unwrap();
    assert_eq!(heard.recv().unwrap(), None);
    assert!(waits(&turns, Usage::Read));
    drop(alone);
    enter(&turns, Usage::Store);
}

#[test]
fn a_location_has_one_queue() {
    let turn = enter(&Turns::at("here"), Usage::Alone);
    assert!(waits(&Turns::at("here"), Usage::Read));
    assert!(!waits(&Turns::at("there"), Usage::Read));
    drop(turn);
}
