//! One instance: its process if it has one, and the ways from one state to another.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_driver::{Error, Observed, Run, Strain};
use dormouse_engine::config;
use dormouse_types::{Bytes, Endpoint, InstanceId, Units};
use rustix::process::Signal;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Shared, blocking, files};
use crate::cgroup::{Cgroups, Figures, Group};
use crate::process::{Handle, from_outside};
use crate::spawn::{self, Lock, Start};
use crate::{endpoint, ready, scan};

/// How often, and with which pause, cgroups are tried to be removed.
const CLEAN_LOOKS: u32 = 20;
const CLEAN_LOOK: Duration = Duration::from_millis(1);

/// One's turn to change an instance. What runs on another thread keeps a copy, so that the turn
/// does not end before it even if the caller gives up.
pub(super) type Turn = Arc<OwnedMutexGuard<()>>;

/// One instance. Its verbs take turns; anyone may look at any time.
#[derive(Debug, Default)]
pub(super) struct Instance {
    turn: Arc<tokio::sync::Mutex<()>>,
    slot: Mutex<Slot>,
}

/// What is known of its processes.
#[derive(Debug)]
enum Slot {
    /// There is one, as far as was last known.
    Running(Arc<Running>),
    /// There is none.
    Ended(Last),
}

/// What is known of a process that has ended.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// How much CPU time it had used.
    cpu: Option<Duration>,
    strain: Option<Strain>,
}

impl Default for Slot {
    fn default() -> Self {
        Self::Ended(Last::default())
    }
}

impl Slot {
    /// Its process if it lives, or what is known of the last one.
    fn look(&mut self) -> Result<&Arc<Running>, Last> {
        if let Self::Running(running) = self
            && !running.handle.is_alive()
        {
            *self = Self::Ended(running.last());
        }
        match self {
            Self::Running(running) => Ok(running),
            Self::Ended(last) => Err(*last),
        }
    }
}

/// Its process, as long as it was last known to live.
#[derive(Debug)]
pub(super) struct Running {
    handle: Handle,
    /// How its server is reached.
    endpoint: Endpoint,
    group: Group,
    /// Where this process's part of the error log begins.
    log_from: u64,
    progress: Mutex<Progress>,
    /// The most CPU time that was seen used, in nanoseconds.
    spent: AtomicU64,
    /// `None` if an earlier driver started it.
    child: Mutex<Option<Child>>,
}

/// How far the process was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It was started, or found; whether it takes connections is not known.
    Started,
    /// It takes connections; its limits are not set.
    Ready,
    /// It takes connections and has the limits of these units.
    Limited(Units),
}

impl Running {
    /// A process that an earlier driver started.
    pub(super) fn adopted(
        cgroups: &Cgroups,
        id: InstanceId,
        handle: Handle,
        endpoint: Endpoint,
    ) -> Self {
        let nothing = Figures::default();
        let group = Group::of(cgroups, id, handle.process().pid, nothing);
        Self::new(handle, endpoint, group, 0, None)
    }

    fn new(
        handle: Handle,
        endpoint: Endpoint,
        group: Group,
        log_from: u64,
        child: Option<Child>,
    ) -> Self {
        Self {
            handle,
            endpoint,
            group,
            log_from,
            progress: Mutex::new(Progress::Started),
            spent: AtomicU64::new(0),
            child: Mutex::new(child),
        }
    }

