//! Temporary tables that a planned park carries to the next server.

use dormouse_session::carried::{Table, Tables, definition_questions};
use dormouse_session::{Answer, Question, SessionState};
use dormouse_wire::text::TextOutcome;

use super::held::Hold;
use crate::backend::{Backend, BackendError};
use crate::session::context::SessionContext;

/// Reads the session's temporary tables, if the database carries them and nothing else keeps the session on its
/// backend. Returns whether all of them can be made again.
pub(super) async fn read_tables(
    hold: &mut Hold,
    cx: &SessionContext,
    state: &mut SessionState,
) -> bool {
    let carries = |backend: &Backend| backend.target.carry.temporary_tables;
    let names = state.tables_to_carry();
    let Some(names) = names.filter(|_| hold.backend().is_some_and(carries)) else {
        return false;
    };
    let Some(backend) = hold.take_backend() else {
        return false;
    };
    match read(backend, &names).await {
        Ok((backend, tables)) => {
            hold.put_back(backend);
            let whole = tables.is_some();
            if let Some(tables) = tables {
                state.carry(tables);
            }
            whole
        }
        Err(error) => {
            hold.broke(cx, state, &error);
            false
        }
    }
}

/// Reads these tables; `None` if one cannot be carried, or they are too large.
async fn read(
    mut backend: Box<Backend>,
    names: &[String],
) -> Result<(Box<Backend>, Option<Tables>), BackendError> {
    let mut tables = Tables::default();
    for name in names {
        let questions = definition_questions(name).map(|text| Question::Rows(text.into_bytes()));
        let answers;
        (backend, answers) = backend.ask_all(&questions).await?;
        let [Answer::Rows(create), Answer::Rows(columns)] = answers.as_slice() else {
            return Ok((backend, None));
        };
        let Some(table) = Table::read(name, create, columns) else {
            return Ok((backend, None));
        };
        let question = Question::Rows(table.rows_question().into_bytes());
        let answers;
        (backend, answers) = backend.ask_all(&[question]).await?;
        let [Answer::Rows(rows)] = answers.as_slice() else {
            return Ok((backend, None));
        };
        if !tables.add(&table, rows) {
            return Ok((backend, None));
        }
    }
    Ok((backend, Some(tables)))
}

/// Makes the session's carried tables again.
pub(super) async fn make_tables(
    mut backend: Box<Backend>,
    state: &mut SessionState,
) -> Result<Box<Backend>, BackendError> {
    let Some(tables) = state.carried() else {
        return Ok(backend);
    };
    for statement in tables.statements() {
        let outcome;
        (backend, outcome) = backend.ask(statement).await?;
        if let TextOutcome::Err(error) = outcome {
            let statement = statement.clone();
            return Err(BackendError::Restore { statement, error });
        }
    }
    Ok(backend)
}
