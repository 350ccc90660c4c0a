//! Tests that every driver passes. A driver's own tests call [`run`] with a [`World`].
#![expect(clippy::panic, reason = "a conformance test fails by panicking")]

use std::fmt::Debug;
use std::future::poll_fn;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_types::{Bytes, Endpoint, Incarnation, InstanceId, Units};

use crate::{AsItIs, Check, CopyOptions, Desired, Driver, Error, History, Observed, Place, Run};

/// Environment in which a driver is tested; starts without instances.
#[async_trait]
pub trait World: Send + Sync {
    /// A new driver for the same instances, as after a restart of dormouse.
    async fn driver(&self) -> Arc<dyn Driver>;

    /// Where new instances are made.
    fn place(&self) -> Place {
        Place::default()
    }

    /// Stores a text durably in the instance's database. Panics on failure.
    async fn write(&self, id: InstanceId, endpoint: &Endpoint, text: &str);

    /// Reads the stored text. Panics on failure.
    async fn read(&self, id: InstanceId, endpoint: &Endpoint) -> String;

    /// Keeps two cores busy with statements on the instance for a while. Panics on failure.
    async fn burn(&self, id: InstanceId, endpoint: &Endpoint);

    /// Kills an instance's server, as a crash would.
    async fn kill(&self, id: InstanceId, incarnation: Incarnation);

    /// Whether the driver can limit CPU here.
    fn limits_cpu(&self) -> bool;
}

const RUNNING: Desired = Desired {
    run: Run::Running,
    units: Units(1),
    history: History::Off,
};
const FROZEN: Desired = Desired {
    run: Run::Frozen,
    units: Units(1),
    history: History::Off,
};
const STOPPED: Desired = Desired {
    run: Run::Stopped,
    units: Units(1),
    history: History::Off,
};

/// Runs all tests one after the other. Panics at the first failure.
pub async fn run(world: &dyn World) {
    a_missing_instance_is_unknown(world).await;
    provisioning_is_idempotent(world).await;
    an_instance_is_where_it_was_made(world).await;
    starting_and_stopping_are_idempotent(world).await;
    freezing_keeps_the_process(world).await;
    another_driver_takes_over(world).await;
    the_end_of_a_process_is_reported(world).await;
    a_crash_keeps_written_data(world).await;
    a_cancelled_start_leaves_no_second_process(world).await;
    units_change_while_running(world).await;
    a_cpu_limit_applies_after_the_start(world).await;
    counters_never_decrease_and_outlive_the_process(world).await;
    storage_grows_with_data(world).await;
    a_copy_has_what_was_written(world).await;
    an_instance_is_made_of_the_files_of_another(world).await;
    instances_are_independent(world).await;
    removing_ends_the_process(world).await;
}

