//! Orders from the control path to one session.
//!
//! A channel of tokio's would cost every idle session a kilobyte; this costs a hundred bytes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use dormouse_session::Pin;
use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

/// What a session is told.
pub(crate) enum Order {
    /// Note your state so that it can be restored; answer with what cannot be.
    Capture(oneshot::Sender<Vec<Pin>>),
    /// Give up your backend; you have been captured.
    Release(oneshot::Sender<()>),
    /// Another session needs a backend: give yours up if nothing pins it.
    Yield,
    /// End.
    End,
}

/// One session's orders.
#[derive(Default)]
pub(crate) struct Mailbox {
    orders: Mutex<VecDeque<Order>>,
    waker: AtomicWaker,
}

impl Mailbox {
    /// Leaves an order; the session sees it when it is between statements.
    pub(crate) fn send(&self, order: Order) {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(order);
        self.waker.wake();
    }

    fn take(&self) -> Option<Order> {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }

    /// The next order, when there is one. One task at a time may poll.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Order> {
        self.waker.register(cx.waker());
        self.take().map_or(Poll::Pending, Poll::Ready)
    }
}
