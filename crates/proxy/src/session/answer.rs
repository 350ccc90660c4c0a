//! What Dormouse knows better than the server: the connection's id, and, once a session has left the
//! server that ran its last statement, what that statement has left.

use dormouse_session::diagnostics::{Connection, mentioned};
use dormouse_session::{Override, ValuePatch};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;
use dormouse_wire::rows::{edit_rows, set_status};

use super::taking::Incoming;
use super::{Attendant, Edit, Over};
use crate::refusal;

impl Attendant {
    /// Answers a command in the server's place, or notes what is to be put into the server's answer.
    /// Says whether it is answered.
    pub(super) async fn answers(
        &mut self,
        incoming: &mut Incoming,
        statement: Option<u32>,
    ) -> Result<bool, Over> {
        match self.override_for(incoming, statement) {
            Override::None => return Ok(false),
            Override::PatchRow(values) => {
                self.edit = Some(Edit::Row(values));
                return Ok(false);
            }
            Override::Rewrite(text) => {
                *incoming = Incoming::made(Command::Query, &text);
                return Ok(false);
            }
            Override::Reply(mut packets) => {
                set_status(&mut packets, self.state.status());
                self.skip(incoming.left, incoming.continues).await?;
                self.send_packets(&packets).await?;
                // as the server does after it has shown them
                self.state.showed();
            }
            Override::Refuse(what) => {
                self.skip(incoming.left, incoming.continues).await?;
                self.reply_error(&refusal::cannot_tell(what)).await?;
            }
        }
        Ok(true)
    }

    /// What a command asks of what Dormouse knows better.
    fn override_for(&mut self, incoming: &Incoming, statement: Option<u32>) -> Override {
        let connection = Connection {
            id: self.membership.handle.id,
            socket: self.shared.socket(),
        };
        match (incoming.command, statement) {
            (Command::Query, _) => {
                let whole = incoming.is_whole();
                match self.state.override_for(incoming.argument(), connection) {
                    Override::Rewrite(_) if !whole => {
                        let name = mentioned(incoming.argument(), self.state.mode());
                        Override::Refuse(name.unwrap_or("it"))
                    }
                    other => other,
                }
            }
            (Command::StmtExecute, Some(id)) => {
                let prepared = self.state.statements.get(id);
                let text = prepared.and_then(|statement| statement.text.clone());
                let text = text.unwrap_or_default();
                match self.state.override_for(&text, connection) {
                    Override::None => Override::None,
                    // the connection's id alone
                    Override::PatchRow(puts)
                        if self.state.diagnostics().is_none()
                            && puts.iter().all(|put| {
                                matches!(put, ValuePatch::Keep | ValuePatch::Replace(_))
                            }) =>
                    {
                        Override::None
                    }
                    // a row of another kind than a text's
                    _ => {
                        Override::Refuse(mentioned(&text, self.state.mode()).unwrap_or("LASTVAL()"))
                    }
                }
            }
            _ => Override::None,
        }
    }
}

/// A reply of one row with other values in it, or an error in its place. `None` if the reply is not of
/// that kind.
pub(super) fn put(
    reply: &[u8],
    puts: &[ValuePatch],
    capabilities: Capabilities,
) -> Option<Vec<u8>> {
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
