//! Which statements must be run again after an error, and which must not: the import's [`State`] and how statements
//! change it.
//!
//! A *unit* is a run of statements that is repeated as a whole or not at all. One that begins with `DROP … IF EXISTS`, or
//! that makes an object that was not there, can be repeated: the object is made anew. Other statements are units of their
//! own, or their transaction is. If the end of such a statement was not seen, nobody can say whether it ran: then the
//! user decides ([`Unsure`]).

use dormouse_api::ErrorBody;
use dormouse_wire::status::Status;

use super::checkpoint::{Checkpoint, Position, Running, State, Unit};
use super::classify::{Effect, Object, ObjectKind};
use super::connection::Connection;
use super::text::{literal, quoted};
use crate::Outcome;

/// What to do with the one statement of which nobody can say whether it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Unsure {
    /// Run it (again).
    Repeat,
    /// Take it as done.
    Skip,
}

/// The state, and the point up to which statements are passed over.
#[derive(Debug)]
pub(crate) struct Journal {
    /// `None`: the input cannot be read again.
    checkpoint: Option<Checkpoint>,
    state: State,
    until: Option<Until>,
    /// The next statement may have run before.
    repeating: bool,
    in_transaction: bool,
}

/// The point of resumption.
#[derive(Debug)]
struct Until {
    position: Position,
    /// Whether the statement there is done already.
    inclusive: bool,
}

impl Journal {
    /// A journal for an import from the beginning. Without a checkpoint nothing is kept.
    pub(crate) fn new(checkpoint: Option<Checkpoint>, state: State) -> Self {
        Self {
            checkpoint,
            state,
            until: None,
            repeating: false,
            in_transaction: false,
        }
    }

    /// Goes on where an import has stopped.
    ///
    /// # Errors
    /// The one statement whose end nobody saw is undecided, or what was half made cannot be dropped.
    pub(crate) fn resume(
        &mut self,
        connection: &mut Connection,
        unsure: Option<Unsure>,
    ) -> Outcome {
        let state = &mut self.state;
        let until = |position: &Position, inclusive| {
            Some(Until {
                position: position.clone(),
                inclusive,
            })
        };
        if let Some(done) = &state.done {
            self.until = until(done, true);
        } else if let Some(refused) = &state.refused {
            self.until = until(refused, false);
        } else if let Some(running) = state.running.take() {
            match unsure {
                None => return Err(undecided(&running)),
                Some(Unsure::Skip) => {
                    self.until = until(&running.at, true);
                    state.unit = None;
                    state.done = Some(running.at);
                }
                Some(Unsure::Repeat) => {
                    let start = state.unit.as_ref().map(|unit| &unit.start);
                    self.until = until(start.unwrap_or(&running.at), false);
                }
            }
        } else if let Some(unit) = &state.unit {
            self.until = until(&unit.start, false);
            self.repeating = true;
            drop_made(connection, &unit.made)?;
        }
        self.store()
    }

