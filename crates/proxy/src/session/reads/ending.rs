//! Ends statements on replicas.
//!
//! The control path knows the primary alone; but an account may end its own connections, so a second one does it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::reads::ServerRun;

use super::backends::{Away, backend, give_back};
use crate::handle::SessionHandle;
use crate::pool::Counters;
use crate::replicas::ReplicaServer;
use crate::session::context::SessionContext;

/// Timeout of killing a statement.
const END: Duration = Duration::from_secs(10);

/// Ends the statement of this session's account that runs on this connection of a replica. `what`: `QUERY` or
/// `CONNECTION`.
pub(super) async fn end_at(
    cx: &SessionContext,
    server: &Arc<ReplicaServer>,
    thread: u32,
    what: &str,
) {
    let text = format!("KILL {what} {thread}");
    let ending = async {
        let backend = backend(cx, server, true).await?;
        let (backend, _outcome) = backend.ask(text.as_bytes()).await?;
        give_back(server, backend);
        Ok::<(), Away>(())
    };
    if !matches!(tokio::time::timeout(END, ending).await, Ok(Ok(()))) {
        tracing::warn!(thread, "cannot end a statement on a replica");
    }
    Counters::count(&cx.pool().counters().departures);
}

/// The session has been ended in the middle of a command: ends its statement on a replica, if there is one.
pub(crate) async fn end_elsewhere(cx: &SessionContext) {
    let Some((target, thread)) = cx.handle().elsewhere.end() else {
        return;
    };
    let run = ServerRun {
        instance: target.instance,
        generation: target.generation,
    };
    if let Some(server) = cx.database().replicas.find(run) {
        end_at(cx, &server, thread, "CONNECTION").await;
    }
}

/// Ends the statement that another session runs on a replica; with `query_only` the session stays. Returns whether it
/// runs one.
pub(crate) fn interrupt(victim: &Arc<SessionHandle>, query_only: bool) -> bool {
    if !victim.elsewhere.is_running() {
        return false;
    }
    match query_only {
        true => victim.elsewhere.interrupt(),
        false => {
            victim.cut();
            true
        }
    }
}
