//! Copies of instances.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Check, Copied, CopyOptions, Error, Fill, Place, Quiesce};
use dormouse_engine::{Layout, give, history};
use dormouse_snapshot::{Copy, Damage, Error as CopyError, Stop, shares_blocks};
use dormouse_types::{Bytes, InstanceId};
use tracing::{debug, warn};

use super::calm::Calm;
use super::instance::{ChangeLock, Instance, Running};
use super::servers::{self, Note};
use super::{Shared, blocking, files, key_error, roots, tool};
use crate::watchdog::Watchdog;

/// Attempts to copy the rest while a server is frozen. Between them it runs, and what it wrote is copied.
const ATTEMPTS: u32 = 4;

/// Series of attempts.
const ROUNDS: u32 = 3;

/// A pass beside a running server takes up to so many times as long as one while it is frozen, since they share CPU and disk.
const SLOWER: u32 = 2;

pub(super) async fn copy(
    shared: Arc<Shared>,
    from: InstanceId,
    (to, place): (InstanceId, Place),
    options: CopyOptions,
    quiesce: Arc<dyn Quiesce>,
) -> Result<Copied, Error> {
    let source = shared.find(from)?;
    let mut note = shared.servers.note(&shared.layout(from)?);
    if let Some(series) = place.series {
        shared.servers.find(to, series)?;
        note = Note::new(series, note.from.unwrap_or(note.series));
    }
    let target = shared.roots.assign(to, &place, Some(from))?;
    // one copy at a time: the disk is the bottleneck
    let disk = Arc::new(Arc::clone(&shared.provisioning).lock_owned().await);
    if target.root().is_dir() {
        let size = files::size(target.root()).map_err(doing(from, to))?;
        return Ok(Copied {
            size: Bytes(size),
            frozen: Duration::ZERO,
            shared: false,
        });
    }
    note.write(&target).map_err(doing(from, to))?;
    let beside = match source.process() {
        Some(_) => tool::find(&shared, from, &disk).await?.is_ok(),
        None => false,
    };
    let limit = match beside {
        true => options.frozen_by_choice,
        false => options.frozen_at_most,
    };
    let limit = Limit {
        frozen: limit,
        is_tried: !beside,
    };
    let awake = source.process();
    let awake = awake.filter(|running| !running.is_frozen().unwrap_or(false));
    let mut calm = match awake {
        Some(running) => Calm::begin(&shared, from, running.endpoint()).await,
        None => None,
    };
    let how = (limit, options, &*quiesce);
    let made = make(&shared, (from, to), &source, &disk, how, calm.as_mut()).await;
    if made.is_err() {
        let unfinished = target.unfinished();
        let clean =
            move || files::if_there(fs::remove_dir_all(unfinished)).map_err(doing(from, to));
        blocking(&disk, clean).await?;
    }
    made
}

/// Makes the copy. If that fails, what was made of it is left.
async fn make(
    shared: &Arc<Shared>,
    (from, to): (InstanceId, InstanceId),
    source: &Arc<Instance>,
    disk: &ChangeLock,
    (limit, options, quiesce): (Limit, CopyOptions, &dyn Quiesce),
    mut calm: Option<&mut Calm>,
) -> Result<Copied, Error> {
    // each time that a freeze or a stop ends a copy beside the server, this one has it easy
    for _ in 0..ROUNDS {
        let how = (limit, options.check, quiesce);
        if let Some(copied) = still(shared, (from, to), source, disk, how).await? {
            return Ok(copied);
        }
        let how = (options, calm.as_deref_mut());
        if let Some(copied) = tool::copy(shared, (from, to), source, disk, how).await? {
            return Ok(copied);
        }
    }
    Err(Error::Busy {
        id: from,
        limit: options.frozen_at_most,
        reason: "its server was frozen or stopped meanwhile, again and again; try again".to_owned(),
    })
}

/// How long a server may stand still.
#[derive(Clone, Copy)]
struct Limit {
    frozen: Duration,
    /// Whether that is tried although it will hardly be enough, since there is no other way.
    is_tried: bool,
}

