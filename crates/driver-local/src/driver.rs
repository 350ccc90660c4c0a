//! [`LocalDriver`]: setup and the driver's verbs.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_driver::{
    Copied, CopyOptions, Desired, Driver, Error, Fill, History, Layer, Log, Observed, Offer, Place,
    Quiesce, Run, Upstream,
};
use dormouse_engine::admin::system_tables::SystemTables;
use dormouse_engine::{EngineError, Installation, Keeper, KeyError, Layout, Secret};
use dormouse_types::{Bytes, Endpoint, Incarnation, InstanceId, Series};
use tracing::warn;

use crate::cgroup::{Capabilities, CgroupMode, Cgroups};
use crate::endpoint::{self, Transport};
use crate::owner::{OwnerError, Owners, UID_BASE};
use crate::process::{Handle, Process};
use crate::sandbox::{Sandbox, SandboxMissing, SandboxMode, layers};
use crate::scan;

mod calm;
mod copy;
mod files;
mod instance;
mod logs;
mod roots;
mod servers;
mod tool;
mod upgrade;
mod upstream;

use instance::{ChangeLock, Instance, Running};
use roots::Roots;
use servers::{Note, Servers};

/// Configuration of a local driver.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Directory of the instances; an absolute path.
    pub root: PathBuf,
    /// More data roots, in which instances can be, on disks of their own; absolute paths.
    pub more_roots: Vec<PathBuf>,
    /// Directory of the templates.
    pub templates: PathBuf,
    /// The server of which new instances are.
    pub installation: Installation,
    /// Servers of other series.
    pub more_servers: Vec<Installation>,
    /// Series of servers that are configured and cannot be run, and why.
    pub broken_servers: Vec<(Series, String)>,
    /// The installation's secret.
    pub secret: Secret,
    /// The keys of encrypted instances.
    pub keys: Arc<Keeper>,
    /// Which cgroups are used.
    pub cgroups: CgroupMode,
    /// Which layers of the sandbox servers get.
    pub sandbox: SandboxMode,
    /// The first user id for instances, if the driver runs as root.
    pub uid_base: u32,
    /// How clients reach the servers.
    pub transport: Transport,
    /// What a copy leaves free of a disk.
    pub disk_reserve: Bytes,
    /// Timeout of a server's start, including recovery after a crash.
    pub start_patience: Duration,
    /// Timeout of a server's clean stop; then it is killed.
    pub stop_patience: Duration,
}

impl LocalConfig {
    /// Default settings: everything under `data_dir`, all available cgroups.
    #[must_use]
    pub fn new(data_dir: &Path, installation: Installation, secret: Secret) -> Self {
        Self {
            keys: Keeper::off(&data_dir.join("instances")),
            root: data_dir.join("instances"),
            more_roots: Vec::new(),
            more_servers: Vec::new(),
            broken_servers: Vec::new(),
            templates: data_dir.join("templates"),
            installation,
            secret,
            cgroups: CgroupMode::Auto,
            sandbox: SandboxMode::Auto,
            uid_base: UID_BASE,
            transport: Transport::Unix,
            disk_reserve: Bytes(0),
            start_patience: Duration::from_secs(120),
            stop_patience: Duration::from_secs(20),
        }
    }
}

