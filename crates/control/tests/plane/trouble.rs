//! Servers that die, and machines that fail.

use std::time::Duration;

use dormouse_control::ErrorKind;
use dormouse_driver::Run as Process;
use dormouse_types::{State, WokenBy};

use crate::run::{MS, PATIENCE, S, name, spec, with};

#[test]
fn a_server_that_dies_is_restarted_at_once() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        let before = run.status(&shop);
        run.machine.kill(before.instance);
        let asked = tokio::time::Instant::now();
        assert_eq!(run.query(&shop).await, Ok(2));
        assert!(asked.elapsed() < 100 * MS, "it took {:?}", asked.elapsed());
        let after = run.status(&shop);
        assert_eq!((after.state, after.generation), (State::Active, 2));
        assert_ne!(after.pid, before.pid);
        assert_eq!(
            run.ledger(&shop)[1],
            "changed active active crash: its server died"
        );
        // also without a waiting statement
        run.machine.kill(before.instance);
        tokio::time::sleep(S).await;
        assert_eq!(run.machine.run_of(before.instance), Some(Process::Running));
    });
}

#[test]
fn a_server_that_keeps_dying_is_restarted_with_growing_delays_and_no_statement_fails() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        let instance = run.status(&shop).instance;
        let mut slowest = Duration::ZERO;
        for _ in 0..12 {
            run.machine.kill(instance);
            let asked = tokio::time::Instant::now();
            run.query(&shop).await.unwrap();
            slowest = slowest.max(asked.elapsed());
        }
        assert!(slowest > 29 * S && slowest < 31 * S, "{slowest:?}");
        // a minute without a failure resets the count
        tokio::time::sleep(60 * S).await;
        run.machine.kill(instance);
        let asked = tokio::time::Instant::now();
        run.query(&shop).await.unwrap();
        assert!(asked.elapsed() < S, "{:?}", asked.elapsed());
    });
}

#[test]
fn statements_are_held_while_starting_servers_are_killed() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        run.machine.set(|m| m.killed_starts = 6);
        run.machine.kill(run.status(&shop).instance);
        let asked = tokio::time::Instant::now();
        let (statement, login) = tokio::join!(
            run.query(&shop),
            run.plane.accounts(&shop, "admin", "10.0.0.7", PATIENCE)
        );
        assert!(statement.is_ok(), "{statement:?}");
        assert_eq!(login.unwrap().len(), 1);
        // seven restarts: the fourth after one second, the seventh after eight
        let took = asked.elapsed();
        assert!(took > 15 * S && took < 17 * S, "{took:?}");
        assert_eq!(run.machine.lock().killed_starts, 0);
        let told = "killed by signal 9 while it was starting";
        assert!(run.ledger(&shop).iter().any(|l| l.ends_with(told)));
    });
}

#[test]
fn an_ordered_wake_does_not_wait_for_the_next_restart() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        run.machine.set(|m| m.killed_starts = 8);
        run.machine.kill(run.status(&shop).instance);
        tokio::time::sleep(20 * S).await;
        assert_eq!(
            run.state(&shop),
            State::Waking,
            "it pauses for sixteen seconds"
        );
        run.machine.set(|m| m.killed_starts = 0);
        let ordered = tokio::time::Instant::now();
        run.plane.wake(&shop).await.unwrap();
        assert!(ordered.elapsed() < S, "{:?}", ordered.elapsed());
    });
}

#[test]
fn a_login_whose_accounts_cannot_be_read_in_time_gets_the_reason() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        run.machine.set(|m| m.start_takes = 60 * S);
        run.machine.kill(run.status(&shop).instance);
        let login = run.plane.accounts(&shop, "admin", "10.0.0.7", 10 * S).await;
        assert_eq!(
            login.unwrap_err().to_string(),
            "the accounts of database 'shop' cannot be read: it is waking (its server died)"
        );
    });
}

#[test]
fn a_login_without_known_accounts_retries_the_start_of_a_failed_database() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        let log_in = async |patience| {
            run.plane
                .accounts(&shop, "admin", "10.0.0.7", patience)
                .await
        };
        run.machine.set(|m| m.broken = Some("no files".to_owned()));
        run.machine.kill(run.status(&shop).instance);
        run.until(&shop, State::Failed).await;
        // no start for five seconds: a login with less patience gets the reason
        let refused = log_in(S).await.unwrap_err().to_string();
        assert!(refused.ends_with("did not start: no files"), "{refused}");
        // it is started again only for a new login, once for all of them
        tokio::time::sleep(600 * S).await;
        let tries = run.ledger(&shop).len();
        let (a, b) = tokio::join!(log_in(PATIENCE), log_in(PATIENCE));
        assert!(a.is_err() && b.is_err(), "{a:?} {b:?}");
        tokio::time::sleep(S).await;
        assert_eq!(run.ledger(&shop).len(), tries + 2, "one try, and given up");
        tokio::time::sleep(600 * S).await;
        assert_eq!(run.state(&shop), State::Failed);
        // a login that arrives before the repair waits for the next start
        assert!(log_in(PATIENCE).await.is_err());
        run.machine.set(|m| m.broken = None);
        assert_eq!(log_in(PATIENCE).await.unwrap().len(), 1);
        assert_eq!(run.state(&shop), State::Active);
        tokio::time::sleep(S).await;
        let woken = run.events(&shop).pop().unwrap();
        let by = WokenBy::new(WokenBy::LOGIN.to_owned(), "admin", "10.0.0.7");
        assert_eq!((woken.to, woken.woken_by), (Some(State::Active), Some(by)));
        assert_eq!(woken.actor.as_deref(), Some("client:admin@shop"));
    });
}

