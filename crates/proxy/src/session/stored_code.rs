//! Statements that may have run stored code which changes their session in ways that no reply reports.

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::{Certainty, Effects, SessionState};
use dormouse_types::Target;
use dormouse_wire::framer::ReplyEnd;
use tokio::time::Instant;

use super::context::SessionContext;
use super::hold::Hold;
use super::main_loop::Session;
use super::running::Running;
use crate::client::Over;
use crate::pool::stored_code::{Hides, Question};

/// The shortest time between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// How a statement has run.
pub(super) struct How {
    pub(super) effects: Effects,
    /// Whether the server did not report changes of state meanwhile.
    pub(super) untracked: bool,
}

/// After a statement: if it may have run stored code (`ran`) and the database has code that changes sessions silently,
/// the session's state is in doubt. In other databases this reads one number.
pub(super) fn note_stored_code(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &Hold,
    how: How,
    ran: impl FnOnce() -> bool,
) {
    let silent = matches!(
        how.effects,
        Effects::None | Effects::Counted | Effects::Savepoint
    );
    let Some(backend) = hold.backend().filter(|_| silent) else {
        return;
    };
    let (hides, question) = cx.pool().stored_code().look(&backend.target);
    if let Some(question) = question {
        ask(cx, question);
    }
    let certainty = match hides {
        Hides::Nothing if !how.untracked => return,
        Hides::Nothing | Hides::Perhaps => Certainty::Doubtful,
        Hides::Changes => Certainty::Unknown,
    };
    if ran() {
        state.ran_stored_code(certainty);
    }
}

/// Whether the database is known to have no stored code that changes sessions silently.
pub(super) fn hides_nothing(cx: &SessionContext, target: &Target) -> bool {
    let (hides, question) = cx.pool().stored_code().look(target);
    if let Some(question) = question {
        ask(cx, question);
    }
    hides == Hides::Nothing
}

/// Runs a command that may change stored code.
pub(super) async fn run_changing_code(
    session: &mut Session,
    running: &mut Running,
) -> Result<Option<ReplyEnd>, Over> {
    let pool = Arc::clone(session.cx.pool());
    let _changing = pool.stored_code().changes();
    session.run_on_server(running).await
}

/// Asks the server, beside the session. It takes at most a tenth of the time, however often the code changes.
fn ask(cx: &SessionContext, question: Question) {
    let (shared, database) = (Arc::clone(&cx.shared), Arc::clone(cx.database()));
    tokio::spawn(async move {
        let began = Instant::now();
        let hides = shared.control.hides_changes(&database.name).await;
        let code = database.pool().stored_code();
        code.answered(&question, hides);
        tokio::time::sleep(PAUSE.max(began.elapsed() * 9)).await;
        code.may_ask();
    });
}
