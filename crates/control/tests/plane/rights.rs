//! Databases made before the rights of their accounts were limited, and servers that refuse Dormouse's account.

use std::path::Path;

use dormouse_control::Event;
use dormouse_driver::Run as Process;
use dormouse_types::State;
use rusqlite::Connection;

use crate::machine::{Fault, Machine};
use crate::run::{PATIENCE, Run, S, name, spec, virtually, with};

/// Makes a database and leaves it in a state, as an older Dormouse would have.
fn older(machine: &Machine, dir: &Path, state: State) {
    let shop = name("shop");
    virtually(machine, async {
        let run = Run::start(machine, dir).await.unwrap();
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.query(&shop).await.unwrap();
        run.until(&shop, state).await;
    });
    machine.set(|m| m.instances.values_mut().for_each(|i| i.hardened = false));
    let catalog = Connection::open(dir.join("catalog.sqlite")).unwrap();
    catalog
        .execute("UPDATE instances SET rights = 0", [])
        .unwrap();
}

/// Wakes it with a fault at a step; `false` if there are not that many steps until it is awake.
fn wakes_with_fault(from: State, at: u32, fault: Fault) -> bool {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    older(&machine, dir.path(), from);
    let shop = name("shop");
    {
        let mut m = machine.lock();
        m.steps = 0;
        m.fault = Some((at, fault));
    }
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        // a fault may make the statement fail
        let _ = run.query(&shop).await;
        run.until(&shop, State::Parked).await;
    });
    let happened = machine.lock().happened.take();
    machine.lock().fault = None;
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        run.query(&shop).await.unwrap();
        let accounts = run
            .plane
            .accounts(&shop, "admin", "10.0.0.7", PATIENCE)
            .await
            .unwrap();
        assert_eq!(accounts.len(), 1);
        run.until(&shop, State::Parked).await;
    });
    let context = format!("{fault:?} at {happened:?} from {from}");
    let machine = machine.lock();
    assert_eq!(machine.violations, Vec::<String>::new(), "{context}");
    for instance in machine.instances.values() {
        assert_eq!(instance.run, Process::Stopped, "{context}");
        assert!(
            instance.hardened && instance.maintenance == (false, false),
            "{context}"
        );
    }
    happened.is_some()
}

#[test]
fn rights_are_limited_before_the_door_opens_whatever_fails() {
    for from in [State::Parked, State::Suspended, State::Active] {
        for fault in [
            Fault::CrashBefore,
            Fault::CrashAfter,
            Fault::Fail,
            Fault::Die,
        ] {
            let steps = (1..)
                .take_while(|at| wakes_with_fault(from, *at, fault))
                .count();
            assert!(steps > 5, "{steps} steps only");
        }
    }
}

#[test]
fn an_older_database_is_started_once_for_maintenance() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    older(&machine, dir.path(), State::Parked);
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        let shop = name("shop");
        let before = machine.lock().starts;
        run.query(&shop).await.unwrap();
        assert_eq!(machine.lock().starts, before + 2);
        let told = |e: &Event| e.reason.contains("taken away: 'x'@'%': SUPER");
        assert!(
            run.events(&shop).iter().any(told),
            "{:?}",
            run.ledger(&shop)
        );
        run.until(&shop, State::Parked).await;
        run.query(&shop).await.unwrap();
        assert_eq!(machine.lock().starts, before + 3, "once");
    });
}

#[test]
fn a_database_that_locks_dormouse_out_sleeps_and_is_repaired() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        run.query(&shop).await.unwrap();
        run.machine
            .set(|m| m.instances.values_mut().for_each(|i| i.locks_out = true));
        tokio::time::sleep(11 * S).await;
        run.until(&shop, State::Parked).await;
        // its accounts are not known, so a login wakes it, after the repair
        let accounts = run
            .plane
            .accounts(&shop, "admin", "10.0.0.7", PATIENCE)
            .await
            .unwrap();
        assert_eq!(accounts.len(), 1);
        run.query(&shop).await.unwrap();
        let ledger = run.ledger(&shop);
        assert!(ledger.iter().any(|l| l.contains("repaired")), "{ledger:?}");
    });
}
