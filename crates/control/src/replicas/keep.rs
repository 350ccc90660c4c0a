//! The task that keeps the replicas of one database.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_driver::{Observed, Run};
use dormouse_policy::Cause;
use dormouse_policy::horizontal::replicas::Setting;
use dormouse_policy::placement::Stay;
use dormouse_types::{InstanceId, Replica, State};
use tracing::{error, info, warn};

use super::load::{ASLEEP, Load};
use super::{Member, ReplicaDoing, ReplicaStatus, Replicas};
use crate::catalog::{Change, Durability, Entry};
use crate::create::Creator;
use crate::database::Database;
use crate::follower::Follower;
use crate::instance::Instance;
use crate::principal::Principal;
use crate::seed::seed;
use crate::servers::Server;
use crate::status::{EventKind, Figures};
use crate::time::{now, within};

mod acknowledge;
mod look;

/// How often awake replicas are looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Pause after a replica could not be made.
const AGAIN: Duration = Duration::from_secs(10);

/// How long statements may run on a replica that is to be removed.
const LEAVE: Duration = Duration::from_secs(600);

/// How often logs are removed that nobody needs.
const PURGE: Duration = Duration::from_secs(30);

/// Keeps the replicas of databases that want some, until Dormouse stops.
pub(crate) async fn watch(creator: Creator) {
    let context = Arc::clone(&creator.context);
    loop {
        let name = tokio::select! {
            name = context.wants_replicas.next() => name,
            () = context.tasks.ending() => return,
        };
        if let Some(database) = context.registry.find(&name) {
            begin(&creator, &database, Vec::new());
        }
    }
}

/// Keeps the replicas of a database from now on, if its settings or the catalog have some and that is not done yet.
pub(crate) fn begin(creator: &Creator, database: &Arc<Database>, found: Vec<InstanceId>) {
    if !database.spec().replicas.has_some() && found.is_empty() {
        return;
    }
    let host = &creator.context.host;
    let members = found.into_iter().map(|id| {
        let instance = Instance::new(Arc::clone(host), id, database.view().units);
        let instance = instance.of(database.instance);
        Member::new(Follower::new(instance, Arc::clone(host)), None)
    });
    let Some(replicas) = database.begin_replicas(members.collect()) else {
        return;
    };
    let keeper = Keeper {
        creator: creator.clone(),
        database: Arc::clone(database),
        replicas,
        failed: None,
        purged: now(),
        is_new: false,
        commits_wait: true,
        found: true,
        following: BTreeSet::new(),
        silent: None,
        load: Load::default(),
        leaving: None,
    };
    creator.context.tasks.spawn(Box::pin(keeper.run()));
}

struct Keeper {
    creator: Creator,
    database: Arc<Database>,
    replicas: Arc<Replicas>,
    /// When a replica could last not be made.
    failed: Option<Instant>,
    /// When logs were last removed.
    purged: Instant,
    /// Whether one was made that may have no transaction in common with the primary's log.
    is_new: bool,
    /// Whether commits of the primary may wait for a replica.
    commits_wait: bool,
    /// Whether those of the catalog have not been observed yet.
    found: bool,
    /// Those that followed at the last look.
    following: BTreeSet<InstanceId>,
    /// Since when the primary does not answer, with its run and its CPU time then.
    silent: Option<(Instant, Observed)>,
    /// What says how many there should be.
    load: Load,
    /// Since when there are more than there should be.
    leaving: Option<Instant>,
}

impl Keeper {
    async fn run(mut self) {
        let tasks = Arc::clone(&self.creator.context.tasks);
        loop {
            if tasks.stopping() {
                return;
            }
            let state = self.database.state();
            if state == State::Dropping || self.is_replaced() {
                self.remove_all().await;
                return;
            }
            let wanted = self.count(state).await;
            match state {
                State::Active => self.follow(wanted).await,
                State::Suspended => self.freeze(wanted).await,
                State::Parked | State::Failed => self.stop(wanted).await,
                _ => {}
            }
            let over = wanted == 0 && self.replicas.members.lock().await.is_empty();
            let waits = state == State::Active && self.commits_wait;
            if over && !waits && self.database.end_replicas() {
                self.publish(Vec::new());
                return;
            }
            let awake = !state_rests(state);
            let fewest = usize::from(self.database.spec().replicas.min().get());
            let pause = if awake { LOOK } else { ASLEEP };
            tokio::select! {
                () = tokio::time::sleep(pause), if awake || wanted > fewest => {}
                () = self.replicas.woken.notified() => {}
                () = self.database.until(|view| view.state != state), if !awake => {}
                () = tasks.ending() => return,
            }
        }
    }

