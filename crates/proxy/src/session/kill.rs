//! `KILL` and `COM_PROCESS_KILL`: a connection is named by the id its client was given at the login
//! (`CONNECTION_ID()`), or by the server's id of its present backend. The two kinds do not overlap.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_session::effects::may_run_stored_code;
use dormouse_session::kill::{Kill, Named, number};
use dormouse_session::{Effects, Kind};
use dormouse_types::{Ended, Manager};
use dormouse_wire::command::Command;
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::reply::{ErrPacket, OkPacket};

use super::connections::{tells, translate_text};
use super::context::SessionContext;
use super::left;
use super::main_loop::Session;
use super::mediate;
use super::reads::ending::interrupt;
use super::running::{Edit, Running};
use super::stored_code::{How, note_stored_code};
use crate::client::{Incoming, Over};
use crate::handle::{OWN_IDS, SessionHandle};
use crate::mailbox::SessionOrder;
use crate::refusal;

/// The longest wait until the connection of a killed session is closed.
const CLOSING: Duration = Duration::from_secs(1);

/// `ER_NO_SUCH_THREAD`.
pub(super) const UNKNOWN_THREAD: u16 = 1094;

/// `ER_KILL_DENIED_ERROR`.
pub(super) const NOT_OWNER: u16 = 1095;

/// The text of the statement, as far as it matters for what it leaves.
const KILL: &[u8] = b"KILL";

/// The users whose connections are the platform's.
const RESERVED: [&[u8]; 2] = [b"dormouse", b"mariadb.sys"];

/// How a `KILL` is carried out.
enum Verdict {
    /// It is refused.
    Refused(ErrPacket),
    /// The session has no backend; end it, if it is to be killed.
    Done(Option<Aim>),
    /// Run this statement on the server. While the [`Aim`] exists, the session that is to be killed
    /// keeps its backend, which has this number at the server.
    Run(Incoming, Option<(Aim, u32)>),
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
struct Aim {
    victim: Arc<SessionHandle>,
    query_only: bool,
}

impl Aim {
    fn at(victim: &Arc<SessionHandle>, query_only: bool) -> Self {
        victim.aimed_at.fetch_add(1, Ordering::SeqCst);
        let ends = u32::from(!query_only);
        victim.enders.fetch_add(ends, Ordering::SeqCst);
        Self {
            victim: Arc::clone(victim),
            query_only,
        }
    }

    /// Whether a session ends itself.
    fn is_own(&self, cx: &SessionContext) -> bool {
        Arc::ptr_eq(&self.victim, cx.handle())
    }

    /// Ends the session if its server has killed its connection. `end`: the reply, if there was one. Returns when the
    /// client's connection is closed, as a server answers only then; a session that ends itself is not waited for.
    async fn answered(&self, cx: &SessionContext, end: Option<&ReplyEnd>) {
        // a session that kills itself gets an error
        let own = self.is_own(cx);
        if self.query_only || !end.is_some_and(|end| end.error.is_none() || own) {
            return;
        }
        let ended = self.victim.ended.notified();
        self.victim.killed.store(true, Ordering::Release);
        self.victim.mailbox.send(SessionOrder::End);
        // it may have found the end of its connection to the server before
        if !own && !self.victim.gone.load(Ordering::SeqCst) {
            // one whose client does not read what it is sent ends later
            let _ = tokio::time::timeout(CLOSING, ended).await;
        }
    }
}

impl Drop for Aim {
    fn drop(&mut self) {
        let ends = u32::from(!self.query_only);
        self.victim.enders.fetch_sub(ends, Ordering::SeqCst);
        self.victim.aimed_at.fetch_sub(1, Ordering::SeqCst);
        // the pool may have asked for its lease meanwhile
        self.victim.mailbox.send(SessionOrder::Yield);
    }
}

/// The connection that `COM_PROCESS_KILL` names.
fn of_command(incoming: &Incoming) -> Option<u32> {
    let id = incoming.argument().first_chunk::<4>()?;
    Some(u32::from_le_bytes(*id))
}

/// Begins a `KILL`: ends a session that has no backend, or says what to run on the server.
fn begin(cx: &SessionContext, id: u32, query_only: bool) -> Verdict {
    let what = if query_only { "QUERY" } else { "CONNECTION" };
    let statement = |thread: u32| {
        let text = format!("KILL {what} {thread}");
        Incoming::made(Command::Query, text.as_bytes())
    };
    let Some(victim) = cx.database().session(id).filter(|_| id != 0) else {
        // a server that does not run has no threads
        if id >= OWN_IDS || cx.database().door.is_without_server() {
            return Verdict::Refused(refusal::unknown_thread(id));
        }
        // one of the server's own threads or an unknown id: the server answers
        return Verdict::Run(statement(id), None);
    };
    // from here on the session keeps its backend
    let aim = Aim::at(&victim, query_only);
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
        return Verdict::Run(statement(thread), Some((aim, thread)));
    }
    if aim.is_own(cx) {
        if !query_only {
            victim.mailbox.send(SessionOrder::End);
            return Verdict::Refused(refusal::killed());
        }
        return Verdict::Refused(refusal::interrupted());
    }
    // the session has no backend, so no server can check whether this user may kill it
    if foreign && cx.identity.manager != Manager::Owner {
        return Verdict::Refused(refusal::not_owner(id));
    }
    match query_only {
        true => Verdict::Done(None),
        false => Verdict::Done(Some(aim)),
    }
}