/// Why the driver could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// An error with the server or its template.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// An error with the instances' users.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// A required layer of the sandbox is missing.
    #[error(transparent)]
    Sandbox(#[from] SandboxMissing),
    /// The system refused an operation.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// Driver that runs instances as processes of this machine. Clones share one driver.
#[derive(Debug, Clone)]
pub struct LocalDriver {
    shared: Arc<Shared>,
}

/// Fixed settings of the driver, and the instances it knows.
#[derive(Debug)]
struct Shared {
    config: LocalConfig,
    roots: Roots,
    servers: Servers,
    owners: Owners,
    cgroups: Cgroups,
    cgroup_name: String,
    capabilities: Capabilities,
    /// Id of this boot of the machine.
    boot: String,
    instances: Mutex<HashMap<InstanceId, Arc<Instance>>>,
    /// The tables of fresh servers that were needed for upgrades.
    system_tables: tokio::sync::Mutex<HashMap<Series, Arc<SystemTables>>>,
    /// The series of instances, as far as asked for.
    series: Mutex<HashMap<InstanceId, Series>>,
    provisioning: Arc<tokio::sync::Mutex<()>>,
}

impl LocalDriver {
    /// Creates missing directories and the template, probes the machine's capabilities, and adopts running
    /// servers. Blocks, for about a second the first time.
    ///
    /// # Errors
    /// The server or a directory cannot be used.
    pub fn new(config: LocalConfig) -> Result<Self, SetupError> {
        let owners = Owners::of_this_process(config.uid_base)?;
        let mark = config.secret.fingerprint();
        let roots = Roots::open(&config.root, &config.more_roots, mark, owners)?;
        if let Some(plugins) = config.keys.plugins() {
            owners.let_through(plugins)?;
        }
        let servers = Servers::open(&config, owners)?;
        let cgroup_name = cgroup_name(&config.root);
        let cgroups = Cgroups::detect(config.cgroups, &cgroup_name);
        let boot = files::boot();
        for (id, spent) in cgroups.sweep() {
            if let Ok(layout) = roots.layout(id)
                && layout.root().is_dir()
                && let Err(error) = files::keep_spent(&layout, &boot, spent)
            {
                warn!(instance = %id, %error, "cannot save the CPU time of a server");
            }
        }
        let capabilities = cgroups.capabilities(matches!(owners, Owners::Each(_)));
        let mut instances = HashMap::new();
        for root in roots.directories() {
            let found = scan::all(root, owners).map_err(|source| SetupError::Io {
                doing: format!("looking for servers of {}", root.display()),
                source,
            })?;
            for (id, handle) in found {
                let layout = Layout::new(root.join(id.to_string()))?;
                let running = Running::adopted(&cgroups, id, handle, endpoint::of(&layout));
                instances.insert(id, Arc::new(Instance::running(running)));
            }
        }
        let instances = Mutex::new(instances);
        let shared = Shared {
            config,
            roots,
            servers,
            owners,
            cgroups,
            cgroup_name,
            capabilities,
            boot,
            instances,
            system_tables: tokio::sync::Mutex::default(),
            series: Mutex::default(),
            provisioning: Arc::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What the driver can do on this machine.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// The layers of the sandbox that a server gets when it starts now.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        self.shared.servers.first().sandbox.layers()
    }

    /// Name of the parent cgroup of all instances, the same in each hierarchy.
    #[must_use]
    pub fn cgroup_name(&self) -> &str {
        &self.shared.cgroup_name
    }

    /// Data roots and servers that cannot be used, and what that means.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let mut all = self.shared.roots.missing();
        all.extend(self.shared.servers.missing());
        all
    }

    /// The server of which new instances are.
    #[must_use]
    pub fn installation(&self) -> &Installation {
        &self.shared.config.installation
    }
}

/// What a driver would find on this machine.
#[derive(Debug)]
pub struct Examined {
    /// What the driver could do.
    pub capabilities: Capabilities,
    /// The layers of the sandbox that servers would get.
    pub layers: Vec<Layer>,
}

/// Probes the machine as [`LocalDriver::new`] does, but creates and adopts nothing. Blocks.
///
/// # Errors
/// Instances could not have users of their own, or a required layer is missing.
pub fn examine(
    root: &Path,
    installation: &Installation,
    cgroups: CgroupMode,
    sandbox: SandboxMode,
    transport: Transport,
) -> Result<Examined, SetupError> {
    let owners = Owners::of_this_process(UID_BASE)?;
    // not the name of a driver that may be running
    let cgroups = Cgroups::detect(cgroups, &cgroup_name(&root.join("examined")));
    let sandbox = Sandbox::detect(sandbox, installation, root, transport, owners)?;
    Ok(Examined {
        capabilities: cgroups.capabilities(matches!(owners, Owners::Each(_))),
        layers: sandbox.layers().to_vec(),
    })
}

/// Name of the parent cgroup: unique per data directory (FNV-1a of its path).
fn cgroup_name(root: &Path) -> String {
    let step = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let hash = root
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5, step);
    format!("dormouse-{hash:08x}")
}

impl Shared {
    fn layout(&self, id: InstanceId) -> Result<Layout, Error> {
        self.roots.layout(id)
    }