    /// How many there should be now.
    async fn count(&mut self, state: State) -> usize {
        let spec = self.database.spec();
        let rests = state_rests(state);
        if rests {
            self.load.rests(now());
        } else if state == State::Active && spec.replicas.follows_load() {
            let context = &self.creator.context;
            self.load
                .look(context, &self.database, &self.following)
                .await;
        }
        let before = self.replicas.wanted();
        let settled = !rests && self.following.len() == usize::from(before.get());
        let setting = Setting {
            range: spec.replicas,
            reads: spec.reads,
            units: spec.units,
        };
        let Some(change) = self.load.decide(setting, before, settled, now()) else {
            return before.get().into();
        };
        self.replicas.want(change.replicas);
        if let Some(reason) = change.reason {
            let reason = format!("replicas: {before} → {}: {reason}", change.replicas);
            self.note(reason).await;
        }
        change.replicas.get().into()
    }

    async fn note(&self, reason: String) {
        info!(database = %self.database.name, reason, "another number of replicas");
        let entry = Entry {
            database: Some(self.database.name.clone()),
            actor: Principal::Dormouse,
            woken_by: None,
            event: EventKind::Scaled,
            from: None,
            to: None,
            cause: Cause::Load,
            reason,
            duration_ms: None,
            figures: Figures::default(),
        };
        let changes = vec![Change::Ledger(Box::new(entry))];
        let catalog = &self.creator.context.catalog;
        if let Err(error) = catalog.write(Durability::Soon, changes).await {
            warn!(%error, "not in the ledger: another number of replicas");
        }
    }

    /// Whether another database has its name.
    fn is_replaced(&self) -> bool {
        let found = self.creator.context.registry.find(&self.database.name);
        found.is_none_or(|found| !Arc::ptr_eq(&found, &self.database))
    }

    /// Lets as many follow as are wanted.
    async fn follow(&mut self, wanted: usize) {
        let Ok(primary) = self.database.server() else {
            return;
        };
        if !self.answers(&primary).await {
            return;
        }
        let mut seen = Vec::new();
        let mut readable = Vec::new();
        let mut broken = Vec::new();
        let mut leaving = Vec::new();
        let mut purge_to: Option<String> = None;
        {
            let mut members = self.replicas.members.lock().await;
            for (at, member) in members.iter_mut().enumerate() {
                let status = self.look(member, &mut purge_to).await;
                match status.doing {
                    _ if at >= wanted => leaving.push(status.instance),
                    ReplicaDoing::Following => readable.extend(self.readable(member)),
                    ReplicaDoing::Broken => broken.push(status.instance),
                    _ => purge_to = None,
                }
                seen.push(status);
            }
        }
        for id in &broken {
            self.remove(*id).await;
        }
        self.found = false;
        let following = { seen.iter() }
            .filter(|one| one.doing == ReplicaDoing::Following && !leaving.contains(&one.instance))
            .map(|one| one.instance)
            .collect();
        self.acknowledge(&primary, following, wanted).await;
        self.publish(seen);
        self.offer(readable);
        self.let_go(leaving).await;
        self.purge(&primary, purge_to, broken.is_empty()).await;
        let there = self.replicas.members.lock().await.len();
        let paused = self.failed.is_some_and(|at| at.elapsed() < AGAIN);
        let old = self.of_another_server().await.filter(|_| there == wanted);
        if (there < wanted || old.is_some()) && !paused {
            let made = self.make().await;
            self.failed = made.is_none().then(now);
            if let Some(old) = old.filter(|_| made.is_some()) {
                info!(instance = %old, "a replica of the server of before the upgrade is removed");
                self.remove(old).await;
            }
        }
    }

    /// Removes those that are more than there should be, and are not offered, when no statement runs there any more.
    async fn let_go(&mut self, leaving: Vec<InstanceId>) {
        if leaving.is_empty() {
            self.leaving = None;
            return;
        }
        let since = *self.leaving.get_or_insert_with(now);
        let waited = now().saturating_duration_since(since);
        // the data path is told now; what it had begun before it counts at the next look
        if waited < LOOK {
            return;
        }
        for id in leaving {
            let doors = &self.creator.context.doors;
            if waited >= LEAVE || !doors.reads_on(&self.database.name, id) {
                self.remove(id).await;
            }
        }
    }

    /// A replica of another version of the server than the primary's, since that was upgraded. It may not understand all
    /// that the primary writes, and would bring the older version back.
    async fn of_another_server(&self) -> Option<InstanceId> {
        let driver = &self.creator.context.host.driver;
        let series = |id| driver.place(id).and_then(|place| place.series);
        let own = series(self.database.seat())?;
        let members = self.replicas.members.lock().await;
        let mut ids = members.iter().map(|one| one.follower.id());
        ids.find(|id| series(*id).is_some_and(|other| other != own))
    }

    async fn remove(&self, id: InstanceId) {
        let mut members = self.replicas.members.lock().await;
        if let Some(at) = members.iter().position(|one| one.follower.id() == id) {
            let member = members.remove(at);
            self.discard(member).await;
        }
    }

