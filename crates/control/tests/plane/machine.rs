//! A simulated machine: instances, their processes, the state of their servers. It outlives the planes that
//! run on it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_control::{Origin, PoolHits, Server, ServerError, Servers, Snapshot};
use dormouse_driver::{
    Copied, CopyOptions, Desired, Driver, Error, Fill, Observed, Place, Quiesce, Run, Strain,
};
use dormouse_engine::buffer_pool;
use dormouse_types::{
    Account, Bytes, DatabaseName, Endpoint, Events, Incarnation, InstanceId, Transport, Units,
    Verifier,
};
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::watch;
use tokio::time::Instant;

mod servers;

/// A fault at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Dormouse is killed before the step has any effect.
    CrashBefore,
    /// Dormouse is killed after the step has had its effect.
    CrashAfter,
    /// The step fails, without effect.
    Fail,
    /// The server of the step dies.
    Die,
}

/// CPU time of a start, of a freeze with the steps before it, and of a stop.
pub const START_CPU: Duration = Duration::from_millis(140);
pub const FREEZE_CPU: Duration = Duration::from_millis(20);
pub const STOP_CPU: Duration = Duration::from_millis(15);

/// The buffer pool with which a server starts.
const START: Bytes = Bytes::mib(128);

#[derive(Debug, Clone)]
pub struct Instance {
    pub run: Run,
    pub process: Option<Incarnation>,
    pub owner: Option<[u8; 20]>,
    pub globals: Vec<(String, String)>,
    /// Accounts made on it as an understudy, in order.
    pub guests: Vec<String>,
    /// MEMORY tables that have rows.
    pub memory_tables: Vec<String>,
    /// The size of its server's buffer pool, and whether the hot pages are in it.
    pub pool: Bytes,
    pub hydrated: bool,
    /// The counters of its pool.
    pub hits: PoolHits,
    /// Size of its hot pages.
    pub hot: Bytes,
    /// Limits of its process.
    pub units: Units,
    /// CPU its statements would use, in thousandths of a core.
    pub demand: u32,
    /// Whether its next start is for maintenance, and whether its server was started so.
    pub maintenance: (bool, bool),
    /// Whether its accounts have this version's rights.
    pub hardened: bool,
    /// Whether its server refuses Dormouse's account.
    pub locks_out: bool,
    /// Whether its server has been frozen since it started.
    pub thawed: bool,
    /// Whether its server never frees memory.
    pub clings: bool,
    /// Number of out-of-memory kills of its process.
    starved: u64,
    /// The instance whose credentials its accounts have; `None`: its own.
    pub credentials_of: Option<InstanceId>,
    cpu: Duration,
    counted: Instant,
}

impl Instance {
    /// A copy of its files.
    fn copied(&self, id: InstanceId) -> Self {
        Self {
            run: Run::Stopped,
            process: None,
            globals: Vec::new(),
            guests: Vec::new(),
            memory_tables: Vec::new(),
            demand: 0,
            thawed: false,
            starved: 0,
            credentials_of: Some(id),
            cpu: Duration::ZERO,
            counted: Instant::now(),
            ..self.clone()
        }
    }

    /// Counts the CPU use of its process up to now.
    fn spend(&mut self) {
        let now = Instant::now();
        if self.run == Run::Running {
            let millicores = self.demand.min(self.units.millicores());
            self.cpu += (now - self.counted) * millicores / 1000;
        }
        self.counted = now;
    }
}

#[derive(Debug)]
pub struct Inner {
    pub instances: BTreeMap<InstanceId, Instance>,
    /// What the files of instances had when their directory was asked for.
    stored: Vec<Instance>,
    pub starts: u32,
    pub starting: u32,
    pub most_starting: u32,
    /// Violated invariants.
    pub violations: Vec<String>,
    /// Number of steps so far, and the fault at one of them.
    pub steps: u32,
    pub fault: Option<(u32, Fault)>,
    pub happened: Option<String>,
    /// If set, every start fails with this reason.
    pub broken: Option<String>,
    /// Number of further servers that are killed while they start.
    pub killed_starts: u32,
    pub shrink_takes: Duration,
    pub start_takes: Duration,
    /// Duration of the query for MEMORY tables.
    pub tables_take: Duration,
    pub extra_account: Option<String>,
    /// When the next event of every server is due.
    pub next_event: Option<jiff::Timestamp>,
    /// Disk space of each instance; `None`: it cannot be measured.
    pub storage: Option<Bytes>,
    /// Times of the measurements, in order.
    pub storage_asked: Vec<tokio::time::Instant>,
    /// Free space of the disk.
    pub disk_free: Bytes,
    /// CPU time of ended processes, by instance, since it became a database's.
    ended: BTreeMap<InstanceId, Duration>,
    next_pid: u32,
    /// The catalog of the current plane, whose contents are checked.
    pub catalog: Option<PathBuf>,
}

