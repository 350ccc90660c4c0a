//! Making a database: claim an instance, make it the owner's, remember it, open it.

use std::sync::{Arc, Mutex};

use dormouse_driver::{Desired, Observed, Run};
use dormouse_types::{
    Account, Carried, DatabaseName, InstanceId, State, Target, Transport, Verifier,
};
use jiff::Timestamp;
use sha1::{Digest, Sha1};
use tracing::warn;

use crate::actor::Actor;
use crate::catalog::{Change, DatabaseRow, Durability, Entry, Noted, Phase};
use crate::database::Database;
use crate::meter::{Meter, Seen, SharedMeter};
use crate::servers::Server;
use crate::warm::{Importance, discard, prepare};
use crate::world::{World, now, within};
use crate::{Cause, Created, Error, EventKind, Figures, Spec};

/// The owner's user name in every database.
pub const OWNER: &str = "admin";
/// Letters and digits of a generated password: 142 bits.
const PASSWORD_LENGTH: usize = 24;

/// Makes a database. Runs to its end even if nobody waits for that any more: a half-made one would
/// be in the way of the next attempt.
pub(crate) async fn create(
    world: Arc<World>,
    name: DatabaseName,
    spec: Spec,
) -> Result<Created, Error> {
    world.room.check_range(spec.units)?;
    let most = world.config.databases_most;
    world.edit(|d| {
        if d.known.contains_key(&name) || d.reserved.contains(&name) {
            return Err(Error::Exists(name.clone()));
        }
        if d.known.len() + d.reserved.len() >= most {
            return Err(Error::Limit {
                what: "too many databases".to_owned(),
                most: most as u64,
            });
        }
        d.reserved.insert(name.clone());
        Ok(())
    })?;
    let work = {
        let (world, name) = (Arc::clone(&world), name.clone());
        async move {
            let made = make(&world, &name, spec).await;
            world.edit(|d| d.reserved.remove(&name));
            made
        }
    };
    match tokio::spawn(work).await {
        Ok(made) => made,
        Err(_) => Err(Error::Stopping),
    }
}

async fn make(world: &Arc<World>, name: &DatabaseName, spec: Spec) -> Result<Created, Error> {
    let began = now();
    if let Some(full) = world.storage.disk_full() {
        return Err(Error::Machine {
            doing: format!("making database '{name}'"),
            reason: full.to_string(),
        });
    }
    let instance = match world.warm.claim() {
        Some(instance) => instance,
        None => prepare(world, Importance::Awaited).await?,
    };
    let password = password()?;
    let stage2 = stage2(&password);
    let row = DatabaseRow {
        name: name.clone(),
        instance,
        spec,
        state: State::Creating,
        since: Timestamp::now(),
        generation: 1,
        units: spec.units.min,
        reason: "it was created".to_owned(),
        noted: Noted {
            accounts: vec![owner(stage2)],
            ..Noted::default()
        },
        storage: None,
        full: false,
    };
    let claim = Change::Claim(Box::new(row.clone()));
    if let Err(error) = world.catalog.write(Durability::Soon, vec![claim]).await {
        discard(world, instance).await;
        return Err(error);
    }
    let secured = match secure(world, &row, stage2).await {
        Ok(seen) => {
            let meter = meter(world, &row, &seen);
            record(world, &row, &seen, &meter, began)
                .await
                .map(|()| (seen, meter))
        }
        Err(error) => Err(error),
    };
    match secured {
        Ok((seen, meter)) => {
            ready(world, row, meter, &seen);
            Ok(Created {
                name: name.clone(),
                password,
            })
        }
        Err(error) => {
            undo(world, name, instance).await;
            Err(error)
        }
    }
}

/// Gives the server its size and its owner.
async fn secure(world: &World, row: &DatabaseRow, stage2: [u8; 20]) -> Result<Observed, Error> {
    let id = row.instance;
    let limits = world.config.deadlines;
    let desired = Desired {
        run: Run::Running,
        units: row.units,
    };
    let doing = || format!("starting instance {id}");
    let seen = within(limits.start, world.driver.apply(id, desired))
        .await
        .map_err(|reason| Error::Machine {
            doing: doing(),
            reason,
        })?;
    let server = Server::reached(id, seen.endpoint.as_ref());
    let secured = async { world.servers.secure_owner(&server?, stage2).await };
    within(limits.ask, secured)
        .await
        .map_err(|reason| Error::Server {
            database: row.name.clone(),
            reason,
        })?;
    Ok(seen)
}