/// A copy of a running, frozen or stopped instance has what was written, and the source goes on as it was.
async fn a_copy_has_what_was_written(world: &dyn World) {
    const PLAIN: CopyOptions = CopyOptions {
        frozen_at_most: Duration::from_secs(10),
        frozen_by_choice: Duration::from_secs(10),
        check: Check::Nothing,
    };
    const CHECKED: CopyOptions = CopyOptions {
        check: Check::Pages,
        ..PLAIN
    };
    let (driver, id) = new_instance(world, 60).await;
    let nowhere = Place::default();
    let nothing = driver
        .copy(
            InstanceId(99),
            InstanceId(61),
            &nowhere,
            PLAIN,
            Arc::new(AsItIs),
        )
        .await;
    assert!(matches!(nothing, Err(Error::Unknown(InstanceId(99)))));
    ok(driver.apply(id, RUNNING).await);
    world
        .write(id, &endpoint(&*driver, id).await, "first")
        .await;
    let copies = [61, 62, 63, 64].map(InstanceId);
    let states = [
        (RUNNING, PLAIN),
        (RUNNING, CHECKED),
        (FROZEN, CHECKED),
        (STOPPED, CHECKED),
    ];
    // beside the source, and in each root
    let roots = driver.offer().roots.into_iter().map(|root| Some(root.dir));
    let roots: Vec<_> = std::iter::once(None).chain(roots).collect();
    let mut roots = roots.iter().cycle();
    for ((state, options), copy) in states.into_iter().zip(copies) {
        let place = Place {
            root: roots.next().cloned().flatten(),
            series: None,
        };
        let before = ok(driver.apply(id, state).await);
        let copied = driver.copy(id, copy, &place, options, Arc::new(AsItIs));
        let copied = ok(observed_as(&*driver, id, state.run, copied).await);
        assert!(copied.size > Bytes(0), "{copied:?}");
        assert_eq!(copied.frozen.is_zero(), state.run != Run::Running);
        let after = ok(driver.observe(id).await);
        assert_eq!(
            (after.run, after.incarnation),
            (before.run, before.incarnation)
        );
        // it is there already
        assert!(
            ok(driver
                .copy(id, copy, &place, options, Arc::new(AsItIs))
                .await)
            .frozen
            .is_zero()
        );
        let found = world.driver().await.place(copy);
        let wanted = place.root.or(driver.place(id).and_then(|own| own.root));
        assert_eq!(found.and_then(|found| found.root), wanted);
    }
    for copy in copies {
        ok(driver.apply(copy, RUNNING).await);
        let own = endpoint(&*driver, copy).await;
        assert_eq!(world.read(copy, &own).await, "first");
        world.write(copy, &own, "of the copy").await;
    }
    ok(driver.apply(id, RUNNING).await);
    let own = endpoint(&*driver, id).await;
    assert_eq!(world.read(id, &own).await, "first");
    for id in copies.into_iter().chain([id]) {
        ok(driver.remove(id).await);
    }
}