    /// Asks for its end, which is known from then on; until somebody asks it stays as a zombie. `None`
    /// while it runs, and if an earlier driver started it.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut().map_or(Ok(None), Child::try_wait)
    }

    /// The signal from outside that has ended it, if one did.
    fn killed_by(&self) -> Option<i32> {
        from_outside(self.reap().ok()??)
    }

    /// What is true of it now.
    fn look(&self) -> io::Result<Observed> {
        let (handle, group) = (&self.handle, &self.group);
        let figures = group.figures();
        let run = if group.is_frozen(handle)? {
            Run::Frozen
        } else {
            Run::Running
        };
        let memory = match figures.memory {
            Some(memory) => memory,
            None => handle.resident()?,
        };
        Ok(Observed {
            run,
            incarnation: Some(handle.process().incarnation()),
            endpoint: Some(self.endpoint.clone()),
            memory: Some(memory),
            cpu: Some(self.spent_by(&figures)),
            strain: figures.strain,
        })
    }

    /// The CPU time it has used. It never falls, and is still known when the process has ended.
    fn spent(&self) -> Duration {
        self.spent_by(&self.group.figures())
    }

    /// What is known of it when it has ended: its cgroups are still there.
    fn last(&self) -> Last {
        let figures = self.group.figures();
        Last {
            cpu: Some(self.spent_by(&figures)),
            strain: figures.strain,
        }
    }

    fn spent_by(&self, figures: &Figures) -> Duration {
        // a process that has ended tells nothing more, once its parent has asked for it
        let told = figures.cpu.or_else(|| Some(self.handle.stat().ok()?.cpu()));
        let nanos = told
            .and_then(|cpu| u64::try_from(cpu.as_nanos()).ok())
            .unwrap_or(0);
        let before = self.spent.fetch_max(nanos, Ordering::Relaxed);
        Duration::from_nanos(nanos.max(before))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance {
    /// An instance whose process was found.
    pub(super) fn running(running: Running) -> Self {
        Self {
            slot: Mutex::new(Slot::Running(Arc::new(running))),
            ..Self::default()
        }
    }

    /// An instance without a process; its last one had used this much CPU time.
    pub(super) fn ended(spent: Option<Duration>) -> Self {
        Self {
            slot: Mutex::new(Slot::Ended(Last {
                cpu: spent,
                strain: None,
            })),
            ..Self::default()
        }
    }

    /// Waits for one's turn to change it.
    pub(super) async fn turn(&self) -> Turn {
        Arc::new(Arc::clone(&self.turn).lock_owned().await)
    }

    /// Its process, if it lives.
    fn process(&self) -> Option<Arc<Running>> {
        self.slot().look().ok().cloned()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is true of it now.
    pub(super) fn observe(&self) -> io::Result<Observed> {
        loop {
            let running = match self.slot().look() {
                Ok(running) => Arc::clone(running),
                Err(last) => {
                    return Ok(Observed {
                        run: Run::Stopped,
                        incarnation: None,
                        endpoint: None,
                        memory: None,
                        cpu: last.cpu,
                        strain: last.strain,
                    });
                }
            };
            let seen = running.look();
            // figures of a process that ended meanwhile are missing, or mean nothing
            if running.handle.is_alive() {
                return seen;
            }
        }
    }
}

/// Makes the instance take connections.
pub(super) async fn run(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
    turn: &Turn,
    units: Units,
) -> Result<Arc<Running>, Error> {
    let running = match instance.process() {
        Some(running) => {
            running
                .group
                .thaw(&running.handle)
                .map_err(|e| doing(id, "thawing", e))?;
            running
        }
        None => start(shared, id, instance, turn, units).await?,
    };
    if *running.progress() == Progress::Started {
        let layout = shared.layout(id)?;
        let patience = shared.config.start_patience;
        let (handle, endpoint) = (&running.handle, &running.endpoint);
        let ready = ready::wait(handle, endpoint, &layout, running.log_from, patience);
        if let Err(reason) = ready.await {
            let killed = running.killed_by();
            kill(shared, id, instance).await?;
            return Err(match killed {
                Some(signal) => Error::Killed { id, signal },
                None => Error::Start { id, reason },
            });
        }
        *running.progress() = Progress::Ready;
    }
    limit(id, &running, units)?;
    Ok(running)
}

/// Gives a process that takes connections its limits: not sooner, for half a core would double the
/// time of a start.
fn limit(id: InstanceId, running: &Running, units: Units) -> Result<(), Error> {
    let before = *running.progress();
    if before == Progress::Limited(units) {
        return Ok(());
    }
    match running.group.limit(units) {
        Ok(()) => *running.progress() = Progress::Limited(units),
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy && before != Progress::Ready => {
            let held = running.group.figures().memory.unwrap_or(Bytes(0));
            let limit = units.memory();
            return Err(Error::InUse { id, held, limit });
        }
        Err(error) => warn!(instance = %id, %error, "cannot limit a server; it runs on as it is"),
    }
    Ok(())
}

/// Freezes the instance's process, which is started first if there is none.
pub(super) async fn freeze(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
    turn: &Turn,
    units: Units,
) -> Result<(), Error> {
    let running = match instance.process() {
        Some(running) if *running.progress() != Progress::Started => running,
        Some(running) if running.group.is_frozen(&running.handle).unwrap_or(false) => return Ok(()),
        _ => run(shared, id, instance, turn, units).await?,
    };
    running
        .group
        .freeze(&running.handle)
        .await
        .map_err(|e| doing(id, "freezing", e))
}

/// Ends the instance's process, cleanly if it manages that in time.
pub(super) async fn stop(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
) -> Result<(), Error> {
    if let Some(running) = instance.process() {
        let (handle, group) = (&running.handle, &running.group);
        let _ = group.unlimit_cpu();
        *running.progress() = Progress::Ready;
        // first the signal: the thawed server has nothing else to do
        let asked = handle
            .signal(Signal::TERM)
            .and_then(|()| group.thaw(handle));
        asked.map_err(|e| doing(id, "stopping", e))?;
        let patience = shared.config.stop_patience;
        if timeout(patience, handle.ended()).await.is_err() {
            warn!(instance = %id, ?patience, "a server did not stop in time and is killed");
        }
    }
    kill(shared, id, instance).await
}

/// Ends the instance's process at once, if there is one.
pub(super) async fn kill(
    shared: &Shared,
    id: InstanceId,
    instance: &Instance,
) -> Result<(), Error> {
    if let Some(running) = instance.process() {
        let (handle, group) = (&running.handle, &running.group);
        // the first version of cgroups keeps frozen processes even from SIGKILL
        let killed = handle
            .signal(Signal::KILL)
            .and_then(|()| group.thaw(handle));
        killed.map_err(|e| doing(id, "killing", e))?;
        handle
            .ended()
            .await
            .map_err(|e| doing(id, "waiting for the end of", e))?;
    }
    let spent = instance.slot().look().err().and_then(|last| last.cpu);
    if let Some(cpu) = spent {
        // before the cgroups go, which know it as well
        let kept = files::keep_spent(&shared.layout(id)?, &shared.boot, cpu);
        if let Err(error) = kept {
            warn!(instance = %id, %error, "cannot note how much CPU time a server has used");
        }
    }
    for _ in 0..CLEAN_LOOKS {
        if shared.cgroups.clean(id) {
            return Ok(());
        }
        sleep(CLEAN_LOOK).await;
    }
    // used again, or removed by the next driver
    Ok(())
}

/// Starts a process. From the moment it exists the instance knows it, even if the caller gives up.
async fn start(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
    turn: &Turn,
    units: Units,
) -> Result<Arc<Running>, Error> {
    // a server that holds the lock is ending, or not yet executed
    const LOOKS: u32 = 200;
    const LOOK: Duration = Duration::from_millis(10);
    for _ in 0..LOOKS {
        let (shared, instance) = (Arc::clone(shared), Arc::clone(instance));
        let start = move || start_blocking(&shared, id, &instance, units);
        match blocking(turn, start).await? {
            Some(running) => return Ok(running),
            None => sleep(LOOK).await,
        }
    }
    let reason = "another process holds its lock, and is no server of this installation".to_owned();
    Err(Error::Start { id, reason })
}

/// A child's end must be asked for, or it stays as a zombie.
fn reap(running: Arc<Running>) {
    tokio::spawn(async move {
        let ended = running.handle.ended().await;
        running.spent();
        if let Err(error) = ended.and_then(|()| running.reap()) {
            let pid = running.handle.process().pid;
            warn!(pid, %error, "cannot wait for a server to end");
        }
    });
}

/// The process that was started, or one that runs already; `None` to try again.
fn start_blocking(
    shared: &Shared,
    id: InstanceId,
    instance: &Instance,
    units: Units,
) -> Result<Option<Arc<Running>>, Error> {
    let layout = shared.layout(id)?;
    let starting = |e| {
        doing(
            id,
            "starting (its user must be able to run the server program)",
            e,
        )
    };
    let Some(lock) = Lock::take(&layout).map_err(starting)? else {
        let found = scan::one(&shared.config.root, shared.owners, id);
        let found = found.map_err(|e| doing(id, "looking for", e))?;
        let adopt = |handle| {
            let endpoint = endpoint::of(&layout);
            let running = Arc::new(Running::adopted(&shared.cgroups, id, handle, endpoint));
            *instance.slot() = Slot::Running(Arc::clone(&running));
            running
        };
        return Ok(found.map(adopt));
    };
    let installation = &shared.config.installation;
    let owner = shared.owners.of(id);
    let configure = || {
        let address = endpoint::choose(&layout, shared.config.transport)?;
        let text = config::render(installation, &layout, units, address);
        let key = dormouse_engine::tls::key_and_certificate().map_err(io::Error::other)?;
        files::write_key(&layout, &key, owner)?;
        files::write_config(&layout, &text)
    };
    configure().map_err(|e| doing(id, "configuring", e))?;
    let log_from = ready::log_length(&layout);
    let prepared = shared.cgroups.prepare(id, units);
    let start = Start {
        program: &installation.mariadbd,
        layout: &layout,
        owner,
        cgroups: prepared.joins,
    };
    let child = spawn::start(&start, lock).map_err(starting)?;
    let Ok(handle) = Handle::of_pid(child.id()) else {
        return Err(ended_at_once(id, child, &layout, log_from));
    };
    let group = Group::of(&shared.cgroups, id, child.id(), prepared.before);
    let running = Arc::new(Running::new(
        handle,
        endpoint::of(&layout),
        group,
        log_from,
        Some(child),
    ));
    *instance.slot() = Slot::Running(Arc::clone(&running));
    if let Err(error) = files::forget_spent(&layout) {
        warn!(instance = %id, %error, "cannot remove a file");
    }
    reap(Arc::clone(&running));
    Ok(Some(running))
}

fn ended_at_once(
    id: InstanceId,
    mut child: Child,
    layout: &dormouse_engine::Layout,
    log_from: u64,
) -> Error {
    let status = child.wait();
    if let Some(signal) = status.as_ref().ok().copied().and_then(from_outside) {
        return Error::Killed { id, signal };
    }
    match status {
        Ok(status) => {
            let reason = format!(
                "its process ended with {status}: {}",
                ready::reason(layout, log_from)
            );
            Error::Start { id, reason }
        }
        Err(e) => doing(id, "waiting for", e),
    }
}

fn doing(id: InstanceId, what: &str, source: io::Error) -> Error {
    Error::Machine {
        doing: format!("{what} the server of instance {id}"),
        source,
    }
}
