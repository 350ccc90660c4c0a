//! Runs the statements of a dump in a database, as a client of Dormouse with an owner's rights.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use dormouse_api::ErrorBody;
use dormouse_api::model::OWNER;
use dormouse_session::lexer::{Charset, Mode};
use dormouse_wire::ErrPacket;
use dormouse_wire::status::Status;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::advice::Advice;
use super::checkpoint::Position;
use super::classify::{
    Classified, Effect, Object, ObjectKind, Reason, Treatment, classify, replaced,
};
use super::connection::{Answer, Connection, Failure};
use super::input::{Input, Part};
use super::journal::Journal;
use super::progress::Figures;
use super::splitter::{Splitter, Statement};
use super::summary::{Refused, Summary};
use super::text::{describe, quoted};
use crate::Outcome;
use crate::output::Output;

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// Bytes of the packet of a statement that are not the statement's.
const PACKET: usize = 16;

/// Bytes at a dump's end among which its last line is.
const TAIL: usize = 200;

/// What the tools write in front of their dumps and at the end.
const HEADS: [&[u8]; 2] = [b"-- MariaDB dump", b"-- MySQL dump"];
const FOOT: &[u8] = b"-- Dump completed";

/// The server's codes for what is there already, or not there any more: a definition that is repeated.
pub(crate) const REPEATED: [u16; 12] = [
    1007, 1008, 1050, 1051, 1060, 1061, 1068, 1091, 1304, 1359, 1396, 1537,
];

/// The mode in which a dump of mariadb-dump or mysqldump runs.
const DUMP_MODE: &[u8] = b"SQL_MODE='NO_AUTO_VALUE_ON_ZERO'";

/// The statement of a dump that says where in its server's log it was made.
const CHANGE_MASTER: &[u8] = b"CHANGE MASTER TO MASTER_LOG_FILE=";

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnError {
    Stop,
    /// `--force`
    GoOn,
}

/// An error that the import goes past.
#[derive(Debug, Serialize)]
struct ErrorEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    refused: &'a Refused,
}

/// Runs statements, one after the other.
#[derive(Debug)]
pub(crate) struct Importer<'a> {
    connection: Connection,
    journal: Journal,
    output: &'a Output,
    on_error: OnError,
    figures: Arc<Figures>,
    summary: Summary,
    started: Instant,
    advice: Advice,
    /// The server's largest packet.
    largest: usize,
    /// Whether the server lacks MySQL's collations.
    lacks_collations: bool,
    mode: Mode,
    schema: Option<String>,
    /// The statement that says where in its server's log the dump was made.
    master: Option<String>,
}

/// The text of one part that is being run.
struct Reading<'a> {
    part: &'a Part,
    digest: Sha256,
}

