//! Recovery to a moment: a backup, and the log from there up to the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use dormouse_binlog::{Anchors, Cutter, Group, Gtid, Keys, Kind, Name, Place, Stop};
use dormouse_engine::history::{REPLAY, REPLAY_INDEX, base};
use dormouse_repository::{Backup, Filter};
use dormouse_types::{DatabaseName, InstanceId};
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::archive::{Stored, When, archive};
use super::files::{Fetched, fetch, keys, read, stands_at};
use super::state::{Archive, Point, Scope, base_of, position_of};
use crate::backups::manifest::{MANIFEST, Manifest, read as read_manifest};
use crate::backups::restore::{self, More, Restored, Target};
use crate::backups::state::is_of_files;
use crate::backups::vault::blocking;
use crate::create::{Creator, to_its_end};
use crate::error::Error;
use crate::principal::Principal;
use crate::servers;
use crate::status::BranchOf;

/// A timeline of a database in the repository.
pub(crate) struct Timeline {
    pub(crate) instance: InstanceId,
    pub(crate) base: String,
    pub(crate) archives: Vec<Archive>,
    /// Its backups of files, oldest first.
    pub(crate) backups: Vec<Backup>,
    /// Up to when it is known; `None`: up to its last archive.
    pub(crate) complete: Option<Timestamp>,
}

impl Timeline {
    /// The times there are.
    pub(crate) fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let from = self.backups.first()?.labels.taken_at;
        let last = self
            .archives
            .iter()
            .map(|archive| archive.stored_at)
            .max()?;
        Some((from, self.complete.unwrap_or(last)))
    }
}

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
    found.sort_by_key(|timeline| timeline.range());
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

/// The timeline and the backup for a time.
fn at(
    creator: &Creator,
    name: &DatabaseName,
    timelines: Vec<Timeline>,
    text: &str,
) -> Result<Chosen, Error> {
    let time = time(creator, text)?;
    let time = Timestamp::from_second(time.as_second()).unwrap_or(time);
    let covers = |timeline: &Timeline| {
        let range = timeline.range();
        range.is_some_and(|(from, until)| from <= time && time <= until)
    };
    let told = ranges(creator, name, &timelines);
    let timeline = timelines.into_iter().rev().find(covers);
    let timeline = timeline.ok_or(Error::Invalid(told))?;
    let stop = Stop::At(time.as_second());
    let is_before = |backup: &Backup| backup.labels.taken_at <= time;
    Chosen::new(timeline, stop, is_before).ok_or_else(|| no_history(name))
}

