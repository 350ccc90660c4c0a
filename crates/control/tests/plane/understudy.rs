//! Understudies: kept, replaced, never a database's, and gone when Dormouse ends.

use std::path::Path;
use std::sync::Arc;

use dormouse_control::{PlaneConfig, UnderstudyCounts};
use dormouse_driver::Run as Process;
use dormouse_types::{InstanceId, State, Target};

use crate::machine::{Fault, Machine};
use crate::run::{Run, S, config, name, spec, virtually, with_config};

fn with_understudies(dir: &Path, understudies: usize) -> PlaneConfig {
    PlaneConfig {
        understudies,
        ..config(dir)
    }
}

/// Runs a test with this many understudies, which run already.
fn with(understudies: usize, test: impl AsyncFnOnce(Run)) {
    let change = |config| PlaneConfig {
        understudies,
        ..config
    };
    with_config(change, async |run| {
        tokio::time::sleep(5 * S).await;
        test(run).await;
    });
}

/// Makes a database and waits until it is parked.
async fn parked(run: &Run, database: &str) {
    let database = name(database);
    run.plane.create(&database, spec("1s", "2s")).await.unwrap();
    run.until(&database, State::Parked).await;
}

fn of(run: &Run, database: &str) -> Option<Arc<Target>> {
    run.plane.understudies().of(&name(database))
}

fn instances(machine: &Machine) -> Vec<(InstanceId, Process)> {
    let machine = machine.lock();
    let all = machine.instances.iter();
    all.map(|(id, instance)| (*id, instance.run)).collect()
}

#[test]
fn a_sleeping_database_has_one_and_an_awake_one_has_none() {
    with(1, async |run| {
        assert_eq!(of(&run, "shop"), None, "there is no such database");
        parked(&run, "shop").await;
        let one = of(&run, "shop").unwrap();
        assert_ne!(one.instance, run.status(&name("shop")).instance);
        assert!(Arc::ptr_eq(&one, &of(&run, "shop").unwrap()));
        run.query(&name("shop")).await.unwrap();
        assert_eq!(of(&run, "shop"), None);
        run.until(&name("shop"), State::Parked).await;
        assert!(Arc::ptr_eq(&one, &of(&run, "shop").unwrap()));
        let counts = run.plane.understudies().counts();
        let expected = UnderstudyCounts {
            wanted: 1,
            running: 1,
            restarts: 0,
        };
        assert_eq!(counts, expected);
    });
}

#[test]
fn globals_are_told_as_they_were_before_the_sleep() {
    with(1, async |run| {
        parked(&run, "shop").await;
        let globals = |run: &Run| run.plane.understudies().set_globals(&name("shop"));
        assert_eq!(globals(&run), Some(Vec::new()));
        let id = run.status(&name("shop")).instance;
        run.query(&name("shop")).await.unwrap();
        assert_eq!(globals(&run), None);
        let set = vec![("sql_mode".to_owned(), "'ANSI'".to_owned())];
        run.machine
            .set(|m| m.instances.get_mut(&id).unwrap().globals = set.clone());
        run.until(&name("shop"), State::Parked).await;
        assert_eq!(globals(&run), Some(set));
        assert_eq!(run.plane.understudies().set_globals(&name("other")), None);
    });
}

#[test]
fn several_take_turns() {
    with(3, async |run| {
        parked(&run, "shop").await;
        let mut seen: Vec<_> = (0..6).map(|_| of(&run, "shop").unwrap().instance).collect();
        let first: Vec<_> = seen.drain(..3).collect();
        assert_eq!(first, seen);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3);
    });
}

#[test]
fn with_none_there_is_none() {
    with(0, async |run| {
        parked(&run, "shop").await;
        assert_eq!(of(&run, "shop"), None);
        assert_eq!(run.machine.lock().instances.len(), 1);
    });
}

#[test]
fn one_that_dies_is_replaced_by_another() {
    with(1, async |run| {
        parked(&run, "shop").await;
        let mut all = vec![of(&run, "shop").unwrap()];
        for died in 1..4 {
            let last = all.last().unwrap();
            run.machine.kill(last.instance);
            tokio::time::sleep(S / 2).await;
            assert_eq!(of(&run, "shop"), None, "it has died");
            let gone = run.plane.understudies().enroll(last, "app", "%").await;
            gone.unwrap_err();
            tokio::time::sleep(30 * S).await;
            let next = of(&run, "shop").unwrap();
            assert!(!all.iter().any(|one| one.generation == next.generation));
            assert_eq!(run.plane.understudies().counts().restarts, died);
            // that of the database, and the new one
            assert_eq!(run.machine.lock().instances.len(), 2);
            all.push(next);
        }
    });
}

#[test]
fn one_that_dies_again_and_again_is_replaced_less_and_less_often() {
    with(1, async |run| {
        let starts = run.machine.lock().starts;
        for _ in 0..600 {
            let ids: Vec<_> = instances(&run.machine).into_iter().collect();
            for (id, process) in ids {
                if process == Process::Running {
                    run.machine.kill(id);
                }
            }
            tokio::time::sleep(S).await;
        }
        let started = run.machine.lock().starts - starts;
        assert!((8..20).contains(&started), "{started} starts in 600 s");
    });
}

