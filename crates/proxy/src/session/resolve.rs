//! What became of a transaction whose commit was interrupted by the end of its server.
//!
//! A commit is sent together with a savepoint of its own ([`Marker`](dormouse_types::Marker)), which stands in the transaction's group of the
//! binary log if it committed, and nowhere if it did not. The log of the next server has that of the one that died, so the
//! control path looks there as soon as the door has opened again.

use std::time::SystemTime;

use dormouse_session::SessionState;
use dormouse_session::effects::commits_alone;
use dormouse_session::steps::Outcome;
use dormouse_wire::command::Command;
use tokio::time::Instant;

use super::context::SessionContext;
use super::entering::{MOMENT, enter};
use super::hold::Hold;
use super::running::{Mark, Running};
use crate::backend::Backend;
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
    let may = backend.residue.logs
        && state.in_transaction()
        && incoming.is_whole()
        && incoming.last_seq() == 0
        && matches!(incoming.command, Command::Query | Command::StmtExecute)
        && !state.has_profiled();
    if !may {
        return None;
    }
    let commits = match running.statement {
        None => judge(state, incoming.argument()),
        Some(id) => {
            let text = state.statements.get(id)?.text.clone()?;
            judge(state, &text)
        }
    };
    if !commits {
        return None;
    }
    Some(Mark {
        marker: cx.shared.next_marker(),
        instance: backend.target.instance,
        generation: backend.target.generation,
        sent: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
    })
}

/// Whether a text commits and can be run again.
fn judge(state: &SessionState, text: &[u8]) -> bool {
    state.can_read(text) && commits_alone(text, state.mode())
}

/// Waits for another server and asks its log.
pub(super) async fn resolve(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    running: &mut Running,
) -> Result<Outcome, Over> {
    let Some(mark) = running.ends().mark.take() else {
        let reason = "it was not marked in the binary log".to_owned();
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
            let name = &cx.database().name;
            let asked = cx
                .control()
                .committed(name, target, mark.marker, mark.sent)
                .await;
            break match asked {
                Ok(true) => Outcome::Committed,
                Ok(false) => Outcome::RolledBack,
                Err(why) => Outcome::Unknown(why.to_string()),
            };
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
    tracing::info!(session = thread, marker = %mark.marker, ?outcome, "a commit was interrupted");
    Ok(outcome)
}
