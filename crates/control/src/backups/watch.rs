//! Backups by the clock: made, forgotten, verified, and missed when they are late.
//!
//! One task looks every [`POLL`]. A database is due if its schedule had a time since its last attempt; one that was due
//! while Dormouse was down is backed up soon after the start. Several at once take turns.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dormouse_policy::Cause;
use dormouse_repository::Repository;
use dormouse_types::{Cron, DatabaseName, InstanceId, State};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use super::known::Known;
use super::make::{Attempt, back_up};
use super::state::{entry, is_of_files};
use super::upkeep::{forget_old, store_installation};
use super::verify::verify;
use crate::catalog::{Change, Durability, Entry};
use crate::create::Creator;
use crate::database::Database;
use crate::database::context::Context;
use crate::error::Error;
use crate::principal::Principal;
use crate::status::EventKind;

/// How often the schedules are looked at.
const POLL: Duration = Duration::from_secs(10);

/// After how long an attempt that failed is repeated.
const RETRY: SignedDuration = SignedDuration::from_mins(10);

/// Databases that are begun at the same time; they take turns at the disk.
const BATCH: usize = 64;

/// Makes backups by the clock until Dormouse stops.
pub(crate) async fn watch(creator: Creator) {
    let tasks = Arc::clone(&creator.context.tasks);
    let Ok(config) = creator
        .context
        .backups
        .vault()
        .map(|vault| vault.config().clone())
    else {
        return;
    };
    let mut clock = Clock::new(creator.clone());
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = tasks.ending() => break,
        }
        let round = async {
            clock.round().await;
            if clock.is_due(&config.verify, Upkeep::Verify) {
                verify_newest(&creator).await;
            }
            if clock.is_due(&config.prune, Upkeep::Prune) {
                prune(&creator).await;
            }
        };
        tokio::select! {
            () = round => {}
            () = tasks.ending() => break,
        }
    }
    creator.context.backups.cancel();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Upkeep {
    Verify,
    Prune,
}

struct Clock {
    creator: Creator,
    /// When each kind of upkeep was done last; at first, the start.
    done: HashMap<Upkeep, Timestamp>,
    began: Timestamp,
    /// The repository did not answer when it was needed last.
    is_away: bool,
    /// Databases of which it was told that their last good backup is too old.
    told_late: BTreeSet<InstanceId>,
    /// The databases in the last document about the installation.
    listed: Option<BTreeSet<(DatabaseName, InstanceId)>>,
}

impl Clock {
    fn new(creator: Creator) -> Self {
        let began = creator.context.calendar.timestamp();
        Self {
            creator,
            done: HashMap::new(),
            began,
            is_away: false,
            told_late: BTreeSet::new(),
            listed: None,
        }
    }

    fn is_due(&mut self, schedule: &Cron, upkeep: Upkeep) -> bool {
        let context = &self.creator.context;
        let now = context.calendar.timestamp();
        let before = self.done.get(&upkeep).copied().unwrap_or(self.began);
        let due = schedule
            .last(now, &context.time_zone)
            .is_some_and(|last| last > before);
        if due {
            self.done.insert(upkeep, now);
        }
        due
    }

    /// Backs up every database that is due.
    async fn round(&mut self) {
        let context = &self.creator.context;
        let now = context.calendar.timestamp();
        let mut times: HashMap<Cron, Option<Timestamp>> = HashMap::new();
        let (mut due, mut new) = (Vec::new(), Vec::new());
        let all = context.registry.all();
        let there: BTreeSet<_> = all.iter().map(|d| d.instance).collect();
        context.backups.retain(|id| there.contains(&id));
        for database in all {
            if matches!(database.state(), State::Creating | State::Dropping) {
                continue;
            }
            let spec = database.shared_spec();
            let schedule = &spec.backups.schedule;
            let last = match times.get(schedule) {
                Some(last) => *last,
                None => {
                    let last = schedule.last(now, &context.time_zone);
                    times.insert(schedule.clone(), last);
                    last
                }
            };
            match context.backups.known(database.instance) {
                // the moment from which it is missed
                None => new.push(context.backups.note(database.instance, Known::new(now))),
                Some(known)
                    if last.is_some_and(|last| last > known.attempted)
                        || is_to_be_repeated(&known, now)
                        || (known.failure.is_none() && begins_anew(context, &database, &known)) =>
                {
                    due.push(database)
                }
                Some(_) => {}
            }
        }
        if !new.is_empty()
            && let Err(error) = context.catalog.write(Durability::Soon, new).await
        {
            error!(%error, hint = error.hint(), "cannot write the catalog");
        }
        if self.back_up(due).await > 0 {
            self.listed = None;
            if let Err(error) = forget_old(&self.creator).await {
                warn!(%error, "old backups are not forgotten");
            }
        }
        self.list().await;
        self.tell_late().await;
    }

    /// Stores the document about the installation if there are other databases than in the last one, or if backups were made
    /// since: so a recovery does not bring back what was dropped.
    async fn list(&mut self) {
        let all = self.creator.context.registry.all().into_iter();
        let there = all.map(|database| (database.name.clone(), database.instance));
        let there = there.collect();
        if self.listed.as_ref() == Some(&there) || !self.is_reached().await {
            return;
        }
        match store_installation(&self.creator).await {
            Ok(()) => self.listed = Some(there),
            Err(error) => warn!(%error, "the document about the installation is not stored"),
        }
    }

