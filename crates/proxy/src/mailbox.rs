//! Orders to one session: from the control path, the pool and other sessions.
//!
//! A tokio channel would cost every idle session a kilobyte; this costs a hundred bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use dormouse_session::Pin;
use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::door::Pass;

/// An order to a session from outside it.
pub(crate) enum SessionOrder {
    /// Read the state so that it can be restored; answer with the pins that prevent it.
    Capture(oneshot::Sender<Vec<Pin>>),
    /// Give up the backend; the state has been captured.
    Release(oneshot::Sender<()>),
    /// Take the locks that the session carries with this pass, before others are let in; answer whether that is settled.
    TakeLocks(Box<TakeLocks>),
    /// Another session needs a backend: give this one up if nothing pins it.
    Yield,
    /// End the session.
    End,
}

/// What a session needs to take its locks.
pub(crate) struct TakeLocks {
    pub(crate) pass: Pass,
    pub(crate) reply: oneshot::Sender<bool>,
}

/// The queue of orders to one session.
#[derive(Default)]
pub(crate) struct Mailbox {
    orders: Mutex<VecDeque<SessionOrder>>,
    waker: AtomicWaker,
}

impl Mailbox {
    /// Appends an order; the session reads it between two statements, or while a statement waits.
    pub(crate) fn send(&self, order: SessionOrder) {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(order);
        self.waker.wake();
    }

    fn take(&self) -> Option<SessionOrder> {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// Polls for the next order. Only one task at a time may poll.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<SessionOrder> {
        self.waker.register(cx.waker());
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}