    fn instances(&self) -> MutexGuard<'_, HashMap<InstanceId, Arc<Instance>>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The instance, if it has files or a process.
    fn find(&self, id: InstanceId) -> Result<Arc<Instance>, Error> {
        if let Some(known) = self.instances().get(&id) {
            return Ok(Arc::clone(known));
        }
        let layout = self.layout(id)?;
        if !layout.root().is_dir() {
            return Err(Error::Unknown(id));
        }
        let found = || Arc::new(Instance::ended(files::spent(&layout, &self.boot)));
        Ok(Arc::clone(self.instances().entry(id).or_insert_with(found)))
    }

    /// Forgets the place of an instance that could not be made, unless it was there before.
    fn unmake(&self, id: InstanceId) {
        let Ok(layout) = self.layout(id) else { return };
        if layout.root().is_dir() {
            return;
        }
        let gone = files::if_there(std::fs::remove_file(layout.series()));
        if let Err(error) = gone.and_then(|()| self.roots.forget(id)) {
            warn!(instance = %id, %error, "the place of an instance that was not made is left over");
        }
    }

    fn known_series(&self) -> MutexGuard<'_, HashMap<InstanceId, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The series of an instance's server; `None` if it has no files, or they are away.
    fn series(&self, id: InstanceId) -> Option<Series> {
        let layout = self.layout(id).ok()?;
        if !layout.root().is_dir() {
            return None;
        }
        let known = self.known_series().get(&id).copied();
        Some(known.unwrap_or_else(|| {
            let series = self.servers.series(&layout);
            self.known_series().insert(id, series);
            series
        }))
    }

    /// The state of the instance now.
    fn observe(&self, id: InstanceId, instance: &Instance) -> Result<Observed, Error> {
        instance.observe().map_err(|source| observing(id, source))
    }
}

/// Converts the engine's errors, which are about the machine's files.
fn machine(error: EngineError) -> Error {
    match error {
        EngineError::Io { doing, source } => Error::Machine { doing, source },
        other => Error::Machine {
            doing: "checking the paths of an instance".to_owned(),
            source: io::Error::other(other),
        },
    }
}

/// Converts an error with an instance's keys: its server cannot start.
fn key_error(id: InstanceId, error: KeyError) -> Error {
    match error {
        KeyError::Io { doing, source } => Error::Machine { doing, source },
        other => Error::Start {
            id,
            reason: other.to_string(),
        },
    }
}

