//! Sending a command to the server and passing its reply on to the client.

use std::sync::atomic::Ordering;

use dormouse_session::SessionState;
use dormouse_session::timeout::{HIGHEST, Timeout};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::packet::{HEADER, write_packet};
use dormouse_wire::reply::Tracking;
use dormouse_wire::rows::edit_rows;
use dormouse_wire::text::TextOutcome;

use super::answer::patch_row;
use super::connections::{engine_status, processes};
use super::context::SessionContext;
use super::hold::Hold;
use super::parameters::address;
use super::running::{Edit, Running};
use crate::backend::BackendError;
use crate::client::{Client, Over};
use crate::refusal;
use crate::relay::{Broken, pass_on, relay};

/// Sends a command on the session's backend and passes the reply on.
pub(super) async fn exchange(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
) -> Result<ReplyEnd, Broken> {
    match running.timeout {
        Some(timeout) => {
            Box::pin(exchange_with_timeout(
                cx, client, state, hold, running, timeout,
            ))
            .await
        }
        None => pass_through(cx, client, state, hold, running).await,
    }
}

/// Runs a statement that asks for `wait_timeout` or sets it, with the session's value on the backend
/// for as long as it runs. Dormouse keeps that limit; on a backend it always has its highest value.
async fn exchange_with_timeout(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
    timeout: Timeout,
) -> Result<ReplyEnd, Broken> {
    let limit = cx.handle().idle_limit.load(Ordering::Relaxed);
    let shown = set_timeout(hold, limit.clamp(1, HIGHEST.into())).await;
    shown.map_err(|_| Broken::unread())?;
    let end = pass_through(cx, client, state, hold, running).await?;
    match (hide_timeout(hold, timeout).await, timeout) {
        (Ok(_), Timeout::SetsDefault) => cx.limit_idle(cx.idle_default),
        (Ok(Some(seconds)), _) => cx.limit_idle(seconds),
        (Ok(None), _) => {}
        // the client has its reply; the next statement is answered with an error that names the lost state
        (Err(error), _) => hold.broke(cx, state, &error),
    }
    Ok(end)
}

async fn set_timeout(hold: &mut Hold, seconds: u64) -> Result<(), BackendError> {
    let statement = format!("SET SESSION wait_timeout = {seconds}");
    hold.ask(statement.as_bytes()).await.map(|_| ())
}

/// Sets the backend's value back to the highest. Returns the session's value, if the statement may have
/// changed it.
async fn hide_timeout(hold: &mut Hold, timeout: Timeout) -> Result<Option<u64>, BackendError> {
    let mut seconds = None;
    if timeout == Timeout::Sets
        && let TextOutcome::Rows { rows, .. } = hold.ask(b"SELECT @@wait_timeout").await?
    {
        let value = rows.first().and_then(|row| row.first()?.as_deref());
        seconds = value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
    }
    set_timeout(hold, HIGHEST.into()).await?;
    Ok(seconds)
}

/// Sends the command and relays the reply.
async fn pass_through(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
) -> Result<ReplyEnd, Broken> {
    let tracking = cx.tracking(state);
    let incoming = &mut running.incoming;
    if running.edit.is_some() && incoming.is_whole() {
        return exchange_edited(cx, client, hold, running, tracking).await;
    }
    let kind = ReplyKind::of(incoming.payload());
    if let Some(id) = running.statement {
        address(&mut state.statements, incoming, id);
    }
    let Some(mut backend) = hold.take_backend() else {
        return Err(Broken::unread());
    };
    let closing = backend.cache.take_closing();
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
    let renamed = running.statement.filter(|_| kind == ReplyKind::Prepare);
    let end = match kind {
        ReplyKind::None => ReplyEnd::default(),
        _ => relay(&mut listening, client, tracking, renamed).await?,
    };
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
    let capabilities = backend.capabilities;
    let (backend, reply) = match backend.reply_to(&running.incoming.bytes, tracking).await {
        Ok(answered) => answered,
        Err(BackendError::Malformed(what)) => {
            let delivered = false;
            return Err(Broken::Fault { what, delivered });
        }
        Err(_) => return Err(Broken::outcome_unknown(false)),
    };
    hold.put_back(backend);
    let sent = if reply.whole {
        let bytes = &reply.bytes;
        let edited = match &running.edit {
            Some(Edit::Row(patches)) => patch_row(bytes, patches, capabilities),
            Some(Edit::Processes) => {
                edit_rows(bytes, capabilities, |rows| Some(processes(cx, rows, None)))
            }
            Some(Edit::EngineStatus) => {
                edit_rows(bytes, capabilities, |rows| Some(engine_status(cx, rows)))
            }
            Some(Edit::Take) if reply.end.error.is_none() => {
                running.kept = only_value(bytes, capabilities).map(Into::into);
                return Ok(reply.end);
            }
            Some(Edit::Take) | None => None,
        };
        let packets = edited.as_ref().unwrap_or(&reply.bytes);
        client.send_packets(packets).await
    } else {
        client.reply_error(&refusal::too_long_to_edit()).await
    };
    sent.map_err(|Over| Broken::Client { running: false })?;
    Ok(reply.end)
}

/// The only value of a reply with one row.
fn only_value(reply: &[u8], capabilities: Capabilities) -> Option<Vec<u8>> {
    let mut value = None;
    let _unchanged = edit_rows(reply, capabilities, |rows| {
        value = rows.into_iter().next()?.into_iter().next()?;
        None
    });
    value
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
