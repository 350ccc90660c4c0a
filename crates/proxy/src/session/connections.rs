//! The other connections of a session's database, as its statements see them.

use dormouse_session::connections::{Connections, Present, Resting, may_tell, translated};
use dormouse_types::SessionStatus;
use dormouse_wire::command::Command;
use dormouse_wire::rows::Value;

use super::context::SessionContext;
use super::hold::Hold;
use super::running::Running;
use crate::client::Incoming;
use dormouse_session::SessionState;

/// The account that `dormouse create` makes.
const OWNER: &str = "admin";

/// Whether the session's user sees the sessions of all users.
pub(super) fn sees_all(cx: &SessionContext) -> bool {
    cx.identity.user == OWNER
}

/// The sessions that the session's user may see.
pub(super) fn visible(cx: &SessionContext) -> Vec<SessionStatus> {
    let mut all = cx.database().session_statuses(cx.shared.seconds());
    if !sees_all(cx) {
        all.retain(|session| session.user == cx.identity.user);
    }
    all
}

/// Whether a text may tell ids of connections, so that it must be [translated](translate) when it is sent.
pub(super) fn tells(state: &SessionState, incoming: &Incoming) -> bool {
    let schema = state.schema().map(|schema| &**schema);
    incoming.is_whole() && may_tell(incoming.argument(), schema)
}

/// Translates a command that may tell ids of connections, for the backend that the session has now.
pub(super) fn translate(
    cx: &SessionContext,
    state: &SessionState,
    hold: &Hold,
    running: &mut Running,
) {
    if !running.tells {
        return;
    }
    let command = running.incoming.command;
    let text = running
        .kept
        .get_or_insert_with(|| running.incoming.argument().into());
    if let Some(text) = translate_text(cx, state, hold, text, command == Command::StmtPrepare) {
        running.incoming = Incoming::made(command, &text);
    }
}

/// The text that the server gets in place of this one; `None` for the same.
pub(super) fn translate_text(
    cx: &SessionContext,
    state: &SessionState,
    hold: &Hold,
    text: &[u8],
    prepared: bool,
) -> Option<Vec<u8>> {
    let schema = state.schema().map(|schema| &**schema);
    translated(text, state.mode(), schema, prepared, &known(cx, hold))
}

fn known(cx: &SessionContext, hold: &Hold) -> Connections {
    let everyone = cx.database().session_statuses(cx.shared.seconds());
    let (present, resting): (Vec<_>, Vec<_>) =
        { everyone.into_iter() }.partition(|session| session.server_thread.is_some());
    let present = present.into_iter().filter_map(|session| {
        Some(Present {
            thread: session.server_thread?,
            id: session.id,
            host: session.host,
        })
    });
    let seen = |session: &SessionStatus| sees_all(cx) || session.user == cx.identity.user;
    let resting = resting.into_iter().filter(seen).map(|session| Resting {
        id: session.id,
        user: session.user,
        host: session.host,
        schema: session.schema,
        idle_s: session.idle_s,
    });
    Connections {
        own: hold.backend().map_or(0, |backend| backend.thread),
        present: present.collect(),
        resting: resting.collect(),
        version: version(&cx.control().greeting_version()),
        tls: cx.tls.as_deref().copied(),
    }
}

/// The first two numbers of a server's version, as a greeting gives it.
fn version(text: &str) -> (u16, u16) {
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let mut next = || {
        numbers
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0)
    };
    (next(), next())
}

/// The rows of `SHOW PROCESSLIST` as the server gives them, reduced to sessions and the server's own threads, with
/// the ids and addresses that clients have here; and the sessions that have no backend. `own`: the statement, if the
/// server has not run it.
pub(super) fn processes(
    cx: &SessionContext,
    rows: Vec<Vec<Value>>,
    own: Option<&[u8]>,
) -> Vec<Vec<Value>> {
    let text = |text: &dyn ToString| Some(text.to_string().into_bytes());
    let sessions = visible(cx);
    let mut list = Vec::with_capacity(rows.len());
    for mut row in rows {
        let [Some(id), Some(user), Some(host), ..] = row.as_mut_slice() else {
            continue;
        };
        let thread = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
        let session = sessions
            .iter()
            .find(|session| thread.is_some() && session.server_thread == thread);
        if let Some(session) = session {
            *id = session.id.to_string().into_bytes();
            *host = session.host.clone().into_bytes();
        } else if !matches!(user.as_slice(), b"event_scheduler" | b"system user") {
            continue;
        }
        list.push(row);
    }
    let here = cx.handle().id;
    for session in sessions {
        // the server, which has not been asked, would list it
        let listed = session.server_thread.is_some() && own.is_none();
        if listed {
            continue;
        }
        let own = own.filter(|_| session.id == here);
        let (command, state) = match own {
            Some(_) => ("Query", "starting"),
            None => ("Sleep", "sleeping in dormouse"),
        };
        list.push(vec![
            text(&session.id),
            text(&session.user),
            text(&session.host),
            session.schema.map(String::into_bytes),
            text(&command),
            text(&if own.is_some() { 0 } else { session.idle_s }),
            text(&state),
            own.map(<[u8]>::to_vec),
            text(&"0.000"),
        ]);
    }
    list
}

/// The text of `SHOW ENGINE INNODB STATUS`, which names threads by the server's ids of connections.
pub(super) fn engine_status(cx: &SessionContext, mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    const BEFORE: &str = " thread id ";
    let sessions = cx.database().session_statuses(cx.shared.seconds());
    for value in rows.iter_mut().flatten().flatten() {
        let Ok(text) = std::str::from_utf8(value) else {
            continue;
        };
        let mut parts = text.split(BEFORE);
        let mut new = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(part.len());
            let (thread, rest) = part.split_at(digits);
            let thread_id = thread.parse().ok();
            let session = { sessions.iter() }
                .find(|session| thread_id.is_some() && session.server_thread == thread_id);
            new.push_str(BEFORE);
            match session {
                Some(session) => new.push_str(&session.id.to_string()),
                None => new.push_str(thread),
            }
            new.push_str(rest);
        }
        *value = new.into_bytes();
    }
    rows
}
