//! Moving a database to another instance: another place, another version of the server, or a replica.
//!
//! A copy of the files follows the primary until it has all that is there; then the actor shuts the door at a boundary of
//! statements, and opens it to the copy ([`relocate`](crate::database)). A database that sleeps moves by its files,
//! unwoken. Until the switch, a crash leaves all as it was: the next start removes the copy.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use dormouse_driver::Place;
use dormouse_policy::Cause;
use dormouse_policy::lifecycle::Order;
use dormouse_policy::placement::Stay;
use dormouse_types::{InstanceId, State};
use jiff::{SignedDuration, Timestamp};
use tracing::warn;

use crate::catalog::{Change, Durability, Entry};
use crate::create::{Creator, to_its_end};
use crate::database::Database;
use crate::error::Error;
use crate::follower::Follower;
use crate::instance::Instance;
use crate::principal::Principal;
use crate::seed::{files_of, seed, upgrade};
use crate::status::{EventKind, Figures};
use crate::time::{millis_since, now, within};
use progress::{Candidate, Files, Moving};

pub(crate) mod check;
pub(crate) mod counts;
pub(crate) mod expiry;
pub(crate) mod history;
pub(crate) mod progress;

/// How long pinned sessions, open transactions and running statements may put the switch off.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long the door is shut at most for an attempt, and how much longer each time.
const FIRST_ATTEMPT: Duration = Duration::from_millis(100);
const LAST_ATTEMPT: Duration = Duration::from_secs(1);

/// Pause between two attempts, and between two looks at a follower.
const BETWEEN: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(50);

/// A follower that is further behind than this, in seconds, is not asked how much it lacks.
const NEAR: u64 = 1;

/// A follower that gets what the primary has at a moment within this time has almost all. If the primary writes more than it
/// applies, that is never so: the time grows by as much in each second in which it comes no nearer, up to the longest that
/// statements may wait for the rest.
const ALMOST: Duration = Duration::from_millis(30);
const LONGEST: Duration = Duration::from_secs(5);

/// How long a follower may be without a connection to the primary.
const APART: Duration = Duration::from_secs(30);

/// A move to be done.
pub(crate) struct MoveOrder {
    pub(crate) database: Arc<Database>,
    /// Where to; its series only if that is another one.
    pub(crate) place: Place,
    /// How long the old files are kept.
    pub(crate) keep: Duration,
}

/// A move that was done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct MoveDone {
    /// The instance that served the database before, and the one that does now.
    pub from: InstanceId,
    /// See `from`.
    pub to: InstanceId,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How long statements were held for the switch, in milliseconds; `None` if it slept.
    pub paused_ms: Option<u64>,
    /// Attempts to switch; each but the last was put off.
    pub attempts: u32,
}

impl Creator {
    /// Moves a database. Runs to its end even if its caller no longer waits; [`Moving::cancel`] ends it.
    pub(crate) async fn relocate(self, order: MoveOrder, by: Principal) -> Result<MoveDone, Error> {
        let database = Arc::clone(&order.database);
        let moving = database.begin_to_move()?;
        let work = async move {
            let moved = Box::pin(self.move_it(&order, &moving, &by)).await;
            order.database.end_move();
            self.leave_log(&order.database).await;
            match &moved {
                Ok(_) => self.context.moves.made(),
                Err(error) => {
                    if !moving.is_cancelled() {
                        self.context.moves.failed();
                    }
                    self.note_failure(&order.database, error, by).await;
                }
            }
            moved
        };
        to_its_end(work).await
    }

    async fn move_it(
        &self,
        order: &MoveOrder,
        moving: &Arc<Moving>,
        by: &Principal,
    ) -> Result<MoveDone, Error> {
        let began = now();
        self.check_disk(&order.database.name)?;
        loop {
            // not given up in the middle: a copy whose making is dropped would be left, with its server
            let files = self.prepare(order, moving, by).await?;
            if moving.is_cancelled() {
                self.warm.discard(files.id()).await;
                return Err(was_cancelled(&order.database));
            }
            if let Some(done) = self.switch(order, moving, files, by, began).await? {
                return Ok(done);
            }
            // it woke or went to sleep meanwhile: once more
        }
    }

