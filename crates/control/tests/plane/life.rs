//! The life of a database without failures.

use std::cell::Cell;
use std::time::Duration;

use dormouse_control::{ErrorKind, Event, EventKind, PlaneConfig};
use dormouse_driver::Run as Process;
use dormouse_types::{Bytes, Pin, State, WokenBy};

use crate::doors::Door;
use crate::run::{MS, PATIENCE, S, name, spec, with, with_config};

#[test]
fn an_idle_database_is_suspended_then_parked_and_a_statement_wakes_it() {
    with(async |run| {
        let shop = name("shop");
        let created = run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        assert_eq!((created.name, created.password.len()), (shop.clone(), 24));
        assert_eq!(run.query(&shop).await, Ok(1));
        let instance = run.status(&shop).instance;
        let pid = run.status(&shop).pid;
        assert!(pid.is_some());

        tokio::time::sleep(9 * S).await;
        assert_eq!(run.state(&shop), State::Active);
        tokio::time::sleep(2 * S).await;
        assert_eq!(run.state(&shop), State::Suspended);
        assert_eq!(run.machine.run_of(instance), Some(Process::Frozen));
        assert_eq!(
            run.machine.lock().instances[&instance].pool,
            Bytes::mib(8),
            "the buffer pool was not shrunk"
        );
        assert_eq!(run.status(&shop).pid, pid);

        let before = tokio::time::Instant::now();
        assert_eq!(run.query(&shop).await, Ok(1));
        assert!(
            before.elapsed() <= 5 * MS,
            "a thaw took {:?}",
            before.elapsed()
        );
        assert_eq!(run.state(&shop), State::Active);
        let pool = || {
            let machine = run.machine.lock();
            let instance = &machine.instances[&instance];
            (instance.pool, instance.hydrated)
        };
        tokio::time::sleep(S).await;
        assert_eq!(pool(), (Bytes::mib(1024), true), "after a thaw");

        tokio::time::sleep(300 * S).await;
        assert_eq!(run.state(&shop), State::Parked);
        assert_eq!(run.machine.run_of(instance), Some(Process::Stopped));
        assert_eq!(run.status(&shop).pid, None);

        assert_eq!(run.query(&shop).await, Ok(2));
        assert_eq!(
            pool(),
            (Bytes::mib(128), false),
            "the first statements go first"
        );
        tokio::time::sleep(S).await;
        assert_eq!(pool(), (Bytes::mib(1024), true), "after a start");
        assert_eq!(
            run.ledger(&shop),
            [
                "created - active operator: it was created",
                "changed active suspended idle: idle for 10 s",
                "changed suspended active demand: a statement arrived",
                "changed active suspended idle: idle for 10 s",
                "changed suspended parked idle: idle for 300 s",
                "changed parked active demand: a statement arrived",
            ]
        );
        let events = run.events(&shop);
        assert_eq!(events[5].duration_ms, Some(93));
        assert!(
            events
                .windows(2)
                .all(|w| w[0].id < w[1].id && w[0].at <= w[1].at)
        );
    });
}

#[test]
fn statements_keep_it_awake_and_connections_do_not() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "never")).await.unwrap();
        for _ in 0..20 {
            tokio::time::sleep(5 * S).await;
            run.query(&shop).await.unwrap();
        }
        run.lanes
            .statement(&run.plane, &shop, 60 * S)
            .await
            .unwrap();
        assert_eq!(
            run.ledger(&shop).len(),
            1,
            "it slept in between: {:?}",
            run.ledger(&shop)
        );
        run.lanes
            .veto(&shop, &[(1, Pin::Transaction), (2, Pin::TemporaryTable)]);
        run.until(&shop, State::Suspended).await;
        assert_eq!(run.status(&shop).sessions, 2);
        tokio::time::sleep(100_000 * S).await;
        assert_eq!(run.state(&shop), State::Suspended);
    });
}

#[test]
fn a_hundred_statements_start_one_server() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        run.until(&shop, State::Parked).await;
        let starts = run.machine.lock().starts;
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let (plane, lanes, shop) = (run.plane.clone(), run.lanes.clone(), shop.clone());
            clients.spawn(async move { lanes.statement(&plane, &shop, MS).await });
        }
        while let Some(done) = clients.join_next().await {
            assert_eq!(done.unwrap(), Ok(2));
        }
        assert_eq!(run.machine.lock().starts, starts + 1);
    });
}