#[derive(Clone)]
pub struct Machine {
    inner: Arc<Mutex<Inner>>,
    /// Directories of instances, made when they are asked for.
    files: Arc<tempfile::TempDir>,
    changed: Arc<watch::Sender<u64>>,
    crashed: Arc<watch::Sender<bool>>,
}

impl Machine {
    pub fn new() -> Self {
        let inner = Inner {
            instances: BTreeMap::new(),
            stored: Vec::new(),
            starts: 0,
            starting: 0,
            most_starting: 0,
            violations: Vec::new(),
            steps: 0,
            fault: None,
            happened: None,
            broken: None,
            killed_starts: 0,
            catalog: None,
            shrink_takes: Duration::from_millis(20),
            start_takes: Duration::from_millis(93),
            tables_take: Duration::from_millis(1),
            extra_account: None,
            next_event: None,
            storage: Some(Bytes::mib(24)),
            storage_asked: Vec::new(),
            disk_free: Bytes::mib(10_000),
            ended: BTreeMap::new(),
            next_pid: 100,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            files: Arc::new(tempfile::tempdir().unwrap()),
            changed: Arc::new(watch::Sender::new(0)),
            crashed: Arc::new(watch::Sender::new(false)),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.lock());
        self.changed.send_modify(|n| *n += 1);
    }

    /// Kills a server's process, as `kill -9` does.
    pub fn kill(&self, id: InstanceId) {
        self.set(|m| m.kill(id));
    }

    /// Kills a server's process, as the kernel does when memory is short.
    pub fn starve(&self, id: InstanceId) {
        self.set(|m| {
            if let Some(instance) = m.instances.get_mut(&id) {
                instance.starved += 1;
            }
            m.kill(id);
        });
    }

    /// Completes when Dormouse is killed.
    pub async fn crash(&self) {
        let mut crashed = self.crashed.subscribe();
        crashed.wait_for(|c| *c).await.unwrap();
    }

    pub fn reborn(&self) {
        self.crashed.send_replace(false);
        self.lock().starting = 0;
    }

    pub fn run_of(&self, id: InstanceId) -> Option<Run> {
        self.lock().instances.get(&id).map(|i| i.run)
    }

    /// One step of the plane: with a fault it fails or never returns.
    async fn step<T>(
        &self,
        label: &str,
        id: InstanceId,
        effect: impl FnOnce(&mut Inner) -> T,
    ) -> Result<T, String> {
        let fault = {
            let mut m = self.lock();
            m.steps += 1;
            let fault = m
                .fault
                .filter(|(at, _)| *at == m.steps)
                .map(|(_, fault)| fault);
            if fault.is_some() {
                m.happened = Some(format!("{label} {id}"));
            }
            fault
        };
        match fault {
            None => {}
            Some(Fault::Fail) => return Err("made to fail".to_owned()),
            Some(Fault::Die) => self.kill(id),
            Some(fault) => {
                if fault == Fault::CrashAfter {
                    self.set(|m| drop(effect(m)));
                }
                self.crashed.send_replace(true);
                std::future::pending::<()>().await;
                unreachable!("dormouse was killed");
            }
        }
        if *self.crashed.borrow() {
            std::future::pending::<()>().await;
        }
        let done = effect(&mut self.lock());
        self.changed.send_modify(|n| *n += 1);
        Ok(done)
    }

