//! One database, as shared by its actor and others.
//!
//! [`View`] is the observed state; the actor, the meters and the storage watch write it. [`Inbox`] holds requests;
//! the actor answers them. Each transition is a function in a file of its own, called by [`turn`].

use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use dormouse_policy::Spec;
use dormouse_policy::lifecycle::Notes;
use dormouse_policy::spend::Rung;
use dormouse_policy::storage::{Fill, fill};
use dormouse_types::{DatabaseName, InstanceId, ReplicaCount, State, UnitRange, Units};
use tokio::sync::{Notify, OwnedRwLockReadGuard, OwnedRwLockWriteGuard};

use crate::catalog::{DatabaseRow, Noted};
use crate::error::Error;
use crate::meter::{Meter, SharedMeter};
use crate::moves::progress::Moving;
use crate::replicas::{Member, Replicas};
use crate::servers::{Server, ServerError};
use crate::status::BranchOf;
pub(crate) use requests::Heir;
use requests::Inbox;
pub(crate) use view::{Rare, View};

pub(crate) mod actor;
mod busy;
pub(crate) mod context;
mod failover;
mod flush;
mod globals;
mod habits;
mod hours;
mod inbox;
mod journal;
mod notes;
mod park;
mod relocate;
mod remove;
mod requests;
mod restriction;
mod rights;
mod scale;
mod scaling;
mod seat;
mod settle;
mod status;
mod succeed;
mod suspend;
pub(crate) mod turn;
mod view;
mod wake;

/// One database. Callers of the plane read the view, change the owner's settings, and put demands and orders into
/// the inbox.
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    /// The instance that it began with. It names the database in backups, usage and credentials, wherever it moves.
    pub(crate) instance: InstanceId,
    /// Version of the rights of the accounts in its files.
    rights: AtomicU8,
    /// Wakes the actor.
    woken: Notify,
    /// Databases in the catalog with equal settings share them.
    spec: Mutex<Arc<Spec>>,
    meter: SharedMeter,
    view: RwLock<View>,
    /// The view has changed. (A `watch` channel would do the same in eight times the memory.)
    changed: Notify,
    inbox: Mutex<Inbox>,
    /// Restriction last passed to the data path.
    restricted: Mutex<Option<Box<str>>>,
    /// Of which database it is a copy.
    pub(crate) branch: Option<Box<BranchOf>>,
    /// What few databases have; boxed, because a sleeping database must be small.
    apart: Mutex<Option<Box<Apart>>>,
}

/// What few databases have.
#[derive(Default)]
struct Apart {
    /// Its move to another instance, while one is under way.
    moving: Option<Arc<Moving>>,
    replicas: Option<Arc<Replicas>>,
    /// The last generation whose server was killed for want of memory.
    starved: u64,
    /// Held by those who change accounts or global variables without a pass of the door, and by who must have none of that.
    changes: Weak<Changes>,
    /// As long as this is there, nobody has [`MayChange`].
    no_change: Option<OwnedRwLockWriteGuard<()>>,
}

type Changes = tokio::sync::RwLock<()>;

/// The right to change accounts or global variables on the server without a pass of the door.
pub(crate) type MayChange = OwnedRwLockReadGuard<()>;

impl Database {
    pub(crate) fn new(row: DatabaseRow, meter: SharedMeter) -> Arc<Self> {
        let before = if row.full { Fill::Full } else { Fill::Fine };
        let of_quota = row.storage.zip(row.spec.storage_quota);
        let view = View {
            seat: row.instance,
            state: row.state,
            since: row.since,
            generation: row.generation,
            units: row.units,
            reason: row.reason.into(),
            serving: None,
            memory: None,
            cpu_ms: None,
            noted: Arc::new(row.noted),
            rung: meter.lock().unwrap_or_else(PoisonError::into_inner).rung(),
            storage: row.storage,
            fill: of_quota.map_or(Fill::Fine, |(used, quota)| fill(used, quota, before)),
            tables_known: false,
            rare: None,
        };
        Arc::new(Self {
            name: row.name,
            instance: row.origin,
            rights: AtomicU8::new(row.rights),
            spec: Mutex::new(row.spec),
            woken: Notify::new(),
            meter,
            view: RwLock::new(view),
            changed: Notify::new(),
            inbox: Mutex::default(),
            restricted: Mutex::default(),
            branch: row.branch,
            apart: Mutex::default(),
        })
    }

