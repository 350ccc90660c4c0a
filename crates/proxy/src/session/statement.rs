//! A command on its way to a server and its reply on the way back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_session::Pin;
use dormouse_session::effects::may_commit;
use dormouse_types::Target;
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::packet::{HEADER, write_packet};
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::rows::edit_rows;
use tokio::time::Instant;

use super::answer::put;
use super::taking::{Incoming, LONGEST_GATHERED};
use super::{Attendant, Edit, Over};
use crate::backend::{BackendError, Connection, Identity, Schema};
use crate::directory::Lease;
use crate::door::{Entry, Pass};
use crate::pool::Counters;
use crate::refusal;
use crate::relay::{Broken, pass_on, relay};

/// Pause before asking again for a server that has just gone and whose death the plane has not
/// seen yet.
pub(super) const MOMENT: Duration = Duration::from_millis(5);

/// How long a server may take to be told that a statement is to end.
const END: Duration = Duration::from_secs(10);

/// How often a command is sent to one server that closes its connections without having read it.
const TRIES: u8 = 3;

/// Why there is no usable backend.
pub(super) enum Unready {
    /// The server is gone or going; ask the door again.
    Gone,
    /// The door is being shut; wait there.
    Shutting,
    /// It says no to this user now; the session goes on.
    Refused(ErrPacket),
    /// The session cannot go on as it was.
    Lost(ErrPacket),
}

impl Attendant {
    /// Runs a command on the server and passes its reply on, waking the database if need be.
    /// `statement` is the client's id of the prepared statement it is about. `None` means that it
    /// was not run, or did not end, and the client has been told.
    pub(super) async fn run_on_server(
        &mut self,
        mut incoming: Incoming,
        statement: Option<u32>,
    ) -> Result<Option<ReplyEnd>, Over> {
        let mut patience = None;
        // by which server, and how often, it was not read
        let mut unread = (0, 0);
        let knew = self.state.diagnostics().is_some();
        loop {
            // a sleeping database need not wake for it
            if let Some(error) = self.restriction(&incoming, statement) {
                return self.not_run(&incoming, &error).await;
            }
            let pass = match self.pass(&mut incoming).await? {
                Ok(pass) => pass,
                Err(error) => return self.not_run(&incoming, &error).await,
            };
            // while it was held, much may have happened
            if let Some(error) = self.restriction(&incoming, statement) {
                return self.not_run(&incoming, &error).await;
            }
            match self.ready(&pass, statement, incoming.command).await? {
                Ok(()) => {}
                Err(Unready::Gone) => {
                    drop(pass);
                    if !self.never_wakes {
                        self.shared.plane.demand(&self.database().name);
                    }
                    let limit = self.shared.config.limits.hold_timeout;
                    let deadline = *patience.get_or_insert_with(|| Instant::now() + limit);
                    if Instant::now() >= deadline {
                        let error = refusal::hold_timeout(limit.as_secs());
                        return self.not_run(&incoming, &error).await;
                    }
                    tokio::time::sleep(MOMENT).await;
                    continue;
                }
                // gives the pass back
                Err(Unready::Shutting) => continue,
                Err(Unready::Refused(error)) => return self.not_run(&incoming, &error).await,
                Err(Unready::Lost(error)) => {
                    self.skip(incoming.left, incoming.continues).await?;
                    return Err(self.end_with(&error).await);
                }
            }
            // and what it asks of the statement before may be Dormouse's to answer now
            let knows = self.state.diagnostics().is_some();
            if !knew && knows && self.answers(&mut incoming, statement).await? {
                return Ok(None);
            }
            if self.state.misses_texts()
                && let Err(error) = Box::pin(self.prepare_missing(&mut incoming, statement)).await
            {
                self.broke(&error);
                continue;
            }
            if let Some(id) = statement
                && self.lacks_types(&incoming, id)
                && !Box::pin(self.complete_types(&mut incoming, id)).await?
            {
                return self
                    .not_run(&incoming, &refusal::too_long_to_complete(LONGEST_GATHERED))
                    .await;
            }
            match self.exchange(&mut incoming, statement).await {
                Ok(end) => {
                    self.saw(&end);
                    return Ok(Some(end));
                }
                Err(Broken::Client { running }) => {
                    if running {
                        self.end_statement(&pass).await;
                    }
                    // what the command has done to the session is not noted
                    self.lose_backend();
                    return Err(Over);
                }
                Err(Broken::Fault { what, delivered }) => {
                    self.fault(what);
                    self.lose_backend();
                    if delivered {
                        return Err(Over);
                    }
                    return Err(self.end_with(&refusal::out_of_turn()).await);
                }
                Err(Broken::Server { unread: true, .. }) if incoming.is_whole() => {
                    self.lose_backend();
                    // a server that lives and takes other commands does not take this one
                    if unread.0 != pass.target.generation {
                        unread = (pass.target.generation, 0);
                    }
                    unread.1 += 1;
                    if unread.1 == TRIES {
                        return Err(self.end_with(&refusal::not_read()).await);
                    }
                }
                Err(Broken::Server {
                    delivered: true, ..
                }) => return Err(Over),
                Err(Broken::Server { .. }) => return self.interrupted(&incoming, statement).await,
            }
        }
    }

