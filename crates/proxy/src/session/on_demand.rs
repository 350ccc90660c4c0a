//! Makes the schema that a login names, if the policy of the database says so and the account may create it.
//!
//! The account's own backend runs the `CREATE DATABASE`: whether the account may, only the server decides.

use std::time::Instant;

use dormouse_session::SessionState;
use dormouse_wire::command::Command;
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::text::TextOutcome;

use super::context::SessionContext;
use super::entering::{MOMENT, enter, ready};
use super::hold::{Hold, Unready};
use super::running::Running;
use super::waker::woken_by;
use crate::client::Incoming;
use crate::refusal;

/// `ER_BAD_DB_ERROR`
const NO_SUCH_SCHEMA: u16 = 1049;

/// Begins a session: as [`Hold::arrive`]; a schema that is missing is made first.
pub(super) async fn arrive(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
) -> Result<(), ErrPacket> {
    let awake = cx.database().door.target().is_some();
    if awake {
        match hold.arrive(cx, state).await {
            Err(error) if error.code == NO_SUCH_SCHEMA => {
                let Some(schema) = wanted(cx, state) else {
                    return Err(error);
                };
                Box::pin(make(cx, hold, &schema)).await?;
            }
            done => return done,
        }
    } else if let Some(schema) = wanted(cx, state)
        && cx
            .control()
            .has_schema(&cx.database().name, schema.as_bytes())
            == Some(false)
    {
        Box::pin(make(cx, hold, &schema)).await?;
    }
    hold.arrive(cx, state).await
}

/// The schema of the login, if it may be made.
fn wanted(cx: &SessionContext, state: &SessionState) -> Option<String> {
    let schema = std::str::from_utf8(state.schema()?).ok()?;
    let policy = cx.control().on_demand(&cx.database().name);
    (!cx.expired && policy.makes_schema(schema)).then(|| schema.to_owned())
}

async fn make(cx: &SessionContext, hold: &mut Hold, schema: &str) -> Result<(), ErrPacket> {
    let database = cx.database();
    if let Some(reason) = database.restriction.reason() {
        return Err(refusal::restricted(&database.name, &reason));
    }
    cx.shared
        .guard
        .on_demand(&database.buckets, Instant::now())
        .map_err(|reached| refusal::too_many_on_demand(&reached))?;
    // a session without a schema: that of the login cannot be restored yet
    let state = &mut SessionState::new(None).with_collation(cx.identity.collation);
    let made = create(cx, state, hold, schema).await;
    hold.retire(cx, state);
    hold.forget_lost();
    made
}

async fn create(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    schema: &str,
) -> Result<(), ErrPacket> {
    let running = &mut Running::new(cx, Incoming::made(Command::Connect, b""), None);
    let limit = cx.limits().hold_timeout;
    let deadline = tokio::time::Instant::now() + limit;
    let _pass = loop {
        let pass = enter(cx, state, hold, &mut running.incoming).await;
        let pass = pass.map_err(|_| refusal::ended())??;
        let ready = Box::pin(ready(cx, state, hold, running, Some(&pass))).await;
        match ready.map_err(|_| refusal::ended())? {
            Ok(()) => break pass,
            Err(Unready::ServerGone | Unready::Shutting)
                if tokio::time::Instant::now() < deadline =>
            {
                drop(pass);
                cx.demand(&|| woken_by(cx, state, &running.incoming));
                tokio::time::sleep(MOMENT).await;
            }
            Err(Unready::ServerGone | Unready::Shutting) => {
                return Err(cx.hold_timeout());
            }
            Err(Unready::SessionStateLost(pins)) => return Err(refusal::state_lost(&pins)),
            Err(Unready::Refused(error) | Unready::CannotRestore(error)) => return Err(error),
        }
    };
    let name = &cx.database().name;
    let most = cx.limits().on_demand_in_all;
    let may = cx.control().may_make_schema(name, most).await;
    may.map_err(refusal::not_made)?;
    // its name has no character that needs an escape
    let sql = format!("CREATE DATABASE IF NOT EXISTS `{schema}`");
    match hold.ask(sql.as_bytes()).await {
        Ok(TextOutcome::Ok(ok)) => {
            // a warning says that another session was faster
            if ok.warnings == 0 {
                let user = &cx.identity.user;
                cx.control().made_schema(name, user, schema).await;
            }
            Ok(())
        }
        Ok(TextOutcome::Err(error)) => Err(error),
        Ok(TextOutcome::Rows { .. }) => Err(refusal::out_of_turn()),
        Err(error) => {
            hold.broke(cx, state, &error);
            Err(refusal::outcome_unknown())
        }
    }
}
