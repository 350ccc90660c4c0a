//! Why a database cannot sleep: its statements.

use dormouse_types::{Doing, Pin, SessionStatus};

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

/// Why it cannot move now, with at most five of the sessions whose statements run or whose transactions are open.
pub(super) fn in_the_way(sessions: &[SessionStatus]) -> String {
    let named = |what: &str, which: &dyn Fn(&&SessionStatus) -> bool| {
        let mut named: Vec<String> = { sessions.iter() }
            .filter(which)
            .map(|one| one.id.to_string())
            .collect();
        let more = named.len().saturating_sub(5);
        named.truncate(5);
        match (named.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(format!("{what} (sessions {})", named.join(", "))),
            (false, more) => Some(format!(
                "{what} (sessions {} and {more} more)",
                named.join(", ")
            )),
        }
    };
    let open = named("transaction", &|one| one.pins.contains(&Pin::Transaction));
    let running = named("a statement is running", &|one| one.doing == Doing::Running);
    let both: Vec<String> = open.into_iter().chain(running).collect();
    match both.is_empty() {
        true => "a statement or a transaction has not ended".to_owned(),
        false => both.join("; "),
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
