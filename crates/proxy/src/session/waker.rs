//! What the ledger says of a session that wakes its database: its statement's digest, and its account.

use dormouse_session::SessionState;
use dormouse_session::digest::{digest, digest_of_start};
use dormouse_types::WokenBy;
use dormouse_wire::command::Command;

use super::context::SessionContext;
use crate::client::Incoming;

/// The command, as far as it may be kept, and whose it is.
pub(super) fn woken_by(cx: &SessionContext, state: &SessionState, incoming: &Incoming) -> WokenBy {
    let statement = digest_of(state, incoming).filter(|digest| !digest.is_empty());
    let statement = statement.unwrap_or_else(|| name_of(incoming.command));
    WokenBy::new(statement, &cx.identity.user, &cx.identity.peer.host())
}

/// The digest of the text that the command runs, if it has one. A text that may be read otherwise than the server reads it
/// has none: what is a value might be taken for a name.
fn digest_of(state: &SessionState, incoming: &Incoming) -> Option<String> {
    let (argument, mode) = (incoming.argument(), state.mode());
    match incoming.command {
        Command::Query | Command::StmtPrepare if !state.can_read(argument) => None,
        Command::Query | Command::StmtPrepare if incoming.is_whole() => {
            Some(digest(argument, mode))
        }
        Command::Query | Command::StmtPrepare => Some(digest_of_start(argument, mode)),
        Command::StmtExecute | Command::StmtBulkExecute | Command::StmtFetch => {
            let id = state
                .statements
                .resolve(u32::from_le_bytes(*argument.first_chunk()?));
            let text = state.statements.text_as_prepared(id)?;
            state.can_read(text).then(|| digest(text, mode))
        }
        _ => None,
    }
}

/// The protocol's name of a command without a text; a login that makes its schema has none.
fn name_of(command: Command) -> String {
    match command {
        Command::Connect => WokenBy::LOGIN.to_owned(),
        command => command.name(),
    }
}
