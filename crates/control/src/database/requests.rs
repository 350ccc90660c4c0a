//! Contents of a database's inbox.

use std::collections::VecDeque;
use std::sync::Arc;

use dormouse_policy::lifecycle::Order;
use dormouse_types::{DatabaseName, WokenBy};
use tokio::sync::oneshot;

use crate::catalog::DatabaseRow;
use crate::error::Error;
use crate::moves::progress::Candidate;
use crate::principal::Principal;

/// Requests to the actor.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) demanded: bool,
    /// Whose statement was the first to be held since the last answer to a demand.
    pub(super) demanded_by: Option<Arc<Demander>>,
    /// Whose login was the first to wait for accounts that only the server knows.
    pub(super) accounts_wanted: Option<Arc<Demander>>,
    /// A wake was ordered: failures before it no longer count.
    pub(super) reset: bool,
    /// The actor has ended: orders are answered at once.
    pub(super) over: bool,
    pub(super) orders: VecDeque<Pending>,
}

/// A client that needs the server.
pub(super) struct Demander {
    pub(super) user: Arc<str>,
    /// Its statement.
    pub(super) woken_by: Arc<WokenBy>,
}

impl Demander {
    pub(super) fn new(user: &str, woken_by: WokenBy) -> Arc<Self> {
        let (user, woken_by) = (user.into(), Arc::new(woken_by));
        Arc::new(Self { user, woken_by })
    }
}

/// Who causes an act, for the ledger.
#[derive(Clone, Default)]
pub(super) struct Originator {
    pub(super) principal: Principal,
    /// The statement, if it is a client's.
    pub(super) woken_by: Option<Arc<WokenBy>>,
}

impl From<Principal> for Originator {
    fn from(principal: Principal) -> Self {
        Self {
            principal,
            woken_by: None,
        }
    }
}

/// What takes the place of a database.
#[derive(Clone)]
pub(crate) struct Heir {
    /// The database that gets its name; its server runs.
    pub(crate) row: Box<DatabaseRow>,
    /// The name under which the old one is kept; `None`: it is dropped.
    pub(crate) keep_as: Option<DatabaseName>,
}

/// What an order hands something on to.
#[derive(Clone)]
pub(super) enum Successor {
    /// For [`Order::Drop`]: the database that gets its name.
    Heir(Heir),
    /// For [`Order::Move`]: the instance that serves it from then on.
    Candidate(Arc<Candidate>),
}

/// An order, and the channel for its answer.
pub(super) struct Pending {
    pub(super) order: Order,
    /// Who gave it.
    pub(super) by: Principal,
    /// What takes its place, or that of its instance.
    pub(super) successor: Option<Successor>,
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
}
