//! Replicas: instances that follow the primary of a database, as many as its settings say.
//!
//! They are made while the database is awake, and sleep and wake with it. One task for each database that has some
//! ([`keep`]) makes, starts, stops and removes them, and tells the data path which of them may be read. The actor lends
//! them: before a park they get all that the primary has, and when the primary is lost, one takes its place
//! ([`failover`](crate::database)).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dormouse_driver::Run;
use dormouse_types::{DatabaseName, Incarnation, InstanceId, ReplicaCount};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::follower::Follower;
use crate::servers::{EventStates, Following};

pub(crate) mod keep;
mod load;

/// How long a park waits for what a replica lacks. One that needs longer gets the rest when it wakes.
const REST: Duration = Duration::from_secs(5);

/// How long a replica may take to apply what it has received, before it takes the primary's place.
const APPLY: Duration = Duration::from_secs(60);

/// The replicas of a database.
pub(crate) struct Replicas {
    members: AsyncMutex<Vec<Member>>,
    /// How many there should be, as the load demands.
    wanted: Mutex<ReplicaCount>,
    /// Wakes the task that keeps them.
    woken: Notify,
    seen: Mutex<Vec<ReplicaStatus>>,
    /// How many transactions the primary had when it was last stopped by order: a replica that has fewer takes no place.
    rested: AtomicU64,
    /// The events of the primary, when they were last read: replication does not tell their states.
    events: Mutex<EventStates>,
}

/// The databases that want replicas and have none yet.
#[derive(Default)]
pub(crate) struct Wanted {
    names: Mutex<Vec<DatabaseName>>,
    added: Notify,
}

impl Wanted {
    /// This one wants some.
    pub(crate) fn add(&self, name: &DatabaseName) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.push(name.clone());
        self.added.notify_one();
    }

    /// Waits for one.
    async fn next(&self) -> DatabaseName {
        loop {
            let name = {
                let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                names.pop()
            };
            match name {
                Some(name) => return name,
                None => self.added.notified().await,
            }
        }
    }
}

/// A replica.
pub(crate) struct Member {
    pub(crate) follower: Follower,
    /// Which run of the primary it was told to follow.
    follows: Option<Incarnation>,
}

/// What is known of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Its instance.
    pub instance: InstanceId,
    /// What it does.
    pub doing: ReplicaDoing,
    /// Age of the transaction that it applies, in seconds; `None` if it does not follow.
    pub behind_s: Option<u64>,
    /// The last transaction that it has applied, as GTIDs.
    pub applied: String,
    /// Why it cannot follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a replica does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaDoing {
    /// It has all, or almost.
    Following,
    /// It lacks much.
    CatchingUp,
    /// It sleeps with its database.
    Asleep,
    /// It cannot follow; it is made anew.
    Broken,
}

impl ReplicaDoing {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Following => "following",
            Self::CatchingUp => "catching up",
            Self::Asleep => "asleep",
            Self::Broken => "broken",
        }
    }
}

impl Member {
    pub(crate) fn new(follower: Follower, follows: Option<Incarnation>) -> Self {
        Self { follower, follows }
    }
}

impl Replicas {
    /// With those that were found in the catalog.
    pub(crate) fn new(members: Vec<Member>) -> Arc<Self> {
        Arc::new(Self {
            wanted: Mutex::new(ReplicaCount::at_most(members.len())),
            members: AsyncMutex::new(members),
            woken: Notify::new(),
            seen: Mutex::default(),
            rested: AtomicU64::new(0),
            events: Mutex::default(),
        })
    }

    /// What is known of each.
    pub(crate) fn status(&self) -> Vec<ReplicaStatus> {
        self.seen().clone()
    }

    /// How many there should be, as the load demands; the settings may allow others since.
    pub(crate) fn wanted(&self) -> ReplicaCount {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn want(&self, count: ReplicaCount) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }

    /// Wakes the task that keeps them: the settings, or the primary, have changed.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// How many have all, or almost.
    pub(crate) fn following(&self) -> usize {
        let follows = |one: &&ReplicaStatus| one.doing == ReplicaDoing::Following;
        self.seen().iter().filter(follows).count()
    }

    /// Before the primary stops: lets all of them get what they lack, up to these transactions, for a limited time. It may be
    /// cancelled; who keeps them stops them when the database sleeps.
    pub(crate) async fn catch_up(&self, position: &str) {
        let mut waiting = JoinSet::new();
        for member in self.members.lock().await.iter_mut() {
            let id = member.follower.id();
            if let Some(reaching) = member.reaching(position).await {
                waiting.spawn(async move { (id, reaching.await) });
            }
        }
        while let Some(waited) = waiting.join_next().await {
            match waited {
                Ok((_, Ok(true))) => {}
                Ok((id, Ok(false))) => info!(instance = %id, "a replica sleeps before it has all"),
                Ok((id, Err(error))) => warn!(instance = %id, error, "a replica does not answer"),
                Err(error) => warn!(%error, "a task that waits for a replica has ended"),
            }
        }
    }