    /// Makes the instance that takes the primary's place.
    async fn prepare(
        &self,
        order: &MoveOrder,
        moving: &Arc<Moving>,
        by: &Principal,
    ) -> Result<Files, Error> {
        let database = &order.database;
        if matches!(database.state(), State::Parked | State::Failed) {
            let generation = database.view().generation;
            moving.tell("copying its files");
            let copy = files_of(self, database, &order.place).await?;
            let host = Arc::clone(&self.context.host);
            if let Some(series) = order.place.series {
                moving.tell("upgrading the copy");
                if let Err(error) = upgrade(&host, copy.id, series).await {
                    self.warm.discard(copy.id).await;
                    return Err(error);
                }
            }
            let handed = host.driver.hand_log(database.seat(), copy.id);
            if let Err(error) = within(host.deadlines.ask, handed).await {
                self.warm.discard(copy.id).await;
                return Err(Error::Machine {
                    doing: format!("moving '{}'", database.name),
                    reason: error.to_string(),
                });
            }
            let instance = Instance::new(host, copy.id, database.view().units);
            let instance = instance.of(database.instance);
            return Ok(Files::Asleep(instance, generation));
        }
        if !self.keeps_log(database).await? {
            moving.tell("restarting its server, which keeps no log");
            let mut attempts = Attempts::new();
            while let Err(error) = self.restart(database, moving, &attempts, by).await {
                attempts.again(error, moving).await?;
            }
        } else if database.state() != State::Active {
            self.obey(database, Order::Wake, by).await?;
        }
        moving.keep_awake();
        let tell = |stage| moving.tell(stage);
        let mut attempts = Attempts::new();
        let follower = loop {
            let units = (database.view().units, Stay::Passing);
            match seed(self, database, units, &order.place, tell).await {
                Ok(follower) => break follower,
                Err(no_room) => attempts.again(no_room, moving).await?,
            }
        };
        history::begin(self, database).await;
        Ok(Files::Following(follower))
    }

    /// Whether its server keeps a log, which runs if it can.
    async fn keeps_log(&self, database: &Database) -> Result<bool, Error> {
        if database.state() != State::Active {
            return Ok(database.spec().keeps_log());
        }
        let host = &self.context.host;
        let asked = within(host.deadlines.ask, async {
            host.servers.keeps_log(&database.server()?).await
        });
        asked.await.map_err(|error| Error::Server {
            database: database.name.clone(),
            reason: error.to_string(),
        })
    }

    /// Lets a server that keeps a log for the move alone keep little of it until its next start.
    async fn leave_log(&self, database: &Database) {
        if database.spec().keeps_log() || database.state() != State::Active {
            return;
        }
        let host = &self.context.host;
        let left = within(host.deadlines.ask, async {
            host.servers.keep_log(&database.server()?, false).await
        });
        if let Err(error) = left.await {
            warn!(database = %database.name, %error, "its server keeps the log of a move until its next start");
        }
    }

    /// Stops its server, and starts it again, with a log.
    async fn restart(
        &self,
        database: &Database,
        moving: &Moving,
        attempts: &Attempts,
        by: &Principal,
    ) -> Result<(), Error> {
        moving.set_patience(attempts.patience);
        let parked = self.obey(database, Order::Park, by).await;
        if parked.is_err() {
            let servers = &self.context.host.servers;
            let usual = async { servers.write_pages_as_usual(&database.server()?).await };
            if let Err(error) = within(self.context.host.deadlines.ask, usual).await {
                warn!(%error, "the server writes changed pages at once until its next start");
            }
        }
        parked?;
        self.obey(database, Order::Wake, by).await
    }

