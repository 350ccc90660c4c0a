//! Statements about accounts and global variables, which the plane runs in the client's place.
//!
//! No account of a tenant has the server's privileges for them. `dormouse_tenant` reads the statement; the
//! plane decides whether the account may run it. All that happens here on the session's own backend is what
//! the server would do too: the open transaction is committed, and expressions are evaluated as the client.

use dormouse_session::probe::{globals_answer, globals_question};
use dormouse_session::{Diagnostics, Effects, Kind, Pin, SessionState};
use dormouse_tenant::ast::Value;
use dormouse_tenant::check::password_errors;
use dormouse_tenant::{Caller, Condition, Outcome, Statement, parse};
use dormouse_types::Manager;
use dormouse_wire::command::Command;
use dormouse_wire::framer::ReplyEnd;
use dormouse_wire::reply::{ErrPacket, OkPacket};
use dormouse_wire::rows::{self, Column};
use dormouse_wire::status::Status;
use dormouse_wire::text::TextOutcome;
use tokio::time::Instant;

use super::context::SessionContext;
use super::entering::{MOMENT, check_restriction, enter, ready};
use super::hold::{Hold, Unready};
use super::left;
use super::main_loop::Session;
use super::running::Running;
use super::waker::woken_by;
use crate::client::{Client, Incoming, Over};
use crate::door::Pass;
use crate::refusal;

/// What the client is told, or that the statement is the server's.
type Answer = Result<Outcome, ErrPacket>;

/// Whether a text may be a statement that the plane runs for this session. Cheap for all others.
pub(super) fn may_be(
    cx: &SessionContext,
    state: &SessionState,
    incoming: &Incoming,
    text: &[u8],
) -> bool {
    cx.identity.manager != Manager::None
        // only the server knows what an account with an expired password may do
        && !cx.expired
        && incoming.is_whole()
        && (parse::is_mediated(text, state.mode())
            || state
                .executed(text)
                .is_some_and(|inner| parse::is_mediated(&inner, state.mode())))
}

/// Has the plane run a statement and answers the client; returns whether it was. `prepared`: the text of the
/// prepared statement that is executed.
pub(super) async fn mediate(
    session: &mut Session,
    incoming: &Incoming,
    prepared: Option<&[u8]>,
) -> Result<bool, Over> {
    Box::pin(Mediation::of(session).run(incoming, prepared)).await
}

/// Has the plane kill a connection of another user; `None`: this user is no owner.
pub(super) async fn kill(
    session: &mut Session,
    thread: u32,
    query_only: bool,
) -> Result<Option<ReplyEnd>, Over> {
    let statement = Statement::Kill { thread, query_only };
    let mut mediation = Mediation::of(session);
    let answer = Box::pin(mediation.run_elsewhere(b"", statement)).await?;
    let error = match &answer {
        Ok(Outcome::NotAManager) => return Ok(None),
        Ok(Outcome::Failed { code, .. }) => Some(*code),
        Ok(_) => None,
        Err(error) => Some(error.code),
    };
    mediation.reply(answer, false).await?;
    Ok(Some(ReplyEnd {
        error,
        ..ReplyEnd::default()
    }))
}

/// The parts of a session that a mediated statement uses.
struct Mediation<'a> {
    cx: &'a SessionContext,
    client: &'a mut Client,
    state: &'a mut SessionState,
    hold: &'a mut Hold,
}

impl<'a> Mediation<'a> {
    fn of(session: &'a mut Session) -> Self {
        let Session {
            cx,
            client,
            state,
            hold,
            ..
        } = session;
        Self {
            cx,
            client,
            state,
            hold,
        }
    }

    async fn run(mut self, incoming: &Incoming, prepared: Option<&[u8]>) -> Result<bool, Over> {
        let text = prepared.unwrap_or(incoming.argument());
        let inner = self.state.executed(text);
        let text = inner.as_deref().unwrap_or(text);
        let Some(read) = parse(text, self.state.mode()) else {
            return Ok(false);
        };
        let answer = match read {
            Err(problem) => Err(ErrPacket::new(
                problem.code,
                state_of(problem.code),
                problem.message,
            )),
            Ok(statement)
                if self.cx.identity.manager == Manager::Users && statement.is_for_owners() =>
            {
                return Ok(false);
            }
            Ok(statement) => self.run_elsewhere(text, statement).await?,
        };
        self.reply(answer, prepared.is_some()).await
    }