/// The timeline and the backup for a transaction.
async fn before(
    creator: &Creator,
    name: &DatabaseName,
    timelines: Vec<Timeline>,
    text: &str,
) -> Result<Chosen, Error> {
    let gtid: Gtid = text
        .parse()
        .map_err(|error: dormouse_binlog::NoGtid| Error::Invalid(error.to_string()))?;
    for timeline in timelines.into_iter().rev() {
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
            let is_before = |backup: &Backup| position_of(backup).is_some_and(|at| at <= start);
            let chosen = Chosen::new(timeline, Stop::Before(gtid), is_before);
            return chosen.ok_or_else(|| {
                Error::Invalid(format!(
                    "transaction {gtid} of database '{name}' is older than its oldest backup, so the state before \
                     it is not known"
                ))
            });
        }
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
    let Chosen {
        timeline,
        backup,
        stop,
    } = chosen;
    let fetched = read_back(creator, &timeline.archives, None).await?;
    let vault = creator.context.backups.vault()?;
    let id = backup.id.clone();
    let text = vault.run(move |repository| repository.read_document(&id, MANIFEST));
    let manifest: Manifest = read_manifest(MANIFEST, &text.await?)?;
    // those with which the files are encrypted, and those with which the log is
    let ring = match (&fetched.ring, &manifest.keys) {
        (Some(newer), Some(older)) => Some(newer.with_older(older)),
        (newer, older) => newer.clone().or_else(|| older.clone()),
    };
    let (base, log_keys) = (timeline.base, keys(ring.as_ref()));
    let write = move |to: &Path| lay_out(to, &base, &fetched, &log_keys, stop);
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
    let ranges: Vec<String> = timelines
        .iter()
        .filter_map(Timeline::range)
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

/// A timeline, and which of its backups to begin with.
struct Chosen {
    timeline: Timeline,
    backup: Backup,
    stop: Stop,
}

impl Chosen {
    /// With the newest backup whose state is old enough.
    fn new(timeline: Timeline, stop: Stop, is_before: impl Fn(&Backup) -> bool) -> Option<Self> {
        let mut before = timeline.backups.iter().rev();
        let backup = before.find(|backup| is_before(backup))?.clone();
        Some(Self {
            timeline,
            backup,
            stop,
        })
    }
}

/// Lays out the log in the files of a backup, for the server to apply. Blocks.
fn lay_out(
    root: &Path,
    timeline: &str,
    fetched: &Fetched,
    keys: &Keys,
    stop: Stop,
) -> io::Result<servers::Replay> {
    if base(root)?.as_deref() != Some(timeline) {
        return Err(io::Error::other(
            "the backup does not belong to this history",
        ));
    }
    let failed = |error: Error| io::Error::other(error.to_string());
    let from = stands_at(&root.join(dormouse_engine::history::LOGS), keys).map_err(failed)?;
    let (to, definitions) = cut(fetched, keys, &from, stop).map_err(failed)?;
    let dir = root.join(REPLAY);
    fs::create_dir(&dir)?;
    let mut index = String::new();
    for (name, path) in &fetched.files {
        if *name < from.file || *name > to.file {
            continue;
        }
        let copy = dir.join(name.to_string());
        fs::copy(path, &copy)?;
        let end = if *name == to.file {
            to.position
        } else {
            read(name, path, keys, |_| ControlFlow::Continue(()))
                .map_err(failed)?
                .whole
        };
        let file = OpenOptions::new().write(true).open(&copy)?;
        file.set_len(end)?;
        file.sync_all()?;
        index.push_str(&format!("../{REPLAY}/{name}\n"));
    }
    fs::write(dir.join(REPLAY_INDEX), index)?;
    let place = |place: Place| servers::Place {
        file: place.file.to_string(),
        position: place.position,
    };
    Ok(servers::Replay {
        from: place(from),
        to: place(to),
        definitions,
    })
}

/// Up to where the log is applied, and the statements up to there that may define events.
fn cut(
    fetched: &Fetched,
    keys: &Keys,
    from: &Place,
    stop: Stop,
) -> Result<(Place, Vec<(String, String)>), Error> {
    let anchors: &Anchors = &fetched.anchors;
    let mut cutter = Cutter::new(stop, anchors, from.clone());
    let mut definitions = Vec::new();
    let mut end = from.clone();
    for (name, path) in fetched.files.range(from.file.clone()..) {
        let ended = read(name, path, keys, |group| {
            let stops = cutter.group(&group);
            if stops.is_continue() && group.start >= *from {
                definitions.extend(definition(group));
            }
            stops
        })?;
        if let Some(found) = cutter.found() {
            if cutter.is_too_early() {
                return Err(Error::Invalid(format!(
                    "the backup already has what was committed at {found}, the first change that is not wanted: a client \
                     has set a false timestamp; restore to a later time, or the backup alone"
                )));
            }
            return Ok((found.clone(), definitions));
        }
        let whole = Place {
            file: name.clone(),
            position: ended.whole,
        };
        if ended.whole > 0 && whole > end {
            end = whole;
        }
    }
    match stop {
        Stop::Before(gtid) => Err(Error::Invalid(format!(
            "transaction {gtid} is in the backup already: restore an older one"
        ))),
        Stop::At(_) | Stop::End => Ok((end, definitions)),
    }
}

/// What a group may say about events.
fn definition(group: Group) -> Vec<(String, String)> {
    if group.kind != Kind::Definition {
        return Vec::new();
    }
    let schema = group.schemas.into_iter().next().unwrap_or_default();
    let about_events = |text: &String| {
        let upper = text.to_ascii_uppercase();
        upper.contains("EVENT") || upper.contains("DATABASE") || upper.contains("SCHEMA")
    };
    let texts = group.texts.into_iter().filter(about_events);
    texts.map(|text| (schema.clone(), text)).collect()
}
