//! Comes to an understudy: the statements that make its global values the database's, and a backend there.

use std::sync::Arc;

use dormouse_session::SessionState;
use dormouse_session::lexer::contains;
use dormouse_session::understudy::Script;
use dormouse_types::Target;

use crate::backend::{Backend, BackendError, ChangeCounts, Connection};
use crate::pool::{Need, Offer, Pool};
use crate::session::context::SessionContext;
use crate::session::hold::reuse;

/// `ER_ACCESS_DENIED_ERROR`.
const ACCESS_DENIED: u16 = 1045;

/// The statements that give a session there the global values with which it began.
pub(super) fn globals(
    cx: &SessionContext,
    state: &SessionState,
    script: &Script,
) -> Result<Vec<Vec<u8>>, BackendError> {
    let unknown =
        || BackendError::Gone(std::io::Error::other("its global variables are not known"));
    let set = cx
        .control()
        .set_globals(&cx.database().name)
        .ok_or_else(unknown)?;
    let mut former = cx.former_globals();
    former.retain(|text| !contains(text, "MAX_STATEMENT_TIME"));
    // the global values themselves are not there
    let defaults = matches!(script, Script::Set(assigned) if assigned.defaults);
    if (defaults || state.has_copied_globals()) && !(set.is_empty() && former.is_empty()) {
        return Err(unknown());
    }
    let mut all = Vec::new();
    for (name, value) in set {
        // in the SQL mode ORACLE other words are keywords
        if value.to_ascii_uppercase().contains("ORACLE") {
            return Err(unknown());
        }
        match of_session(&name) {
            Of::Session => all.push(format!("SET SESSION `{name}` = {value}").into_bytes()),
            Of::Nothing => {}
            Of::Server => return Err(unknown()),
        }
    }
    all.extend(former);
    Ok(all)
}

/// What the global value of a variable decides.
enum Of {
    /// The value with which a session begins.
    Session,
    /// Nothing that a statement without a table shows: Dormouse, the login or an account decides.
    Nothing,
    /// Something that a session cannot set.
    Server,
}

fn of_session(name: &str) -> Of {
    match name {
        "max_allowed_packet" | "net_buffer_length" => Of::Server,
        "wait_timeout"
        | "interactive_timeout"
        | "net_read_timeout"
        | "net_write_timeout"
        | "max_statement_time"
        | "idle_transaction_timeout"
        | "session_track_state_change"
        | "character_set_client"
        | "character_set_connection"
        | "character_set_results"
        | "collation_connection"
        | "disconnect_on_expired_password"
        | "max_password_errors"
        | "event_scheduler" => Of::Nothing,
        _ => Of::Session,
    }
}

/// A backend on the understudy.
pub(super) async fn backend(
    cx: &SessionContext,
    pool: &Arc<Pool>,
    target: &Arc<Target>,
) -> Result<Box<Backend>, BackendError> {
    let need = Need {
        identity: Arc::clone(&cx.identity),
        target: Arc::clone(target),
        schema: false,
        session: Some(cx.handle().id),
    };
    let grant = match pool.ask(&need, true) {
        Offer::Now(grant) => grant,
        Offer::Wait(receiver) => {
            let gone = || std::io::Error::from(std::io::ErrorKind::NotConnected);
            receiver.await.map_err(|_| gone())?
        }
    };
    let place = match reuse(cx, grant)? {
        Ok(backend) => return Ok(backend),
        Err(place) => place,
    };
    let before = ChangeCounts::now(&place);
    let connection = log_in(cx, target).await?;
    Ok(Backend::new(
        connection,
        target,
        &cx.identity,
        place,
        before,
    ))
}

/// Logs in as an account of the same name, which is made if it is missing.
async fn log_in(cx: &SessionContext, target: &Arc<Target>) -> Result<Connection, BackendError> {
    let identity = &*cx.identity;
    let (user, host) = (&identity.account_user, &identity.account_host);
    let control = cx.control();
    let credential = control.credential(target.origin, user, host);
    control.enroll_on_understudy(target, user, host).await?;
    match Connection::connect(target, identity, credential, None).await {
        // another session has just given the name to an account for another host
        Err(BackendError::Refused(error)) if error.code == ACCESS_DENIED => {}
        done => return done,
    }
    control.enroll_on_understudy(target, user, host).await?;
    Connection::connect(target, identity, credential, None).await
}
