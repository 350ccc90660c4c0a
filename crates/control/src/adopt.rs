//! Makes a database of files that come from elsewhere: a copy of another database's, or those of a backup.
//!
//! The server recovers them as it would recover from a crash, and its accounts get credentials of its own before the
//! door opens. If they have the rights of an older version, or those of another installation, a start for maintenance
//! comes first.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use dormouse_driver::Observed;
use dormouse_engine::{Origin, rights};
use dormouse_policy::Spec;
use dormouse_types::{DatabaseName, InstanceId, State};
use jiff::Timestamp;

use crate::actors::start_actor;
use crate::admission::Importance;
use crate::catalog::{Change, DatabaseRow, Durability, Noted};
use crate::create::Creator;
use crate::database::{Database, Heir};
use crate::error::Error;
use crate::instance::host::Host;
use crate::instance::{Instance, Unmet};
use crate::meter::Meter;
use crate::principal::Principal;
use crate::servers::Replay;
use crate::status::BranchOf;
use crate::time::within;

/// A new instance whose files come from elsewhere.
pub(crate) struct Arrival {
    pub(crate) id: InstanceId,
    /// Whose credentials its accounts have.
    pub(crate) origin: Origin,
    /// Version of the rights of its accounts.
    pub(crate) rights: u8,
    /// The log that its server applies first.
    pub(crate) replay: Option<Replay>,
}

/// A database to be made of an arrival.
pub(crate) struct Adoption {
    pub(crate) name: DatabaseName,
    pub(crate) spec: Arc<Spec>,
    pub(crate) branch: Option<BranchOf>,
    /// Why it exists, for the ledger.
    pub(crate) reason: String,
    pub(crate) arrival: Arrival,
}

impl Adoption {
    fn row(&self, state: State) -> DatabaseRow {
        DatabaseRow {
            name: self.name.clone(),
            instance: self.arrival.id,
            origin: self.arrival.id,
            units: self.spec.units.min,
            spec: match self.spec.reserved {
                // a reservation is of the database that was copied
                Some(_) => Arc::new(Spec {
                    reserved: None,
                    ..Spec::clone(&self.spec)
                }),
                None => Arc::clone(&self.spec),
            },
            state,
            since: Timestamp::now(),
            generation: 1,
            rights: rights::CURRENT,
            reason: self.reason.clone(),
            noted: Noted::default(),
            storage: None,
            full: false,
            branch: self.branch.clone().map(Box::new),
        }
    }
}

/// Makes a database, awake, under a reserved name. If that fails, nothing is left.
pub(crate) async fn adopt(
    creator: &Creator,
    new: Adoption,
    began: Instant,
    by: Principal,
) -> Result<(), Error> {
    let row = new.row(State::Creating);
    let claim = Change::Claim(Box::new(row.clone()));
    let catalog = &creator.context.catalog;
    if let Err(error) = catalog.write(Durability::Soon, vec![claim]).await {
        creator.warm.discard(new.arrival.id).await;
        return Err(error);
    }
    let made = async {
        let (instance, seen) = bring_up(creator, &new, Importance::Awaited).await?;
        let meter = creator.meter(&row, &seen);
        creator.record(&row, &seen, &meter, began, by).await?;
        creator.open(row, meter, instance, &seen);
        Ok(())
    };
    let made = made.await;
    if made.is_err() {
        creator.undo(&new.name, new.arrival.id).await;
    }
    made
}

/// Makes a database, awake, in the place of another one, whose sessions end. The other one is kept under a reserved
/// name, or dropped. If that fails, all is as before; the name has a database at every moment.
pub(crate) async fn succeed(
    creator: &Creator,
    old: Arc<Database>,
    keep_as: Option<DatabaseName>,
    new: Adoption,
    began: Instant,
    by: Principal,
) -> Result<(), Error> {
    let (instance, seen) = match bring_up(creator, &new, Importance::Awaited).await {
        Ok(up) => up,
        Err(error) => {
            creator.warm.discard(new.arrival.id).await;
            return Err(error);
        }
    };
    let row = new.row(State::Active);
    let heir = Heir {
        row: Box::new(row.clone()),
        keep_as: keep_as.clone(),
    };
    let handed = match old.order_succession(heir, by.clone()) {
        Ok(answer) => answer.await.unwrap_or(Err(Error::Stopping)),
        Err(error) => Err(error),
    };
    if let Err(error) = handed {
        creator.warm.discard(new.arrival.id).await;
        return Err(error);
    }
    let context = &creator.context;
    let now = context.calendar.timestamp();
    let inherits = vec![context.backups.inherit(old.instance, row.instance, now)];
    let inherited = context.catalog.write(Durability::Soon, inherits).await;
    let meter = creator.meter(&row, &seen);
    let recorded = creator.record(&row, &seen, &meter, began, by).await;
    let recorded = inherited.and(recorded);
    // first, so that no list of the databases lacks it
    if let Some(name) = keep_as {
        take_up(creator, &old, name);
    }
    creator.open(row, meter, instance, &seen);
    // it is in the catalog already: only its entry in the ledger may be missing
    recorded
}