    /// Why the command may not run on a database that must not grow nor change now. While it may,
    /// this is one look at a flag.
    fn restriction(&mut self, incoming: &Incoming, statement: Option<u32>) -> Option<ErrPacket> {
        if !self.database().restriction.is_set() {
            return None;
        }
        let allowed = match (incoming.command, statement) {
            (Command::Query | Command::StmtPrepare, _) => {
                incoming.is_whole() && self.state.allows_restricted(incoming.argument())
            }
            (Command::StmtExecute | Command::StmtBulkExecute, Some(id)) => {
                self.state.allows_prepared_restricted(id)
            }
            (command, _) => command != Command::CreateDb,
        };
        if allowed {
            return None;
        }
        let database = self.database();
        let reason = database.restriction.reason()?;
        Some(refusal::restricted(&database.name, &reason))
    }

    async fn not_run(
        &mut self,
        incoming: &Incoming,
        error: &ErrPacket,
    ) -> Result<Option<ReplyEnd>, Over> {
        self.skip(incoming.left, incoming.continues).await?;
        if incoming.command.reply() != ReplyKind::None {
            self.reply_error(error).await?;
        }
        Ok(None)
    }

    /// Nobody waits for the statement any more: its server is told to end it. Closing the connection
    /// does not tell a server that computes.
    async fn end_statement(&mut self, pass: &Pass) {
        let thread = self.membership.handle.thread.load(Ordering::SeqCst);
        let name = &self.membership.database.name;
        let ended = self.shared.plane.end_statement(name, &pass.target, thread);
        if tokio::time::timeout(END, ended).await.is_err() {
            tracing::warn!(database = %name, thread, "a statement whose client has left goes on");
        }
        Counters::count(&self.pool().counters().departures);
    }

    /// The server ended while it had the command.
    async fn interrupted(
        &mut self,
        incoming: &Incoming,
        statement: Option<u32>,
    ) -> Result<Option<ReplyEnd>, Over> {
        self.lose_backend();
        if !incoming.is_whole() {
            // how much of it was passed on is not known any more
            return Err(Over);
        }
        let lost = std::mem::take(&mut self.lost);
        let rolled_back =
            lost.contains(&Pin::Transaction) && !self.may_have_committed(incoming, statement);
        let error = if rolled_back {
            refusal::transaction_lost()
        } else {
            refusal::outcome_unknown()
        };
        if lost.iter().any(|pin| *pin != Pin::Transaction) {
            return Err(self.end_with(&error).await);
        }
        self.reply_error(&error).await?;
        Ok(None)
    }

    /// Whether a command that was running in a transaction may have ended it.
    fn may_have_committed(&mut self, incoming: &Incoming, statement: Option<u32>) -> bool {
        match incoming.command {
            Command::Query => may_commit(incoming.argument(), self.state.mode()),
            Command::StmtExecute | Command::StmtBulkExecute => {
                let mode = self.state.mode();
                let statement = statement.and_then(|id| self.state.statements.get(id));
                let text = statement.and_then(|statement| statement.text.as_ref());
                text.is_none_or(|text| may_commit(text, mode))
            }
            _ => false,
        }
    }

