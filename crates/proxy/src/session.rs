//! One client's session: commands in, replies out, for as long as the client stays.
//!
//! The session outlives its backends. It takes one when a statement needs it, loses it when the
//! database is parked or its server dies, and brings the next one to the same state.

mod admission;
mod answer;
mod asleep;
mod change_user;
mod command;
mod idle;
mod kill;
mod lease;
mod missing;
mod prepared;
mod show;
mod statement;
mod taking;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use dormouse_session::timeout::Timeout;
use dormouse_session::{Certainty, Depth, Pin, SessionState, ValuePatch};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::Tracking;
use dormouse_wire::status::Status;

use crate::accept::Shared;
use crate::backend::{Backend, BackendError, Identity};
use crate::chunk::Chunk;
use crate::directory::{BUSY, Database, Lease, Membership};
use crate::inbox::Inbox;
use crate::mailbox::Order;
use crate::pool::Counters;
use crate::relay::Customer;
use crate::stream::{ClientStream, write_all};

pub(crate) use admission::serve;

/// How long a session whose state is not known must be idle before it is probed.
const SETTLED: Duration = Duration::from_millis(5);

/// The session is over; there is nothing more to say to the client.
pub(crate) struct Over;

/// One client's session.
pub(crate) struct Attendant {
    shared: Arc<Shared>,
    membership: Membership,
    identity: Arc<Identity>,
    /// Whether the account is known to carry our credential.
    enrolled: bool,
    /// Whether its password had expired at the login: only the server knows what it may do.
    expired: bool,
    client: ClientStream,
    inbox: Inbox,
    /// Its hold on a server; taken out while something is said on it.
    backend: Option<Box<Backend>>,
    state: Box<SessionState>,
    /// What went with the last backend and cannot be restored; the client has not been told yet.
    lost: Vec<Pin>,
    /// The [parsing context](dormouse_session::Statements::context) of what the present backend has
    /// on its shelf.
    context: u32,
    /// What is to be changed in the answer to the statement about to run.
    edit: Option<Edit>,
    /// Whether it does not wake the database, nor keep it awake.
    never_wakes: bool,
    /// Whether the door counts a transaction of ours.
    counted_transaction: bool,
    salt: [u8; 20],
    /// How often `COM_CHANGE_USER` has been refused since it last was not.
    change_refusals: u8,
    /// How many seconds it may be idle unless it sets `wait_timeout`.
    idle_default: u64,
    /// What the statement about to run has to do with `wait_timeout`.
    timeout: Option<Timeout>,
}

/// A change of a server's answer.
#[derive(Clone)]
enum Edit {
    /// This becomes of the values of its only row.
    Row(Vec<ValuePatch>),
    /// Its rows are connections, which clients know by other ids.
    Processes,
}

/// What ends a wait for the client.
enum Turn {
    Client(std::io::Result<Chunk>),
    Order(Order),
    Settled,
}

impl Attendant {
    fn database(&self) -> &Arc<Database> {
        &self.membership.database
    }

    /// Serves the client until it leaves or is sent away.
    pub(crate) async fn run(mut self) {
        while self.turn().await.is_ok() {
            if self.membership.handle.killed.load(Ordering::Acquire) {
                break;
            }
            self.rest().await;
        }
        self.count_received();
        self.retire();
        self.count_transaction(false);
    }

    async fn turn(&mut self) -> Result<(), Over> {
        if !self.inbox.unread().is_empty() {
            return self.serve_command().await;
        }
        match self.wait().await {
            Turn::Client(Ok(chunk)) if !chunk.is_empty() => {
                self.inbox.put(chunk);
                self.serve_command().await
            }
            Turn::Client(Ok(_)) => Err(Over),
            Turn::Client(Err(error)) => Err(self.unreadable(&error).await),
            Turn::Order(order) => self.obey(order).await,
            Turn::Settled => {
                Box::pin(self.probe()).await;
                Ok(())
            }
        }
    }

    async fn serve_command(&mut self) -> Result<(), Over> {
        let heard = &self.membership.handle.heard;
        heard.store(BUSY, Ordering::Relaxed);
        self.command().await?;
        self.is_idle();
        Ok(())
    }

    /// Whether the session should be probed as soon as it is idle and the door open. While that is
    /// shut there is no point: the capture before a park will do it.
    fn is_unsettled(&self) -> bool {
        self.state.certainty() == Certainty::Unknown
            && self.backend.is_some()
            && !self.state.in_transaction()
    }