/// Runs blocking work on a blocking thread, which holds the lock until the work is done.
async fn blocking<T: Send + 'static>(
    lock: &ChangeLock,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let lost = |source: tokio::task::JoinError| Error::Machine {
        doing: "running a file operation".to_owned(),
        source: source.into(),
    };
    let lock = ChangeLock::clone(lock);
    let work = move || {
        let done = work();
        drop(lock);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

#[async_trait]
impl Driver for LocalDriver {
    async fn provision(&self, id: InstanceId, place: &Place) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let place = place.clone();
        // one copy at a time: the disk is the bottleneck
        let lock = Arc::new(Arc::clone(&self.shared.provisioning).lock_owned().await);
        blocking(&lock, move || {
            let server = match place.series {
                None => shared.servers.first(),
                Some(series) => shared.servers.find(id, series)?,
            };
            let layout = shared.roots.assign(id, &place, None)?;
            if layout.root().is_dir() {
                return Ok(());
            }
            let keys = shared.config.keys.provision(id);
            keys.map_err(|error| key_error(id, error))?;
            let series = server.installation.version.series();
            Note::new(series, series)
                .write(&layout)
                .map_err(|source| Error::Machine {
                    doing: format!("making instance {id}"),
                    source,
                })?;
            server
                .template
                .instantiate(&layout, shared.owners.of(id))
                .map_err(machine)
                .inspect_err(|_| shared.unmake(id))
        })
        .await
    }

    async fn copy(
        &self,
        from: InstanceId,
        to: InstanceId,
        place: &Place,
        options: CopyOptions,
        quiesce: Arc<dyn Quiesce>,
    ) -> Result<Copied, Error> {
        let (shared, to) = (Arc::clone(&self.shared), (to, place.clone()));
        let work = async move {
            let copied = copy::copy(Arc::clone(&shared), from, to.clone(), options, quiesce).await;
            copied.inspect_err(|_| shared.unmake(to.0))
        };
        let lost = |source: tokio::task::JoinError| Error::Machine {
            doing: format!("copying instance {from}"),
            source: source.into(),
        };
        // a cancelled caller must not leave a frozen server
        tokio::spawn(work).await.map_err(lost)?
    }

    async fn receive(&self, id: InstanceId, place: &Place, fill: Fill) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let place = place.clone();
        let lock = Arc::new(Arc::clone(&self.shared.provisioning).lock_owned().await);
        blocking(&lock, move || {
            copy::receive(&shared, id, &place, fill).inspect_err(|_| shared.unmake(id))
        })
        .await
    }

    async fn apply(&self, id: InstanceId, desired: Desired) -> Result<Observed, Error> {
        let instance = self.shared.find(id)?;
        if desired.run != Run::Running {
            instance.interrupt();
        }
        let lock = instance.lock().await;
        match desired.run {
            Run::Stopped => instance::stop(&self.shared, id, &instance).await?,
            Run::Running => {
                instance::run(&self.shared, id, &instance, &lock, desired).await?;
            }
            Run::Frozen => instance::freeze(&self.shared, id, &instance, &lock, desired).await?,
        }
        self.shared.observe(id, &instance)
    }

    async fn maintain(&self, id: InstanceId, sql: Option<&str>) -> Result<(), Error> {
        let instance = self.shared.find(id)?;
        let lock = instance.lock().await;
        let layout = self.shared.layout(id)?;
        let owner = self.shared.owners.of(id);
        let sql = sql.map(str::to_owned);
        blocking(&lock, move || {
            files::set_maintenance(&layout, sql.as_deref(), owner).map_err(|source| {
                Error::Machine {
                    doing: format!("preparing the next start of instance {id}"),
                    source,
                }
            })
        })
        .await
    }

    async fn change_series(&self, id: InstanceId, series: Series) -> Result<(), Error> {
        let instance = self.shared.find(id)?;
        let lock = instance.lock().await;
        let shared = Arc::clone(&self.shared);
        let layout = shared.layout(id)?;
        blocking(&lock, move || {
            shared.servers.find(id, series)?;
            shared.known_series().remove(&id);
            let old = shared.servers.note(&layout);
            let new = Note::new(series, old.from.unwrap_or(old.series));
            new.write(&layout).map_err(|source| Error::Machine {
                doing: format!("giving instance {id} another server"),
                source,
            })
        })
        .await
    }

    async fn upgrade(&self, id: InstanceId, history: History) -> Result<Vec<String>, Error> {
        let work = upgrade::upgrade(Arc::clone(&self.shared), id, history);
        let lost = |source: tokio::task::JoinError| Error::Machine {
            doing: format!("upgrading instance {id}"),
            source: source.into(),
        };
        // a cancelled caller must not leave a server for maintenance
        tokio::spawn(work).await.map_err(lost)?
    }

    async fn observe(&self, id: InstanceId) -> Result<Observed, Error> {
        let instance = self.shared.find(id)?;
        self.shared.observe(id, &instance)
    }

    async fn list(&self) -> Result<Vec<InstanceId>, Error> {
        // reads the names of a few directories: fast enough without a blocking thread
        self.shared.roots.list().map_err(|source| Error::Machine {
            doing: "listing the instances".to_owned(),
            source,
        })
    }

    async fn feed(
        &self,
        id: InstanceId,
        source: InstanceId,
        endpoint: &Endpoint,
    ) -> Result<Upstream, Error> {
        let instance = self.shared.find(id)?;
        let lock = instance.lock().await;
        let port = instance::upstream(&self.shared, id, &instance)?;
        let offer = self.offer();
        let server = offer
            .server(self.shared.series(source))
            .or(offer.server(None));
        let version = server.map(|server| server.greeting.clone());
        let source = (source, endpoint, version.as_deref().unwrap_or_default());
        let fed = port.feed(id, source, &self.shared.config.secret);
        drop(lock);
        fed
    }

    async fn kill(&self, id: InstanceId) -> Result<(), Error> {
        let instance = self.shared.find(id)?;
        instance.interrupt();
        let _lock = instance.lock().await;
        instance::kill(&self.shared, id, &instance).await
    }

    async fn ended(&self, id: InstanceId, incarnation: Incarnation) {
        let Some(handle) = Process::of(incarnation).and_then(Handle::of) else {
            return;
        };
        if let Err(error) = handle.ended().await {
            let pid = handle.process().pid;
            warn!(instance = %id, pid, %error, "cannot wait for the end of a process");
        }
    }

    async fn copy_log(&self, id: InstanceId, to: &Path) -> Result<Option<Log>, Error> {
        let layout = self.shared.layout(id)?;
        let to = to.to_owned();
        let copied = tokio::task::spawn_blocking(move || logs::copy(&layout, &to)).await;
        let lost = |source: tokio::task::JoinError| source.into();
        copied
            .map_err(lost)
            .flatten()
            .map_err(|source| Error::Machine {
                doing: format!("copying the binary log of instance {id}"),
                source,
            })
    }

    async fn hand_log(&self, from: InstanceId, to: InstanceId) -> Result<(), Error> {
        let (old, new) = (self.shared.layout(from)?, self.shared.layout(to)?);
        let handed =
            tokio::task::spawn_blocking(move || dormouse_engine::history::hand(&old, &new)).await;
        let lost = |source: tokio::task::JoinError| source.into();
        handed
            .map_err(lost)
            .flatten()
            .map_err(|source| Error::Machine {
                doing: format!("handing the binary log of instance {from} to {to}"),
                source,
            })
    }

    async fn storage(&self, id: InstanceId) -> Result<Bytes, Error> {
        let root = self.shared.layout(id)?.root().to_owned();
        let doing = format!("measuring {}", root.display());
        let measured = tokio::task::spawn_blocking(move || files::size(&root)).await;
        let lost = |source: tokio::task::JoinError| source.into();
        match measured.map_err(lost).flatten() {
            Ok(size) => Ok(Bytes(size)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::Unknown(id)),
            Err(source) => Err(Error::Machine { doing, source }),
        }
    }

    async fn remove(&self, id: InstanceId) -> Result<(), Error> {
        let instance = match self.shared.find(id) {
            Ok(instance) => instance,
            Err(Error::Unknown(_)) => Arc::new(Instance::default()),
            Err(other) => return Err(other),
        };
        instance.interrupt();
        let lock = instance.lock().await;
        instance::kill(&self.shared, id, &instance).await?;
        let layout = self.shared.layout(id)?;
        let shared = Arc::clone(&self.shared);
        blocking(&lock, move || {
            let forget_keys = || shared.config.keys.forget(id).map_err(io::Error::other);
            let removed = files::remove(&layout, forget_keys);
            let removed = removed.and_then(|()| shared.roots.forget(id));
            removed.map_err(|source| Error::Machine {
                doing: format!("removing {}", layout.root().display()),
                source,
            })
        })
        .await?;
        self.shared.known_series().remove(&id);
        self.shared.instances().remove(&id);
        Ok(())
    }

    fn directory(&self, id: InstanceId) -> Option<PathBuf> {
        let root = self.shared.layout(id).ok()?.root().to_owned();
        root.is_dir().then_some(root)
    }

    fn place(&self, id: InstanceId) -> Option<Place> {
        let root = self.shared.roots.of(id)?;
        Some(Place {
            root: Some(root),
            series: self.shared.series(id),
        })
    }

    fn offer(&self) -> Offer {
        Offer {
            roots: self.shared.roots.offer(),
            servers: self.shared.servers.offer(),
        }
    }

    fn pid(&self, incarnation: Incarnation) -> Option<u32> {
        Process::of(incarnation).map(|process| process.pid)
    }

    fn layers(&self, id: InstanceId, incarnation: Incarnation) -> Vec<Layer> {
        let alive = Process::of(incarnation).filter(|process| Handle::of(*process).is_some());
        match (alive, self.shared.layout(id)) {
            (Some(process), Ok(layout)) => layers::of(&layout, process),
            _ => Vec::new(),
        }
    }
}

fn observing(id: InstanceId, source: io::Error) -> Error {
    Error::Machine {
        doing: format!("reading the state of instance {id}'s server"),
        source,
    }
}
