//! `dormouse import --follow`: copies a server and applies its binary log until the cut-over.
//!
//! The path of the data: [`feed`] reads the log of the [`source`], [`apply`] decodes it (`dormouse_binlog::follow`), finds
//! the [`tables`], writes rows as [`sql`] into a [`batch`] and sends it to the [`target`], or runs a [`definition`] that
//! [`ddl`] has looked at. Where it stands ([`position`]) is stored in the same transaction as the rows. So a killed
//! import, Dormouse or source changes nothing: the next run goes on where the last transaction has ended.
//!
//! While it follows, the database is reserved: statements of others are held. [`cut_over`] ends that.

pub(crate) mod apply;
pub(crate) mod batch;
pub(crate) mod checks;
pub(crate) mod copy;
pub(crate) mod cut_over;
pub(crate) mod ddl;
pub(crate) mod definition;
pub(crate) mod done;
pub(crate) mod feed;
pub(crate) mod halt;
pub(crate) mod orders;
pub(crate) mod position;
pub(crate) mod report;
pub(crate) mod source;
pub(crate) mod sql;
pub(crate) mod tables;
pub(crate) mod target;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_api::ErrorBody;

use self::apply::Applier;
use self::cut_over::CutOver;
use self::ddl::Scope;
use self::feed::Feed;
use self::halt::Halt;
use self::orders::{Order, Orders, Reply, Request};
use self::position::{Kept, Phase, Row};
use self::report::Report;
use self::target::{Access, Target};
use super::connection::Connection;
use super::live::{Address, OptionFile};
use super::progress::Figures;
use crate::Outcome;
use crate::output::Output;

/// Pauses before another attempt to reach a server that is gone.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// How often orders are looked for while nothing arrives.
const IDLE: Duration = Duration::from_millis(100);

/// Reserves a database for the sessions with a key, or ends that.
pub(crate) trait Reserve {
    /// Whether it is reserved.
    ///
    /// # Errors
    /// Dormouse does not answer.
    fn is_reserved(&self) -> Outcome<bool>;

    /// Lets only sessions with this key in.
    ///
    /// # Errors
    /// Dormouse does not answer.
    fn reserve(&self, key: &str) -> Outcome;

    /// Lets all in.
    ///
    /// # Errors
    /// Dormouse does not answer.
    fn release(&self) -> Outcome;
}

/// An import that follows.
pub(crate) struct Follower<'a> {
    pub(crate) access: Access,
    pub(crate) address: Address,
    pub(crate) data_dir: &'a Path,
    pub(crate) output: &'a Output,
    pub(crate) reserve: &'a dyn Reserve,
    pub(crate) figures: Arc<Figures>,
    pub(crate) accounts: bool,
    /// Begin anew, whatever is there.
    pub(crate) restart: bool,
}

