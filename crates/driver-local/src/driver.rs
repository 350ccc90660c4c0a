//! [`LocalDriver`]: setup and the driver's verbs.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_driver::{
    Copied, CopyOptions, Desired, Driver, Error, Fill, Layer, Log, Observed, Quiesce, Run, Upstream,
};
use dormouse_engine::{EngineError, Installation, Keeper, KeyError, Layout, Secret, Template};
use dormouse_types::{Bytes, Endpoint, Incarnation, InstanceId};
use tracing::warn;

use crate::cgroup::{Capabilities, CgroupMode, Cgroups};
use crate::endpoint::{self, Transport};
use crate::owner::{OwnerError, Owners, UID_BASE};
use crate::process::{Handle, Process};
use crate::sandbox::{Sandbox, SandboxMissing, SandboxMode, layers};
use crate::scan;

mod copy;
mod files;
mod instance;
mod logs;
mod tool;
mod upstream;

use instance::{ChangeLock, Instance, Running};

/// Configuration of a local driver.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Directory of the instances; an absolute path.
    pub root: PathBuf,
    /// Directory of the templates.
    pub templates: PathBuf,
    /// The server to run.
    pub installation: Installation,
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
            templates: data_dir.join("templates"),
            installation,
            secret,
            cgroups: CgroupMode::Auto,
            sandbox: SandboxMode::Auto,
            uid_base: UID_BASE,
            transport: Transport::Unix,
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
    template: Template,
    owners: Owners,
    sandbox: Sandbox,
    cgroups: Cgroups,
    cgroup_name: String,
    capabilities: Capabilities,
    /// Id of this boot of the machine.
    boot: String,
    instances: Mutex<HashMap<InstanceId, Arc<Instance>>>,
    provisioning: Arc<tokio::sync::Mutex<()>>,
}

impl LocalDriver {
    /// Creates missing directories and the template, probes the machine's capabilities, and adopts running
    /// servers. Blocks, for about a second the first time.
    ///
    /// # Errors
    /// The server or a directory cannot be used.
    pub fn new(config: LocalConfig) -> Result<Self, SetupError> {
        let root = &config.root;
        let io = |doing: &str| {
            let doing = format!("{doing} {}", root.display());
            move |source| SetupError::Io { doing, source }
        };
        let owners = Owners::of_this_process(config.uid_base)?;
        files::make_root(root).map_err(io("creating the directory"))?;
        owners.let_through(root)?;
        if let Some(plugins) = config.keys.plugins() {
            owners.let_through(plugins)?;
        }
        // checks the longest possible instance path
        Layout::new(root.join(u32::MAX.to_string()))?;
        files::sweep(root).map_err(io("removing incomplete files in"))?;
        let sandbox = Sandbox::detect(
            config.sandbox,
            &config.installation,
            root,
            config.transport,
            owners,
        )?;
        let template = Template::ensure(&config.installation, &config.templates, &config.secret)?;
        let cgroup_name = cgroup_name(root);
        let cgroups = Cgroups::detect(config.cgroups, &cgroup_name);
        let boot = files::boot();
        for (id, spent) in cgroups.sweep() {
            let layout = Layout::new(root.join(id.to_string()))?;
            if layout.root().is_dir()
                && let Err(error) = files::keep_spent(&layout, &boot, spent)
            {
                warn!(instance = %id, %error, "cannot save the CPU time of a server");
            }
        }
        let capabilities = cgroups.capabilities(matches!(owners, Owners::Each(_)));
        let found = scan::all(root, owners).map_err(io("looking for servers of"))?;
        let adopt = |(id, handle): (InstanceId, _)| {
            let layout = Layout::new(root.join(id.to_string()))?;
            let running = Running::adopted(&cgroups, id, handle, endpoint::of(&layout));
            Ok((id, Arc::new(Instance::running(running))))
        };
        let adopted: Result<_, EngineError> = found.into_iter().map(adopt).collect();
        let instances = Mutex::new(adopted?);
        let shared = Shared {
            config,
            template,
            owners,
            sandbox,
            cgroups,
            cgroup_name,
            capabilities,
            boot,
            instances,
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
        self.shared.sandbox.layers()
    }

    /// Name of the parent cgroup of all instances, the same in each hierarchy.
    #[must_use]
    pub fn cgroup_name(&self) -> &str {
        &self.shared.cgroup_name
    }

    /// The server that the driver runs.
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
        Layout::new(self.config.root.join(id.to_string())).map_err(machine)
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
    async fn provision(&self, id: InstanceId) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        // one copy at a time: the disk is the bottleneck
        let lock = Arc::new(Arc::clone(&self.shared.provisioning).lock_owned().await);
        blocking(&lock, move || {
            let layout = shared.layout(id)?;
            let keys = shared.config.keys.provision(id);
            keys.map_err(|error| key_error(id, error))?;
            shared
                .template
                .instantiate(&layout, shared.owners.of(id))
                .map_err(machine)
        })
        .await
    }

    async fn copy(
        &self,
        from: InstanceId,
        to: InstanceId,
        options: CopyOptions,
        quiesce: Arc<dyn Quiesce>,
    ) -> Result<Copied, Error> {
        let work = copy::copy(Arc::clone(&self.shared), from, to, options, quiesce);
        let lost = |source: tokio::task::JoinError| Error::Machine {
            doing: format!("copying instance {from}"),
            source: source.into(),
        };
        // a cancelled caller must not leave a frozen server
        tokio::spawn(work).await.map_err(lost)?
    }

    async fn receive(&self, id: InstanceId, fill: Fill) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let lock = Arc::new(Arc::clone(&self.shared.provisioning).lock_owned().await);
        blocking(&lock, move || copy::receive(&shared, id, fill)).await
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

    async fn observe(&self, id: InstanceId) -> Result<Observed, Error> {
        let instance = self.shared.find(id)?;
        self.shared.observe(id, &instance)
    }

    async fn list(&self) -> Result<Vec<InstanceId>, Error> {
        let root = &self.shared.config.root;
        let doing = || format!("listing {}", root.display());
        // reads the names of one directory: fast enough without a blocking thread
        files::list(root).map_err(|source| Error::Machine {
            doing: doing(),
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
        let fed = port.feed(id, (source, endpoint), &self.shared.config.secret);
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
        blocking(&lock, move || {
            files::remove(&layout).map_err(|source| Error::Machine {
                doing: format!("removing {}", layout.root().display()),
                source,
            })
        })
        .await?;
        self.shared.instances().remove(&id);
        Ok(())
    }

    fn directory(&self, id: InstanceId) -> Option<PathBuf> {
        let root = self.shared.layout(id).ok()?.root().to_owned();
        root.is_dir().then_some(root)
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
