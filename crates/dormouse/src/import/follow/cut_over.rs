//! The cut-over: from the moment at which the other server takes no more writes to the one at which the database does.
//!
//! Two servers never take writes at the same time: the reservation of the database ends after the other server was made
//! read-only and all of its log was applied. Whatever fails before that sets the other server back, and the import
//! follows on. What is to be set back is stored in the database before it is changed, so that it holds after a crash.

use std::time::{Duration, Instant};

use dormouse_api::ErrorBody;
use serde::{Deserialize, Serialize};

use super::apply::Applier;
use super::checks::log_end;
use super::feed::Feed;
use super::halt::Halt;
use super::orders::Request;
use super::position::{Kept, Phase, Place, keep};
use super::source;
use super::target::Target;
use crate::import::connection::Connection;
use crate::import::text::{literal, quoted};

/// How far behind the import may be when the hold begins.
const NEAR: Duration = Duration::from_secs(1);
/// How long nothing may be written if the user says that the source is quiet.
const QUIET: Duration = Duration::from_secs(1);

/// Most seconds that writes at the other server wait until it is read-only.
const READ_ONLY: u64 = 20;

/// What a cut-over was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CutOver {
    pub(crate) event: String,
    /// Where the other server's log ended.
    pub(crate) end: String,
    /// From the moment at which the other server took no more writes.
    pub(crate) held_ms: u64,
    pub(crate) transactions: u64,
    pub(crate) rows: u64,
    pub(crate) remarks: Vec<String>,
}

impl CutOver {
    /// For people.
    pub(crate) fn text(&self, name: &str) -> String {
        let mut text = format!(
            "{name} takes statements now; nothing was written for {} ms (log of the other server up to {})\n",
            self.held_ms, self.end
        );
        for remark in &self.remarks {
            text.push_str(&format!("note: {remark}\n"));
        }
        text
    }
}

/// Applies all that has arrived, until `reached`.
pub(crate) fn pump(
    applier: &mut Applier,
    feed: &Feed,
    deadline: Instant,
    mut reached: impl FnMut(&Applier) -> bool,
) -> Result<(), Halt> {
    loop {
        match feed.try_next()? {
            Some(events) => {
                for event in &events {
                    applier.event(event)?;
                }
            }
            None => {
                applier.commit()?;
                if reached(applier) {
                    return Ok(());
                }
                if let Some(events) = feed.next(Duration::from_millis(20))? {
                    for event in &events {
                        applier.event(event)?;
                    }
                }
            }
        }
        if Instant::now() > deadline {
            return Err(late());
        }
    }
}

fn late() -> Halt {
    Halt::stop(
        "the cut-over has reached its limit and was given up; the import follows on",
        "wait until it has caught up, or give it more time with --limit",
    )
}

/// The other server takes no more writes; returns what is to be known.
pub(crate) fn stop_writes(
    source: &mut Connection,
    target: &mut Target,
    kept: &mut Kept,
    request: Request,
) -> Result<Vec<String>, Halt> {
    let mut remarks = Vec::new();
    if request.source_is_quiet {
        remarks.push(
            "the other server was not made read-only: keep its clients away, what they write is lost"
                .to_owned(),
        );
        return Ok(remarks);
    }
    let mut on = |name: &str| {
        let value = source::value(source, &format!("SELECT @@global.{name}"))?;
        Ok::<bool, Halt>(matches!(value.as_deref(), Some("1" | "ON")))
    };
    let (read_only, events) = (on("read_only")?, on("event_scheduler")?);
    kept.phase = Phase::Cutting;
    kept.undo = Vec::new();
    if !read_only {
        kept.undo.push("SET GLOBAL read_only = OFF".to_owned());
    }
    if events {
        kept.undo.push("SET GLOBAL event_scheduler = ON".to_owned());
    }
    keep(target, kept)?;
    if events && source::ask(source, "SET GLOBAL event_scheduler = OFF").is_err() {
        remarks.push(
            "the event scheduler of the other server could not be switched off: events of accounts with READ_ONLY ADMIN may write there"
                .to_owned(),
        );
    }
    if !read_only {
        // it waits for statements and LOCK TABLES, and all writes wait behind it
        let patience = request.limit_seconds.clamp(1, READ_ONLY);
        source::ask(
            source,
            &format!("SET SESSION lock_wait_timeout = {patience}"),
        )?;
        source::ask(source, "SET GLOBAL read_only = ON").map_err(|halt| match halt {
            Halt::Stop(error) if error.message.contains("Lock wait timeout") => Halt::stop(
                format!("the other server could not be made read-only within {patience} s: a statement or LOCK TABLES there is in the way; the import follows on"),
                "end it there (SHOW PROCESSLIST), or cut over at a quieter time",
            ),
            Halt::Stop(error) => Halt::stop(
                format!("the other server cannot be made read-only: {}", error.message),
                "GRANT READ_ONLY ADMIN ON *.* to the account, or stop all writes there yourself and add --source-is-quiet",
            ),
            other => other,
        })?;
    }
    remarks.push(
        "the other server is read-only now, and stays so; accounts with SUPER or READ_ONLY ADMIN can still write there, and what they write is lost"
            .to_owned(),
    );
    Ok(remarks)
}