    /// Waits at the door. The outer error ends the session, the inner one is for the client.
    async fn pass(&mut self, incoming: &mut Incoming) -> Result<Result<Pass, ErrPacket>, Over> {
        if self.never_wakes {
            let pass = self.database().door.enter_quietly();
            return Ok(pass.ok_or_else(refusal::never_wakes));
        }
        let limits = &self.shared.config.limits;
        let known = self.backend.as_deref().map(|backend| &backend.target);
        let amidst = || self.state.in_transaction() || !self.state.is_free();
        let door = &self.database().door;
        let mut receiver = match door.enter(known, amidst, limits.held_statements) {
            Entry::Pass(pass) => return Ok(Ok(pass)),
            Entry::Held(receiver) => receiver,
            Entry::Full => return Ok(Err(refusal::too_many_held(limits.held_statements))),
            Entry::Refused(reason) => {
                self.shared.plane.demand(&self.database().name);
                return Ok(Err(refusal::cannot_wake(&reason)));
            }
        };
        let limit = limits.hold_timeout;
        incoming.bytes.settle();
        self.shared.plane.demand(&self.database().name);
        let deadline = tokio::time::sleep(limit);
        tokio::pin!(deadline);
        loop {
            let handle = Arc::clone(&self.membership.handle);
            tokio::select! {
                biased;
                answer = &mut receiver => return match answer {
                    Ok(Ok(pass)) => Ok(Ok(pass)),
                    Ok(Err(reason)) => Ok(Err(refusal::cannot_wake(&reason))),
                    Err(_) => Err(Over),
                },
                order = std::future::poll_fn(|cx| handle.mailbox.poll_next(cx)) => {
                    Box::pin(self.obey(order)).await?;
                }
                () = &mut deadline => return Ok(Err(refusal::hold_timeout(limit.as_secs()))),
            }
        }
    }

    /// Makes sure that there is a backend on the server that the pass leads to, in the session's
    /// state, with the statement prepared.
    async fn ready(
        &mut self,
        pass: &Pass,
        statement: Option<u32>,
        command: Command,
    ) -> Result<Result<(), Unready>, Over> {
        match &mut self.backend {
            Some(backend) if Arc::ptr_eq(&backend.target, &pass.target) => {
                self.membership.handle.set_lease(Lease::Running);
            }
            // it has slept meanwhile
            Some(backend) if same_server(&backend.target, &pass.target) => {
                backend.target = Arc::clone(&pass.target);
                self.membership.handle.set_lease(Lease::Running);
            }
            _ => {
                if let Err(unready) = Box::pin(self.replace(pass)).await? {
                    return Ok(Err(unready));
                }
            }
        }
        if self.state.owes()
            && let Err(unready) = Box::pin(self.catch_up(true)).await
        {
            return Ok(Err(unready));
        }
        let Some(id) = statement.filter(|_| command != Command::StmtPrepare) else {
            return Ok(Ok(()));
        };
        if self
            .state
            .statements
            .get(id)
            .is_some_and(|statement| statement.backend.is_none())
        {
            return Ok(Box::pin(self.prepare_again(id)).await);
        }
        Ok(Ok(()))
    }

    /// Gets a backend in place of one that is gone or was never there.
    async fn replace(&mut self, pass: &Pass) -> Result<Result<(), Unready>, Over> {
        self.lose_backend();
        match std::mem::take(&mut self.lost).as_slice() {
            [] => self.take_lease(pass, Schema::IfThere).await,
            [Pin::Transaction] => Ok(Err(Unready::Refused(refusal::transaction_lost()))),
            lost => Ok(Err(Unready::Lost(refusal::state_lost(lost)))),
        }
    }

    /// Logs in; gives the account our credential if it lacks it.
    pub(super) async fn log_in(
        &mut self,
        target: &Arc<Target>,
    ) -> Result<Connection, BackendError> {
        let credential = self
            .shared
            .plane
            .credential(target.instance, &self.identity.user);
        if self.enrolled {
            match Connection::connect(target, &self.identity, credential).await {
                Err(BackendError::Refused(error)) if error.code == 1045 => {}
                done => return done,
            }
        }
        let Identity {
            user, account_host, ..
        } = &*self.identity;
        let enrolled = self
            .shared
            .plane
            .enroll(&self.database().name, user, account_host)
            .await;
        match enrolled {
            Ok(true) => self.enrolled = true,
            Ok(false) => {
                let error = refusal::access_denied(user, &self.identity.peer.host(), true);
                return Err(BackendError::Restore {
                    statement: Vec::new(),
                    error,
                });
            }
            Err(error) => return Err(BackendError::Gone(std::io::Error::other(error))),
        }
        Connection::connect(target, &self.identity, credential).await
    }

