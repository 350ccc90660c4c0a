//! A plane on a test double of the machine, and the API on top of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_api::model::Listening;
use dormouse_api::{About, Client, Context, Server, TlsLimits, TlsServer};
use dormouse_control::servers::Server as At;
use dormouse_control::{
    Doors, Origin, Plane, PlaneConfig, PoolHits, ServerError, Servers, Snapshot, Spec,
};
use dormouse_driver::{
    Copied, CopyOptions, Desired, Driver, Error, Fill, Observed, Place, Quiesce, Run,
};
use dormouse_types::{
    Access, Account, Activity, Bytes, Carried, Carry, DatabaseName, Delay, Ended, Endpoint,
    Incarnation, InstanceId, PoolStatus, Pooling, SessionStatus, Target, Veto,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) struct World {
    dir: TempDir,
    plane: Plane,
    api: Vec<JoinHandle<()>>,
    stopping: watch::Sender<bool>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// Invalid tokens per minute, and connections over TLS, of one address.
    pub(crate) const FAILED_TOKENS: u32 = 40;
    pub(crate) const PER_ADDRESS: u32 = 4;

    /// A world whose API serves over TLS too.
    pub(crate) async fn start_with_tls() -> (Self, Tls) {
        let mut tls = Tls::generate();
        let limits = TlsLimits {
            connections: 16,
            connections_per_address: Self::PER_ADDRESS,
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let server = TlsServer::bind(any, tls.server(), limits).await.unwrap();
        tls.address = server.address().unwrap();
        let world = Self::start_both(tempfile::tempdir().unwrap(), Some(server)).await;
        (world, tls)
    }

    pub(crate) async fn start_in(dir: TempDir) -> Self {
        Self::start_both(dir, None).await
    }

    async fn start_both(dir: TempDir, over_tls: Option<TlsServer>) -> Self {
        // no database sleeps by itself
        let defaults = Spec {
            idle_suspend: Delay::Never,
            idle_park: Delay::Never,
            pooling: Pooling::default(),
            carry: Carry::default(),
            ..Spec::default()
        };
        let config = PlaneConfig {
            warm_pool: 0,
            understudies: 0,
            defaults: defaults.clone(),
            ..PlaneConfig::new(dir.path())
        };
        let driver = Arc::new(Machine::default());
        let plane = Plane::start(config, driver, Arc::new(Answers), Arc::new(Quiet))
            .await
            .unwrap();
        let api = dir.path().join("api.sock");
        let listen = Listening {
            tcp: Some("0.0.0.0:3306".parse().unwrap()),
            socket: dir.path().join("dormouse.sock"),
        };
        let about = About {
            version: "test".to_owned(),
            data_dir: dir.path().to_owned(),
            api: api.clone(),
            api_listen: None,
            engine: "none".to_owned(),
            capabilities: "none".to_owned(),
        };
        let (stopping, told) = watch::channel(false);
        let context = Context::new(plane.clone(), defaults, listen, about, told)
            .with_failed_tokens(Self::FAILED_TOKENS);
        let context = Arc::new(context);
        let server = Server::bind(&api).unwrap();
        let mut api = vec![tokio::spawn(server.serve(Arc::clone(&context)))];
        api.extend(over_tls.map(|server| tokio::spawn(server.serve(context))));
        Self {
            dir,
            plane,
            api,
            stopping,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.socket())
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.stopping.send_replace(true);
        for api in self.api {
            api.await.unwrap();
        }
        self.plane.stop().await;
        self.dir
    }
}

/// A certificate for `localhost`, and the address of the server that has it.
pub(crate) struct Tls {
    dir: TempDir,
    key: rcgen::KeyPair,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) address: SocketAddr,
}

impl Tls {
    pub(crate) fn generate() -> Self {
        let names = vec!["localhost".to_owned()];
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), cert.pem()).unwrap();
        Self {
            dir,
            key: signing_key,
            certificate: cert.der().clone(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }

    /// The certificate's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub(crate) fn client(&self) -> Client {
        Client::over_tls(&self.url(), Some(&self.file())).unwrap()
    }

    fn server(&self) -> Arc<rustls::ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .unwrap();
        Arc::new(config)
    }
}