/// `COM_PROCESS_KILL`.
pub(super) async fn command(session: &mut Session, incoming: &Incoming) -> Result<(), Over> {
    match of_command(incoming) {
        Some(id) => kill_id(session, id, false).await,
        None => refuse(session, &refusal::malformed()).await,
    }
}

/// A `KILL` with this text. `parameter`: the value of its only one.
pub(super) async fn kill(
    session: &mut Session,
    kill: Kill,
    text: &[u8],
    parameter: Option<u32>,
) -> Result<(), Over> {
    let id = match kill.connection {
        Named::User { name, host } => return kill_user(session, &name, host.as_deref()).await,
        Named::CurrentUser => {
            let name = session.cx.handle().user();
            return kill_user(session, name.as_bytes(), None).await;
        }
        Named::Id(id) => Some(id),
        Named::Parameter => parameter,
        Named::Value(place) => {
            match value_of(session, text.get(place).unwrap_or_default()).await? {
                Some(value) => number(&value),
                None => return Ok(()),
            }
        }
    };
    // as a server does with what is no id
    kill_id(session, id.unwrap_or(0), kill.query_only).await
}

/// Ends the sessions of a user: an owner those of any, others their own.
async fn kill_user(session: &mut Session, name: &[u8], host: Option<&[u8]>) -> Result<(), Over> {
    if RESERVED.contains(&name) {
        return refuse(session, &refusal::reserved_user()).await;
    }
    let cx = &session.cx;
    let own = cx.handle().user();
    let may = cx.identity.manager == Manager::Owner || own.as_bytes() == name;
    let mut ended = 0;
    let mut itself = false;
    for victim in cx.database().all_sessions() {
        let who = victim.who().clone();
        let same = who.user.as_bytes() == name
            && host.is_none_or(|host| who.account_host.as_bytes().eq_ignore_ascii_case(host));
        if !may || !same {
            continue;
        }
        ended += 1;
        if Arc::ptr_eq(&victim, cx.handle()) {
            itself = true;
            continue;
        }
        victim.killed.store(true, Ordering::Release);
        victim.cut();
        victim.mailbox.send(SessionOrder::End);
    }
    if itself {
        return Err(session.client.end_with(&refusal::killed()).await);
    }
    let ok = OkPacket {
        affected: ended,
        status: session.state.status(),
        ..OkPacket::default()
    };
    let ok = ok.encode(session.client.capabilities, false);
    session.client.reply(&ok).await?;
    session.state.answered(KILL, ended);
    Ok(())
}

/// Answers with an error, which later statements can ask for.
async fn refuse(session: &mut Session, error: &ErrPacket) -> Result<(), Over> {
    session.client.reply_error(error).await?;
    let left = left::by_error(error, &session.client, session.state.status());
    session.state.ran_elsewhere(left);
    Ok(())
}

/// Answers with OK.
async fn done(session: &mut Session) -> Result<(), Over> {
    session.client.reply_ok(session.state.status()).await?;
    session.state.answered(KILL, 0);
    Ok(())
}

