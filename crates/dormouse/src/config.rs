//! The configuration of `dormouse up`: defaults, then the file, then the environment and the
//! command line. `docs/dormouse.example.toml` shows every key; a test keeps the two the same.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_api::ErrorBody;
use dormouse_api::model::Cap;
use dormouse_control::{Ladder, Prices};
use dormouse_types::{Bytes, Delay, Money, Pooling, Timetable, UnitRange, Units};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::cli::UpArgs;
use crate::values::{ClientSocket, Listen, Share, Size, Span, Zone};

/// The most servers that are kept ready.
const WARM_MOST: usize = 100;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// TCP address for clients.
    pub(crate) listen: Listen,
    /// Unix socket for clients; `None`: `dormouse.sock` in the data directory.
    pub(crate) socket: Option<ClientSocket>,
    /// A TLS client that names the host `DATABASE.domain` is routed to DATABASE.
    pub(crate) domain: Option<String>,
    /// Users, and `program:NAME`, whose statements do not wake a database.
    pub(crate) never_wakes: Vec<String>,
    /// TLS for clients.
    pub(crate) tls: Tls,
    /// The database server.
    pub(crate) engine: Engine,
    /// Where the clock of timetables hangs, by its IANA name.
    pub(crate) time_zone: Zone,
    /// Servers kept ready for new databases.
    pub(crate) warm_pool: WarmPool,
    /// What a new database gets.
    pub(crate) defaults: Defaults,
    /// How clients share a database's backends.
    pub(crate) pool: Pool,
    /// Limits against overload and abuse.
    pub(crate) limits: Limits,
    /// What use costs.
    pub(crate) prices: Prices,
    /// What is done as a database's cost nears its limit.
    pub(crate) spend: Spend,
    /// Control groups.
    pub(crate) cgroup: Cgroup,
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificate chain, PEM; `None`: one is generated.
    pub(crate) cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub(crate) key: Option<PathBuf>,
    /// Whether clients on TCP must use TLS.
    pub(crate) require: bool,
}

/// `[engine]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Engine {
    /// The server program; `None`: looked for in the usual places.
    pub(crate) mariadbd: Option<PathBuf>,
    /// The program that makes a data directory; `None`: looked for beside the server.
    pub(crate) install_db: Option<PathBuf>,
    /// The server's `--basedir`; `None`: it knows itself.
    pub(crate) basedir: Option<PathBuf>,
    /// How servers are reached.
    pub(crate) transport: Transport,
}

/// How servers are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    /// Over private Unix sockets.
    #[default]
    Unix,
    /// Over TCP with TLS, on the loopback interface.
    Tcp,
}

/// `[warm_pool]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct WarmPool {
    /// How many servers are kept ready.
    pub(crate) size: usize,
}

/// `[defaults]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Defaults {
    /// Suspend after this long without a statement.
    pub(crate) idle_suspend: Delay,
    /// Park after this long without a statement.
    pub(crate) idle_park: Delay,
    /// The fewest and the most compute units.
    pub(crate) units: UnitRange,
    /// How sessions share backends.
    pub(crate) pooling: Pooling,
    /// When it is kept awake.
    pub(crate) keep_awake: Timetable,
    /// Whether it is woken ahead of its usual hours.
    pub(crate) prewake: bool,
    /// The most disk its files may take.
    pub(crate) storage_quota: Cap<Bytes>,
    /// The most it may cost in a calendar month.
    pub(crate) spend_limit: Cap<Money>,
}

/// `[pool]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pool {
    /// The most connections to one database's server.
    pub(crate) backends_max: u32,
    /// As many stay open though nobody needs them.
    pub(crate) backends_min: u32,
    /// How long a statement waits for a taken one before another is opened.
    pub(crate) open_after: Delay,
    /// How long a statement waits for one in all.
    pub(crate) lease_timeout: Span,
    /// One that nobody has needed for this long is closed.
    pub(crate) backend_idle: Span,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Databases in all.
    pub(crate) databases: usize,
    /// Client connections to one database.
    pub(crate) connections_per_database: u32,
    /// Client connections from one IP address.
    pub(crate) connections_per_address: u32,
    /// Connections that have not logged in yet.
    pub(crate) handshakes: u32,
    /// How long a client may take from connecting to being logged in.
    pub(crate) handshake_timeout: Span,
    /// Failed logins from one IP address, per minute.
    pub(crate) failed_logins_per_minute: u32,
    /// Statements held for one database while it wakes.
    pub(crate) held_statements: u32,
    /// How long a statement is held at most.
    pub(crate) hold_timeout: Span,
    /// How long a client may stop in the middle of a packet.
    pub(crate) read_timeout: Span,
    /// How long a client may not read its reply.
    pub(crate) write_timeout: Span,
    /// How long a session may be idle.
    pub(crate) wait_timeout: Span,
    /// How long one of an interactive client may be.
    pub(crate) interactive_timeout: Span,
    /// How long one with an open transaction may be.
    pub(crate) idle_transaction_timeout: Delay,
    /// With less free on the disk no database may grow.
    pub(crate) disk_reserve: Size,
}

