//! `dormouse up`: starts all parts, prints the addresses, and stops in order.
//!
//! Order of the start: configuration, data directory and its lock, certificate, server program,
//! addresses, so that an error in one of them is reported first; then the plane adopts the databases;
//! then clients and the API are served.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dormouse_api::model::Listening;
use dormouse_api::{About, Context, ErrorBody, Server, TlsLimits, TlsServer};
use dormouse_control::{Disk, Plane, PlaneConfig, Spec};
use dormouse_types::Backups;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::UpArgs;
use crate::config::Config;
use crate::output::{Colours, Output, Style};
use crate::up::ballast::Ballast;
use crate::wiring::{DataPath, Settings};
use crate::{Outcome, tls};

mod ballast;
pub(crate) mod data_dir;
pub(crate) mod machine;
pub(crate) mod recover;
mod stop;

/// How long a stopping Dormouse waits for running statements.
const GRACE: Duration = Duration::from_secs(5);
/// How often the files of certificates are read again without a signal.
const RENEWAL: Duration = Duration::from_secs(24 * 3600);
/// How long a stopping Dormouse waits for the plane.
const PLANE_STOP: Duration = Duration::from_secs(10);

/// Path of the API's socket in a data directory.
pub(crate) fn api_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("api.sock")
}

/// Serves until a signal.
pub(crate) fn run(data_dir: PathBuf, args: UpArgs, output: &Output) -> Outcome {
    log_to_stderr(&args.log_level)?;
    let config = Config::load(&args)?;
    // Servers run as users of their own and must be able to read their files, whatever umask the
    // shell has. Files that they must not read get a mode of their own.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o022));
    let opened = data_dir::open(&data_dir)?;
    let mut warnings = opened.warnings.clone();
    warnings.extend(raise_file_limit());
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        // boxed, because it is large and lives as long as the program
        Box::pin(serve(&args, &config, &data_dir, warnings, output)).await
    });
    // all that must be completed is; remaining tasks only wait for events
    runtime.shutdown_background();
    served
}

/// The threads of the plane.
fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(
            std::thread::available_parallelism()
                .map_or(1, usize::from)
                .min(4),
        )
        .thread_name("plane")
        .enable_all()
        .build()
        .map_err(|e| ErrorBody::new("machine", format!("cannot start threads: {e}")))
}

async fn serve(
    args: &UpArgs,
    config: &Config,
    data_dir: &Path,
    warnings: Vec<String>,
    output: &Output,
) -> Outcome {
    let mut signals = stop::Signals::listen()?;
    let up = tokio::select! {
        up = Up::start(config, data_dir) => up?,
        // clients cannot connect yet; the next start adopts the servers that were started
        signal = signals.next() => {
            return Err(ErrorBody::new("stopped", format!("stopped by {signal} while starting")));
        }
    };
    let ready = up.ready(warnings);
    output.announce(&ready, |colours| ready.banner(colours));
    tracing::info!(listen = ?ready.listen, socket = %ready.socket.display(), "up");

    let mut config = config.clone();
    let signal = loop {
        tokio::select! {
            signal = signals.any() => match signal {
                Some(signal) => break signal,
                None => up.reload(Config::load(args), &mut config, data_dir),
            },
            // the generated certificate is renewed long before it expires
            () = tokio::time::sleep(RENEWAL) => up.reload(Ok(config.clone()), &mut config, data_dir),
        }
    };
    tracing::info!(signal, "stopping; database servers keep running");
    tokio::select! {
        () = up.stop() => Ok(()),
        signal = signals.next() => {
            Err(ErrorBody::new("stopped", format!("stopped at once by a second signal, {signal}")))
        }
    }
}

/// All running parts.
struct Up {
    plane: Plane,
    data_path: DataPath,
    api: Vec<JoinHandle<()>>,
    stopping: watch::Sender<bool>,
    about: About,
    warnings: Vec<String>,
}

