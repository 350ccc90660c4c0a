//! All parsers of statements accept any bytes. Each line is a statement of one session, run by a server or
//! answered without it. First byte: flags.
#![no_main]

use std::sync::LazyLock;

use dormouse_session::diagnostics::override_for;
use dormouse_session::effects::may_commit;
use dormouse_session::kill::Kill;
use dormouse_session::timeout::Timeout;
use dormouse_session::understudy::stands_in;
use dormouse_session::{AsleepContext, Candidate, Effects, Format, Kind, SessionState, Show};
use dormouse_types::Variables;
use dormouse_wire::{Capabilities, ReplyEnd, Status};
use libfuzzer_sys::fuzz_target;

static GLOBALS: LazyLock<Variables> = LazyLock::new(|| {
    [
        ("autocommit", "1"),
        ("character_set_results", "utf8mb4"),
        ("collation_connection", "utf8mb4_general_ci"),
        ("collation_server", "utf8mb4_general_ci"),
        ("completion_type", "NO_CHAIN"),
        ("init_connect", ""),
        ("interactive_timeout", "28800"),
        ("max_allowed_packet", "16777216"),
        ("old_mode", "UTF8_IS_UTF8MB3"),
        ("session_track_schema", "1"),
        ("session_track_system_variables", "autocommit,time_zone"),
        ("session_track_transaction_info", "OFF"),
        ("sql_mode", "STRICT_TRANS_TABLES"),
        ("time_zone", "SYSTEM"),
        ("tx_isolation", "REPEATABLE-READ"),
        ("tx_read_only", "0"),
        ("version", "10.11.19-MariaDB"),
        ("wait_timeout", "28800"),
        (Variables::CHANGED, "0"),
        (Variables::TIME_ZONES, "0"),
    ]
    .into_iter()
    .collect()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((how, script)) = bytes.split_first() else { return };
    let context = AsleepContext {
        globals: Some(&GLOBALS),
        capabilities: Capabilities::OWN_CLIENT,
        collation: 45,
        connection_id: 7,
        wait_timeout: 28_800,
        socket: "/here",
        backend: how & 1 != 0,
        has_schema: &|name| Some(name == b"shop"),
        may_enter: &|_| true,
    };
    let mut session = SessionState::new(None);
    for text in script.split(|byte| *byte == b'\n') {
        let mode = session.mode();
        let _ = (Show::parse(text), Kill::parse(text, mode), Timeout::of(text, mode), may_commit(text, mode), stands_in(text, mode));
        let format = if how & 16 != 0 { Format::Text } else { Format::Binary };
        let _ = override_for(text, mode, session.diagnostics(), "/here", format);
        let executed = session.executed(text);
        let _ = session.override_for(text, executed.as_deref(), "/here", format);
        let _ = (session.missing_texts(text, true), session.executed(text));
        let _ = session.allows_restricted(text);
        let candidate = Candidate::read(text);
        let answer = candidate.and_then(|candidate| session.answer_asleep(&candidate, &context));
        if answer.is_none() {
            let end = ReplyEnd {
                status: Some(Status::AUTOCOMMIT),
                error: (how & 2 != 0).then_some(1242),
                session_changes: how & 4 != 0,
                ..ReplyEnd::default()
            };
            session.ran(text, Effects::of(text, mode), Kind::of(text), &end);
        }
        let _ = (session.pins(), session.restore(), session.restore_inside());
        if how & 8 != 0 && session.is_free() {
            session.leave();
            session.arrived();
        }
    }
});
