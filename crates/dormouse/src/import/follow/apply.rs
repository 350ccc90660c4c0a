//! Applies events to the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_binlog::follow::{Begin, Decoder, Event, Head, Query, Rows, TableMap};
use dormouse_wire::ErrPacket;

use super::batch::Batch;
use super::ddl::{Plan, Scope, plan};
use super::definition;
use super::halt::Halt;
use super::position::{Intent, Place, Row, intend, store};
use super::tables::{Table, Tables};
use super::target::Target;

/// Rows of one transaction at the database, if the other server's transactions are smaller.
const ROWS: u64 = 5_000;
/// How long transactions are gathered while more of them wait.
const GATHER: Duration = Duration::from_millis(500);
/// How often the place is stored if nothing of the log concerns the database.
const SELDOM: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Debug, Default, Clone)]
pub(crate) struct Done {
    /// Transactions of the other server.
    pub(crate) transactions: u64,
    pub(crate) rows: u64,
    pub(crate) definitions: u64,
    /// Seconds since 1970 of the last event.
    pub(crate) timestamp: u32,
    /// Statements about accounts that were not run.
    pub(crate) accounts: Vec<String>,
}

/// A table of the stream.
#[derive(Debug)]
struct Mapped {
    map: TableMap,
    /// `None` if it is not followed.
    table: Option<Arc<Table>>,
}

/// What a group has done so far.
#[derive(Debug, Default)]
struct Group {
    begin: Option<Begin>,
    is_open: bool,
    /// Whether it has changed rows of the database.
    rows: bool,
}

/// Applies events, one after the other.
#[derive(Debug)]
pub(crate) struct Applier {
    pub(crate) target: Target,
    decoder: Decoder,
    scope: Scope,
    /// The end of the last group.
    place: Place,
    /// The file of the events.
    file: String,
    /// When that was begun, in seconds since 1970; 0 if it is not known yet.
    began: u32,
    intent: Option<Intent>,
    mapped: HashMap<u64, Mapped>,
    tables: Tables,
    batch: Batch,
    group: Group,
    /// The last group of the batch.
    last: Option<Begin>,
    /// When the place was stored last.
    stored: Instant,
    /// Whether the place has moved since.
    moved: bool,
    /// Whether it is to be stored at once when the file began.
    is_new: bool,
    pub(crate) done: Done,
}

impl Applier {
    /// An applier that begins at a place.
    pub(crate) fn new(target: Target, scope: Scope, row: Row) -> Self {
        let Row {
            place,
            began,
            intent,
            ..
        } = row;
        Self {
            target,
            decoder: Decoder::default(),
            scope,
            file: place.file.clone(),
            began,
            place,
            intent,
            mapped: HashMap::new(),
            tables: Tables::default(),
            batch: Batch::default(),
            group: Group::default(),
            last: None,
            stored: Instant::now(),
            moved: false,
            is_new: false,
            done: Done::default(),
        }
    }

    /// Whether the events in front of the first description have checksums.
    pub(crate) fn expect_checksums(&mut self, checksums: bool) {
        self.decoder.expect_checksums(checksums);
    }

    /// The end of the last group that was applied.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether it is known, and stored, when the file of the events was begun.
    pub(crate) fn knows_file(&self) -> bool {
        self.began != 0
    }

    /// Whether no group has begun.
    pub(crate) fn is_between(&self) -> bool {
        !self.group.is_open
    }

    /// Applies an event.
    ///
    /// # Errors
    /// The event cannot be applied, or the database is gone.
    pub(crate) fn event(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        let (head, event) = self
            .decoder
            .event(bytes)
            .map_err(|wrong| self.unreadable(&wrong))?;
        if head.timestamp > 0 && !head.artificial {
            self.done.timestamp = head.timestamp;
        }
        match event {
            Event::Nothing => self.passed(&head),
            Event::Rotate { file, position } => self.rotated(file, position),
            Event::File { began } => self.is_file(began)?,
            Event::Begin(begin) => self.begins(begin)?,
            Event::Table(map) => self.maps(map)?,
            Event::Rows(rows) => self.rows(&rows)?,
            Event::Query(query) => self.query(&head, &query)?,
            Event::Commit => self.ends(&head),
            Event::XaPrepare => return Err(self.refused("XA transactions are not followed", "")),
            Event::Statement(what) => {
                return Err(self.refused(
                    "a session there writes its changes as statements (binlog_format), not as rows",
                    what,
                ));
            }
            Event::Incident => {
                return Err(self.refused("the other server has lost events of its log", ""));
            }
        }
        if self.is_between() && self.is_due() {
            self.commit()?;
        }
        Ok(())
    }