    /// Backs them up, if the repository is there; returns how many backups were made.
    async fn back_up(&mut self, due: Vec<Arc<Database>>) -> usize {
        if due.is_empty() || !self.is_reached().await {
            return 0;
        }
        let mut made = 0;
        let mut running = JoinSet::new();
        let mut count = |done: Option<Result<bool, tokio::task::JoinError>>| {
            made += usize::from(matches!(done, Some(Ok(true))));
        };
        for database in due {
            if running.len() >= BATCH {
                count(running.join_next().await);
            }
            let creator = self.creator.clone();
            running.spawn(async move {
                let done = back_up(
                    &creator,
                    database,
                    false,
                    Cause::Schedule,
                    Principal::Dormouse,
                )
                .await;
                matches!(done, Ok(Attempt::Made(_)))
            });
        }
        while let Some(done) = running.join_next().await {
            count(Some(done));
        }
        made
    }

    /// Whether the repository answers. Otherwise nothing is copied in vain, and what is due stays due.
    async fn is_reached(&mut self) -> bool {
        let reached = match self.creator.context.backups.vault() {
            Ok(vault) => vault.run(Repository::keys).await.map(drop),
            Err(error) => Err(error),
        };
        match &reached {
            Err(error) if !self.is_away => error!(%error, "backups are due, and cannot be made"),
            Ok(()) if self.is_away => info!("backups can be made again"),
            _ => {}
        }
        self.is_away = reached.is_err();
        !self.is_away
    }

    /// Tells once of each database whose last good backup is too old.
    async fn tell_late(&mut self) {
        let context = &self.creator.context;
        let Ok(vault) = context.backups.vault() else {
            return;
        };
        let (now, most) = (context.calendar.timestamp(), vault.config().late_after);
        let mut late = Vec::new();
        for database in context.registry.all() {
            let Some(known) = context.backups.known(database.instance) else {
                continue;
            };
            let good = known.last.as_ref().map_or(known.first, |last| last.good_at);
            let age = Duration::try_from(now.duration_since(good)).unwrap_or_default();
            if age > most && database.shared_spec().backups.schedule != Cron::NEVER {
                late.push((database, known, age));
            }
        }
        context.backups.counts().late = late.len() as u64;
        let ids: BTreeSet<_> = late.iter().map(|(d, _, _)| d.instance).collect();
        for (database, known, age) in late {
            if self.told_late.contains(&database.instance) {
                continue;
            }
            let hours = age.as_secs() / 3600;
            let mut reason = match &known.last {
                Some(_) => format!("its last good backup is {hours} hours old"),
                None => format!("it has no backup, {hours} hours after it was first seen"),
            };
            if let Some(failure) = &known.failure {
                reason.push_str(&format!("; the last attempt failed: {failure}"));
            }
            error!(database = %database.name, reason, "backups are late");
            let told = entry(
                &database.name,
                EventKind::Refused,
                Cause::Schedule,
                reason,
                Duration::ZERO,
                Principal::Dormouse,
            );
            tell(&self.creator, told).await;
        }
        self.told_late = ids;
    }
}

/// Whether an attempt that failed is repeated now.
fn is_to_be_repeated(known: &Known, now: Timestamp) -> bool {
    known.failure.is_some() && now.duration_since(known.attempted) >= RETRY
}

/// Whether the history of a database goes on with another log than that of its last backup: it was upgraded, has moved or failed
/// over. The log of a newer server is of use only with a backup of its own.
fn begins_anew(context: &Context, database: &Database, known: &Known) -> bool {
    let timeline = { known.last.as_ref() }.and_then(|last| last.timeline.as_ref());
    if !database.shared_spec().history || timeline.is_none() {
        return false;
    }
    let slot = context.histories.slot(database.instance);
    let Ok(state) = slot.try_lock() else {
        return false;
    };
    !state.base.is_empty() && timeline != Some(&state.base)
}

/// Restores the newest backup of each database for a test, unless that was done.
async fn verify_newest(creator: &Creator) {
    let all = match creator.context.backups.list(None).await {
        Ok(all) => all,
        Err(error) => return warn!(%error, "the backups cannot be verified"),
    };
    for database in creator.context.registry.all() {
        let last = creator
            .context
            .backups
            .known(database.instance)
            .and_then(|known| known.last);
        let Some(last) = last.filter(|last| last.verified.is_none()) else {
            continue;
        };
        let backup = all
            .iter()
            .rev()
            .find(|backup| backup.id.as_str() == last.id && is_of_files(backup));
        let Some(backup) = backup else { continue };
        let (creator, by) = (creator.clone(), Principal::Dormouse);
        let verified = verify(
            creator,
            backup.clone(),
            database.name.clone(),
            Cause::Schedule,
            by,
        );
        // told in the ledger and the log
        if let Err(Error::Stopping) = verified.await {
            return;
        }
    }
}

/// Removes data that no backup needs.
async fn prune(creator: &Creator) {
    let pruned = async {
        forget_old(creator).await?;
        let vault = creator.context.backups.vault()?;
        vault
            .run(|repository| repository.prune(&dormouse_repository::Watch::default()))
            .await
    };
    match pruned.await {
        Ok(pruned) => info!(
            removed = pruned.removed,
            marked = pruned.marked,
            "the repository was pruned"
        ),
        Err(error) => warn!(%error, "the repository cannot be pruned"),
    }
}

/// Writes an entry of the ledger about backups.
pub(crate) async fn tell(creator: &Creator, entry: Entry) {
    let changes = vec![Change::Ledger(Box::new(entry))];
    if let Err(error) = creator
        .context
        .catalog
        .write(Durability::Soon, changes)
        .await
    {
        tracing::error!(%error, hint = error.hint(), "cannot write the catalog");
    }
}
