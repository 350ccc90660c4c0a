use super::*;

fn target(generation: u64) -> Target {
    Target {
        origin: dormouse_types::InstanceId(1),
        instance: dormouse_types::InstanceId(1),
        generation,
        endpoint: dormouse_types::Endpoint::unix("/s"),
        pooling: dormouse_types::Pooling::Statement,
        carry: dormouse_types::Carry::default(),
    }
}

fn pass(door: &Arc<Door>) -> Pass {
    match door.enter(None, || false, 10) {
        Entry::Pass(pass) => pass,
        _ => panic!("the door did not let a statement pass"),
    }
}

fn held(door: &Arc<Door>) -> oneshot::Receiver<Result<Pass, String>> {
    match door.enter(None, || false, 10) {
        Entry::Held(receiver) => receiver,
        _ => panic!("the door did not hold a statement"),
    }
}

#[test]
fn it_is_shut_only_when_no_statement_runs() {
    let door = Door::new();
    door.open(target(1));
    let running = pass(&door);
    assert!(!door.shut(false));
    drop(running);
    assert!(door.shut(false));
    assert!(door.shut(false), "shutting a shut door changes nothing");
}

#[test]
fn held_statements_go_in_order_and_are_counted_before_it_can_shut_again() {
    let door = Door::new();
    let (mut first, mut second) = (held(&door), held(&door));
    assert_eq!(door.activity().held, 2);
    door.open(target(1));
    assert!(!door.shut(false), "shut while statements with passes run");
    assert_eq!(door.activity().running, 2);
    assert!(matches!(first.try_recv(), Ok(Ok(_))) && matches!(second.try_recv(), Ok(Ok(_))));
    assert_eq!((door.activity().running, door.activity().held), (0, 0));
}

#[test]
fn a_statement_that_has_left_the_queue_gets_no_pass() {
    let door = Door::new();
    drop(held(&door));
    door.open(target(1));
    assert_eq!(door.activity().running, 0);
}

#[test]
fn a_refusal_reaches_held_and_later_statements_until_the_door_opens_or_shuts() {
    let door = Door::new();
    let mut waiting = held(&door);
    door.refuse("disk full");
    assert!(matches!(waiting.try_recv(), Ok(Err(reason)) if reason == "disk full"));
    assert!(matches!(door.enter(None, || false, 10), Entry::Refused(_)));
    door.shut(true);
    held(&door);
}

#[test]
fn the_queue_is_bounded() {
    let door = Door::new();
    let waiting = held(&door);
    assert!(matches!(door.enter(None, || false, 1), Entry::Full));
    drop(waiting);
    assert!(
        matches!(door.enter(None, || false, 1), Entry::Held(_)),
        "a free place in the queue was refused"
    );
}

#[test]
fn a_session_with_an_old_backend_is_shown_the_new_target() {
    let door = Door::new();
    door.open(target(1));
    let old = Arc::new(target(1));
    assert!(
        matches!(door.enter(Some(&old), || false, 1), Entry::Pass(pass) if pass.target.generation == 1)
    );
    door.shut(true);
    door.open(target(2));
    assert!(
        matches!(door.enter(Some(&old), || false, 1), Entry::Pass(pass) if pass.target.generation == 2)
    );
    assert_eq!(door.activity().running, 0);
}

#[test]
fn a_quiet_pass_does_not_count_as_a_statement() {
    let door = Door::new();
    assert!(door.enter_quietly().is_none());
    door.open(target(1));
    drop(door.enter_quietly());
    assert_eq!(door.activity().last_statement, None);
    drop(pass(&door));
    assert!(door.activity().last_statement.is_some());
}

#[test]
fn force_shuts_it_while_statements_run() {
    let door = Door::new();
    door.open(target(1));
    let running = pass(&door);
    assert!(door.shut(true));
    assert_eq!(door.activity().running, 1);
    drop(running);
    assert_eq!(door.activity().running, 0);
}

#[tokio::test(start_paused = true)]
async fn it_is_drained_when_the_last_statement_leaves() {
    let door = Door::new();
    door.open(target(1));
    let running = pass(&door);
    let draining = tokio::spawn({
        let door = Arc::clone(&door);
        async move { door.drain(Duration::from_secs(1)).await }
    });
    tokio::task::yield_now().await;
    let mut waiting = held(&door);
    drop(running);
    assert!(draining.await.unwrap());
    assert!(
        waiting.try_recv().is_err(),
        "a drained door let a statement pass"
    );
    assert!(door.target().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_too_long_opens_the_door_again() {
    let door = Door::new();
    door.open(target(1));
    let _running = pass(&door);
    assert!(!door.drain(Duration::from_secs(1)).await);
    drop(pass(&door));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_in_sessions_that_may_hold_locks() {
    let door = Door::new();
    door.open(target(1));
    let here = Arc::new(target(1));
    let stuck = pass(&door);
    let draining = tokio::spawn({
        let door = Arc::clone(&door);
        async move { door.drain(Duration::from_secs(1)).await }
    });
    door.until_closing().await;
    let mut other = held(&door);
    let Entry::Held(holder) = door.enter(Some(&here), || true, 10) else {
        panic!("the door did not hold a statement");
    };
    let commit = holder.await.unwrap().unwrap();
    drop(stuck);
    drop(commit);
    assert!(draining.await.unwrap());
    assert!(other.try_recv().is_err(), "others must wait");
    assert_eq!(door.activity().held, 1);
}

#[test]
fn it_opens_for_some_before_all_others() {
    let door = Door::new();
    let mut waiting = held(&door);
    let passes = door.open_for(target(1), 2);
    assert!(
        waiting.try_recv().is_err(),
        "a statement was let in too early"
    );
    held(&door);
    assert!(!door.shut(false), "shut while sessions are being served");
    let server = Arc::clone(&passes[0].target);
    assert!(door.opens_for(&server));
    drop(passes);
    assert!(!door.shut(false), "shut before it has opened for all");
    assert!(door.open_for_all(&server) && !door.opens_for(&server));
    assert!(matches!(waiting.try_recv(), Ok(Ok(_))));
    assert!(!door.open_for_all(&server), "it is open already");
}

#[tokio::test(start_paused = true)]
async fn a_door_that_is_shut_meanwhile_does_not_open_for_all() {
    type End = fn(&Arc<Door>);
    let ends: [End; 3] = [
        |door| assert!(door.shut(true)),
        |door| door.refuse("no disk"),
        |door| door.open(target(2)),
    ];
    for end in ends {
        let door = Door::new();
        let passes = door.open_for(target(1), 1);
        end(&door);
        let server = Arc::clone(&passes[0].target);
        assert!(!door.opens_for(&server) && !door.open_for_all(&server));
    }
    let door = Door::new();
    let passes = door.open_for(target(1), 1);
    let server = Arc::clone(&passes[0].target);
    assert!(
        !door.drain(Duration::from_secs(1)).await,
        "a session is being served"
    );
    assert!(!door.is_shut() && !door.open_for_all(&server));
}
