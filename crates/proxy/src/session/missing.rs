//! Statements made with SQL's `PREPARE` that could not be prepared when the session came to its backend.

use dormouse_session::SessionState;
use dormouse_wire::command::Command;
use dormouse_wire::text::TextOutcome;

use super::Attendant;
use super::taking::Incoming;
use crate::backend::BackendError;

impl Attendant {
    /// Before a command that may execute one, where there are any: prepares them once more. One that
    /// cannot be prepared now has another in its place, which fails with the same error.
    pub(super) async fn prepare_missing(
        &mut self,
        incoming: &mut Incoming,
        statement: Option<u32>,
    ) -> Result<(), BackendError> {
        let text = match (incoming.command, statement) {
            (Command::Query, _) => incoming.argument().to_vec(),
            (Command::StmtExecute, Some(id)) => {
                let statement = self.state.statements.get(id);
                let text = statement.and_then(|statement| statement.text.clone());
                text.map_or(Vec::new(), |text| text.to_vec())
            }
            _ => return Ok(()),
        };
        let missing = self.state.missing_texts(&text, incoming.is_whole());
        for (name, prepare) in missing {
            let TextOutcome::Err(error) = self.ask(&prepare).await? else {
                self.state.tried_text(&name, 1, false);
                continue;
            };
            let _taken = self.ask(&SessionState::stand_in(&name, &error)).await?;
            self.state.tried_text(&name, 2, true);
        }
        if incoming.command == Command::Query
            && incoming.is_whole()
            && let Some(text) = self.state.without_parameters(&text)
        {
            *incoming = Incoming::made(Command::Query, &text);
        }
        Ok(())
    }
}