#[test]
fn accounts_are_made_once_and_one_of_each_name() {
    with(1, async |run| {
        parked(&run, "shop").await;
        let target = of(&run, "shop").unwrap();
        for (user, host) in [
            ("app", "%"),
            ("app", "%"),
            ("app", "10.%"),
            ("app", "10.%"),
            ("app", "%"),
            ("b", "%"),
        ] {
            let understudies = run.plane.understudies();
            understudies.enroll(&target, user, host).await.unwrap();
        }
        let made = |run: &Run| {
            run.machine.lock().instances[&target.instance]
                .guests
                .clone()
        };
        assert_eq!(made(&run), ["app@%", "app@10.%", "app@%", "b@%"]);
        for n in 2..4096 {
            let (understudies, user) = (run.plane.understudies(), format!("u{n}"));
            understudies.enroll(&target, &user, "%").await.unwrap();
        }
        assert_eq!(made(&run).len(), 4098);
        let more = ["more", "app", "app"];
        for user in more {
            let understudies = run.plane.understudies();
            understudies.enroll(&target, user, "%").await.unwrap();
        }
        assert_eq!(made(&run), ["more@%", "app@%"]);
    });
}

#[test]
fn nothing_is_left_when_dormouse_ends() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    virtually(&machine, async {
        let config = with_understudies(dir.path(), 2);
        let run = Run::start_with(&machine, config).await.unwrap();
        parked(&run, "shop").await;
        tokio::time::sleep(5 * S).await;
        assert_eq!(machine.lock().instances.len(), 3);
        run.plane.stop().await;
        assert_eq!(of(&run, "shop"), None);
        assert_eq!(run.plane.understudies().counts().running, 0);
    });
    assert_eq!(
        instances(&machine)
            .iter()
            .map(|one| one.1)
            .collect::<Vec<_>>(),
        [Process::Stopped]
    );
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}

#[test]
fn a_killed_dormouse_leaves_them_to_the_next_start_which_removes_them() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let mut seen = Vec::new();
    for (round, understudies) in [2, 2, 1, 0].into_iter().enumerate() {
        virtually(&machine, async {
            let config = PlaneConfig {
                warm_pool: 1,
                ..with_understudies(dir.path(), understudies)
            };
            let run = Run::start_with(&machine, config).await.unwrap();
            // one that is made before the pool is full again, too
            for n in 0..3 {
                let database = format!("db{round}{n}");
                run.plane
                    .create(&name(&database), spec("1s", "2s"))
                    .await
                    .unwrap();
                let instance = run.status(&name(&database)).instance;
                assert!(!seen.contains(&instance), "an understudy serves {database}");
            }
            run.until(&name(&format!("db{round}2")), State::Parked)
                .await;
            tokio::time::sleep(5 * S).await;
            let database = format!("db{round}2");
            seen.extend((0..2).filter_map(|_| Some(of(&run, &database)?.instance)));
            let databases = 3 * (round + 1);
            let expected = databases + 1 + understudies;
            assert_eq!(machine.lock().instances.len(), expected, "round {round}");
        });
    }
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}

/// Everything that is done with understudies, with one fault at one step. `false` if there are not that many steps.
fn with_fault(at: u32, fault: Fault) -> bool {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    machine.lock().fault = Some((at, fault));
    let mut seen = Vec::new();
    let ended = virtually(&machine, async {
        let config = with_understudies(dir.path(), 1);
        let run = Run::start_with(&machine, config).await.unwrap();
        tokio::time::sleep(10 * S).await;
        let shop = name("shop");
        if run.plane.create(&shop, spec("1s", "2s")).await.is_err() {
            run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        }
        for _ in 0..2 {
            run.until(&shop, State::Parked).await;
            tokio::time::sleep(10 * S).await;
            // its server may die when the account is made
            while let Some(target) = of(&run, "shop") {
                seen.push(target.instance);
                if run
                    .plane
                    .understudies()
                    .enroll(&target, "app", "%")
                    .await
                    .is_ok()
                {
                    break;
                }
                tokio::time::sleep(10 * S).await;
            }
            run.machine.kill(*seen.last().unwrap());
            run.query(&shop).await.unwrap();
        }
        run.until(&shop, State::Parked).await;
        tokio::time::sleep(10 * S).await;
        run.plane.stop().await;
    });
    let happened = machine.lock().happened.take();
    let Some(happened) = happened else {
        assert_eq!(instances(&machine).len(), 1);
        return false;
    };
    let crashes = matches!(fault, Fault::CrashBefore | Fault::CrashAfter);
    let context = format!("{fault:?} at step {at}, {happened}");
    assert_eq!(ended.is_none(), crashes, "{context}");
    machine.lock().fault = None;
    virtually(&machine, async {
        let config = with_understudies(dir.path(), 1);
        let run = Run::start_with(&machine, config).await.unwrap();
        let shop = name("shop");
        if !run.plane.exists(&shop) {
            run.plane.create(&shop, spec("1s", "2s")).await.unwrap();
        }
        let instance = run.status(&shop).instance;
        assert!(!seen.contains(&instance), "{context}: it has an understudy");
        run.query(&shop).await.unwrap();
        run.until(&shop, State::Parked).await;
        tokio::time::sleep(10 * S).await;
        let target = of(&run, "shop").unwrap();
        let expected = [
            (instance, Process::Stopped),
            (target.instance, Process::Running),
        ];
        let mut found = instances(&machine);
        found.sort_by_key(|(id, _)| *id != instance);
        assert_eq!(found, expected, "{context}");
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new(), "{context}");
    true
}

fn at_every_step(fault: Fault) {
    let steps = (1..).take_while(|at| with_fault(*at, fault)).count();
    assert!(steps > 25, "{steps} steps only");
}

#[test]
fn dormouse_may_be_killed_at_any_step() {
    at_every_step(Fault::CrashBefore);
    at_every_step(Fault::CrashAfter);
}

#[test]
fn any_step_may_fail() {
    at_every_step(Fault::Fail);
}

#[test]
fn the_server_may_die_at_any_step() {
    at_every_step(Fault::Die);
}
