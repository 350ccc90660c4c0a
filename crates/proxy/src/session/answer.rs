//! What Dormouse knows better than the server: the connection's id, and, once a session has left the
//! server that ran its last statement, what that statement has left.

use dormouse_session::aftermath::{Connection, mentioned};
use dormouse_session::{Put, Reading};
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
        match self.reading(incoming, statement) {
            Reading::No => return Ok(false),
            Reading::Patch(values) => {
                self.edit = Some(Edit::Row(values));
                return Ok(false);
            }
            Reading::Rewrite(text) => {
                *incoming = Incoming::made(Command::Query, &text);
                return Ok(false);
            }
            Reading::Reply(mut packets) => {
                set_status(&mut packets, self.state.status());
                self.skip(incoming.left, incoming.continues).await?;
                self.send_packets(&packets).await?;
                // as the server does after it has shown them
                self.state.showed();
            }
            Reading::Cannot(what) => {
                self.skip(incoming.left, incoming.continues).await?;
                self.reply_error(&refusal::cannot_tell(what)).await?;
            }
        }
        Ok(true)
    }

    /// What a command asks of what Dormouse knows better.
    fn reading(&mut self, incoming: &Incoming, statement: Option<u32>) -> Reading {
        let connection = Connection {
            id: self.membership.handle.id,
            socket: self.shared.socket(),
        };
        match (incoming.command, statement) {
            (Command::Query, _) => {
                let whole = incoming.is_whole();
                match self.state.reading(incoming.argument(), connection) {
                    Reading::Rewrite(_) if !whole => {
                        let name = mentioned(incoming.argument(), self.state.mode());
                        Reading::Cannot(name.unwrap_or("it"))
                    }
                    reading => reading,
                }
            }
            (Command::StmtExecute, Some(id)) => {
                let prepared = self.state.statements.get(id);
                let text = prepared.and_then(|statement| statement.text.clone());
                let text = text.unwrap_or_default();
                match self.state.reading(&text, connection) {
                    Reading::No => Reading::No,
                    // the connection's id alone
                    Reading::Patch(puts)
                        if self.state.aftermath().is_none()
                            && puts
                                .iter()
                                .all(|put| matches!(put, Put::Keep | Put::Value(_))) =>
                    {
                        Reading::No
                    }
                    // a row of another kind than a text's
                    _ => {
                        Reading::Cannot(mentioned(&text, self.state.mode()).unwrap_or("LASTVAL()"))
                    }
                }
            }
            _ => Reading::No,
        }
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
