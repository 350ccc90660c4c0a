//! Answers that the session's present backend cannot give: the connection's id, and what the last
//! statement left (`FOUND_ROWS()`, warnings), once the session has left the backend that ran it.

use dormouse_session::aftermath::{Connection, mentioned};
use dormouse_session::{Put, Reading, Session as SessionState};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;
use dormouse_wire::rows::{edit_rows, set_status};

use super::context::Context;
use super::running::{Edit, Running};
use crate::client::{Client, Incoming, Over};
use crate::refusal;

/// Answers a command in the server's place, or notes what is to be changed in the server's answer.
/// Returns whether it is answered.
pub(super) async fn answers(
    cx: &Context,
    client: &mut Client,
    state: &mut SessionState,
    running: &mut Running,
) -> Result<bool, Over> {
    let incoming = &mut running.incoming;
    match reading(cx, state, incoming, running.statement) {
        Reading::No => return Ok(false),
        Reading::Patch(values) => {
            running.edit = Some(Edit::Row(values));
            return Ok(false);
        }
        Reading::Rewrite(text) => {
            *incoming = Incoming::made(Command::Query, &text);
            return Ok(false);
        }
        Reading::Reply(mut packets) => {
            set_status(&mut packets, state.status());
            client.skip(incoming.left, incoming.continues).await?;
            client.send_packets(&packets).await?;
            // as the server does after it has shown them
            state.showed();
        }
        Reading::Cannot(what) => {
            client.skip(incoming.left, incoming.continues).await?;
            client.reply_error(&refusal::cannot_tell(what)).await?;
        }
    }
    Ok(true)
}

/// What a command asks that its backend cannot tell.
fn reading(
    cx: &Context,
    state: &mut SessionState,
    incoming: &Incoming,
    statement: Option<u32>,
) -> Reading {
    let connection = Connection {
        id: cx.handle().id,
        socket: cx.shared.socket(),
    };
    match (incoming.command, statement) {
        (Command::Query, _) => {
            let whole = incoming.is_whole();
            match state.reading(incoming.argument(), connection) {
                Reading::Rewrite(_) if !whole => {
                    let name = mentioned(incoming.argument());
                    Reading::Cannot(name.unwrap_or("it"))
                }
                reading => reading,
            }
        }
        (Command::StmtExecute, Some(id)) => {
            let prepared = state.statements.get(id);
            let text = prepared.and_then(|statement| statement.text.clone());
            let text = text.unwrap_or_default();
            match state.reading(&text, connection) {
                Reading::No => Reading::No,
                // it asks for the connection's id alone
                Reading::Patch(puts)
                    if state.aftermath().is_none()
                        && puts
                            .iter()
                            .all(|put| matches!(put, Put::Keep | Put::Value(_))) =>
                {
                    Reading::No
                }
                // its rows are binary, which are not edited
                _ => Reading::Cannot(mentioned(&text).unwrap_or("LASTVAL()")),
            }
        }
        _ => Reading::No,
    }
}

/// A reply of one row with other values in it, or an error in its place. `None` if the reply is not of
/// that kind.
pub(super) fn put(reply: &[u8], puts: &[Put], capabilities: Capabilities) -> Option<Vec<u8>> {
    let mut lost = None;
    let edited = edit_rows(reply, capabilities, |mut rows| {
        let [row] = rows.as_mut_slice() else {
            return None;
        };
        if row.len() != puts.len() {
            return None;
        }
        for (value, put) in row.iter_mut().zip(puts) {
            match put {
                Put::Value(new) => *value = Some(new.clone()),
                Put::IfNull(new) => *value = value.take().or_else(|| Some(new.clone())),
                Put::NeverNull(name) if value.is_none() => lost = Some(*name),
                Put::Keep | Put::NeverNull(_) => {}
            }
        }
        Some(rows)
    });
    let Some(name) = lost else {
        return edited;
    };
    let mut packet = Vec::new();
    write_packet(
        &mut packet,
        1,
        &refusal::cannot_tell(name).encode(capabilities),
    );
    Some(packet)
}
