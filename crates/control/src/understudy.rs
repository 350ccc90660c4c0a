//! Understudies: running servers without data that answer in place of those of sleeping databases.
//!
//! Invariants:
//! - sessions of several tenants may have run there, so an understudy never becomes a database: its instance stays in
//!   [`Phase::Preparing`](crate::catalog::Phase), and the next start removes it;
//! - one run of a server is one instance and one [`Target`], whose generation is the instance's id. A server that has died
//!   is not started again: another instance takes its place;
//! - nobody but Dormouse has rights on it, and of each user name it has one account at most, so that none hides another.
//!
//! Called by the plane for the data path.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dormouse_driver::Place;
use dormouse_types::{Carry, InstanceId, Pooling, Series, Target, Units, Variables};
use tokio::sync::Mutex;
use tracing::{debug, warn};

use crate::admission::Importance;
use crate::error::Error;
use crate::instance::Instance;
use crate::servers::{Server, ServerError};
use crate::spares::Spares;
use crate::status::UnderstudyCounts;
use crate::tasks::Tasks;
use crate::time::{now, within};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A server that has run for so long is replaced after the first pause when it dies.
const STEADY: Duration = Duration::from_secs(60);

/// The fewest that a driver can limit a server to.
const UNITS: Units = Units(1);

/// Most accounts on one.
const ACCOUNTS_MOST: usize = 4096;

/// A variable that each server has its own value of.
const OF_EACH: &str = "socket";

/// Variables that change together: a statement that sets one sets the other.
const PAIRS: [(&str, &str); 4] = [
    ("character_set_connection", "collation_connection"),
    ("character_set_server", "collation_server"),
    ("transaction_isolation", "tx_isolation"),
    ("transaction_read_only", "tx_read_only"),
];

/// All understudies.
pub(crate) struct Understudies {
    spares: Arc<Spares>,
    size: usize,
    /// The series beside the first for which some are kept: those of which there are databases.
    more: StdMutex<BTreeSet<Series>>,
    running: RwLock<Vec<Arc<Understudy>>>,
    /// The place of the next one to be chosen.
    turn: AtomicUsize,
    restarts: AtomicU64,
}

/// One run of a server.
struct Understudy {
    target: Arc<Target>,
    server: Server,
    /// Its global variables, before its sessions were limited.
    variables: Variables,
    /// The host of the account of each user name.
    accounts: Mutex<BTreeMap<String, String>>,
}

impl Understudies {
    pub(crate) fn new(spares: Arc<Spares>, size: usize) -> Self {
        Self {
            spares,
            size,
            more: StdMutex::default(),
            running: RwLock::default(),
            turn: AtomicUsize::new(0),
            restarts: AtomicU64::new(0),
        }
    }

    /// Keeps them running until Dormouse stops.
    pub(crate) fn keep(self: &Arc<Self>, tasks: &Arc<Tasks>) {
        self.keep_at(tasks, &Place::default());
    }

    fn keep_at(self: &Arc<Self>, tasks: &Arc<Tasks>, place: &Place) {
        for _ in 0..self.size {
            tasks.spawn(Arc::clone(self).keep_one(Arc::clone(tasks), place.clone()));
        }
    }

    /// Keeps some that are like the servers of these instances, too. Looks at the disk for each.
    pub(crate) async fn want_all(self: Arc<Self>, tasks: &Arc<Tasks>, instances: Vec<InstanceId>) {
        let (understudies, until) = (Arc::clone(&self), Arc::clone(tasks));
        let looked = tokio::task::spawn_blocking(move || {
            // most have one server
            if understudies.spares.host.driver.offer().servers.len() > 1 {
                let series = |id| understudies.spares.host.driver.place(id)?.series;
                return instances.into_iter().filter_map(series).collect();
            }
            BTreeSet::new()
        });
        for series in looked.await.unwrap_or_default() {
            self.want_series(&until, series);
        }
    }

    /// Keeps some that are like the server of this instance, too.
    pub(crate) fn want(self: &Arc<Self>, tasks: &Arc<Tasks>, instance: InstanceId) {
        let place = self.spares.host.driver.place(instance);
        if let Some(series) = place.and_then(|place| place.series) {
            self.want_series(tasks, series);
        }
    }

