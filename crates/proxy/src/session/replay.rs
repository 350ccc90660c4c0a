//! Runs again what the end of a server has interrupted: a transaction up to the running command, or a query.
//!
//! [`dormouse_session::replay`] keeps the commands and decides what may be run; this file runs them.

use std::time::Duration;

use dormouse_session::replay::{
    AFTER, Command as Sent, Control, Entry, LEFT, Spoiled, TransactionLog, control, only_sets,
    reads_only,
};
use dormouse_session::steps::{Again, Event};
use dormouse_session::{Effects, SessionState};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::Tracking;
use dormouse_wire::status::Status;
use dormouse_wire::stmt::{BulkView, ExecuteView, set_statement};
use dormouse_wire::text::TextOutcome;
use tokio::time::Instant;

use super::context::SessionContext;
use super::hold::Hold;
use super::parameters::types_of;
use super::running::Running;
use crate::backend::{Backend, BackendError};
use crate::pool::Counters;

/// Keeps a command that has run in a transaction. `end`: its reply. `effects`: what it has done to the session.
pub(super) fn keep(state: &mut SessionState, running: &Running, effects: Effects, end: &ReplyEnd) {
    if state.transaction.is_none() {
        return;
    }
    let kept = command_of(state, running);
    let mode = state.mode();
    let Some(log) = &mut state.transaction else {
        return;
    };
    match kept {
        Ok(command) => {
            let entry = Entry {
                command,
                sent: running
                    .ends
                    .as_ref()
                    .map_or(Duration::ZERO, |ends| ends.sent),
                digest: end.digest,
                insert_id: end.last_insert_id,
            };
            log.note(entry, effects, mode, end);
        }
        Err(why) => log.spoil(why),
    }
}

/// A command as it can be sent again.
fn command_of(state: &mut SessionState, running: &Running) -> Result<Sent, Spoiled> {
    let incoming = &running.incoming;
    let changed = running.timeout.is_some()
        || running.instead.is_some()
        || running.put_back.is_some()
        || running.tells;
    if !incoming.is_whole() || incoming.last_seq() != 0 {
        return Err(Spoiled::Long);
    }
    if changed {
        return Err(Spoiled::Uncompared);
    }
    let Some(id) = running.statement else {
        return Ok(Sent::Text(incoming.argument().into()));
    };
    let schema = state.schema().cloned();
    let context = state.statements.parsing_context();
    let statement = state.statements.get(id).ok_or(Spoiled::Unknown)?;
    let same = statement.schema == schema && statement.parsing_context == context;
    if !same || statement.long_data || statement.tells || statement.replaced {
        return Err(Spoiled::Uncompared);
    }
    let text = statement.text.clone().ok_or(Spoiled::Unknown)?;
    let payload = incoming.payload();
    let complete = types_of(incoming, statement.params).is_some();
    let payload = match (&statement.types, incoming.command) {
        (Some(types), Command::StmtExecute) if !complete => {
            ExecuteView::with_types(payload, statement.params, types)
        }
        (Some(types), Command::StmtBulkExecute) if !complete => {
            BulkView::with_types(payload, statement.params, types)
        }
        _ => payload.to_vec(),
    };
    let payload = payload.into();
    Ok(Sent::Execution { text, payload })
}

/// Whether the interrupted command only reads, so that it can be run again if it was no part of a transaction.
pub(super) fn only_reads(state: &mut SessionState, running: &Running) -> bool {
    let harmless = |effects| matches!(effects, Effects::None | Effects::Counted);
    let mode = state.mode();
    let incoming = &running.incoming;
    match (incoming.command, running.statement) {
        (Command::Query, _) if incoming.is_whole() => {
            let text = incoming.argument();
            harmless(state.judge(text, true)) && reads_only(text, mode)
        }
        (Command::StmtExecute, Some(id)) => state.statements.get(id).is_some_and(|statement| {
            let text = statement.text.as_deref().unwrap_or_default();
            harmless(statement.effects) && reads_only(text, mode)
        }),
        _ => false,
    }
}

/// Whether the interrupted command is a rollback, which has happened.
fn rolls_back(state: &SessionState, running: &Running) -> bool {
    let incoming = &running.incoming;
    incoming.command == Command::Query
        && state.can_read(incoming.argument())
        && control(incoming.argument(), state.mode()) == Control::RollsBack
}

