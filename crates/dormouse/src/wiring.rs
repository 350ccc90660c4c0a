//! Creates the data path from the configuration, and connects it with the plane.
//!
//! Each of the two uses the other through a trait of its own. The data path is created first, since
//! the plane opens the doors of awake databases as soon as it has adopted them. It gets the plane
//! before it accepts its first client.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_api::ErrorBody;
use dormouse_api::model::Listening;
use dormouse_control::{Doors, Plane};
use dormouse_engine::Secret;
use dormouse_engine::attach;
use dormouse_engine::tls::Authority;
use dormouse_link::ClientCertificate;
use dormouse_proxy::{ControlError, Listeners, Proxy, ProxyConfig, StartError};
use dormouse_tenant::{Caller, Outcome as Managed, Statement};
use dormouse_types::{
    Access, Account, Activity, Carried, CertificateNames, DatabaseName, Delay, Ended, InstanceId,
    OnDemand, PoolStatus, Reads, Replica, RunAgain, SessionStatus, Target, Trace, UserOnDemand,
    Variables, Veto, WokenBy,
};

use crate::Outcome;
use crate::config::{self, Config};

/// How long a park waits for sessions to release their backends.
const RELEASE: Duration = Duration::from_secs(5);

/// Parameters of the data path.
pub(crate) struct Settings<'a> {
    pub(crate) config: &'a Config,
    /// The Unix socket for clients, absolute.
    pub(crate) socket: PathBuf,
    /// TLS for clients.
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// Secret from which the credentials on the servers are derived.
    pub(crate) secret: Secret,
    /// Version string in a server's greeting.
    pub(crate) greeting: String,
}

/// The data path: bound; accepts clients after [`DataPath::start`].
pub(crate) struct DataPath {
    proxy: Arc<Proxy>,
    listeners: Option<Listeners>,
    control: Arc<Control>,
    listening: Listening,
}

impl DataPath {
    /// Binds the addresses; clients wait in the listen queue until [`DataPath::start`].
    pub(crate) async fn bind(settings: Settings<'_>) -> Outcome<Self> {
        let config = proxy_config(&settings);
        let control = Arc::new(Control {
            plane: OnceLock::new(),
            secret: settings.secret,
            greeting: settings.greeting,
        });
        let plane: Arc<dyn dormouse_proxy::ControlPath> = control.clone();
        let start = || Proxy::start(config.clone(), Arc::clone(&plane));
        let (proxy, listeners) = crate::port::patiently(start).await.map_err(cannot_start)?;
        let listening = Listening {
            tcp: proxy.address(),
            socket: settings.socket,
        };
        Ok(Self {
            proxy,
            listeners: Some(listeners),
            control,
            listening,
        })
    }

    /// Addresses of the listeners.
    pub(crate) fn listening(&self) -> &Listening {
        &self.listening
    }

    /// The doors, for the plane.
    pub(crate) fn doors(&self) -> Arc<dyn Doors> {
        Arc::new(Steering(Arc::clone(&self.proxy)))
    }

    /// Begins to accept clients.
    pub(crate) fn start(&mut self, plane: Plane) {
        let _ = self.control.plane.set(plane);
        if let Some(listeners) = self.listeners.take() {
            self.proxy.accept(listeners);
        }
    }

    /// Applies what can change while clients are connected.
    pub(crate) fn apply(&self, config: &Config, tls: Arc<rustls::ServerConfig>) {
        self.proxy.set_tls(for_clients(&config.tls, &tls));
        self.proxy.set_access_of_all(config.access.clone());
    }

    /// Stops accepting clients, closes each session at the end of its statement, and closes the
    /// remaining ones after `grace`.
    pub(crate) async fn stop(self, grace: Duration) {
        self.proxy.stop(grace).await;
        let _ = std::fs::remove_file(&self.listening.socket);
    }
}

fn for_clients(tls: &config::Tls, loaded: &Arc<rustls::ServerConfig>) -> dormouse_proxy::Tls {
    dormouse_proxy::Tls {
        config: Arc::clone(loaded),
        require: tls.require,
    }
}

