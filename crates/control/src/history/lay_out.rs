//! Laying out the logs of a line in the files of a backup, for a server to apply.
//!
//! To the server they are one series of files; it applies a stretch of each timeline's. Where one goes on from another, the
//! two have transactions in common: the stretch of the first ends behind the last one that the second got from it, that of
//! the second begins behind the same one.

use std::fs::{self, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use dormouse_binlog::{Cutter, Group, Gtid, Keys, Kind, Name, Place, Stop};
use dormouse_engine::history::{LOGS, REPLAY, REPLAY_INDEX, base, server_of};

use super::files::{Fetched, last_in, read, stands_at};
use crate::error::Error;
use crate::servers;

/// The log of a timeline that was read back.
pub(crate) struct Part {
    pub(crate) base: String,
    pub(crate) fetched: Fetched,
}

/// Lays out the log in the files of a backup, which belongs to the first of these timelines. Blocks.
pub(crate) fn lay_out(
    root: &Path,
    parts: &[Part],
    keys: &Keys,
    stop: Stop,
) -> io::Result<servers::Replay> {
    let failed = |error: Error| io::Error::other(error.to_string());
    let own = base(root)?;
    if own.is_none() || own.as_ref() != parts.first().map(|part| &part.base) {
        return Err(io::Error::other(
            "the backup does not belong to this history",
        ));
    }
    let logs = root.join(LOGS);
    let mut from = stands_at(&logs, keys).map_err(failed)?;
    let mut last = last_in(&logs, keys).map_err(failed)?;
    let mut laid = Laid::begin(root, from.file.clone())?;
    let mut definitions = Vec::new();
    let mut rest = parts.iter().peekable();
    while let Some(part) = rest.next() {
        let next = rest.peek();
        let common = match next {
            Some(next) => last_of(&next.fetched, keys, server_of(&part.base)).map_err(failed)?,
            None => None,
        };
        let is_first = from.file.base() == laid.first.base();
        let cut = cut(&part.fetched, keys, &from, stop, (common, is_first)).map_err(failed)?;
        laid.add(&part.fetched, keys, &from, &cut.end)?;
        definitions.extend(cut.definitions);
        last = cut.last.or(last);
        let Some(next) = next else {
            if let (Stop::Before(gtid), false) = (stop, cut.is_found) {
                return Err(io::Error::other(format!(
                    "transaction {gtid} is in the backup already: restore an older one"
                )));
            }
            break;
        };
        if cut.is_found {
            break;
        }
        let goes_on = last.map(|last| behind(&next.fetched, keys, last));
        let goes_on = goes_on.transpose().map_err(failed)?.flatten();
        from = goes_on.ok_or_else(|| {
            io::Error::other(
                "the history has a gap where the database went over to another server: restore to a time before that, or \
                 from a later backup",
            )
        })?;
    }
    laid.finish(definitions)
}

/// What has been laid out.
struct Laid {
    dir: std::path::PathBuf,
    /// The first file.
    first: Name,
    index: String,
    count: u64,
    stretches: Vec<(servers::Place, servers::Place)>,
}

impl Laid {
    fn begin(root: &Path, first: Name) -> io::Result<Self> {
        let dir = root.join(REPLAY);
        fs::create_dir(&dir)?;
        Ok(Self {
            dir,
            first,
            index: String::new(),
            count: 0,
            stretches: Vec::new(),
        })
    }

    /// Adds the files of a stretch, under names that go on from those that are there.
    fn add(&mut self, fetched: &Fetched, keys: &Keys, from: &Place, to: &Place) -> io::Result<()> {
        let mut ends = (None, None);
        for (name, path) in fetched.files.range(from.file.clone()..=to.file.clone()) {
            let number = self.first.number().saturating_add(self.count);
            let own = format!("{}.{number:06}", self.first.base());
            self.count += 1;
            let copy = self.dir.join(&own);
            fs::copy(path, &copy)?;
            let end = if *name == to.file {
                to.position
            } else {
                let whole = read(name, path, keys, |_| ControlFlow::Continue(()));
                whole
                    .map_err(|error| io::Error::other(error.to_string()))?
                    .whole
            };
            let file = OpenOptions::new().write(true).open(&copy)?;
            file.set_len(end)?;
            file.sync_all()?;
            self.index.push_str(&format!("../{REPLAY}/{own}\n"));
            let place = |position| {
                let file = own.clone();
                Some(servers::Place { file, position })
            };
            if *name == from.file {
                ends.0 = place(from.position);
            }
            if *name == to.file {
                ends.1 = place(to.position);
            }
        }
        if let (Some(from), Some(to)) = ends {
            self.stretches.push((from, to));
        }
        Ok(())
    }

    fn finish(self, definitions: Vec<(String, String)>) -> io::Result<servers::Replay> {
        fs::write(self.dir.join(REPLAY_INDEX), self.index)?;
        Ok(servers::Replay {
            stretches: self.stretches,
            definitions,
        })
    }
}

/// Where a timeline's stretch ends.
struct Cut {
    end: Place,
    /// Whether that is where the recovery ends.
    is_found: bool,
    /// The last transaction before that; `None` if it is unknown.
    last: Option<Gtid>,
    /// The statements in the stretch that may define events.
    definitions: Vec<(String, String)>,
}

/// Up to where the log of a timeline is applied from here. `common`: the last transaction that the next timeline has of it;
/// `is_first`: what stands before `from` is in the backup, not in the timeline before.
fn cut(
    fetched: &Fetched,
    keys: &Keys,
    from: &Place,
    stop: Stop,
    (common, is_first): (Option<Gtid>, bool),
) -> Result<Cut, Error> {
    let mut cutter = Cutter::new(stop, &fetched.anchors, from.clone());
    let mut cut = Cut {
        end: from.clone(),
        is_found: false,
        last: None,
        definitions: Vec::new(),
    };
    for (name, path) in fetched.files.range(from.file.clone()..) {
        let mut over = None;
        let ended = read(name, path, keys, |group| {
            if group.start < *from && !is_first {
                return ControlFlow::Continue(());
            }
            if cutter.group(&group).is_break() {
                return ControlFlow::Break(());
            }
            let (gtid, end) = (group.gtid, group.end);
            if group.start >= *from {
                cut.last = Some(gtid);
                cut.definitions.extend(definition(group));
                if common == Some(gtid) {
                    over = Some(end);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        if let Some(found) = cutter.found() {
            if cutter.is_too_early() {
                return Err(Error::Invalid(format!(
                    "the backup already has what was committed at {found}, the first change that is not wanted: a client \
                     has set a false timestamp; restore to a later time, or the backup alone"
                )));
            }
            cut.end = found.clone();
            cut.is_found = true;
            return Ok(cut);
        }
        let whole = Place {
            file: name.clone(),
            position: over.unwrap_or(ended.whole),
        };
        if whole.position > 0 && whole > cut.end {
            cut.end = whole;
        }
        if over.is_some() {
            break;
        }
    }
    Ok(cut)
}

/// The last transaction in a log that this server has written.
fn last_of(fetched: &Fetched, keys: &Keys, server: u32) -> Result<Option<Gtid>, Error> {
    let mut last = None;
    for (name, path) in &fetched.files {
        read(name, path, keys, |group| {
            if group.gtid.server == server {
                last = Some(group.gtid);
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(last)
}

/// The place behind a transaction in a log that goes on from it. If the log has it no more, it may begin with the next one: a
/// server counts its transactions.
fn behind(fetched: &Fetched, keys: &Keys, gtid: Gtid) -> Result<Option<Place>, Error> {
    let mut is_first = true;
    for (name, path) in &fetched.files {
        let mut found = None;
        read(name, path, keys, |group| {
            let is_next = std::mem::take(&mut is_first)
                && (group.gtid.domain, group.gtid.server) == (gtid.domain, gtid.server)
                && Some(group.gtid.sequence) == gtid.sequence.checked_add(1);
            let position = match (group.gtid == gtid, is_next) {
                (true, _) => group.end,
                (false, true) => group.start.position,
                (false, false) => return ControlFlow::Continue(()),
            };
            found = Some(Place {
                file: name.clone(),
                position,
            });
            ControlFlow::Break(())
        })?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
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
