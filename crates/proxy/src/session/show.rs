//! `SHOW DORMOUSE …`: answered by the proxy, so it neither wakes the database nor takes a backend.
//!
//! The owner's account (`admin`) sees every session of its database; others see those of their own
//! user, as in `SHOW PROCESSLIST`.

use std::sync::atomic::Ordering;

use dormouse_session::{Certainty, Show};
use dormouse_types::pin;
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::rows::{self, Column, Value};

use super::connections::{processes, sees_all, visible};
use super::context::SessionContext;
use super::main_loop::Session;
use crate::refusal;

fn text(text: impl ToString) -> Value {
    Some(text.to_string().into_bytes())
}

fn maybe(value: Option<impl ToString>) -> Value {
    value.map(|value| value.to_string().into_bytes())
}

/// The columns of MariaDB's `SHOW PROCESSLIST`.
fn process_columns() -> Vec<Column> {
    [
        "Id", "User", "Host", "db", "Command", "Time", "State", "Info", "Progress",
    ]
    .map(|name| match name {
        "Id" | "Time" => Column::number(name),
        _ => Column::text(name),
    })
    .into()
}

/// The packets of the answer to the statement `text_of`.
pub(super) fn show(session: &Session, show: Show, text_of: &[u8]) -> Result<Vec<u8>, ErrPacket> {
    let (cx, state) = (&session.cx, &session.state);
    let (columns, rows) = match show {
        Show::Session => show_session(session),
        Show::Sessions => show_sessions(cx),
        Show::Pool => show_pool(cx),
        Show::Status => show_status(cx),
        Show::Processes => (process_columns(), processes(cx, Vec::new(), Some(text_of))),
        // the server has it
        Show::EngineStatus | Show::Unknown => return Err(refusal::show_what()),
    };
    let capabilities = cx.identity.capabilities;
    Ok(rows::result(&columns, &rows, capabilities, state.status()))
}

/// This session's properties and pins, as names and values.
fn show_session(session: &Session) -> (Vec<Column>, Vec<Vec<Value>>) {
    let Session {
        cx,
        client,
        state,
        hold,
        reads,
        ..
    } = session;
    let status = cx.handle().status(cx.shared.seconds());
    let database = cx.database();
    let asleep = database.door.target().is_none();
    let pins = state.pins();
    let knowledge = match state.certainty() {
        Certainty::Known if hold.has_backend() && state.needs_probe() => {
            "known, except the last statement's warnings and counts"
        }
        Certainty::Known => "known",
        Certainty::Doubtful => "doubtful after an error: read before the backend is given up",
        Certainty::Unknown => "to be read before the backend is given up",
    };
    let schema = state.schema();
    let schema = schema.map(|schema| String::from_utf8_lossy(schema).into_owned());
    let handle = cx.handle();
    let (of_session, of_database) = (reads.wish(), database.replicas.reads());
    let limit = handle.idle_limit.load(Ordering::Relaxed);
    let compressed = client.stream.is_compressed();
    let mut rows = vec![
        ("database", text(&database.name)),
        ("server", text(if asleep { "asleep" } else { "awake" })),
        ("id", text(status.id)),
        ("user", text(status.user)),
        ("host", text(status.host)),
        ("schema", schema.map(String::into_bytes)),
        ("server_thread", maybe(status.server_thread)),
        ("held_s", maybe(status.held_s)),
        ("state", text(knowledge)),
        ("wait_timeout_s", text(limit)),
        ("reads", text(of_session.unwrap_or(of_database))),
        ("compressed", text(if compressed { "yes" } else { "no" })),
        ("prepared_statements", text(state.statements.len())),
    ];
    for pin in &pins {
        rows.push(("pin", text(format!("{pin}: {}", pin.explanation()))));
    }
    if pins.is_empty() {
        rows.push(("pin", None));
    }
    let rows = rows.into_iter();
    let rows = rows.map(|(name, value)| vec![text(name), value]).collect();
    (vec![Column::text("Name"), Column::text("Value")], rows)
}

fn show_sessions(cx: &SessionContext) -> (Vec<Column>, Vec<Vec<Value>>) {
    let columns = vec![
        Column::number("Id"),
        Column::text("User"),
        Column::text("Host"),
        Column::text("State"),
        Column::text("Pins"),
        Column::number("Server_thread"),
        Column::number("Idle_s"),
        Column::number("Held_s"),
    ];
    let rows = visible(cx).into_iter().map(|session| {
        vec![
            text(session.id),
            text(session.user),
            text(session.host),
            text(session.doing.as_str()),
            text(pin::list(&session.pins)),
            maybe(session.server_thread),
            text(session.idle_s),
            maybe(session.held_s),
        ]
    });
    (columns, rows.collect())
}

fn show_pool(cx: &SessionContext) -> (Vec<Column>, Vec<Vec<Value>>) {
    let columns = vec![
        Column::number("Server_thread"),
        Column::text("User"),
        Column::number("Session"),
        Column::text("State"),
        Column::number("Held_s"),
        Column::number("Spare_statements"),
    ];
    let now = cx.shared.seconds();
    let all = cx.database().pool().backends().into_iter();
    let seen = |user: &str| sees_all(cx) || user == cx.identity.user;
    let visible = all.filter(|backend| seen(&backend.user));
    let rows = visible.map(|backend| {
        let session = backend.session.map(|session| session.status(now));
        let state = session.as_ref().map_or("idle", |s| s.doing.as_str());
        vec![
            text(backend.thread),
            text(&backend.user),
            maybe(session.as_ref().map(|session| session.id)),
            text(state),
            maybe(session.as_ref().and_then(|session| session.held_s)),
            maybe(backend.statements),
        ]
    });
    (columns, rows.collect())
}

fn show_status(cx: &SessionContext) -> (Vec<Column>, Vec<Vec<Value>>) {
    let database = cx.database();
    let status = database.pool_status();
    let numbers = [
        ("sessions", u64::from(status.sessions)),
        ("backends", u64::from(status.backends)),
        ("backends_idle", u64::from(status.idle)),
        ("backends_max", u64::from(status.backends_max)),
        ("waiting", u64::from(status.waiting)),
        ("leases", status.leases),
        ("lease_seconds", status.held_s),
        ("steals", status.steals),
        ("restores", status.restores),
        ("opened", status.opened),
        ("waits", status.waits),
        ("waited_ms", status.waited_ms),
        ("lease_timeouts", status.timeouts),
        ("departures", status.departures),
        ("commits_found_committed", status.found_committed),
        ("commits_found_rolled_back", status.found_rolled_back),
        ("commits_unresolved", status.unresolved),
        ("transactions_replayed", status.replayed),
        ("transactions_not_replayed", status.not_replayed),
        ("queries_read_again", status.read_again),
        ("faults", status.faults),
        ("sleeping_answers", status.sleeping_answers),
        ("replica_reads", status.reads.on_replicas),
        ("replica_waits", status.reads.waits),
        ("replica_fallbacks", status.reads.fallbacks),
        ("statements", status.carried.statements),
        ("bytes_in", status.carried.bytes_in),
        ("bytes_out", status.carried.bytes_out),
    ];
    let mut rows: Vec<_> = numbers
        .into_iter()
        .map(|(name, value)| vec![text(name), text(value)])
        .collect();
    for (pin, count) in &status.pins {
        rows.push(vec![text(format!("kept_by_{pin}")), text(count)]);
    }
    rows.push(vec![
        text("read_only"),
        maybe(database.restriction.reason()),
    ]);
    (vec![Column::text("Name"), Column::text("Value")], rows)
}
