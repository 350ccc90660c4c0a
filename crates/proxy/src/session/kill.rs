//! `KILL` and `COM_PROCESS_KILL`: a connection is named by the id its client was given at the
//! login, or by the one the server shows (`SHOW PROCESSLIST`, `CONNECTION_ID()`): that of its
//! present backend. The two kinds do not overlap.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_session::kill::Kill;
use dormouse_types::Manager;
use dormouse_wire::command::Command;
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::reply::ErrPacket;

use super::context::SessionContext;
use crate::client::Incoming;
use crate::handle::{OWN_IDS, SessionHandle};
use crate::mailbox::SessionOrder;
use crate::refusal;

/// How a `KILL` is carried out.
pub(super) enum Verdict {
    /// It is refused.
    Refused(ErrPacket),
    /// Done: the session has no backend.
    Done,
    /// Run this statement on the server. While the [`Aim`] exists, the session that is to be killed
    /// keeps its backend.
    Run(Incoming, Option<Aim>),
    /// The session is another user's, and this one may be an owner: ask the plane to kill its connection, or
    /// run the statement as above if this is no owner.
    Ask {
        /// The server's number of the connection.
        thread: u32,
        /// For the server.
        statement: Incoming,
        /// As above.
        aim: Aim,
    },
}

/// Guard on a session that is to be killed: while it exists, the session keeps its backend.
pub(super) struct Aim {
    victim: Arc<SessionHandle>,
    query_only: bool,
}

impl Aim {
    fn at(victim: &Arc<SessionHandle>, query_only: bool) -> Self {
        victim.aimed_at.fetch_add(1, Ordering::SeqCst);
        Self {
            victim: Arc::clone(victim),
            query_only,
        }
    }

    /// Ends the session if its server has killed its connection. `end`: the reply, if there was one.
    pub(super) fn answered(&self, cx: &SessionContext, end: Option<&ReplyEnd>) {
        // a session that kills itself gets an error
        let own = Arc::ptr_eq(&self.victim, cx.handle());
        if !self.query_only && end.is_some_and(|end| end.error.is_none() || own) {
            self.victim.killed.store(true, Ordering::Release);
            self.victim.mailbox.send(SessionOrder::End);
        }
    }
}

impl Drop for Aim {
    fn drop(&mut self) {
        self.victim.aimed_at.fetch_sub(1, Ordering::SeqCst);
        // the pool may have asked for its lease meanwhile
        self.victim.mailbox.send(SessionOrder::Yield);
    }
}

/// What `COM_PROCESS_KILL` asks for.
pub(super) fn of_command(incoming: &Incoming) -> Option<Kill> {
    let id = incoming.argument().first_chunk::<4>()?;
    Some(Kill {
        query_only: false,
        connection: u32::from_le_bytes(*id),
    })
}

/// Begins a `KILL`: ends a session that has no backend, or says what to run on the server.
pub(super) fn begin(cx: &SessionContext, kill: &Kill) -> Verdict {
    let id = kill.connection;
    let what = if kill.query_only {
        "QUERY"
    } else {
        "CONNECTION"
    };
    let statement = |thread: u32| {
        let text = format!("KILL {what} {thread}");
        Incoming::made(Command::Query, text.as_bytes())
    };
    let Some(victim) = cx.database().session(id).filter(|_| id != 0) else {
        if id >= OWN_IDS {
            return Verdict::Refused(refusal::unknown_thread(id));
        }
        // one of the server's own threads or an unknown id: the server answers
        return Verdict::Run(statement(id), None);
    };
    // from here on the session keeps its backend
    let aim = Aim::at(&victim, kill.query_only);
    let thread = victim.thread.load(Ordering::SeqCst);
    let foreign = victim.user() != cx.handle().user();
    if thread != 0 && foreign && cx.identity.manager == Manager::Owner {
        return Verdict::Ask {
            thread,
            statement: statement(thread),
            aim,
        };
    }
    if thread != 0 {
        return Verdict::Run(statement(thread), Some(aim));
    }
    // the session has no backend, so no server can check whether this user may kill it
    if foreign {
        return Verdict::Refused(refusal::not_owner(id));
    }
    if !kill.query_only {
        victim.mailbox.send(SessionOrder::End);
    }
    Verdict::Done
}