impl Up {
    async fn start(config: &Config, data_dir: &Path) -> Outcome<Self> {
        let tls = tls::load(config, data_dir)?;
        let machine = machine::open(config, data_dir).await?;
        let mut data_path = DataPath::bind(Settings {
            config,
            socket: client_socket(config, data_dir)?,
            tls: Arc::clone(&tls),
            secret: machine.secret.clone(),
            greeting: machine.greeting.clone(),
        })
        .await?;
        open_to_all(&data_path.listening().socket)?;
        let api_path = api_socket(data_dir);
        let backup = config.backup.plane(data_dir, &machine.secret);
        let backup =
            backup.map_err(|(message, hint)| ErrorBody::new("invalid", message).with_hint(hint))?;
        let plane = Plane::start(
            PlaneConfig {
                keys: machine.keys,
                backup,
                ..plane_config(config, data_dir)
            },
            machine.driver,
            machine.servers,
            data_path.doors(),
        )
        .await?;
        data_dir::keep_catalog_private(data_dir)?;
        // the data directory is locked, so an existing socket is stale
        let server = Server::bind(&api_path).map_err(|e| cannot_serve(&api_path, &e))?;
        let (over_tls, api_listen) = bind_api(config, tls).await?.unzip();
        let about = About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data_dir: data_dir.to_owned(),
            api: api_path,
            api_listen,
            engine: machine.engine,
            capabilities: machine.capabilities,
        };
        let (stopping, told) = watch::channel(false);
        let listening = data_path.listening().clone();
        let context = Context::new(plane.clone(), spec(config), listening, about.clone(), told)
            .with_failed_tokens(config.api.failed_tokens_per_minute);
        let context = Arc::new(context);
        data_path.start(plane.clone());
        let mut api = vec![tokio::spawn(server.serve(Arc::clone(&context)))];
        api.extend(over_tls.map(|server| tokio::spawn(server.serve(context))));
        Ok(Self {
            plane,
            data_path,
            api,
            stopping,
            about,
            warnings: machine.warnings,
        })
    }

    /// Applies what can change while clients are connected: certificates, which are read again, and the
    /// lists of `[access]`. If anything is wrong, everything stays as it is.
    fn reload(&self, new: Outcome<Config>, config: &mut Config, data_dir: &Path) {
        let loaded = new.and_then(|new| {
            let tls = tls::load(&new, data_dir)?;
            Ok((new, tls))
        });
        match loaded {
            Ok((new, tls)) => {
                self.data_path.apply(&new, tls);
                *config = new;
                tracing::info!("certificates and [access] were read again");
            }
            Err(ErrorBody { message, .. }) => {
                tracing::error!(%message, "nothing was read again; the former settings stay in force");
            }
        }
    }

    async fn stop(self) {
        self.stopping.send_replace(true);
        self.data_path.stop(GRACE).await;
        for api in self.api {
            if api.await.is_err() {
                tracing::warn!("the API's task failed");
            }
        }
        if tokio::time::timeout(PLANE_STOP, self.plane.stop())
            .await
            .is_err()
        {
            tracing::warn!("transitions were left unfinished; the next start completes them");
        }
    }

    fn ready(&self, mut warnings: Vec<String>) -> Ready {
        warnings.extend(self.warnings.iter().cloned());
        warnings.extend(self.plane.found().iter().cloned());
        let Listening { tcp, socket } = self.data_path.listening().clone();
        Ready {
            pid: std::process::id(),
            listen: tcp.map(|address| address.to_string()),
            socket,
            api: self.about.api.clone(),
            api_listen: self.about.api_listen.map(|address| address.to_string()),
            data_dir: self.about.data_dir.clone(),
            version: self.about.version.clone(),
            engine: self.about.engine.clone(),
            capabilities: self.about.capabilities.clone(),
            databases: self.plane.list().len(),
            warnings,
        }
    }
}

/// Output of `dormouse up` when it is ready.
#[derive(Debug, Serialize)]
struct Ready {
    pid: u32,
    listen: Option<String>,
    socket: PathBuf,
    api: PathBuf,
    api_listen: Option<String>,
    data_dir: PathBuf,
    version: String,
    engine: String,
    capabilities: String,
    databases: usize,
    warnings: Vec<String>,
}

impl Ready {
    fn banner(&self, colours: Colours) -> String {
        let socket = self.socket.display();
        let clients = match &self.listen {
            Some(tcp) => format!("{tcp} and {socket}"),
            None => socket.to_string(),
        };
        let databases = match self.databases {
            0 => "none yet; create one with: dormouse create NAME".to_owned(),
            n => format!("{n}; list them with: dormouse ls"),
        };
        let up = format!("dormouse {} is up (pid {})", self.version, self.pid);
        let mut text = format!(
            "{}\n  clients    {clients}\n  data       {}\n  engine     {}\n  machine    {}\n  databases  {databases}\n",
            colours.paint(Style::Bold, &up),
            self.data_dir.display(),
            self.engine,
            self.capabilities.trim().replace('\n', "\n             "),
        );
        if let Some(address) = &self.api_listen {
            text.push_str(&format!("  api        https://{address}\n"));
        }
        for warning in &self.warnings {
            text.push_str(&format!(
                "{} {warning}\n",
                colours.paint(Style::Yellow, "warning:")
            ));
        }
        text
    }
}