/// Applies the log to its end, and checks that it does not grow.
pub(crate) fn drain(
    source: &mut Connection,
    applier: &mut Applier,
    feed: &Feed,
    request: Request,
    deadline: Instant,
) -> Result<Place, Halt> {
    let mut end = log_end(source)?;
    pump(applier, feed, deadline, |applier| {
        applier.place().has_reached(&end)
    })?;
    if request.source_is_quiet {
        let until = Instant::now() + QUIET;
        pump(applier, feed, until + QUIET, |_| Instant::now() > until)?;
    }
    // who may write although it is read-only, may have written
    let last = log_end(source)?;
    if last != end {
        end = last;
        let message = match request.source_is_quiet {
            true => "something still writes at the other server",
            false => "an account that read_only does not stop still writes at the other server",
        };
        return Err(Halt::stop(
            format!("{message} (its log has grown to {end}); the import follows on"),
            "stop it there, then cut over again",
        ));
    }
    Ok(end)
}

/// Sets the other server back and removes what the cut-over has made. The import follows on afterwards.
pub(crate) fn undo(
    source: &mut Connection,
    target: &mut Target,
    kept: &mut Kept,
    schemas: &[String],
) -> Result<(), Halt> {
    for statement in &kept.undo {
        match source::ask(source, statement) {
            // who may not set it back could not change it
            Err(Halt::Stop(_)) if statement.contains("event_scheduler") => {}
            asked => drop(asked?),
        }
    }
    for schema in schemas {
        for (kind, column) in [("TRIGGER", "TRIGGERS"), ("EVENT", "EVENTS")] {
            let names = target.ask(&format!(
                "SELECT {kind}_NAME FROM information_schema.{column} WHERE {kind}_SCHEMA = {}",
                literal(schema)
            ))?;
            for name in names.into_iter().flatten().flatten() {
                let (schema, name) = (quoted(schema), quoted(&name));
                target.ask(&format!("DROP {kind} IF EXISTS {schema}.{name}"))?;
            }
        }
    }
    kept.phase = Phase::Following;
    kept.undo = Vec::new();
    keep(target, kept)
}

/// Whether the import is near enough to the end for the hold to begin.
///
/// # Errors
/// It is too far behind.
pub(crate) fn come_near(
    source: &mut Connection,
    applier: &mut Applier,
    feed: &Feed,
    limit: Duration,
) -> Result<(), Halt> {
    let deadline = Instant::now() + limit;
    loop {
        let began = Instant::now();
        let end = log_end(source)?;
        let reached = pump(applier, feed, deadline, |applier| {
            applier.place().has_reached(&end)
        });
        match reached {
            Ok(()) if began.elapsed() < NEAR => return Ok(()),
            Ok(()) => {}
            Err(Halt::Stop(error)) if Instant::now() > deadline => {
                let _late = error;
                return Err(Halt::Stop(
                    ErrorBody::new(
                        "refused",
                        "the import is too far behind for a cut-over; nothing was held",
                    )
                    .with_hint("wait until the lag is small, or give it more time with --limit"),
                ));
            }
            Err(halt) => return Err(halt),
        }
    }
}
