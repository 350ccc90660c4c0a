//! The copy in front of the log, and what comes at the cut-over: triggers, events, accounts.

use std::time::Instant;

use dormouse_api::ErrorBody;

use super::Follower;
use super::checks;
use super::ddl::Scope;
use super::halt::Halt;
use super::position::{self, Kept, Phase, Place, Row};
use super::source;
use super::target::Target;
use crate::Outcome;
use crate::import::accounts::Plan;
use crate::import::bring;
use crate::import::checkpoint::State;
use crate::import::classify::Reason;
use crate::import::input::{self, Input, Part};
use crate::import::journal::Journal;
use crate::import::live::OptionFile;
use crate::import::progress::Progress;
use crate::import::run::{Importer, OnError};
use crate::import::text::{literal, quoted};

/// What the dump of the copy has beyond a consistent dump: the place in the log; triggers and events would act on rows
/// that the log has already.
const COPY: [&str; 3] = ["--master-data=1", "--skip-triggers", "--skip-events"];
/// What the dump at the cut-over leaves out.
const CODE: [&str; 4] = [
    "--no-data",
    "--no-create-info",
    "--no-create-db",
    "--skip-routines",
];

/// Copies the other server and stores the place in its log from which it is followed.
///
/// # Errors
/// It cannot be copied or followed.
pub(super) fn copy(
    follower: &Follower<'_>,
    target: &mut Target,
    former: Option<&Row>,
    restart: bool,
) -> Result<(), Halt> {
    let options = follower.options()?;
    let mut from = source::connect(&follower.address)?;
    let (schemas, scope) = match &follower.address.schema {
        Some(schema) => (vec![schema.clone()], Scope::Only(vec![schema.clone()])),
        None => (options.schemas()?, Scope::All),
    };
    let found = checks::check(&mut from, &follower.address, &scope, &schemas)?;
    for remark in &found.remarks {
        follower.output.remark(remark);
    }
    room(target, &schemas, former, restart)?;
    // what was there may be in use until here
    follower.reserve()?;
    for schema in room(target, &schemas, former, restart)? {
        target.ask(&format!("DROP DATABASE IF EXISTS {}", quoted(&schema)))?;
    }
    let mut kept = Kept {
        phase: Phase::Copying,
        source: follower.address.shown(),
        server_id: found.server_id,
        schemas: schemas.clone(),
        all: scope == Scope::All,
        undo: Vec::new(),
    };
    position::create(target, &kept)?;
    raise_packet(&mut from, target, follower)?;
    drop(from);
    let place = run_copy(follower, &options, &schemas)?;
    kept.phase = Phase::Following;
    // both in one transaction: a place without the phase would be none
    target.ask("START TRANSACTION")?;
    target.ask(&position::store(&place, 0, None))?;
    position::keep(target, &kept)?;
    target.ask("COMMIT")?;
    Ok(())
}

/// The schemas that come must not be there, unless an earlier copy has made them; returns those.
fn room(
    target: &mut Target,
    schemas: &[String],
    former: Option<&Row>,
    restart: bool,
) -> Result<Vec<String>, Halt> {
    let mut old = Vec::new();
    let there: Vec<String> = target
        .ask("SHOW DATABASES")?
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let own = former.map_or(&[][..], |row| &row.kept.schemas);
    for schema in schemas.iter().chain(own) {
        if !there.contains(schema) {
            continue;
        }
        let is_own = own.contains(schema) || former.is_some_and(|row| row.kept.all);
        if is_own || restart && is_empty(target, schema)? {
            old.push(schema.clone());
        } else if !is_empty(target, schema)? {
            return Err(Halt::stop(
                format!("the database has a schema {schema} already, with tables"),
                "follow into a new database (--create), or drop the schema first",
            ));
        }
    }
    Ok(old)
}

fn is_empty(target: &mut Target, schema: &str) -> Result<bool, Halt> {
    let sql = format!(
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} LIMIT 1",
        literal(schema)
    );
    Ok(target.ask(&sql)?.is_empty())
}

/// A row may take twice as many bytes as a statement than at the other server.
fn raise_packet(
    from: &mut crate::import::connection::Connection,
    target: &mut Target,
    follower: &Follower<'_>,
) -> Result<(), Halt> {
    const MOST: u64 = 1 << 30;
    let sql = "SELECT @@global.max_allowed_packet";
    let number = |text: Option<String>| text.and_then(|text| text.parse::<u64>().ok());
    let theirs = number(source::value(from, sql)?).unwrap_or(0);
    let ours = number(target.ask(sql)?.into_iter().flatten().flatten().next()).unwrap_or(0);
    let wanted = theirs.saturating_mul(2).min(MOST);
    if ours < wanted {
        target.ask(&format!("SET GLOBAL max_allowed_packet = {wanted}"))?;
        follower.output.remark(&format!(
            "max_allowed_packet of the database was raised from {ours} to {wanted}: twice that of the other server"
        ));
    }
    Ok(())
}

