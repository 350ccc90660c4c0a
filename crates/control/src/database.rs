//! One database, as its actor and all others share it.
//!
//! A [`Database`] is what is known of a database and what is asked of it; its [`actor`] alone changes the
//! former, and decides on the latter.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Instant;

use dormouse_driver::Driver;
use dormouse_policy::Spec;
use dormouse_policy::lifecycle::{Door, Notes, Order};
use dormouse_policy::spend::Rung;
use dormouse_policy::storage::{Fill, fill};
use dormouse_types::{Bytes, DatabaseName, Incarnation, InstanceId, State, UnitRange, Units};
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::catalog::{DatabaseRow, Noted};
use crate::doors::Doors;
use crate::error::Error;
use crate::instance::serving::Serving;
use crate::meter::{Meter, SharedMeter};
use crate::servers::{Server, ServerError};
use crate::status::{Figures, Spend, Status};

pub(crate) mod actor;
pub(crate) mod context;
mod habits;
mod hours;
mod journal;
mod notes;
mod park;
mod remove;
mod scale;
mod scaling;
mod settle;
mod suspend;
pub(crate) mod turn;
mod wake;

/// The most orders that may wait for one database.
const ORDERS_MOST: usize = 64;

/// One database. Its actor changes the view; others read it, change the owner's settings, and put
/// demands and orders into the inbox.
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    pub(crate) instance: InstanceId,
    /// Wakes the actor.
    woken: Notify,
    /// Shared by databases with equal settings.
    spec: Mutex<Arc<Spec>>,
    meter: SharedMeter,
    view: RwLock<View>,
    /// The view has changed. (A `watch` channel would do the same in eight times the memory.)
    changed: Notify,
    inbox: Mutex<Inbox>,
    /// The restriction that the data path was given last.
    restricted: Mutex<Option<String>>,
}

/// What is true of a database, as far as its actor has looked.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    pub(crate) generation: u64,
    /// What it may use while it is awake.
    pub(crate) units: Units,
    pub(crate) reason: Arc<str>,
    /// Its server, while one runs; shared and boxed, because a sleeping database must be small.
    pub(crate) serving: Option<Arc<Serving>>,
    /// Memory its server holds, and CPU time it has used, in milliseconds.
    pub(crate) memory: Option<Bytes>,
    pub(crate) cpu_ms: Option<u64>,
    pub(crate) noted: Arc<Noted>,
    /// The step of its spend limit.
    pub(crate) rung: Rung,
    /// How much disk its files take; `None` until that was looked at.
    pub(crate) storage: Option<Bytes>,
    /// How much of its quota that is.
    pub(crate) fill: Fill,
    /// Whether its MEMORY tables were read when it went to sleep.
    pub(crate) tables_known: bool,
    /// What few databases have; boxed, because a sleeping database must be small.
    pub(crate) rare: Option<Box<Rare>>,
}

/// What few databases have.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rare {
    /// While it is [`State::Failed`]: until when it is not started again.
    pub(crate) rests_until: Option<Instant>,
    /// Its MEMORY tables that had rows when it went to sleep, as `schema.table`; nothing has changed
    /// since, while it sleeps.
    pub(crate) memory_tables: Vec<String>,
}

impl View {
    /// The run of its server.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.serving.as_ref().map(|serving| serving.incarnation)
    }

    /// What its server costs now.
    pub(crate) fn figures(&self) -> Figures {
        Figures {
            memory: self.memory,
            cpu_ms: self.cpu_ms,
            ..Figures::default()
        }
    }

    /// While it is [`State::Failed`]: until when it is not started again.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.rare.as_ref()?.rests_until
    }

    /// Its MEMORY tables that have rows; `None` if that is not known without its server.
    pub(crate) fn memory_tables(&self) -> Option<Vec<String>> {
        match self.serving {
            None => Some(Vec::new()),
            Some(_) if self.state == State::Suspended && self.tables_known => {
                let rare = self.rare.as_ref();
                Some(rare.map_or(Vec::new(), |rare| rare.memory_tables.clone()))
            }
            Some(_) => None,
        }
    }

    /// Whether what is noted can be trusted now.
    pub(crate) fn notes(&self) -> Notes {
        if self.noted.fresh {
            Notes::Fresh
        } else {
            Notes::Stale
        }
    }
}

