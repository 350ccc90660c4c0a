//! What Dormouse knows better than the server: the connection's id, and, once a session has left the
//! server that ran its last statement, what that statement has left.

use dormouse_session::Reading;
use dormouse_session::aftermath::{Connection, mentioned, reading};
use dormouse_session::quoting::in_default_mode;
use dormouse_wire::command::Command;
use dormouse_wire::rows::set_status;

use super::taking::Incoming;
use super::{Attendant, Edit, Over};
use crate::refusal;

impl Attendant {
    /// Answers a command in the server's place, or notes what is to be put into the server's answer.
    /// Says whether it is answered.
    pub(super) async fn answers(
        &mut self,
        incoming: &Incoming,
        statement: Option<u32>,
    ) -> Result<bool, Over> {
        match self.reading(incoming, statement) {
            Reading::No => return Ok(false),
            Reading::Patch(values) => {
                self.edit = Some(Edit::Row(values));
                return Ok(false);
            }
            Reading::Reply(mut packets) => {
                set_status(&mut packets, self.state.status());
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
                let text = in_default_mode(incoming.argument(), self.state.status());
                reading(&text, self.state.aftermath(), connection)
            }
            (Command::StmtExecute, Some(id)) if self.state.aftermath().is_some() => {
                let prepared = self.state.statements.get(id);
                let text = prepared.and_then(|statement| statement.text.clone());
                let text = text.unwrap_or_default();
                match reading(&text, self.state.aftermath(), connection) {
                    Reading::No => Reading::No,
                    // a row of another kind than a text's
                    _ => Reading::Cannot(mentioned(&text).unwrap_or("it")),
                }
            }
            _ => Reading::No,
        }
    }
}
