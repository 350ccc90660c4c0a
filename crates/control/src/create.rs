//! Creating a database: claims an instance, sets the owner's password, writes the catalog, opens the door.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use dormouse_driver::{Observed, Place};
use dormouse_engine::rights;
use dormouse_policy::{Cause, Spec};
use dormouse_types::{
    Account, Carried, DatabaseName, InstanceId, State, Target, Transport, Verifier,
};
use jiff::Timestamp;
use sha1::{Digest, Sha1};
use tracing::warn;

use crate::catalog::{Change, DatabaseRow, Durability, Entry, Noted, Phase};
use crate::database::actor::Actor;
use crate::database::context::Context;
use crate::database::{Database, turn};
use crate::error::Error;
use crate::instance::serving::Serving;
use crate::instance::{Instance, Unmet};
use crate::meter::{Meter, Seen, SharedMeter};
use crate::principal::Principal;
use crate::random;
use crate::status::{Created, EventKind, Figures};
use crate::time::{millis, millis_since, now, within};
use crate::understudy::Understudies;
use crate::warm::WarmPool;

/// The owner's user name in every database.
pub const OWNER: &str = "admin";
/// Length of a generated password of letters and digits: 142 bits.
const PASSWORD_LENGTH: usize = 24;

/// Creates databases.
#[derive(Clone)]
pub(crate) struct Creator {
    pub(crate) context: Arc<Context>,
    pub(crate) warm: Arc<WarmPool>,
    pub(crate) understudies: Arc<Understudies>,
}

impl Creator {
    /// Creates a database at a place, or where there is the most room. Runs to its end even if its caller no longer waits: a half-made database would
    /// block the next attempt.
    pub(crate) async fn create(
        self,
        name: DatabaseName,
        spec: Spec,
        wish: Place,
        by: Principal,
    ) -> Result<Created, Error> {
        self.context.host.room.check_range(spec.units)?;
        self.context.registry.reserve(&name)?;
        let work = async move {
            let made = self.make(&name, spec, &wish, by).await;
            self.context.registry.release(&name);
            made
        };
        to_its_end(work).await
    }

    /// Refuses to fill the disk.
    pub(crate) fn check_disk(&self, name: &DatabaseName) -> Result<(), Error> {
        match self.context.storage.disk_full() {
            None => Ok(()),
            Some(full) => Err(Error::Machine {
                doing: format!("making database '{name}'"),
                reason: full.to_string(),
            }),
        }
    }

    async fn make(
        &self,
        name: &DatabaseName,
        spec: Spec,
        wish: &Place,
        by: Principal,
    ) -> Result<Created, Error> {
        let began = now();
        self.check_disk(name)?;
        let place = self.context.host.new_place(wish)?;
        let id = if place == Place::default() {
            self.warm.claim().await?
        } else {
            self.warm.make(&place).await?
        };
        let password = password()?;
        let stage2 = stage2(&password);
        let row = DatabaseRow {
            name: name.clone(),
            instance: id,
            origin: id,
            units: spec.units.min,
            spec: Arc::new(spec),
            state: State::Creating,
            since: Timestamp::now(),
            generation: 1,
            rights: rights::CURRENT,
            reason: "it was created".to_owned(),
            noted: Noted {
                accounts: vec![owner(stage2)],
                ..Noted::default()
            },
            storage: None,
            full: false,
            branch: None,
        };
        let claim = Change::Claim(Box::new(row.clone()));
        let catalog = &self.context.catalog;
        if let Err(error) = catalog.write(Durability::Soon, vec![claim]).await {
            self.warm.discard(id).await;
            return Err(error);
        }
        let mut instance = Instance::new(Arc::clone(&self.context.host), id, row.units);
        let recorded = match self.secure(&row, &mut instance, stage2).await {
            Ok(seen) => {
                let meter = self.meter(&row, &seen);
                let recorded = self.record(&row, &seen, &meter, began, by).await;
                recorded.map(|()| (seen, meter))
            }
            Err(error) => Err(error),
        };
        match recorded {
            Ok((seen, meter)) => {
                self.open(row, meter, instance, &seen);
                Ok(Created {
                    name: name.clone(),
                    password,
                })
            }
            Err(error) => {
                self.undo(name, id).await;
                Err(error)
            }
        }
    }

    /// Sets the server's limits and the owner's password.
    async fn secure(
        &self,
        row: &DatabaseRow,
        instance: &mut Instance,
        stage2: [u8; 20],
    ) -> Result<Observed, Error> {
        let host = &self.context.host;
        let started = async {
            let seen = instance.start().await?;
            match row.spec.keeps_log() {
                // the servers of the warm pool keep none
                true => instance.begin_history().await,
                false => Ok(seen),
            }
        };
        let seen = started.await.map_err(|error: Unmet| Error::Machine {
            doing: format!("starting instance {}", row.instance),
            reason: error.to_string(),
        })?;
        let secured = async {
            let server = instance.server()?;
            host.servers.secure_owner(&server, stage2).await
        };
        within(host.deadlines.ask, secured)
            .await
            .map_err(|error| Error::Server {
                database: row.name.clone(),
                reason: error.to_string(),
            })?;
        Ok(seen)
    }

