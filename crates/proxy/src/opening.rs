//! The opening of a door behind which a server has been started.
//!
//! A lock that a session carries over a park excludes others only if the session has it before any other one can ask for
//! it. So the door opens for these sessions first, and for all when they have taken their locks.

use std::sync::Arc;
use std::time::Duration;

use dormouse_types::Target;
use tokio::sync::oneshot;

use crate::database::Database;
use crate::mailbox::{SessionOrder, TakeLocks};

/// How long the others wait. Sessions that are late lose their locks, and their clients are told.
const LIMIT: Duration = Duration::from_secs(10);

/// A session that has been asked to take its locks, and its answer.
type Asked = (u32, oneshot::Receiver<bool>);

/// Opens the database's door: first for the sessions that carry locks.
pub(crate) fn open(database: &Arc<Database>, target: Target) {
    if !database.door.has_opened_to(target.generation) {
        // a session that has not noticed the end of the server before would be taken for one with the same thread on this one
        database.forget_threads();
    }
    let ids = database.carriers.take();
    let sessions: Vec<_> = ids
        .into_iter()
        .filter_map(|id| database.session(id))
        .collect();
    if sessions.is_empty() {
        return database.door.open(target);
    }
    let passes = database.door.open_for(target, sessions.len());
    let Some(target) = passes.first().map(|pass| Arc::clone(&pass.target)) else {
        return;
    };
    let asked = sessions.iter().zip(passes).map(|(session, pass)| {
        let (reply, answer) = oneshot::channel();
        let order = Box::new(TakeLocks { pass, reply });
        session.mailbox.send(SessionOrder::TakeLocks(order));
        (session.id, answer)
    });
    let asked = asked.collect();
    let database = Arc::clone(database);
    tokio::spawn(async move { open_for_all(&database, &target, asked).await });
}

/// Waits until the sessions have taken their locks, and opens the door for all.
async fn open_for_all(database: &Database, target: &Arc<Target>, asked: Vec<Asked>) {
    let until = tokio::time::Instant::now() + LIMIT;
    let mut unsettled = Vec::new();
    for (session, answer) in asked {
        match tokio::time::timeout_at(until, answer).await {
            // without an answer its client has left
            Ok(Ok(true) | Err(_)) => {}
            Ok(Ok(false)) | Err(_) => unsettled.push(session),
        }
    }
    if !database.door.open_for_all(target) {
        // the server is gone: they carry the locks to the next one
        unsettled
            .into_iter()
            .for_each(|session| database.carriers.add(session));
    }
}
