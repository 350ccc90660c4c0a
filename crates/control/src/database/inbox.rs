//! Requests to a database's actor: demands, logins that wait for accounts, and orders with their answers.

use std::sync::{Arc, MutexGuard, PoisonError};

use dormouse_policy::Cause;
use dormouse_policy::lifecycle::{Door, Order};
use dormouse_types::{State, WokenBy};
use tokio::sync::oneshot;

use super::Database;
use super::requests::{Demander, Heir, Inbox, Originator, Pending, Successor};
use crate::error::Error;
use crate::moves::progress::Candidate;
use crate::principal::Principal;

/// Maximum number of waiting orders of one database.
const ORDERS_MOST: usize = 64;

impl Database {
    /// Requests the server for a statement of this user that is held. `by` is called if it is the first.
    pub(crate) fn demand(&self, user: &str, by: &dyn Fn() -> WokenBy) {
        // called without the lock: it reads the statement
        let is_first = self.inbox().demanded_by.is_none();
        let by = is_first.then(|| Demander::new(user, by()));
        {
            let mut inbox = self.inbox();
            if inbox.demanded_by.is_none() {
                inbox.demanded_by = by;
            }
            inbox.demanded = true;
        }
        self.wake_actor();
    }

    /// Who needs the server: the client whose statement was held first, or whose login waited first.
    pub(super) fn demander(&self) -> Originator {
        let first = {
            let inbox = self.inbox();
            let first = inbox.demanded_by.as_ref();
            first.or(inbox.accounts_wanted.as_ref()).cloned()
        };
        let first = first.as_deref();
        let woken_by = first.map(|first| Arc::clone(&first.woken_by));
        let user = first.map(|first| Arc::clone(&first.user));
        let principal = Principal::Client {
            user,
            database: self.name.clone(),
        };
        Originator {
            principal,
            woken_by,
        }
    }

    /// Who causes an act with this cause, unless it is Dormouse.
    pub(super) fn originator(&self, cause: Cause) -> Option<Originator> {
        match cause {
            Cause::Operator => {
                let inbox = self.inbox();
                let by = inbox.orders.front()?.by.clone();
                Some(by.into())
            }
            Cause::Demand => Some(self.demander()),
            _ => None,
        }
    }

    /// Whether a statement has been held since the last [`Database::demand_met`].
    pub(crate) fn demanded(&self) -> bool {
        self.inbox().demanded
    }

    /// Clears the demand.
    pub(crate) fn demand_met(&self) {
        let mut inbox = self.inbox();
        inbox.demanded = false;
        inbox.demanded_by = None;
    }

    /// Requests the accounts for a login of this user that waits; only the server, which does not run, has them.
    pub(crate) fn want_accounts(&self, user: &str, address: &str) {
        self.inbox().accounts_wanted.get_or_insert_with(|| {
            let login = WokenBy::LOGIN.to_owned();
            Demander::new(user, WokenBy::new(login, user, address))
        });
        self.wake_actor();
    }

    /// Whether a login has waited for accounts since the last [`Database::accounts_read`].
    pub(crate) fn accounts_wanted(&self) -> bool {
        self.inbox().accounts_wanted.is_some()
    }

    /// Clears the request for accounts: they have been read, or cannot be.
    pub(crate) fn accounts_read(&self) {
        self.inbox().accounts_wanted = None;
    }

    /// Queues an order; the receiver gets the answer when it is met or refused.
    pub(crate) fn order(
        &self,
        order: Order,
        by: Principal,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        self.queue(order, by, None)
    }

    /// Queues the order to give its name to another database.
    pub(crate) fn order_succession(
        &self,
        heir: Heir,
        by: Principal,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        self.queue(Order::Drop, by, Some(Successor::Heir(heir)))
    }

    /// Queues the order to let another instance serve it.
    pub(crate) fn order_move(
        &self,
        candidate: Arc<Candidate>,
        by: Principal,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        self.queue(Order::Move, by, Some(Successor::Candidate(candidate)))
    }

    /// What takes its place, if that is the order to carry out now.
    pub(super) fn heir(&self) -> Option<Heir> {
        match self.inbox().orders.front()?.successor.as_ref()? {
            Successor::Heir(heir) => Some(heir.clone()),
            Successor::Candidate(_) => None,
        }
    }

    /// Which instance is to serve it, if that is the order to carry out now.
    pub(super) fn candidate(&self) -> Option<Arc<Candidate>> {
        match self.inbox().orders.front()?.successor.as_ref()? {
            Successor::Candidate(candidate) => Some(Arc::clone(candidate)),
            Successor::Heir(_) => None,
        }
    }

    fn queue(
        &self,
        order: Order,
        by: Principal,
        successor: Option<Successor>,
    ) -> Result<oneshot::Receiver<Result<(), Error>>, Error> {
        let (reply, answer) = oneshot::channel();
        {
            let mut inbox = self.inbox();
            if inbox.over {
                return Err(self.gone());
            }
            if inbox.orders.len() >= ORDERS_MOST {
                let what = format!("too many orders wait for database '{}'", self.name);
                return Err(Error::Limit {
                    what,
                    most: ORDERS_MOST as u64,
                });
            }
            inbox.reset |= order == Order::Wake;
            inbox.orders.push_back(Pending {
                order,
                by,
                successor,
                reply,
            });
        }
        self.wake_actor();
        Ok(answer)
    }

    /// Whether a wake was ordered since the last call.
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

    /// Answers all orders: it has been dropped, or another database has its name.
    pub(super) fn end(&self) {
        let left = {
            let mut inbox = self.inbox();
            inbox.over = true;
            std::mem::take(&mut inbox.orders)
        };
        for order in left {
            // the caller may no longer wait
            let _ = order.reply.send(Err(self.gone()));
        }
    }

    fn gone(&self) -> Error {
        Error::Refused {
            database: self.name.clone(),
            state: State::Dropping,
            reasons: vec!["it was dropped or replaced meanwhile".to_owned()],
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
                Order::Move,
                Order::Drop,
            ],
            Err(refused),
        );
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