    fn is_due(&self) -> bool {
        let since = self.stored.elapsed();
        match self.batch.is_open() {
            true => self.batch.rows >= ROWS || since > GATHER,
            false => self.is_new || self.moved && since > SELDOM,
        }
    }

    /// Commits what was gathered, with its place; nothing in the middle of a group.
    ///
    /// # Errors
    /// The database is gone, or has diverged.
    pub(crate) fn commit(&mut self) -> Result<(), Halt> {
        let due =
            self.batch.is_open() || self.is_new || self.moved && self.stored.elapsed() > SELDOM;
        if !self.is_between() || !due {
            return Ok(());
        }
        let began = self.began();
        self.batch
            .commit(&mut self.target, (&self.place, began), self.last.as_ref())?;
        self.stored = Instant::now();
        self.moved = false;
        self.is_new = false;
        Ok(())
    }

    fn passed(&mut self, head: &Head) {
        if self.is_between() && !head.artificial && !self.file.is_empty() {
            self.moves(head);
        }
    }

    fn moves(&mut self, head: &Head) {
        self.place = Place {
            file: self.file.clone(),
            position: head.end.into(),
        };
        self.moved = true;
    }

    fn rotated(&mut self, file: String, position: u64) {
        if file != self.file || self.place.file != file {
            self.mapped.clear();
        }
        if self.is_between() && file != self.place.file {
            self.place = Place {
                file: file.clone(),
                position,
            };
            self.moved = true;
        }
        if file != self.file {
            self.began = 0;
        }
        self.file = file;
    }

    /// Checks that a file is the one that was followed: a log that was begun anew uses the same names again.
    fn is_file(&mut self, began: u32) -> Result<(), Halt> {
        if self.began == 0 {
            self.began = began;
            self.is_new = true;
        }
        if began == self.began {
            return Ok(());
        }
        Err(Halt::stop(
            format!(
                "the log of the other server is not the one that was followed: its file {} was begun at another time",
                self.file
            ),
            "it was begun anew there (RESET MASTER), or this is another server: begin anew with --restart",
        ))
    }

    /// When the file of the place was begun.
    fn began(&self) -> u32 {
        match self.place.file == self.file {
            true => self.began,
            false => 0,
        }
    }

    fn begins(&mut self, begin: Begin) -> Result<(), Halt> {
        if begin.half {
            return Err(self.refused(
                "an ALTER TABLE is logged in two halves (binlog_alter_two_phase)",
                "",
            ));
        }
        if !self.batch.is_open() {
            // gathered from now on
            self.stored = Instant::now();
        }
        self.group = Group {
            begin: Some(begin),
            is_open: true,
            rows: false,
        };
        Ok(())
    }

    fn maps(&mut self, map: TableMap) -> Result<(), Halt> {
        if let Some(known) = self.mapped.get(&map.id)
            && known.map == map
        {
            return Ok(());
        }
        let table = match self.scope.has(&map.schema) {
            true => Some(self.tables.get(&mut self.target, &map.schema, &map.name)?),
            false => None,
        };
        if let Some(table) = &table
            && map.width() < table.columns.len()
        {
            return Err(Halt::stop(
                format!(
                    "diverged: {} has {} columns, at the other server {}",
                    table.name,
                    table.columns.len(),
                    map.width()
                ),
                "begin anew with --restart",
            ));
        }
        self.mapped.insert(map.id, Mapped { map, table });
        Ok(())
    }

    fn rows(&mut self, rows: &Rows) -> Result<(), Halt> {
        let Some(mapped) = self.mapped.get(&rows.table) else {
            return Err(self.refused("rows stand in the log without their table", ""));
        };
        let Some(table) = &mapped.table else {
            return Ok(());
        };
        self.group.rows = true;
        self.batch.check(rows.unchecked);
        let changes = rows
            .changes(&mapped.map)
            .map_err(|wrong| self.unreadable(&wrong))?;
        for change in changes {
            let change = change.map_err(|wrong| unreadable(&wrong, &self.file, &self.place))?;
            self.batch
                .change(&mut self.target, table, rows.kind, &change)?;
            self.done.rows += 1;
        }
        Ok(())
    }

