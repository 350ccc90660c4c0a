//! A start after each state that an earlier run can leave.

use std::path::Path;

use dormouse_control::{Error, ErrorKind, PlaneConfig};
use dormouse_driver::{Driver, Run as Process};
use dormouse_types::{InstanceId, State};

use crate::machine::Machine;
use crate::run::{PATIENCE, Run, S, config, name, spec, virtually};

pub(crate) fn run<T>(machine: &Machine, dir: &Path, script: impl AsyncFnOnce(&Run) -> T) -> T {
    let done = virtually(machine, async {
        let run = Run::start(machine, dir).await.unwrap();
        script(&run).await
    });
    done.expect("it was not killed")
}

pub(crate) fn fails(machine: &Machine, dir: &Path) -> Error {
    virtually(machine, async {
        Run::start(machine, dir).await.err().expect("it started")
    })
    .expect("it was not killed")
}

#[test]
fn every_database_continues_from_its_observed_state() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let names = ["active", "suspended", "parked", "died", "died-frozen"].map(name);
    let pids = run(&machine, dir.path(), async |run| {
        for database in &names {
            run.plane
                .create(database, spec("never", "never"))
                .await
                .unwrap();
        }
        run.plane.suspend(&names[1]).await.unwrap();
        run.plane.park(&names[2]).await.unwrap();
        run.plane.suspend(&names[4]).await.unwrap();
        for dead in [3, 4] {
            machine.lock().kill(run.status(&names[dead]).instance);
        }
        names.each_ref().map(|n| run.status(n).pid)
    });
    run(&machine, dir.path(), async |run| {
        tokio::time::sleep(S).await;
        let states = names.each_ref().map(|n| run.state(n));
        let expected = [
            State::Active,
            State::Suspended,
            State::Parked,
            State::Active,
            State::Parked,
        ];
        assert_eq!(states, expected);
        assert_eq!(run.status(&names[0]).pid, pids[0]);
        assert_eq!(run.status(&names[1]).pid, pids[1]);
        for (database, generation) in names.iter().zip([1, 1, 2, 2, 2]) {
            assert_eq!(run.query(database).await, Ok(generation), "{database}");
        }
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}

#[test]
fn warm_instances_are_kept_and_claimed() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let config = PlaneConfig {
        warm_pool: 2,
        ..config(dir.path())
    };
    for round in 0..3 {
        virtually(&machine, async {
            let run = Run::start_with(&machine, config.clone()).await.unwrap();
            tokio::time::sleep(5 * S).await;
            let database = name(&format!("db{round}"));
            run.plane
                .create(&database, spec("never", "never"))
                .await
                .unwrap();
            assert_eq!(run.query(&database).await, Ok(1));
            tokio::time::sleep(5 * S).await;
        });
        assert_eq!(
            machine.lock().instances.len(),
            3 + round,
            "after round {round}"
        );
    }
}

#[test]
fn instances_with_unassigned_ids_are_left_alone() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&machine, dir.path(), async |run| {
        run.plane
            .create(&name("a"), spec("never", "never"))
            .await
            .unwrap();
    });
    virtually(&machine, async {
        machine
            .provision(InstanceId(40), &Default::default())
            .await
            .unwrap();
    });
    for round in 0..3 {
        run(&machine, dir.path(), async |run| {
            run.plane
                .create(&name(&format!("b{round}")), spec("never", "never"))
                .await
                .unwrap();
        });
    }
    let ids: Vec<u32> = machine.lock().instances.keys().map(|id| id.0).collect();
    assert_eq!(ids, [1, 40, 41, 42, 43]);
}

#[test]
fn missing_files_are_reported() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    run(&machine, dir.path(), async |run| {
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
    });
    machine.lock().instances.clear();
    run(&machine, dir.path(), async |run| {
        let refused = run.query(&shop).await.unwrap_err();
        assert_eq!(
            refused,
            "its server cannot be started: instance 1 does not exist"
        );
        assert_eq!(run.state(&shop), State::Failed);
        run.plane.drop_database(&shop).await.unwrap();
    });
}

#[test]
fn a_power_failure_restores_no_old_account() {
    for slept in [State::Suspended, State::Parked] {
        let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
        let shop = name("shop");
        run(&machine, dir.path(), async |run| {
            machine.set(|m| m.extra_account = Some("eve".to_owned()));
            run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
            run.until(&shop, slept).await;
            run.query(&shop).await.unwrap();
            machine.set(|m| m.extra_account = None);
            run.query(&shop).await.unwrap();
            machine.kill(run.status(&shop).instance);
        });
        run(&machine, dir.path(), async |run| {
            assert_eq!(
                run.plane
                    .accounts(&shop, "eve", "10.0.0.7", PATIENCE)
                    .await
                    .unwrap(),
                [],
                "after {slept}"
            );
            assert_eq!(
                run.plane
                    .accounts(&shop, "admin", "10.0.0.7", PATIENCE)
                    .await
                    .unwrap()
                    .len(),
                1
            );
        });
    }
}

#[test]
fn a_cancelled_suspend_restores_no_old_account() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    run(&machine, dir.path(), async |run| {
        machine.set(|m| m.extra_account = Some("eve".to_owned()));
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        machine.set(|m| m.shrink_takes = 2 * S);
        run.until(&shop, State::Suspending).await;
        tokio::time::sleep(S).await;
        run.query(&shop).await.unwrap();
        machine.set(|m| m.extra_account = None);
        run.query(&shop).await.unwrap();
        machine.kill(run.status(&shop).instance);
    });
    run(&machine, dir.path(), async |run| {
        assert_eq!(
            run.plane
                .accounts(&shop, "eve", "10.0.0.7", PATIENCE)
                .await
                .unwrap(),
            []
        );
    });
}

#[test]
fn an_idle_database_that_was_left_running_goes_to_sleep() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    run(&machine, dir.path(), async |run| {
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
    });
    run(&machine, dir.path(), async |run| {
        run.until(&shop, State::Parked).await;
        assert_eq!(
            machine.run_of(run.status(&shop).instance),
            Some(Process::Stopped)
        );
    });
}

#[test]
fn a_data_directory_has_one_running_plane() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&machine, dir.path(), async |_first| {
        let second = Run::start(&machine, dir.path())
            .await
            .err()
            .expect("two run");
        let expected = format!(
            "another dormouse (pid {}) runs on {}",
            std::process::id(),
            dir.path().display()
        );
        assert_eq!(second.to_string(), expected);
    });
    run(&machine, dir.path(), async |_next| {});
}

#[test]
fn a_damaged_catalog_is_one_readable_error() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let path = dir.path().join("catalog.sqlite");
    std::fs::write(
        &path,
        "this is no catalog, and long enough to look like something else".repeat(99),
    )
    .unwrap();
    let error = fails(&machine, dir.path());
    assert_eq!(error.kind(), ErrorKind::Machine);
    assert!(
        error
            .to_string()
            .starts_with(&format!("the catalog {}: it is damaged (", path.display())),
        "{error}"
    );
    assert!(error.hint().contains("backup"), "{}", error.hint());
}
