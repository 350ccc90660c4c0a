//! Changes of a server's answer: values that the server knows of its connection to Dormouse, and that differ for the
//! client.

use dormouse_session::SessionState;
use dormouse_session::tls_status::shows_status;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::rows::{Value, edit_binary_rows, edit_rows};

use super::answer::patch_row;
use super::connections::{engine_status, processes};
use super::context::SessionContext;
use super::running::Edit;
use crate::client::Incoming;

/// A server's answer, and how it is to be read.
pub(super) struct Answer<'a> {
    pub(super) reply: &'a [u8],
    pub(super) capabilities: Capabilities,
    /// Whether its rows are binary: the command was `COM_STMT_EXECUTE`.
    pub(super) binary: bool,
}

/// The edited answer; `None`: it stays as it is.
pub(super) fn edit(cx: &SessionContext, edit: &Edit, answer: &Answer<'_>) -> Option<Vec<u8>> {
    let Answer {
        reply,
        capabilities,
        ..
    } = *answer;
    match edit {
        Edit::Row(patches) => patch_row(reply, patches, capabilities),
        Edit::Processes => answer.edit(|rows| processes(cx, rows, None)),
        Edit::EngineStatus => answer.edit(|rows| engine_status(cx, rows)),
        Edit::Take => None,
        Edit::Tls(status) => answer.edit(|mut rows| {
            rows.iter_mut().for_each(|row| status.put(row));
            rows
        }),
    }
}

impl Answer<'_> {
    /// The only value of a text answer with one row.
    pub(super) fn only_value(&self) -> Option<Vec<u8>> {
        let mut value = None;
        let _unchanged = edit_rows(self.reply, self.capabilities, |rows| {
            value = rows.into_iter().next()?.into_iter().next()?;
            None
        });
        value
    }

    /// The first value of each row of a text answer; `None` if there is none, or it cannot be read.
    pub(super) fn first_values(&self) -> Option<Vec<Vec<u8>>> {
        let mut values = None;
        let read = |rows: Vec<Vec<Value>>| {
            values = rows
                .into_iter()
                .map(|row| row.into_iter().next()?)
                .collect();
            None
        };
        let _unchanged = match self.binary {
            true => edit_binary_rows(self.reply, self.capabilities, read),
            false => edit_rows(self.reply, self.capabilities, read),
        };
        values
    }

    fn edit(&self, edit: impl FnOnce(Vec<Vec<Value>>) -> Vec<Vec<Value>>) -> Option<Vec<u8>> {
        let edit = |rows| Some(edit(rows));
        match self.binary {
            true => edit_binary_rows(self.reply, self.capabilities, edit),
            false => edit_rows(self.reply, self.capabilities, edit),
        }
    }
}

/// How the answer to this text is to be edited. Cheap for a text that begins with another letter than `SHOW` does.
pub(super) fn of_text(cx: &SessionContext, state: &SessionState, text: &[u8]) -> Option<Edit> {
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b'S' | b's' | b'/' | b'#' | b'-') {
        return None;
    }
    let mode = state.mode();
    let status = cx.tls.as_deref().filter(|_| shows_status(text, mode))?;
    Some(Edit::Tls(Box::new(*status)))
}

/// The same for a prepared statement; without a cursor its rows are in the reply.
pub(super) fn of_prepared(
    cx: &SessionContext,
    state: &SessionState,
    incoming: &Incoming,
    text: &[u8],
) -> Option<Edit> {
    // the flags of the command, behind the statement's id
    let without_cursor = incoming.payload().get(5) == Some(&0);
    let executes = incoming.command == Command::StmtExecute && incoming.is_whole();
    if !executes || !without_cursor {
        return None;
    }
    of_text(cx, state, text)
}
