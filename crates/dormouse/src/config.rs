//! The configuration of `dormouse up`: defaults, overridden by the file, the environment and the
//! command line. `docs/dormouse.example.toml` has every key; a test compares the two.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_api::ErrorBody;
use dormouse_api::model::Cap;
use dormouse_control::{Ladder, Prices};
use dormouse_types::{
    Access, Bytes, Carry, Cron, Delay, Keep, Money, Networks, Pooling, Series, Timetable,
    UnitRange, Units,
};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::cli::UpArgs;
pub(crate) use backup::Backup;
use encryption::source;
pub(crate) use encryption::{Encryption, EncryptionMode};
pub(crate) use history::History;
pub(crate) use places::Places;

use crate::values::{ClientSocket, Listen, Share, Size, Span, Zone};

mod backup;
mod encryption;
mod history;
pub(crate) mod places;

/// Maximum size of the warm pool.
const WARM_MOST: usize = 100;

/// Maximum number of understudies.
const UNDERSTUDIES_MOST: usize = 8;

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// TCP address for clients.
    pub(crate) listen: Listen,
    /// Unix socket for clients; `None`: `dormouse.sock` in the data directory.
    pub(crate) socket: Option<ClientSocket>,
    /// A TLS client with the server name `DATABASE.domain` is routed to DATABASE.
    pub(crate) domain: Option<String>,
    /// Users, and programs as `program:NAME`, whose statements do not wake a database.
    pub(crate) never_wakes: Vec<String>,
    /// TLS for clients.
    pub(crate) tls: Tls,
    /// The API over TLS.
    pub(crate) api: Api,
    /// More directories with databases.
    pub(crate) data_dirs: Vec<PathBuf>,
    /// Where databases are among these.
    pub(crate) places: Places,
    /// The database server of which new databases are.
    pub(crate) engine: Engine,
    /// Database servers of other versions: their programs.
    pub(crate) servers: BTreeMap<Series, PathBuf>,
    /// Time zone of timetables.
    pub(crate) time_zone: Zone,
    /// Started servers for new databases.
    pub(crate) warm_pool: WarmPool,
    /// Answers in place of sleeping databases.
    pub(crate) asleep: Asleep,
    /// Settings of a new database.
    pub(crate) defaults: Defaults,
    /// Backends of a database.
    pub(crate) pool: Pool,
    /// Limits against overload and abuse.
    pub(crate) limits: Limits,
    /// Addresses that may connect.
    pub(crate) access: Access,
    /// Balancers that tell their clients' addresses.
    pub(crate) proxy_protocol: ProxyProtocol,
    /// Prices of use.
    pub(crate) prices: Prices,
    /// Steps near the spend limit.
    pub(crate) spend: Spend,
    /// Copies of databases.
    pub(crate) snapshot: Snapshot,
    /// Backups.
    pub(crate) backup: Backup,
    /// Archiving of histories.
    pub(crate) history: History,
    /// Encryption at rest.
    pub(crate) encryption: Encryption,
    /// Control groups.
    pub(crate) cgroup: Cgroup,
    /// What servers may do on the machine.
    pub(crate) sandbox: Sandbox,
}

/// `[snapshot]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Snapshot {
    /// How long a server may stand still while its files are copied.
    pub(crate) frozen_at_most: Span,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self {
            frozen_at_most: Span(Duration::from_secs(1)),
        }
    }
}

/// `[tls]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificate chain, PEM; `None`: one is generated.
    pub(crate) cert: Option<PathBuf>,
    /// Private key of the certificate, PEM.
    pub(crate) key: Option<PathBuf>,
    /// Whether clients on TCP must use TLS.
    pub(crate) require: bool,
    /// The oldest version of TLS that is accepted.
    pub(crate) min_version: MinVersion,
    /// Certificates of those who sign for clients, PEM: a certificate that a client shows must be signed by one of
    /// them.
    pub(crate) client_ca: Option<PathBuf>,
    /// Whether each client on TCP must show a certificate.
    pub(crate) client_certificates: ClientCertificates,
}

/// Whether clients on TCP must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientCertificates {
    /// They may.
    #[default]
    Optional,
    /// They must.
    Required,
}

/// The oldest version of TLS that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum MinVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// `[proxy_protocol]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProxyProtocol {
    /// Their addresses.
    pub(crate) trusted: Networks,
}

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Api {
    /// TCP address of the API, over TLS only.
    pub(crate) listen: Listen,
    /// Concurrent connections.
    pub(crate) connections: usize,
    /// Concurrent connections from one IP address.
    pub(crate) connections_per_address: u32,
    /// Invalid tokens from one IP address, per minute.
    pub(crate) failed_tokens_per_minute: u32,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: Listen::Off,
            connections: 128,
            connections_per_address: 32,
            failed_tokens_per_minute: 20,
        }
    }
}

