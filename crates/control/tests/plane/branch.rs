//! Branches: from each state of the parent, and with a fault at each step.

use dormouse_control::{Calendar, Error, EventKind, PlaneConfig, SettingsPatch};
use dormouse_driver::Run as Process;
use dormouse_types::State;

use crate::machine::{Fault, Machine};
use crate::run::{Run, S, config, name, spec, virtually, with};

#[test]
fn a_parent_that_sleeps_sleeps_on() {
    with(async |run| {
        let (shop, first) = (name("shop"), name("first"));
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.query(&shop).await.unwrap();
        let before = run.status(&shop);
        let made = run
            .plane
            .branches()
            .make(&shop, &first, None)
            .await
            .unwrap();
        assert!(!made.frozen.is_zero());
        assert_eq!(
            (made.of.parent, made.of.instance),
            (shop.clone(), before.instance)
        );
        assert_eq!(run.status(&shop).generation, before.generation);
        run.query(&first).await.unwrap();
        let branch = run.status(&first);
        assert_eq!(branch.spec, before.spec);
        assert_eq!(branch.branch.map(|of| of.parent), Some(shop.clone()));
        for state in [State::Suspended, State::Parked] {
            run.until(&shop, state).await;
            let (since, starts) = (run.status(&shop).since, run.machine.lock().starts);
            let second = name("second");
            let made = run
                .plane
                .branches()
                .make(&shop, &second, None)
                .await
                .unwrap();
            assert!(made.frozen.is_zero());
            assert_eq!(
                (run.status(&shop).state, run.status(&shop).since),
                (state, since)
            );
            assert_eq!(run.machine.lock().starts, starts + 1, "the branch's own");
            run.query(&second).await.unwrap();
            run.plane.drop_database(&second).await.unwrap();
        }
        // no order to each other
        run.plane.drop_database(&shop).await.unwrap();
        run.query(&first).await.unwrap();
        let created = run.events(&first);
        assert!(
            created
                .iter()
                .any(|e| e.event == EventKind::Created && e.reason.contains("'shop'")),
            "{created:?}"
        );
    });
}

#[test]
fn a_branch_is_brought_back_to_its_parent() {
    with(async |run| {
        let (shop, branch) = (name("shop"), name("branch"));
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        let none = run.plane.branches().reset(&shop).await;
        assert!(matches!(none, Err(Error::Invalid(_))), "{none:?}");
        let made = run
            .plane
            .branches()
            .make(&shop, &branch, Some(900 * S))
            .await;
        let before = (made.unwrap().of, run.status(&branch));
        let changed = SettingsPatch {
            prewake: Some(true),
            ..SettingsPatch::default()
        };
        run.plane.set(&branch, changed).await.unwrap();
        let after = run.plane.branches().reset(&branch).await.unwrap();
        assert_eq!(
            (after.of.parent, after.of.expires),
            (shop.clone(), before.0.expires)
        );
        run.query(&branch).await.unwrap();
        let now = run.status(&branch);
        assert_ne!(now.instance, before.1.instance);
        assert!(now.spec.prewake, "it keeps its settings");
        assert_eq!(run.machine.lock().instances.len(), 2);
        run.plane.drop_database(&shop).await.unwrap();
        let gone = run.plane.branches().reset(&branch).await;
        assert!(matches!(gone, Err(Error::Invalid(_))), "{gone:?}");
        run.query(&branch).await.unwrap();
    });
}

#[test]
fn impossible_branches_are_refused() {
    with(async |run| {
        let (shop, other) = (name("shop"), name("other"));
        let none = run.plane.branches().make(&shop, &other, None).await;
        assert!(matches!(none, Err(Error::NotFound(_))), "{none:?}");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        let itself = run.plane.branches().make(&shop, &shop, None).await;
        assert!(matches!(itself, Err(Error::Exists(_))), "{itself:?}");
        run.query(&shop).await.unwrap();
    });
}

#[test]
fn a_branch_is_dropped_when_its_time_is_over_also_after_a_restart() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    let (shop, short, long) = (name("shop"), name("short"), name("long"));
    let at = |text: &str| PlaneConfig {
        calendar: Calendar::starting_at(text.parse().unwrap()),
        ..config(dir.path())
    };
    virtually(&machine, async {
        let config = at("2026-03-02T08:00:00Z");
        let run = Run::start_with(&machine, config).await.unwrap();
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.plane
            .branches()
            .make(&shop, &short, Some(60 * S))
            .await
            .unwrap();
        run.plane
            .branches()
            .make(&shop, &long, Some(6000 * S))
            .await
            .unwrap();
        tokio::time::sleep(50 * S).await;
        assert!(run.plane.exists(&short));
    });
    virtually(&machine, async {
        let config = at("2026-03-02T08:00:55Z");
        let run = Run::start_with(&machine, config).await.unwrap();
        assert!(run.plane.exists(&short));
        while run.plane.exists(&short) {
            tokio::time::sleep(S).await;
        }
        assert!(run.plane.exists(&long) && run.plane.exists(&shop));
    });
}

/// Branches with a fault at a step; `false` if there are not that many steps.
fn branches_with_fault(from: State, at: u32, fault: Fault) -> bool {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    let (shop, branch) = (name("shop"), name("branch"));
    let made = virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.query(&shop).await.unwrap();
        run.until(&shop, from).await;
        {
            let mut m = machine.lock();
            m.steps = 0;
            m.fault = Some((at, fault));
        }
        let made = run.plane.branches().make(&shop, &branch, None).await;
        machine.lock().fault = None;
        made.is_ok()
    });
    let happened = machine.lock().happened.take();
    machine.lock().fault = None;
    let context = format!("{fault:?} at {happened:?} from {from}");
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        run.query(&shop).await.unwrap();
        if made == Some(true) {
            assert!(
                run.plane.exists(&branch),
                "{context}: what was made is gone"
            );
        }
        if run.plane.exists(&branch) {
            run.query(&branch).await.unwrap();
        } else {
            run.plane
                .branches()
                .make(&shop, &branch, None)
                .await
                .unwrap();
        }
        run.until(&shop, State::Parked).await;
        run.until(&branch, State::Parked).await;
        let machine = run.machine.lock();
        assert_eq!(machine.instances.len(), 2, "{context}: leftovers");
        assert!(
            machine
                .instances
                .values()
                .all(|i| i.credentials_of.is_none()),
            "{context}: credentials of the parent"
        );
    });
    let machine = machine.lock();
    assert_eq!(machine.violations, Vec::<String>::new(), "{context}");
    assert!(
        machine.instances.values().all(|i| i.run != Process::Frozen),
        "{context}"
    );
    happened.is_some()
}

#[test]
fn a_fault_at_any_step_leaves_a_whole_branch_or_none() {
    for from in [State::Active, State::Parked] {
        for fault in [
            Fault::CrashBefore,
            Fault::CrashAfter,
            Fault::Fail,
            Fault::Die,
        ] {
            let steps = (1..)
                .take_while(|at| branches_with_fault(from, *at, fault))
                .count();
            assert!(steps > 2, "{steps} steps only");
        }
    }
}
