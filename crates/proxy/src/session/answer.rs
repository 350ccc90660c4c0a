//! Answers that the session's present backend cannot give: Dormouse's own socket, and what the last
//! statement left (`FOUND_ROWS()`, warnings), once the session has left the backend that ran it.

use std::ops::Range;

use dormouse_session::diagnostics::mentioned;
use dormouse_session::{Format, Override, SessionState, ValuePatch};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;
use dormouse_wire::rows::{binary_rows, edit_rows, set_status};

use super::context::SessionContext;
use super::running::{Edit, Running};
use crate::client::{Client, Incoming, Over};
use crate::refusal;

/// Answers a command in the server's place, or notes what is to be changed in the command or in the server's answer.
/// Returns whether it is answered.
pub(super) async fn try_answer(
    cx: &SessionContext,
    client: &mut Client,
    state: &mut SessionState,
    running: &mut Running,
) -> Result<bool, Over> {
    let incoming = &mut running.incoming;
    let executes = running.statement.is_some();
    match override_for(
        cx,
        state,
        incoming,
        running.statement,
        running.executed.as_deref(),
    ) {
        Override::None => return Ok(false),
        Override::PatchRow(values) => {
            running.edit = Some(Edit::Row(values));
            return Ok(false);
        }
        // they would show in the profiles, or other statements of Dormouse's would come between
        Override::PutBack(_, what) if state.is_profiling() || running.timeout.is_some() => {
            client.skip(incoming.left, incoming.continues).await?;
            client.reply_error(&refusal::cannot_tell(what)).await?;
        }
        Override::PutBack(statements, what) => {
            running.put_back = Some(Box::new((statements, what)));
            return Ok(false);
        }
        Override::Rewrite(text) if executes => {
            running.instead = Some(text.into());
            return Ok(false);
        }
        Override::Rewrite(text) => {
            *incoming = Incoming::made(Command::Query, &text);
            return Ok(false);
        }
        Override::List(list, shown) => {
            let capabilities = cx.identity.capabilities;
            let mut packets = shown_rows(list, &shown, capabilities);
            if executes && let Some(binary) = binary_rows(&packets, capabilities) {
                packets = binary;
            }
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

/// How the server's answer to this command must be replaced or changed. `executed` is the text that an `EXECUTE` runs.
fn override_for(
    cx: &SessionContext,
    state: &mut SessionState,
    incoming: &Incoming,
    statement: Option<u32>,
    executed: Option<&[u8]>,
) -> Override {
    let socket = cx.shared.socket();
    let name = |text: &[u8], mode| Override::Refuse(mentioned(text, mode).unwrap_or("LASTVAL()"));
    match (incoming.command, statement) {
        (Command::Query, _) => {
            let text = incoming.argument();
            match state.override_for(text, executed, socket, Format::Text) {
                Override::Rewrite(_) if !incoming.is_whole() => name(text, state.mode()),
                other => other,
            }
        }
        (Command::StmtExecute | Command::StmtBulkExecute, Some(id)) => {
            let prepared = state.statements.get(id);
            // what was sent for it is at the backend's own statement
            let stays = prepared
                .as_ref()
                .is_some_and(|statement| statement.long_data);
            let text = prepared.and_then(|statement| statement.text.clone());
            let text = text.unwrap_or_default();
            let cursor = incoming.argument().get(4) != Some(&0);
            match state.override_for(&text, None, socket, Format::Binary) {
                Override::Rewrite(_) if stays => name(&text, state.mode()),
                Override::List(..) if cursor => name(&text, state.mode()),
                other => other,
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
