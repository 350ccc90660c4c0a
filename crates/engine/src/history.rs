//! The binary log of a server that keeps its history: its settings, its files, and who began it.
//!
//! The files stand in a directory of their own beside the data ([`Layout::logs`]), so a copy of the instance has them.
//! All have one *base*, `INSTANCE-SECONDS`, which names a **timeline**: a series of changes without a gap, on files that
//! no other server changes. An instance that takes the place of another one as that left it goes on with its timeline
//! ([`hand`]). Any other copy gets the files, but not the file [`Layout::timeline`] beside the directory, so it
//! begins a timeline of its own when it can: at the first start at which the log that it has was closed. Until then
//! InnoDB needs that log to recover. Turning the history off ends the timeline in the same way.
//!
//! Called by `driver-local` before each start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dormouse_types::InstanceId;
use rustix::fs::OFlags;

use crate::{Layout, Owner};

/// Size at which the server begins a new file.
pub const FILE_SIZE: u64 = 16 << 20;

/// Name of the list of files, without its base.
const INDEX: &str = ".index";

/// Name of [`Layout::logs`].
pub const LOGS: &str = "binlog";

/// Name of [`Layout::replay`].
pub const REPLAY: &str = "replay";

/// Name of the list of the files in [`Layout::replay`].
pub const REPLAY_INDEX: &str = "log.index";

/// Name of [`Layout::relay`].
pub const RELAY: &str = "relay";

/// Most that is read of the file with the timeline's name.
const NAME: u64 = 256;

/// The binary log of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Base of its files' names.
    pub base: String,
    /// The server's id, as it stands in the log.
    pub server: u32,
}

/// The id of the server that writes the log with this base: it stands in the GTIDs of its transactions.
#[must_use]
pub fn server_of(base: &str) -> u32 {
    History::of(base.to_owned()).server
}

impl History {
    /// The log with this base. Its server's id is the second in which it was begun, mixed with the instance's: a GTID
    /// then names one transaction among those of all timelines of a database, and no two servers that follow the same
    /// one have the same id.
    fn of(base: String) -> Self {
        /// Odd, so that no two instances give the same.
        const MIX: u32 = 0x9e37_79b1;
        let parts = base.rsplit_once('-');
        let parts = parts.and_then(|(id, second)| Some((id.parse().ok()?, second.parse().ok()?)));
        let mixed = parts.map_or(1, |(id, second): (u32, u32)| id.wrapping_mul(MIX) ^ second);
        Self {
            server: mixed.max(1),
            base,
        }
    }
}

/// Settings of a server that keeps its history.
pub(crate) fn settings(history: &History) -> Vec<(&'static str, String)> {
    let History { base, server } = history;
    vec![
        // relative to the data directory: the list of files holds for a copy, too
        ("log-bin", format!("../binlog/{base}")),
        ("log-bin-index", format!("../binlog/{base}{INDEX}")),
        ("server-id", server.to_string()),
        ("binlog-format", "ROW".to_owned()),
        // the text of each statement beside the rows that it changed
        ("binlog-annotate-row-events", "ON".to_owned()),
        // rows are logged, so what a function does is not run again
        ("log-bin-trust-function-creators", "ON".to_owned()),
        ("binlog-checksum", "CRC32".to_owned()),
        // with a log a commit is durable when it is in the log: `innodb_flush_log_at_trx_commit` covers preparing alone
        ("sync-binlog", "1".to_owned()),
        ("max-binlog-size", FILE_SIZE.to_string()),
        // what is not archived must not be deleted
        ("expire-logs-days", "0".to_owned()),
    ]
}

/// Settings of a server that applies the logs in [`Layout::replay`].
pub(crate) fn replay_settings(layout: &Layout) -> Vec<(&'static str, &'static str)> {
    let mut all = Vec::new();
    if layout.replay().is_dir() {
        all.extend([
            ("relay-log", "../replay/log"),
            ("relay-log-index", "../replay/log.index"),
            ("relay-log-info-file", "../replay/relay-log.info"),
            ("master-info-file", "../replay/master.info"),
            ("relay-log-purge", "OFF"),
            ("skip-slave-start", "ON"),
            // nothing but the log may change the data
            ("event-scheduler", "OFF"),
            ("replicate-same-server-id", "ON"),
        ]);
    }
    all
}

/// Settings of a server that follows another one. It keeps a log of its own, with the transactions of the other one, so
/// that servers can follow it when it has been promoted.
pub(crate) fn follow_settings(layout: &Layout) -> Vec<(&'static str, &'static str)> {
    if !layout.relay().is_dir() {
        return Vec::new();
    }
    vec![
        ("relay-log", "../relay/log"),
        ("relay-log-index", "../relay/log.index"),
        ("relay-log-info-file", "../relay/relay-log.info"),
        ("master-info-file", "../relay/master.info"),
        // after a crash it asks again for what it has not applied
        ("relay-log-recovery", "ON"),
        ("skip-slave-start", "ON"),
        ("log-slave-updates", "ON"),
        // a transaction of its own would end the following, instead of being overlooked
        ("gtid-strict-mode", "ON"),
        ("slave-parallel-threads", "4"),
        ("slave-parallel-mode", "optimistic"),
        // what it has not on the disk it gets again from the other server; a promotion ends that
        ("sync-binlog", "0"),
        ("innodb-flush-log-at-trx-commit", "2"),
        // nothing but the log may change the data
        ("read-only", "ON"),
        ("event-scheduler", "OFF"),
    ]
}