    /// Removes the files of logs that nobody needs, unless the history does.
    async fn purge(&mut self, primary: &Server, to: Option<String>, all: bool) {
        // what is being made may need what the others have
        let making = self.database.moving().is_some();
        if self.purged.elapsed() < PURGE || !all || making || self.database.spec().history {
            return;
        }
        self.purged = now();
        let host = &self.creator.context.host;
        let Some(to) = to.filter(|to| !to.is_empty()) else {
            return;
        };
        if let Err(error) = within(host.deadlines.ask, host.servers.purge_log(primary, &to)).await {
            warn!(database = %self.database.name, %error, "cannot remove logs that nobody needs");
        }
        for member in self.replicas.members.lock().await.iter() {
            let purged = within(host.deadlines.ask, async {
                host.servers.purge_own_log(&member.follower.server()?).await
            });
            if let Err(error) = purged.await {
                warn!(instance = %member.follower.id(), %error, "cannot remove logs that nobody needs");
            }
        }
    }

    /// Makes one more.
    async fn make(&mut self) -> Option<()> {
        let units = self.database.view().units;
        let host = &self.creator.context.host;
        let keeps = within(host.deadlines.ask, async {
            host.servers.keeps_log(&self.database.server()?).await
        });
        if !keeps.await.unwrap_or(false) {
            // its next start begins one
            return None;
        }
        let place = host.place_of_replica(self.database.seat(), &self.roots().await);
        let seeded = seed(
            &self.creator,
            &self.database,
            (units, Stay::Lasting),
            &place,
            |_| {},
        )
        .await;
        let follower = seeded
            .inspect_err(
                |error| warn!(database = %self.database.name, %error, "cannot make a replica"),
            )
            .ok()?;
        let id = follower.id();
        let change = Change::Replica {
            name: self.database.name.clone(),
            instance: id,
            rights: self.database.rights(),
        };
        let catalog = &self.creator.context.catalog;
        if let Err(error) = catalog.write(Durability::Now, vec![change]).await {
            error!(%error, hint = error.hint(), "cannot write the catalog: the replica is removed");
            self.creator.warm.discard(id).await;
            return None;
        }
        info!(database = %self.database.name, instance = %id, "it has a new replica");
        // it acknowledges when it is told to follow again, since it is in the catalog
        let member = Member::new(follower, None);
        self.replicas.members.lock().await.push(member);
        self.is_new = true;
        Some(())
    }

    /// The data roots of those that there are.
    async fn roots(&self) -> Vec<Option<PathBuf>> {
        let driver = &self.creator.context.host.driver;
        let members = self.replicas.members.lock().await;
        let root = |one: &Member| driver.place(one.follower.id()).and_then(|place| place.root);
        members.iter().map(root).collect()
    }

    async fn freeze(&self, wanted: usize) {
        self.offer(Vec::new());
        let mut members = self.replicas.members.lock().await;
        self.cut(&mut members, wanted).await;
        for member in members.iter_mut() {
            let instance = &mut member.follower.instance;
            if instance.run() == Run::Running {
                instance.disconnect().await;
                if let Err(error) = instance.freeze().await {
                    warn!(instance = %instance.id(), %error, "cannot freeze a replica");
                }
            }
        }
        self.publish(asleep(&members));
    }

    async fn stop(&mut self, wanted: usize) {
        self.offer(Vec::new());
        let mut members = self.replicas.members.lock().await;
        self.cut(&mut members, wanted).await;
        for member in members.iter_mut() {
            if self.found {
                member.follower.instance.observe().await;
            }
            if member.follower.instance.run() != Run::Stopped {
                member.stop().await;
            }
        }
        self.found = false;
        self.publish(asleep(&members));
    }

    /// Removes those that are more than there should be; no statement runs there.
    async fn cut(&self, members: &mut Vec<Member>, wanted: usize) {
        while members.len() > wanted {
            if let Some(member) = members.pop() {
                self.discard(member).await;
            }
        }
    }

    async fn remove_all(&self) {
        self.offer(Vec::new());
        for member in self.replicas.members.lock().await.drain(..) {
            self.discard(member).await;
        }
    }

    async fn discard(&self, member: Member) {
        member.follower.instance.disconnect().await;
        self.creator.warm.discard(member.follower.id()).await;
    }

    fn publish(&self, seen: Vec<ReplicaStatus>) {
        *self.replicas.seen() = seen;
    }

    fn offer(&self, readable: Vec<Replica>) {
        let reads = self.database.spec().reads;
        let name = &self.database.name;
        self.creator
            .context
            .doors
            .set_replicas(name, readable, reads);
    }
}

/// Whether nothing changes in a state by itself.
fn state_rests(state: State) -> bool {
    matches!(state, State::Suspended | State::Parked | State::Failed)
}

fn asleep(members: &[Member]) -> Vec<ReplicaStatus> {
    let ids: BTreeSet<InstanceId> = members.iter().map(|one| one.follower.id()).collect();
    let status = |instance| ReplicaStatus {
        instance,
        doing: ReplicaDoing::Asleep,
        behind_s: None,
        applied: String::new(),
        error: None,
    };
    ids.into_iter().map(status).collect()
}