    async fn asked<T>(
        &self,
        label: &str,
        server: &Server,
        effect: impl FnOnce(&mut Instance) -> T,
    ) -> Result<T, ServerError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.wait_while_frozen(server.instance).await;
        let locks_out = |m: &Inner| {
            m.instances
                .get(&server.instance)
                .is_some_and(|i| i.locks_out)
        };
        if locks_out(&self.lock()) {
            return Err(ServerError::LockedOut("1045".to_owned()));
        }
        let done = self.step(label, server.instance, |m| {
            let instance = m.instances.get_mut(&server.instance);
            instance.filter(|i| i.run == Run::Running).map(effect)
        });
        let gone = || ServerError::Unreachable("no such socket".to_owned());
        done.await.map_err(ServerError::Refused)?.ok_or_else(gone)
    }

    async fn wait_while_frozen(&self, id: InstanceId) {
        let mut changed = self.changed.subscribe();
        while self.run_of(id) == Some(Run::Frozen) {
            changed.changed().await.unwrap();
        }
    }
}

impl Inner {
    /// The catalog's data of an instance that a database has.
    fn written<T>(&self, sql: &str, key: &str, columns: impl FnOnce(&Row<'_>) -> T) -> Option<T> {
        let path = self.catalog.as_ref()?;
        let catalog = Connection::open(path).unwrap();
        catalog.busy_timeout(Duration::from_secs(5)).unwrap();
        let found = catalog.query_row(sql, [key], |row| Ok(columns(row)));
        found.optional().unwrap()
    }

    /// Checks that the units in the catalog are at least those of the server.
    fn check_units(&mut self, id: InstanceId, units: Units) {
        let sql = "SELECT units FROM instances WHERE id = ?1 AND role = 'primary'";
        let written = self.written(sql, &id.to_string(), |row| row.get_unwrap::<_, u16>(0));
        if let Some(written) = written.filter(|written| *written < units.0) {
            let violation = format!("{id} may use {units:?}, and the catalog says {written}");
            self.violations.push(violation);
        }
    }

    /// Checks that a statement passes to a started server only if the notes are stale in the catalog. A thaw
    /// does not wait for that.
    pub fn check_door(&mut self, database: &DatabaseName, id: InstanceId) {
        if let Some(instance) = self.instances.get(&id)
            && (instance.maintenance != (false, false) || !instance.hardened)
        {
            let violation = format!(
                "the door of {database} opens to a server for maintenance or with older rights"
            );
            self.violations.push(violation);
        }
        if self.instances.get(&id).is_none_or(|i| i.thawed) {
            return;
        }
        let sql = "SELECT state, fresh FROM databases WHERE name = ?1";
        let columns =
            |row: &Row<'_>| (row.get_unwrap::<_, String>(0), row.get_unwrap::<_, bool>(1));
        let written = self.written(sql, database.as_str(), columns);
        if let Some((state, fresh)) = written
            && (fresh || state == "parked" || state == "suspended")
        {
            let violation = format!("the door of {database} opens, and the catalog says {state}");
            self.violations.push(violation);
        }
    }

    pub fn kill(&mut self, id: InstanceId) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.spend();
            instance.run = Run::Stopped;
            if instance.process.take().is_some() && instance.owner.is_some() {
                *self.ended.entry(id).or_default() += instance.cpu;
            }
            instance.globals.clear();
            instance.memory_tables.clear();
        }
    }

    /// Adds CPU time to the process of an instance.
    pub fn burn(&mut self, id: InstanceId, time: Duration) {
        if let Some(instance) = self.instances.get_mut(&id)
            && instance.process.is_some()
        {
            instance.cpu += time;
        }
    }

    /// CPU time of all processes of an instance since it became a database's.
    pub fn burnt(&mut self, id: InstanceId) -> Duration {
        let ended = self.ended.get(&id).copied().unwrap_or_default();
        let runs = self.instances.get_mut(&id).filter(|i| i.process.is_some());
        let now = runs.map_or(Duration::ZERO, |i| {
            i.spend();
            i.cpu
        });
        ended + now
    }

    fn observed(&mut self, id: InstanceId) -> Result<Observed, Error> {
        let instance = self.instances.get_mut(&id).ok_or(Error::Unknown(id))?;
        instance.spend();
        Ok(Observed {
            run: instance.run,
            incarnation: instance.process,
            endpoint: (instance.process).map(|_| Endpoint::unix(format!("/run/made-up/{id}.sock"))),
            memory: instance
                .process
                .map(|_| Bytes::mib(if instance.pool < START { 20 } else { 36 })),
            cpu: Some(instance.cpu),
            strain: Some(Strain {
                oom_kills: instance.starved,
                ..Strain::default()
            }),
        })
    }

    /// Checks the order: limits shrink after the pool and grow before it.
    fn limit(&mut self, id: InstanceId, desired: Desired) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        if desired.run == Run::Running {
            if buffer_pool::awake(desired.units) < instance.pool {
                let pool = instance.pool;
                self.violations
                    .push(format!("{id} has a pool of {pool} in {:?}", desired.units));
            }
            instance.spend();
            instance.units = desired.units;
        }
    }

    fn set_run(&mut self, id: InstanceId, run: Run) {
        let pid = self.next_pid;
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        match run {
            Run::Stopped => {
                self.burn(id, STOP_CPU);
                return self.kill(id);
            }
            Run::Running | Run::Frozen if instance.process.is_none() => {
                instance.cpu = START_CPU;
                instance.counted = Instant::now();
                instance.process = Some(Incarnation(u128::from(pid)));
                instance.starved = 0;
                instance.thawed = false;
                instance.maintenance.1 = instance.maintenance.0;
                instance.locks_out &= !instance.maintenance.0;
                instance.pool = START;
                instance.hydrated = false;
                instance.hits = PoolHits::default();
                self.next_pid += 1;
                self.starts += 1;
            }
            Run::Frozen => {
                instance.thawed = true;
                instance.cpu += FREEZE_CPU;
            }
            Run::Running => {}
        }
        instance.spend();
        instance.run = run;
    }
}

