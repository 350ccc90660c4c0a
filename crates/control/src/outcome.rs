//! After the end of a server: what of its last statements has happened, and what can be run again.
//!
//! What became of transactions whose commits were interrupted is asked of the binary log. A commit is preceded by a savepoint
//! with the name of its [`Marker`](dormouse_types::Marker), which stands in the transaction's group of the log if the
//! transaction has committed. A statement that is a transaction of its own is found by its connection's id, behind the place
//! where the log ended when it was sent ([`Trace`]). Without a group, or with one that ends with a rollback, it has not
//! committed, since a server that starts again commits exactly those prepared transactions that are in its log
//! (`sync_binlog = 1`).
//!
//! The log is that of the server that runs now. After a crash it is the same instance's; after a failover the new primary
//! has the groups that it received, and those that it did not receive are lost.

pub(crate) mod reading;

use std::path::Path;
use std::time::Duration;

use dormouse_binlog::{Keys, Name};
use dormouse_driver::Log;
use dormouse_types::{InstanceId, RunAgain, Trace};

use crate::backups::vault::blocking;
use crate::database::Database;
use crate::database::context::Context;
use crate::error::Error;
use crate::history::archive::began;
use crate::history::files::keys;
use crate::instance::rekeying::with_keys;
use crate::time::within;
use reading::Reading;

/// Whether the transaction with this trace has committed. `instance` and `generation`: the server that runs now, and has
/// started after the end of the one that the commit was sent to; `sent`: when that was, since 1970.
///
/// # Errors
/// That cannot be known.
pub(crate) async fn committed(
    context: &Context,
    database: &Database,
    (instance, generation): (InstanceId, u64),
    trace: Trace,
    sent: Duration,
) -> Result<bool, Error> {
    let slot = context.outcomes.slot(instance, generation);
    let mut slot = slot.lock_owned().await;
    if slot.is_none() {
        *slot = Some(begin(context, database, instance).await?);
    }
    blocking(move || match &mut *slot {
        Some(reading) => reading.finds(&trace, sent),
        None => Ok(false),
    })
    .await
}

/// What keeps statements, which the end of a server has interrupted, from being run again on the next one. `ran_on`: the
/// generation on which one ran; zero: none ran.
///
/// # Errors
/// That server does not tell.
pub(crate) async fn run_again(
    context: &Context,
    database: &Database,
    ran_on: u64,
) -> Result<RunAgain, Error> {
    let asked = within(context.host.deadlines.ask, async {
        let server = database.server()?;
        context.host.servers.run_again(&server).await
    });
    let found = asked.await.map_err(|error| Error::Server {
        database: database.name.clone(),
        reason: error.to_string(),
    })?;
    Ok(RunAgain {
        starved: ran_on != 0 && database.starved() == ran_on,
        ..found
    })
}

/// Copies the log of an instance, whose server may be writing to it.
async fn begin(
    context: &Context,
    database: &Database,
    instance: InstanceId,
) -> Result<Reading, Error> {
    let name = &database.name;
    let machine = |reason: String| Error::Machine {
        doing: format!("reading the binary log of database '{name}'"),
        reason,
    };
    // an instance that is no copy had nothing before its log
    let whole_since = match instance == database.instance {
        true => Some(Duration::ZERO),
        false => context.outcomes.begun(instance),
    };
    let mut reading = Reading::new(&context.data_dir, whole_since);
    let copied = context.host.driver.copy_log(instance, reading.dir()).await;
    let log = copied
        .map_err(|error| machine(error.to_string()))?
        .ok_or_else(|| machine("it keeps none".to_owned()))?;
    let ring = with_keys(&context.host.keys, move |keys| keys.reveal(instance)).await;
    let ring = ring.map_err(|error| machine(error.to_string()))?;
    let files = files(reading.dir(), &log).map_err(|error| machine(error.to_string()))?;
    let keys: Keys = keys(ring.as_ref());
    reading.will_read(files, keys);
    Ok(reading)
}

/// The files of a log, oldest first, and when they were begun. One that its server had not begun is left out.
fn files(dir: &Path, log: &Log) -> std::io::Result<Vec<(Name, u32)>> {
    let began = began(dir, log)?;
    let mut files: Vec<_> = began
        .into_iter()
        .filter_map(|(name, at)| Some((Name::new(&name)?, at)))
        .collect();
    files.sort();
    Ok(files)
}