#[derive(Default)]
struct Inbox {
    demanded: bool,
    /// A login waits for accounts that only the server knows.
    accounts_wanted: bool,
    /// A wake was ordered: failures before it no longer count.
    reset: bool,
    orders: VecDeque<Pending>,
}

/// An order, and the channel for its answer.
struct Pending {
    order: Order,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl Database {
    pub(crate) fn new(row: DatabaseRow, meter: SharedMeter) -> Arc<Self> {
        let before = if row.full { Fill::Full } else { Fill::Fine };
        let of_quota = row.storage.zip(row.spec.storage_quota);
        let view = View {
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
            instance: row.instance,
            spec: Mutex::new(Arc::new(row.spec)),
            woken: Notify::new(),
            meter,
            view: RwLock::new(view),
            changed: Notify::new(),
            inbox: Mutex::default(),
            restricted: Mutex::default(),
        })
    }

    /// The owner's settings.
    pub(crate) fn spec(&self) -> Spec {
        **self.settings()
    }

    fn settings(&self) -> MutexGuard<'_, Arc<Spec>> {
        self.spec.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shares the settings and the reason of its state with another database, where they are equal.
    pub(crate) fn share(&self, other: &Self) {
        let reason = Arc::clone(&other.look().reason);
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if view.reason == reason {
            view.reason = reason;
        }
        drop(view);
        let theirs = Arc::clone(&other.settings());
        let mut own = self.settings();
        if **own == *theirs {
            *own = theirs;
        }
    }

    /// The sizes it may have now; past its spend limit, no more than the free baseline.
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

    /// Makes its actor look at what is true.
    pub(crate) fn wake_actor(&self) {
        self.woken.notify_one();
    }

    /// Completes when the actor is to look.
    pub(crate) async fn actor_woken(&self) {
        self.woken.notified().await;
    }

    /// What is true of it now.
    pub(crate) fn view(&self) -> View {
        self.look().clone()
    }

    /// Its server.
    ///
    /// # Errors
    /// If it does not run.
    pub(crate) fn server(&self) -> Result<Server, ServerError> {
        let view = self.look();
        let endpoint = view.serving.as_ref().map(|serving| &serving.endpoint);
        Server::reached(self.instance, endpoint)
    }

    /// Its state now.
    pub(crate) fn state(&self) -> State {
        self.look().state
    }

    /// The step of its spend limit now.
    pub(crate) fn rung(&self) -> Rung {
        self.look().rung
    }

    /// Counts what it uses.
    pub(crate) fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, to be written.
    pub(crate) fn shared_meter(&self) -> SharedMeter {
        Arc::clone(&self.meter)
    }