fn proxy_config(settings: &Settings<'_>) -> ProxyConfig {
    let Config {
        listen,
        domain,
        never_wakes,
        tls,
        limits,
        pool,
        engine,
        access,
        proxy_protocol,
        ..
    } = settings.config;
    ProxyConfig {
        listen: listen.address(),
        socket: Some(settings.socket.clone()),
        workers: workers(),
        tls: Some(for_clients(tls, &settings.tls)),
        domain: domain.clone(),
        never_wakes: never_wakes.clone(),
        access: access.clone(),
        trusted_proxies: proxy_protocol.trusted.clone(),
        servers_on_sockets: engine.transport == config::Transport::Unix,
        limits: dormouse_proxy::Limits {
            connections: limits.connections,
            connections_per_database: limits.connections_per_database,
            connections_per_address: limits.connections_per_address,
            handshakes: limits.handshakes,
            failed_logins_per_minute: limits.failed_logins_per_minute,
            failed_logins_per_minute_per_database: limits.failed_logins_per_minute_per_database,
            wakes_per_minute: limits.wakes_per_minute,
            wakes_per_minute_per_address: limits.wakes_per_minute_per_address,
            handshake_timeout: limits.handshake_timeout.0,
            on_demand_per_minute: limits.on_demand_per_minute,
            on_demand_in_all: limits.on_demand_in_all,
            held_statements: limits.held_statements as usize,
            hold_timeout: limits.hold_timeout.0,
            read_timeout: limits.read_timeout.0,
            write_timeout: limits.write_timeout.0,
            wait_timeout: limits.wait_timeout.0,
            interactive_timeout: limits.interactive_timeout.0,
            idle_transaction_timeout: match limits.idle_transaction_timeout {
                Delay::After(time) => Some(time),
                Delay::Never => None,
            },
        },
        pool: dormouse_proxy::PoolLimits {
            backends_max: pool.backends_max,
            backends_min: pool.backends_min,
            open_after: match pool.open_after {
                Delay::After(time) => time,
                Delay::Never => Duration::MAX,
            },
            lease_timeout: pool.lease_timeout.0,
            backend_idle: pool.backend_idle.0,
        },
    }
}

/// Half of the cores; servers and clients need the others. With a worker on each core, a statement
/// takes more context switches and the throughput does not grow (docs/performance.md).
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

fn cannot_start(error: StartError) -> ErrorBody {
    match error {
        StartError::Tcp { address, source } => crate::port::cannot_listen(address, &source),
        StartError::Unix { path, source } => {
            let message = format!("cannot listen on {}: {source}", path.display());
            let hint = match source.kind() {
                io::ErrorKind::NotFound => {
                    "its directory does not exist; create it, or choose another path"
                }
                io::ErrorKind::PermissionDenied => {
                    "choose a path in a writable directory with --socket"
                }
                _ => "another program may be listening there; choose another path with --socket",
            };
            ErrorBody::new("machine", message).with_hint(hint)
        }
        StartError::Worker(_) => ErrorBody::new("machine", error.to_string()),
    }
}

/// Implements the data path's trait with the plane.
struct Control {
    plane: OnceLock<Plane>,
    secret: Secret,
    greeting: String,
}

impl Control {
    fn plane(&self) -> Result<&Plane, ControlError> {
        self.plane
            .get()
            .ok_or_else(|| ControlError("Dormouse is still starting".to_owned()))
    }
}

#[async_trait]
impl dormouse_proxy::ControlPath for Control {
    fn greeting_version(&self) -> String {
        self.greeting.clone()
    }

    fn demand(&self, database: &DatabaseName, user: &str, by: &dyn Fn() -> WokenBy) {
        if let Ok(plane) = self.plane() {
            plane.demand(database, user, by);
        }
    }

    fn last_failure(&self, database: &DatabaseName) -> Option<String> {
        self.plane().ok()?.last_failure(database)
    }

    async fn accounts(
        &self,
        database: &DatabaseName,
        user: &str,
        address: &str,
        patience: Duration,
    ) -> Result<Vec<Account>, ControlError> {
        let plane = self.plane()?;
        let accounts = plane.accounts(database, user, address, patience).await;
        accounts.map_err(|error| ControlError(error.to_string()))
    }

    fn has_schema(&self, database: &DatabaseName, schema: &[u8]) -> Option<bool> {
        let schema = std::str::from_utf8(schema).ok()?;
        self.plane().ok()?.has_schema(database, schema)
    }

    fn variables(&self, database: &DatabaseName) -> Option<Variables> {
        self.plane().ok()?.variables(database)
    }

    fn set_globals(&self, database: &DatabaseName) -> Option<Vec<(String, String)>> {
        self.plane().ok()?.understudies().set_globals(database)
    }

    fn understudy(&self, database: &DatabaseName) -> Option<Arc<Target>> {
        self.plane().ok()?.understudies().of(database)
    }

    async fn enroll_on_understudy(
        &self,
        target: &Target,
        user: &str,
        host: &str,
    ) -> Result<(), ControlError> {
        let understudies = self.plane()?.understudies();
        let enrolled = understudies.enroll(target, user, host).await;
        enrolled.map_err(|error| ControlError(error.to_string()))
    }

    async fn present_variables(&self, database: &DatabaseName) -> Option<Variables> {
        self.plane().ok()?.present_variables(database).await
    }

    async fn hides_changes(&self, database: &DatabaseName) -> Option<bool> {
        self.plane().ok()?.hides_changes(database).await
    }

    async fn enroll(
        &self,
        database: &DatabaseName,
        user: &str,
        host: &str,
    ) -> Result<bool, ControlError> {
        let enrolled = self.plane()?.enroll(database, user, host).await;
        enrolled.map_err(|error| ControlError(error.to_string()))
    }

    async fn manage(
        &self,
        database: &DatabaseName,
        target: &Target,
        caller: Caller,
        statement: Statement,
    ) -> Result<Managed, ControlError> {
        let plane = self.plane()?;
        let run = plane.manage(database, target.generation, caller, statement);
        run.await.map_err(|error| ControlError(error.to_string()))
    }

