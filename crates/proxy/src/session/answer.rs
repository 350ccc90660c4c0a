//! Answers that the session's present backend cannot give: Dormouse's own socket, and what the last
//! statement left (`FOUND_ROWS()`, warnings), once the session has left the backend that ran it.

use std::ops::Range;

use dormouse_session::diagnostics::mentioned;
use dormouse_session::{Override, SessionState, ValuePatch};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;
use dormouse_wire::rows::{edit_rows, replace_numbers, set_status};

use super::context::SessionContext;
use super::running::{Edit, Running};
use crate::client::{Client, Incoming, Over};
use crate::refusal;

/// Answers a command in the server's place, or notes what is to be changed in the server's answer.
/// Returns whether it is answered.
pub(super) async fn try_answer(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    running: &mut Running,
) -> Result<bool, Over> {
    let incoming = &mut running.incoming;
    match override_for(cx, state, incoming, running.statement) {
        Override::None => return Ok(false),
        Override::PatchRow(values) => {
            running.edit = Some(Edit::Row(values));
            return Ok(false);
        }
        Override::Rewrite(text) => {
            *incoming = Incoming::made(Command::Query, &text);
            return Ok(false);
        }
        Override::List(list, shown) => {
            let mut packets = shown_rows(list, &shown, cx.identity.capabilities);
            set_status(&mut packets, state.status());
            client.skip(incoming.left, incoming.continues).await?;
            client.send_packets(&packets).await?;
            // as the server does after it has shown them
            state.showed();
        }
        Override::Refuse(what) => {
            client.skip(incoming.left, incoming.continues).await?;
            client.reply_error(&refusal::cannot_tell(what)).await?;
        }
    }
    Ok(true)
}

/// How the server's answer to this command must be replaced or changed.
fn override_for(
    cx: &SessionContext,
    state: &mut SessionState,
    incoming: &Incoming,
    statement: Option<u32>,
) -> Override {
    let socket = cx.shared.socket();
    match (incoming.command, statement) {
        (Command::Query, _) => {
            let whole = incoming.is_whole();
            match state.override_for(incoming.argument(), socket) {
                Override::Rewrite(_) if !whole => {
                    let name = mentioned(incoming.argument(), state.mode());
                    Override::Refuse(name.unwrap_or("it"))
                }
                other => other,
            }
        }
        (Command::StmtExecute, Some(id)) => {
            let prepared = state.statements.get(id);
            let text = prepared.and_then(|statement| statement.text.clone());
            let text = text.unwrap_or_default();
            match state.override_for(&text, socket) {
                Override::None => Override::None,
                // it asks for the socket alone
                Override::PatchRow(patches)
                    if state.diagnostics().is_none()
                        && patches.iter().all(|patch| {
                            matches!(patch, ValuePatch::Keep | ValuePatch::Replace(_))
                        }) =>
                {
                    Override::None
                }
                // not a cursor
                Override::PatchRow(patches) if incoming.argument().get(4) == Some(&0) => {
                    Override::PatchRow(patches)
                }
                // the reply has binary rows, which cannot be edited
                _ => Override::Refuse(mentioned(&text, state.mode()).unwrap_or("LASTVAL()")),
            }
        }
        _ => Override::None,
    }
}

/// These rows of a kept reply.
fn shown_rows(list: Box<[u8]>, shown: &Range<u64>, capabilities: Capabilities) -> Vec<u8> {
    if *shown == (0..u64::MAX) {
        return list.into();
    }
    let edited = edit_rows(&list, capabilities, |rows| {
        let numbered = (0_u64..).zip(rows);
        Some(
            numbered
                .filter(|(n, _)| shown.contains(n))
                .map(|(_, row)| row)
                .collect(),
        )
    });
    edited.unwrap_or_else(|| list.into())
}

/// The reply of a prepared statement with numbers of its only row replaced, or an error in its place.
pub(super) fn patch_numbers(
    reply: &[u8],
    patches: &[ValuePatch],
    capabilities: Capabilities,
) -> Vec<u8> {
    let number = |patch: &ValuePatch| match patch {
        ValuePatch::Keep => Some(None),
        ValuePatch::Replace(digits) => std::str::from_utf8(digits).ok()?.parse().ok().map(Some),
        ValuePatch::ReplaceNull(_) | ValuePatch::RefuseNull(_) => None,
    };
    let values: Option<Vec<Option<i64>>> = patches.iter().map(number).collect();
    let edited = values.and_then(|values| replace_numbers(reply, &values, capabilities));
    edited.unwrap_or_else(|| {
        let mut packet = Vec::new();
        let error = refusal::cannot_tell("a value").encode(capabilities);
        write_packet(&mut packet, 1, &error);
        packet
    })
}

/// The reply with values of its only row replaced, or an error in its place. `None` if the reply has not
/// exactly one row.
pub(super) fn patch_row(
    reply: &[u8],
    patches: &[ValuePatch],
    capabilities: Capabilities,
) -> Option<Vec<u8>> {
    let mut lost = None;
    let edited = edit_rows(reply, capabilities, |mut rows| {
        let [row] = rows.as_mut_slice() else {
            return None;
        };
        if row.len() != patches.len() {
            return None;
        }
        for (value, patch) in row.iter_mut().zip(patches) {
            match patch {
                ValuePatch::Replace(new) => *value = Some(new.clone()),
                ValuePatch::ReplaceNull(new) => *value = value.take().or_else(|| Some(new.clone())),
                ValuePatch::RefuseNull(name) if value.is_none() => lost = Some(*name),
                ValuePatch::Keep | ValuePatch::RefuseNull(_) => {}
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