/// Whether the interrupted command, if it was no part of a transaction, has changed nothing but its session, which is now as
/// it was before.
pub(super) fn changes_only_its_session(state: &mut SessionState, running: &Running) -> bool {
    let incoming = &running.incoming;
    let mode = state.mode();
    match (incoming.command, running.statement) {
        _ if state.transaction.is_some() || !incoming.is_whole() => false,
        (Command::InitDb | Command::StmtPrepare | Command::Ping, _) => true,
        (Command::Query, _) => {
            let text = incoming.argument();
            let effects = state.judge(text, true);
            state.can_read(text) && only_sets(text, effects, mode)
        }
        (Command::StmtExecute, Some(id)) => state.statements.get(id).is_some_and(|statement| {
            let text = statement.text.as_deref().unwrap_or_default();
            only_sets(text, statement.effects, mode)
        }),
        _ => false,
    }
}

/// Whether what is lost can be run again, as far as that is known without a server. The reason is for the client.
pub(super) fn plan(
    state: &mut SessionState,
    running: &mut Running,
    again: Again,
) -> Result<(), String> {
    let now = Instant::now().into_std();
    let rolls_back = rolls_back(state, running);
    let planned = running.ends().budget.spend(now);
    let planned = planned.and_then(|()| match &state.transaction {
        Some(_) if rolls_back => Ok(()),
        Some(log) => log.entries().map(drop),
        None if again != Again::Transaction || rolls_back => Ok(()),
        None => Err(Spoiled::Unknown),
    });
    if planned.is_err() {
        state.transaction = None;
    }
    planned.map_err(|why| why.to_string())
}

/// The most ids that are generated to come to the one that a command had: there are about as many before it as transactions were
/// open.
const MOST_GENERATED: u32 = 100;

/// Before a command that generates an id, and after one that generated another one. A replay has its savepoints under the
/// clients' names: this is none that a client would take.
const GENERATING: &str = "SAVEPOINT `dormouse generates`";
const NOT_GENERATED: &str = "ROLLBACK TO SAVEPOINT `dormouse generates`";

/// Why it was not run again.
enum Failed {
    /// The reason, for the client.
    Because(String),
    Broke(BackendError),
}

impl From<BackendError> for Failed {
    fn from(error: BackendError) -> Self {
        Self::Broke(error)
    }
}

fn because<T>(reason: &str) -> Result<T, Failed> {
    Err(Failed::Because(reason.to_owned()))
}

/// Brings the session, which has a new backend, to where it was when its server ended.
pub(super) async fn replay(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &Running,
    again: Again,
) -> Event {
    if rolls_back(state, running) {
        state.transaction = None;
        return Event::Replayed;
    }
    if changes_only_its_session(state, running) {
        return Event::Replayed;
    }
    let counters = cx.pool().counters();
    let Some(log) = state.transaction.take() else {
        return alone(cx, running, again).await;
    };
    match run(cx, state, hold, &log, running.ran_on()).await {
        Ok(status) => {
            state.transaction = Some(log);
            state.replayed(status);
            hold.count_transaction(cx, state.in_transaction());
            Counters::count(&counters.replayed);
            tracing::info!("an interrupted transaction was run again");
            Event::Replayed
        }
        Err(Failed::Because(reason)) => {
            Counters::count(&counters.not_replayed);
            tracing::info!(reason, "an interrupted transaction could not be run again");
            Event::NotReplayed(reason)
        }
        Err(Failed::Broke(error)) => {
            state.transaction = Some(log);
            hold.broke(cx, state, &error);
            Event::BackendBroke
        }
    }
}

/// Whether a command that was no part of a transaction may be run on the next server.
async fn alone(cx: &SessionContext, running: &Running, again: Again) -> Event {
    let name = &cx.database().name;
    let asked = cx.control().run_again(name, running.ran_on()).await;
    match (asked, again) {
        (Ok(has), Again::Change) if has.starved => Event::NotReplayed(STARVED.to_owned()),
        (Err(error), Again::Change) => Event::NotReplayed(error.to_string()),
        (Ok(_), Again::Change) => {
            tracing::info!("an interrupted change that did not happen is made");
            Event::Replayed
        }
        (Ok(has), _) if !has.functions && !has.starved => {
            Counters::count(&cx.pool().counters().read_again);
            Event::Replayed
        }
        (Ok(_) | Err(_), _) => Event::NotReplayed(String::new()),
    }
}

/// Why a statement is not run again that may be what took its server's memory.
const STARVED: &str = "its server was killed for want of memory while this statement ran";