/// Copies the files of a server that stands still at the end; `None` if it writes too much for that.
async fn still(
    shared: &Arc<Shared>,
    (from, to): (InstanceId, InstanceId),
    source: &Arc<Instance>,
    disk: &ChangeLock,
    (limit, check, quiesce): (Limit, Check, &dyn Quiesce),
) -> Result<Option<Copied>, Error> {
    let Limit {
        frozen: limit,
        is_tried,
    } = limit;
    let process = source.process();
    let runs = process.is_some_and(|running| !running.is_frozen().unwrap_or(false));
    let (layout, target) = (shared.layout(from)?, shared.layout(to)?);
    let reserve = shared.config.disk_reserve;
    let begin = move || {
        let unfinished = target.unfinished();
        let root = layout.root();
        files::if_there(fs::remove_dir_all(&unfinished)).map_err(doing(from, to))?;
        let parent = root.parent().unwrap_or(root);
        let beside = unfinished.parent().unwrap_or(&unfinished);
        let shares = shares_blocks(parent, beside);
        let mut copy = Copy::new(root, &unfinished, shares).map_err(|e| failed(from, limit, e))?;
        if !shares {
            has_room(root, beside, reserve).map_err(doing(from, to))?;
            let failed = |e| failed(from, limit, e);
            if runs {
                copy.pass_gently(&skips).map_err(failed)?;
            } else {
                copy.pass(&skips, Stop::default()).map_err(failed)?;
            }
            if runs && !is_tried {
                let began = Instant::now();
                copy.pass(&skips, Stop::default()).map_err(failed)?;
                if began.elapsed() > limit * SLOWER {
                    return Ok(None);
                }
            }
        }
        Ok(Some((copy, target)))
    };
    let Some((mut copy, target)) = blocking(disk, begin).await? else {
        debug!(instance = %to, %from, "what its server changes is too much to copy while it stands still");
        return Ok(None);
    };
    let mut damaged = None;
    for _ in 0..ATTEMPTS {
        let lock = source.lock().await;
        let (after, rest) = standing_still(from, source, &lock, copy, (limit, quiesce)).await?;
        drop(lock);
        copy = after;
        if let Some(copied) = rest {
            let (after, damage) = checked(from, disk, copy, check).await?;
            copy = after;
            if damage.is_some() {
                // a write to this page may have been under way; if so, it is complete in the next copy
                if damage == damaged {
                    break;
                }
                damaged = damage;
                continue;
            }
            let shared = Arc::clone(shared);
            let publish = move || publish(&shared, from, to, copy, &target);
            blocking(disk, publish).await?;
            debug!(instance = %to, %from, ?copied, "copied");
            return Ok(Some(copied));
        }
        let again = move || {
            copy.pass_gently(&skips)
                .map_err(|e| failed(from, limit, e))
                .map(|_| copy)
        };
        copy = blocking(disk, again).await?;
    }
    match damaged {
        Some(damage) => Err(failed(from, limit, CopyError::Damaged(damage))),
        None => Ok(None),
    }
}

/// Refuses a copy of the directory `root` into `there` that the disk has no room for.
fn has_room(root: &Path, there: &Path, reserve: Bytes) -> io::Result<()> {
    let (size, free) = (Bytes(files::size(root)?), roots::disk(there)?.free);
    if free.0 >= size.0.saturating_add(reserve.0) {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "the disk of {} has {free} left; the copy takes {size}, and {reserve} are kept free (disk_reserve)",
        there.display()
    )))
}

/// Checks a complete copy; returns what is wrong with its first damaged file.
async fn checked(
    id: InstanceId,
    disk: &ChangeLock,
    mut copy: Copy,
    check: Check,
) -> Result<(Copy, Option<Damage>), Error> {
    if check == Check::Nothing {
        return Ok((copy, None));
    }
    let pages = move || match copy.check() {
        Ok(()) => Ok((copy, None)),
        Err(CopyError::Damaged(damage)) => Ok((copy, Some(damage))),
        Err(error) => Err(failed(id, Duration::ZERO, error)),
    };
    blocking(disk, pages).await
}