    /// Version of the rights of the accounts in its files.
    pub(crate) fn rights(&self) -> u8 {
        self.rights.load(Ordering::Acquire)
    }

    /// Notes the version of the rights after its files were changed.
    pub(crate) fn set_rights(&self, version: u8) {
        self.rights.store(version, Ordering::Release);
    }

    /// The owner's settings, shared.
    pub(crate) fn shared_spec(&self) -> Arc<Spec> {
        Arc::clone(&self.settings())
    }

    /// The owner's settings.
    pub(crate) fn spec(&self) -> Spec {
        Spec::clone(&self.settings())
    }

    fn settings(&self) -> MutexGuard<'_, Arc<Spec>> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shares the reason of the state with another database, if they are equal.
    pub(crate) fn share(&self, other: &Self) {
        let reason = Arc::clone(&other.look().reason);
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if view.reason == reason {
            view.reason = reason;
        }
    }

    /// Allowed sizes now; past the spend limit, at most the free baseline.
    pub(crate) fn range(&self, baseline: Units) -> UnitRange {
        let UnitRange { min, max } = self.spec().units;
        if self.rung() < Rung::Slow {
            return UnitRange { min, max };
        }
        UnitRange {
            min: min.min(baseline),
            max: max.min(baseline),
        }
    }

    /// Replaces the settings.
    pub(crate) fn set_spec(&self, spec: Spec) {
        *self.settings() = Arc::new(spec);
        self.wake_actor();
    }

    /// Wakes its actor.
    pub(crate) fn wake_actor(&self) {
        self.woken.notify_one();
    }

    /// Completes when the actor is woken.
    pub(crate) async fn actor_woken(&self) {
        self.woken.notified().await;
    }

    /// Its observed state now.
    pub(crate) fn view(&self) -> View {
        self.look().clone()
    }

    /// What is noted of it, unless it may have changed since.
    pub(crate) fn fresh_notes(&self) -> Option<Arc<Noted>> {
        let view = self.look();
        (view.notes() == Notes::Fresh).then(|| Arc::clone(&view.noted))
    }