/// Starts the actor of a database that was renamed and stopped.
fn take_up(creator: &Creator, old: &Database, name: DatabaseName) {
    let view = old.view();
    let row = DatabaseRow {
        name: name.clone(),
        instance: old.seat(),
        origin: old.instance,
        spec: old.shared_spec(),
        state: State::Parked,
        since: Timestamp::now(),
        generation: view.generation,
        rights: old.rights(),
        units: view.units,
        reason: view.reason.as_ref().to_owned(),
        noted: Noted::clone(&view.noted),
        storage: view.storage,
        full: false,
        branch: old.branch.clone(),
    };
    let now = creator.context.calendar.moment();
    let meter = Meter::new(name, old.instance, creator.context.baseline, now);
    let database = start_actor(&creator.context, row, Arc::new(Mutex::new(meter)));
    if database.spec().replicas.has_some() {
        creator.context.wants_replicas.add(&database.name);
    }
}

/// Starts the server of an arrival, and gives it credentials of its own.
async fn bring_up(
    creator: &Creator,
    new: &Adoption,
    importance: Importance,
) -> Result<(Instance, Observed), Error> {
    let host = &creator.context.host;
    let Adoption { name, arrival, .. } = new;
    let admitted = creator.context.admission.start(importance).await?;
    let mut instance = Instance::new(Arc::clone(host), arrival.id, new.spec.units.min);
    if let Some(replay) = &arrival.replay {
        apply(host, &mut instance, arrival, replay, name).await?;
    }
    renew_rights(host, &mut instance, arrival, name).await?;
    let mut seen = start(&mut instance).await?;
    let taken_over = async {
        let server = instance.server()?;
        host.servers.take_over(&server, &arrival.origin).await
    };
    within(host.deadlines.start, taken_over)
        .await
        .map_err(|error| Error::Server {
            database: name.clone(),
            reason: error.to_string(),
        })?;
    if new.spec.keeps_log() {
        instance.disconnect().await;
        let begun = instance.begin_history().await;
        seen = begun.map_err(|error| Error::Machine {
            doing: format!("beginning the history of instance {}", arrival.id),
            reason: error.to_string(),
        })?;
    }
    drop(admitted);
    Ok((instance, seen))
}

/// Lets the server of an arrival apply a log. Nobody else uses it meanwhile, and its accounts are those of the log.
async fn apply(
    host: &Host,
    instance: &mut Instance,
    arrival: &Arrival,
    replay: &Replay,
    name: &DatabaseName,
) -> Result<(), Error> {
    let id = arrival.id;
    let machine = |doing: &str, error: Unmet| Error::Machine {
        doing: format!("{doing} instance {id} to apply the history of '{name}'"),
        reason: error.to_string(),
    };
    let started = instance.start_to_replay().await;
    started.map_err(|error| machine("starting", error))?;
    let server = instance.server().map_err(|error| Error::Server {
        database: name.clone(),
        reason: error.to_string(),
    })?;
    // as long as it took to write it; the engine gives it up if it gets no further
    let applied = host.servers.replay(&server, &arrival.origin, replay).await;
    instance.disconnect().await;
    let stopped = instance.stop().await;
    applied.map_err(|error| Error::Server {
        database: name.clone(),
        reason: format!("its history cannot be applied: {error}"),
    })?;
    stopped.map_err(|error| machine("stopping", error))?;
    instance.set_history(false);
    Ok(())
}

/// Brings the rights of the accounts in an arrival's files to this version's, if they are older or of another
/// installation.
pub(crate) async fn renew_rights(
    host: &Host,
    instance: &mut Instance,
    arrival: &Arrival,
    name: &DatabaseName,
) -> Result<(), Error> {
    if arrival.rights >= rights::CURRENT && arrival.origin.secret.is_none() {
        return Ok(());
    }
    let maintain = |sql: Option<String>| async move {
        let told = host.driver.maintain(arrival.id, sql.as_deref());
        within(host.deadlines.freeze, told)
            .await
            .map_err(|error| Error::Machine {
                doing: format!("preparing the start of instance {}", arrival.id),
                reason: error.to_string(),
            })
    };
    maintain(Some(host.servers.repair_sql())).await?;
    start(instance).await?;
    let hardened = async {
        let server = instance.server()?;
        host.servers.harden(&server).await
    };
    let hardened = within(host.deadlines.start, hardened)
        .await
        .map_err(|error| Error::Server {
            database: name.clone(),
            reason: error.to_string(),
        });
    instance.disconnect().await;
    instance.stop().await.map_err(|error| Error::Machine {
        doing: format!("stopping instance {}", arrival.id),
        reason: error.to_string(),
    })?;
    maintain(None).await?;
    hardened.map(drop)
}

/// Starts the server of an arrival.
pub(crate) async fn start(instance: &mut Instance) -> Result<Observed, Error> {
    let id = instance.id();
    instance.start().await.map_err(|error| Error::Machine {
        doing: format!("starting the copy, instance {id}"),
        reason: error.to_string(),
    })
}