/// Test double of the driver: instances are entries of a table.
#[derive(Default)]
struct Machine {
    instances: Mutex<HashMap<InstanceId, Run>>,
}

impl Machine {
    fn observed(id: InstanceId, run: Run) -> Observed {
        let runs = run != Run::Stopped;
        Observed {
            run,
            incarnation: runs.then_some(Incarnation(u128::from(1000 + id.0))),
            endpoint: runs.then(|| Endpoint::unix(Path::new("/nowhere").join(id.to_string()))),
            memory: None,
            cpu: None,
            strain: None,
        }
    }
}

#[async_trait]
impl Driver for Machine {
    async fn provision(&self, id: InstanceId, _: &Place) -> Result<(), Error> {
        self.instances
            .lock()
            .unwrap()
            .entry(id)
            .or_insert(Run::Stopped);
        Ok(())
    }

    async fn copy(
        &self,
        from: InstanceId,
        to: InstanceId,
        _: &Place,
        _: CopyOptions,
        _: Arc<dyn Quiesce>,
    ) -> Result<Copied, Error> {
        let mut all = self.instances.lock().unwrap();
        all.get(&from).ok_or(Error::Unknown(from))?;
        all.insert(to, Run::Stopped);
        Ok(Copied {
            size: Bytes::mib(1),
            frozen: Duration::from_millis(7),
            shared: true,
        })
    }

    async fn receive(&self, id: InstanceId, place: &Place, _: Fill) -> Result<(), Error> {
        self.provision(id, place).await
    }

    async fn apply(&self, id: InstanceId, desired: Desired) -> Result<Observed, Error> {
        let mut all = self.instances.lock().unwrap();
        *all.get_mut(&id).ok_or(Error::Unknown(id))? = desired.run;
        Ok(Self::observed(id, desired.run))
    }

    async fn maintain(&self, _: InstanceId, _: Option<&str>) -> Result<(), Error> {
        Ok(())
    }

    async fn observe(&self, id: InstanceId) -> Result<Observed, Error> {
        let all = self.instances.lock().unwrap();
        all.get(&id)
            .map(|run| Self::observed(id, *run))
            .ok_or(Error::Unknown(id))
    }

    async fn list(&self) -> Result<Vec<InstanceId>, Error> {
        Ok(self.instances.lock().unwrap().keys().copied().collect())
    }

    async fn ended(&self, id: InstanceId, _: Incarnation) {
        let running = self
            .instances
            .lock()
            .unwrap()
            .get(&id)
            .is_some_and(|r| *r != Run::Stopped);
        if running {
            std::future::pending::<()>().await;
        }
    }

    async fn storage(&self, id: InstanceId) -> Result<Bytes, Error> {
        let known = self.instances.lock().unwrap().contains_key(&id);
        known.then_some(Bytes::mib(24)).ok_or(Error::Unknown(id))
    }

    async fn remove(&self, id: InstanceId) -> Result<(), Error> {
        self.instances.lock().unwrap().remove(&id);
        Ok(())
    }

    fn pid(&self, incarnation: Incarnation) -> Option<u32> {
        u32::try_from(incarnation.0).ok()
    }
}

/// Test double of the servers: every request succeeds.
struct Answers;

#[async_trait]
impl Servers for Answers {
    fn version(&self) -> String {
        "none".to_owned()
    }
    fn repair_sql(&self) -> String {
        String::new()
    }
    async fn harden(&self, _: &At) -> Result<Vec<String>, ServerError> {
        Ok(Vec::new())
    }
    async fn secure_owner(&self, _: &At, _: [u8; 20]) -> Result<(), ServerError> {
        Ok(())
    }
    async fn change_user(
        &self,
        _: &At,
        _: &dormouse_types::UserChange,
    ) -> Result<bool, ServerError> {
        Ok(true)
    }
    async fn accounts(&self, _: &At, _: &str) -> Result<Vec<Account>, ServerError> {
        Ok(Vec::new())
    }
    async fn take_over(&self, _: &At, _: &Origin) -> Result<(), ServerError> {
        Ok(())
    }

    async fn quiesce(&self, _: &At) -> Result<Box<dyn Send>, ServerError> {
        Ok(Box::new(()))
    }

