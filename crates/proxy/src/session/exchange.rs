//! Sending a command to the server and passing its reply on to the client.

use std::sync::atomic::Ordering;
use std::time::SystemTime;

use dormouse_session::SessionState;
use dormouse_session::timeout::show;
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::filter::RowFilter;
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::packet::{HEADER, write_packet};
use dormouse_wire::reply::Tracking;

use super::account_rows::AccountRows;
use super::context::SessionContext;
use super::edits::{self, Answer};
use super::hold::Hold;
use super::kill::{NOT_OWNER, UNKNOWN_THREAD};
use super::parameters::address;
use super::resolve::mark_of;
use super::running::{Edit, Running};
use crate::backend::{Backend, BackendError};
use crate::client::{Client, Over};
use crate::refusal;
use crate::relay::{Broken, Changes, pass_on, relay};

/// Sends a command on the session's backend and passes the reply on.
pub(super) async fn exchange(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
) -> Result<ReplyEnd, Broken> {
    match running.timeout {
        Some(_) => Box::pin(exchange_shown(cx, client, state, hold, running)).await,
        None => pass_through(cx, client, state, hold, running).await,
    }
}

/// Runs a statement that may read or set a variable whose value on a backend is Dormouse's own, with the session's
/// value there. [`Hold::hide_values`] follows once the statement's end is noted.
async fn exchange_shown(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
) -> Result<ReplyEnd, Broken> {
    let limit = cx.handle().idle_limit.load(Ordering::Relaxed);
    let shown = hold
        .set_unprofiled(state, &show(limit, state.state_tracking()))
        .await;
    shown.map_err(|_| Broken::unread())?;
    pass_through(cx, client, state, hold, running).await
}

/// Sends the command and relays the reply.
async fn pass_through(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
) -> Result<ReplyEnd, Broken> {
    let tracking = cx.tracking(state, running.timeout.is_some());
    let incoming = &mut running.incoming;
    if let Some(id) = running.statement {
        address(&mut state.statements, incoming, id);
    }
    if running.edit.is_some() && incoming.is_whole() {
        return exchange_edited(cx, client, hold, running, tracking).await;
    }
    let kind = ReplyKind::of(incoming.payload());
    let Some(mut backend) = hold.take_backend() else {
        return Err(Broken::unread());
    };
    let closing = backend.cache.take_closing();
    let filter = filter_of(cx, running, &backend);
    if state.keeps_replies() {
        running.ends().sent = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    }
    if let Some(mark) = mark_of(cx, state, running, &backend) {
        running.ends().mark = Some(mark);
        let changes = Changes {
            tracking,
            statement: None,
            filter,
        };
        let closing = closings(&closing);
        return Box::pin(marked(client, hold, running, (backend, closing), changes)).await;
    }
    let incoming = &mut running.incoming;
    let mut speaking = backend.speak();
    let sent = if closing.is_empty() {
        speaking.send(&incoming.bytes, client.write_timeout).await
    } else {
        let bytes = [&closings(&closing), &*incoming.bytes].concat();
        speaking.send(&bytes, client.write_timeout).await
    };
    sent.map_err(|_| Broken::unread())?;
    let seq = if incoming.is_whole() {
        incoming.last_seq()
    } else {
        let (left, continues) = (incoming.left, incoming.continues);
        pass_on(&mut speaking, client, left, continues).await?
    };
    let mut listening = speaking.sent(kind, seq);
    if state.keeps_replies() {
        listening.digest();
    }
    let end = match kind {
        ReplyKind::None => ReplyEnd::default(),
        _ => {
            let mut changes = Changes {
                tracking,
                statement: running.statement.filter(|_| kind == ReplyKind::Prepare),
                filter,
            };
            relay(&mut listening, client, &mut changes).await?
        }
    };
    if let Some(backend) = listening.into_backend() {
        hold.put_back(backend);
    }
    Ok(end)
}