#[test]
fn no_more_servers_start_at_once_than_admitted() {
    with_config(
        |c| PlaneConfig { warm_pool: 2, ..c },
        async |run| {
            let names: Vec<_> = (0..12).map(|n| name(&format!("db{n}"))).collect();
            for database in &names {
                run.plane.create(database, spec("1s", "2s")).await.unwrap();
            }
            for database in &names {
                run.until(database, State::Parked).await;
            }
            let before = tokio::time::Instant::now();
            let mut clients = tokio::task::JoinSet::new();
            for database in names {
                let (plane, lanes) = (run.plane.clone(), run.lanes.clone());
                clients.spawn(async move { lanes.statement(&plane, &database, MS).await });
            }
            while let Some(done) = clients.join_next().await {
                assert_eq!(done.unwrap(), Ok(2));
            }
            assert_eq!(run.machine.lock().most_starting, 2);
            assert_eq!(before.elapsed().as_millis(), 6 * 93 + 1);
        },
    );
}

#[test]
fn a_statement_cancels_a_suspend_at_once() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        run.machine.set(|m| m.shrink_takes = 2 * S);
        run.until(&shop, State::Suspending).await;
        tokio::time::sleep(S).await;
        assert_eq!(run.state(&shop), State::Suspending);
        let before = tokio::time::Instant::now();
        assert_eq!(run.query(&shop).await, Ok(1));
        assert!(
            before.elapsed() <= 5 * MS,
            "held for {:?}",
            before.elapsed()
        );
        assert_eq!(run.state(&shop), State::Active);
        assert_eq!(
            run.ledger(&shop).last().map(String::as_str),
            Some("refused active suspended demand: a statement arrived")
        );
        run.machine.set(|m| m.shrink_takes = MS);
        run.until(&shop, State::Suspended).await;
    });
}

#[test]
fn a_statement_cancels_a_park_at_once() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "20s")).await.unwrap();
        run.lanes.capture_takes(3 * S);
        run.until(&shop, State::Parking).await;
        tokio::time::sleep(S).await;
        let before = tokio::time::Instant::now();
        assert_eq!(run.query(&shop).await, Ok(1));
        assert!(
            before.elapsed() <= 5 * MS,
            "held for {:?}",
            before.elapsed()
        );
        assert_eq!(run.state(&shop), State::Active);
        run.until(&shop, State::Parked).await;
        assert_eq!(run.query(&shop).await, Ok(2));
    });
}

#[test]
fn a_vetoed_park_is_retried_at_growing_intervals() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.lanes.veto(
            &shop,
            &[
                (7, Pin::TemporaryTable),
                (9, Pin::TemporaryTable),
                (9, Pin::UserLock),
            ],
        );
        tokio::time::sleep(600 * S).await;
        let instance = run.status(&shop).instance;
        assert_eq!(run.state(&shop), State::Suspended);
        assert_eq!(run.machine.run_of(instance), Some(Process::Frozen));
        let refused =
            "refused suspended parked veto: temporary_table (sessions 7, 9); user_lock (session 9)";
        let ledger = run.ledger(&shop);
        // at 30 s, then after 15, 30, 60, 120, 240 s more
        assert_eq!(ledger[2..], vec![refused; 6]);

        let refusal = run.plane.park(&shop).await.unwrap_err();
        assert_eq!(refusal.kind(), ErrorKind::Refused);
        assert_eq!(
            refusal.to_string(),
            "database 'shop' is suspended: temporary_table (sessions 7, 9); user_lock (session 9)"
        );
        run.lanes.veto(&shop, &[]);
        tokio::time::sleep(16 * S).await;
        assert_eq!(run.state(&shop), State::Parked);
    });
}

#[test]
fn it_parks_straight_from_active_when_it_never_suspends() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("never", "30s")).await.unwrap();
        run.lanes.veto(&shop, &[(3, Pin::Transaction)]);
        tokio::time::sleep(31 * S).await;
        assert_eq!(run.state(&shop), State::Active);
        assert!(matches!(run.lanes.door(&shop), Some(Door::Open(_))));
        run.lanes.veto(&shop, &[]);
        run.until(&shop, State::Parked).await;
        assert_eq!(
            run.ledger(&shop)[1..],
            [
                "refused active parked veto: transaction (session 3)",
                "changed active parked idle: idle for 30 s"
            ]
        );
    });
}

