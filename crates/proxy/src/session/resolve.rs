//! What became of a commit that was interrupted by the end of its server.
//!
//! A commit of a transaction is sent together with a savepoint of its own ([`Marker`](dormouse_types::Marker)), which stands
//! in the transaction's group of the binary log if it committed, and nowhere if it did not. A change outside of a transaction
//! is sent together with the question where the log ends: its group stands behind, with the session's connection id. The
//! log of the next server has that of the one that died, so the control path looks there as soon as the door has opened again.

use std::time::SystemTime;

use dormouse_session::effects::commits_alone;
use dormouse_session::replay::changes_rows;
use dormouse_session::steps::Outcome;
use dormouse_session::{Effects, SessionState};
use dormouse_types::{Target, Trace};
use dormouse_wire::command::Command;
use tokio::time::Instant;

use super::context::SessionContext;
use super::entering::{MOMENT, enter};
use super::hold::Hold;
use super::running::{Mark, Running};
use crate::backend::{Backend, Logs};
use crate::client::Over;
use crate::pool::Counters;

/// The mark of a command that is about to be sent; `None` if it needs none, or no log would have it.
pub(super) fn mark_of(
    cx: &SessionContext,
    state: &mut SessionState,
    running: &Running,
    backend: &Backend,
) -> Option<Mark> {
    let incoming = &running.incoming;
    let may = backend.residue.logs != Logs::Nothing
        && incoming.is_whole()
        && incoming.last_seq() == 0
        && matches!(incoming.command, Command::Query | Command::StmtExecute);
    if !may {
        return None;
    }
    let trace = if state.in_transaction() {
        let commits = !state.has_profiled() && judge(state, running, commits)?;
        commits.then(|| Trace::Marked(cx.shared.next_marker()))
    } else {
        let connection = cx.handle().id;
        let tells = backend.residue.logs == Logs::Connections
            && backend.residue.connection_id == connection
            && state.changes_alone()
            && running.timeout.is_none()
            && running.put_back.is_none();
        let changes = tells && judge(state, running, changes)?;
        changes.then_some(Trace::Behind {
            connection,
            position: None,
        })
    };
    Some(Mark {
        trace: trace?,
        instance: backend.target.instance,
        generation: backend.target.generation,
        sent: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
    })
}

/// Judges the command by its text, and the effects that this has on the session.
fn judge(
    state: &mut SessionState,
    running: &Running,
    by: fn(&SessionState, &[u8], Option<Effects>) -> bool,
) -> Option<bool> {
    let Some(id) = running.statement else {
        return Some(by(state, running.incoming.argument(), None));
    };
    let statement = state.statements.get(id)?;
    let (text, effects) = (statement.text.clone()?, statement.effects);
    Some(by(state, &text, Some(effects)))
}

/// Whether a text commits the transaction and can be run again.
fn commits(state: &SessionState, text: &[u8], _: Option<Effects>) -> bool {
    state.can_read(text) && commits_alone(text, state.mode())
}

/// Whether a text changes rows and does nothing else. `effects`: those of a prepared one.
fn changes(state: &SessionState, text: &[u8], effects: Option<Effects>) -> bool {
    changes_rows(text, state.mode())
        && state.can_read(text)
        && matches!(
            effects.unwrap_or_else(|| state.judge(text, true)),
            Effects::None | Effects::Counted
        )
}

/// Waits for another server and asks its log.
pub(super) async fn resolve(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
) -> Result<Outcome, Over> {
    let Some(mark) = running.ends().mark.take() else {
        let reason = "it has no mark in the binary log".to_owned();
        return Ok(Outcome::Unknown(reason));
    };
    let limit = cx.limits().hold_timeout;
    let deadline = Instant::now() + limit;
    let outcome = loop {
        let pass = match enter(cx, state, hold, &mut running.incoming).await? {
            Ok(pass) => pass,
            Err(error) => break Outcome::Unknown(error.message),
        };
        let target = &pass.target;
        if (target.instance, target.generation) != (mark.instance, mark.generation) {
            match ask(cx, target, &mark).await {
                Asked::Told(outcome) => break outcome,
                Asked::NoAnswer(why) if Instant::now() >= deadline => break Outcome::Unknown(why),
                Asked::NoAnswer(_) => {}
            }
        }
        // nobody has noticed yet that the server is dead
        drop(pass);
        if Instant::now() >= deadline {
            let seconds = limit.as_secs();
            break Outcome::Unknown(format!(
                "no other server was ready within limit hold_timeout = {seconds}s"
            ));
        }
        tokio::time::sleep(MOMENT).await;
    };
    let counters = cx.pool().counters();
    let counter = match &outcome {
        Outcome::Committed => &counters.found_committed,
        Outcome::RolledBack => &counters.found_rolled_back,
        Outcome::Unknown(_) => &counters.unresolved,
    };
    Counters::count(counter);
    let thread = cx.handle().id;
    tracing::info!(session = thread, trace = ?mark.trace, ?outcome, "a commit was interrupted");
    Ok(outcome)
}

/// What asking a server has given.
enum Asked {
    Told(Outcome),
    /// It does not answer: it may have ended as well, and the next one tells. The reason is for the client.
    NoAnswer(String),
}

/// Asks the log of this server.
async fn ask(cx: &SessionContext, target: &Target, mark: &Mark) -> Asked {
    let (name, control) = (&cx.database().name, cx.control());
    let asked = control.committed(name, target, mark.trace.clone(), mark.sent);
    let outcome = match asked.await {
        Ok(true) => Outcome::Committed,
        Ok(false) => Outcome::RolledBack,
        Err(why) => Outcome::Unknown(why.to_string()),
    };
    if outcome != Outcome::RolledBack || !mark.is_of_change() {
        return Asked::Told(outcome);
    }
    // of a transaction this is asked when it is run again
    match control.run_again(name, 0).await {
        Ok(has) if has.plain_tables => {
            let reason = "the database has tables without transactions".to_owned();
            Asked::Told(Outcome::Unknown(reason))
        }
        Ok(_) => Asked::Told(outcome),
        Err(why) => Asked::NoAnswer(why.to_string()),
    }
}