    fn ends(&mut self, head: &Head) {
        self.done.transactions += 1;
        self.last = self.group.begin.take();
        self.group.is_open = false;
        self.moves(head);
    }

    fn query(&mut self, head: &Head, query: &Query) -> Result<(), Halt> {
        match plan(query, &self.scope) {
            Plan::Commit => {
                self.ends(head);
                return Ok(());
            }
            Plan::Rollback => {
                if self.group.rows {
                    return Err(self.refused(
                        "a transaction was undone that has changed tables without transactions",
                        "",
                    ));
                }
                self.ends(head);
                return Ok(());
            }
            Plan::Savepoint => {
                if self.group.rows {
                    self.batch.plain(&query.text);
                }
                return Ok(());
            }
            Plan::Skip | Plan::Later => {}
            Plan::Account(words) => {
                if !self.done.accounts.contains(&words) {
                    self.done.accounts.push(words);
                }
            }
            Plan::Refuse(reason) => {
                let text = String::from_utf8_lossy(&query.text);
                return Err(self.refused(reason, &text));
            }
            Plan::Run { text, names } => self.define(head, query, &text, &names)?,
        }
        if self.group.begin.is_none_or(|begin| begin.alone) {
            self.ends(head);
        }
        Ok(())
    }

    /// Runs a definition. It commits, so what came before it is committed first, and what it is about to change is
    /// stored.
    fn define(
        &mut self,
        head: &Head,
        query: &Query,
        text: &[u8],
        names: &[super::ddl::Name],
    ) -> Result<(), Halt> {
        let end = Place {
            file: self.file.clone(),
            position: head.end.into(),
        };
        if self.batch.is_open() {
            let began = self.began();
            self.batch
                .commit(&mut self.target, (&self.place, began), self.last.as_ref())?;
        }
        let now = definition::look(&mut self.target, names)?;
        let before = self.intent.take().filter(|intent| intent.end == end);
        let again = before.is_some();
        let has_run = before.is_some_and(|before| before.before != now);
        if !has_run {
            let intent = Intent {
                end: end.clone(),
                before: now,
            };
            intend(&mut self.target, &intent)?;
            let run = definition::run(&mut self.target, head.timestamp, query, text, names);
            self.target.prepare()?;
            self.batch.prepared();
            match run? {
                Err(error) if !(again && definition::is_repeated(&error)) => {
                    return Err(self.not_defined(&error, text));
                }
                _ => {}
            }
        }
        self.tables.forget();
        self.mapped.clear();
        self.done.definitions += 1;
        if self.group.begin.is_none_or(|begin| begin.alone) {
            let begin = self.group.begin;
            self.target.ask(&store(&end, self.began, begin.as_ref()))?;
            self.stored = Instant::now();
        }
        Ok(())
    }

    fn not_defined(&self, error: &ErrPacket, text: &[u8]) -> Halt {
        let text: String = String::from_utf8_lossy(text).chars().take(300).collect();
        Halt::stop(
            format!(
                "the database refused a definition behind {}: {error} ({text})",
                self.place
            ),
            "remove the cause, then run the command again: it goes on at this definition",
        )
    }

    fn refused(&self, reason: &str, text: &str) -> Halt {
        let text: String = text.chars().take(300).collect();
        let text = match text.is_empty() {
            true => text,
            false => format!(" ({text})"),
        };
        Halt::stop(
            format!(
                "the log cannot be followed behind {}: {reason}{text}",
                self.place
            ),
            "see docs/import.md for what can be followed; begin anew with --restart when the cause is gone",
        )
    }

    fn unreadable(&self, wrong: &dormouse_binlog::Wrong) -> Halt {
        unreadable(wrong, &self.file, &self.place)
    }
}

fn unreadable(wrong: &dormouse_binlog::Wrong, file: &str, place: &Place) -> Halt {
    let at = match place.file == file {
        true => place.to_string(),
        false => file.to_owned(),
    };
    Halt::stop(
        format!("the other server's log cannot be read behind {at}: {wrong}"),
        "see docs/import.md for what can be followed",
    )
}
