//! Opens the driver: the server program, its template, and the instances that run already.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_api::ErrorBody;
use dormouse_control::AdminServers;
use dormouse_control::Servers;
use dormouse_driver::Driver;
use dormouse_driver_local::{LocalConfig, LocalDriver};
use dormouse_engine::{Installation, Keeper, KeeperConfig, Search, Secret};
use dormouse_types::Series;

use crate::Outcome;
use crate::config::{self, Config};

/// Results for the plane and the data path.
pub(super) struct Machine {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) servers: Arc<dyn Servers>,
    pub(super) keys: Arc<Keeper>,
    pub(super) secret: Secret,
    /// Version string in a server's greeting.
    pub(super) greeting: String,
    /// The server's version, as text.
    pub(super) engine: String,
    /// Capabilities of the driver on this machine, as text.
    pub(super) capabilities: String,
    pub(super) warnings: Vec<String>,
}

/// Finds the server program and adopts the running instances.
pub(super) async fn open(config: &Config, data_dir: &Path) -> Outcome<Machine> {
    let search = search(&config.engine);
    let mode = config.cgroup.mode;
    let sandbox = config.sandbox.mode;
    let transport = config.engine.transport;
    let keys = keeper_config(config, data_dir);
    let (data_dir, data_dirs) = (data_dir.to_owned(), config.data_dirs.clone());
    let (servers, mut broken_servers) = (config.servers.clone(), Vec::new());
    config::places::check(Some(&data_dir), &data_dirs)
        .map_err(|(message, hint)| ErrorBody::new("invalid", message).with_hint(hint))?;
    // runs programs and copies directories: takes about a second the first time
    let disk_reserve = config.limits.disk_reserve.0;
    let opened = tokio::task::spawn_blocking(move || {
        let installation = Installation::probe(&search).map_err(|e| at_fault(&e))?;
        let mut more_servers = Vec::new();
        for (series, path) in servers {
            match server(&installation, series, &path) {
                Ok(server) => more_servers.push(server),
                Err(why) => broken_servers.push((series, why)),
            }
        }
        let secret = Secret::load_or_create(&secret_file(&data_dir)).map_err(|e| at_fault(&e))?;
        let keys = Keeper::open(keys, &installation).map_err(|e| at_fault(&e))?;
        let local = LocalConfig {
            keys: Arc::clone(&keys),
            cgroups: mode.into(),
            sandbox: sandbox.into(),
            transport: transport.into(),
            more_roots: data_dirs,
            more_servers,
            broken_servers,
            disk_reserve,
            ..LocalConfig::new(&data_dir, installation, secret.clone())
        };
        let driver = LocalDriver::new(local).map_err(|e| at_fault(&e))?;
        Ok(Machine {
            servers: Arc::new(AdminServers::new(
                secret.clone(),
                &driver.installation().version,
            )),
            secret,
            greeting: driver.installation().version.greeting(),
            engine: engine(&driver),
            capabilities: capabilities(&driver),
            warnings: warnings(&driver, mode, sandbox, &keys),
            keys,
            driver: Arc::new(driver),
        })
    });
    opened
        .await
        .map_err(|e| ErrorBody::new("internal", format!("the start failed: {e}")))?
}

/// The server of another series, or why it cannot be used.
pub(crate) fn server(
    first: &Installation,
    series: Series,
    path: &Path,
) -> Result<Installation, String> {
    if first.version.series() == series {
        return Err("[engine] has this version, so [servers] must not name it".to_owned());
    }
    let mariadbd = if path.is_dir() {
        path.join("mariadbd")
    } else {
        path.to_owned()
    };
    let found = Installation::probe(&Search {
        mariadbd: Some(mariadbd),
        ..Search::default()
    });
    let found = found.map_err(|error| error.to_string())?;
    if found.version.series() != series {
        return Err(format!(
            "{} is MariaDB {}, and not {series}",
            found.mariadbd.display(),
            found.version
        ));
    }
    Ok(found)
}