fn importer<'a>(follower: &Follower<'a>) -> Outcome<Importer<'a>> {
    let again = format!(
        "dormouse import {} --from mysql://… --follow",
        follower.access.name
    );
    let journal = Journal::new(None, State::default());
    let figures = std::sync::Arc::clone(&follower.figures);
    let connection = follower.plain()?;
    Importer::new(
        connection,
        journal,
        follower.output,
        OnError::Stop,
        again,
        figures,
    )
}

fn run_copy(
    follower: &Follower<'_>,
    options: &OptionFile,
    schemas: &[String],
) -> Result<Place, Halt> {
    let mut importer = importer(follower)?;
    let mut plan = Plan::default();
    if follower.accounts && follower.address.schema.is_none() {
        bring::accounts(options, &mut importer, &mut plan)?;
    }
    if schemas.is_empty() {
        return Err(Halt::stop(
            "the other server has no schemas",
            "make at least one there, or name the right server",
        ));
    }
    dump(follower, options, schemas, &COPY, &mut importer, None)?;
    bring::grants(&mut importer, plan)?;
    let place = importer.master().and_then(place);
    let mut summary = importer.finish()?;
    summary.event = "copied";
    summary.database = follower.access.name.to_string();
    summary.left_out.remove(&Reason::Replication);
    follower.output.announce(&summary, |_| summary.text());
    place.ok_or_else(|| {
        Halt::stop(
            "the dump does not say where in the log it was made",
            "install mariadb-dump of MariaDB 10.5 or later (Debian: mariadb-client)",
        )
    })
}

fn dump(
    follower: &Follower<'_>,
    options: &OptionFile,
    schemas: &[String],
    more: &[&str],
    importer: &mut Importer<'_>,
    deadline: Option<Instant>,
) -> Outcome {
    let program = options.dump(schemas, more)?;
    let part = Part {
        name: format!("dump of {}", follower.address.host),
        path: None,
        schema: None,
        delimiter: b";",
        size: 0,
    };
    let failed = |e| input::unreadable(&part.name, &e);
    let input = Input::program(program, "mariadb-dump", None, deadline).map_err(failed)?;
    let progress = Progress::of(importer.figures(), follower.output);
    let done = importer.part(&part, input, 0);
    drop(progress);
    done
}

/// The place that `CHANGE MASTER TO MASTER_LOG_FILE='…', MASTER_LOG_POS=…` names.
fn place(text: &str) -> Option<Place> {
    let (_, rest) = text.split_once("MASTER_LOG_FILE='")?;
    let (file, rest) = rest.split_once('\'')?;
    let (_, rest) = rest.split_once("MASTER_LOG_POS=")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some(Place {
        file: file.to_owned(),
        position: digits.parse().ok()?,
    })
}

/// Reads the accounts again; returns what did not come along.
///
/// # Errors
/// The database is gone.
pub(super) fn accounts(follower: &Follower<'_>) -> Result<Vec<String>, Halt> {
    let options = follower.options()?;
    let mut importer = importer(follower)?;
    let mut plan = Plan::default();
    bring::accounts(&options, &mut importer, &mut plan)?;
    // those that are there already are told at the copy
    plan.not_brought.clear();
    bring::grants(&mut importer, plan)?;
    Ok(importer.finish()?.not_brought)
}

/// Makes the triggers and events; returns what is to be known of them.
///
/// # Errors
/// One of them cannot be made, or the other server has not told them by the deadline.
pub(super) fn code(
    follower: &Follower<'_>,
    schemas: &[String],
    deadline: Instant,
) -> Result<Vec<String>, Halt> {
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let options = follower.options()?;
    let mut importer = importer(follower)?;
    dump(
        follower,
        &options,
        schemas,
        &CODE,
        &mut importer,
        Some(deadline),
    )?;
    let summary = importer.finish()?;
    let definers = summary.left_out.get(&Reason::Definer);
    Ok(definers
        .map(|left| {
            let names = left.details.join(", ");
            format!("triggers and events had these definers, and have the owner now: {names}")
        })
        .into_iter()
        .collect())
}

/// What is left of an import that is given up: the schema with the position.
///
/// # Errors
/// The database does not answer.
pub(crate) fn abandon(target: &mut Target) -> Outcome {
    position::remove(target).map_err(Halt::into_error)
}

impl From<Halt> for ErrorBody {
    fn from(halt: Halt) -> Self {
        halt.into_error()
    }
}
