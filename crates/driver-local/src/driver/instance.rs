//! One instance: its process, and its state transitions (start, freeze, stop, kill).

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dormouse_driver::{Desired, Error, History, Observed, Run, Strain};
use dormouse_engine::tls::Authority;
use dormouse_engine::{attach, config, history};
use dormouse_types::{Bytes, Endpoint, InstanceId, Series, Units};
use rustix::process::Signal;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::upstream::Port;
use super::{Shared, blocking, files, key_error, logs};
use crate::cgroup::{Cgroups, Figures, Group};
use crate::key_pipe::KeyPipe;
use crate::process::{Handle, from_outside};
use crate::sandbox::{Ports, layers};
use crate::spawn::{self, Lock, Start};
use crate::watchdog::Watchdog;
use crate::{endpoint, ready, scan};

/// Attempts to remove an instance's cgroups, and the pause between them.
const CLEAN_ATTEMPTS: u32 = 20;
const CLEAN_INTERVAL: Duration = Duration::from_millis(1);

/// Lock for changing an instance. Work on another thread holds a clone, so the lock outlives a cancelled
/// caller.
pub(super) type ChangeLock = Arc<OwnedMutexGuard<()>>;

/// One instance. Verbs that change it hold its lock; observing needs no lock.
#[derive(Debug, Default)]
pub(super) struct Instance {
    lock: Arc<tokio::sync::Mutex<()>>,
    slot: Mutex<Slot>,
    /// The series by whose server it is started while it is upgraded. Changed under its lock.
    upgrading: Mutex<Option<Series>>,
    /// Tells a copy that needs a running server that it is about to be frozen or stopped.
    interruption: Notify,
}

/// The instance's process, or the counters of its last one.
#[derive(Debug)]
enum Slot {
    /// It was running when last checked.
    Running(Arc<Running>),
    /// There is no process.
    Ended(Last),
}

/// Last counters of a process that has ended.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// CPU time used.
    cpu: Option<Duration>,
    strain: Option<Strain>,
}

impl Default for Slot {
    fn default() -> Self {
        Self::Ended(Last::default())
    }
}

impl Slot {
    /// The process if it is alive, or the counters of the last one.
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

/// A process of an instance.
#[derive(Debug)]
pub(super) struct Running {
    handle: Handle,
    /// Endpoint of its server.
    endpoint: Endpoint,
    group: Group,
    /// Length of the error log when this process was started.
    log_from: u64,
    progress: Mutex<Progress>,
    /// Highest CPU time read so far, in nanoseconds.
    spent: AtomicU64,
    /// `None` if an earlier driver started the process.
    child: Mutex<Option<Child>>,
    /// Whether it is frozen for a copy: nobody asked for that, so it is observed as running.
    copied: AtomicBool,
    /// How it reaches the server that it follows.
    upstream: Mutex<Option<Arc<Port>>>,
}

/// Progress of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Started or adopted; not known whether it accepts connections.
    Started,
    /// Accepts connections; its limits are not set.
    Ready,
    /// Accepts connections and has the limits of these units.
    Limited(Units),
}