/// Sends a command that commits, right behind [what tells it apart](super::running::Mark::before), whose reply the client
/// does not get.
async fn marked(
    client: &mut Client,
    hold: &mut Hold,
    running: &mut Running,
    (backend, mut bytes): (Box<Backend>, Vec<u8>),
    mut changes: Changes<AccountRows>,
) -> Result<ReplyEnd, Broken> {
    let (incoming, mark) = (&running.incoming, &mut running.ends);
    let mark = mark.as_mut().and_then(|ends| ends.mark.as_mut());
    let before = mark.as_ref().map(|mark| mark.before()).unwrap_or_default();
    let query = [&[Command::Query as u8], before.as_bytes()].concat();
    write_packet(&mut bytes, 0, &query);
    bytes.extend_from_slice(&incoming.bytes);
    let mut speaking = backend.speak();
    let sent = speaking.send(&bytes, client.write_timeout).await;
    sent.map_err(|_| Broken::unread())?;
    let kind = ReplyKind::of(incoming.payload());
    let mut listening = speaking.sent_all([ReplyKind::of(&query), kind]);
    let reply = listening.reply(Tracking::Nothing).await;
    match (reply.and_then(|reply| Ok(reply.error()?)), mark) {
        (Ok(error), Some(mark)) => mark.answered(error),
        (Ok(_), None) => {}
        (Err(error), Some(mark)) if mark.is_of_change() && listening.proves_unanswered(&error) => {
            return Err(Broken::unread());
        }
        (Err(_), _) => return Err(Broken::outcome_unknown(false)),
    }
    let end = relay(&mut listening, client, &mut changes).await?;
    if let Some(backend) = listening.into_backend() {
        hold.put_back(backend);
    }
    Ok(end)
}

/// Sends a query whose reply is short, reads the whole reply and replaces values that the server does not
/// know.
async fn exchange_edited(
    cx: &SessionContext,
    client: &mut Client,
    hold: &mut Hold,
    running: &mut Running,
    tracking: Tracking,
) -> Result<ReplyEnd, Broken> {
    let Some(backend) = hold.take_backend() else {
        return Err(Broken::unread());
    };
    running.ends().sent = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let capabilities = backend.capabilities;
    let kind = ReplyKind::of(running.incoming.payload());
    let mut filter = filter_of(cx, running, &backend);
    let bytes = &running.incoming.bytes;
    let asked = backend.reply_to(bytes, kind, tracking).await;
    let (backend, reply) = match asked {
        Ok(answered) => answered,
        Err(BackendError::Malformed(what)) => {
            let delivered = false;
            return Err(Broken::Fault { what, delivered });
        }
        Err(_) => return Err(Broken::outcome_unknown(false)),
    };
    hold.put_back(backend);
    let sent = if reply.whole {
        let answer = Answer {
            reply: &reply.bytes,
            capabilities,
            binary: running.incoming.command == Command::StmtExecute,
        };
        let edited = match &running.edit {
            Some(Edit::Take) if running.victim.is_some() && is_of_kill(reply.end.error) => {
                return Ok(reply.end);
            }
            Some(Edit::Take) if reply.end.error.is_none() => {
                running.kept = answer.only_value().map(Into::into);
                return Ok(reply.end);
            }
            Some(edit) => edits::edit(cx, edit, &answer),
            None => None,
        };
        let packets = edited.as_ref().unwrap_or(&reply.bytes);
        match &mut filter {
            Some(filter) => client.send_packets(&filter.pass(packets)).await,
            None => client.send_packets(packets).await,
        }
    } else {
        client.reply_error(&refusal::too_long_to_edit()).await
    };
    sent.map_err(|Over| Broken::Client { running: false })?;
    Ok(reply.end)
}

/// What keeps Dormouse's credential out of the answer, if that may show the account.
pub(super) fn filter_of(
    cx: &SessionContext,
    running: &Running,
    backend: &Backend,
) -> Option<Box<RowFilter<AccountRows>>> {
    let binary = running.incoming.command == Command::StmtExecute;
    let rows = || AccountRows::of(cx, backend.target.origin);
    let shows = running.shows_account;
    shows.then(|| Box::new(RowFilter::new(rows(), backend.capabilities, binary)))
}

/// Whether an error says that a connection cannot be killed.
fn is_of_kill(error: Option<u16>) -> bool {
    matches!(error, Some(UNKNOWN_THREAD | NOT_OWNER))
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
