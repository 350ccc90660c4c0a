//! Commands that are answered while the database sleeps, so that they do not wake it.
//!
//! `dormouse_session::sleeping` computes the answer to a statement. If the session has a backend on a
//! suspended server, the answered statements are run there before the next statement.

use dormouse_session::sleeping::AsleepContext;
use dormouse_session::timeout::Timeout;
use dormouse_session::{Candidate, SessionState};
use dormouse_types::Variables;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::EofPacket;

use super::context::SessionContext;
use super::hold::Hold;
use crate::client::Incoming;

/// Whether the database sleeps and the session can be answered without it. It cannot while the client has
/// yet to be told which state was lost with its last server.
pub(super) fn is_asleep(cx: &SessionContext, hold: &Hold) -> bool {
    hold.has_told() && !cx.expired && cx.database().door.sleeps()
}

/// The answer to a statement of a database that sleeps, if it can be given.
pub(super) fn query(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &Hold,
    incoming: &Incoming,
) -> Option<Vec<u8>> {
    if !incoming.is_whole() || !is_asleep(cx, hold) {
        return None;
    }
    let text = incoming.argument();
    let candidate = Candidate::read(text)?;
    // the statement may change the mode in which the next one is read
    let mode = state.mode();
    let asleep = ask(cx, state, hold, |state, context| {
        state.answer_asleep(&candidate, context)
    })?;
    if let Some(seconds) = asleep.wait_timeout {
        let default = Timeout::of(text, mode) == Some(Timeout::SetsDefault);
        cx.limit_idle(if default { cx.idle_default() } else { seconds });
    }
    Some(asleep.packets)
}

/// The same for `COM_INIT_DB`.
pub(super) fn init_db(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &Hold,
    incoming: &Incoming,
) -> Option<Vec<u8>> {
    if !incoming.is_whole() || !is_asleep(cx, hold) {
        return None;
    }
    let schema = incoming.argument();
    let asleep = ask(cx, state, hold, |state, context| {
        state.use_asleep(schema, context)
    })?;
    Some(asleep.packets)
}

/// The same for `COM_SET_OPTION`: 0 switches multi-statements on, 1 off.
pub(super) fn set_option(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &mut Hold,
    incoming: &Incoming,
) -> Option<Vec<u8>> {
    let on = match incoming.argument() {
        [0, 0] => true,
        [1, 0] => false,
        _ => return None,
    };
    if !is_asleep(cx, hold) || hold.has_backend() && !leave(cx, state, hold) {
        return None;
    }
    state.set_multi_statements(on);
    let eof = EofPacket {
        status: state.status(),
        ..EofPacket::default()
    };
    let mut packet = Vec::new();
    write_packet(&mut packet, 1, &eof.encode());
    Some(packet)
}

/// Before `COM_RESET_CONNECTION` on a sleeping database: gives up the backend, because the reset discards
/// the state that it holds.
pub(super) fn before_reset(cx: &SessionContext, state: &mut SessionState, hold: &mut Hold) {
    if !cx.database().door.sleeps() {
        return;
    }
    cx.count_asleep();
    if hold.has_backend() && !leave(cx, state, hold) {
        hold.lose(state);
        hold.forget_lost();
    }
}

/// Leaves the backend, if nothing keeps the session on it.
pub(super) fn leave(cx: &SessionContext, state: &mut SessionState, hold: &mut Hold) -> bool {
    hold.note_globals(state);
    state.is_free() && hold.leave(cx, state)
}

/// Calls `ask` with the session's state and the known facts about the sleeping database.
fn ask<T>(
    cx: &SessionContext,
    state: &mut SessionState,
    hold: &Hold,
    ask: impl FnOnce(&mut SessionState, &AsleepContext<'_>) -> T,
) -> T {
    let variables = cx.control().variables(&cx.database().name);
    // a backend may be older than a change of a global variable
    let backend = hold.has_backend();
    let trusted = |all: &&Variables| !backend || all.get(Variables::CHANGED) == Some("0");
    // nor may the session have begun with those
    let began = backend || cx.former_globals().is_empty();
    let globals = variables.as_ref().filter(trusted).filter(|_| began);
    cx.ask_state(state, globals, backend, ask)
}