/// What a start does with binary logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// None is kept.
    Off,
    /// One is kept.
    On,
    /// One is kept, and another server is followed.
    Follow,
    /// The files of [`Layout::replay`] are applied; none is kept.
    Replay,
}

/// Prepares the logs of an instance for the start of its server, which does not run. Returns the log that it keeps;
/// `None` if it keeps none. `now` is in seconds since 1970.
///
/// # Errors
/// The system refused it.
pub fn prepare(
    layout: &Layout,
    id: InstanceId,
    owner: Option<Owner>,
    wanted: Wanted,
    now: u64,
) -> io::Result<Option<History>> {
    let logs = layout.logs();
    if wanted != Wanted::Replay {
        if_there(fs::remove_dir_all(layout.replay()))?;
    }
    match wanted {
        Wanted::Follow if !layout.relay().is_dir() => make(&layout.relay(), owner)?,
        Wanted::Follow => {}
        _ => if_there(fs::remove_dir_all(layout.relay()))?,
    }
    let wanted = matches!(wanted, Wanted::On | Wanted::Follow);
    let there = base(layout.root())?;
    if let Some(base) = &there
        && (!is_closed(&logs, base)? || (wanted && own(layout)?.as_ref() == Some(base)))
    {
        let base = base.clone();
        return Ok(Some(History::of(base)));
    }
    if there == Some(format!("{id}-{now}")) {
        // the next log of this second would have its name
        std::thread::sleep(Duration::from_secs(1));
    }
    if_there(fs::remove_file(layout.timeline()))?;
    if_there(fs::remove_dir_all(&logs))?;
    if !wanted {
        return Ok(None);
    }
    let base = format!("{id}-{now}");
    make(&logs, owner)?;
    // the list of files first, though empty, so that a crash leaves a log that is begun, or none
    let mut index = new_file(&logs.join(format!("{base}{INDEX}")))?;
    if let Some(Owner { uid, gid }) = owner {
        std::os::unix::fs::fchown(&index, Some(uid), Some(gid))?;
    }
    index.flush()?;
    let mut own = new_file(&layout.timeline())?;
    own.write_all(base.as_bytes())?;
    own.sync_all()?;
    sync(&logs)?;
    sync(layout.root())?;
    sync(layout.timeline().parent().unwrap_or(Path::new("/")))?;
    Ok(Some(History::of(base)))
}

/// The base of the log that this very instance began; `None` if it keeps no history, or has the files of another one
/// still.
///
/// # Errors
/// The system refused it.
pub fn own(layout: &Layout) -> io::Result<Option<String>> {
    let mut text = String::new();
    match File::open(layout.timeline()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?.take(NAME).read_to_string(&mut text)?,
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The log of an instance, whose server never starts again, goes on in another one, which has a copy of its files.
///
/// # Errors
/// The system refused it.
pub fn hand(from: &Layout, to: &Layout) -> io::Result<()> {
    let Some(base) =
        own(from)?.filter(|own| base(to.root()).is_ok_and(|there| there.as_ref() == Some(own)))
    else {
        return Ok(());
    };
    let mut own = new_file(&to.timeline())?;
    own.write_all(base.as_bytes())?;
    own.sync_all()?;
    sync(to.timeline().parent().unwrap_or(Path::new("/")))
}

/// The base of the log in an instance's directory, whoever began it; `None` if it has none.
///
/// # Errors
/// The system refused it.
pub fn base(root: &Path) -> io::Result<Option<String>> {
    let entries = match fs::read_dir(root.join(LOGS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    for entry in entries {
        let name = entry?.file_name();
        let base = name.to_str().and_then(|name| name.strip_suffix(INDEX));
        // what a server that was taken over calls its files must not change the configuration
        let plain = |base: &&str| base.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if let Some(base) = base.filter(plain) {
            return Ok(Some(base.to_owned()));
        }
    }
    Ok(None)
}

/// Whether the last file of a log was closed by its server: no transaction is in the log that InnoDB has only
/// prepared.
fn is_closed(logs: &Path, base: &str) -> io::Result<bool> {
    /// Behind the first four bytes, the flags in the header of the first event.
    const FLAGS_AT: usize = 4 + 17;
    let mut last: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(logs)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(base));
        let number = number.and_then(|rest| rest.strip_prefix('.')?.parse().ok());
        if let Some(number) = number
            && last.as_ref().is_none_or(|(last, _)| *last < number)
        {
            last = Some((number, entry.path()));
        }
    }
    let Some((_, path)) = last else {
        return Ok(true);
    };
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits() | OFlags::NONBLOCK.bits());
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(no_follow.unwrap_or_default())
        .open(path)?;
    let mut begin = Vec::new();
    file.take(64).read_to_end(&mut begin)?;
    // one that was not written to the end of its first event was never used
    Ok(begin.get(FLAGS_AT).is_none_or(|flags| flags & 1 == 0))
}

/// Makes a directory of the server's user.
fn make(dir: &Path, owner: Option<Owner>) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)?;
    match owner {
        Some(Owner { uid, gid }) => chown(dir, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    if_there(fs::remove_file(path))?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
