//! `SHOW DORMOUSE …`: answered here, so it neither wakes the database nor takes a backend.
//!
//! The owner's account (`admin`) sees every session of its database; others see those of their own
//! user, as in `SHOW PROCESSLIST`.

use std::sync::atomic::Ordering;

use dormouse_session::{Certainty, Show};
use dormouse_types::{SessionStatus, pin};
use dormouse_wire::rows::{self, Column, Value};

use super::{Attendant, Over};
use crate::refusal;

/// The account that `dormouse create` makes.
const OWNER: &str = "admin";

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

impl Attendant {
    pub(super) async fn show(&mut self, show: Show) -> Result<(), Over> {
        let (columns, rows) = match show {
            Show::Session => self.show_session(),
            Show::Sessions => self.show_sessions(),
            Show::Pool => self.show_pool(),
            Show::Status => self.show_status(),
            Show::Processes => (process_columns(), self.processes(Vec::new())),
            Show::Unknown => return self.reply_error(&refusal::show_what()).await,
        };
        let capabilities = self.identity.capabilities;
        let packets = rows::result(&columns, &rows, capabilities, self.state.status());
        self.send_packets(&packets).await
    }

    /// What this session is and what keeps its backend, as names and values.
    fn show_session(&self) -> (Vec<Column>, Vec<Vec<Value>>) {
        let status = self.membership.handle.status(self.shared.seconds());
        let database = self.database();
        let asleep = database.door.target().is_none();
        let pins = self.state.pins();
        let knowledge = match self.state.certainty() {
            Certainty::Known | Certainty::Doubtful
                if self.backend.is_some() && self.state.needs_probe() =>
            {
                "known, but for what the last statement left"
            }
            Certainty::Known | Certainty::Doubtful => "known",
            Certainty::Unknown => "to be read before the backend is given up",
        };
        let schema = self.state.schema();
        let schema = schema.map(|schema| String::from_utf8_lossy(schema).into_owned());
        let handle = &self.membership.handle;
        let limit = handle.idle_limit.load(Ordering::Relaxed);
        let compressed = self.client.is_compressed();
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
            ("compressed", text(if compressed { "yes" } else { "no" })),
            ("prepared_statements", text(self.state.statements.len())),
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

    /// The rows of `SHOW PROCESSLIST` as the server gives them, with the ids and addresses that
    /// clients have here, and the sessions that have no backend.
    pub(super) fn processes(&self, mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
        let sessions = self.visible_sessions();
        for row in &mut rows {
            let [Some(id), _, Some(host), ..] = row.as_mut_slice() else {
                continue;
            };
            let thread = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            let session = sessions
                .iter()
                .find(|session| thread.is_some() && session.server_thread == thread);
            if let Some(session) = session {
                *id = session.id.to_string().into_bytes();
                *host = session.host.clone().into_bytes();
            }
        }
        let resting = sessions
            .into_iter()
            .filter(|session| session.server_thread.is_none());
        rows.extend(resting.map(|session| {
            vec![
                text(session.id),
                text(session.user),
                text(session.host),
                None,
                text("Sleep"),
                text(session.idle_s),
                text("sleeping in dormouse"),
                None,
                text("0.000"),
            ]
        }));
        rows
    }

    fn visible_sessions(&self) -> Vec<SessionStatus> {
        let mut all = self.database().session_statuses(self.shared.seconds());
        let user = &self.identity.user;
        if user != OWNER {
            all.retain(|session| session.user == *user);
        }
        all
    }

    fn show_sessions(&self) -> (Vec<Column>, Vec<Vec<Value>>) {
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
        let rows = self.visible_sessions().into_iter().map(|session| {
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

    fn show_pool(&self) -> (Vec<Column>, Vec<Vec<Value>>) {
        let columns = vec![
            Column::number("Server_thread"),
            Column::text("User"),
            Column::number("Session"),
            Column::text("State"),
            Column::number("Held_s"),
            Column::number("Spare_statements"),
        ];
        let now = self.shared.seconds();
        let user = &self.identity.user;
        let all = self.database().pool().backends().into_iter();
        let visible = all.filter(|backend| user == OWNER || backend.user == *user);
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

    fn show_status(&self) -> (Vec<Column>, Vec<Vec<Value>>) {
        let database = self.database();
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
            ("faults", status.faults),
            ("sleeping_answers", status.sleeping_answers),
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
}
