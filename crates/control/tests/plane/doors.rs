//! A simulated data path, with clients whose statements run, are held, or are refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dormouse_control::{Doors, Plane};
use dormouse_driver::Run;
use dormouse_types::{
    Access, Activity, Carried, DatabaseName, Pin, PoolStatus, SessionStatus, Target, Veto,
    VetoReason, WokenBy,
};
use tokio::sync::watch;

use crate::machine::Machine;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Door {
    Shut,
    Open(Target),
    Refusing(String),
}

#[derive(Debug)]
struct Lane {
    door: Door,
    sessions: u32,
    running: u32,
    held: u32,
    last_statement: Option<Instant>,
    vetoes: Vec<Veto>,
    captured: bool,
    restricted: Option<String>,
    carried: Carried,
}

/// The data path of one run of Dormouse.
#[derive(Clone)]
pub struct Lanes {
    machine: Machine,
    lanes: Arc<Mutex<BTreeMap<DatabaseName, Lane>>>,
    changed: Arc<watch::Sender<u64>>,
    capture_takes: Arc<Mutex<Duration>>,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Lanes {
    pub fn new(machine: &Machine) -> Self {
        Self {
            machine: machine.clone(),
            lanes: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
            capture_takes: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DatabaseName, Lane>> {
        self.lanes.lock().unwrap()
    }

    fn with<T>(&self, name: &DatabaseName, change: impl FnOnce(&mut Lane) -> T) -> Option<T> {
        let done = self.lock().get_mut(name).map(change);
        self.changed.send_modify(|n| *n += 1);
        done
    }

    fn violation(&self, what: String) {
        self.machine.lock().violations.push(what);
    }

    pub fn door(&self, name: &DatabaseName) -> Option<Door> {
        self.lock().get(name).map(|l| l.door.clone())
    }

    pub fn veto(&self, name: &DatabaseName, vetoes: &[(u32, Pin)]) {
        let vetoes: Vec<Veto> = vetoes
            .iter()
            .map(|(session, pin)| Veto {
                session: *session,
                reason: VetoReason::Pinned(*pin),
            })
            .collect();
        self.with(name, |l| {
            l.sessions = u32::try_from(vetoes.len()).unwrap();
            l.vetoes = vetoes;
        });
    }

    /// Why statements that write are refused.
    pub fn restriction(&self, name: &DatabaseName) -> Option<String> {
        self.lock().get(name).and_then(|l| l.restricted.clone())
    }

    pub fn capture_takes(&self, takes: Duration) {
        *self.capture_takes.lock().unwrap() = takes;
    }

    /// A client's statement: runs for `takes` on the server, as soon as the door is open.
    pub async fn statement(
        &self,
        plane: &Plane,
        name: &DatabaseName,
        takes: Duration,
    ) -> Result<u64, String> {
        let mut changed = self.changed.subscribe();
        let mut held = false;
        loop {
            let door = self.door(name).ok_or("no such database")?;
            match door {
                Door::Refusing(reason) => {
                    self.with(name, |l| l.held -= u32::from(held));
                    return Err(reason);
                }
                Door::Open(target) => {
                    let run = self.machine.run_of(target.instance);
                    if run == Some(Run::Frozen) {
                        self.violation(format!("{name} is open and frozen"));
                    }
                    self.with(name, |l| {
                        l.held -= u32::from(held);
                        l.running += 1;
                        l.carried.statements += 1;
                    });
                    tokio::time::sleep(takes).await;
                    self.machine
                        .lock()
                        .burn(target.instance, takes.min(Duration::from_millis(1)));
                    self.with(name, |l| {
                        l.running -= 1;
                        l.last_statement = Some(now());
                    });
                    if run == Some(Run::Running) {
                        return Ok(target.generation);
                    }
                    // the server is dead, but the plane has not seen that yet
                    held = false;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    continue;
                }
                Door::Shut => {
                    if !held {
                        held = true;
                        self.with(name, |l| l.held += 1);
                        let by = || WokenBy::new("SELECT ?".to_owned(), "app", "10.0.0.7");
                        plane.demand(name, "app", &by);
                    }
                }
            }
            changed.changed().await.unwrap();
        }
    }
}

#[async_trait]
impl Doors for Lanes {
    fn set_access(&self, _: &DatabaseName, _: &Access) {}

    fn reserve(&self, _: &DatabaseName, _: Option<&str>) {}

    fn add(&self, name: &DatabaseName) {
        let lane = Lane {
            door: Door::Shut,
            sessions: 0,
            running: 0,
            held: 0,
            last_statement: None,
            vetoes: Vec::new(),
            captured: false,
            restricted: None,
            carried: Carried::default(),
        };
        self.lock().entry(name.clone()).or_insert(lane);
    }

    fn remove(&self, name: &DatabaseName) {
        self.lock().remove(name);
        self.changed.send_modify(|n| *n += 1);
    }

    fn open(&self, name: &DatabaseName, target: Target) {
        self.machine.lock().check_door(name, target.instance);
        let run = self.machine.run_of(target.instance);
        if run == Some(Run::Frozen) {
            self.violation(format!("{name} opened while frozen"));
        }
        self.with(name, |l| {
            l.door = Door::Open(target);
            l.captured = false;
        });
    }

    fn shut(&self, name: &DatabaseName, force: bool) -> bool {
        let shut = self.with(name, |l| {
            let shut = force || l.running == 0;
            if shut {
                l.door = Door::Shut;
            }
            shut
        });
        shut.unwrap_or(true)
    }

    async fn drain(&self, name: &DatabaseName, deadline: Duration) -> bool {
        let until = tokio::time::Instant::now() + deadline;
        let was = self.with(name, |l| std::mem::replace(&mut l.door, Door::Shut));
        let mut changed = self.changed.subscribe();
        while self.lock().get(name).is_some_and(|l| l.running > 0) {
            if tokio::time::timeout_at(until, changed.changed())
                .await
                .is_err()
            {
                if let Some(Door::Open(target)) = was {
                    self.open(name, target);
                }
                return false;
            }
        }
        true
    }

    fn refuse(&self, name: &DatabaseName, reason: &str) {
        self.with(name, |l| l.door = Door::Refusing(reason.to_owned()));
    }

    fn activity(&self, name: &DatabaseName) -> Activity {
        let lanes = self.lock();
        let Some(lane) = lanes.get(name) else {
            return Activity::default();
        };
        Activity {
            sessions: lane.sessions,
            running: lane.running,
            held: lane.held,
            transactions: 0,
            last_statement: lane.last_statement,
        }
    }

    fn carried(&self, database: &DatabaseName) -> Carried {
        let lanes = self.lock();
        lanes
            .get(database)
            .map_or_else(Carried::default, |l| l.carried)
    }

    fn restrict(&self, name: &DatabaseName, reason: Option<&str>) {
        self.with(name, |l| l.restricted = reason.map(ToOwned::to_owned));
    }

    fn pool(&self, _: &DatabaseName) -> PoolStatus {
        PoolStatus::default()
    }

    fn end_running(&self, _: &DatabaseName) {
        // its statements end by themselves
    }

    fn sessions(&self, _: &DatabaseName) -> Vec<SessionStatus> {
        Vec::new()
    }

    async fn capture(&self, name: &DatabaseName, _deadline: Duration) -> Vec<Veto> {
        let takes = *self.capture_takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        let open = self.door(name).is_some_and(|g| matches!(g, Door::Open(_)));
        if open {
            self.violation(format!("{name} captured while open"));
        }
        let vetoes = self.with(name, |l| {
            l.captured = l.vetoes.is_empty();
            l.vetoes.clone()
        });
        vetoes.unwrap_or_default()
    }

    async fn release(&self, name: &DatabaseName) {
        let captured = self.with(name, |l| l.captured).unwrap_or(true);
        if !captured {
            self.violation(format!("{name} released without every session captured"));
        }
    }
}
