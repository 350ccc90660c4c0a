//! Backups: when they are made, what a restore brings back, and a fault at each step.

use std::path::Path;
use std::time::Duration;

use dormouse_control::backups::{Attempt, BackupConfig};
use dormouse_control::{Calendar, Error, EventKind, PlaneConfig, SettingsPatch};
use dormouse_engine::{MasterSource, Secret};
use dormouse_types::{Cron, DatabaseName, State};

use crate::machine::{Fault, Machine};
use crate::run::{MS, Run, S, config, name, spec, virtually};

/// A configuration with a repository beside the data directory.
fn with_repository(dir: &Path) -> PlaneConfig {
    use std::os::unix::fs::OpenOptionsExt as _;

    let key = dir.join("key");
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create(true).truncate(true).mode(0o600);
    std::io::Write::write_all(&mut file.open(&key).unwrap(), b"open sesame").unwrap();
    let backup = BackupConfig {
        location: dir.join("repository").to_str().unwrap().parse().unwrap(),
        key: MasterSource::File(key),
        options: Default::default(),
        parallel: 1,
        verify: Cron::NEVER,
        prune: Cron::NEVER,
        dropped_keep: Duration::from_secs(86_400),
        late_after: Duration::from_secs(2 * 86_400),
        secret: Secret::new([7; 32]),
        files: Vec::new(),
    };
    PlaneConfig {
        backup: Some(backup),
        ..config(&dir.join("data"))
    }
}

fn made(attempt: Result<Attempt, Error>) -> bool {
    match attempt.unwrap() {
        Attempt::Made(_) => true,
        Attempt::Unchanged { .. } => false,
    }
}

fn with_backups(test: impl AsyncFnOnce(Run)) {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    virtually(&machine, async {
        let run = Run::start_with(&machine, with_repository(dir.path()))
            .await
            .unwrap();
        run.plane.backups().init().await.unwrap();
        test(run).await;
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}

#[test]
fn a_database_that_has_slept_since_its_backup_is_not_stored_again_nor_woken() {
    with_backups(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.query(&shop).await.unwrap();
        for state in [State::Suspended, State::Parked] {
            run.until(&shop, state).await;
            let (since, starts) = (run.status(&shop).since, run.machine.lock().starts);
            assert!(
                made(run.plane.backups().make(&shop, false).await),
                "{state}"
            );
            assert!(
                !made(run.plane.backups().make(&shop, false).await),
                "{state}"
            );
            assert!(made(run.plane.backups().make(&shop, true).await), "{state}");
            assert_eq!(
                (run.status(&shop).state, run.status(&shop).since),
                (state, since)
            );
            assert_eq!(run.machine.lock().starts, starts);
            assert_eq!(run.machine.lock().instances.len(), 1, "no copy is left");
        }
        run.query(&shop).await.unwrap();
        // awake: something may have changed
        assert!(made(run.plane.backups().make(&shop, false).await));
        assert!(made(run.plane.backups().make(&shop, false).await));
        let told = run.events(&shop);
        let backups = told
            .iter()
            .filter(|event| event.event == EventKind::BackedUp)
            .count();
        assert_eq!(backups, 6, "{told:?}");
    });
}

#[test]
fn a_restore_in_place_keeps_what_was_there() {
    with_backups(async |run| {
        let (shop, copy) = (name("shop"), name("copy"));
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        let none = run.plane.backups().restore(&shop, None, None).await;
        assert!(matches!(none, Err(Error::NoBackup(_))), "{none:?}");
        assert!(made(run.plane.backups().make(&shop, false).await));
        let restored = run
            .plane
            .backups()
            .restore(&shop, None, Some(copy.clone()))
            .await
            .unwrap();
        assert_eq!((restored.name, restored.kept), (copy.clone(), None));
        run.query(&copy).await.unwrap();
        let before = run.status(&shop).instance;
        let restored = run
            .plane
            .backups()
            .restore(&shop, None, None)
            .await
            .unwrap();
        let kept = restored.kept.unwrap();
        assert!(kept.as_str().starts_with("shop-before-"), "{kept}");
        assert_eq!(run.status(&kept).instance, before);
        assert_ne!(run.status(&shop).instance, before);
        for database in [&shop, &kept, &copy] {
            run.query(database).await.unwrap();
        }
        let owned = |m: &Machine| {
            m.lock()
                .instances
                .values()
                .all(|i| i.credentials_of.is_none())
        };
        assert!(
            owned(&run.machine),
            "every server has credentials of its own"
        );
        // what was backed up before is the database's own still
        let own = run.plane.backups().list_present(&shop).await.unwrap();
        assert_eq!(own.len(), 1, "{own:?}");
        // a name of its own again
        run.plane.drop_database(&kept).await.unwrap();
        run.plane.drop_database(&shop).await.unwrap();
        let restored = run
            .plane
            .backups()
            .restore(&shop, None, None)
            .await
            .unwrap();
        assert_eq!((restored.name, restored.kept), (shop.clone(), None));
        run.query(&shop).await.unwrap();
    });
}

#[test]
fn restores_in_the_same_place_at_the_same_time_all_end() {
    with_backups(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        assert!(made(run.plane.backups().make(&shop, false).await));
        let backups = run.plane.backups();
        let (first, second, dropped) = tokio::join!(
            backups.restore(&shop, None, None),
            backups.restore(&shop, None, None),
            async {
                tokio::time::sleep(MS).await;
                run.plane.drop_database(&shop).await
            },
        );
        let ended = [first.map(drop), second.map(drop), dropped];
        assert!(ended.iter().any(Result::is_ok), "{ended:?}");
        for error in ended.into_iter().filter_map(Result::err) {
            assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        }
        let databases = run.plane.list().len();
        assert_eq!(run.machine.lock().instances.len(), databases);
    });
}