impl Running {
    /// A process that an earlier driver has started.
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
            copied: AtomicBool::new(false),
            upstream: Mutex::default(),
        }
    }

    /// How its server is reached.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether it is frozen.
    pub(super) fn is_frozen(&self) -> io::Result<bool> {
        self.group.is_frozen(&self.handle)
    }

    /// Freezes it for a copy, however far its start has come.
    pub(super) async fn stand_still(&self) -> io::Result<()> {
        self.copied.store(true, Ordering::SeqCst);
        let frozen = self.group.freeze(&self.handle).await;
        if frozen.is_err() {
            self.run_on()?;
        }
        frozen
    }

    /// Thaws it after a copy.
    pub(super) fn run_on(&self) -> io::Result<()> {
        let thawed = self.group.thaw(&self.handle);
        self.copied.store(false, Ordering::SeqCst);
        thawed
    }

    /// A process that thaws it if this one ends.
    pub(super) fn watchdog(&self) -> io::Result<Watchdog> {
        Watchdog::start(&self.group, &self.handle)
    }

    /// Reaps the process if it has ended. `None` while it runs, and for a process of an earlier driver.
    fn reap(&self) -> io::Result<Option<ExitStatus>> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        child.as_mut().map_or(Ok(None), Child::try_wait)
    }

    /// The signal from outside that killed the process, if one did.
    fn killed_by(&self) -> Option<i32> {
        from_outside(self.reap().ok()??)
    }

    /// State of the process now.
    fn look(&self) -> io::Result<Observed> {
        let (handle, group) = (&self.handle, &self.group);
        let figures = group.figures();
        let copied = self.copied.load(Ordering::SeqCst);
        let run = if !copied && group.is_frozen(handle)? {
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

    /// CPU time used. Never decreases; still known after the process has ended.
    fn spent(&self) -> Duration {
        self.spent_by(&self.group.figures())
    }

    /// Last counters of the ended process; its cgroups must still exist.
    fn last(&self) -> Last {
        let figures = self.group.figures();
        Last {
            cpu: Some(self.spent_by(&figures)),
            strain: figures.strain,
        }
    }

    fn spent_by(&self, figures: &Figures) -> Duration {
        // `/proc` has nothing once a process was reaped
        let read = figures.cpu.or_else(|| Some(self.handle.stat().ok()?.cpu()));
        let nanos = read
            .and_then(|cpu| u64::try_from(cpu.as_nanos()).ok())
            .unwrap_or(0);
        let before = self.spent.fetch_max(nanos, Ordering::Relaxed);
        Duration::from_nanos(nanos.max(before))
    }

    fn upstream(&self) -> MutexGuard<'_, Option<Arc<Port>>> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance {
    /// An instance with an adopted process.
    pub(super) fn running(running: Running) -> Self {
        Self {
            slot: Mutex::new(Slot::Running(Arc::new(running))),
            ..Self::default()
        }
    }

    /// An instance without a process; `spent` is the CPU time of its last one.
    pub(super) fn ended(spent: Option<Duration>) -> Self {
        Self {
            slot: Mutex::new(Slot::Ended(Last {
                cpu: spent,
                strain: None,
            })),
            ..Self::default()
        }
    }

    /// Waits for the lock for changing the instance.
    pub(super) async fn lock(&self) -> ChangeLock {
        Arc::new(Arc::clone(&self.lock).lock_owned().await)
    }

    /// The series by whose server it is started while it is upgraded.
    pub(super) fn upgrading(&self) -> MutexGuard<'_, Option<Series>> {
        self.upgrading
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a copy that needs a running server.
    pub(super) fn interrupt(&self) {
        self.interruption.notify_waiters();
    }

    /// Waits until [`interrupt`](Self::interrupt) is called.
    pub(super) fn interrupted(&self) -> Notified<'_> {
        self.interruption.notified()
    }

    /// The process, if it is alive.
    pub(super) fn process(&self) -> Option<Arc<Running>> {
        self.slot().look().ok().cloned()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// State of the instance now.
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
            // a process that ended meanwhile has missing or wrong figures
            if running.handle.is_alive() {
                return seen;
            }
        }
    }
}

/// How a running follower reaches the server that it follows.
pub(super) fn upstream(
    shared: &Shared,
    id: InstanceId,
    instance: &Instance,
) -> Result<Arc<Port>, Error> {
    let no_server = || doing(id, "feeding", io::ErrorKind::NotConnected.into());
    let running = instance.process().ok_or_else(no_server)?;
    let mut known = running.upstream();
    if let Some(port) = &*known {
        return Ok(Arc::clone(port));
    }
    let layout = shared.layout(id)?;
    let port = Port::again(&layout).map_err(|e| doing(id, "feeding", e))?;
    Ok(Arc::clone(known.insert(port)))
}