    async fn wait(&mut self) -> Turn {
        let unsettled = self
            .is_unsettled()
            .then(|| Arc::clone(&self.database().door));
        let mailbox = &self.membership.handle.mailbox;
        let mut read = pin!(Chunk::read(&mut self.client));
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

    /// Does what the control path asks, between two statements.
    async fn obey(&mut self, order: Order) -> Result<(), Over> {
        match order {
            Order::Capture(reply) => {
                let _ = reply.send(Box::pin(self.capture()).await);
                Ok(())
            }
            Order::Release(reply) => {
                if self.backend.is_some() {
                    self.lose_backend();
                    if !self.never_wakes {
                        // captured without pins: nothing is lost
                        self.lost.clear();
                    }
                }
                let _ = reply.send(());
                Ok(())
            }
            Order::Yield => {
                Box::pin(self.give_up_lease()).await;
                Ok(())
            }
            Order::End => Err(Over),
        }
    }

    /// Notes the state so that it can be restored; returns what cannot be. The door is shut: this
    /// is the plane's own time with the server.
    async fn capture(&mut self) -> Vec<Pin> {
        if self.state.may_have_lost_transaction()
            && let Some(backend) = self.backend.take()
        {
            match backend.in_transaction().await {
                Ok((backend, open)) => {
                    self.backend = Some(backend);
                    if !open {
                        self.state
                            .saw_status(self.state.status().without(Status::IN_TRANS));
                        self.count_transaction(false);
                    }
                }
                Err(error) => self.broke(&error),
            }
        }
        if self.backend.is_some() && !self.state.in_transaction() {
            self.ask_state(Depth::Everything).await;
        }
        if self.backend.is_none() || self.never_wakes {
            // what such a session loses it is told
            return Vec::new();
        }
        let pins = self.state.pins();
        if !pins.is_empty() && !self.state.in_transaction() {
            self.membership.handle.pinned_by(pins.clone());
        }
        pins
    }

    /// Reads the state back once the session has settled.
    async fn probe(&mut self) {
        let Some(pass) = self.database().door.enter_quietly() else {
            return;
        };
        if self
            .backend
            .as_ref()
            .is_some_and(|backend| backend.target == pass.target)
        {
            self.ask_state(Depth::Needed).await;
        } else {
            self.lose_backend();
        }
    }

    async fn ask_state(&mut self, depth: Depth) {
        if self.state.owes() && Box::pin(self.catch_up(false)).await.is_err() {
            return self.lose_backend();
        }
        let Some(backend) = self.backend.take() else {
            return;
        };
        let mut probe = self.state.probe(depth);
        match backend.probe(&mut probe).await {
            Ok(backend) => {
                self.backend = Some(backend);
                self.state.captured(probe);
            }
            Err(error) => self.broke(&error),
        }
    }

    /// Its backend did not answer what Dormouse asked of it, and is closed.
    fn broke(&mut self, error: &BackendError) {
        match error {
            BackendError::Malformed(what) => self.fault(*what),
            error => tracing::debug!(%error, "a server could not be asked"),
        }
        self.lose_backend();
    }

    /// A server has sent what is no reply to what it was sent: a fault of its, or of ours.
    fn fault(&self, what: Malformed) {
        Counters::count(&self.database().pool().counters().faults);
        let handle = &self.membership.handle;
        tracing::error!(
            database = %self.database().name,
            session = handle.id,
            thread = handle.thread.load(Ordering::Relaxed),
            %what,
            "a reply out of turn: its connection is closed, nobody is given it"
        );
    }

    /// The backend is no more. What was lost with it is told at the next statement.
    fn lose_backend(&mut self) {
        self.backend = None;
        let handle = &self.membership.handle;
        if handle.thread.swap(0, Ordering::SeqCst) == 0 {
            // it had none
            return;
        }
        self.count_held();
        let handle = &self.membership.handle;
        handle.set_lease(Lease::None);
        self.lost = self.state.lost_backend();
        self.count_transaction(false);
    }

    /// Keeps the door's count of open transactions true.
    fn count_transaction(&mut self, open: bool) {
        let open = open && !self.never_wakes;
        if open != self.counted_transaction {
            self.counted_transaction = open;
            self.database().door.transaction(open);
        }
    }

    /// Sends one packet as the answer to the command just read.
    async fn reply(&mut self, payload: &[u8]) -> Result<(), Over> {
        self.reply_as(1, payload).await
    }

    async fn reply_as(&mut self, seq: u8, payload: &[u8]) -> Result<(), Over> {
        let mut packet = Vec::with_capacity(payload.len() + 4);
        write_packet(&mut packet, seq, payload);
        self.send_packets(&packet).await
    }

    /// Sends packets that were prepared as the answer to the command just read.
    async fn send_packets(&mut self, packets: &[u8]) -> Result<(), Over> {
        self.database().tally().sends(packets.len());
        let timeout = self.shared.config.limits.write_timeout;
        write_all(&mut self.client, packets, timeout)
            .await
            .map_err(|_| Over)
    }

    /// Counts the bytes that have come from the client.
    fn count_received(&mut self) {
        let received = self.inbox.take_received();
        self.database().tally().received(received);
    }

    /// What the client is told of changes in its session.
    fn tracking(&self) -> Tracking {
        let asked = self.identity.capabilities;
        match asked.contains(Capabilities::SESSION_TRACK) {
            false => Tracking::Nothing,
            true if self.state.tracks_state() => Tracking::All,
            true => Tracking::AllButState,
        }
    }

    fn customer(&mut self) -> Customer<'_> {
        let limits = &self.shared.config.limits;
        let tracking = self.tracking();
        Customer {
            stream: &mut self.client,
            inbox: &mut self.inbox,
            tally: self.membership.database.tally(),
            tracking,
            read_timeout: limits.read_timeout,
            write_timeout: limits.write_timeout,
        }
    }
}
