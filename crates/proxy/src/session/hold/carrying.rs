//! What a planned park carries to the next server: temporary tables and locks of the session.

use dormouse_session::carried::{
    Carried, Table, Tables, UserLock, Wanted, definition_questions, named, names_question,
};
use dormouse_session::rows::Rows;
use dormouse_session::{Answer, Question, SessionState};
use dormouse_wire::text::TextOutcome;

use super::held::Hold;
use super::unready::Unready;
use crate::backend::{Backend, BackendError, Schema};
use crate::client::Over;
use crate::door::Pass;
use crate::handle::LeaseState;
use crate::mailbox::TakeLocks;
use crate::session::context::SessionContext;

/// Reads what the database carries over parks, if nothing else keeps the session on its backend. Returns whether all
/// of it can be made again. The door is shut.
pub(super) async fn read_carried(
    hold: &mut Hold,
    cx: &SessionContext,
    state: &mut SessionState,
) -> bool {
    let carry = hold.backend().map(|backend| backend.target.carry);
    let Some(wanted) = carry.and_then(|carry| state.to_carry(carry)) else {
        return false;
    };
    let Some(backend) = hold.take_backend() else {
        return false;
    };
    match read(backend, &wanted).await {
        Ok((backend, carried)) => {
            hold.put_back(backend);
            let whole = carried.is_some();
            if let Some(carried) = carried {
                state.carry(carried);
            }
            whole
        }
        Err(BackendError::LockTaken) => {
            hold.lose(state);
            false
        }
        Err(error) => {
            hold.broke(cx, state, &error);
            false
        }
    }
}

/// Gets a backend and takes the session's carried locks on it, while the door is open for this alone. Answers whether
/// that is settled: they are taken, or lost and the client will be told.
pub(super) async fn take_locks(
    hold: &mut Hold,
    cx: &SessionContext,
    state: &mut SessionState,
    order: TakeLocks,
) -> Result<(), Over> {
    let settled = taken(hold, cx, state, order.pass).await?;
    let _ = order.reply.send(settled);
    Ok(())
}

async fn taken(
    hold: &mut Hold,
    cx: &SessionContext,
    state: &mut SessionState,
    pass: Pass,
) -> Result<bool, Over> {
    if !state.carries_locks() {
        return Ok(true);
    }
    if hold.has_backend() || cx.handle().lease() == LeaseState::Waiting {
        return Ok(false);
    }
    let taken = Box::pin(hold.take(cx, state, &pass, Schema::IfThere)).await?;
    let in_time = cx.database().door.opens_for(&pass.target);
    drop(pass);
    match taken {
        Ok(()) if in_time => Box::pin(hold.share_lease(cx, state)).await,
        // others may have had the locks meanwhile
        Ok(()) => hold.lose(state),
        Err(Unready::ServerGone | Unready::Shutting) => return Ok(false),
        Err(Unready::SessionStateLost(lost)) => hold.will_tell(lost),
        Err(Unready::Refused(_) | Unready::CannotRestore(_)) => {
            hold.will_tell(state.lose_carried());
        }
    }
    Ok(true)
}

/// Reads all of this; `None` if something cannot be carried.
async fn read(
    backend: Box<Backend>,
    wanted: &Wanted,
) -> Result<(Box<Backend>, Option<Carried>), BackendError> {
    let (mut backend, tables) = read_tables(backend, &wanted.tables).await?;
    let Some(tables) = tables else {
        return Ok((backend, None));
    };
    let mut locks = Some(Vec::new());
    if wanted.locks {
        (backend, locks) = read_locks(backend).await?;
    }
    let carried = locks.map(|locks| Carried { tables, locks });
    Ok((backend, carried))
}

async fn read_tables(
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
        let rows;
        (backend, rows) = ask_rows(backend, table.rows_question()).await?;
        if !rows.is_some_and(|rows| tables.add(&table, &rows)) {
            return Ok((backend, None));
        }
    }
    Ok((backend, Some(tables)))
}

/// Counts how often each lock has been taken: releases it until it is free, and takes it again.
async fn read_locks(
    backend: Box<Backend>,
) -> Result<(Box<Backend>, Option<Vec<UserLock>>), BackendError> {
    let thread = backend.thread;
    let (mut backend, rows) = ask_rows(backend, names_question(thread)).await?;
    let Some(mut locks) = rows.and_then(|rows| named(&rows, thread)) else {
        return Ok((backend, None));
    };
    let mut whole = true;
    for lock in &mut locks {
        loop {
            let rows;
            (backend, rows) = ask_rows(backend, lock.release_question()).await?;
            if lock.released(&rows.unwrap_or_default()) || lock.is_excessive() {
                break;
            }
        }
        backend = take(backend, lock).await?;
        whole &= !lock.is_excessive();
    }
    Ok((backend, whole.then_some(locks)))
}

/// Takes a lock as often as it had been taken. An error: somebody else has it.
async fn take(backend: Box<Backend>, lock: &UserLock) -> Result<Box<Backend>, BackendError> {
    let (backend, rows) = ask_rows(backend, lock.take_question()).await?;
    match lock.is_taken(&rows.unwrap_or_default()) {
        true => Ok(backend),
        false => Err(BackendError::LockTaken),
    }
}

async fn ask_rows(
    backend: Box<Backend>,
    question: String,
) -> Result<(Box<Backend>, Option<Rows>), BackendError> {
    let question = Question::Rows(question.into_bytes());
    let (backend, mut answers) = backend.ask_all(&[question]).await?;
    let rows = match answers.pop() {
        Some(Answer::Rows(rows)) => Some(rows),
        _ => None,
    };
    Ok((backend, rows))
}

/// Makes again what the session carries.
pub(super) async fn make_again(
    mut backend: Box<Backend>,
    state: &SessionState,
) -> Result<Box<Backend>, BackendError> {
    let Some(carried) = state.carried() else {
        return Ok(backend);
    };
    // first: others may want them
    for lock in &carried.locks {
        backend = take(backend, lock).await?;
    }
    for statement in carried.tables.statements() {
        let outcome;
        (backend, outcome) = backend.ask(statement).await?;
        if let TextOutcome::Err(error) = outcome {
            let statement = statement.clone();
            return Err(BackendError::Restore { statement, error });
        }
    }
    Ok(backend)
}