impl Reading<'_> {
    fn position(&self, statement: &Statement) -> Position {
        let digest = self.digest.clone().finalize();
        Position {
            part: self.part.name.clone(),
            offset: statement.offset,
            line: statement.line,
            digest: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl<'a> Importer<'a> {
    /// An importer on a connection that was just made.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) fn new(
        mut connection: Connection,
        journal: Journal,
        output: &'a Output,
        on_error: OnError,
        again: String,
        figures: Arc<Figures>,
    ) -> Outcome<Self> {
        let advice = Advice::new(again, journal.is_kept());
        connection.ask("SET NAMES utf8mb4")?;
        let rows = connection.ask(
            "SELECT @@max_allowed_packet, (SELECT COUNT(*) FROM information_schema.COLLATIONS \
             WHERE COLLATION_NAME = 'utf8mb4_0900_ai_ci')",
        )?;
        let field = |at: usize| rows.first()?.get(at)?.as_deref()?.parse::<usize>().ok();
        let mode = Mode::from(connection.status());
        Ok(Self {
            connection,
            journal,
            output,
            on_error,
            figures,
            summary: Summary {
                event: "done",
                ..Summary::default()
            },
            started: Instant::now(),
            advice,
            largest: field(0).unwrap_or(1 << 24),
            lacks_collations: field(1) == Some(0),
            mode,
            schema: None,
            master: None,
        })
    }

    /// The figures that progress shows.
    pub(crate) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// The connection, for statements that are not part of a dump.
    pub(crate) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The statement of the dump that says where in its server's log it was made.
    pub(crate) fn master(&self) -> Option<&str> {
        self.master.as_deref()
    }

    /// The summary, to add to it.
    pub(crate) fn summary(&mut self) -> &mut Summary {
        &mut self.summary
    }

    /// Runs all parts of a dump.
    ///
    /// # Errors
    /// A part cannot be read, or a statement was refused.
    pub(crate) fn parts(&mut self, parts: &[Part]) -> Outcome {
        let total: u64 = parts.iter().map(|part| part.size).sum();
        self.figures.total.store(total, Ordering::Relaxed);
        let mut before = 0;
        for part in parts {
            if !self.journal.skips(&part.name) {
                let input = Input::open(part)?;
                let done = self.part(part, input, before);
                if done.is_err() {
                    self.journal.settle();
                }
                done?;
            }
            before += part.size;
        }
        self.journal
            .check_reached(&parts.iter().map(|p| p.name.as_str()).collect::<Vec<_>>())
    }

    /// Runs one part.
    ///
    /// # Errors
    /// It cannot be read, or a statement was refused.
    pub(crate) fn part(&mut self, part: &Part, mut input: Input, before: u64) -> Outcome {
        if let Some(schema) = part.schema.clone() {
            if super::classify::is_reserved(&schema) {
                self.summary
                    .left(Reason::SystemSchema, Some(part.name.clone()));
                return Ok(());
            }
            let name = quoted(&schema);
            self.connection
                .ask(&format!("CREATE DATABASE IF NOT EXISTS {name}"))?;
            self.connection.ask(&format!("USE {name}"))?;
            self.schema = Some(schema);
        }
        let mut reading = Reading {
            part,
            digest: Sha256::new(),
        };
        let mut splitter = Splitter::new(part.delimiter, self.largest.saturating_sub(PACKET));
        splitter.set_mode(self.mode);
        let (mut piece, mut tail, mut of_a_tool) = (Vec::new(), Vec::new(), None);
        loop {
            input
                .read(&mut piece, PIECE)
                .map_err(|e| self.advice.cannot_read(part, &e))?;
            if piece.is_empty() {
                break;
            }
            let position = before + input.position();
            self.figures.bytes.store(position, Ordering::Relaxed);
            let from = piece.len().saturating_sub(TAIL);
            of_a_tool.get_or_insert_with(|| {
                let head = piece.get(..TAIL).unwrap_or(&piece);
                HEADS
                    .iter()
                    .any(|tool| memchr::memmem::find(head, tool).is_some())
            });
            tail.extend_from_slice(piece.get(from..).unwrap_or_default());
            tail.drain(..tail.len().saturating_sub(TAIL));
            splitter.push(&piece);
            self.statements(&mut splitter, &mut reading)?;
        }
        let complete = memchr::memmem::find(&tail, FOOT).is_some();
        if of_a_tool == Some(true) && !complete {
            return Err(self.advice.truncated(part));
        }
        splitter.end();
        self.statements(&mut splitter, &mut reading)
    }

    fn statements(&mut self, splitter: &mut Splitter, reading: &mut Reading<'_>) -> Outcome {
        loop {
            let next = splitter.next();
            let Some(statement) = next.map_err(|e| self.advice.no_dump(reading.part, e))? else {
                return Ok(());
            };
            self.statement(&statement, reading)?;
            reading.digest.update(&statement.text);
            splitter.set_mode(self.mode);
        }
    }

    fn statement(&mut self, statement: &Statement, reading: &Reading<'_>) -> Outcome {
        let mut found = classify(&statement.text, self.mode, self.schema.as_deref());
        self.complete(&mut found.effect);
        let skipped = self
            .journal
            .passes(statement.offset, || reading.position(statement))?;
        let mut text = None;
        match found.treatment {
            // what the session needs is run again
            _ if skipped && !is_of_session(&found) => return Ok(()),
            Treatment::Nothing => return Ok(()),
            Treatment::Skip(reason) => {
                if statement.text.starts_with(CHANGE_MASTER) {
                    self.master = Some(String::from_utf8_lossy(&statement.text).into_owned());
                }
                if let Effect::Use(schema) = found.effect {
                    self.schema = Some(schema);
                }
                if !skipped {
                    self.summary.left(reason, None);
                }
                return Ok(());
            }
            Treatment::Run | Treatment::Try(_) => {
                let changes = self.changes(&statement.text, &found);
                if !changes.is_empty() {
                    text = Some(replaced(&statement.text, &changes));
                }
            }
        }
        if !skipped {
            let position = || reading.position(statement);
            let what = || describe(&found.effect, &statement.text);
            self.journal
                .enter(&mut self.connection, &found.effect, position, what)?;
        }
        let text = text.as_deref().unwrap_or(&statement.text);
        match self.connection.run(text) {
            Ok(answer) => self.done(statement, reading, &found, &answer),
            Err(Failure::Refused(error)) => self.refused(statement, reading, &found, &error),
            Err(Failure::Gone(error)) => {
                let what = describe(&found.effect, &statement.text);
                Err(self
                    .advice
                    .gone(reading.part, statement.line, &what, &error))
            }
        }
    }

    /// Completes the names of objects with the current schema.
    fn complete(&self, effect: &mut Effect) {
        match effect {
            Effect::Drop(object) | Effect::Create { object, .. } | Effect::Rows(object)
                if object.schema.is_none() =>
            {
                object.schema.clone_from(&self.schema);
            }
            _ => {}
        }
    }

    /// What is changed in a statement before it is run.
    fn changes(
        &mut self,
        text: &[u8],
        found: &Classified,
    ) -> Vec<(std::ops::Range<usize>, &'static str)> {
        let mut changes = Vec::new();
        if let Some((range, name)) = &found.definer {
            let own = [
                format!("{OWNER}@%"),
                "CURRENT_USER".to_owned(),
                "CURRENT_USER()".to_owned(),
            ];
            if !own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                self.summary.left(Reason::Definer, Some(name.clone()));
                changes.push((range.clone(), ""));
            }
        }
        if self.lacks_collations && !found.collations.is_empty() {
            self.summary.left(Reason::Collation, None);
            changes.extend(found.collations.iter().cloned());
        }
        if found.effect == Effect::Session
            && let Some(at) = memchr::memmem::find(text, DUMP_MODE)
        {
            // dates that are none, as a server may have them, come as they are
            let end = at + DUMP_MODE.len() - 1;
            changes.push((end..end, ",ALLOW_INVALID_DATES"));
        }
        changes.sort_by_key(|(range, _)| range.start);
        changes
    }

    fn done(
        &mut self,
        statement: &Statement,
        reading: &Reading<'_>,
        found: &Classified,
        answer: &Answer,
    ) -> Outcome {
        let figures = &self.figures;
        self.summary.statements += 1;
        self.summary.warnings += u64::from(answer.warnings);
        self.mode = Mode {
            charset: self.mode.charset,
            ..Mode::from(self.connection.status())
        };
        match &found.effect {
            Effect::Use(schema) => self.schema = Some(schema.clone()),
            Effect::Rows(_) => {
                figures.rows.fetch_add(answer.affected, Ordering::Relaxed);
            }
            Effect::Create {
                object:
                    Object {
                        kind: ObjectKind::Table,
                        ..
                    },
                ..
            } => {
                figures.tables.fetch_add(1, Ordering::Relaxed);
            }
            Effect::Session => self.read_charset(&statement.text)?,
            _ => {}
        }
        self.journal
            .left(&found.effect, || reading.position(statement));
        Ok(())
    }

    /// Asks for the client's character set if the statement may have set one whose characters contain backslashes.
    fn read_charset(&mut self, text: &[u8]) -> Outcome {
        let text = text.to_ascii_lowercase();
        let sets = [&b"big5"[..], b"gbk", b"gb18030", b"sjis", b"cp932"];
        let named = sets
            .iter()
            .any(|set| memchr::memmem::find(&text, set).is_some());
        if !named && self.mode.charset == Charset::Other {
            return Ok(());
        }
        let rows = self.connection.ask("SELECT @@character_set_client")?;
        let set = rows.into_iter().flatten().flatten().next();
        self.mode.charset = match set.as_deref() {
            Some("big5") => Charset::Big5,
            Some("gbk" | "gb18030") => Charset::Gbk,
            Some("sjis" | "cp932") => Charset::Sjis,
            _ => Charset::Other,
        };
        Ok(())
    }

    fn refused(
        &mut self,
        statement: &Statement,
        reading: &Reading<'_>,
        found: &Classified,
        error: &ErrPacket,
    ) -> Outcome {
        let what = describe(&found.effect, &statement.text);
        let refused = Refused {
            part: reading.part.name.clone(),
            line: statement.line,
            what,
            error: error.to_string(),
        };
        let position = || reading.position(statement);
        if self.journal.is_repeating() && REPEATED.contains(&error.code) {
            self.journal.left(&found.effect, position);
            return Ok(());
        }
        if let Treatment::Try(reason) = found.treatment {
            let Refused {
                part,
                line,
                what,
                error,
            } = refused;
            self.summary
                .left(reason, Some(format!("{part}:{line}: {what}: {error}")));
            self.journal.left(&found.effect, position);
            return Ok(());
        }
        if self.on_error == OnError::GoOn {
            let event = ErrorEvent {
                event: "error",
                refused: &refused,
            };
            if self.output.is_json() {
                self.output.announce(&event, |_| String::new());
            }
            self.summary.error(refused);
            self.journal.left(&found.effect, position);
            return Ok(());
        }
        let from = self
            .journal
            .stop(&mut self.connection, &found.effect, position)?;
        Err(self
            .advice
            .refused(&refused, error.code, &found.effect, from.as_ref()))
    }

    /// The end: removes the checkpoint.
    ///
    /// # Errors
    /// A transaction of the dump has no end, or the checkpoint cannot be removed.
    pub(crate) fn finish(mut self) -> Outcome<Summary> {
        if self.connection.status().contains(Status::IN_TRANS) {
            let message = "the dump ends within a transaction, which is undone";
            let hint =
                "it is truncated, or lacks a COMMIT at its end; then it is to be imported anew";
            return Err(ErrorBody::new("invalid", message).with_hint(hint));
        }
        self.journal.finish()?;
        let get = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        self.summary.tables = get(&self.figures.tables);
        self.summary.rows = get(&self.figures.rows);
        self.summary.bytes = get(&self.figures.bytes);
        self.summary.seconds = self.started.elapsed().as_secs_f64();
        Ok(self.summary)
    }
}

/// Whether a statement that is passed over on the way to the point of resumption is run anyway.
fn is_of_session(found: &Classified) -> bool {
    match found.treatment {
        Treatment::Run => matches!(found.effect, Effect::Session | Effect::Use(_)),
        Treatment::Skip(_) => matches!(found.effect, Effect::Use(_)),
        Treatment::Try(_) | Treatment::Nothing => false,
    }
}