impl Follower<'_> {
    /// Copies, if that is not done, and follows until the cut-over.
    ///
    /// # Errors
    /// Something that only the user can resolve. The command can be run again.
    pub(crate) fn run(&self) -> Outcome<CutOver> {
        let orders = Orders::listen(self.data_dir, &self.access.name)?;
        let mut report = Report::new(self.output);
        let mut failures = 0;
        let mut restart = self.restart;
        loop {
            let halt = match self.attempt(&orders, &mut report, &mut restart, &mut failures) {
                Ok(done) => return Ok(done),
                Err(halt) => halt,
            };
            let text = match halt {
                Halt::Stop(error) => return Err(self.with_way_out(error)),
                Halt::Source(text) | Halt::Target(text) => text,
            };
            report.waits(&text);
            let pause = PAUSES.get(failures).or(PAUSES.last()).copied();
            failures += 1;
            let until = Instant::now() + pause.unwrap_or_default();
            while Instant::now() < until {
                if let Some(order) = orders.take() {
                    let message = format!("the import is not connected: {text}");
                    order.answer(&Reply::Failed(ErrorBody::new("refused", message)));
                }
                std::thread::sleep(IDLE);
            }
        }
    }

    /// Connects and follows until something breaks.
    fn attempt(
        &self,
        orders: &Orders,
        report: &mut Report<'_>,
        restart: &mut bool,
        failures: &mut usize,
    ) -> Result<CutOver, Halt> {
        if self.reserve.is_reserved().map_err(unreserved)? {
            // with the key of an earlier run
            self.reserve()?;
        }
        let mut target = self.access.connect()?;
        let row = position::read(&mut target)?;
        let row = match row {
            Some(row) if !*restart && row.kept.phase != Phase::Copying => {
                self.is_mine(&row.kept)?;
                row
            }
            None if !*restart && let Some(done) = self.done_before()? => return Ok(done),
            row => {
                copy::copy(self, &mut target, row.as_ref(), *restart)?;
                *restart = false;
                let row = position::read(&mut target)?;
                row.ok_or_else(|| Halt::Target("the position is gone".to_owned()))?
            }
        };
        if row.kept.phase == Phase::Done {
            return self.complete(&mut target);
        }
        self.reserve()?;
        self.follow(target, row, orders, report, failures)
    }

    /// Lets only this import in.
    fn reserve(&self) -> Result<(), Halt> {
        self.reserve.reserve(&self.access.key).map_err(unreserved)
    }

    /// What a run that has ended did.
    fn done_before(&self) -> Outcome<Option<CutOver>> {
        let source = self.address.shown();
        let done = done::read(self.data_dir, &self.access.name, &source)?;
        Ok(done.map(|mut done| {
            let remark = "this was done by an earlier run; --restart begins anew";
            done.remarks.push(remark.to_owned());
            done
        }))
    }

    /// Names what opens the database, if it is closed for others.
    fn with_way_out(&self, error: ErrorBody) -> ErrorBody {
        if !self.reserve.is_reserved().unwrap_or(false) {
            return error;
        }
        let name = &self.access.name;
        let mut hint = error.hint.clone().unwrap_or_default();
        if !hint.is_empty() {
            hint.push_str("; ");
        }
        hint.push_str(&format!(
            "{name} holds the statements of others until then, or until `dormouse import {name} --abandon`"
        ));
        error.with_hint(hint)
    }

    /// Checks that the database follows the server that the user names.
    fn is_mine(&self, kept: &Kept) -> Result<(), Halt> {
        let asked = self.address.shown();
        if kept.source == asked {
            return Ok(());
        }
        Err(Halt::stop(
            format!("the database follows {}, not {asked}", kept.source),
            "name that server, or begin anew with --restart",
        ))
    }

    fn follow(
        &self,
        mut target: Target,
        row: Row,
        orders: &Orders,
        report: &mut Report<'_>,
        failures: &mut usize,
    ) -> Result<CutOver, Halt> {
        let mut kept = row.kept.clone();
        let mut source = source::connect(&self.address)?;
        let id = source::value(&mut source, "SELECT @@server_id")?.unwrap_or_default();
        if id != kept.server_id {
            return Err(Halt::stop(
                format!(
                    "the server there has server_id {id}, the one that was copied {}",
                    kept.server_id
                ),
                "its log is another one: begin anew with --restart",
            ));
        }
        checks::is_same_log(&mut source, &row.place, &row.gtid)?;
        let scope = match kept.all {
            true => Scope::All,
            false => Scope::Only(kept.schemas.clone()),
        };
        if kept.phase == Phase::Cutting {
            let schemas = self.schemas(&mut target, &scope)?;
            cut_over::undo(&mut source, &mut target, &mut kept, &schemas)?;
            report.remark("the cut-over was not completed: the other server is set back, the import follows on");
        }
        // up to here the import is behind, whether events have arrived or not
        let end = checks::log_end(&mut source)?;
        drop(source);
        let feed = Feed::open(source::connect(&self.address)?, &row.place)?;
        let mut applier = Applier::new(target, scope.clone(), row);
        applier.expect_checksums(feed.checksums);
        loop {
            match feed.try_next()? {
                Some(events) => {
                    for event in &events {
                        applier.event(event)?;
                    }
                    report.behind(&applier);
                }
                None => {
                    applier.commit()?;
                    *failures = 0;
                    if applier.knows_file() && applier.place().has_reached(&end) {
                        report.caught_up(&applier);
                    }
                    if let Some(events) = feed.next(IDLE)? {
                        for event in &events {
                            applier.event(event)?;
                        }
                    }
                }
            }
            let Some(order) = orders.take() else { continue };
            match self.cut_over(&mut applier, &feed, &mut kept, &scope, order.request) {
                Ok(done) => return Ok(answer(order, orders, done)),
                Err(halt) => {
                    let mut error = halt.into_error();
                    report.remark(&format!("no cut-over: {}", error.message));
                    if let Err(halt) = self.set_back(&mut applier, &mut kept, &scope) {
                        let cause = halt.into_error().message;
                        error.message.push_str(&format!(
                            "; the other server is not set back yet, which is tried again: {cause}"
                        ));
                    }
                    order.answer(&Reply::Failed(error));
                    // what was read ahead may be lost: from the stored position
                    return Err(Halt::Target("the cut-over was given up".to_owned()));
                }
            }
        }
    }

    /// Sets back what a cut-over that failed has changed.
    fn set_back(&self, applier: &mut Applier, kept: &mut Kept, scope: &Scope) -> Result<(), Halt> {
        if kept.phase != Phase::Cutting {
            return Ok(());
        }
        let mut source = source::connect(&self.address)?;
        // not in a transaction of the applier's that is open
        let mut target = self.access.connect()?;
        drop(std::mem::replace(
            &mut applier.target,
            self.access.connect()?,
        ));
        let schemas = self.schemas(&mut target, scope)?;
        cut_over::undo(&mut source, &mut target, kept, &schemas)
    }

    fn cut_over(
        &self,
        applier: &mut Applier,
        feed: &Feed,
        kept: &mut Kept,
        scope: &Scope,
        request: Request,
    ) -> Result<CutOver, Halt> {
        let limit = Duration::from_secs(request.limit_seconds);
        // longer than the other server waits for a lock
        let patience = limit + Duration::from_secs(2);
        let mut source = source::connect_for(&self.address, patience)?;
        cut_over::come_near(&mut source, applier, feed, limit)?;
        let not_brought = match self.accounts && kept.all {
            true => copy::accounts(self)?,
            false => Vec::new(),
        };
        let began = Instant::now();
        let deadline = began + limit;
        let mut remarks = cut_over::stop_writes(&mut source, &mut applier.target, kept, request)?;
        kept.phase = Phase::Cutting;
        position::keep(&mut applier.target, kept)?;
        let end = cut_over::drain(&mut source, applier, feed, request, deadline)?;
        let schemas = self.schemas(&mut applier.target, scope)?;
        remarks.extend(copy::code(self, &schemas, deadline)?);
        let after = checks::log_end(&mut source)?;
        if after != end {
            return Err(Halt::stop(
                "something still writes at the other server; the import follows on",
                "stop it there, then cut over again",
            ));
        }
        if Instant::now() > deadline {
            return Err(Halt::stop(
                "the cut-over has reached its limit and was given up; the import follows on",
                "give it more time with --limit",
            ));
        }
        kept.phase = Phase::Done;
        position::keep(&mut applier.target, kept)?;
        // from here on there is no way back: the database is the one that takes writes
        self.let_in()?;
        let held_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if !applier.done.accounts.is_empty() {
            remarks.push(format!(
                "statements about accounts were not run as they came: {}; accounts were read again now, and those that are there already keep their passwords",
                applier.done.accounts.join(", ")
            ));
        }
        remarks.extend(not_brought);
        let done = CutOver {
            event: "cut_over".to_owned(),
            end: end.to_string(),
            held_ms,
            transactions: applier.done.transactions,
            rows: applier.done.rows,
            remarks,
        };
        self.forget(&mut applier.target, &done)?;
        Ok(done)
    }

    /// Removes the position; that it is done is told outside of the database from then on.
    fn forget(&self, target: &mut Target, done: &CutOver) -> Result<(), Halt> {
        let source = self.address.shown();
        done::write(self.data_dir, &self.access.name, &source, done)?;
        position::remove(target)
    }

    /// Ends the reservation; tries for a while, since the cut-over is done.
    fn let_in(&self) -> Result<(), Halt> {
        let mut last = String::new();
        for pause in PAUSES {
            match self.reserve.release() {
                Ok(()) => return Ok(()),
                Err(error) => last = error.message,
            }
            std::thread::sleep(pause);
        }
        Err(Halt::Target(last))
    }

    /// What is left to do after a cut-over whose import has died.
    fn complete(&self, target: &mut Target) -> Result<CutOver, Halt> {
        self.let_in()?;
        let done = CutOver {
            event: "cut_over".to_owned(),
            end: String::new(),
            held_ms: 0,
            transactions: 0,
            rows: 0,
            remarks: vec!["an earlier run has cut over".to_owned()],
        };
        self.forget(target, &done)?;
        Ok(done)
    }

    /// The schemas that are followed, as the database has them now.
    fn schemas(&self, target: &mut Target, scope: &Scope) -> Result<Vec<String>, Halt> {
        let all = target.ask("SHOW DATABASES")?;
        let names = all.into_iter().flatten().flatten();
        Ok(names.filter(|name| scope.has(name)).collect())
    }

    /// Options for the programs that read the other server.
    fn options(&self) -> Outcome<OptionFile> {
        let path = self.data_dir.join("imports");
        let path = path.join(format!("{}.source", self.access.name));
        OptionFile::of(&self.address, path)
    }

    /// A connection for the importer of dumps.
    fn plain(&self) -> Outcome<Connection> {
        self.access.plain()
    }
}

/// An answer of Dormouse about the reservation that is no good one.
fn unreserved(error: ErrorBody) -> Halt {
    match error.code.as_str() {
        "not_found" | "refused" | "forbidden" => Halt::Stop(error),
        _ => Halt::Target(error.message),
    }
}

/// Answers an order, and those that came meanwhile.
fn answer(order: Order, orders: &Orders, done: CutOver) -> CutOver {
    for order in std::iter::once(order).chain(std::iter::from_fn(|| orders.take())) {
        order.answer(&Reply::Done(done.clone()));
    }
    done
}