    /// Whether a state is kept on the disk.
    pub(crate) fn is_kept(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// Whether the statement that runs may have run before.
    pub(crate) fn is_repeating(&self) -> bool {
        self.repeating
    }

    /// Whether a whole part is passed over.
    pub(crate) fn skips(&self, part: &str) -> bool {
        self.until
            .as_ref()
            .is_some_and(|until| until.position.part != part)
    }

    /// Whether the statement at this offset is passed over.
    ///
    /// # Errors
    /// The dump is not the one that was run up to here.
    pub(crate) fn passes(&mut self, offset: u64, at: impl Fn() -> Position) -> Outcome<bool> {
        let Some(until) = &self.until else {
            return Ok(false);
        };
        if offset < until.position.offset {
            return Ok(true);
        }
        let at = at();
        if at != until.position {
            let message = format!(
                "the dump has changed: in front of line {} of {} other statements were run",
                until.position.line, until.position.part
            );
            let hint = "give the same dump, changed from that line on at most; without --resume the import begins anew";
            return Err(ErrorBody::new("invalid", message).with_hint(hint));
        }
        let inclusive = until.inclusive;
        self.until = None;
        if self.state.unit.is_some() && self.state.refused.take().is_some() {
            // from here on the unit is repeated if this ends unseen
            self.store()?;
        }
        Ok(inclusive)
    }

    /// Checks at the end of all parts that the point of resumption was found.
    ///
    /// # Errors
    /// It was not.
    pub(crate) fn check_reached(&self, parts: &[&str]) -> Outcome {
        let Some(until) = &self.until else {
            return Ok(());
        };
        let message = format!(
            "the dump ends in front of line {} of {}, where the import was to go on",
            until.position.line, until.position.part
        );
        let hint = match parts.contains(&until.position.part.as_str()) {
            true => "the dump has changed; without --resume the import begins anew",
            false => {
                "give the dump by the same path as before; without --resume the import begins anew"
            }
        };
        Err(ErrorBody::new("invalid", message).with_hint(hint))
    }

    /// A statement is about to run.
    ///
    /// # Errors
    /// The state cannot be written.
    pub(crate) fn enter(
        &mut self,
        connection: &mut Connection,
        effect: &Effect,
        at: impl Fn() -> Position,
        what: impl Fn() -> String,
    ) -> Outcome {
        if self.checkpoint.is_none() {
            return Ok(());
        }
        let status = connection.status();
        self.in_transaction = status.contains(Status::IN_TRANS);
        let autocommit = status.contains(Status::AUTOCOMMIT);
        if self.in_transaction && commits(effect) {
            // a definition commits: then it must be known whether it did
            self.run_alone(&at, "COMMIT".to_owned())?;
            connection.ask("COMMIT")?;
            self.finished(&at());
            self.in_transaction = false;
        }
        match effect {
            Effect::Session | Effect::Use(_) | Effect::Neutral => return Ok(()),
            Effect::Drop(object) => return self.begin_repeatable(&at, object, false),
            Effect::Create { object, replaces } => {
                if self.is_about(object) {
                    return Ok(());
                }
                let there = !replaces && exists(connection, object)?;
                if !there {
                    return self.begin_repeatable(&at, object, !replaces);
                }
                self.begin_exact(&at);
            }
            Effect::Rows(object) if self.is_about(object) => return Ok(()),
            Effect::Rows(_) | Effect::Other if self.in_transaction => {
                self.join(&at);
            }
            Effect::Rows(_) | Effect::Other => {
                self.begin_exact(&at);
                if autocommit {
                    return self.run_alone(&at, what());
                }
            }
            Effect::Begins | Effect::Definition => self.begin_exact(&at),
            Effect::Ends => {
                if self.state.unit.as_ref().is_some_and(|unit| unit.repeatable) {
                    return Ok(());
                }
                return self.run_alone(&at, what());
            }
        }
        self.store()
    }

    /// A statement has run, or its refusal does not stop the import.
    pub(crate) fn left(&mut self, effect: &Effect, at: impl Fn() -> Position) {
        if self.checkpoint.is_none() {
            return;
        }
        if !matches!(effect, Effect::Session | Effect::Use(_) | Effect::Neutral) {
            self.repeating = false;
        }
        if self.state.running.is_some() {
            self.finished(&at());
        }
    }

    /// A statement was refused and stops the import; returns from where it can go on.
    ///
    /// # Errors
    /// The state cannot be written.
    pub(crate) fn stop(
        &mut self,
        connection: &mut Connection,
        effect: &Effect,
        at: impl Fn() -> Position,
    ) -> Outcome<Option<Position>> {
        if self.checkpoint.is_none() {
            return Ok(None);
        }
        let at = at();
        self.state.running = None;
        self.state.refused = match &mut self.state.unit {
            None => Some(at),
            Some(unit) if unit.repeatable => {
                if matches!(effect, Effect::Create { .. }) {
                    // it was not made, and what the user makes in its place is not dropped
                    unit.made.clear();
                }
                let rows = match effect {
                    Effect::Rows(object) if !self.in_transaction => undoes(connection, object),
                    _ => false,
                };
                rows.then_some(at)
            }
            Some(_) => None,
        };
        if self.state.unit.is_none() || self.state.refused.is_some() {
            self.state.done = None;
        }
        self.store()?;
        let unit = self.state.unit.as_ref().map(|unit| &unit.start);
        Ok(self.state.refused.as_ref().or(unit).cloned())
    }

    /// The import ends with an error: says on the disk which statements are known to have run.
    pub(crate) fn settle(&self) {
        if self.state.unit.is_some() || self.state.done.is_some() {
            // the import's own error is the one to tell; the state on the disk says less, but nothing wrong
            let _stored = self.store();
        }
    }

    /// The import is complete.
    ///
    /// # Errors
    /// The state cannot be removed.
    pub(crate) fn finish(&self) -> Outcome {
        self.checkpoint.as_ref().map_or(Ok(()), Checkpoint::clear)
    }

    fn is_about(&self, object: &Object) -> bool {
        let unit = self.state.unit.as_ref().filter(|unit| unit.repeatable);
        unit.is_some_and(|unit| unit.about.contains(object))
    }

    fn begin_repeatable(
        &mut self,
        at: &impl Fn() -> Position,
        object: &Object,
        made: bool,
    ) -> Outcome {
        self.begin(Unit {
            start: at(),
            repeatable: true,
            made: made.then(|| object.clone()).into_iter().collect(),
            about: vec![object.clone()],
        });
        self.store()
    }

    fn begin_exact(&mut self, at: &impl Fn() -> Position) {
        self.begin(Unit {
            start: at(),
            repeatable: false,
            made: Vec::new(),
            about: Vec::new(),
        });
    }

    fn begin(&mut self, unit: Unit) {
        self.state.unit = Some(unit);
        self.state.running = None;
        self.state.refused = None;
        self.state.done = None;
    }

    /// A statement becomes part of the open transaction, whose unit must not be repeated once it is committed.
    fn join(&mut self, at: &impl Fn() -> Position) {
        match &mut self.state.unit {
            Some(unit) => unit.repeatable = false,
            None => self.begin_exact(at),
        }
    }

    /// The statement must not run twice: says so on the disk.
    fn run_alone(&mut self, at: &impl Fn() -> Position, what: String) -> Outcome {
        self.state.running = Some(Running { at: at(), what });
        self.state.done = None;
        self.store()
    }

    fn finished(&mut self, at: &Position) {
        self.state.running = None;
        self.state.unit = None;
        self.state.refused = None;
        self.state.done = Some(at.clone());
    }

    /// Writes the state.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn store(&self) -> Outcome {
        match &self.checkpoint {
            Some(checkpoint) => checkpoint.store(&self.state),
            None => Ok(()),
        }
    }
}