fn start_error(id: InstanceId, reason: String) -> Error {
    Error::Start { id, reason }
}

#[async_trait]
impl Driver for Machine {
    async fn provision(&self, id: InstanceId, _: &Place) -> Result<(), Error> {
        tokio::time::sleep(Duration::from_millis(90)).await;
        let made = self.step("provision", id, |m| {
            m.instances.entry(id).or_insert(Instance {
                run: Run::Stopped,
                process: None,
                owner: None,
                globals: Vec::new(),
                guests: Vec::new(),
                memory_tables: Vec::new(),
                pool: START,
                hydrated: false,
                hits: PoolHits::default(),
                hot: Bytes(0),
                units: Units(1),
                demand: 0,
                maintenance: (false, false),
                hardened: true,
                locks_out: false,
                thawed: false,
                clings: false,
                starved: 0,
                credentials_of: None,
                cpu: Duration::ZERO,
                counted: Instant::now(),
            });
        });
        made.await.map_err(|reason| start_error(id, reason))
    }

    async fn copy(
        &self,
        from: InstanceId,
        to: InstanceId,
        _: &Place,
        _: CopyOptions,
        quiesce: Arc<dyn Quiesce>,
    ) -> Result<Copied, Error> {
        let frozen = Duration::from_millis(70);
        let _quiet = quiesce.quiesce().await;
        tokio::time::sleep(frozen).await;
        let copied = self.step("copy", to, |m| {
            let source = m.instances.get(&from).ok_or(Error::Unknown(from))?;
            let copy = source.copied(from);
            let frozen = if source.run == Run::Running {
                frozen
            } else {
                Duration::ZERO
            };
            m.instances.entry(to).or_insert(copy);
            Ok(Copied {
                size: Bytes::mib(300),
                frozen,
                shared: true,
            })
        });
        copied.await.map_err(|reason| start_error(to, reason))?
    }

    async fn receive(&self, id: InstanceId, _: &Place, fill: Fill) -> Result<(), Error> {
        let to = self.files.path().join(format!("{id}-received"));
        let _earlier = std::fs::remove_dir_all(&to);
        std::fs::create_dir(&to).unwrap();
        let filled = tokio::task::spawn_blocking({
            let to = to.clone();
            move || fill(&to)
        });
        filled.await.unwrap().map_err(|source| Error::Machine {
            doing: format!("writing {id}"),
            source,
        })?;
        let number: usize = std::fs::read_to_string(to.join("content"))
            .unwrap()
            .parse()
            .unwrap();
        let received = self.step("receive", id, |m| {
            let files = m.stored[number].clone();
            m.instances.entry(id).or_insert(files);
        });
        received.await.map_err(|reason| start_error(id, reason))
    }