/// Starts or thaws the instance, and waits until it accepts connections.
pub(super) async fn run(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
    lock: &ChangeLock,
    desired: Desired,
) -> Result<Arc<Running>, Error> {
    let running = match instance.process() {
        Some(running) => {
            running
                .group
                .thaw(&running.handle)
                .map_err(|e| doing(id, "thawing", e))?;
            running
        }
        None => start(shared, id, instance, lock, desired).await?,
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
    limit(id, &running, desired.units)?;
    Ok(running)
}

/// Sets the limits of a process that accepts connections. Not earlier: a limit of half a core would double
/// the time of a start.
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
        Err(error) => {
            warn!(instance = %id, %error, "cannot set a server's limits; it runs on with those it has")
        }
    }
    Ok(())
}

/// Freezes the instance's process; starts it first if there is none.
pub(super) async fn freeze(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
    lock: &ChangeLock,
    desired: Desired,
) -> Result<(), Error> {
    let running = match instance.process() {
        Some(running) if *running.progress() != Progress::Started => running,
        Some(running) if running.group.is_frozen(&running.handle).unwrap_or(false) => return Ok(()),
        _ => run(shared, id, instance, lock, desired).await?,
    };
    running
        .group
        .freeze(&running.handle)
        .await
        .map_err(|e| doing(id, "freezing", e))
}

/// Stops the instance's process cleanly, or kills it after the timeout.
pub(super) async fn stop(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
) -> Result<(), Error> {
    if let Some(running) = instance.process() {
        let (handle, group) = (&running.handle, &running.group);
        let _ = group.unlimit_cpu();
        *running.progress() = Progress::Ready;
        // the signal first, so that the thawed server stops at once
        let signalled = handle
            .signal(Signal::TERM)
            .and_then(|()| group.thaw(handle));
        signalled.map_err(|e| doing(id, "stopping", e))?;
        let patience = shared.config.stop_patience;
        if timeout(patience, handle.ended()).await.is_err() {
            warn!(instance = %id, ?patience, "a server did not stop in time; killing it");
        }
    }
    kill(shared, id, instance).await
}

/// Kills the instance's process, if there is one.
pub(super) async fn kill(
    shared: &Shared,
    id: InstanceId,
    instance: &Instance,
) -> Result<(), Error> {
    if let Some(running) = instance.process() {
        let (handle, group) = (&running.handle, &running.group);
        // cgroups v1 delay even SIGKILL until a process is thawed
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
        // before the cgroups, which have the counter, are removed
        let kept = files::keep_spent(&shared.layout(id)?, &shared.boot, cpu);
        if let Err(error) = kept {
            warn!(instance = %id, %error, "cannot save the CPU time of a server");
        }
    }
    for _ in 0..CLEAN_ATTEMPTS {
        if shared.cgroups.clean(id) {
            return Ok(());
        }
        sleep(CLEAN_INTERVAL).await;
    }
    // the next start reuses them, or the next driver removes them
    Ok(())
}

/// Starts a process and records it in the instance at once, even if the caller is cancelled.
async fn start(
    shared: &Arc<Shared>,
    id: InstanceId,
    instance: &Arc<Instance>,
    lock: &ChangeLock,
    desired: Desired,
) -> Result<Arc<Running>, Error> {
    // the holder of the lock file is a server that is ending or not executed yet
    const ATTEMPTS: u32 = 200;
    const INTERVAL: Duration = Duration::from_millis(10);
    for _ in 0..ATTEMPTS {
        let (shared, instance) = (Arc::clone(shared), Arc::clone(instance));
        let start = move || start_blocking(&shared, id, &instance, desired);
        match blocking(lock, start).await? {
            Some(running) => return Ok(running),
            None => sleep(INTERVAL).await,
        }
    }
    let reason =
        "its lock file is held by a process that is no server of this installation".to_owned();
    Err(Error::Start { id, reason })
}

/// Reaps the process in the background when it ends; otherwise it would stay a zombie.
fn reap(running: Arc<Running>) {
    tokio::spawn(async move {
        let ended = running.handle.ended().await;
        running.spent();
        if let Err(error) = ended.and_then(|()| running.reap()) {
            let pid = running.handle.process().pid;
            warn!(pid, %error, "cannot wait for the end of a server");
        }
    });
}