/// Runs a transaction; returns the status flags after it. `ran_on`: the generation on which a statement of it ran when its
/// server ended; zero: none ran.
async fn run(
    cx: &SessionContext,
    state: &SessionState,
    hold: &mut Hold,
    log: &TransactionLog,
    ran_on: u64,
) -> Result<Status, Failed> {
    let entries = match log.entries() {
        Ok(entries) => entries,
        Err(why) => return because(&why.to_string()),
    };
    match cx.control().run_again(&cx.database().name, ran_on).await {
        Ok(has) if has.starved => {
            return because(STARVED);
        }
        Ok(has) if has.plain_tables => {
            return because("the database has tables without transactions");
        }
        Ok(_) => {}
        Err(error) => return Err(Failed::Because(error.to_string())),
    }
    let own_time = state.has_own_time();
    let mut status = Status::default();
    for entry in entries {
        if let Some(set) = TransactionLog::before(entry, own_time) {
            expect_ok(hold, set.as_bytes()).await?;
        }
        let end = match entry.insert_id {
            0 => send(hold, entry).await?,
            id => generate(hold, entry, id).await?,
        };
        let same = match entry.digest {
            Some(digest) => end.digest == Some(digest),
            None => end.error.is_none(),
        };
        if !same {
            return because("a statement has another result now");
        }
        status = end.status.unwrap_or(status);
    }
    if entries.iter().any(|entry| entry.insert_id != 0) {
        let left = match hold.ask(LEFT.as_bytes()).await? {
            TextOutcome::Rows { rows, .. } => rows.into_iter().flatten().flatten().next(),
            _ => None,
        };
        if left.is_none_or(|left| left != b"0") {
            return because("a statement has not generated the id that it generated before");
        }
    }
    if !own_time {
        expect_ok(hold, AFTER.as_bytes()).await?;
    }
    if status.contains(Status::IN_TRANS) {
        Ok(status)
    } else {
        because("it has ended itself")
    }
}

/// Sends a command again that has generated this id: lets the server generate ids until it is that one, so that no other
/// session gets it meanwhile; a server that died may have counted less far than its clients were told. Behind it, the command is
/// given the id: nobody can get that any more.
async fn generate(hold: &mut Hold, entry: &Entry, id: u64) -> Result<ReplyEnd, Failed> {
    let last = match hold.ask(b"SELECT LAST_INSERT_ID()").await? {
        TextOutcome::Rows { rows, .. } => rows.into_iter().flatten().flatten().next(),
        _ => None,
    };
    let last = String::from_utf8(last.unwrap_or_default()).unwrap_or_default();
    expect_ok(hold, GENERATING.as_bytes()).await?;
    for _ in 0..MOST_GENERATED {
        let end = send(hold, entry).await?;
        if end.error.is_some() || end.last_insert_id == id {
            return Ok(end);
        }
        expect_ok(hold, NOT_GENERATED.as_bytes()).await?;
        expect_ok(hold, format!("SET last_insert_id = {last}").as_bytes()).await?;
        if end.last_insert_id > id {
            break;
        }
    }
    expect_ok(hold, format!("SET insert_id = {id}").as_bytes()).await?;
    send(hold, entry).await
}

async fn expect_ok(hold: &mut Hold, statement: &[u8]) -> Result<(), Failed> {
    match hold.ask(statement).await? {
        TextOutcome::Ok(_) => Ok(()),
        TextOutcome::Err(error) => Err(Failed::Because(error.message)),
        TextOutcome::Rows { .. } => because("a setting was answered with rows"),
    }
}

/// Sends a command again and reads its reply.
async fn send(hold: &mut Hold, entry: &Entry) -> Result<ReplyEnd, Failed> {
    let gone = || BackendError::from(std::io::Error::from(std::io::ErrorKind::NotConnected));
    let mut backend = hold.take_backend().ok_or_else(gone)?;
    let mut prepared = None;
    let payload = match &entry.command {
        Sent::Text(text) => [&[Command::Query as u8], &**text].concat(),
        Sent::Execution { text, payload } => {
            let (with, outcome) = backend.prepare(text).await?;
            backend = with;
            match outcome {
                Ok(statement) => {
                    let mut payload = payload.to_vec();
                    set_statement(&mut payload, statement.statement);
                    prepared = Some(statement.statement);
                    payload
                }
                Err(error) => {
                    hold.put_back(backend);
                    return Err(Failed::Because(error.message));
                }
            }
        }
    };
    let kind = ReplyKind::of(&payload);
    let mut packets = Vec::with_capacity(payload.len() + 4);
    write_packet(&mut packets, 0, &payload);
    let (mut backend, reply) =
        Backend::reply_to(backend, &packets, kind, Tracking::Nothing).await?;
    if let Some(id) = prepared {
        backend.cache.close(id);
    }
    hold.put_back(backend);
    Ok(reply.end)
}