    /// Gives an order to the actor, and waits for it.
    async fn obey(&self, database: &Database, order: Order, by: &Principal) -> Result<(), Error> {
        let answer = database.order(order, by.clone())?;
        answer.await.unwrap_or(Err(Error::Stopping))
    }

    /// Waits until the follower has almost all; returns how long it may take for the rest.
    async fn catch_up(
        &self,
        database: &Database,
        moving: &Moving,
        follower: &Follower,
    ) -> Result<Duration, Error> {
        let failed = |reason: String| Error::Machine {
            doing: format!("moving '{}'", database.name),
            reason: format!(
                "its copy, instance {}, does not follow: {reason}",
                follower.id()
            ),
        };
        let mut connected = now();
        let (mut nearest, mut since) = (u64::MAX, now());
        let mut source = database.view().incarnation();
        loop {
            let view = database.view();
            if matches!(view.state, State::Dropping | State::Parked | State::Failed) {
                return Err(failed(format!("the database is {} meanwhile", view.state)));
            }
            let present = view.incarnation();
            if present != source && present.is_some() {
                // its server died, and another one runs
                let server = database
                    .server()
                    .map_err(|error| failed(error.to_string()))?;
                follower.follow(&server, false).await.map_err(failed)?;
                source = present;
            }
            let progress = follower.progress().await.map_err(failed)?;
            if let Some(error) = progress.error {
                return Err(failed(error));
            }
            if progress.connected {
                connected = now();
            } else if connected.elapsed() > APART {
                return Err(failed(format!("it is not connected for {APART:?}")));
            }
            if let Some(behind) = progress.behind.filter(|behind| *behind < nearest) {
                (nearest, since) = (behind, now());
            }
            let seconds = u32::try_from(since.elapsed().as_secs()).unwrap_or(u32::MAX);
            let soon = ALMOST
                .saturating_mul(seconds.saturating_add(1))
                .min(LONGEST);
            let most = NEAR.max(soon.as_secs());
            let near = progress.behind.is_some_and(|behind| behind <= most);
            if progress.connected && near && self.has_within(database, follower, soon).await {
                return Ok(soon);
            }
            moving.waits_at_first_for("its copy, which has not all changes yet");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether the follower gets what the primary has now within this time.
    async fn has_within(&self, database: &Database, follower: &Follower, time: Duration) -> bool {
        let host = &self.context.host;
        let position = within(host.deadlines.ask, async {
            host.servers.logged(&database.server()?).await
        });
        match position.await {
            Ok(position) => follower.reaches(&position, time).await == Ok(true),
            Err(_) => false,
        }
    }

    /// Lets the actor switch; `None` if what was prepared does not fit any more.
    async fn switch(
        &self,
        order: &MoveOrder,
        moving: &Arc<Moving>,
        files: Files,
        by: &Principal,
        began: Instant,
    ) -> Result<Option<MoveDone>, Error> {
        let database = &order.database;
        let (from, to) = (database.seat(), files.id());
        let has_history = history::keeps_one(self, database);
        let keep = match has_history {
            true => order.keep.max(history::KEPT),
            false => order.keep,
        };
        let keep = SignedDuration::try_from(keep).unwrap_or_default();
        let mut files = Some(files);
        let mut attempts = Attempts::new();
        moving.tell("catching up, and waiting for a moment to switch");
        let refused = loop {
            if let Some(Files::Following(follower)) = &files {
                tokio::select! {
                    caught_up = self.catch_up(database, moving, follower) => match caught_up {
                        Ok(rest) => moving.set_rest(rest * 2 + FIRST_ATTEMPT),
                        Err(error) => break error,
                    },
                    () = moving.cancelled() => break was_cancelled(database),
                }
            }
            moving.set_patience(attempts.patience);
            let candidate = Arc::new(Candidate {
                files: Mutex::new(files.take()),
                kept_until: Timestamp::now()
                    .saturating_add(keep)
                    .unwrap_or(Timestamp::MAX),
                moving: Arc::clone(moving),
                paused: OnceLock::new(),
            });
            let switched = match database.order_move(Arc::clone(&candidate), by.clone()) {
                Ok(answer) => answer.await.unwrap_or(Err(Error::Stopping)),
                Err(error) => Err(error),
            };
            files = candidate.take();
            let refused = match switched {
                Ok(()) => {
                    if has_history {
                        let (creator, database) = (self.clone(), Arc::clone(database));
                        let keep = order.keep;
                        self.context.tasks.spawn(async move {
                            history::end(creator, &database, from, keep).await;
                        });
                    }
                    return Ok(Some(MoveDone {
                        from,
                        to,
                        took_ms: millis_since(began),
                        paused_ms: candidate.paused(),
                        attempts: attempts.made,
                    }));
                }
                Err(error) => error,
            };
            match &files {
                // half promoted: nothing may use it again
                None => break refused,
                Some(files) if !files.fit(database) => {
                    self.warm.discard(to).await;
                    return Ok(None);
                }
                Some(_) => {}
            }
            if let Err(error) = attempts.again(refused, moving).await {
                break error;
            }
        };
        if database.seat() != to {
            self.warm.discard(to).await;
        }
        Err(refused)
    }

    async fn note_failure(&self, database: &Database, error: &Error, by: Principal) {
        let entry = Entry {
            database: Some(database.name.clone()),
            actor: by,
            woken_by: None,
            event: EventKind::Refused,
            from: Some(database.state()),
            to: Some(State::Migrating),
            cause: Cause::Operator,
            reason: format!("it did not move: {error}"),
            duration_ms: None,
            figures: Figures::default(),
        };
        let changes = vec![Change::Ledger(Box::new(entry))];
        if let Err(error) = self.context.catalog.write(Durability::Soon, changes).await {
            warn!(%error, "not in the ledger: a move has failed");
        }
    }
}

/// Attempts to do something at a boundary of statements and transactions.
struct Attempts {
    until: Instant,
    /// How long the door may be shut at the next one.
    patience: Duration,
    made: u32,
}

impl Attempts {
    fn new() -> Self {
        Self {
            until: now() + PATIENCE,
            patience: FIRST_ATTEMPT,
            made: 1,
        }
    }

    /// Waits before the next attempt, if the last one was refused by what goes on; else returns its error.
    async fn again(&mut self, refused: Error, moving: &Moving) -> Result<(), Error> {
        let Error::Refused {
            database,
            state,
            reasons,
        } = refused
        else {
            return Err(refused);
        };
        if now() >= self.until {
            return Err(Error::Refused {
                database,
                state,
                reasons,
            });
        }
        moving.waits_for(reasons.join("; "));
        tokio::select! {
            () = tokio::time::sleep(BETWEEN) => {}
            () = moving.cancelled() => {
                let reasons = vec!["its move was cancelled".to_owned()];
                return Err(Error::Refused { database, state, reasons });
            }
        }
        self.patience = (self.patience * 2).min(LAST_ATTEMPT);
        self.made += 1;
        Ok(())
    }
}

impl Files {
    fn id(&self) -> InstanceId {
        match self {
            Self::Following(follower) => follower.id(),
            Self::Asleep(instance, _) => instance.id(),
        }
    }

    /// Whether they can still take the primary's place, after it was put off.
    fn fit(&self, database: &Database) -> bool {
        let view = database.view();
        match self {
            Self::Following(_) => !matches!(view.state, State::Parked | State::Failed),
            Self::Asleep(_, generation) => view.generation == *generation,
        }
    }
}

fn was_cancelled(database: &Database) -> Error {
    Error::Refused {
        database: database.name.clone(),
        state: database.state(),
        reasons: vec!["its move was cancelled".to_owned()],
    }
}