    /// Answers the client, unless the statement is the server's; returns whether it is answered.
    async fn reply(&mut self, answer: Answer, binary: bool) -> Result<bool, Over> {
        let left = match answer {
            Ok(Outcome::NotAManager) => return Ok(false),
            Ok(Outcome::Done(conditions)) => self.reply_done(&conditions).await?,
            Ok(Outcome::Rows { columns, rows }) => {
                let columns: Vec<_> = columns.iter().map(|name| Column::text(name)).collect();
                let (capabilities, status) = (self.client.capabilities, self.state.status());
                let packets = match binary {
                    true => rows::binary_result(&columns, &rows, capabilities, status),
                    false => rows::result(&columns, &rows, capabilities, status),
                };
                self.client.send_packets(&packets).await?;
                Diagnostics {
                    row_count: -1,
                    ..Diagnostics::default()
                }
            }
            Ok(Outcome::Failed {
                code,
                state,
                message,
            }) => {
                self.reply_failed(&ErrPacket::new(code, &state, message))
                    .await?
            }
            Err(error) => self.reply_failed(&error).await?,
        };
        self.state.ran_elsewhere(left);
        Ok(true)
    }

    /// Waits at the door like any statement, prepares the session's own side, and asks the plane.
    async fn run_elsewhere(
        &mut self,
        text: &[u8],
        mut statement: Statement,
    ) -> Result<Answer, Over> {
        let running = &mut Running::new(self.cx, Incoming::made(Command::Query, text), None);
        let deadline = Instant::now() + self.cx.limits().hold_timeout;
        let pass = loop {
            use dormouse_session::steps::Event;
            if let Event::Restricted(error) = check_restriction(self.cx, self.state, running) {
                return Ok(Err(error));
            }
            let (cx, state, hold) = (self.cx, &mut *self.state, &mut *self.hold);
            let pass = match enter(cx, state, hold, &mut running.incoming).await? {
                Ok(pass) => pass,
                Err(error) => return Ok(Err(error)),
            };
            if !self.needs_backend(text, &statement) {
                break pass;
            }
            let (cx, state, hold) = (self.cx, &mut *self.state, &mut *self.hold);
            match Box::pin(ready(cx, state, hold, running, Some(&pass))).await? {
                Ok(()) => match self.prepare_elsewhere(text, &mut statement).await {
                    Ok(()) => break pass,
                    Err(error) => return Ok(Err(error)),
                },
                Err(Unready::ServerGone | Unready::Shutting) if Instant::now() < deadline => {
                    drop(pass);
                    self.cx
                        .demand(&|| woken_by(self.cx, self.state, &running.incoming));
                    tokio::time::sleep(MOMENT).await;
                }
                Err(Unready::ServerGone | Unready::Shutting) => {
                    return Ok(Err(self.cx.hold_timeout()));
                }
                Err(Unready::SessionStateLost(pins)) => return Ok(Err(refusal::state_lost(&pins))),
                Err(Unready::Refused(error) | Unready::CannotRestore(error)) => {
                    return Ok(Err(error));
                }
            }
        };
        Ok(self.ask_plane(&pass, statement).await)
    }

    async fn ask_plane(&mut self, pass: &Pass, statement: Statement) -> Answer {
        let identity = &self.cx.identity;
        let caller = Caller {
            user: identity.user.clone(),
            host: identity.account_host.clone(),
        };
        let errors = password_errors(&statement, &caller);
        let former = self.former_globals(&statement).await;
        let control = self.cx.control();
        let name = &self.cx.database().name;
        let asked = control.manage(name, &pass.target, caller, statement.clone());
        let answer = asked.await;
        if matches!(answer, Ok(Outcome::Done(_))) {
            self.cx.database().buckets.changed(&errors);
        }
        // also after an error: it may have run
        if statement.commits() {
            self.cx.pool().rights_changed();
        } else if statement.sets_globals() {
            self.cx.pool().globals().note_set_from(former);
            self.state.globals_were_set();
        }
        answer.map_err(|error| refusal::not_managed(&error.0))
    }

    /// The present values of the variables that a statement sets for new sessions: those that have begun keep them.
    async fn former_globals(&mut self, statement: &Statement) -> Vec<(String, String)> {
        let names = match statement {
            Statement::SetGlobal(all) => all.iter().map(|one| &*one.variable).collect(),
            Statement::SetGlobalTransaction { .. } => vec![
                "tx_isolation",
                "tx_read_only",
                "transaction_isolation",
                "transaction_read_only",
            ],
            _ => return Vec::new(),
        };
        match self.hold.ask(globals_question(&names).as_bytes()).await {
            Ok(TextOutcome::Rows { rows, .. }) => globals_answer(&rows),
            Ok(_) => Vec::new(),
            Err(error) => {
                self.hold.broke(self.cx, self.state, &error);
                Vec::new()
            }
        }
    }

