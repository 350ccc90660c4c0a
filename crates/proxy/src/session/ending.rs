//! Statements that nobody waits for any more are ended at the server.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_types::Ended;

use super::context::SessionContext;
use super::reads::ending::end_elsewhere;
use crate::door::Pass;
use crate::pool::Counters;

/// Timeout of killing a statement.
const END: Duration = Duration::from_secs(10);

/// Makes the server kill the statement of a client that has left: a server in a long computation does
/// not notice that its connection is closed.
pub(super) async fn end_statement(cx: &SessionContext, pass: &Pass) {
    let thread = cx.handle().thread.load(Ordering::SeqCst);
    let name = &cx.database().name;
    let ended = cx
        .control()
        .end_statement(name, &pass.target, thread, Ended::Connection);
    if tokio::time::timeout(END, ended).await.is_err() {
        tracing::warn!(thread, "cannot end the statement of a client that has left");
    }
    Counters::count(&cx.pool().counters().departures);
}

/// The session is ended in the middle of a command, whose connection to the server is closed already: makes the server
/// kill the statement, which may not notice that.
pub(super) async fn end_cut_statement(cx: &SessionContext) {
    if cx.handle().elsewhere.is_running() {
        return Box::pin(end_elsewhere(cx)).await;
    }
    let thread = cx.handle().thread.load(Ordering::SeqCst);
    if thread == 0 {
        return;
    }
    if let Some(target) = cx.database().door.target() {
        let name = &cx.database().name;
        let ended = cx
            .control()
            .end_statement(name, &target, thread, Ended::Connection);
        if tokio::time::timeout(END, ended).await.is_err() {
            tracing::warn!(
                thread,
                "cannot end the statement of a session that was ended"
            );
        }
    }
}