/// The server's value of an expression; `None`: the client has got an error. NULL is empty.
async fn value_of(session: &mut Session, expression: &[u8]) -> Result<Option<Vec<u8>>, Over> {
    let text = [b"SELECT (", expression, b") + 0"].concat();
    let effects = session.state.judge(&text, true);
    let mut running = Running::new(&session.cx, Incoming::made(Command::Query, &text), None);
    running.edit = Some(Edit::Take);
    // translated at once: its value is kept in place of the text
    if tells(&session.state, &running.incoming)
        && let Some(text) = translate_text(&session.cx, &session.state, &session.hold, &text, false)
    {
        running.incoming = Incoming::made(Command::Query, &text);
    }
    let Some(end) = session.run_on_server(&mut running).await? else {
        return Ok(None);
    };
    session.state.ran(&text, effects, Kind::of(&text), &end);
    let how = How {
        effects,
        untracked: false,
    };
    let mode = session.state.mode();
    note_stored_code(&session.cx, &mut session.state, &session.hold, how, || {
        may_run_stored_code(&text, mode)
    });
    session.state.arrived();
    Ok(match end.error {
        Some(_) => None,
        None => Some(running.kept.map_or(Vec::new(), Vec::from)),
    })
}

async fn kill_id(session: &mut Session, id: u32, query_only: bool) -> Result<(), Over> {
    // a database that sleeps and wakes all the time
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        if kill_once(session, id, query_only).await? {
            return Ok(());
        }
    }
    refuse(session, &refusal::unknown_thread(id)).await
}

/// Returns whether the client has been answered; if not, the session has lost its backend meanwhile.
async fn kill_once(session: &mut Session, id: u32, query_only: bool) -> Result<bool, Over> {
    if let Some(victim) = session.cx.database().session(id)
        && (victim.user() == session.cx.handle().user()
            || session.cx.identity.manager == Manager::Owner)
        && interrupt(&victim, query_only)
    {
        let aim = Aim::at(&victim, query_only);
        aim.answered(&session.cx, Some(&ReplyEnd::default())).await;
        session.client.reply_ok(session.state.status()).await?;
        return Ok(true);
    }
    let (statement, aim) = match begin(&session.cx, id, query_only) {
        Verdict::Refused(error) => {
            refuse(session, &error).await?;
            return Ok(true);
        }
        Verdict::Done(aim) => {
            if let Some(aim) = aim {
                aim.answered(&session.cx, Some(&ReplyEnd::default())).await;
            }
            done(session).await?;
            return Ok(true);
        }
        Verdict::Ask {
            thread,
            statement,
            aim,
        } => match Box::pin(mediate::kill(session, thread, query_only)).await? {
            Some(end) => {
                aim.answered(&session.cx, Some(&end)).await;
                return Ok(true);
            }
            None => (statement, Some((aim, thread))),
        },
        Verdict::Run(statement, aim) => (statement, aim),
    };
    let mut running = Running::new(&session.cx, statement, None);
    let Some((aim, thread)) = aim else {
        if let Some(end) = session.run_on_server(&mut running).await? {
            session.state.ran(KILL, Effects::None, Kind::Other, &end);
        }
        return Ok(true);
    };
    let target = session.cx.database().door.target();
    if let Some(target) = target.filter(|_| may_without_backend(&session.cx, &aim)) {
        // all backends may be held, perhaps by the one that is killed; while it is aimed at, the session keeps its own
        let what = match query_only {
            true => Ended::Statement,
            false => Ended::Connection,
        };
        let (name, control) = (&session.cx.database().name, session.cx.control());
        control.end_statement(name, &target, thread, what).await;
        aim.answered(&session.cx, Some(&ReplyEnd::default())).await;
        done(session).await?;
        return Ok(true);
    }
    running.victim = Some(Box::new((Arc::clone(&aim.victim), thread)));
    // the client gets the answer when the other one's connection is closed
    let other = !aim.is_own(&session.cx);
    running.edit = other.then_some(Edit::Take);
    let end = session.run_on_server(&mut running).await?;
    if running.victim.is_none() {
        return Ok(false);
    }
    aim.answered(&session.cx, end.as_ref()).await;
    if let Some(end) = &end {
        session.state.ran(KILL, Effects::None, Kind::Other, end);
    }
    match end.filter(|_| other).map(|end| end.error) {
        Some(None) => done(session).await?,
        // the server's text names the backend
        Some(Some(NOT_OWNER)) => refuse(session, &refusal::not_owner(id)).await?,
        Some(Some(UNKNOWN_THREAD)) => refuse(session, &refusal::unknown_thread(id)).await?,
        _ => {}
    }
    Ok(true)
}

/// Whether the control path may kill in this session's place: another session of the same user.
fn may_without_backend(cx: &SessionContext, aim: &Aim) -> bool {
    !aim.is_own(cx) && aim.victim.user() == cx.handle().user()
}
