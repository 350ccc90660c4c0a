//! Configuration of the proxy.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_types::{Access, Networks};

/// Configuration of the data path.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// TCP address to listen on; port 0 takes a free one. `None` for no TCP.
    pub listen: Option<SocketAddr>,
    /// Unix socket to listen on. `None` for none.
    pub socket: Option<PathBuf>,
    /// Number of worker threads; a session stays on one of them.
    pub workers: usize,
    /// TLS for clients; `None` offers none.
    pub tls: Option<Tls>,
    /// Suffix of the host names by which SNI names a database: `DATABASE.<domain>`.
    pub domain: Option<String>,
    /// Clients that do not wake a database: user names, and `program:NAME` for clients whose connection
    /// attribute `program_name` is NAME.
    pub never_wakes: Vec<String>,
    /// Addresses that may connect.
    pub access: Access,
    /// Balancers whose connections begin with a header of the PROXY protocol.
    pub trusted_proxies: Networks,
    /// Whether servers that are started from now on are reached over their Unix sockets.
    pub servers_on_sockets: bool,
    /// Limits on clients.
    pub limits: Limits,
    /// How clients share backends.
    pub pool: PoolLimits,
}

/// How the sessions of a database share its backends.
#[derive(Debug, Clone)]
pub struct PoolLimits {
    /// The most backends of one database (`backends_max`).
    pub backends_max: u32,
    /// The number of idle backends that are kept open (`backends_min`).
    pub backends_min: u32,
    /// How long a session waits for a used backend before another one is opened, if `backends_max`
    /// allows it (`open_after`); zero opens at once.
    pub open_after: Duration,
    /// How long a statement waits for a backend altogether (`lease_timeout`).
    pub lease_timeout: Duration,
    /// Idle time after which a backend is closed (`backend_idle`).
    pub backend_idle: Duration,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self {
            backends_max: 100,
            backends_min: 1,
            open_after: Duration::ZERO,
            lease_timeout: Duration::from_secs(30),
            backend_idle: Duration::from_secs(60),
        }
    }
}

/// TLS for clients.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate, key and protocol versions.
    pub config: Arc<rustls::ServerConfig>,
    /// Whether clients on TCP must use it.
    pub require: bool,
}

/// Limits on clients. Each refusal names its limit.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Client connections, all together (`connections`).
    pub connections: u32,
    /// Client connections of one database (`connections_per_database`).
    pub connections_per_database: u32,
    /// Client connections from one address (`connections_per_address`).
    pub connections_per_address: u32,
    /// Connections that have not logged in yet, all together (`handshakes`).
    pub handshakes: u32,
    /// Failed logins from one address in a minute (`failed_logins_per_minute`).
    pub failed_logins_per_minute: u32,
    /// Failed logins at one database in a minute, after which clients that failed recently are refused
    /// (`failed_logins_per_minute_per_database`).
    pub failed_logins_per_minute_per_database: u32,
    /// Starts of one database's server in a minute (`wakes_per_minute`).
    pub wakes_per_minute: u32,
    /// Starts of servers caused by clients of one address in a minute (`wakes_per_minute_per_address`).
    pub wakes_per_minute_per_address: u32,
    /// Users and schemas that logins make in one database in a minute (`on_demand_per_minute`).
    pub on_demand_per_minute: u32,
    /// Users, and schemas, of a database from which on logins make none (`on_demand_in_all`).
    pub on_demand_in_all: u32,
    /// Timeout of a login, from the first byte on (`handshake_timeout`).
    pub handshake_timeout: Duration,
    /// Statements of one database that wait for its server (`held_statements`).
    pub held_statements: usize,
    /// How long a statement waits for its server (`hold_timeout`).
    pub hold_timeout: Duration,
    /// How long a client may pause in the middle of a packet (`read_timeout`).
    pub read_timeout: Duration,
    /// How long a client may leave its reply unread (`write_timeout`).
    pub write_timeout: Duration,
    /// How long a session may be idle, unless it sets its own limit; whole seconds (`wait_timeout`).
    pub wait_timeout: Duration,
    /// The same for interactive clients (`interactive_timeout`).
    pub interactive_timeout: Duration,
    /// How long a session may be idle in a transaction, in whole seconds; `None`: no separate limit
    /// (`idle_transaction_timeout`).
    pub idle_transaction_timeout: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 50_000,
            connections_per_database: 10_000,
            connections_per_address: 10_000,
            handshakes: 10_000,
            failed_logins_per_minute: 100,
            failed_logins_per_minute_per_database: 1000,
            wakes_per_minute: 600,
            wakes_per_minute_per_address: 3000,
            on_demand_per_minute: 60,
            on_demand_in_all: 1000,
            handshake_timeout: Duration::from_secs(10),
            held_statements: 10_000,
            hold_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            wait_timeout: Duration::from_secs(28_800),
            interactive_timeout: Duration::from_secs(28_800),
            idle_transaction_timeout: None,
        }
    }
}
