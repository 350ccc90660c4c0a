//! One instance: its process if it has one, and the ways from one state to another.

use std::io;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_driver::{Error, Observed, Run};
use dormouse_engine::config;
use dormouse_types::{InstanceId, Units};
use rustix::process::Signal;
use tokio::sync::OwnedMutexGuard;
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{Shared, blocking, files};
use crate::cgroup::{Cgroups, Group};
use crate::process::Handle;
use crate::spawn::{self, Lock, Start};
use crate::{ready, scan};

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
    running: Mutex<Option<Arc<Running>>>,
}

/// Its process, as long as it was last known to live.
#[derive(Debug)]
pub(super) struct Running {
    handle: Handle,
    group: Group,
    /// Where this process's part of the error log begins.
    log_from: u64,
    progress: Mutex<Progress>,
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
    pub(super) fn adopted(cgroups: &Cgroups, id: InstanceId, handle: Handle) -> Self {
        Self::new(cgroups, id, handle, 0)
    }

    fn new(cgroups: &Cgroups, id: InstanceId, handle: Handle, log_from: u64) -> Self {
        let group = Group::of(cgroups, id, handle.process().pid);
        Self {
            handle,
            group,
            log_from,
            progress: Mutex::new(Progress::Started),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance {
    /// An instance whose process was found.
    pub(super) fn running(running: Running) -> Self {
        Self {
            running: Mutex::new(Some(Arc::new(running))),
            ..Self::default()
        }
    }

    /// Waits for one's turn to change it.
    pub(super) async fn turn(&self) -> Turn {
        Arc::new(Arc::clone(&self.turn).lock_owned().await)
    }

    /// Its process, if it lives.
    fn process(&self) -> Option<Arc<Running>> {
        let mut slot = self.slot();
        if slot
            .as_ref()
            .is_some_and(|running| !running.handle.is_alive())
        {
            *slot = None;
        }
        slot.clone()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is true of it now.
    pub(super) fn observe(&self) -> io::Result<Observed> {
        const STOPPED: Observed = Observed {
            run: Run::Stopped,
            process: None,
            memory: None,
            cpu: None,
            strain: None,
        };
        let Some(running) = self.process() else {
            return Ok(STOPPED);
        };
        let (handle, group) = (&running.handle, &running.group);
        let look = || -> io::Result<Observed> {
            let run = if group.is_frozen(handle)? {
                Run::Frozen
            } else {
                Run::Running
            };
            let memory = match group.memory() {
                Some(memory) => memory,
                None => handle.resident()?,
            };
            let cpu = handle.stat()?.cpu();
            Ok(Observed {
                run,
                process: Some(handle.process()),
                memory: Some(memory),
                cpu: Some(cpu),
                strain: None,
            })
        };
        let seen = look();
        // figures of a process that ended meanwhile are missing, or mean nothing
        if handle.is_alive() { seen } else { Ok(STOPPED) }
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
        if let Err(reason) = ready::wait(&running.handle, &layout, running.log_from, patience).await
        {
            kill(shared, id, instance).await?;
            return Err(Error::Start { id, reason });
        }
        *running.progress() = Progress::Ready;
    }
    // only now: half a core would double the time of a start
    if *running.progress() != Progress::Limited(units) {
        match running.group.limit(units) {
            Ok(()) => *running.progress() = Progress::Limited(units),
            Err(error) => {
                warn!(instance = %id, %error, "cannot limit a server; it runs on as it is")
            }
        }
    }
    Ok(running)
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
    *instance.slot() = None;
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
fn reap(running: Arc<Running>, mut child: Child) {
    tokio::spawn(async move {
        let ended = running.handle.ended().await;
        if let Err(error) = ended.and_then(|()| child.try_wait().map(drop)) {
            warn!(pid = child.id(), %error, "cannot wait for a server to end");
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
            let running = Arc::new(Running::adopted(&shared.cgroups, id, handle));
            *instance.slot() = Some(Arc::clone(&running));
            running
        };
        return Ok(found.map(adopt));
    };
    let installation = &shared.config.installation;
    let text = config::render(installation, &layout, units);
    let owner = shared.owners.of(id);
    let key = dormouse_engine::tls::key_and_certificate();
    key.map_err(io::Error::other)
        .and_then(|key| files::write_key(&layout, &key, owner))
        .and_then(|()| files::write_config(&layout, &text))
        .map_err(|e| doing(id, "configuring", e))?;
    let log_from = ready::log_length(&layout);
    let start = Start {
        program: &installation.mariadbd,
        layout: &layout,
        owner,
        cgroups: shared.cgroups.prepare(id, units),
    };
    let child = spawn::start(&start, lock).map_err(starting)?;
    let Ok(handle) = Handle::of_pid(child.id()) else {
        return Err(ended_at_once(id, child, &layout, log_from));
    };
    let running = Arc::new(Running::new(&shared.cgroups, id, handle, log_from));
    *instance.slot() = Some(Arc::clone(&running));
    reap(Arc::clone(&running), child);
    Ok(Some(running))
}

fn ended_at_once(
    id: InstanceId,
    mut child: Child,
    layout: &dormouse_engine::Layout,
    log_from: u64,
) -> Error {
    match child.wait() {
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