    async fn exchange(
        &mut self,
        incoming: &mut Incoming,
        statement: Option<u32>,
    ) -> Result<ReplyEnd, Broken> {
        match self.timeout {
            Some(timeout) => {
                Box::pin(self.exchange_with_timeout(incoming, statement, timeout)).await
            }
            None => self.pass_through(incoming, statement).await,
        }
    }

    /// Sends the command and relays the reply.
    pub(super) async fn pass_through(
        &mut self,
        incoming: &mut Incoming,
        statement: Option<u32>,
    ) -> Result<ReplyEnd, Broken> {
        if let Some(edit) = self.edit.clone()
            && incoming.is_whole()
        {
            return self.exchange_edited(incoming, &edit).await;
        }
        let kind = ReplyKind::of(incoming.payload());
        if let Some(id) = statement {
            self.address(incoming, id);
        }
        let Some(mut backend) = self.backend.take() else {
            return Err(Broken::not_taken());
        };
        let closing = backend.shelf.take_closing();
        let mut speaking = backend.speak();
        let mut customer = self.customer();
        let sent = if closing.is_empty() {
            speaking.send(&incoming.bytes, customer.write_timeout).await
        } else {
            let bytes = [&closings(&closing), &*incoming.bytes].concat();
            speaking.send(&bytes, customer.write_timeout).await
        };
        sent.map_err(|_| Broken::not_taken())?;
        let seq = if incoming.is_whole() {
            incoming.last_seq()
        } else {
            let (left, continues) = (incoming.left, incoming.continues);
            pass_on(&mut speaking, &mut customer, left, continues).await?
        };
        let mut listening = speaking.sent(kind, seq);
        let renamed = statement.filter(|_| kind == ReplyKind::Prepare);
        let end = match kind {
            ReplyKind::None => ReplyEnd::default(),
            _ => relay(&mut listening, &mut customer, renamed).await?,
        };
        self.backend = listening.rest();
        Ok(end)
    }

    /// Sends a query whose answer is short, and changes what only Dormouse knows better.
    async fn exchange_edited(
        &mut self,
        incoming: &Incoming,
        edit: &Edit,
    ) -> Result<ReplyEnd, Broken> {
        let tracking = self.tracking();
        let Some(backend) = self.backend.take() else {
            return Err(Broken::not_taken());
        };
        let capabilities = backend.capabilities;
        let (backend, reply) = match backend.reply_to(&incoming.bytes, tracking).await {
            Ok(answered) => answered,
            Err(BackendError::Malformed(what)) => {
                let delivered = false;
                return Err(Broken::Fault { what, delivered });
            }
            Err(_) => {
                return Err(Broken::Server {
                    unread: false,
                    delivered: false,
                });
            }
        };
        self.backend = Some(backend);
        let sent = if reply.whole {
            let edited = match edit {
                Edit::Row(puts) => put(&reply.bytes, puts, capabilities),
                Edit::Processes => {
                    let edited = |rows| Some(self.processes(rows));
                    edit_rows(&reply.bytes, capabilities, edited)
                }
            };
            self.send_packets(edited.as_ref().unwrap_or(&reply.bytes))
                .await
        } else {
            self.reply_error(&refusal::too_long_to_edit()).await
        };
        sent.map_err(|Over| Broken::Client { running: false })?;
        Ok(reply.end)
    }

    /// Notes what the end of a reply says of the session.
    fn saw(&mut self, end: &ReplyEnd) {
        if let Some(status) = end.status {
            self.state.saw_status(status);
            self.count_transaction(self.state.in_transaction());
        }
    }
}

fn same_server(a: &Target, b: &Target) -> bool {
    a.generation == b.generation && a.instance == b.instance
}

/// `COM_STMT_CLOSE` for each of the server's statement ids; they have no replies.
fn closings(ids: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len() * (HEADER + 5));
    for id in ids {
        let mut payload = vec![Command::StmtClose as u8];
        payload.extend_from_slice(&id.to_le_bytes());
        write_packet(&mut bytes, 0, &payload);
    }
    bytes
}
