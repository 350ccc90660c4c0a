//! Adapting the execution of a prepared statement to its backend: the backend's id for the statement, and
//! parameter types that it has not received.

use dormouse_session::Statements;
use dormouse_wire::command::Command;
use dormouse_wire::packet::{HEADER, write_packet};
use dormouse_wire::stmt::{BulkView, ExecuteView, set_statement};

use super::running::Running;
use crate::client::{Client, Incoming, Over};
use crate::inbox::Bytes;

/// Whether a long execution contains no parameter types and its backend has not received them.
pub(super) fn lacks_types(statements: &mut Statements, running: &Running) -> bool {
    let incoming = &running.incoming;
    let Some(id) = running.statement else {
        return false;
    };
    !incoming.is_whole()
        && matches!(
            incoming.command,
            Command::StmtExecute | Command::StmtBulkExecute
        )
        && statements.get(id).is_some_and(|statement| {
            !statement.bound
                && statement.types.is_some()
                && types_of(incoming, statement.params).is_none()
        })
}

/// Reads a long execution to its end and inserts the parameter types. `false`: it is too long for that.
pub(super) async fn complete_types(
    client: &mut Client,
    statements: &mut Statements,
    running: &mut Running,
) -> Result<bool, Over> {
    let incoming = &mut running.incoming;
    let Some(payload) = client.gather_rest(incoming).await? else {
        return Ok(false);
    };
    let statement = running.statement.and_then(|id| statements.get(id));
    let known = statement.and_then(|statement| Some((statement.params, statement.types.clone()?)));
    let payload = match (known, incoming.command) {
        (Some((params, types)), Command::StmtExecute) => {
            ExecuteView::with_types(&payload, params, &types)
        }
        (Some((params, types)), _) => BulkView::with_types(&payload, params, &types),
        (None, _) => payload,
    };
    let mut packets = Vec::with_capacity(payload.len() + HEADER);
    write_packet(&mut packets, 0, &payload);
    incoming.bytes = Bytes::Owned(packets);
    Ok(true)
}

/// Writes the present backend's id for a statement into a command about it, and the parameter
/// types if this backend does not have them.
pub(super) fn address(statements: &mut Statements, incoming: &mut Incoming, id: u32) {
    let Some(statement) = statements.get(id) else {
        return;
    };
    let Some(backend) = statement.backend else {
        return;
    };
    let missing = !statement.bound && types_of(incoming, statement.params).is_none();
    if missing
        && incoming.is_whole()
        && let Some(types) = &statement.types
    {
        let payload = match incoming.command {
            Command::StmtExecute => Some(ExecuteView::with_types(
                incoming.payload(),
                statement.params,
                types,
            )),
            Command::StmtBulkExecute => Some(BulkView::with_types(
                incoming.payload(),
                statement.params,
                types,
            )),
            _ => None,
        };
        if let Some(payload) = payload {
            let mut packet = Vec::with_capacity(payload.len() + HEADER);
            write_packet(&mut packet, 0, &payload);
            incoming.bytes = Bytes::Owned(packet);
        }
    }
    if let Some(payload) = incoming.bytes.get_mut(HEADER..) {
        set_statement(payload, backend);
    }
}

/// The parameter types in an execution, if it has any.
pub(super) fn types_of(incoming: &Incoming, params: u16) -> Option<Box<[u8]>> {
    match incoming.command {
        Command::StmtExecute => ExecuteView::parse(incoming.payload(), params).ok()?.types,
        Command::StmtBulkExecute => BulkView::parse(incoming.payload(), params).ok()?.types,
        _ => None,
    }
    .map(Into::into)
}
