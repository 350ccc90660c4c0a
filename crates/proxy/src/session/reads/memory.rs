//! What a session remembers of its reads.

use dormouse_session::reads::Causality;
use dormouse_types::Reads;
use dormouse_wire::command::Command;

use crate::client::Incoming;

/// Where a session reads, and what it has seen.
///
/// A session that has not read on a replica has nothing of this: it may have seen all that the primary has. So a new
/// session sees what was written before it began, perhaps by the same application.
#[derive(Debug, Default)]
pub(crate) struct SessionReads(pub(crate) Option<Box<Memory>>);

#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// What the client has said by `SET DORMOUSE READS`.
    pub(crate) wish: Option<Reads>,
    pub(crate) causality: Causality,
}

impl SessionReads {
    /// Where the session reads, if its client has said so.
    pub(crate) fn wish(&self) -> Option<Reads> {
        self.0.as_ref()?.wish
    }

    /// The client's wish is forgotten.
    pub(crate) fn forget_wish(&mut self) {
        if let Some(memory) = &mut self.0 {
            memory.wish = None;
        }
    }

    /// What it has, made if it has nothing.
    pub(crate) fn memory(&mut self) -> &mut Memory {
        self.0.get_or_insert_with(|| {
            let mut memory = Box::<Memory>::default();
            memory.causality.used_primary();
            memory
        })
    }

    /// Something that may write or read data runs on the primary.
    pub(crate) fn used_primary(&mut self) {
        if let Some(memory) = &mut self.0 {
            memory.causality.used_primary();
        }
    }

    /// A command is about to run on the primary.
    pub(crate) fn uses_primary(&mut self, incoming: &Incoming) {
        let data = match incoming.command {
            _ if self.0.is_none() => false,
            Command::StmtPrepare
            | Command::StmtReset
            | Command::StmtSendLongData
            | Command::InitDb
            | Command::SetOption
            | Command::ResetConnection
            | Command::Statistics => false,
            Command::Query => may_use_data(incoming.argument()),
            _ => true,
        };
        if data {
            self.used_primary();
        }
    }
}

/// Whether a text may be more than a `SET` or a `USE` that reads no table.
fn may_use_data(text: &[u8]) -> bool {
    use dormouse_session::lexer::{begins_with, contains};
    !begins_with(text, &["SET", "USE"]) || contains(text, "SELECT") || text.contains(&b'(')
}
