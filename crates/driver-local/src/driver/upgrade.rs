//! Upgrades: the files of an older server become those of a newer one.
//!
//! 1. The older server, if it is still installed, ends what a crash left, and stops.
//! 2. The newer one starts for maintenance ([`repair`]), so that nothing of the database runs, and its own tables, views and
//!    routines become those of a fresh server ([`fresh`]); then the rights.
//! 3. The note beside the instance says that its files are those of the newer server.
//!
//! Until then the instance is not started by anything else.

use std::sync::Arc;

use dormouse_driver::{Desired, Error, History, Run};
use dormouse_engine::admin::system_tables::SystemTables;
use dormouse_engine::{Admin, AdminError, fresh, repair};
use dormouse_types::{Endpoint, InstanceId, Series, Units};
use tracing::{info, warn};

use super::instance::{self, ChangeLock, Instance};
use super::servers::{self, Note};
use super::{Shared, blocking, files};

/// Units of a server meanwhile.
const UNITS: Units = Units(1);

pub(super) async fn upgrade(
    shared: Arc<Shared>,
    id: InstanceId,
    history: History,
) -> Result<Vec<String>, Error> {
    let found = shared.find(id)?;
    let lock = found.lock().await;
    let layout = shared.layout(id)?;
    let Note { series, from } = shared.servers.note(&layout);
    let Some(from) = from else {
        return Ok(Vec::new());
    };
    let newer = shared.servers.find(id, series)?;
    let tables = definitions(&shared, id, series, &lock).await?;
    let job = Job {
        shared: &shared,
        id,
        instance: &found,
        lock: &lock,
        history,
    };
    // left by an attempt that was interrupted
    instance::stop(&shared, id, &found).await?;
    let done = async {
        if shared.servers.find(id, from).is_ok() {
            job.start(from).await?;
            instance::stop(&shared, id, &found).await?;
        } else {
            warn!(instance = %id, %from, "the older server is not installed: the newer one recovers its files");
        }
        let endpoint = job.start(series).await?;
        let work = async {
            let mut admin = Admin::connect(&endpoint, &shared.config.secret, id).await?;
            let changed = tables.install(&mut admin).await?;
            Ok((changed, admin.harden().await?))
        };
        work.await.map_err(|error: AdminError| job.failed(&error))
    };
    let done = done.await;
    let stopped = instance::stop(&shared, id, &found).await;
    let (changed, taken) = done?;
    stopped?;
    let version = newer.installation.version.clone();
    let (noting, to) = (Arc::clone(&shared), layout.clone());
    blocking(&lock, move || {
        let noted = files::set_maintenance(&to, None, None)
            .and_then(|()| servers::replace_note(&to, &version, noting.owners.of(id)))
            .and_then(|()| Note::new(series, series).write(&to));
        noted.map_err(|source| Error::Machine {
            doing: format!("noting that instance {id} was upgraded"),
            source,
        })
    })
    .await?;
    info!(instance = %id, %from, to = %series, ?changed, "upgraded");
    let mut told: Vec<_> = { changed.into_iter() }
        .map(|table| format!("{table}: as in MariaDB {series}"))
        .collect();
    told.extend(taken);
    Ok(told)
}

/// An upgrade that is under way.
struct Job<'a> {
    shared: &'a Arc<Shared>,
    id: InstanceId,
    instance: &'a Arc<Instance>,
    lock: &'a ChangeLock,
    history: History,
}

impl Job<'_> {
    /// Starts the server of this series for maintenance.
    async fn start(&self, series: Series) -> Result<Endpoint, Error> {
        let Self { shared, id, .. } = *self;
        let layout = shared.layout(id)?;
        let sql = repair::sql(&shared.config.secret);
        let owner = shared.owners.of(id);
        let prepare = move || {
            files::set_maintenance(&layout, Some(&sql), owner).map_err(|source| Error::Machine {
                doing: format!("preparing the upgrade of instance {id}"),
                source,
            })
        };
        blocking(self.lock, prepare).await?;
        let desired = Desired {
            run: Run::Running,
            units: UNITS,
            history: self.history,
        };
        *self.instance.upgrading() = Some(series);
        let started = instance::run(shared, id, self.instance, self.lock, desired).await;
        *self.instance.upgrading() = None;
        Ok(started?.endpoint().clone())
    }

    fn failed(&self, error: &AdminError) -> Error {
        Error::Start {
            id: self.id,
            reason: format!("its upgrade failed: {error}"),
        }
    }
}

/// The tables, views and routines of a fresh server.
async fn definitions(
    shared: &Arc<Shared>,
    id: InstanceId,
    series: Series,
    lock: &ChangeLock,
) -> Result<Arc<SystemTables>, Error> {
    let mut known = shared.system_tables.lock().await;
    if let Some(tables) = known.get(&series) {
        return Ok(Arc::clone(tables));
    }
    let server = shared.servers.find(id, series)?;
    let (template, installation) = (server.template.clone(), server.installation.clone());
    let secret = shared.config.secret.clone();
    let runtime = tokio::runtime::Handle::current();
    let read = move || {
        let tables = fresh::system_tables(&template, &installation, &secret, &runtime);
        tables.map_err(|error| Error::Start {
            id,
            reason: format!("a fresh server of MariaDB {series} cannot be looked at: {error}"),
        })
    };
    let tables = Arc::new(blocking(lock, read).await?);
    known.insert(series, Arc::clone(&tables));
    Ok(tables)
}
