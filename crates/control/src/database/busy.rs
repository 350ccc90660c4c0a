//! Why a database cannot sleep: its statements.

use dormouse_types::{Doing, SessionStatus};

/// Why it cannot sleep now, with at most five of the sessions whose statements run. One whose client does not read its
/// result is one of them.
pub(super) fn running(sessions: &[SessionStatus]) -> String {
    let running = sessions
        .iter()
        .filter(|session| session.doing == Doing::Running);
    let named: Vec<String> = running
        .take(5)
        .map(|one| format!("session {} of '{}' at {}", one.id, one.user, one.host))
        .collect();
    match named.is_empty() {
        true => "a statement is running".to_owned(),
        false => format!(
            "a statement is running, or its client does not read the result ({}); park --force ends such sessions",
            named.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u32, doing: Doing) -> SessionStatus {
        SessionStatus {
            id,
            user: "admin".to_owned(),
            host: "127.0.0.1:9".to_owned(),
            schema: None,
            doing,
            pins: Vec::new(),
            server_thread: Some(1),
            idle_s: 0,
            held_s: Some(1),
        }
    }

    #[test]
    fn sessions_with_running_statements_are_named() {
        let sessions = [session(7, Doing::Keeping), session(9, Doing::Running)];
        assert_eq!(
            running(&sessions),
            "a statement is running, or its client does not read the result (session 9 of 'admin' at 127.0.0.1:9); \
             park --force ends such sessions"
        );
        assert_eq!(running(&sessions[..1]), "a statement is running");
    }
}