/// Awaits work on an instance, which is observed in this state all the time.
async fn observed_as<T>(
    driver: &dyn Driver,
    id: InstanceId,
    run: Run,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    loop {
        let polled = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        if let Poll::Ready(done) = polled {
            return done;
        }
        assert_eq!(ok(driver.observe(id).await).run, run);
        let mut is_yielded = false;
        poll_fn(|context| {
            if std::mem::replace(&mut is_yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// An instance that is made of the files of a copy has what the copy has. Where files are not on this machine, there is
/// nothing to show.
async fn an_instance_is_made_of_the_files_of_another(world: &dyn World) {
    let (driver, id) = new_instance(world, 70).await;
    ok(driver.apply(id, RUNNING).await);
    world.write(id, &endpoint(&*driver, id).await, "kept").await;
    ok(driver.apply(id, STOPPED).await);
    let Some(files) = driver.directory(id) else {
        return;
    };
    let place = world.place();
    let failing = driver.receive(
        InstanceId(71),
        &place,
        Box::new(|_| Err(std::io::ErrorKind::StorageFull.into())),
    );
    assert!(matches!(failing.await, Err(Error::Machine { .. })));
    assert_eq!(driver.directory(InstanceId(71)), None);
    let made = InstanceId(72);
    ok(driver
        .receive(made, &place, Box::new(move |to| copy_tree(&files, to)))
        .await);
    ok(driver
        .receive(
            made,
            &place,
            Box::new(|_| Err(std::io::ErrorKind::Other.into())),
        )
        .await);
    ok(driver.apply(made, RUNNING).await);
    assert_eq!(
        world.read(made, &endpoint(&*driver, made).await).await,
        "kept"
    );
    for id in [id, made] {
        ok(driver.remove(id).await);
    }
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            std::fs::create_dir(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A missing instance cannot be observed or changed; removing it is no error.
async fn a_missing_instance_is_unknown(world: &dyn World) {
    let (driver, id) = (world.driver().await, InstanceId(1));
    assert!(matches!(driver.observe(id).await, Err(Error::Unknown(unknown)) if unknown == id));
    assert!(matches!(
        driver.apply(id, RUNNING).await,
        Err(Error::Unknown(_))
    ));
    assert!(matches!(
        driver.apply(id, STOPPED).await,
        Err(Error::Unknown(_))
    ));
    assert!(matches!(driver.storage(id).await, Err(Error::Unknown(_))));
    ok(driver.remove(id).await);
    assert_eq!(ok(driver.list().await), []);
}

async fn provisioning_is_idempotent(world: &dyn World) {
    let (driver, id) = (world.driver().await, InstanceId(1));
    ok(driver.provision(id, &world.place()).await);
    ok(driver.provision(id, &world.place()).await);
    assert_eq!(ok(driver.list().await), [id]);
    assert_stopped(ok(driver.observe(id).await));
    assert_stopped(ok(driver.apply(id, STOPPED).await));
    ok(driver.remove(id).await);
    assert_eq!(ok(driver.list().await), []);
}

/// An instance stays in the root and of the server with which it was made; another one of its number may be elsewhere.
async fn an_instance_is_where_it_was_made(world: &dyn World) {
    let offer = world.driver().await.offer();
    let id = InstanceId(1);
    for (root, server) in offer.roots.iter().zip(offer.servers.iter().cycle()) {
        let place = Place {
            root: Some(root.dir.clone()),
            series: Some(server.series),
        };
        ok(world.driver().await.provision(id, &place).await);
        let driver = world.driver().await;
        assert_eq!(driver.place(id), Some(place.clone()));
        ok(driver.provision(id, &Place::default()).await);
        ok(driver.apply(id, RUNNING).await);
        world
            .write(id, &endpoint(&*driver, id).await, "there")
            .await;
        let driver = world.driver().await;
        assert_eq!(ok(driver.observe(id).await).run, Run::Running);
        ok(driver.apply(id, STOPPED).await);
        ok(driver.apply(id, RUNNING).await);
        let own = endpoint(&*driver, id).await;
        assert_eq!(world.read(id, &own).await, "there");
        assert_eq!(driver.place(id), Some(place));
        ok(driver.remove(id).await);
        assert_eq!(driver.place(id), None);
    }
    let nowhere = Place {
        root: Some("/nowhere".into()),
        series: None,
    };
    if !offer.roots.is_empty() {
        let driver = world.driver().await;
        let refused = driver.provision(id, &nowhere).await;
        assert!(matches!(refused, Err(Error::Machine { .. })), "{refused:?}");
        assert_eq!(ok(driver.list().await), []);
    }
}

async fn starting_and_stopping_are_idempotent(world: &dyn World) {
    let (driver, id) = new_instance(world, 2).await;
    let started = ok(driver.apply(id, RUNNING).await);
    let process = process_of(started, Run::Running);
    world.write(id, &endpoint(&*driver, id).await, "kept").await;
    assert_eq!(
        process_of(ok(driver.apply(id, RUNNING).await), Run::Running),
        process
    );
    assert_eq!(
        process_of(ok(driver.observe(id).await), Run::Running),
        process
    );
    ok(driver.provision(id, &world.place()).await);
    assert_eq!(
        process_of(ok(driver.observe(id).await), Run::Running),
        process
    );
    assert_stopped(ok(driver.apply(id, STOPPED).await));
    assert_stopped(ok(driver.apply(id, STOPPED).await));
    driver.ended(id, process).await;

    let again = process_of(ok(driver.apply(id, RUNNING).await), Run::Running);
    assert_ne!(again, process);
    assert_eq!(world.read(id, &endpoint(&*driver, id).await).await, "kept");
    ok(driver.remove(id).await);
}

async fn freezing_keeps_the_process(world: &dyn World) {
    let (driver, id) = new_instance(world, 3).await;
    let process = process_of(ok(driver.apply(id, RUNNING).await), Run::Running);
    world.write(id, &endpoint(&*driver, id).await, "kept").await;
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(
                process_of(ok(driver.apply(id, FROZEN).await), Run::Frozen),
                process
            );
        }
        assert_eq!(
            process_of(ok(driver.observe(id).await), Run::Frozen),
            process
        );
        let before = ok(driver.observe(id).await).cpu;
        assert_eq!(
            ok(driver.observe(id).await).cpu,
            before,
            "a frozen process uses no CPU"
        );
        for _ in 0..2 {
            assert_eq!(
                process_of(ok(driver.apply(id, RUNNING).await), Run::Running),
                process
            );
        }
        assert_eq!(world.read(id, &endpoint(&*driver, id).await).await, "kept");
    }
    process_of(ok(driver.apply(id, FROZEN).await), Run::Frozen);
    assert_stopped(ok(driver.apply(id, STOPPED).await));
    let frozen_at_once = process_of(ok(driver.apply(id, FROZEN).await), Run::Frozen);
    assert_ne!(
        frozen_at_once, process,
        "a stopped instance is started to be frozen"
    );
    assert_eq!(
        process_of(ok(driver.apply(id, RUNNING).await), Run::Running),
        frozen_at_once
    );
    assert_eq!(world.read(id, &endpoint(&*driver, id).await).await, "kept");
    ok(driver.remove(id).await);
}

async fn another_driver_takes_over(world: &dyn World) {
    let (first, id) = new_instance(world, 4).await;
    let process = process_of(ok(first.apply(id, RUNNING).await), Run::Running);
    let socket = endpoint(&*first, id).await;
    world.write(id, &socket, "kept").await;
    drop(first);
    let second = world.driver().await;
    assert_eq!(ok(second.list().await), [id]);
    assert_eq!(
        process_of(ok(second.observe(id).await), Run::Running),
        process
    );
    assert_eq!(
        process_of(ok(second.apply(id, RUNNING).await), Run::Running),
        process
    );
    assert_eq!(endpoint(&*second, id).await, socket);
    process_of(ok(second.apply(id, FROZEN).await), Run::Frozen);
    drop(second);

    let third = world.driver().await;
    assert_eq!(
        process_of(ok(third.observe(id).await), Run::Frozen),
        process
    );
    assert_eq!(
        process_of(ok(third.apply(id, FROZEN).await), Run::Frozen),
        process
    );
    assert_eq!(
        process_of(ok(third.apply(id, RUNNING).await), Run::Running),
        process
    );
    assert_eq!(world.read(id, &socket).await, "kept");
    process_of(ok(third.apply(id, FROZEN).await), Run::Frozen);
    drop(third);

    let fourth = world.driver().await;
    assert_stopped(ok(fourth.apply(id, STOPPED).await));
    fourth.ended(id, process).await;
    ok(fourth.remove(id).await);
}

async fn the_end_of_a_process_is_reported(world: &dyn World) {
    let (driver, id) = new_instance(world, 5).await;
    let process = process_of(ok(driver.apply(id, RUNNING).await), Run::Running);
    let adopted = world.driver().await;
    {
        let mut ended = pin!(driver.ended(id, process));
        let mut seen_by_another = pin!(adopted.ended(id, process));
        let mut context = Context::from_waker(Waker::noop());
        assert!(ended.as_mut().poll(&mut context).is_pending());
        assert!(seen_by_another.as_mut().poll(&mut context).is_pending());
        world.kill(id, process).await;
        ended.await;
        seen_by_another.await;
    }
    driver.ended(id, process).await;
    let never_was = Incarnation(process.0 ^ (1 << 127));
    driver.ended(id, never_was).await;
    assert_stopped(ok(driver.observe(id).await));
    assert_stopped(ok(adopted.observe(id).await));
    ok(driver.remove(id).await);
}

async fn a_crash_keeps_written_data(world: &dyn World) {
    let (driver, id) = new_instance(world, 6).await;
    let mut last = process_of(ok(driver.apply(id, RUNNING).await), Run::Running);
    for (text, run) in [("first", RUNNING), ("second", FROZEN), ("third", RUNNING)] {
        world.write(id, &endpoint(&*driver, id).await, text).await;
        ok(driver.apply(id, run).await);
        world.kill(id, last).await;
        driver.ended(id, last).await;
        let next = process_of(ok(driver.apply(id, RUNNING).await), Run::Running);
        assert_ne!(next, last);
        assert_eq!(world.read(id, &endpoint(&*driver, id).await).await, text);
        last = next;
    }
    ok(driver.remove(id).await);
}

async fn a_cancelled_start_leaves_no_second_process(world: &dyn World) {
    let (driver, id) = new_instance(world, 7).await;
    for polls in 1..4 {
        let mut start = pin!(driver.apply(id, RUNNING));
        let mut left = polls;
        std::future::poll_fn(|context| {
            left -= 1;
            if start.as_mut().poll(context).is_ready() || left == 0 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
    let process = process_of(ok(driver.apply(id, RUNNING).await), Run::Running);
    world.write(id, &endpoint(&*driver, id).await, "kept").await;
    let other = world.driver().await;
    assert_eq!(
        process_of(ok(other.observe(id).await), Run::Running),
        process
    );
    ok(driver.remove(id).await);
}

async fn units_change_while_running(world: &dyn World) {
    let (driver, id) = new_instance(world, 8).await;
    let process = process_of(ok(driver.apply(id, RUNNING).await), Run::Running);
    for units in [Units(4), Units(1)] {
        let seen = ok(driver
            .apply(
                id,
                Desired {
                    run: Run::Running,
                    units,
                    history: History::Off,
                },
            )
            .await);
        assert!(seen.memory.is_none_or(|memory| memory.0 > 0), "{seen:?}");
        assert_eq!(process_of(seen, Run::Running), process);
    }
    ok(driver.remove(id).await);
}

async fn a_cpu_limit_applies_after_the_start(world: &dyn World) {
    const BURNS: u32 = 100;
    if !world.limits_cpu() {
        return;
    }
    let (driver, id) = new_instance(world, 14).await;
    let throttled = |seen: &Observed| seen.strain.unwrap_or_default().throttled;
    let started = ok(driver.apply(id, RUNNING).await);
    assert_eq!(throttled(&started), Duration::ZERO, "during the start");
    for (units, holds_back) in [(8, false), (1, true), (8, false)] {
        let desired = Desired {
            units: Units(units),
            ..RUNNING
        };
        let before = throttled(&ok(driver.apply(id, desired).await));
        let mut after = before;
        // on a busy machine it may take a while to reach the limit
        for _ in 0..if holds_back { BURNS } else { 1 } {
            world.burn(id, &endpoint(&*driver, id).await).await;
            after = throttled(&ok(driver.observe(id).await));
            if after > before {
                break;
            }
        }
        assert_eq!(after > before, holds_back, "with {units} units");
    }
    ok(driver.remove(id).await);
}

async fn counters_never_decrease_and_outlive_the_process(world: &dyn World) {
    let (driver, id) = new_instance(world, 15).await;
    let mut last = ok(driver.apply(id, RUNNING).await);
    let Some(started) = last.cpu else {
        return ok(driver.remove(id).await);
    };
    while last.cpu < Some(started * 3) {
        world.burn(id, &endpoint(&*driver, id).await).await;
        let seen = ok(driver.observe(id).await);
        assert_no_less(&seen, &last);
        last = seen;
    }
    for run in [FROZEN, RUNNING, STOPPED, STOPPED] {
        let seen = ok(driver.apply(id, run).await);
        assert_no_less(&seen, &last);
        last = seen;
    }
    assert_eq!(ok(driver.observe(id).await), last);
    let next = ok(world.driver().await.observe(id).await);
    assert_eq!(next.cpu, last.cpu, "observed by the next driver");
    assert_stopped(next);

    let next = ok(driver.apply(id, RUNNING).await);
    assert!(next.cpu < last.cpu, "counters start again: {next:?}");
    world.burn(id, &endpoint(&*driver, id).await).await;
    last = ok(driver.observe(id).await);
    let process = process_of(last.clone(), Run::Running);
    world.kill(id, process).await;
    driver.ended(id, process).await;
    let killed = ok(driver.observe(id).await);
    assert_no_less(&killed, &last);
    assert_stopped(killed);
    ok(driver.remove(id).await);
}

async fn storage_grows_with_data(world: &dyn World) {
    let (driver, id) = new_instance(world, 16).await;
    ok(driver.apply(id, RUNNING).await);
    let before = ok(driver.storage(id).await);
    world.write(id, &endpoint(&*driver, id).await, "kept").await;
    assert!(ok(driver.storage(id).await) > before);
    ok(driver.apply(id, STOPPED).await);
    assert!(ok(driver.storage(id).await) > Bytes(0));
    ok(driver.remove(id).await);
}

async fn instances_are_independent(world: &dyn World) {
    let (driver, one) = new_instance(world, 9).await;
    let (_, other) = new_instance(world, 10).await;
    let mut seen = Vec::new();
    for id in [one, other] {
        seen.push(process_of(
            ok(driver.apply(id, RUNNING).await),
            Run::Running,
        ));
        world
            .write(id, &endpoint(&*driver, id).await, &format!("of {id}"))
            .await;
    }
    assert_ne!(seen[0], seen[1]);
    process_of(ok(driver.apply(one, FROZEN).await), Run::Frozen);
    assert_eq!(
        world.read(other, &endpoint(&*driver, other).await).await,
        format!("of {other}")
    );
    ok(driver.remove(one).await);
    assert_eq!(ok(driver.list().await), [other]);
    assert_eq!(
        process_of(ok(driver.observe(other).await), Run::Running),
        seen[1]
    );
    assert_eq!(
        world.read(other, &endpoint(&*driver, other).await).await,
        format!("of {other}")
    );
    ok(driver.remove(other).await);
}

async fn removing_ends_the_process(world: &dyn World) {
    let mut last = Vec::new();
    for (number, desired) in [(11, RUNNING), (12, FROZEN), (13, STOPPED)] {
        let (driver, id) = new_instance(world, number).await;
        let seen = ok(driver.apply(id, desired).await);
        last.extend(seen.incarnation.map(|incarnation| (id, incarnation)));
        ok(driver.remove(id).await);
        ok(driver.remove(id).await);
        for (id, incarnation) in &last {
            driver.ended(*id, *incarnation).await;
        }
        assert_eq!(ok(driver.list().await), []);
        assert!(matches!(driver.observe(id).await, Err(Error::Unknown(_))));
        if let Some(Endpoint::Unix(socket)) = seen.endpoint {
            assert!(!socket.exists());
        }
    }
    assert_eq!(last.len(), 2);
}

async fn new_instance(world: &dyn World, number: u32) -> (Arc<dyn Driver>, InstanceId) {
    let (driver, id) = (world.driver().await, InstanceId(number));
    ok(driver.provision(id, &world.place()).await);
    (driver, id)
}

/// Endpoint of the running instance.
async fn endpoint(driver: &dyn Driver, id: InstanceId) -> Endpoint {
    match ok(driver.observe(id).await).endpoint {
        Some(endpoint) => endpoint,
        None => panic!("instance {id} has no endpoint"),
    }
}

#[track_caller]
fn ok<T, E: Debug>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:?}"),
    }
}

/// Counters of one process never decrease.
#[track_caller]
fn assert_no_less(seen: &Observed, before: &Observed) {
    assert!(seen.cpu >= before.cpu, "{before:?}, then {seen:?}");
    if let (Some(now), Some(then)) = (seen.strain, before.strain) {
        let falls = now.throttled < then.throttled
            || now.stalled < then.stalled
            || now.limit_hits < then.limit_hits
            || now.oom_kills < then.oom_kills;
        assert!(!falls, "{then:?}, then {now:?}");
    }
}

#[track_caller]
fn process_of(seen: Observed, run: Run) -> Incarnation {
    match seen {
        Observed {
            run: is,
            incarnation: Some(incarnation),
            endpoint: Some(_),
            ..
        } if is == run => incarnation,
        _ => panic!("expected {run:?}, observed {seen:?}"),
    }
}

#[track_caller]
fn assert_stopped(seen: Observed) {
    let Observed {
        run,
        incarnation,
        endpoint,
        memory,
        cpu: _,
        strain: _,
    } = seen;
    assert_eq!(
        (run, incarnation, endpoint, memory),
        (Run::Stopped, None, None, None)
    );
}