    /// The primary stops, with these transactions: a replica that has fewer takes no place.
    pub(crate) fn rest(&self, position: &str) {
        self.rested.store(number(position), Ordering::SeqCst);
    }

    /// The replica that has received most, with all of that applied, and the states of the primary's events; `None` if
    /// none can take its place. It is a replica no longer.
    pub(crate) async fn take_best(&self) -> Option<(Follower, EventStates)> {
        let mut members = self.members.lock().await;
        let mut best: Option<(u64, usize, String)> = None;
        for (at, member) in members.iter_mut().enumerate() {
            let Some(progress) = member.wakened().await else {
                continue;
            };
            let has = newest(&progress);
            if best.as_ref().is_none_or(|(most, ..)| has.0 > *most) {
                best = Some((has.0, at, has.1));
            }
        }
        let (most, at, position) = best?;
        if most < self.rested.load(Ordering::SeqCst) {
            warn!(
                position,
                "the replicas lack what the primary had when it was stopped: none takes its place"
            );
            return None;
        }
        let applied = members.get(at)?.follower.reaches(&position, APPLY).await;
        if applied != Ok(true) {
            warn!(
                ?applied,
                position,
                "a replica has not applied all that it has received: it takes no place yet"
            );
            return None;
        }
        let member = members.remove(at);
        info!(instance = %member.follower.id(), position, "it has the most");
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        Some((member.follower, events.clone()))
    }

    /// Gives a replica back that did not take the primary's place. It is stopped, since it may be half promoted: its next start
    /// is that of a replica.
    pub(crate) async fn put_back(&self, follower: Follower) {
        let mut member = Member::new(follower, None);
        member.stop().await;
        self.members.lock().await.push(member);
    }

    fn seen(&self) -> MutexGuard<'_, Vec<ReplicaStatus>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Waits until it has these transactions, if its server runs or is frozen.
    async fn reaching(
        &mut self,
        position: &str,
    ) -> Option<impl Future<Output = Result<bool, String>> + Send + use<>> {
        let instance = &mut self.follower.instance;
        if instance.run() == Run::Stopped {
            return None;
        }
        if instance.run() == Run::Frozen
            && let Err(error) = instance.thaw().await
        {
            warn!(instance = %instance.id(), %error, "cannot thaw a replica");
        }
        Some(self.follower.reaching(position, REST))
    }

    async fn stop(&mut self) {
        self.follows = None;
        let instance = &mut self.follower.instance;
        instance.disconnect().await;
        if let Err(error) = instance.stop().await {
            warn!(instance = %instance.id(), %error, "cannot stop a replica");
        }
    }

    /// How far it is, after it was started if it slept.
    async fn wakened(&mut self) -> Option<Following> {
        let instance = &mut self.follower.instance;
        if instance.run() != Run::Running {
            instance.set_follows();
            let started = instance.start().await;
            started
                .inspect_err(
                    |error| warn!(instance = %instance.id(), %error, "cannot start a replica"),
                )
                .ok()?;
        }
        let progress = self.follower.progress().await;
        progress
            .inspect_err(
                |error| warn!(instance = %self.follower.id(), error, "a replica does not answer"),
            )
            .ok()
    }
}

/// The number of the last transaction of a position.
fn number(position: &str) -> u64 {
    let numbers = position.split(',');
    let numbers = numbers.filter_map(|gtid| gtid.rsplit('-').next()?.parse().ok());
    numbers.max().unwrap_or(0)
}

/// The last transaction that a replica has: its number, and its GTIDs.
fn newest(progress: &Following) -> (u64, String) {
    let (received, applied) = (number(&progress.received), number(&progress.applied));
    match received > applied {
        true => (received, progress.received.clone()),
        false => (applied, progress.applied.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_transaction_is_the_received_or_the_applied_one() {
        let progress = |received: &str, applied: &str| Following {
            received: received.to_owned(),
            applied: applied.to_owned(),
            ..Following::default()
        };
        for (received, applied, number, position) in [
            ("", "", 0, ""),
            ("0-1-7", "0-1-5", 7, "0-1-7"),
            // after a restart nothing was received yet
            ("", "0-1-5", 5, "0-1-5"),
            ("0-1-5", "0-2-6", 6, "0-2-6"),
            ("0-1-7,1-1-9", "0-1-7", 9, "0-1-7,1-1-9"),
        ] {
            let found = newest(&progress(received, applied));
            assert_eq!(found, (number, position.to_owned()), "{received} {applied}");
        }
    }
}
