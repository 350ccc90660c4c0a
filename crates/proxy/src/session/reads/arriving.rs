//! Comes to a replica: makes sure that it has what the session has seen, and brings a backend there to the session's state.

use std::sync::Arc;
use std::time::Duration;

use dormouse_session::reads::{Newest, Position};
use dormouse_session::rows::Rows;
use dormouse_session::understudy::may_show;
use dormouse_session::{Answer, Question};
use dormouse_types::Target;
use dormouse_wire::text::TextOutcome;

use super::Reader;
use super::backends::{Away, BEHIND, backend, backend_in, give_back, within};
use crate::backend::{Backend, Schema};
use crate::pool::Counters;
use crate::replicas::ReplicaServer;
use crate::session::context::SessionContext;

/// How long it may take to come to a replica, without that.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks a server how far it is. What is in its log is more than what its applier has noted: a transaction is in the log
/// before it can be seen, and is noted after.
const POSITION: &str = "SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos, @@GLOBAL.log_bin";

/// Asks a replica what it has for certain.
const APPLIED: &str = "SELECT @@GLOBAL.gtid_slave_pos";

/// Asks for the values with which sessions begin.
const GLOBALS: &str = "SHOW GLOBAL VARIABLES";

impl Reader<'_> {
    /// A backend on a replica that has what the session has seen, in the session's state.
    pub(super) async fn arrive(
        &mut self,
        server: &Arc<ReplicaServer>,
        primary: &Arc<Target>,
    ) -> Result<Box<Backend>, Away> {
        let cx = self.cx;
        let rights = cx.pool().rights();
        if !server.has_rights(rights) {
            // others may have changed what this account may read
            self.reads.memory().causality.used_primary();
        }
        self.learn_position(server, primary).await?;
        let globals = self.globals_for(server, primary).await?;
        let former = [&*globals, &cx.former_globals()].concat();
        let required = self
            .reads
            .memory()
            .causality
            .required_on(server.run())
            .cloned();
        let state = &*self.state;
        let schema = state.schema().is_some();
        let arriving = async {
            if let Some(position) = required.filter(|required| !server.has(required)) {
                let counters = &cx.database().replicas.counters;
                Counters::count(&counters.waits);
                wait_for(cx, server, &position, schema).await?;
            }
            server.got_rights(rights);
            let backend = backend(cx, server, schema).await?;
            let connection = cx.connection_id();
            let restored = backend.restore(state, &former, connection, Schema::Required);
            Ok(restored.await?)
        };
        within(BEHIND + PATIENCE, arriving).await
    }

    /// Learns what the session may have seen on the server that it used last, unless that is this one.
    async fn learn_position(
        &mut self,
        server: &Arc<ReplicaServer>,
        primary: &Arc<Target>,
    ) -> Result<(), Away> {
        match self.reads.memory().causality.asks_before(server.run()) {
            Newest::Nothing => return Ok(()),
            Newest::Primary => {}
            Newest::Replica(last) => {
                if let Some(last) = self.cx.database().replicas.find(last)
                    && let Ok(Some(position)) = within(PATIENCE, position_of(self.cx, &last)).await
                {
                    self.reads.memory().causality.replica_is_at(&position);
                    return Ok(());
                }
            }
        }
        let rows = self
            .ask_primary(primary, POSITION)
            .await
            .ok_or(Away::Unknown)?;
        let position = position_in(&rows).ok_or(Away::Unknown)?;
        self.reads.memory().causality.primary_is_at(position);
        Ok(())
    }

    /// The statements that give a session on this replica the global values of the primary.
    async fn globals_for(
        &mut self,
        server: &Arc<ReplicaServer>,
        primary: &Arc<Target>,
    ) -> Result<Arc<[Vec<u8>]>, Away> {
        let cx = self.cx;
        let count = cx.pool().globals().count();
        if let Some(known) = server.globals(count) {
            return Ok(known);
        }
        let ours = self
            .ask_primary(primary, GLOBALS)
            .await
            .ok_or(Away::Unknown)?;
        let asking = async {
            let backend = backend(cx, server, true).await?;
            let (backend, outcome) = backend.ask(GLOBALS.as_bytes()).await?;
            give_back(server, backend);
            Ok(outcome)
        };
        let TextOutcome::Rows { rows: theirs, .. } = within(PATIENCE, asking).await? else {
            return Err(Away::Unlike);
        };
        let statements = as_on_primary(&ours, &theirs).ok_or(Away::Unlike)?;
        let statements: Arc<[Vec<u8>]> = statements.into();
        server.globals_are(count, Arc::clone(&statements));
        Ok(statements)
    }

    /// Asks the primary: on the session's backend there, or on one that nobody uses.
    async fn ask_primary(&mut self, primary: &Arc<Target>, question: &str) -> Option<Rows> {
        let outcome = match self.hold.has_backend() {
            true => {
                let asked = Box::pin(self.hold.ask(question.as_bytes())).await;
                let asked = asked.inspect_err(|error| self.hold.broke(self.cx, self.state, error));
                // the last statement that the server ran is not the client's
                self.state.arrived();
                asked.ok()?
            }
            false => {
                let pool = self.cx.pool();
                let asking = async {
                    let backend = backend_in(self.cx, pool, primary, true).await?;
                    let (backend, outcome) = backend.ask(question.as_bytes()).await?;
                    pool.give_back(backend);
                    Ok(outcome)
                };
                within(PATIENCE, asking).await.ok()?
            }
        };
        match outcome {
            TextOutcome::Rows { rows, .. } => Some(rows),
            TextOutcome::Ok(_) | TextOutcome::Err(_) => None,
        }
    }
}