    async fn check(&self, _: &At) -> Result<Vec<String>, ServerError> {
        Ok(Vec::new())
    }

    async fn enroll(&self, _: &At, _: &str, _: &str) -> Result<bool, ServerError> {
        Ok(true)
    }
    async fn make_understudy(&self, _: &At) -> Result<(), ServerError> {
        Ok(())
    }
    async fn enroll_on_understudy(&self, _: &At, _: &str, _: &str) -> Result<(), ServerError> {
        Ok(())
    }
    async fn empty_understudy(&self, _: &At) -> Result<(), ServerError> {
        Ok(())
    }
    async fn manage(
        &self,
        _: &At,
        _: &dormouse_tenant::Caller,
        _: &dormouse_tenant::Statement,
    ) -> Result<dormouse_tenant::Outcome, ServerError> {
        Ok(dormouse_tenant::Outcome::NotAManager)
    }
    async fn variables(&self, _: &At) -> Result<dormouse_types::Variables, ServerError> {
        Ok(String::new().into())
    }
    async fn hides_changes(&self, _: &At) -> Result<bool, ServerError> {
        Ok(false)
    }
    async fn end(&self, _: &At, _: u32, _: Ended) -> Result<(), ServerError> {
        Ok(())
    }
    async fn snapshot(&self, _: &At) -> Result<Snapshot, ServerError> {
        Ok(Snapshot::default())
    }
    async fn memory_tables(&self, _: &At, _: Duration) -> Result<Option<Vec<String>>, ServerError> {
        Ok(Some(Vec::new()))
    }
    async fn apply_globals(
        &self,
        _: &At,
        _: &[(String, String)],
    ) -> Result<Vec<String>, ServerError> {
        Ok(Vec::new())
    }
    async fn shrink(&self, _: &At, _: Bytes) -> Result<(), ServerError> {
        Ok(())
    }
    async fn grow(&self, _: &At, _: Bytes) -> Result<(), ServerError> {
        Ok(())
    }
    async fn hydrate(&self, _: &At) -> Result<Bytes, ServerError> {
        Ok(Bytes(0))
    }
    async fn hits(&self, _: &At) -> Result<PoolHits, ServerError> {
        Ok(PoolHits::default())
    }
    async fn encrypt(&self, _: &At) -> Result<Option<dormouse_control::Converted>, ServerError> {
        Ok(None)
    }
    async fn encryption(
        &self,
        _: &At,
    ) -> Result<(dormouse_control::Progress, Vec<String>), ServerError> {
        let progress = dormouse_control::Progress {
            done: 0,
            all: 0,
            version: 0,
        };
        Ok((progress, Vec::new()))
    }
    async fn forget(&self, _: InstanceId) {}
}

/// Test double of the data path: no sessions.
struct Quiet;

#[async_trait]
impl Doors for Quiet {
    fn end_running(&self, _: &DatabaseName) {}

    fn set_access(&self, _: &DatabaseName, _: &Access) {}

    fn reserve(&self, _: &DatabaseName, _: Option<&str>) {}

    fn add(&self, _: &DatabaseName) {}
    fn remove(&self, _: &DatabaseName) {}
    fn open(&self, _: &DatabaseName, _: Target) {}
    fn shut(&self, _: &DatabaseName, _: bool) -> bool {
        true
    }
    async fn drain(&self, _database: &DatabaseName, _deadline: Duration) -> bool {
        true
    }
    fn refuse(&self, _: &DatabaseName, _: &str) {}
    fn activity(&self, _: &DatabaseName) -> Activity {
        Activity::default()
    }
    fn carried(&self, _: &DatabaseName) -> Carried {
        Carried::default()
    }

    fn restrict(&self, _: &DatabaseName, _: Option<&str>) {}

    fn pool(&self, _: &DatabaseName) -> PoolStatus {
        PoolStatus::default()
    }
    fn sessions(&self, _: &DatabaseName) -> Vec<SessionStatus> {
        Vec::new()
    }
    async fn capture(&self, _: &DatabaseName, _: Duration) -> Vec<Veto> {
        Vec::new()
    }
    async fn release(&self, _: &DatabaseName) {}
}
