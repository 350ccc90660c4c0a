//! `KILL` and `COM_PROCESS_KILL`: a connection is named by the id its client was given at the
//! login, or by the one the server shows (`SHOW PROCESSLIST`, `CONNECTION_ID()`): that of its
//! present backend. The two kinds do not overlap.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_session::kill::Kill;
use dormouse_wire::command::Command;

use super::taking::Incoming;
use super::{Attendant, Over};
use crate::handle::{OWN_IDS, SessionHandle};
use crate::mailbox::Order;
use crate::refusal;

/// As long as this is held, the session keeps the backend it has.
struct Aim(Arc<SessionHandle>);

impl Aim {
    fn at(session: &Arc<SessionHandle>) -> Self {
        session.aimed_at.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(session))
    }
}

impl Drop for Aim {
    fn drop(&mut self) {
        self.0.aimed_at.fetch_sub(1, Ordering::SeqCst);
        // it may have been asked for its lease meanwhile
        self.0.mailbox.send(Order::Yield);
    }
}

impl Attendant {
    pub(super) async fn process_kill(&mut self, incoming: Incoming) -> Result<(), Over> {
        match incoming.argument().first_chunk::<4>() {
            Some(id) => {
                let connection = u32::from_le_bytes(*id);
                self.kill(Kill {
                    query_only: false,
                    connection,
                })
                .await
            }
            None => self.reply_error(&refusal::malformed()).await,
        }
    }

    pub(super) async fn kill(&mut self, kill: Kill) -> Result<(), Over> {
        let id = kill.connection;
        let what = if kill.query_only {
            "QUERY"
        } else {
            "CONNECTION"
        };
        let Some(victim) = self.database().session(id).filter(|_| id != 0) else {
            if id >= OWN_IDS {
                return self.reply_error(&refusal::unknown_thread(id)).await;
            }
            // a thread of the server's own, or none: it knows
            let statement = format!("KILL {what} {id}");
            let statement = Incoming::made(Command::Query, statement.as_bytes());
            return self.run_on_server(statement, None).await.map(|_| ());
        };
        // from here on it keeps the backend it has
        let _aim = Aim::at(&victim);
        let thread = victim.thread.load(Ordering::SeqCst);
        if thread == 0 {
            // no server knows it, so none can judge whether this user may
            if victim.user() != self.membership.handle.user() {
                return self.reply_error(&refusal::not_owner(id)).await;
            }
            if !kill.query_only {
                victim.mailbox.send(Order::End);
            }
            return self.reply_ok().await;
        }
        let what = if kill.query_only {
            "QUERY"
        } else {
            "CONNECTION"
        };
        let statement = Incoming::made(Command::Query, format!("KILL {what} {thread}").as_bytes());
        let own = Arc::ptr_eq(&victim, &self.membership.handle);
        // killing oneself is answered with an error
        let done = self.run_on_server(statement, None).await?;
        if !kill.query_only && done.is_some_and(|end| end.error.is_none() || own) {
            victim.killed.store(true, Ordering::Release);
            victim.mailbox.send(Order::End);
        }
        Ok(())
    }
}