/// How far a replica may be; `None`: it cannot tell.
async fn position_of(
    cx: &SessionContext,
    server: &ReplicaServer,
) -> Result<Option<Position>, Away> {
    let backend = backend(cx, server, true).await?;
    let (backend, outcome) = backend.ask(POSITION.as_bytes()).await?;
    give_back(server, backend);
    Ok(match outcome {
        TextOutcome::Rows { rows, .. } => position_in(&rows),
        TextOutcome::Ok(_) | TextOutcome::Err(_) => None,
    })
}

/// Waits until a replica has these transactions.
async fn wait_for(
    cx: &SessionContext,
    server: &ReplicaServer,
    position: &Position,
    schema: bool,
) -> Result<(), Away> {
    let limit = BEHIND.as_secs_f64();
    let wait = format!("SELECT MASTER_GTID_WAIT('{position}', {limit})");
    let questions = [wait.into_bytes(), APPLIED.into()].map(Question::Rows);
    let backend = backend(cx, server, schema).await?;
    let (backend, answers) = backend.ask_all(&questions).await?;
    give_back(server, backend);
    if let Some(Answer::Rows(rows)) = answers.get(1)
        && let Some(applied) = text(rows, 0).and_then(|text| Position::parse(&text))
    {
        server.has_applied(&applied);
    }
    match server.has(position) {
        true => Ok(()),
        false => Err(Away::Behind),
    }
}

/// The position in the answer to [`POSITION`]; `None` if the server keeps no log.
fn position_in(rows: &Rows) -> Option<Position> {
    let logged = Position::parse(&text(rows, 0)?)?;
    let mut position = Position::parse(&text(rows, 1)?)?;
    position.merge(&logged);
    (text(rows, 2)? == "1").then_some(position)
}

/// The text in a column of the first row.
fn text(rows: &Rows, column: usize) -> Option<String> {
    let value = rows.first()?.get(column)?.as_deref()?;
    String::from_utf8(value.to_vec()).ok()
}

/// The statements that give a session with `theirs` as global values the values of a session with `ours`. `None`: there
/// are none.
fn as_on_primary(ours: &Rows, theirs: &Rows) -> Option<Vec<Vec<u8>>> {
    let mut statements = Vec::new();
    for row in ours {
        let [Some(name), value] = row.as_slice() else {
            return None;
        };
        let value = value.as_deref().unwrap_or_default();
        let same =
            |other: &&Vec<Option<Vec<u8>>>| other.first().and_then(Option::as_ref) == Some(name);
        let other = theirs.iter().find(same)?.get(1)?.as_deref();
        let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
        let value = std::str::from_utf8(value).ok()?;
        // in the SQL mode ORACLE other words are keywords
        if name == "sql_mode" && value.contains("ORACLE") {
            return None;
        }
        if other.unwrap_or_default() == value.as_bytes()
            || !may_show(&name) && name != "max_statement_time"
        {
            continue;
        }
        if name.starts_with("version") || value.contains(['\'', '\\']) {
            return None;
        }
        let number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        statements.push(match number {
            true => format!("SET SESSION `{name}` = {value}").into_bytes(),
            false => format!("SET SESSION `{name}` = '{value}'").into_bytes(),
        });
    }
    Some(statements)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(all: &[(&str, &str)]) -> Rows {
        let value = |text: &str| Some(text.as_bytes().to_vec());
        all.iter()
            .map(|(name, text)| vec![value(name), value(text)])
            .collect()
    }

    fn set(ours: &[(&str, &str)], theirs: &[(&str, &str)]) -> Option<Vec<String>> {
        let statements = as_on_primary(&rows(ours), &rows(theirs))?;
        let text = |statement| String::from_utf8(statement).unwrap();
        Some(statements.into_iter().map(text).collect())
    }

    #[test]
    fn a_session_on_a_replica_gets_the_global_values_of_the_primary() {
        let theirs = [
            ("read_only", "ON"),
            ("sql_mode", "STRICT_ALL_TABLES"),
            ("group_concat_max_len", "1048576"),
            ("version", "10.11.19-MariaDB"),
        ];
        let with = |name: &str, value: &'static str| {
            let mut ours = theirs;
            let one = ours.iter_mut().find(|(one, _)| *one == name).unwrap();
            one.1 = value;
            set(&ours, &theirs)
        };
        assert_eq!(set(&theirs, &theirs), Some(vec![]));
        assert_eq!(
            with("read_only", "OFF"),
            Some(vec![]),
            "no value of a session"
        );
        let one = |text: &str| Some(vec![text.to_owned()]);
        assert_eq!(with("sql_mode", ""), one("SET SESSION `sql_mode` = ''"));
        assert_eq!(
            with("group_concat_max_len", "100"),
            one("SET SESSION `group_concat_max_len` = 100")
        );
        assert_eq!(with("sql_mode", "PIPES_AS_CONCAT,ORACLE"), None);
        assert_eq!(with("version", "11.8.6-MariaDB"), None);
        assert_eq!(set(&[("new", "1")], &theirs), None, "another version");
    }

    #[test]
    fn the_position_of_a_server_is_the_newer_of_its_two() {
        let answer = |log: &str, slave: &str, logs: &str| {
            let row = [log, slave, logs].map(|text| Some(text.as_bytes().to_vec()));
            position_in(&vec![row.to_vec()]).map(|position| position.to_string())
        };
        assert_eq!(answer("0-1-8", "0-1-7", "1").as_deref(), Some("0-1-8"));
        assert_eq!(answer("", "0-1-7", "1").as_deref(), Some("0-1-7"));
        assert_eq!(
            answer("", "0-1-7", "0"),
            None,
            "what can be seen may be newer"
        );
    }
}
