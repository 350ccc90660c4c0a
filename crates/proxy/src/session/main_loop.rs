//! The session's loop: waits for a command or an order and carries it out.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use dormouse_session::SessionState;
use tokio::time::Instant;

use super::change_user::Relogin;
use super::context::SessionContext;
use super::ending::end_cut_statement;
use super::hold::Hold;
use super::reads::memory::SessionReads;
use crate::chunk::Chunk;
use crate::client::{Client, Over};
use crate::mailbox::SessionOrder;

/// How long a session whose state is not known must be idle before it is probed.
const SETTLED: Duration = Duration::from_millis(5);

/// A limit on idleness below this is kept to the moment: the clock is read after each command.
const SHORT: Duration = Duration::from_secs(600);

/// One client's session, in parts. Functions are given the parts that they use.
pub(crate) struct Session {
    /// Its database, user and configuration.
    pub(super) cx: SessionContext,
    /// The client's side.
    pub(super) client: Client,
    /// What the client has set up, independent of backends.
    pub(super) state: SessionState,
    /// The hold on a backend.
    pub(super) hold: Hold,
    /// Where it reads, and what it has seen.
    pub(super) reads: SessionReads,
    /// The schema that others are told.
    pub(super) shown_schema: Option<Arc<[u8]>>,
    /// What `COM_CHANGE_USER` needs.
    pub(super) relogin: Relogin,
    /// Since when it waits for its client, if it may do so for a short time only.
    pub(super) idle_since: Option<Instant>,
}

/// What ends a wait for the client.
enum Turn {
    Client(std::io::Result<Chunk>),
    Order(SessionOrder),
    Settled,
}

impl Session {
    /// Serves the client until it leaves or its session is ended.
    pub(super) async fn run(mut self: Box<Self>) {
        let handle = Arc::clone(self.cx.handle());
        loop {
            let turn = {
                let mut turn = pin!(self.turn());
                poll_fn(|cx| match turn.as_mut().poll(cx) {
                    Poll::Pending if handle.poll_cut(cx) => Poll::Ready(None),
                    polled => polled.map(Some),
                })
                .await
            };
            match turn {
                Some(Ok(())) => {}
                Some(Err(Over)) => break,
                None => {
                    Box::pin(end_cut_statement(&self.cx)).await;
                    break;
                }
            }
            if self.cx.handle().killed.load(Ordering::Acquire) {
                break;
            }
            self.hold.share_lease(&self.cx, &mut self.state).await;
        }
        self.client.count_received();
        self.hold.retire(&self.cx, &mut self.state);
        let Self { cx, client, .. } = *self;
        drop(client);
        cx.handle().gone.store(true, Ordering::SeqCst);
        cx.handle().ended.notify_waiters();
    }

    async fn turn(&mut self) -> Result<(), Over> {
        if !self.client.inbox.unread().is_empty() {
            return self.serve_command().await;
        }
        match self.wait().await {
            Turn::Client(Ok(chunk)) if !chunk.is_empty() => {
                self.client.inbox.put(chunk);
                self.serve_command().await
            }
            Turn::Client(Ok(_)) => Err(Over),
            Turn::Client(Err(error)) => Err(self.client.unreadable(&error).await),
            Turn::Order(order) => self.hold.obey(&self.cx, &mut self.state, order).await,
            Turn::Settled => {
                Box::pin(self.hold.probe(&self.cx, &mut self.state)).await;
                Ok(())
            }
        }
    }

    async fn serve_command(&mut self) -> Result<(), Over> {
        let idle = self.idle_since.take();
        if idle.is_some_and(|since| since.elapsed() >= self.cx.may_be_idle()) {
            // the sweep, which looks once in a second, has not seen it yet
            return Err(Over);
        }
        self.cx.mark_busy();
        self.command().await?;
        self.cx.mark_idle();
        self.show_schema();
        self.idle_since = (self.cx.may_be_idle() < SHORT).then(Instant::now);
        Ok(())
    }

    /// Tells others the session's schema, if it has changed.
    fn show_schema(&mut self) {
        let same = match (&self.shown_schema, self.state.schema()) {
            (Some(shown), Some(schema)) => Arc::ptr_eq(shown, schema),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.shown_schema = self.state.schema().cloned();
            self.cx.handle().set_schema(self.shown_schema.clone());
        }
    }

    /// Whether the session should be probed as soon as it is idle and the door open. While the door is
    /// shut, no probe is needed: the capture before a park reads the state.
    fn is_unsettled(&self) -> bool {
        self.state.wants_probe() && self.hold.has_backend() && !self.state.in_transaction()
    }

    async fn wait(&mut self) -> Turn {
        let unsettled = self
            .is_unsettled()
            .then(|| Arc::clone(&self.cx.database().door));
        let mailbox = &self.cx.handle().mailbox;
        let mut read = pin!(Chunk::read(&mut self.client.stream));
        let turn = poll_fn(|cx| {
            if let Poll::Ready(result) = read.as_mut().poll(cx) {
                return Poll::Ready(Turn::Client(result));
            }
            mailbox.poll_next(cx).map(Turn::Order)
        });
        let Some(door) = unsettled else {
            return turn.await;
        };
        let settled = async move {
            tokio::time::sleep(SETTLED).await;
            door.until_open().await;
        };
        Box::pin(async move {
            tokio::select! {
                biased;
                turn = turn => turn,
                () = settled => Turn::Settled,
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests;