/// `[cgroup]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cgroup {
    /// Whether control groups are used.
    pub(crate) mode: CgroupMode,
}

/// `[spend]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Spend {
    /// The percentages of its limit at which a warning is noted.
    pub(crate) warn: Vec<u8>,
    /// The one from which on it has no more than the baseline.
    pub(crate) slow: Share,
    /// The one from which on it can be read and emptied only.
    pub(crate) read_only: Share,
    /// The one from which on it sleeps.
    pub(crate) asleep: Share,
    /// The compute units that are free then.
    pub(crate) baseline: Units,
}

impl Default for Spend {
    fn default() -> Self {
        let Ladder {
            warn,
            slow,
            read_only,
            asleep,
            baseline,
        } = Ladder::default();
        Self {
            warn,
            slow: Share(slow),
            read_only: Share(read_only),
            asleep: Share(asleep),
            baseline,
        }
    }
}

impl Spend {
    /// What the plane is told.
    pub(crate) fn ladder(&self) -> Ladder {
        Ladder {
            warn: self.warn.clone(),
            slow: self.slow.0,
            read_only: self.read_only.0,
            asleep: self.asleep.0,
            baseline: self.baseline,
        }
    }
}

/// Whether control groups are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CgroupMode {
    /// Where the machine allows it.
    #[default]
    Auto,
    /// Not at all.
    Off,
}

impl Default for WarmPool {
    fn default() -> Self {
        Self { size: 2 }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            idle_suspend: Delay::After(Duration::from_secs(10)),
            idle_park: Delay::After(Duration::from_secs(300)),
            units: UnitRange {
                min: Units(1),
                max: Units(2),
            },
            pooling: Pooling::default(),
            keep_awake: Timetable::default(),
            prewake: false,
            storage_quota: Cap(None),
            spend_limit: Cap(None),
        }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            backends_max: 100,
            backends_min: 1,
            open_after: Delay::After(Duration::ZERO),
            lease_timeout: Span(Duration::from_secs(30)),
            backend_idle: Span(Duration::from_secs(60)),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            databases: 20_000,
            connections_per_database: 10_000,
            connections_per_address: 10_000,
            handshakes: 10_000,
            handshake_timeout: Span(Duration::from_secs(10)),
            failed_logins_per_minute: 100,
            held_statements: 10_000,
            hold_timeout: Span(Duration::from_secs(60)),
            read_timeout: Span(Duration::from_secs(30)),
            write_timeout: Span(Duration::from_secs(60)),
            wait_timeout: Span(Duration::from_secs(28_800)),
            interactive_timeout: Span(Duration::from_secs(28_800)),
            idle_transaction_timeout: Delay::Never,
            disk_reserve: Size(Bytes::mib(1024)),
        }
    }
}

impl Config {
    /// What `dormouse up` shall use: the command line and the environment (which clap has put
    /// together) over the file over the defaults.
    pub(crate) fn load(args: &UpArgs) -> Outcome<Self> {
        let mut config = match &args.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        if let Some(listen) = args.listen {
            config.listen = listen;
        }
        if let Some(socket) = &args.socket {
            config.socket = Some(socket.clone());
        }
        config.check()?;
        Ok(config)
    }

    /// What the file says.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let message = format!("cannot read the configuration file {}: {e}", path.display());
            ErrorBody::new("invalid", message)
        })?;
        toml::from_str(&text).map_err(|e| {
            let message = format!(
                "the configuration file {}: {}",
                path.display(),
                e.to_string().trim()
            );
            ErrorBody::new("invalid", message)
                .with_hint("docs/dormouse.example.toml shows every key")
        })
    }

    /// What no single key can tell.
    fn check(&self) -> Outcome {
        let invalid = |message: &str, hint: &str| {
            Err(
                ErrorBody::new("invalid", format!("in the configuration: {message}"))
                    .with_hint(hint),
            )
        };
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return invalid(
                "tls.cert and tls.key belong together",
                "set both, or neither",
            );
        }
        let limits = &self.limits;
        let counts = [
            limits.connections_per_database,
            limits.connections_per_address,
            limits.handshakes,
            limits.failed_logins_per_minute,
            limits.held_statements,
        ];
        if counts.contains(&0) {
            return invalid(
                "a limit is 0: nothing would be let through",
                "use 1 or more",
            );
        }
        if self.warm_pool.size > WARM_MOST {
            return invalid(
                &format!("[warm_pool] size is more than {WARM_MOST}"),
                "each takes memory; two are enough for most machines",
            );
        }
        if let Err(error) = self.spend.ladder().check() {
            return invalid(
                &format!("[spend]: {error}"),
                "docs/dormouse.example.toml shows what they mean",
            );
        }
        if self
            .domain
            .as_deref()
            .is_some_and(|domain| !is_domain(domain))
        {
            return invalid(
                "domain is no domain name",
                "write it without a leading dot or '*', as in db.example.org",
            );
        }
        Ok(())
    }
}

/// Whether the text is DNS labels with dots between them.
fn is_domain(text: &str) -> bool {
    let label = |l: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=63).contains(&l.len())
            && l.bytes().all(allowed)
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    text.len() <= 189 && text.split('.').all(label)
}

#[cfg(test)]
mod tests;