    fn directory(&self, id: InstanceId) -> Option<PathBuf> {
        let mut m = self.lock();
        let files = m.instances.get(&id)?.clone();
        let dir = self.files.path().join(id.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("content"), m.stored.len().to_string()).unwrap();
        m.stored.push(files);
        Some(dir)
    }

    async fn apply(&self, id: InstanceId, desired: Desired) -> Result<Observed, Error> {
        let now = self.run_of(id).ok_or(Error::Unknown(id))?;
        if desired.run == Run::Running {
            self.lock().check_units(id, desired.units);
        }
        let starts = now == Run::Stopped && desired.run != Run::Stopped;
        let took = match desired.run {
            _ if now == desired.run => Duration::ZERO,
            Run::Running | Run::Frozen if starts => {
                let mut m = self.lock();
                m.starting += 1;
                m.most_starting = m.most_starting.max(m.starting);
                m.start_takes
            }
            Run::Running | Run::Frozen => Duration::from_millis(1),
            Run::Stopped => Duration::from_millis(18),
        };
        tokio::time::sleep(took).await;
        if starts {
            self.lock().starting -= 1;
            let broken = self.lock().broken.clone();
            if let Some(reason) = broken {
                return Err(start_error(id, reason));
            }
            let mut m = self.lock();
            if m.killed_starts > 0 {
                m.killed_starts -= 1;
                return Err(Error::Killed { id, signal: 9 });
            }
        }
        let label = format!("apply {:?}", desired.run);
        let clings = |m: &Inner| {
            let instance = m.instances.get(&id);
            instance.is_some_and(|i| i.clings && desired.units < i.units)
        };
        if now == Run::Running && desired.run == Run::Running && clings(&self.lock()) {
            return Err(Error::InUse {
                id,
                held: Bytes::mib(3000),
                limit: desired.units.memory(),
            });
        }
        let done = self.step(&label, id, |m| {
            m.set_run(id, desired.run);
            m.limit(id, desired);
            m.observed(id)
        });
        done.await.map_err(|reason| start_error(id, reason))?
    }

    async fn maintain(&self, id: InstanceId, sql: Option<&str>) -> Result<(), Error> {
        let set = |m: &mut Inner| {
            let instance = m.instances.get_mut(&id)?;
            instance.maintenance.0 = sql.is_some();
            Some(())
        };
        let done = self.step("maintain", id, set).await;
        let done = done.map_err(|reason| start_error(id, reason))?;
        done.ok_or(Error::Unknown(id))
    }

    async fn observe(&self, id: InstanceId) -> Result<Observed, Error> {
        self.lock().observed(id)
    }

    async fn list(&self) -> Result<Vec<InstanceId>, Error> {
        Ok(self.lock().instances.keys().copied().collect())
    }

    async fn ended(&self, _id: InstanceId, incarnation: Incarnation) {
        let mut changed = self.changed.subscribe();
        while self
            .lock()
            .instances
            .values()
            .any(|i| i.process == Some(incarnation))
        {
            changed.changed().await.unwrap();
        }
    }

    async fn storage(&self, id: InstanceId) -> Result<Bytes, Error> {
        let mut m = self.lock();
        m.observed(id)?;
        m.storage_asked.push(tokio::time::Instant::now());
        let unreadable = || Error::Machine {
            doing: "looking".to_owned(),
            source: std::io::ErrorKind::Other.into(),
        };
        m.storage.ok_or_else(unreadable)
    }

    async fn remove(&self, id: InstanceId) -> Result<(), Error> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let removed = self.step("remove", id, |m| {
            m.kill(id);
            m.instances.remove(&id)
        });
        removed
            .await
            .map(drop)
            .map_err(|reason| start_error(id, reason))
    }

    fn pid(&self, incarnation: Incarnation) -> Option<u32> {
        u32::try_from(incarnation.0).ok()
    }
}

pub fn account(user: &str, stage2: [u8; 20]) -> Account {
    Account {
        user: user.to_owned(),
        host: "%".to_owned(),
        verifiers: vec![Verifier::Native(stage2)],
        locked: false,
        transport: Transport::Any,
        expiry: None,
        max_sessions: 0,
        max_sessions_global: 0,
        password_errors_most: u32::MAX,
        manager: dormouse_types::Manager::default(),
        on_demand: dormouse_types::Mark::None,
        login_status: 2,
        version: 0,
        enrolled: true,
    }
}