/// It is metered from now on; CPU that its server has used while it was nobody's is in its counter,
/// and so its owner's.
fn meter(world: &World, row: &DatabaseRow, seen: &Observed) -> SharedMeter {
    let now = world.moment();
    let baseline = world.config.ladder.baseline;
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

/// From here on the database exists, whatever happens.
async fn record(
    world: &World,
    row: &DatabaseRow,
    seen: &Observed,
    meter: &SharedMeter,
    began: std::time::Instant,
) -> Result<(), Error> {
    let took = now().saturating_duration_since(began).as_millis();
    let entry = Entry {
        database: row.name.clone(),
        event: EventKind::Created,
        from: None,
        to: Some(State::Active),
        cause: Cause::Operator,
        reason: row.reason.clone(),
        duration_ms: Some(u64::try_from(took).unwrap_or(u64::MAX)),
        figures: Figures {
            memory: seen.memory,
            cpu_ms: seen
                .cpu
                .map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            ..Figures::default()
        },
    };
    let state = Change::State {
        name: row.name.clone(),
        state: State::Active,
        since: Timestamp::now(),
        generation: row.generation,
        units: row.units,
        reason: row.reason.clone(),
    };
    world
        .catalog
        .write(
            Durability::Now,
            vec![
                state,
                Change::Ledger(Box::new(entry)),
                Change::Meter(Arc::clone(meter)),
            ],
        )
        .await
}

fn ready(world: &Arc<World>, row: DatabaseRow, meter: SharedMeter, seen: &Observed) {
    let name = row.name.clone();
    let target = seen.endpoint.clone().map(|endpoint| Target {
        instance: row.instance,
        generation: row.generation,
        endpoint,
        pooling: row.spec.pooling,
    });
    let row = DatabaseRow {
        state: State::Active,
        since: Timestamp::now(),
        ..row
    };
    let database = Database::new(row, meter);
    world.edit(|d| d.known.insert(name.clone(), Arc::clone(&database)));
    world.doors.add(&name);
    world.restrict(&database);
    if let Some(target) = target {
        world.doors.open(&name, target);
    }
    world.storage.nudge.notify_one();
    let actor = Actor::made(Arc::clone(world), database, seen);
    world.spawn(actor.run(false));
}

/// Its caller gets an error, so there must be nothing.
async fn undo(world: &World, name: &DatabaseName, instance: InstanceId) {
    let gone = vec![
        Change::Gone {
            name: name.clone(),
            instance,
        },
        Change::Instance {
            id: instance,
            phase: Phase::Removing,
            version: String::new(),
        },
    ];
    if let Err(error) = world.catalog.write(Durability::Now, gone).await {
        warn!(database = %name, %error, hint = error.hint(), "a half-made database is left to the next start");
        return;
    }
    discard(world, instance).await;
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
        login_status: 2,
        version: 0,
        enrolled: true,
    }
}

/// SHA1(SHA1(password)), as the server keeps it.
fn stage2(password: &str) -> [u8; 20] {
    Sha1::digest(Sha1::digest(password.as_bytes())).into()
}

/// A password nobody can guess and everybody can paste.
fn password() -> Result<String, Error> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut password = String::with_capacity(PASSWORD_LENGTH);
    while password.len() < PASSWORD_LENGTH {
        let mut random = [0; 64];
        getrandom::fill(&mut random).map_err(|e| Error::Machine {
            doing: "drawing a random password".to_owned(),
            reason: e.to_string(),
        })?;
        // 248 is a multiple of 62: no letter is likelier than another
        let drawn = random
            .iter()
            .filter(|b| **b < 248)
            .map(|b| char::from(LETTERS[usize::from(*b) % 62]));
        password.extend(drawn.take(PASSWORD_LENGTH - password.len()));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_have_their_length_and_differ() {
        let (a, b) = (password().unwrap(), password().unwrap());
        assert_eq!((a.len(), b.len()), (PASSWORD_LENGTH, PASSWORD_LENGTH));
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric()));
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