/// Whether a statement commits the open transaction without saying so.
fn commits(effect: &Effect) -> bool {
    matches!(
        effect,
        Effect::Drop(_) | Effect::Create { .. } | Effect::Definition | Effect::Begins
    )
}

fn undecided(running: &Running) -> ErrorBody {
    let message = format!(
        "{}:{}: {}: the import ended while this ran, and nobody can say whether it did",
        running.at.part, running.at.line, running.what
    );
    let hint = "look for its rows, then add --unsure skip if they are there, else --unsure repeat";
    ErrorBody::new("refused", message).with_hint(hint)
}

/// Whether an object is there.
fn exists(connection: &mut Connection, object: &Object) -> Outcome<bool> {
    let Some(schema) = &object.schema else {
        return Ok(false);
    };
    let (table, schema_column, name_column) = match object.kind {
        ObjectKind::Table | ObjectKind::View | ObjectKind::Sequence => {
            ("TABLES", "TABLE_SCHEMA", "TABLE_NAME")
        }
        ObjectKind::Trigger => ("TRIGGERS", "TRIGGER_SCHEMA", "TRIGGER_NAME"),
        ObjectKind::Event => ("EVENTS", "EVENT_SCHEMA", "EVENT_NAME"),
        ObjectKind::Procedure
        | ObjectKind::Function
        | ObjectKind::Package
        | ObjectKind::PackageBody => ("ROUTINES", "ROUTINE_SCHEMA", "ROUTINE_NAME"),
    };
    let mut question = format!(
        "SELECT 1 FROM information_schema.{table} WHERE {schema_column} = {} AND {name_column} = {}",
        literal(schema),
        literal(&object.name)
    );
    if table == "ROUTINES" {
        question.push_str(&format!(" AND ROUTINE_TYPE = '{}'", object.kind.sql()));
    }
    Ok(!connection.ask(&question)?.is_empty())
}

/// Whether the server undoes a refused statement on this table as a whole.
fn undoes(connection: &mut Connection, table: &Object) -> bool {
    let Some(schema) = &table.schema else {
        return false;
    };
    let question = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} AND ENGINE = 'InnoDB'",
        literal(schema),
        literal(&table.name)
    );
    connection.ask(&question).is_ok_and(|rows| !rows.is_empty())
}

/// Drops what the import had begun to make.
fn drop_made(connection: &mut Connection, made: &[Object]) -> Outcome {
    if made.is_empty() {
        return Ok(());
    }
    connection.ask("SET foreign_key_checks = 0")?;
    for object in made {
        let schema = object.schema.as_deref().map(|schema| quoted(schema) + ".");
        connection.ask(&format!(
            "DROP {} IF EXISTS {}{}",
            object.kind.sql(),
            schema.unwrap_or_default(),
            quoted(&object.name)
        ))?;
    }
    connection.ask("SET foreign_key_checks = 1").map(drop)
}
