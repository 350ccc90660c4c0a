//! A start after each state that an earlier run can leave.

use std::path::Path;

use dormouse_control::{Error, ErrorKind, PlaneConfig, SettingsPatch};
use dormouse_driver::{Driver, Run as Process};
use dormouse_types::{InstanceId, State};

use crate::machine::Machine;
use crate::run::{PATIENCE, Run, S, config, name, spec, virtually};

fn run<T>(machine: &Machine, dir: &Path, script: impl AsyncFnOnce(&Run) -> T) -> T {
    let done = virtually(machine, async {
        let run = Run::start(machine, dir).await.unwrap();
        script(&run).await
    });
    done.expect("it was not killed")
}

fn fails(machine: &Machine, dir: &Path) -> Error {
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
        machine.provision(InstanceId(40)).await.unwrap();
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
fn a_lost_catalog_loses_no_files() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&machine, dir.path(), async |run| {
        for n in 0..3 {
            run.plane
                .create(&name(&format!("db{n}")), spec("never", "never"))
                .await
                .unwrap();
        }
    });
    let other = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        run(&machine, other.path(), async |run| {
            tokio::time::sleep(S).await;
            assert!(run.plane.list().is_empty());
        });
        assert_eq!(machine.lock().instances.len(), 3);
    }
}

fn remove_catalog(dir: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("catalog.sqlite{ending}")));
    }
}

/// The catalog, with what is not written to its main file yet.
fn copy_catalog(from: &Path, to: &Path) {
    remove_catalog(to);
    for ending in ["", "-wal"] {
        let name = format!("catalog.sqlite{ending}");
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

#[test]
fn databases_of_a_lost_catalog_are_taken_up_again_with_their_settings() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let (shop, blog, gone) = (name("shop"), name("blog"), name("gone"));
    run(&machine, dir.path(), async |run| {
        for database in [&shop, &blog, &gone] {
            run.plane
                .create(database, spec("never", "never"))
                .await
                .unwrap();
        }
        let settings = SettingsPatch {
            idle_suspend: Some("7s".parse().unwrap()),
            idle_park: Some("70s".parse().unwrap()),
            ..SettingsPatch::default()
        };
        run.plane.set(&blog, settings).await.unwrap();
        run.plane.park(&blog).await.unwrap();
        run.plane.drop_database(&gone).await.unwrap();
    });
    for emptied in [false, true] {
        remove_catalog(dir.path());
        if emptied {
            std::fs::write(dir.path().join("catalog.sqlite"), "").unwrap();
        }
        run(&machine, dir.path(), async |run| {
            let found = run.plane.found().join(" ");
            assert!(
                found.contains("was new or empty: 2 databases were (shop, blog)"),
                "{found}"
            );
            tokio::time::sleep(S).await;
            assert_eq!(run.plane.list().len(), 2);
            assert_eq!(run.query(&shop).await, Ok(1));
            assert!(run.query(&blog).await.is_ok());
            assert_eq!(run.status(&blog).spec, spec("7s", "70s"));
            // its name is not given away
            let taken = run.plane.create(&shop, spec("never", "never")).await;
            assert_eq!(taken.unwrap_err().kind(), ErrorKind::Exists);
            let lines = run.ledger(&shop);
            let why = "the catalog did not know it; name and settings were read beside its files";
            assert!(lines.iter().any(|line| line.contains(why)), "{lines:?}");
            // a new database gets another instance
            run.plane
                .create(&gone, spec("never", "never"))
                .await
                .unwrap();
            run.plane.drop_database(&gone).await.unwrap();
        });
    }
    run(&machine, dir.path(), async |run| {
        assert_eq!(run.plane.found(), Vec::<String>::new());
        assert_eq!(run.plane.list().len(), 2);
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}

#[test]
fn an_old_copy_of_the_catalog_loses_no_database() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let (old, new) = (name("old"), name("new"));
    let copy = tempfile::tempdir().unwrap();
    let never = || spec("never", "never");
    run(&machine, dir.path(), async |run| {
        run.plane.create(&old, never()).await.unwrap();
    });
    copy_catalog(dir.path(), copy.path());
    run(&machine, dir.path(), async |run| {
        run.plane.create(&new, never()).await.unwrap();
    });
    copy_catalog(copy.path(), dir.path());
    run(&machine, dir.path(), async |run| {
        tokio::time::sleep(S).await;
        let found = run.plane.found().join(" ");
        assert!(
            found.contains("did not know them: 1 database was (new)"),
            "{found}"
        );
        for database in [&old, &new] {
            assert!(run.query(database).await.is_ok(), "{database}");
        }
    });
}

#[test]
fn the_catalog_of_another_data_directory_is_refused_and_removes_nothing() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let (elsewhere, other) = (Machine::new(), tempfile::tempdir().unwrap());
    let never = || spec("never", "never");
    run(&machine, dir.path(), async |run| {
        run.plane.create(&name("shop"), never()).await.unwrap();
    });
    run(&elsewhere, other.path(), async |run| {
        for n in 0..9 {
            let made = run.plane.create(&name(&format!("db{n}")), never()).await;
            made.unwrap();
        }
        // the ids of dropped instances would be free to be removed
        for n in 0..5 {
            let dropped = run.plane.drop_database(&name(&format!("db{n}"))).await;
            dropped.unwrap();
        }
    });
    copy_catalog(other.path(), dir.path());
    // instance 1 is none of the other's any more: it is taken up, not removed
    run(&machine, dir.path(), async |run| {
        tokio::time::sleep(S).await;
        assert!(run.query(&name("shop")).await.is_ok());
    });
    let (third, third_dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&third, third_dir.path(), async |run| {
        run.plane.create(&name("blog"), never()).await.unwrap();
    });
    copy_catalog(third_dir.path(), dir.path());
    let error = fails(&machine, dir.path());
    let text = error.to_string();
    assert!(text.contains("instance 1 is 'blog'"), "{text}");
    assert!(text.contains("are those of 'shop'"), "{text}");
    assert!(error.hint().contains("move this one away"));
    assert_eq!(machine.lock().instances.len(), 1);
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
                run.plane.accounts(&shop, "eve", PATIENCE).await.unwrap(),
                [],
                "after {slept}"
            );
            assert_eq!(
                run.plane
                    .accounts(&shop, "admin", PATIENCE)
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
            run.plane.accounts(&shop, "eve", PATIENCE).await.unwrap(),
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