#[test]
fn backups_are_made_by_the_clock_also_those_that_were_missed() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    let at = |text: &str| PlaneConfig {
        calendar: Calendar::starting_at(text.parse().unwrap()),
        ..with_repository(dir.path())
    };
    let count = |run: &Run, database: &DatabaseName| {
        let told = run.events(database);
        told.iter()
            .filter(|event| event.event == EventKind::BackedUp)
            .count()
    };
    virtually(&machine, async {
        let run = Run::start_with(&machine, at("2026-03-02T02:50:00Z"))
            .await
            .unwrap();
        run.plane.backups().init().await.unwrap();
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        tokio::time::sleep(590 * S).await;
        assert_eq!(count(&run, &shop), 0);
        while count(&run, &shop) < 1 {
            tokio::time::sleep(S).await;
        }
        tokio::time::sleep(3600 * S).await;
        assert_eq!(count(&run, &shop), 1);
    });
    virtually(&machine, async {
        // the next was missed, and nothing has changed: it counts as made
        let run = Run::start_with(&machine, at("2026-03-03T08:00:00Z"))
            .await
            .unwrap();
        run.until(&shop, State::Parked).await;
        tokio::time::sleep(60 * S).await;
        assert_eq!(count(&run, &shop), 1);
        run.query(&shop).await.unwrap();
        tokio::time::sleep(23 * 3600 * S).await;
        assert_eq!(count(&run, &shop), 2, "{:?}", run.events(&shop));
        let never = SettingsPatch {
            backup: Some(Cron::NEVER),
            ..SettingsPatch::default()
        };
        run.plane.set(&shop, never).await.unwrap();
        run.query(&shop).await.unwrap();
        tokio::time::sleep(48 * 3600 * S).await;
        assert_eq!(count(&run, &shop), 2);
        assert_eq!(run.plane.backups().counts().late, 0);
    });
}