    /// Waits until the view is such.
    pub(crate) async fn until(&self, mut such: impl FnMut(&View) -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // what changes from here on is noticed
            changed.as_mut().enable();
            if such(&self.look()) {
                return;
            }
            changed.await;
        }
    }

    /// Changes the view. For its actor, the meters and the storage watch.
    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    fn look(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it may not grow or change now: its quota, its spend limit, or the disk.
    fn restriction(&self, disk: Option<&str>) -> Option<String> {
        let view = self.look();
        let used_up = || {
            let (used, quota) = view.storage.zip(self.spec().storage_quota)?;
            (view.fill == Fill::Full)
                .then(|| format!("its storage quota of {quota} is used up ({used})"))
        };
        let spent = || {
            let limit = self.spec().spend_limit?;
            (view.rung >= Rung::ReadOnly)
                .then(|| format!("its spend limit of {limit} for this month is used up"))
        };
        used_up()
            .or_else(spent)
            .or_else(|| disk.map(ToOwned::to_owned))
    }

    /// Passes the restriction on to the data path if it has changed. One lock covers reading the view and
    /// passing it on, so the last call passes on the newest.
    pub(crate) fn restrict(&self, disk: Option<&str>, doors: &dyn Doors) {
        let mut told = self.restricted();
        let reason = self.restriction(disk);
        if *told != reason {
            doors.restrict(&self.name, reason.as_deref());
            *told = reason;
        }
    }

    fn restricted(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.restricted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement is held.
    pub(crate) fn demand(&self) {
        self.inbox().demanded = true;
        self.wake_actor();
    }

    /// Whether a statement has been held since the last [`Database::demand_met`].
    pub(crate) fn demanded(&self) -> bool {
        self.inbox().demanded
    }

    /// No statement is held any more.
    pub(crate) fn demand_met(&self) {
        self.inbox().demanded = false;
    }

    /// A login waits for accounts that only the server knows, which does not run.
    pub(crate) fn want_accounts(&self) {
        self.inbox().accounts_wanted = true;
        self.wake_actor();
    }

    /// Whether a login has waited for that since the last [`Database::accounts_read`].
    pub(crate) fn accounts_wanted(&self) -> bool {
        self.inbox().accounts_wanted
    }

    /// The accounts have been read, or cannot be.
    pub(crate) fn accounts_read(&self) {
        self.inbox().accounts_wanted = false;
    }

    /// Queues an order; the answer comes when it is met or refused.
    pub(crate) fn order(
        &self,
        order: Order,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        {
            let mut inbox = self.inbox();
            if inbox.orders.len() >= ORDERS_MOST {
                let what = format!("too many orders wait for database '{}'", self.name);
                return Err(Error::Limit {
                    what,
                    most: ORDERS_MOST as u64,
                });
            }
            inbox.reset |= order == Order::Wake;
            inbox.orders.push_back(Pending { order, reply });
        }
        self.wake_actor();
        Ok(answer)
    }

    /// Whether a wake was ordered since the last time.
    pub(crate) fn take_reset(&self) -> bool {
        std::mem::take(&mut self.inbox().reset)
    }

    /// The order to carry out now. Orders that are met already are answered, and those whose callers no
    /// longer wait are dropped. A wake is met when statements pass the door.
    pub(crate) fn current_order(&self, door: Door) -> Option<Order> {
        let state = self.state();
        let mut inbox = self.inbox();
        while let Some(first) = inbox.orders.front() {
            let met = first.order.met(state) && (first.order != Order::Wake || door == Door::Open);
            if !met && (!first.reply.is_closed() || first.order == Order::Drop) {
                return Some(first.order);
            }
            if let Some(done) = inbox.orders.pop_front() {
                // the caller may no longer wait
                let _ = done.reply.send(Ok(()));
            }
        }
        None
    }

    /// Answers the order that is carried out now, if it is one of these.
    pub(crate) fn answer(&self, which: &[Order], answer: Result<(), Error>) {
        let mut inbox = self.inbox();
        if inbox
            .orders
            .front()
            .is_some_and(|p| which.contains(&p.order))
            && let Some(done) = inbox.orders.pop_front()
        {
            let _ = done.reply.send(answer);
        }
    }

    /// Refuses the order that is carried out now.
    pub(crate) fn refuse(&self, reasons: Vec<String>) {
        let refused = Error::Refused {
            database: self.name.clone(),
            state: self.state(),
            reasons,
        };
        self.answer(
            &[
                Order::Wake,
                Order::Suspend,
                Order::Park,
                Order::ParkAndLose,
                Order::Drop,
            ],
            Err(refused),
        );
    }

    /// Its status, for callers of the plane.
    pub(crate) fn status(
        &self,
        driver: &dyn Driver,
        doors: &dyn Doors,
        spend: Option<Spend>,
    ) -> Status {
        let view = self.view();
        let activity = doors.activity(&self.name);
        Status {
            name: self.name.clone(),
            state: view.state,
            since: view.since,
            pid: view.incarnation().and_then(|i| driver.pid(i)),
            instance: self.instance,
            generation: view.generation,
            spec: self.spec(),
            units: if view.serving.is_some() {
                view.units
            } else {
                Units(0)
            },
            sessions: activity.sessions,
            held: activity.held,
            transactions: activity.transactions,
            memory: view.memory.filter(|m| *m > Bytes(0)),
            cpu_ms: view.cpu_ms,
            storage: view.storage,
            read_only: self.restricted().clone(),
            memory_tables: view.memory_tables(),
            spend,
            last_reason: view.reason.as_ref().to_owned(),
        }
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