    /// Starts to meter the database. CPU time that its server used in the warm pool is in the server's
    /// counter, so it is charged to the owner.
    pub(crate) fn meter(&self, row: &DatabaseRow, seen: &Observed) -> SharedMeter {
        let now = self.context.calendar.moment();
        let baseline = self.context.baseline;
        let mut meter = Meter::new(row.name.clone(), row.instance, baseline, now);
        let seen = Seen {
            incarnation: seen.incarnation,
            cpu: seen.cpu,
            state: State::Active,
            units: row.units,
            memory: seen.memory,
            storage: None,
            carried: Carried::default(),
        };
        meter.see(now, seen);
        Arc::new(Mutex::new(meter))
    }

    /// Writes the database to the catalog; from here on it exists.
    pub(crate) async fn record(
        &self,
        row: &DatabaseRow,
        seen: &Observed,
        meter: &SharedMeter,
        began: Instant,
        by: Principal,
    ) -> Result<(), Error> {
        let entry = Entry {
            database: Some(row.name.clone()),
            actor: by,
            woken_by: None,
            event: EventKind::Created,
            from: None,
            to: Some(State::Active),
            cause: Cause::Operator,
            reason: row.reason.clone(),
            duration_ms: Some(millis_since(began)),
            figures: Figures {
                memory: seen.memory,
                cpu_ms: seen.cpu.map(millis),
                ..Figures::default()
            },
        };
        let state = Change::State {
            name: row.name.clone(),
            instance: row.instance,
            state: State::Active,
            since: Timestamp::now(),
            generation: row.generation,
            units: row.units,
            serving: Serving::seen(seen),
            reason: row.reason.clone(),
        };
        let changes = vec![
            state,
            Change::Ledger(Box::new(entry)),
            Change::Meter(Arc::clone(meter)),
        ];
        self.context.catalog.write(Durability::Now, changes).await
    }

    /// Opens the door and starts the actor.
    pub(crate) fn open(
        &self,
        row: DatabaseRow,
        meter: SharedMeter,
        instance: Instance,
        seen: &Observed,
    ) {
        let context = &self.context;
        let name = row.name.clone();
        let target = instance.serving().map(|serving| Target {
            instance: row.instance,
            origin: row.origin,
            generation: row.generation,
            endpoint: serving.endpoint.clone(),
            pooling: row.spec.pooling,
            carry: row.spec.carry,
        });
        let row = DatabaseRow {
            state: State::Active,
            since: Timestamp::now(),
            ..row
        };
        let database = Database::new(row, meter);
        context.registry.insert(Arc::clone(&database));
        context.doors.add(&name);
        context.doors.set_access(&name, &database.spec().access);
        context
            .doors
            .reserve(&name, database.spec().reserved.as_deref());
        context.storage.restrict(&database);
        if let Some(target) = target {
            context.doors.open(&name, target);
        }
        context.storage.database_woke();
        if database.spec().replicas.has_some() {
            context.wants_replicas.add(&name);
        }
        let (understudies, tasks) = (Arc::clone(&self.understudies), Arc::clone(&context.tasks));
        let seat = database.seat();
        // it looks at the disk
        context
            .tasks
            .spawn(async move { understudies.want(&tasks, seat) });
        let actor = Actor::made(Arc::clone(context), database, instance, seen);
        context.tasks.spawn(turn::run(actor, false));
    }

    /// Removes a half-made database, since its caller gets an error.
    pub(crate) async fn undo(&self, name: &DatabaseName, instance: InstanceId) {
        let gone = vec![
            Change::Gone {
                name: name.clone(),
                instance,
                origin: instance,
            },
            Change::Instance {
                id: instance,
                phase: Phase::Removing,
                version: String::new(),
            },
        ];
        if let Err(error) = self.context.catalog.write(Durability::Now, gone).await {
            warn!(database = %name, %error, hint = error.hint(), "a half-made database is left to the next start");
            return;
        }
        self.warm.discard(instance).await;
    }
}

/// Runs to its end even if its caller no longer waits.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    match tokio::spawn(work).await {
        Ok(made) => made,
        Err(_) => Err(Error::Stopping),
    }
}

fn owner(stage2: [u8; 20]) -> Account {
    Account {
        user: OWNER.to_owned(),
        host: "%".to_owned(),
        verifiers: vec![Verifier::Native(stage2)],
        locked: false,
        transport: Transport::Any,
        expiry: None,
        max_sessions: 0,
        max_sessions_global: 0,
        password_errors_most: u32::MAX,
        manager: dormouse_types::Manager::default(),
        on_demand: dormouse_types::Mark::None,
        login_status: 2,
        version: 0,
        enrolled: true,
    }
}

/// SHA1(SHA1(password)), as stored by the server.
pub(crate) fn stage2(password: &str) -> [u8; 20] {
    Sha1::digest(Sha1::digest(password.as_bytes())).into()
}

/// A random password of letters and digits.
pub(crate) fn password() -> Result<String, Error> {
    random::letters(PASSWORD_LENGTH, "a random password")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_have_their_length_and_differ() {
        let (a, b) = (password().unwrap(), password().unwrap());
        assert_eq!((a.len(), b.len()), (PASSWORD_LENGTH, PASSWORD_LENGTH));
        assert_ne!(a, b);
    }

    #[test]
    fn stage2_is_what_the_server_prints() {
        // SELECT PASSWORD('mariadb')
        let expected = "54958e764ce10e50764c2eecbb71d01f08549980";
        let hex: String = stage2("mariadb")
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, expected);
    }
}
