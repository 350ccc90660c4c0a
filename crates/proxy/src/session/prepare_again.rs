//! Preparing statements again on a new backend: statements of
//! `COM_STMT_PREPARE` when they are next used, and those of SQL's `PREPARE` that could not be prepared
//! when the session came to its backend.

use dormouse_session::{Pin, SessionState};
use dormouse_wire::command::Command;
use dormouse_wire::framer::Prepared;
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::text::TextOutcome;

use super::connections::translate_text;
use super::context::SessionContext;
use super::hold::{Hold, Unready};
use super::running::Running;
use crate::backend::{Backend, BackendError};
use crate::refusal;

/// Prepares a statement on a backend that does not have it yet, under the schema it was first
/// prepared in; or the text `instead` in its place, for one execution.
pub(super) async fn prepare_again(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    id: u32,
    instead: Option<&[u8]>,
) -> Result<(), Unready> {
    let current = state.schema().cloned();
    let context = state.statements.parsing_context();
    let Some(statement) = state.statements.get(id) else {
        return Ok(());
    };
    let (text, schema) = (statement.text.clone(), statement.schema.clone());
    let same_context = statement.parsing_context == context;
    let (Some(text), Some(mut backend)) = (text, hold.take_backend()) else {
        return Err(Unready::CannotRestore(refusal::state_lost(&[
            Pin::PreparedText,
        ])));
    };
    let tells = statement.tells;
    let anew = tells || instead.is_some();
    let replaced = std::mem::replace(&mut statement.replaced, instead.is_some());
    if (anew || replaced)
        && let Some(stale) = statement.backend.take()
    {
        backend.cache.close(stale);
    }
    let mut cached = match same_context && !anew {
        true => backend.cache.take(&text, schema.as_ref()),
        false => None,
    };
    // without types from the client, the server would use those of an earlier session
    if statement.types.is_none() {
        let other = cached.take_if(|cached| cached.types.is_some());
        other
            .into_iter()
            .for_each(|other| backend.cache.close(other.id));
    }
    if let Some(cached) = cached {
        statement.backend = Some(cached.id);
        statement.bound = cached.types.is_some() && cached.types == statement.types;
        hold.put_back(backend);
        return Ok(());
    }
    let elsewhere = schema.is_some() && schema != current;
    if elsewhere && current.is_none() {
        // after a change of the schema the session could not go back to none
        hold.put_back(backend);
        return Err(Unready::Refused(refusal::no_schema()));
    }
    let there = schema.filter(|_| elsewhere);
    let back = current.filter(|_| elsewhere);
    hold.put_back(backend);
    let text = instead.unwrap_or(&text);
    let new = match tells {
        true => translate_text(cx, state, hold, text, true),
        false => None,
    };
    let Some(backend) = hold.take_backend() else {
        return Err(Unready::ServerGone);
    };
    let text = new.as_deref().unwrap_or(text);
    let prepared = match prepare_in(backend, text, there.as_deref(), back.as_deref()).await {
        Ok((backend, prepared)) => {
            hold.put_back(backend);
            prepared.map_err(Unready::Refused)?
        }
        Err(error) => {
            hold.broke(cx, state, &error);
            return Err(Unready::ServerGone);
        }
    };
    if let Some(statement) = state.statements.get(id) {
        statement.backend = Some(prepared.statement);
        statement.bound = false;
    }
    Ok(())
}

/// Prepares the statements that the backend lacks before a command that may change how they are parsed. One that cannot be
/// prepared fails when it is executed.
pub(super) async fn prepare_first(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &Running,
) -> Result<(), Unready> {
    let (incoming, statement) = (&running.incoming, running.statement);
    let ids = match (incoming.command, statement) {
        (Command::Query, _) => state.to_prepare_before(incoming.argument()),
        (Command::StmtExecute, Some(id)) => {
            let statement = state.statements.get(id);
            let text = statement.and_then(|statement| statement.text.clone());
            text.map_or(Vec::new(), |text| state.to_prepare_before(&text))
        }
        _ => Vec::new(),
    };
    for id in ids {
        match prepare_again(cx, state, hold, id, None).await {
            Ok(()) | Err(Unready::Refused(_) | Unready::CannotRestore(_)) => {}
            Err(gone) => return Err(gone),
        }
    }
    Ok(())
}

/// Prepares a text in the schema `there` and goes back to the schema `back`.
async fn prepare_in(
    mut backend: Box<Backend>,
    text: &[u8],
    there: Option<&[u8]>,
    back: Option<&[u8]>,
) -> Result<(Box<Backend>, Result<Prepared, ErrPacket>), BackendError> {
    // either schema may have been dropped
    if let Some(schema) = there {
        (backend, _) = backend.tell(Command::InitDb, schema).await?;
    }
    let (mut backend, prepared) = backend.prepare(text).await?;
    if let Some(schema) = back {
        (backend, _) = backend.tell(Command::InitDb, schema).await?;
    }
    Ok((backend, prepared))
}

/// Prepares missing statements of SQL's `PREPARE` before a command that may execute one. One that cannot
/// be prepared gets a stand-in that fails with the same error.
pub(super) async fn prepare_missing(
    state: &mut SessionState,
    hold: &mut Hold,
    running: &Running,
) -> Result<(), BackendError> {
    let (incoming, statement) = (&running.incoming, running.statement);
    let text = match (incoming.command, statement) {
        (Command::Query, _) => incoming.argument().to_vec(),
        (Command::StmtExecute, Some(id)) => {
            let statement = state.statements.get(id);
            let text = statement.and_then(|statement| statement.text.clone());
            text.map_or(Vec::new(), |text| text.to_vec())
        }
        _ => return Ok(()),
    };
    let missing = state.missing_texts(&text, incoming.is_whole());
    for (name, prepare) in missing {
        let TextOutcome::Err(error) = hold.ask(&prepare).await? else {
            state.tried_text(&name, 1, false);
            continue;
        };
        let _taken = hold.ask(&state.stand_in(&name, &error)).await?;
        state.tried_text(&name, 2, true);
    }
    Ok(())
}
