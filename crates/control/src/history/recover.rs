//! Recovery to a moment: a backup, and the log from there up to the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

use dormouse_binlog::{Gtid, Name, Stop};
use dormouse_engine::history::server_of;
use dormouse_repository::{Backup, Filter};
use dormouse_types::{DatabaseName, InstanceId};
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::archive::{Stored, When, archive};
use super::files::{Fetched, fetch, keys, read};
use super::lay_out::{Part, lay_out};
use super::line::{Line, Timeline};
use super::state::{Archive, Point, Scope, base_of, position_of};
use crate::backups::manifest::{MANIFEST, Manifest, read as read_manifest};
use crate::backups::restore::{self, More, Restored, Target};
use crate::backups::state::is_of_files;
use crate::backups::vault::blocking;
use crate::create::{Creator, to_its_end};
use crate::error::Error;
use crate::principal::Principal;
use crate::status::BranchOf;

/// The timelines of a database, oldest first; what its log has is stored first.
pub(crate) async fn timelines(
    creator: &Creator,
    name: &DatabaseName,
    scope: Scope,
) -> Result<Vec<Timeline>, Error> {
    let vault = creator.context.backups.vault()?;
    let all = vault.list(Filter::All).await?;
    // a database that was replaced has another name since: its files are known by their instance
    let named = |backup: &&Backup| backup.labels.database.as_ref() == Some(name);
    let mut instances: BTreeSet<InstanceId> = all
        .iter()
        .filter(named)
        .filter_map(|backup| backup.labels.instance)
        .collect();
    if let Some(present) = creator.context.registry.find(name) {
        let own = creator.context.backups.lineage(present.instance);
        match scope {
            Scope::Name => instances.extend(own),
            Scope::Present => instances = own,
        }
    }
    let mut own = BTreeMap::new();
    for database in creator.context.registry.all() {
        if !instances.contains(&database.instance)
            || archive(creator, &database, When::Changed).await? != Stored::Complete
        {
            continue;
        }
        let slot = creator.context.histories.slot(database.instance);
        let state = slot.lock().await;
        own.insert((database.instance, state.base.clone()), state.complete);
    }
    let all = vault.list(Filter::All).await?;
    let mut found: BTreeMap<(InstanceId, String), Timeline> = BTreeMap::new();
    for backup in &all {
        let (Some(instance), Some(base)) = (backup.labels.instance, base_of(backup)) else {
            continue;
        };
        if !instances.contains(&instance) {
            continue;
        }
        let timeline = found
            .entry((instance, base.to_owned()))
            .or_insert_with(|| Timeline {
                instance,
                base: base.to_owned(),
                archives: Vec::new(),
                backups: Vec::new(),
                complete: None,
            });
        if let Some(archive) = Archive::read(backup) {
            timeline.archives.push(archive);
        } else if is_of_files(backup) {
            timeline.backups.push(backup.clone());
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    for timeline in &mut found {
        let key = (timeline.instance, timeline.base.clone());
        if let Some(complete) = own.get(&key) {
            timeline.complete = *complete;
        }
    }
    found.sort_by_key(|timeline| Line(vec![timeline.clone()]).range());
    Ok(found)
}

/// Restores a database to a point of its history as `into`, which may be a branch of it.
pub(crate) async fn restore_to(
    creator: Creator,
    name: DatabaseName,
    point: Point,
    (into, branch): (Target, Option<BranchOf>),
    by: Principal,
) -> Result<Restored, Error> {
    to_its_end(async move {
        // no other one's rows come into the place of a database
        let scope = match into {
            Target::New(_) => Scope::Name,
            Target::Place(_) => Scope::Present,
        };
        let timelines = timelines(&creator, &name, scope).await?;
        let chosen = match &point {
            Point::At(text) => at(&creator, &name, timelines, text)?,
            Point::Before(text) => before(&creator, &name, timelines, text).await?,
        };
        let (backup, mut more) = prepare(&creator, chosen).await?;
        more.moment = match point {
            Point::At(text) => format!("up to {text}"),
            Point::Before(text) => format!("up to the transaction {text}"),
        };
        more.branch = branch;
        restore::restore(creator, backup, into, Some(more), by).await
    })
    .await
}

/// A time as a user writes it.
pub(crate) fn time(creator: &Creator, text: &str) -> Result<Timestamp, Error> {
    let text = text.trim();
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local = text.parse::<DateTime>().ok();
    let zoned = local.and_then(|time| time.to_zoned(creator.context.time_zone.clone()).ok());
    zoned.map(|zoned| zoned.timestamp()).ok_or_else(|| {
        Error::Invalid(format!(
            "'{text}' is no time: write it as '2026-11-29 14:03:07' (in the configuration's time_zone) or \
             '2026-11-29T14:03:07+01:00'"
        ))
    })
}

/// The line and the backup for a time.
fn at(
    creator: &Creator,
    name: &DatabaseName,
    timelines: Vec<Timeline>,
    text: &str,
) -> Result<Chosen, Error> {
    let time = time(creator, text)?;
    let time = Timestamp::from_second(time.as_second()).unwrap_or(time);
    let covers = |line: &Line| {
        let range = line.range();
        range.is_some_and(|(from, until)| from <= time && time <= until)
    };
    let told = ranges(creator, name, &timelines);
    let line = Line::all(&timelines).into_iter().rev().find(covers);
    let line = line.ok_or(Error::Invalid(told))?;
    let stop = Stop::At(time.as_second());
    let is_before = |backup: &Backup| backup.labels.taken_at <= time;
    Chosen::new(line, stop, is_before).ok_or_else(|| no_history(name))
}

/// The line and the backup for a transaction.
async fn before(
    creator: &Creator,
    name: &DatabaseName,
    timelines: Vec<Timeline>,
    text: &str,
) -> Result<Chosen, Error> {
    let gtid: Gtid = text
        .parse()
        .map_err(|error: dormouse_binlog::NoGtid| Error::Invalid(error.to_string()))?;
    let mut is_older = false;
    for timeline in timelines.iter().rev() {
        let fetched = read_back(creator, &timeline.archives, None).await?;
        let found = blocking(move || {
            let keys = keys(fetched.ring.as_ref());
            let mut found = None;
            for (file, path) in &fetched.files {
                read(file, path, &keys, |group| {
                    if group.gtid == gtid {
                        found = Some(group.start);
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                })?;
                if found.is_some() {
                    break;
                }
            }
            Ok(found)
        });
        if let Some(start) = found.await? {
            // what went over with it from the timeline before is older than all backups of this one
            let goes_over = gtid.server != server_of(&timeline.base);
            let is_before = |backup: &Backup| match position_of(backup) {
                Some(at) if at.file.base() == timeline.base => at <= start,
                Some(_) => !goes_over,
                None => false,
            };
            let line = Line::up_to(timeline, &timelines);
            if let Some(chosen) = Chosen::new(line, Stop::Before(gtid), is_before) {
                return Ok(chosen);
            }
            is_older = true;
        }
    }
    if is_older {
        return Err(Error::Invalid(format!(
            "transaction {gtid} of database '{name}' is older than its oldest backup, so the state before it is not known"
        )));
    }
    Err(Error::Invalid(format!(
        "the history of database '{name}' has no transaction {gtid}; `dormouse history {name} --grep TEXT` lists \
         those that it has"
    )))
}

/// Reads a timeline's files from the repository.
pub(crate) async fn read_back(
    creator: &Creator,
    archives: &[Archive],
    from: Option<Name>,
) -> Result<Fetched, Error> {
    let (archives, data_dir) = (archives.to_vec(), creator.context.data_dir.clone());
    let vault = creator.context.backups.vault()?;
    let repository = vault.run(|repository| Ok(repository.clone())).await?;
    blocking(move || fetch(&repository, &data_dir, &archives, from.as_ref())).await
}

/// What is to be done with the files of the chosen backup.
async fn prepare(creator: &Creator, chosen: Chosen) -> Result<(Backup, More), Error> {
    let Chosen { line, backup, stop } = chosen;
    let mut parts = Vec::new();
    for timeline in line.0 {
        let fetched = read_back(creator, &timeline.archives, None).await?;
        let base = timeline.base;
        parts.push(Part { base, fetched });
    }
    let vault = creator.context.backups.vault()?;
    let id = backup.id.clone();
    let text = vault.run(move |repository| repository.read_document(&id, MANIFEST));
    let manifest: Manifest = read_manifest(MANIFEST, &text.await?)?;
    // those with which the files are encrypted, and those with which the logs are
    let rings = { parts.iter().rev() }.map(|part| part.fetched.ring.clone());
    let rings = rings.chain([manifest.keys.clone()]).flatten();
    let ring = rings.reduce(|newer, older| newer.with_older(&older));
    let log_keys = keys(ring.as_ref());
    let write = move |to: &Path| lay_out(to, &parts, &log_keys, stop);
    let more = More {
        keys: ring,
        write: Box::new(write),
        moment: String::new(),
        branch: None,
    };
    Ok((backup, more))
}

/// The times there are, for an error.
pub(crate) fn ranges(creator: &Creator, name: &DatabaseName, timelines: &[Timeline]) -> String {
    let zone = &creator.context.time_zone;
    let shown = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%F %T%:z").to_string();
    let ranges: Vec<String> = Line::all(timelines)
        .iter()
        .filter_map(Line::range)
        .map(|(from, until)| format!("{} to {}", shown(from), shown(until)))
        .collect();
    match ranges.is_empty() {
        true => no_history(name).to_string(),
        false => format!(
            "the history of database '{name}' does not reach there; it has {}",
            ranges.join(", and ")
        ),
    }
}

fn no_history(name: &DatabaseName) -> Error {
    Error::Invalid(format!(
        "database '{name}' has no history in the repository: that begins with the first backup after `dormouse set {name} \
         --history true`"
    ))
}

/// A line, and which of its backups to begin with: one of its first timeline.
struct Chosen {
    line: Line,
    backup: Backup,
    stop: Stop,
}

impl Chosen {
    /// With the newest backup whose state is old enough.
    fn new(line: Line, stop: Stop, is_before: impl Fn(&Backup) -> bool) -> Option<Self> {
        let (backup, line) = line.newest(is_before)?;
        Some(Self { line, backup, stop })
    }
}