/// `[engine]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Engine {
    /// The server program; `None`: searched in the usual places.
    pub(crate) mariadbd: Option<PathBuf>,
    /// The program that creates a data directory; `None`: searched beside the server.
    pub(crate) install_db: Option<PathBuf>,
    /// The server's `--basedir`; `None`: its built-in default.
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
    /// Number of started servers.
    pub(crate) size: usize,
}

/// `[asleep]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Asleep {
    /// Number of servers that answer in place of those of sleeping databases.
    pub(crate) understudies: usize,
}

/// `[defaults]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Defaults {
    /// Suspend after this long without a statement.
    pub(crate) idle_suspend: Delay,
    /// Park after this long without a statement.
    pub(crate) idle_park: Delay,
    /// Minimum and maximum compute units.
    pub(crate) units: UnitRange,
    /// Whether sessions share backends.
    pub(crate) pooling: Pooling,
    /// Which state of sessions a park carries to the next server.
    pub(crate) carry: Carry,
    /// Hours in which it is kept awake.
    pub(crate) keep_awake: Timetable,
    /// Whether it is woken before its usual hours.
    pub(crate) prewake: bool,
    /// Whether it keeps its history.
    pub(crate) history: bool,
    /// Maximum disk space of its files.
    pub(crate) storage_quota: Cap<Bytes>,
    /// Maximum cost in a calendar month.
    pub(crate) spend_limit: Cap<Money>,
    /// When backups are made.
    pub(crate) backup: Cron,
    /// Which backups are kept.
    pub(crate) backup_keep: Keep,
}

/// `[pool]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Pool {
    /// Maximum connections to one database's server.
    pub(crate) backends_max: u32,
    /// Number of unused connections that stay open.
    pub(crate) backends_min: u32,
    /// How long a statement waits for a connection in use before another is opened.
    pub(crate) open_after: Delay,
    /// Maximum wait of a statement for a connection.
    pub(crate) lease_timeout: Span,
    /// Idle time after which a connection is closed.
    pub(crate) backend_idle: Span,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// Number of databases.
    pub(crate) databases: usize,
    /// Client connections, all together.
    pub(crate) connections: u32,
    /// Client connections to one database.
    pub(crate) connections_per_database: u32,
    /// Client connections from one IP address.
    pub(crate) connections_per_address: u32,
    /// Connections that have not logged in yet.
    pub(crate) handshakes: u32,
    /// Time limit from connecting to the end of the login.
    pub(crate) handshake_timeout: Span,
    /// Failed logins from one IP address, per minute.
    pub(crate) failed_logins_per_minute: u32,
    /// Failed logins at one database, per minute, from which on clients that failed recently are refused.
    pub(crate) failed_logins_per_minute_per_database: u32,
    /// Starts of one database's server, per minute.
    pub(crate) wakes_per_minute: u32,
    /// Starts of servers caused by clients of one IP address, per minute.
    pub(crate) wakes_per_minute_per_address: u32,
    /// Users and schemas that logins make in one database, per minute.
    pub(crate) on_demand_per_minute: u32,
    /// Users, and schemas, of a database from which on logins make none.
    pub(crate) on_demand_in_all: u32,
    /// Statements held for one database while it wakes.
    pub(crate) held_statements: u32,
    /// Maximum time for which a statement is held.
    pub(crate) hold_timeout: Span,
    /// How long a client may pause in the middle of a packet.
    pub(crate) read_timeout: Span,
    /// How long a client may not read its reply.
    pub(crate) write_timeout: Span,
    /// How long a session may be idle.
    pub(crate) wait_timeout: Span,
    /// How long a session of an interactive client may be idle.
    pub(crate) interactive_timeout: Span,
    /// How long a session with an open transaction may be idle.
    pub(crate) idle_transaction_timeout: Delay,
    /// Free disk space below which every database is read-only.
    pub(crate) disk_reserve: Size,
}

/// `[cgroup]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cgroup {
    /// Whether control groups are used.
    pub(crate) mode: CgroupMode,
}

/// `[sandbox]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sandbox {
    /// Which layers servers get.
    pub(crate) mode: SandboxMode,
}

/// Which layers of the sandbox servers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SandboxMode {
    /// Those that the machine has.
    #[default]
    Auto,
    /// All; `dormouse up` is refused if one is missing.
    Require,
    /// Only the user and the limits.
    Off,
}