/// The versions of the servers.
fn engine(driver: &LocalDriver) -> String {
    let first = driver.installation().version.to_string();
    let offer = driver.offer();
    let more: Vec<_> = { offer.servers.iter().skip(1) }
        .map(|server| server.series.to_string())
        .collect();
    if more.is_empty() {
        return first;
    }
    format!("{first}; also {}", more.join(", "))
}

/// Capabilities of the machine and layers of the sandbox, one line each.
fn capabilities(driver: &LocalDriver) -> String {
    let holding = driver.layers().iter().filter(|layer| layer.holds);
    let names: Vec<_> = holding.map(|layer| layer.name.as_str()).collect();
    let capabilities = driver.capabilities().to_string();
    format!("{}\nsandbox: {}", capabilities.trim(), names.join(", "))
}

/// Missing capabilities of this machine and their consequences.
fn warnings(
    driver: &LocalDriver,
    mode: config::CgroupMode,
    sandbox: config::SandboxMode,
    keys: &Keeper,
) -> Vec<String> {
    let layers = driver.layers().iter().filter(|layer| !layer.holds);
    // who switched them off knows
    let layers = layers.filter(|_| sandbox != config::SandboxMode::Off);
    let unconfined = layers.map(|layer| {
        format!(
            "servers have no sandbox of {}: {} (docs/sandbox.md)",
            layer.name, layer.detail
        )
    });
    let missing = driver.capabilities().warning();
    let missing = missing.map(|missing| format!("{}: {missing}", without_cgroups(mode)));
    let no_locks = (!driver.installation().tells_locks()).then(|| {
        "the server has no plugin metadata_lock_info (Debian's package mariadb-server has it): \
         sessions that have called a procedure, or may have taken a lock, are not parked"
            .to_owned()
    });
    let no_key = keys.trouble().map(|error| {
        format!("encrypted databases cannot be started, and none can be created until this is repaired: {error}")
    });
    missing
        .into_iter()
        .chain(no_locks)
        .chain(unconfined)
        .chain(no_key)
        .chain(driver.missing())
        .collect()
}

/// Why control groups are missing.
fn without_cgroups(mode: config::CgroupMode) -> &'static str {
    match mode {
        config::CgroupMode::Off => "control groups are switched off ([cgroup] mode)",
        config::CgroupMode::Auto => {
            "Dormouse has no control group of its own (docs/autoscaling.md)"
        }
    }
}

fn keeper_config(config: &Config, data_dir: &Path) -> KeeperConfig {
    KeeperConfig {
        data_dir: data_dir.to_owned(),
        instances: data_dir.join("instances"),
        more_instances: { config.data_dirs.iter() }
            .map(|dir| dir.join("instances"))
            .collect(),
        master: config.encryption.master(),
        previous: config.encryption.previous(),
        new_databases: config.encryption.mode != config::EncryptionMode::Off,
    }
}

/// File with the secret from which internal passwords are derived.
fn secret_file(data_dir: &Path) -> PathBuf {
    data_dir.join("secret")
}

pub(crate) fn search(engine: &config::Engine) -> Search {
    Search {
        mariadbd: engine.mariadbd.clone(),
        install_db: engine.install_db.clone(),
        basedir: engine.basedir.clone(),
    }
}

/// Converts an error whose text has both cause and remedy.
fn at_fault(error: &impl std::error::Error) -> ErrorBody {
    ErrorBody::new("machine", error.to_string())
}

impl From<config::Transport> for dormouse_driver_local::Transport {
    fn from(transport: config::Transport) -> Self {
        match transport {
            config::Transport::Unix => Self::Unix,
            config::Transport::Tcp => Self::Tcp,
        }
    }
}

impl From<config::CgroupMode> for dormouse_driver_local::CgroupMode {
    fn from(mode: config::CgroupMode) -> Self {
        match mode {
            config::CgroupMode::Auto => Self::Auto,
            config::CgroupMode::Off => Self::Off,
        }
    }
}

impl From<config::SandboxMode> for dormouse_driver_local::SandboxMode {
    fn from(mode: config::SandboxMode) -> Self {
        match mode {
            config::SandboxMode::Auto => Self::Auto,
            config::SandboxMode::Require => Self::Require,
            config::SandboxMode::Off => Self::Off,
        }
    }
}