#[test]
fn orders_are_obeyed_or_refused_with_the_reason() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        assert_eq!(
            run.plane.suspend(&shop).await.unwrap().state,
            State::Suspended
        );
        assert_eq!(
            run.plane.suspend(&shop).await.unwrap().state,
            State::Suspended
        );
        assert_eq!(run.plane.park(&shop).await.unwrap().state, State::Parked);
        assert_eq!(run.plane.suspend(&shop).await.unwrap().state, State::Parked);
        assert_eq!(run.plane.wake(&shop).await.unwrap().state, State::Active);
        assert_eq!(run.plane.park(&shop).await.unwrap().state, State::Parked);
        run.query(&shop).await.unwrap();

        let (plane, lanes, of) = (run.plane.clone(), run.lanes.clone(), shop.clone());
        let long = tokio::spawn(async move { lanes.statement(&plane, &of, 60 * S).await });
        tokio::time::sleep(S).await;
        for refused in [run.plane.suspend(&shop).await, run.plane.park(&shop).await] {
            let error = refused.unwrap_err();
            assert_eq!(
                error.to_string(),
                "database 'shop' is active: a statement is running"
            );
        }
        assert_eq!(long.await.unwrap(), Ok(3));
        let missing = run.plane.wake(&name("other")).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn create_takes_a_warm_instance_and_the_pool_fills_again() {
    with_config(
        |c| PlaneConfig { warm_pool: 2, ..c },
        async |run| {
            tokio::time::sleep(5 * S).await;
            assert_eq!(run.machine.lock().instances.len(), 2);
            let before = tokio::time::Instant::now();
            run.plane
                .create(&name("a"), spec("never", "never"))
                .await
                .unwrap();
            assert!(before.elapsed() <= 5 * MS, "it took {:?}", before.elapsed());
            assert_eq!(run.status(&name("a")).instance.0, 1);
            tokio::time::sleep(5 * S).await;
            assert_eq!(run.machine.lock().instances.len(), 3);
            // faster than the pool fills
            for n in 0..5 {
                run.plane
                    .create(&name(&format!("b{n}")), spec("never", "never"))
                    .await
                    .unwrap();
            }
            tokio::time::sleep(5 * S).await;
            assert_eq!(run.machine.lock().instances.len(), 8);
        },
    );
}

#[test]
fn a_name_is_unique_and_the_number_of_databases_limited() {
    with_config(
        |c| PlaneConfig {
            databases_most: 2,
            ..c
        },
        async |run| {
            let (a, b) = (name("a"), name("b"));
            let both = tokio::join!(
                run.plane.create(&a, spec("never", "never")),
                run.plane.create(&a, spec("never", "never"))
            );
            assert!(both.0.is_ok());
            assert_eq!(both.1.unwrap_err().kind(), ErrorKind::Exists);
            run.plane.create(&b, spec("never", "never")).await.unwrap();
            let third = run.plane.create(&name("c"), spec("never", "never")).await;
            assert_eq!(third.unwrap_err().kind(), ErrorKind::Limit);
            let names: Vec<_> = run.plane.list().into_iter().map(|s| s.name).collect();
            assert_eq!(names, [a, b]);
        },
    );
}

#[test]
fn a_dropped_database_leaves_nothing_behind() {
    with(async |run| {
        let shop = name("shop");
        for state in [State::Active, State::Suspended, State::Parked] {
            run.plane
                .create(&shop, spec("never", "never"))
                .await
                .unwrap();
            match state {
                State::Suspended => drop(run.plane.suspend(&shop).await.unwrap()),
                State::Parked => drop(run.plane.park(&shop).await.unwrap()),
                _ => {}
            }
            run.plane.drop_database(&shop).await.unwrap();
            assert!(!run.plane.exists(&shop));
            assert!(run.machine.lock().instances.is_empty());
            assert_eq!(run.lanes.door(&shop), None);
            assert_eq!(
                run.plane.show(&shop).unwrap_err().kind(),
                ErrorKind::NotFound
            );
            assert_eq!(
                run.events(&shop).last().map(|e| e.event),
                Some(EventKind::Dropped)
            );
        }
    });
}

#[test]
fn the_statement_that_was_held_first_is_named_for_its_wake_only() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        let asked = Cell::new(0);
        let demand = |statement: &str, user: &str| {
            run.plane.demand(&shop, user, &|| {
                asked.set(asked.get() + 1);
                WokenBy::new(statement.to_owned(), user, "10.0.0.7")
            });
        };
        for (state, first, user) in [
            (State::Parked, "SELECT a FROM t", "app"),
            (State::Suspended, "SELECT b FROM t", "eve"),
            (State::Parked, "COM_STATISTICS", "root"),
        ] {
            run.until(&shop, state).await;
            asked.set(0);
            demand(first, user);
            demand("SELECT c FROM t", "other");
            run.until(&shop, State::Active).await;
            let woken = run.events(&shop).pop().unwrap();
            assert_eq!(woken.actor, Some(format!("client:{user}@shop")));
            let by = WokenBy::new(first.to_owned(), user, "10.0.0.7");
            assert_eq!(woken.woken_by, Some(by));
            assert_eq!(
                asked.get(),
                1,
                "others are held, and their text is not read"
            );
        }
        // an order has no statement
        run.until(&shop, State::Parked).await;
        run.plane.wake(&shop).await.unwrap();
        let ordered = run.events(&shop).pop().unwrap();
        assert_eq!((ordered.to, ordered.woken_by), (Some(State::Active), None));
        // nor has anything but a wake
        let sleeps = |e: &Event| e.to != Some(State::Active);
        let all = run.events(&shop);
        assert!(
            all.iter()
                .filter(|e| sleeps(e))
                .all(|e| e.woken_by.is_none())
        );
    });
}