    fn on_demand(&self, database: &DatabaseName) -> OnDemand {
        let plane = self.plane().ok();
        plane.map_or_else(OnDemand::default, |plane| plane.on_demand(database))
    }

    async fn make_user(
        &self,
        database: &DatabaseName,
        target: &Target,
        order: UserOnDemand,
    ) -> Result<(), ControlError> {
        let made = self.plane()?.make_user(database, target.generation, order);
        made.await.map_err(|error| ControlError(error.to_string()))
    }

    async fn may_make_schema(
        &self,
        database: &DatabaseName,
        most: u32,
    ) -> Result<(), ControlError> {
        let may = self.plane()?.may_make_schema(database, most).await;
        may.map_err(|error| ControlError(error.to_string()))
    }

    async fn made_schema(&self, database: &DatabaseName, user: &str, schema: &str) {
        if let Ok(plane) = self.plane() {
            plane.made_schema(database, user, schema).await;
        }
    }

    async fn end_statement(
        &self,
        database: &DatabaseName,
        target: &Target,
        thread: u32,
        what: Ended,
    ) {
        if let Ok(plane) = self.plane() {
            let generation = target.generation;
            plane
                .statements()
                .end_statement(database, generation, thread, what)
                .await;
        }
    }

    async fn committed(
        &self,
        database: &DatabaseName,
        target: &Target,
        trace: Trace,
        sent: Duration,
    ) -> Result<bool, ControlError> {
        let plane = self.plane()?;
        let server = (target.instance, target.generation);
        let asked = plane
            .statements()
            .committed(database, server, trace, sent)
            .await;
        asked.map_err(|error| ControlError(error.to_string()))
    }

    async fn run_again(
        &self,
        database: &DatabaseName,
        ran_on: u64,
    ) -> Result<RunAgain, ControlError> {
        let asked = self.plane()?.statements().run_again(database, ran_on).await;
        asked.map_err(|error| ControlError(error.to_string()))
    }

    fn credential(&self, instance: InstanceId, user: &str, host: &str) -> [u8; 20] {
        self.secret.account_stage1(instance, user, host)
    }

    fn attach(&self, instance: InstanceId, from: u32, to: u32) -> String {
        let key = attach::key(&self.secret, instance);
        attach::statement(&key, from, to)
    }

    fn client_certificate(
        &self,
        instance: InstanceId,
        names: &CertificateNames,
    ) -> Result<ClientCertificate, ControlError> {
        let signed = Authority::new(&self.secret, instance).and_then(|one| one.sign(names));
        signed.map_err(|error| ControlError(error.to_string()))
    }
}

/// Implements the plane's trait with the data path.
struct Steering(Arc<Proxy>);

#[async_trait]
impl Doors for Steering {
    fn add(&self, database: &DatabaseName) {
        self.0.add(database);
    }

    fn remove(&self, database: &DatabaseName) {
        self.0.remove(database);
    }

    fn open(&self, database: &DatabaseName, target: Target) {
        self.0.open(database, target);
    }

    fn shut(&self, database: &DatabaseName, force: bool) -> bool {
        self.0.shut(database, force)
    }

    async fn drain(&self, database: &DatabaseName, deadline: Duration) -> bool {
        self.0.drain(database, deadline).await
    }

    async fn drain_transactions(&self, database: &DatabaseName, deadline: Duration) -> bool {
        self.0.drain_transactions(database, deadline).await
    }

    fn end_running(&self, database: &DatabaseName) {
        self.0.end_running(database);
    }

    fn refuse(&self, database: &DatabaseName, reason: &str) {
        self.0.refuse(database, reason);
    }

    fn activity(&self, database: &DatabaseName) -> Activity {
        self.0.activity(database)
    }

    fn carried(&self, database: &DatabaseName) -> Carried {
        self.0.carried(database)
    }

    fn restrict(&self, database: &DatabaseName, reason: Option<&str>) {
        self.0.restrict(database, reason);
    }

    fn reserve(&self, database: &DatabaseName, key: Option<&str>) {
        self.0.reserve(database, key);
    }

    fn set_replicas(&self, database: &DatabaseName, replicas: Vec<Replica>, reads: Reads) {
        self.0.set_replicas(database, replicas, reads);
    }

    fn reads_on(&self, database: &DatabaseName, replica: InstanceId) -> bool {
        self.0.reads_on(database, replica)
    }

    fn set_access(&self, database: &DatabaseName, access: &Access) {
        self.0.set_access(database, access.clone());
    }

    fn pool(&self, database: &DatabaseName) -> PoolStatus {
        self.0.pool(database)
    }

    fn sessions(&self, database: &DatabaseName) -> Vec<SessionStatus> {
        self.0.sessions(database)
    }

    async fn capture(&self, database: &DatabaseName, deadline: Duration) -> Vec<Veto> {
        self.0.capture(database, deadline).await
    }

    async fn release(&self, database: &DatabaseName) {
        self.0.release(database, RELEASE).await;
    }
}