    /// Whether something must happen on the session's own backend first.
    fn needs_backend(&self, text: &[u8], statement: &Statement) -> bool {
        let status = self.state.status();
        let open = status.contains(Status::IN_TRANS)
            || !status.contains(Status::AUTOCOMMIT) && self.hold.has_backend();
        let expressions = statement.clone().expressions().next().is_some();
        // the session began before the change, with the former values
        !self.hold.has_told()
            || statement.sets_globals()
            || statement.commits() && self.has_locked()
            || statement.commits() && open
            || statement.needs_schema()
            || expressions
            || parse::needs_utf8(text)
    }

    fn has_locked(&self) -> bool {
        let pins = self.state.pins();
        pins.contains(&Pin::TableLock) || pins.contains(&Pin::GlobalLock)
    }

    /// What the server would do on the session's connection: commit, find the schema, evaluate expressions.
    async fn prepare_elsewhere(
        &mut self,
        text: &[u8],
        statement: &mut Statement,
    ) -> Result<(), ErrPacket> {
        if parse::needs_utf8(text) {
            let charset = self.ask_value(b"SELECT @@character_set_client").await?;
            if !charset.is_some_and(|charset| charset.starts_with(b"utf8")) {
                return Err(refusal::needs_utf8());
            }
        }
        if statement.commits() && self.has_locked() {
            return Err(refusal::locked_tables());
        }
        let open = self.state.in_transaction() || !self.state.status().contains(Status::AUTOCOMMIT);
        if statement.commits() && open {
            self.commit().await?;
        }
        if statement.needs_schema() {
            let schema = self.ask_value(b"SELECT DATABASE()").await?;
            if let Some(schema) = schema.and_then(|schema| String::from_utf8(schema).ok()) {
                *statement = statement.clone().in_schema(&schema);
            }
        }
        for value in statement.expressions() {
            if let Value::Expression(expression) = value {
                *value = self.evaluate(expression).await?;
            }
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<(), ErrPacket> {
        match self.hold.ask(b"COMMIT AND NO CHAIN NO RELEASE").await {
            Ok(TextOutcome::Ok(ok)) => {
                self.state.saw_status(ok.status);
                let open = self.state.in_transaction();
                self.hold.count_transaction(self.cx, open);
                Ok(())
            }
            Ok(TextOutcome::Err(error)) => Err(error),
            Ok(TextOutcome::Rows { .. }) => Err(refusal::out_of_turn()),
            Err(error) => {
                self.hold.broke(self.cx, self.state, &error);
                Err(refusal::outcome_unknown())
            }
        }
    }

    /// The only value of a query on the session's backend.
    async fn ask_value(&mut self, query: &[u8]) -> Result<Option<Vec<u8>>, ErrPacket> {
        match self.hold.ask(query).await {
            Ok(TextOutcome::Rows { mut rows, .. }) => {
                let row = rows.first_mut();
                Ok(row.and_then(|row| row.first_mut()).and_then(Option::take))
            }
            Ok(TextOutcome::Err(error)) => Err(error),
            Ok(TextOutcome::Ok(_)) => Err(refusal::out_of_turn()),
            Err(error) => {
                self.hold.broke(self.cx, self.state, &error);
                Err(refusal::outcome_unknown())
            }
        }
    }

    /// The value of an expression of `SET GLOBAL`, evaluated with the client's own rights.
    async fn evaluate(&mut self, expression: &[u8]) -> Result<Value, ErrPacket> {
        // brackets of the client's own cannot close these: they are balanced
        let query = [b"SELECT (\n", expression, b"\n)"].concat();
        let value = self.ask_value(&query).await;
        let end = ReplyEnd {
            status: Some(self.state.status()),
            rows: Some(1),
            error: value.as_ref().err().map(|error| error.code),
            ..ReplyEnd::default()
        };
        // it may have set a variable, or called a function
        self.state.ran(&query, Effects::Unknown, Kind::Select, &end);
        Ok(match value? {
            None => Value::Null,
            Some(value) => {
                let text = String::from_utf8(value).map_err(|_| refusal::needs_utf8())?;
                Value::Text(text)
            }
        })
    }

    async fn reply_done(&mut self, conditions: &[Condition]) -> Result<Diagnostics, Over> {
        let count = u16::try_from(conditions.len()).unwrap_or(u16::MAX);
        let ok = OkPacket {
            status: self.state.status(),
            warnings: count,
            ..OkPacket::default()
        };
        let packet = ok.encode(self.client.capabilities, false);
        self.client.reply(&packet).await?;
        Ok(left::by(conditions, self.client, self.state.status()))
    }

    async fn reply_failed(&mut self, error: &ErrPacket) -> Result<Diagnostics, Over> {
        self.client.reply_error(error).await?;
        Ok(left::by_error(error, self.client, self.state.status()))
    }
}

fn state_of(code: u16) -> &'static str {
    match code {
        1064 | 1235 => "42000",
        _ => "HY000",
    }
}
