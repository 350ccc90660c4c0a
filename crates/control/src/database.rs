//! One database, as its actor and everybody else share it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use dormouse_driver::Process;
use dormouse_policy::lifecycle::{Notes, Order};
use dormouse_types::{Bytes, DatabaseName, InstanceId, State};
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::catalog::{DatabaseRow, Noted};
use crate::{Error, Figures, Spec, Status, Traffic};

/// The most orders that may wait for one database.
const ORDERS_MOST: usize = 64;

/// One database. Its actor alone changes the view; others read it, and put demands and orders
/// into the inbox.
pub(crate) struct Database {
    pub(crate) name: DatabaseName,
    pub(crate) instance: InstanceId,
    pub(crate) spec: Spec,
    /// Makes the actor look.
    pub(crate) nudge: Notify,
    view: RwLock<View>,
    /// The view has changed. (A `watch` channel would do the same in eight times the memory.)
    changed: Notify,
    inbox: Mutex<Inbox>,
}

/// What is true of a database, as far as its actor has looked.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) state: State,
    pub(crate) since: Timestamp,
    pub(crate) generation: u64,
    pub(crate) reason: String,
    pub(crate) process: Option<Process>,
    pub(crate) figures: Figures,
    pub(crate) noted: Arc<Noted>,
}

impl View {
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
    orders: VecDeque<Pending>,
}

/// An order, and who waits for it.
struct Pending {
    order: Order,
    reply: oneshot::Sender<Result<(), Error>>,
}

impl Database {
    pub(crate) fn new(row: DatabaseRow) -> Arc<Self> {
        let view = View {
            state: row.state,
            since: row.since,
            generation: row.generation,
            reason: row.reason,
            process: None,
            figures: Figures::default(),
            noted: Arc::new(row.noted),
        };
        Arc::new(Self {
            name: row.name,
            instance: row.instance,
            spec: row.spec,
            nudge: Notify::new(),
            view: RwLock::new(view),
            changed: Notify::new(),
            inbox: Mutex::default(),
        })
    }

    /// What is true of it now.
    pub(crate) fn view(&self) -> View {
        self.look().clone()
    }

    /// Its state now.
    pub(crate) fn state(&self) -> State {
        self.look().state
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

    /// For its actor, and for `create` before there is one.
    pub(crate) fn change(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    fn look(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement is held.
    pub(crate) fn demand(&self) {
        self.inbox().demanded = true;
        self.nudge.notify_one();
    }

    /// Whether a statement has been held since the last [`Database::satisfied`].
    pub(crate) fn demanded(&self) -> bool {
        self.inbox().demanded
    }

    /// No statement is held any more.
    pub(crate) fn satisfied(&self) {
        self.inbox().demanded = false;
    }

    /// Leaves an order; the answer comes when it is met or refused.
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
            inbox.orders.push_back(Pending { order, reply });
        }
        self.nudge.notify_one();
        Ok(answer)
    }

    /// The order to carry out now. Those that are met already are answered, those that nobody
    /// waits for any more are forgotten.
    pub(crate) fn current_order(&self) -> Option<Order> {
        let state = self.state();
        let mut inbox = self.inbox();
        while let Some(first) = inbox.orders.front() {
            let met = first.order.met(state);
            if !met && (!first.reply.is_closed() || first.order == Order::Drop) {
                return Some(first.order);
            }
            if let Some(done) = inbox.orders.pop_front() {
                // who gave up waiting needs no answer
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

    /// Says no to the order that is carried out now, whatever it is.
    pub(crate) fn refuse(&self, reasons: Vec<String>) {
        let refused = Error::Refused {
            database: self.name.clone(),
            state: self.state(),
            reasons,
        };
        self.answer(
            &[Order::Wake, Order::Suspend, Order::Park, Order::Drop],
            Err(refused),
        );
    }

    /// What is told about it.
    pub(crate) fn status(&self, traffic: &dyn Traffic) -> Status {
        let view = self.view();
        let activity = traffic.activity(&self.name);
        Status {
            name: self.name.clone(),
            state: view.state,
            since: view.since,
            pid: view.process.map(|p| p.pid),
            instance: self.instance,
            generation: view.generation,
            spec: self.spec,
            units: self.spec.units_awake(),
            sessions: activity.sessions,
            held: activity.held,
            transactions: activity.transactions,
            memory: view.figures.memory.filter(|m| *m > Bytes(0)),
            last_reason: view.reason,
        }
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