/// `[spend]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Spend {
    /// Percentages of the limit at which a warning is written to the ledger.
    pub(crate) warn: Vec<u8>,
    /// Percentage from which the database has no more than the baseline.
    pub(crate) slow: Share,
    /// Percentage from which it is read-only.
    pub(crate) read_only: Share,
    /// Percentage from which it is parked.
    pub(crate) asleep: Share,
    /// Free compute units from `slow` on.
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
    /// The same as a type of the plane.
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
    /// If the machine allows it.
    #[default]
    Auto,
    /// Never.
    Off,
}

impl Default for WarmPool {
    fn default() -> Self {
        Self { size: 2 }
    }
}

impl Default for Asleep {
    fn default() -> Self {
        Self { understudies: 1 }
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
            carry: Carry::default(),
            keep_awake: Timetable::default(),
            prewake: false,
            history: false,
            storage_quota: Cap(None),
            spend_limit: Cap(None),
            backup: Cron::daily(3),
            backup_keep: Keep::default(),
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
            connections: 50_000,
            connections_per_database: 10_000,
            connections_per_address: 10_000,
            handshakes: 10_000,
            handshake_timeout: Span(Duration::from_secs(10)),
            failed_logins_per_minute: 100,
            failed_logins_per_minute_per_database: 1000,
            wakes_per_minute: 600,
            wakes_per_minute_per_address: 3000,
            on_demand_per_minute: 60,
            on_demand_in_all: 1000,
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
    /// The configuration of `dormouse up`: the command line and the environment (merged by clap)
    /// override the file, which overrides the defaults.
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

    /// Reads the file.
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

    /// Checks conditions that concern more than one key.
    fn check(&self) -> Outcome {
        let invalid = |message: &str, hint: &str| {
            Err(
                ErrorBody::new("invalid", format!("in the configuration: {message}"))
                    .with_hint(hint),
            )
        };
        if self.tls.cert.is_some() != self.tls.key.is_some() {
            return invalid(
                "only one of tls.cert and tls.key is set",
                "set both, or neither",
            );
        }
        let limits = Duration::from_millis(10)..=Duration::from_secs(60);
        if !limits.contains(&self.snapshot.frozen_at_most.0) {
            return invalid(
                "snapshot.frozen_at_most is not between 10ms and 60s",
                "1s is the default",
            );
        }
        if let Err((message, hint)) = places::check(None, &self.data_dirs) {
            return invalid(&message, &hint);
        }
        if let Err((message, hint)) = self.encryption.check() {
            return invalid(message, hint);
        }
        if let Err((message, hint)) = self.backup.check() {
            return invalid(&message, &hint);
        }
        if self.tls.client_certificates == ClientCertificates::Required {
            if self.tls.client_ca.is_none() {
                return invalid(
                    "tls.client_certificates is \"required\", but tls.client_ca is not set",
                    "set tls.client_ca to a file with the certificates of those who sign for clients",
                );
            }
            if !self.tls.require {
                return invalid(
                    "tls.client_certificates is \"required\", but clients may connect without TLS",
                    "set tls.require = true, so that each client on TCP must show its certificate",
                );
            }
        }
        let limits = &self.limits;
        let counts = [
            limits.connections,
            limits.connections_per_database,
            limits.connections_per_address,
            limits.handshakes,
            limits.failed_logins_per_minute,
            limits.failed_logins_per_minute_per_database,
            limits.wakes_per_minute,
            limits.wakes_per_minute_per_address,
            limits.on_demand_per_minute,
            limits.on_demand_in_all,
            limits.held_statements,
            self.api.connections_per_address,
            self.api.failed_tokens_per_minute,
        ];
        if counts.contains(&0) || self.api.connections == 0 {
            return invalid("a limit is 0", "use 1 or more");
        }
        if self.warm_pool.size > WARM_MOST {
            return invalid(
                &format!("[warm_pool] size is more than {WARM_MOST}"),
                "use a smaller number; each server takes memory, and 2 are enough for most machines",
            );
        }
        if self.asleep.understudies > UNDERSTUDIES_MOST {
            return invalid(
                &format!("[asleep] understudies is more than {UNDERSTUDIES_MOST}"),
                "use a smaller number; each server takes memory, and 1 is enough for most machines",
            );
        }
        if let Err(error) = self.spend.ladder().check() {
            return invalid(
                &format!("[spend]: {error}"),
                "docs/dormouse.example.toml explains the keys",
            );
        }
        if self
            .domain
            .as_deref()
            .is_some_and(|domain| !is_domain(domain))
        {
            return invalid(
                "domain is not a domain name",
                "write it without a leading dot or '*', as in db.example.org",
            );
        }
        Ok(())
    }
}

/// Whether the text is DNS labels separated by dots.
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