    fn want_series(self: &Arc<Self>, tasks: &Arc<Tasks>, series: Series) {
        let offer = self.spares.host.driver.offer();
        let is_first = offer
            .servers
            .first()
            .is_none_or(|first| first.series == series);
        if is_first || offer.server(Some(series)).is_none() {
            return;
        }
        let mut more = self.more.lock().unwrap_or_else(PoisonError::into_inner);
        if more.insert(series) {
            let place = Place {
                root: None,
                series: Some(series),
            };
            self.keep_at(tasks, &place);
        }
    }

    async fn keep_one(self: Arc<Self>, tasks: Arc<Tasks>, place: Place) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.start(&place).await {
                Ok(instance) => {
                    let began = now();
                    let Some(end) = instance.end() else { return };
                    tokio::select! {
                        () = end => {}
                        // its instance is removed with all others
                        () = tasks.ending() => return,
                    }
                    self.ended(&instance).await;
                    if now().saturating_duration_since(began) >= STEADY {
                        pause = FIRST_PAUSE;
                    }
                    warn!(instance = %instance.id(), ?pause, "an understudy has died");
                }
                Err(_) if tasks.stopping() => return,
                Err(error) => {
                    warn!(%error, hint = error.hint(), ?pause, "cannot start an understudy");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = tasks.ending() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Starts one; statements go to it from then on.
    async fn start(&self, place: &Place) -> Result<Instance, Error> {
        let importance = Importance::Background;
        let instance = self.spares.make(UNITS, importance, place).await?;
        match self.prepare(&instance).await {
            Ok(understudy) => {
                debug!(instance = %instance.id(), "an understudy runs");
                self.change().push(Arc::new(understudy));
                Ok(instance)
            }
            Err(error) => {
                self.spares.discard(instance.id()).await;
                Err(error)
            }
        }
    }

    async fn prepare(&self, instance: &Instance) -> Result<Understudy, Error> {
        let host = &self.spares.host;
        let prepared = async {
            let server = instance.server()?;
            let variables = host.servers.variables(&server).await?;
            host.servers.make_understudy(&server).await?;
            Ok::<_, ServerError>((server, variables))
        };
        let prepared = within(host.deadlines.start, prepared).await;
        let (server, variables) =
            prepared.map_err(|error| failed("making an understudy", error.to_string()))?;
        let target = Target {
            instance: server.instance,
            origin: server.origin,
            generation: u64::from(server.instance.0),
            endpoint: server.endpoint.clone(),
            pooling: Pooling::default(),
            carry: Carry::default(),
        };
        Ok(Understudy {
            target: Arc::new(target),
            server,
            variables,
            accounts: Mutex::default(),
        })
    }

    /// Removes one whose server has died.
    async fn ended(&self, instance: &Instance) {
        let id = instance.id();
        self.change().retain(|one| one.server.instance != id);
        self.restarts.fetch_add(1, Ordering::Relaxed);
        instance.disconnect().await;
        self.spares.discard(id).await;
    }

    /// Removes all, with their servers: Dormouse ends.
    pub(crate) async fn empty(&self) {
        let running = std::mem::take(&mut *self.change());
        for one in running {
            self.spares.discard(one.server.instance).await;
        }
    }

    /// One of those that are like a server with these global variables, of which its users have set some; several take
    /// turns.
    pub(crate) fn like(
        &self,
        variables: &Variables,
        set: &[(String, String)],
    ) -> Option<Arc<Target>> {
        let running = self.read();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let first = turn.checked_rem(running.len())?;
        let (before, after) = running.split_at(first);
        { after.iter().chain(before) }
            .find(|one| alike(&one.variables, variables, set))
            .map(|one| Arc::clone(&one.target))
    }

    /// Makes an account without rights on it, unless it has it. It takes the place of one of the same user and another
    /// host, whose sessions go on.
    pub(crate) async fn enroll(
        &self,
        target: &Target,
        user: &str,
        host: &str,
    ) -> Result<(), Error> {
        const DOING: &str = "making an account on an understudy";
        let of = |one: &&Arc<Understudy>| *one.target == *target;
        let one = self.read().iter().find(of).cloned();
        let one = one.ok_or_else(|| failed(DOING, "it has ended".to_owned()))?;
        let known = one.accounts.lock().await.get(user).cloned();
        if known.is_some_and(|known| known == host) {
            return Ok(());
        }
        // it runs to its end also if the caller stops waiting: a statement that still runs could undo the next one
        let account = (user.to_owned(), host.to_owned());
        let spares = Arc::clone(&self.spares);
        let made = tokio::spawn(async move { one.make_account(&spares, account).await });
        let made = made.await.unwrap_or_else(|broken| Err(broken.to_string()));
        made.map_err(|reason| failed(DOING, reason))
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> UnderstudyCounts {
        let more = self.more.lock().unwrap_or_else(PoisonError::into_inner);
        UnderstudyCounts {
            wanted: self.size * (1 + more.len()),
            running: self.read().len(),
            restarts: self.restarts.load(Ordering::Relaxed),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Understudy>>> {
        self.running.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Vec<Arc<Understudy>>> {
        self.running.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Understudy {
    async fn make_account(
        &self,
        spares: &Spares,
        (user, host): (String, String),
    ) -> Result<(), String> {
        let mut accounts = self.accounts.lock().await;
        // what the server has is not known while this is under way
        accounts.remove(&user);
        let Spares { host: machine, .. } = spares;
        let made = within(machine.deadlines.ask, async {
            if accounts.len() >= ACCOUNTS_MOST {
                machine.servers.empty_understudy(&self.server).await?;
                accounts.clear();
            }
            let enroll = machine
                .servers
                .enroll_on_understudy(&self.server, &user, &host);
            enroll.await
        });
        made.await.map_err(|error| error.to_string())?;
        accounts.insert(user, host);
        Ok(())
    }
}

fn failed(doing: &str, reason: String) -> Error {
    Error::Machine {
        doing: doing.to_owned(),
        reason,
    }
}

/// Whether two servers have the same global variables, but for those that users of one of them have set.
fn alike(one: &Variables, other: &Variables, set: &[(String, String)]) -> bool {
    let is_set = |name: &str| set.iter().any(|(set, _)| set == name);
    let may_differ = |name: &str| {
        name == OF_EACH
            || name == Variables::CHANGED
            || is_set(name)
            || PAIRS
                .iter()
                .any(|(a, b)| (*a == name && is_set(b)) || (*b == name && is_set(a)))
    };
    let differences = one.differences(other);
    differences.is_some_and(|names| names.into_iter().all(may_differ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &[(&str, &str)]) -> Variables {
        { text.iter() }
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn only_what_users_have_set_may_differ() {
        let one = [
            ("(changed)", "0"),
            ("(time zones)", "0"),
            ("collation_server", "utf8mb4_general_ci"),
            ("lower_case_table_names", "0"),
            ("socket", "/a"),
            ("sql_mode", ""),
            ("tx_isolation", "REPEATABLE-READ"),
            ("version", "10.11.0-MariaDB"),
        ];
        let with = |name: &str, value: &str| {
            let of = |(known, old)| (known, if known == name { value } else { old });
            variables(&one.map(of))
        };
        let set = |name: &str| [(name.to_owned(), "1".to_owned())];
        let one = variables(&one);
        for (other, set, expected) in [
            (one.clone(), set("sql_mode"), true),
            (with("socket", "/b"), set("sql_mode"), true),
            (with("(changed)", "1"), set("time_zone"), true),
            (with("version", "11.8.0-MariaDB"), set("sql_mode"), false),
            (with("lower_case_table_names", "1"), set("sql_mode"), false),
            (with("sql_mode", "ANSI"), set("sql_mode"), true),
            (with("sql_mode", "ANSI"), set("time_zone"), false),
            (with("(time zones)", "1"), set("time_zone"), false),
            (
                with("collation_server", "latin1_bin"),
                set("character_set_server"),
                true,
            ),
            (
                with("tx_isolation", "SERIALIZABLE"),
                set("transaction_isolation"),
                true,
            ),
            (
                with("tx_isolation", "SERIALIZABLE"),
                set("tx_read_only"),
                false,
            ),
        ] {
            assert_eq!(alike(&one, &other, &set), expected, "{other:?} {set:?}");
        }
    }
}