fn client_socket(config: &Config, data_dir: &Path) -> Outcome<PathBuf> {
    let Some(socket) = &config.socket else {
        return Ok(data_dir.join("dormouse.sock"));
    };
    std::path::absolute(&socket.0).map_err(|e| {
        ErrorBody::new(
            "invalid",
            format!("cannot resolve the path {}: {e}", socket.0.display()),
        )
    })
}

/// Allows every user of the machine to connect, as for a TCP port; logins need a password. The mode
/// of the directory can exclude users.
fn open_to_all(socket: &Path) -> Outcome {
    let all = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(socket, all).map_err(|e| {
        let message = format!("cannot open {} to clients: {e}", socket.display());
        ErrorBody::new("machine", message)
    })
}

fn spec(config: &Config) -> Spec {
    let defaults = &config.defaults;
    Spec {
        idle_suspend: defaults.idle_suspend,
        idle_park: defaults.idle_park,
        pooling: defaults.pooling,
        carry: defaults.carry,
        keep_awake: defaults.keep_awake,
        prewake: defaults.prewake,
        history: defaults.history,
        storage_quota: defaults.storage_quota.0,
        spend_limit: defaults.spend_limit.0,
        backups: Backups {
            schedule: defaults.backup.clone(),
            keep: defaults.backup_keep,
        },
        units: defaults.units,
        ..Spec::default()
    }
}

fn plane_config(config: &Config, data_dir: &Path) -> PlaneConfig {
    PlaneConfig {
        warm_pool: config.warm_pool.size,
        understudies: config.asleep.understudies,
        databases_most: config.limits.databases,
        defaults: spec(config),
        time_zone: config.time_zone.0.clone(),
        prices: config.prices.clone(),
        ladder: config.spend.ladder(),
        archive_every: config.history.archive_every.0,
        frozen_at_most: config.snapshot.frozen_at_most.0,
        shed: config.places.shed,
        disk: Some(
            Disk::new(config.limits.disk_reserve.0, {
                let data_dir = data_dir.to_owned();
                move || data_dir::free(&data_dir)
            })
            .with_ballast(Ballast::new(data_dir)),
        ),
        ..PlaneConfig::new(data_dir)
    }
}

/// Binds the API's TCP address, if it has one.
async fn bind_api(
    config: &Config,
    tls: Arc<rustls::ServerConfig>,
) -> Outcome<Option<(TlsServer, SocketAddr)>> {
    let api = &config.api;
    let Some(address) = api.listen.address() else {
        return Ok(None);
    };
    let limits = TlsLimits {
        connections: api.connections,
        connections_per_address: api.connections_per_address,
    };
    let bound = async {
        let server = TlsServer::bind(address, tls, limits).await?;
        let address = server.address()?;
        Ok((server, address))
    };
    let cannot = |e: std::io::Error| {
        let message = format!("cannot serve the API on {address}: {e}");
        ErrorBody::new("machine", message)
            .with_hint("use another address or port for listen in [api] of the configuration")
    };
    bound.await.map(Some).map_err(cannot)
}

fn cannot_serve(path: &Path, error: &std::io::Error) -> ErrorBody {
    let message = format!("cannot serve the API on {}: {error}", path.display());
    ErrorBody::new("machine", message)
        .with_hint("the path of a Unix socket has 107 bytes at most; use a shorter --data-dir")
}

/// Raises the limit on file descriptors to the system's maximum, since every client and every server
/// needs one. Returns a warning if the maximum is low.
fn raise_file_limit() -> Option<String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() {
        limit.maximum
    } else {
        limit.current
    };
    now.filter(|most| *most < 16_384).map(|most| {
        format!(
            "only {most} open files are allowed (`ulimit -n`), a limit on clients and servers together"
        )
    })
}

fn log_to_stderr(level: &str) -> Outcome {
    let invalid = |why: String| {
        ErrorBody::new("invalid", format!("'{level}' is not a log level{why}"))
            .with_hint("use error, warn, info, debug or trace, or dormouse_control=debug,info")
    };
    // a single unknown word would be parsed as the name of a module
    let words = level.split(',').filter(|part| !part.contains('='));
    for word in words {
        if word.trim().parse::<LevelFilter>().is_err() {
            return Err(invalid(String::new()));
        }
    }
    let filter = EnvFilter::try_new(level).map_err(|e| invalid(format!(": {e}")))?;
    let colours = Colours::of(&std::io::stderr()) == Colours::On;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .try_init()
        .map_err(|e| ErrorBody::new("internal", format!("cannot log: {e}")))
}

#[cfg(test)]
mod tests;