#[test]
fn backups_of_a_dropped_database_are_kept_also_if_its_name_is_used_again() {
    with_backups(async |run| {
        let shop = name("shop");
        for _ in 0..2 {
            run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
            assert!(made(run.plane.backups().make(&shop, true).await));
            run.plane.drop_database(&shop).await.unwrap();
        }
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        let one = SettingsPatch {
            backup_keep: "1".parse().ok(),
            ..SettingsPatch::default()
        };
        run.plane.set(&shop, one).await.unwrap();
        for _ in 0..3 {
            assert!(made(run.plane.backups().make(&shop, true).await));
        }
        // none of them is the present one's
        let own = run.plane.backups().list_present(&shop).await.unwrap();
        assert_eq!(own.len(), 3, "{own:?}");
        let (forgotten, _) = run.plane.backups().prune(false).await.unwrap();
        let left = run.plane.backups().list(Some(shop)).await.unwrap();
        assert_eq!((forgotten, left.len()), (2, 3), "{left:?}");
    });
}

#[test]
fn late_backups_are_told_once() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    virtually(&machine, async {
        // no repository stands there
        let config = PlaneConfig {
            calendar: Calendar::starting_at("2026-03-02T02:50:00Z".parse().unwrap()),
            ..with_repository(dir.path())
        };
        let run = Run::start_with(&machine, config).await.unwrap();
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        tokio::time::sleep(50 * 3600 * S).await;
        let told = run.events(&shop);
        let late = told
            .iter()
            .filter(|event| event.reason.contains("hours after it was first seen"))
            .count();
        assert_eq!(late, 1, "{told:?}");
        assert_eq!(run.plane.backups().counts().late, 1);
    });
}

/// Backs up and restores in place, with a fault at a step; `false` if there are not that many steps.
fn with_fault(from: State, at: u32, fault: Fault) -> bool {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    let run_out = virtually(&machine, async {
        let run = Run::start_with(&machine, with_repository(dir.path()))
            .await
            .unwrap();
        run.plane.backups().init().await.unwrap();
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.query(&shop).await.unwrap();
        run.until(&shop, from).await;
        {
            let mut m = machine.lock();
            m.steps = 0;
            m.fault = Some((at, fault));
        }
        let made = run.plane.backups().make(&shop, true).await;
        let restored = match made {
            Ok(_) => run.plane.backups().restore(&shop, None, None).await.is_ok(),
            Err(_) => false,
        };
        machine.lock().fault = None;
        tokio::time::sleep(MS).await;
        restored
    });
    let happened = machine.lock().happened.take();
    machine.lock().fault = None;
    let context = format!("{fault:?} at {happened:?} from {from}, restored: {run_out:?}");
    virtually(&machine, async {
        let run = Run::start_with(&machine, with_repository(dir.path()))
            .await
            .unwrap();
        let queried = run.query(&shop).await;
        assert!(queried.is_ok(), "{context}: {queried:?}");
        let all = run.plane.list();
        assert!((1..=2).contains(&all.len()), "{context}: {all:?}");
        if run_out == Some(true) {
            assert_eq!(all.len(), 2, "{context}: what was replaced is gone");
        }
        for status in &all {
            let queried = run.query(&status.name).await;
            assert!(queried.is_ok(), "{context}: {queried:?}");
            run.until(&status.name, State::Parked).await;
        }
        let machine = run.machine.lock();
        assert_eq!(machine.instances.len(), all.len(), "{context}: leftovers");
        assert!(
            machine
                .instances
                .values()
                .all(|i| i.credentials_of.is_none()),
            "{context}: credentials of elsewhere"
        );
    });
    let machine = machine.lock();
    assert_eq!(machine.violations, Vec::<String>::new(), "{context}");
    happened.is_some()
}

#[test]
fn a_fault_at_any_step_loses_nothing_and_leaves_nothing() {
    for (from, fault) in [
        (State::Active, Fault::CrashBefore),
        (State::Active, Fault::CrashAfter),
        (State::Active, Fault::Fail),
        (State::Active, Fault::Die),
        (State::Parked, Fault::CrashAfter),
    ] {
        let steps = (1..).take_while(|at| with_fault(from, *at, fault)).count();
        assert!(steps > 4, "{steps} steps only");
    }
}