    /// Its server.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn server(&self) -> Result<Server, ServerError> {
        let view = self.look();
        let endpoint = view.serving.as_ref().map(|serving| &serving.endpoint);
        Server::reached((view.seat, self.instance), endpoint)
    }

    /// The instance that serves it now.
    pub(crate) fn seat(&self) -> InstanceId {
        self.look().seat
    }

    /// Begins a move to another instance: it stays awake until [`Database::end_move`], and its server keeps a log.
    pub(crate) fn begin_to_move(&self) -> Result<Arc<Moving>, Error> {
        let mut apart = self.apart();
        let moving = &mut apart.get_or_insert_default().moving;
        if moving.is_some() {
            return Err(Error::Refused {
                database: self.name.clone(),
                state: self.state(),
                reasons: vec!["it is being moved already".to_owned()],
            });
        }
        let begun = Arc::new(Moving::new());
        *moving = Some(Arc::clone(&begun));
        Ok(begun)
    }

    /// The move is over.
    pub(crate) fn end_move(&self) {
        if let Some(apart) = self.apart().as_mut() {
            apart.moving = None;
        }
        self.wake_actor();
    }

    /// Notes that its present server was killed for want of memory.
    pub(crate) fn has_starved(&self) {
        let generation = self.view().generation;
        self.apart().get_or_insert_default().starved = generation;
    }

    /// The last generation whose server was killed for want of memory; zero: none was.
    pub(crate) fn starved(&self) -> u64 {
        self.apart().as_ref().map_or(0, |apart| apart.starved)
    }

    /// Waits until accounts and global variables may be changed: not while notes are taken or another instance takes over, since
    /// the change would be missing there. Which server runs is to be asked afterwards.
    pub(crate) async fn may_change(&self) -> MayChange {
        self.changes().read_owned().await
    }

    /// Waits until nobody changes accounts or global variables; who begins to waits until [`Database::allow_changes`].
    pub(crate) async fn stop_changes(&self) {
        let there = { self.apart() }
            .as_ref()
            .is_some_and(|apart| apart.no_change.is_some());
        if !there {
            let none = self.changes().write_owned().await;
            self.apart().get_or_insert_default().no_change = Some(none);
        }
    }

    /// Waits until nobody changes accounts or global variables; who begins to waits as long as the result is kept. `None` if a
    /// change takes longer than the limit.
    pub(crate) async fn without_changes(&self, limit: Duration) -> Option<impl Send + use<>> {
        let changes = self.changes();
        tokio::time::timeout(limit, changes.write_owned())
            .await
            .ok()
    }

    /// Accounts and global variables may be changed again.
    pub(crate) fn allow_changes(&self) {
        if let Some(apart) = self.apart().as_mut() {
            apart.no_change = None;
        }
    }

    fn changes(&self) -> Arc<Changes> {
        let mut apart = self.apart();
        let changes = &mut apart.get_or_insert_default().changes;
        changes.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *changes = Arc::downgrade(&new);
            new
        })
    }

    /// Its move to another instance, while one is under way.
    pub(crate) fn moving(&self) -> Option<Arc<Moving>> {
        self.apart().as_ref()?.moving.clone()
    }

    /// Begins to have replicas; `None` if it has some already.
    pub(crate) fn begin_replicas(&self, members: Vec<Member>) -> Option<Arc<Replicas>> {
        let mut apart = self.apart();
        let replicas = &mut apart.get_or_insert_default().replicas;
        if let Some(replicas) = replicas {
            replicas.wake();
            return None;
        }
        let begun = Replicas::new(members);
        *replicas = Some(Arc::clone(&begun));
        Some(begun)
    }

    /// It has no replicas any more; `false` if it wants some again.
    pub(crate) fn end_replicas(&self) -> bool {
        let mut apart = self.apart();
        let over = !self.spec().replicas.has_some();
        if let Some(apart) = apart.as_mut().filter(|_| over) {
            apart.replicas = None;
        }
        over
    }

    /// Its replicas, if it has some.
    pub(crate) fn replicas(&self) -> Option<Arc<Replicas>> {
        self.apart().as_ref()?.replicas.clone()
    }

    /// How many replicas it should have now.
    pub(crate) fn replicas_wanted(&self) -> ReplicaCount {
        let range = self.spec().replicas;
        let wanted = self.replicas().map(|replicas| replicas.wanted());
        range.nearest(wanted.unwrap_or_default())
    }

    /// Whether an instance may need what others have of its log: one that is being made to follow it, or one that is behind.
    pub(crate) fn is_followed_from_afar(&self) -> bool {
        let wanted = usize::from(self.replicas_wanted().get());
        let behind = |replicas: Arc<Replicas>| replicas.following() < wanted;
        self.moving().is_some() || self.replicas().is_some_and(behind)
    }

    fn apart(&self) -> MutexGuard<'_, Option<Box<Apart>>> {
        self.apart.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current state.
    pub(crate) fn state(&self) -> State {
        self.look().state
    }

    /// The current step of the spend limit.
    pub(crate) fn rung(&self) -> Rung {
        self.look().rung
    }

    /// The meter of its usage.
    pub(crate) fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The meter, for writing it to the catalog.
    pub(crate) fn shared_meter(&self) -> SharedMeter {
        Arc::clone(&self.meter)
    }

    /// Waits until the view meets a condition.
    pub(crate) async fn until(&self, mut such: impl FnMut(&View) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // register before the check, so that no change is missed
            changed.as_mut().enable();
            if such(&self.look()) {
                return;
            }
            changed.await;
        }
    }

    /// Changes the view. Called by the actor, the meters and the storage watch.
    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    fn look(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }
}