/// Starts a process or adopts a running one; `None` to retry.
fn start_blocking(
    shared: &Shared,
    id: InstanceId,
    instance: &Instance,
    Desired { units, history, .. }: Desired,
) -> Result<Option<Arc<Running>>, Error> {
    let layout = shared.layout(id)?;
    let starting = |e| {
        doing(
            id,
            "starting (its user needs permission to run the server program)",
            e,
        )
    };
    let Some(lock) = Lock::take(&layout).map_err(starting)? else {
        let root = layout.root().parent().unwrap_or(layout.root());
        let found = scan::one(root, shared.owners, id);
        let found = found.map_err(|e| doing(id, "looking for", e))?;
        let adopt = |handle| {
            let endpoint = endpoint::of(&layout);
            let running = Arc::new(Running::adopted(&shared.cgroups, id, handle, endpoint));
            *instance.slot() = Slot::Running(Arc::clone(&running));
            running
        };
        return Ok(found.map(adopt));
    };
    let upgrading = *instance.upgrading();
    let server = match upgrading {
        None => shared.servers.of(id, &layout)?,
        Some(series) => shared.servers.find(id, series)?,
    };
    let (installation, sandbox) = (&server.installation, &server.sandbox);
    let owner = shared.owners.of(id);
    let keys = shared.config.keys.for_start(id, installation);
    let keys = keys.map_err(|error| key_error(id, error))?;
    let upstream = match history {
        History::Follow => Some(Port::choose(&layout).map_err(starting)?),
        _ => None,
    };
    let configure = || {
        if !layout.series().exists() {
            // it is of a former version of Dormouse
            shared.servers.note(&layout).write(&layout)?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let history = history::prepare(&layout, id, owner, logs::wanted(history), now)?;
        let address = endpoint::choose(&layout, shared.config.transport)?;
        let mut text = config::render(
            installation,
            &layout,
            units,
            address,
            keys.as_ref().map(|keys| &keys.settings),
            history.as_ref(),
            logs::redo_log(&layout, history.is_some(), shared.config.disk_reserve),
        );
        text.push_str(sandbox.settings());
        let key = dormouse_engine::tls::key_and_certificate().map_err(io::Error::other)?;
        files::write_key(&layout, &key, owner)?;
        let authority = Authority::new(&shared.config.secret, id).map_err(io::Error::other)?;
        files::write_client_authority(&layout, &authority.pem())?;
        let key = attach::key(&shared.config.secret, id);
        files::write_attach_key(&layout, &key, owner)?;
        files::write_config(&layout, &text)?;
        files::forget_socket(&layout)?;
        // after the files, which it names
        let plugins = keys.as_ref().map(|keys| keys.plugin_dir.as_path());
        let ports = Ports {
            own: address.map(|address| address.port()),
            upstream: upstream.as_ref().map(|port| port.number()).transpose()?,
        };
        sandbox.confinement(&layout, ports, plugins)
    };
    let confinement = configure().map_err(|e| doing(id, "configuring", e))?;
    let log_from = ready::log_length(&layout);
    let prepared = shared.cgroups.prepare(id, units);
    let start = Start {
        program: &installation.mariadbd,
        layout: &layout,
        owner,
        cgroups: prepared.joins,
        keys: keys.map(KeyPipe::new).transpose().map_err(starting)?,
        confinement,
    };
    let child = spawn::start(start, lock).map_err(starting)?;
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
    *running.upstream() = upstream;
    *instance.slot() = Slot::Running(Arc::clone(&running));
    let process = running.handle.process();
    if let Err(error) = layers::record(&layout, process, sandbox.landlock_abi()) {
        warn!(instance = %id, %error, "cannot save the sandbox of a server; it will be shown without one");
    }
    if let Err(error) = files::forget_spent(&layout) {
        warn!(instance = %id, %error, "cannot remove the saved CPU time");
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