/// Copies the rest while nobody writes; `None` if that took longer than a server may be frozen.
async fn standing_still(
    id: InstanceId,
    source: &Arc<Instance>,
    lock: &ChangeLock,
    mut copy: Copy,
    (limit, quiesce): (Duration, &dyn Quiesce),
) -> Result<(Copy, Option<Copied>), Error> {
    let running = source.process();
    let frozen = match &running {
        Some(running) => running.is_frozen().map_err(observing(id))?,
        None => false,
    };
    // its own files are not written by a server that is frozen or stopped
    let thaws = running.filter(|_| !frozen);
    let (_quiet, watchdog) = match &thaws {
        Some(running) => (
            Some(quiesce.quiesce().await),
            Some(freeze(id, running).await?),
        ),
        None => (None, None),
    };
    let began = Instant::now();
    let stop = Stop {
        at: thaws.as_ref().map(|_| began + limit),
        when: None,
    };
    let pass = move || {
        let passed = copy.pass(&skips, stop);
        Ok((copy, passed))
    };
    let done = blocking(lock, pass).await;
    let stood = began.elapsed();
    if let (Some(running), Some(watchdog)) = (&thaws, watchdog) {
        running.run_on().map_err(observing(id))?;
        if let Err(error) = watchdog.end() {
            warn!(instance = %id, %error, "cannot end the watchdog of a copy");
        }
    }
    let (copy, passed) = done?;
    match passed {
        Ok(done) => {
            let copied = Copied {
                size: Bytes(done.bytes),
                frozen: if thaws.is_some() {
                    stood
                } else {
                    Duration::ZERO
                },
                shared: done.shared,
            };
            Ok((copy, Some(copied)))
        }
        Err(CopyError::Late) => Ok((copy, None)),
        Err(error) => Err(failed(id, limit, error)),
    }
}

async fn freeze(id: InstanceId, running: &Running) -> Result<Watchdog, Error> {
    let watchdog = running.watchdog().map_err(observing(id))?;
    running.stand_still().await.map_err(observing(id))?;
    Ok(watchdog)
}

/// Completes a copy, and gives it its name.
pub(super) fn publish(
    shared: &Shared,
    from: InstanceId,
    to: InstanceId,
    copy: Copy,
    target: &Layout,
) -> Result<(), Error> {
    complete(shared, to, target).map_err(doing(from, to))?;
    copy.finish().map_err(|e| failed(from, Duration::ZERO, e))?;
    let keys = shared.config.keys.copy(from, to);
    keys.map_err(|error| key_error(to, error))?;
    name(target).map_err(doing(from, to))
}

/// Makes an instance of files that `fill` writes.
pub(super) fn receive(
    shared: &Shared,
    id: InstanceId,
    place: &Place,
    fill: Fill,
) -> Result<(), Error> {
    let target = shared.roots.assign(id, place, None)?;
    if target.root().is_dir() {
        return Ok(());
    }
    let unfinished = target.unfinished();
    let receive = || -> io::Result<()> {
        files::if_there(fs::remove_dir_all(&unfinished))?;
        files::make_root(&unfinished)?;
        fill(&unfinished)?;
        let noted = || servers::noted(&unfinished.join("data"));
        if let Some(series) = place.series.or_else(noted) {
            Note::new(series, series).write(&target)?;
        }
        complete(shared, id, &target)?;
        name(&target)
    };
    receive().map_err(|source| Error::Machine {
        doing: format!("writing the files of instance {id}"),
        source,
    })
}

/// Adds what a copy leaves out, and gives all to the instance's user.
fn complete(shared: &Shared, id: InstanceId, target: &Layout) -> io::Result<()> {
    let unfinished = target.unfinished();
    fs::create_dir_all(unfinished.join("tmp"))?;
    if let Some(owner) = shared.owners.of(id) {
        give(&unfinished, owner)?;
    }
    Ok(())
}

/// Gives a complete directory its name.
fn name(target: &Layout) -> io::Result<()> {
    fs::rename(target.unfinished(), target.root())?;
    let parent = target.root().parent().unwrap_or(Path::new("/"));
    fs::File::open(parent)?.sync_all()
}

/// What belongs to one run of a server.
pub(super) fn skips(path: &Path) -> bool {
    let text = path.to_str().unwrap_or_default();
    text == "tmp"
        || text == history::RELAY
        || text == "error.log"
        || text == "mysqld.sock"
        || text == "data/ibtmp1"
        || text == "data/ddl.log"
        || text.starts_with("data/core")
        || text.ends_with(".pid")
}

pub(super) fn failed(id: InstanceId, limit: Duration, error: CopyError) -> Error {
    match error {
        CopyError::Late => Error::Busy {
            id,
            limit,
            reason: "not tried".to_owned(),
        },
        CopyError::Damaged(damage) => Error::Damaged {
            id,
            file: damage.file.display().to_string(),
            page: damage.page,
            pages: damage.pages,
        },
        CopyError::Io { doing, source } => Error::Machine { doing, source },
    }
}

fn doing(from: InstanceId, to: InstanceId) -> impl Fn(io::Error) -> Error {
    move |source| Error::Machine {
        doing: format!("copying instance {from} to {to}"),
        source,
    }
}

fn observing(id: InstanceId) -> impl Fn(io::Error) -> Error {
    move |source| Error::Machine {
        doing: format!("freezing the server of instance {id} for a copy"),
        source,
    }
}