#[test]
fn logins_are_answered_from_the_server_or_from_notes_and_wake_nothing() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        let users = async |user: &str| {
            run.plane
                .accounts(&shop, user, "10.0.0.7", PATIENCE)
                .await
                .unwrap()
                .len()
        };
        assert_eq!((users("admin").await, users("eve").await), (1, 0));
        assert_eq!(run.plane.has_schema(&shop, "shop"), None);
        run.machine
            .set(|m| m.extra_account = Some("eve".to_owned()));
        assert_eq!(users("eve").await, 1, "made a moment ago");
        for state in [State::Suspended, State::Parked] {
            run.until(&shop, state).await;
            assert_eq!(
                (users("admin").await, users("eve").await, users("bob").await),
                (1, 1, 0)
            );
            assert_eq!(run.plane.has_schema(&shop, "shop"), Some(true));
            assert_eq!(run.plane.has_schema(&shop, "shoes"), Some(false));
            tokio::time::sleep(S).await;
            assert_eq!(run.state(&shop), state);
        }
        let refused = run.plane.enroll(&shop, "admin", "%").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        run.plane.wake(&shop).await.unwrap();
        assert!(run.plane.enroll(&shop, "admin", "%").await.unwrap());
        assert!(!run.plane.enroll(&shop, "bob", "%").await.unwrap());
    });
}

#[test]
fn global_variables_set_by_statements_survive_a_park() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        let instance = run.status(&shop).instance;
        let set = vec![("max_connections".to_owned(), "77".to_owned())];
        run.machine
            .set(|m| m.instances.get_mut(&instance).unwrap().globals = set.clone());
        run.until(&shop, State::Parked).await;
        run.query(&shop).await.unwrap();
        assert_eq!(run.machine.lock().instances[&instance].globals, set);
    });
}

#[test]
fn the_ledger_can_be_subscribed_to() {
    with(async |run| {
        let mut follow = run.plane.subscribe();
        let shop = name("shop");
        run.plane.create(&shop, spec("1s", "never")).await.unwrap();
        run.until(&shop, State::Suspended).await;
        let followed = [follow.recv().await.unwrap(), follow.recv().await.unwrap()];
        assert_eq!(followed.to_vec(), run.events(&shop));
        assert_eq!(followed[1].to, Some(State::Suspended));
        assert_eq!(followed[1].figures.memory.map(|m| m.0 >> 20), Some(20));
    });
}

#[test]
fn a_thousand_parked_databases_set_no_timer() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        run.until(&shop, State::Parked).await;
        // with nothing to wait for, virtual time jumps to the end of this sleep in one step
        let steps = run.machine.lock().steps;
        tokio::time::sleep(Duration::from_secs(86_400 * 30)).await;
        assert_eq!(run.machine.lock().steps, steps);
        assert_eq!(run.state(&shop), State::Parked);
    });
}

#[test]
fn the_ledger_has_the_hit_ratio_of_the_buffer_pool() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        let instance = run.status(&shop).instance;
        let asked = |requests, reads| {
            run.machine.set(|m| {
                let instance = m.instances.get_mut(&instance).unwrap();
                instance.hits.requests = requests;
                instance.hits.reads = reads;
                instance.hot = Bytes::mib(812);
            });
        };
        let last = || {
            let event = run.events(&shop).pop().unwrap();
            (event.event, event.reason, event.figures.hit_ratio_ppm)
        };
        asked(1000, 100);
        run.until(&shop, State::Suspended).await;
        assert_eq!(last().2, Some(900_000), "all since it was made");

        assert_eq!(run.query(&shop).await, Ok(1));
        assert_eq!(last().2, None, "nothing was asked yet");
        asked(2000, 400);
        tokio::time::sleep(S).await;
        let told = "its hot pages are back: 812MiB".to_owned();
        assert_eq!(last(), (EventKind::Noted, told, Some(700_000)));
        asked(3000, 400);
        run.until(&shop, State::Suspended).await;
        assert_eq!(last().2, Some(850_000), "all since the wake");

        run.until(&shop, State::Parked).await;
        assert_eq!(run.query(&shop).await, Ok(2));
        asked(10, 10);
        run.plane.park(&shop).await.unwrap();
        assert_eq!(last().2, Some(0), "by the new server");
    });
}
