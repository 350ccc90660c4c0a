//! A crash of Dormouse, a failed verb, or a dead server at each step of a database's life.

use std::path::Path;

use dormouse_control::{Error, UsageQuery};
use dormouse_driver::Run as Process;
use dormouse_types::State;

use crate::machine::{Fault, Machine};
use crate::run::{PATIENCE, Run, S, name, spec, virtually};

/// Successful answers to callers, which must remain true.
#[derive(Debug, Default)]
struct Told {
    created: bool,
    dropped: bool,
    /// The value of the last `SET GLOBAL`.
    global: Option<&'static str>,
}

/// A client has set a global variable of the awake database.
fn set_global(run: &Run, told: &mut Told, value: &'static str) {
    let id = run.status(&name("shop")).instance;
    run.machine.set(|m| {
        let instance = m.instances.get_mut(&id).unwrap();
        // its server may have just died
        if instance.run == Process::Running {
            instance.globals = vec![("max_connections".to_owned(), value.to_owned())];
        }
    });
    told.global = Some(value);
}

/// A whole life: made, used, grown, shrunk, suspended, thawed, parked, woken, parked from active by order, woken,
/// and another database dropped.
async fn life(run: &Run, told: &mut Told) {
    let (shop, other) = (name("shop"), name("other"));
    for database in [&shop, &other] {
        let mut made = run.plane.create(database, spec("10s", "30s")).await;
        if made.is_err() {
            made = run.plane.create(database, spec("10s", "30s")).await;
        }
        made.unwrap();
    }
    told.created = true;
    run.query(&shop).await.unwrap();
    set_global(run, told, "70");
    let work = async {
        run.demand(&shop, 900);
        tokio::time::sleep(5 * S).await;
        run.demand(&shop, 0);
        tokio::time::sleep(35 * S).await;
    };
    // the statement is interrupted if its server dies
    let _ = tokio::join!(run.lanes.statement(&run.plane, &shop, 40 * S), work);
    run.until(&shop, State::Suspended).await;
    run.query(&shop).await.unwrap();
    set_global(run, told, "80");
    run.until(&shop, State::Parked).await;
    run.query(&shop).await.unwrap();
    // the fault may make the first attempt fail
    if run.plane.park(&shop).await.is_err() {
        run.plane.park(&shop).await.unwrap();
    }
    run.query(&shop).await.unwrap();
    match run.plane.drop_database(&other).await {
        Err(Error::Machine { .. }) => {
            while run.plane.show(&other).is_ok() {
                tokio::time::sleep(S).await;
            }
        }
        done => done.unwrap(),
    }
    told.dropped = true;
    run.until(&shop, State::Parked).await;
}

/// The next run must bring the plane into a working state.
async fn converges(run: &Run, told: &Told) {
    tokio::time::sleep(S).await;
    let (shop, other) = (name("shop"), name("other"));
    if told.created {
        assert!(run.plane.exists(&shop), "what was created is gone");
    }
    if told.dropped {
        assert!(run.plane.show(&other).is_err(), "what was dropped is back");
    }
    for status in run.plane.list() {
        if status.state != State::Dropping {
            run.query(&status.name).await.unwrap();
            if let Some(value) = told.global.filter(|_| status.name == shop) {
                let machine = run.machine.lock();
                let found = &machine.instances[&status.instance].globals;
                assert_eq!(found.first().map(|(_, v)| v.as_str()), Some(value));
            }
            assert_eq!(
                run.plane
                    .accounts(&status.name, "admin", "10.0.0.7", PATIENCE)
                    .await
                    .unwrap()
                    .len(),
                1
            );
            run.plane.suspend(&status.name).await.unwrap();
            run.query(&status.name).await.unwrap();
        }
    }
    for database in [&shop, &other] {
        if !run.plane.exists(database) && !told.dropped {
            run.plane
                .create(database, spec("10s", "30s"))
                .await
                .unwrap();
            run.query(database).await.unwrap();
        }
    }
    tokio::time::sleep(600 * S).await;
    no_cpu_is_lost(run).await;
    let databases = run.plane.list();
    for status in &databases {
        assert_eq!(status.state, State::Parked, "{status:?}");
    }
    let machine = run.machine.lock();
    assert_eq!(
        machine.instances.len(),
        databases.len(),
        "an instance was left over"
    );
    assert!(
        machine
            .instances
            .values()
            .all(|i| i.run == Process::Stopped)
    );
    assert_eq!(machine.violations, Vec::<String>::new());
}

/// The recorded CPU time equals that of all processes of each instance.
async fn no_cpu_is_lost(run: &Run) {
    let used = run.plane.usage(UsageQuery::default()).await.unwrap();
    for status in run.plane.list() {
        let mut rows = used.rows.iter();
        assert!(
            rows.any(|row| row.instance == status.instance),
            "{status:?}"
        );
    }
    let mut machine = run.machine.lock();
    for row in &used.rows {
        let burnt = machine.burnt(row.instance).as_micros();
        assert_eq!(u128::from(row.used.cpu_us), burnt, "{row:?}");
    }
}

/// Runs a life with one fault at one step. `false` if there are not that many steps.
fn with_fault(at: u32, fault: Fault) -> bool {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    machine.lock().fault = Some((at, fault));
    let mut told = Told::default();
    let ended = virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        life(&run, &mut told).await;
    });
    let happened = machine.lock().happened.take();
    let Some(happened) = happened else {
        return false;
    };
    let crashes = matches!(fault, Fault::CrashBefore | Fault::CrashAfter);
    assert_eq!(
        ended.is_none(),
        crashes,
        "{fault:?} at step {at}, {happened}"
    );
    if !crashes {
        // the values set since the last sleep are lost with the server's process
        told.global = None;
    }
    machine.lock().fault = None;
    let context = format!("{fault:?} at step {at}, {happened}");
    next_run(&machine, dir.path(), &told, &context);
    true
}

fn next_run(machine: &Machine, dir: &Path, told: &Told, context: &str) {
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        virtually(machine, async {
            let run = Run::start(machine, dir).await.unwrap();
            converges(&run, told).await;
        });
    }));
    if let Err(panic) = checked {
        eprintln!("after {context}:");
        std::panic::resume_unwind(panic);
    }
}

fn at_every_step(fault: Fault) {
    let steps = (1..).take_while(|at| with_fault(*at, fault)).count();
    assert!(steps > 25, "a life of {steps} steps only");
}

#[test]
fn a_kill_before_any_step_leaves_a_working_next_run() {
    at_every_step(Fault::CrashBefore);
}

#[test]
fn a_kill_after_any_step_leaves_a_working_next_run() {
    at_every_step(Fault::CrashAfter);
}

#[test]
fn any_one_step_may_fail() {
    at_every_step(Fault::Fail);
}

#[test]
fn the_server_may_die_at_any_step() {
    at_every_step(Fault::Die);
}