#[test]
fn a_frozen_server_that_dies_is_parked_and_wakes_on_demand() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "never")).await.unwrap();
        run.until(&shop, State::Suspended).await;
        run.machine.kill(run.status(&shop).instance);
        tokio::time::sleep(S).await;
        assert_eq!(run.state(&shop), State::Parked);
        assert_eq!(
            run.plane
                .accounts(&shop, "admin", "10.0.0.7", PATIENCE)
                .await
                .unwrap()
                .len(),
            1
        );
        assert_eq!(run.query(&shop).await, Ok(2));
    });
}

#[test]
fn a_login_after_a_crash_waits_for_the_server_rather_than_trust_old_notes() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "never")).await.unwrap();
        run.until(&shop, State::Suspended).await;
        run.query(&shop).await.unwrap();
        run.machine
            .set(|m| m.extra_account = Some("eve".to_owned()));
        run.machine.kill(run.status(&shop).instance);
        let eve = run
            .plane
            .accounts(&shop, "eve", "10.0.0.7", PATIENCE)
            .await
            .unwrap();
        assert_eq!(eve.len(), 1);
        assert_eq!(run.status(&shop).generation, 2);
    });
}

#[test]
fn a_start_that_fails_once_is_retried_without_an_error() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        run.until(&shop, State::Parked).await;
        run.machine.set(|m| m.broken = Some("no memory".to_owned()));
        let machine = run.machine.clone();
        tokio::spawn(async move {
            tokio::time::sleep(150 * MS).await;
            machine.set(|m| m.broken = None);
        });
        run.query(&shop).await.unwrap();
        assert_eq!(run.state(&shop), State::Active);
        assert!(
            run.ledger(&shop)
                .iter()
                .any(|l| l.ends_with("did not start: no memory"))
        );
    });
}

#[test]
fn a_server_that_cannot_start_is_given_up_with_the_reason_and_tried_again_on_demand() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        run.until(&shop, State::Parked).await;
        run.machine.set(|m| m.broken = Some("disk full".to_owned()));
        let refused = run.query(&shop).await.unwrap_err();
        assert_eq!(
            refused,
            "its server cannot be started: the server of instance 1 did not start: disk full"
        );
        assert_eq!(run.state(&shop), State::Failed);
        assert_eq!(
            run.query(&shop).await,
            Err(refused.clone()),
            "refused at once"
        );
        let order = run.plane.wake(&shop).await.unwrap_err();
        assert_eq!(order.kind(), ErrorKind::Machine);
        assert!(order.to_string().contains("disk full"), "{order}");
        // much later a statement may try again, and is refused again
        tokio::time::sleep(600 * S).await;
        assert_eq!(run.query(&shop).await, Err(refused));
        run.machine.set(|m| m.broken = None);
        tokio::time::sleep(600 * S).await;
        assert_eq!(run.state(&shop), State::Failed);
        run.query(&shop).await.unwrap();
        assert_eq!(run.state(&shop), State::Active);
        run.until(&shop, State::Parked).await;
    });
}

#[test]
fn a_failed_create_leaves_nothing_behind_and_can_be_repeated() {
    with(async |run| {
        let shop = name("shop");
        run.machine.set(|m| m.broken = Some("disk full".to_owned()));
        let error = run.plane.create(&shop, spec("1s", "2s")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "starting instance 1: the server of instance 1 did not start: disk full"
        );
        assert!(run.machine.lock().instances.is_empty());
        assert!(!run.plane.exists(&shop));
        run.machine.set(|m| m.broken = None);
        run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        assert_eq!(run.query(&shop).await, Ok(1));
    });
}

#[test]
fn stopping_leaves_servers_as_they_are() {
    with(async |run| {
        let (a, b) = (name("a"), name("b"));
        run.plane.create(&a, spec("never", "never")).await.unwrap();
        run.plane.create(&b, spec("1s", "never")).await.unwrap();
        run.until(&b, State::Suspended).await;
        let waiting = run.plane.clone();
        run.plane.stop().await;
        assert_eq!(
            run.machine.run_of(run.status(&a).instance),
            Some(Process::Running)
        );
        assert_eq!(
            run.machine.run_of(run.status(&b).instance),
            Some(Process::Frozen)
        );
        let late = waiting.wake(&b).await.unwrap_err();
        assert_eq!(late.to_string(), "dormouse is stopping");
    });
}
