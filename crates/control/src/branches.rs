//! Branching: a new database on a copy of another one's files.
//!
//! The copy is made by the driver, which freezes a server that runs; [`adopt`] makes a database of it. The
//! parent sleeps on if it slept.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_driver::{Check, Copied, CopyOptions, Error as DriverError, Place, Quiesce};
use dormouse_engine::Origin;
use dormouse_policy::Spec;
use dormouse_types::{DatabaseName, InstanceId};
use jiff::Timestamp;
use tracing::warn;

use crate::adopt::{self, Adoption, Arrival};
use crate::create::{Creator, to_its_end};
use crate::database::Database;
use crate::error::Error;
use crate::instance::host::Host;
use crate::principal::Principal;
use crate::status::{BranchOf, Branched};
use crate::time::{now, within};

pub(crate) mod expiry;

/// A branch to be made.
pub(crate) struct BranchOrder {
    pub(crate) parent: Arc<Database>,
    pub(crate) name: DatabaseName,
    /// When it is dropped.
    pub(crate) expires: Option<Timestamp>,
}

/// A new instance with a copy of another one's files.
pub(crate) struct Copy {
    pub(crate) id: InstanceId,
    pub(crate) copied: Copied,
}

impl Creator {
    /// Makes a branch, awake, with the parent's settings and accounts. Runs to its end even if its caller no longer
    /// waits.
    pub(crate) async fn branch(self, order: BranchOrder, by: Principal) -> Result<Branched, Error> {
        self.context.registry.reserve(&order.name)?;
        let work = async move {
            let made = self.make_branch(&order, by).await;
            self.context.registry.release(&order.name);
            made
        };
        to_its_end(work).await
    }

    /// Brings a branch back to its parent: a new copy takes its place, with its settings. Its sessions end.
    pub(crate) async fn reset(
        self,
        branch: Arc<Database>,
        by: Principal,
    ) -> Result<Branched, Error> {
        let work = async move {
            let began = now();
            let name = branch.name.clone();
            let order = BranchOrder {
                parent: self.parent_of(&branch)?,
                name: name.clone(),
                expires: branch.branch.as_ref().and_then(|of| of.expires),
            };
            self.check_disk(&name)?;
            // a server checks the pages that it reads
            let copy = self.copy_of(&order.parent, Check::Nothing).await?;
            let (new, made) = adoption(&order, branch.shared_spec(), copy);
            adopt::succeed(&self, branch, None, new, began, by).await?;
            Ok(made)
        };
        to_its_end(work).await
    }

    /// The database of which a branch is a copy.
    fn parent_of(&self, branch: &Database) -> Result<Arc<Database>, Error> {
        let Some(of) = &branch.branch else {
            let what = format!("database '{}' is no branch", branch.name);
            return Err(Error::Invalid(what));
        };
        let found = self.context.registry.find(&of.parent);
        // a later database of its name is another one
        found
            .filter(|found| found.instance == of.instance)
            .ok_or_else(|| {
                let what = format!(
                    "'{}' was branched from '{}', which was dropped or brought back itself since",
                    branch.name, of.parent
                );
                Error::Invalid(what)
            })
    }

    async fn make_branch(&self, order: &BranchOrder, by: Principal) -> Result<Branched, Error> {
        let began = now();
        self.check_disk(&order.name)?;
        let copy = self.copy_of(&order.parent, Check::Nothing).await?;
        let (new, made) = adoption(order, order.parent.shared_spec(), copy);
        adopt::adopt(self, new, began, by).await?;
        Ok(made)
    }

    /// A new instance with a copy of the files of a database. After a crash, the next start removes it.
    pub(crate) async fn copy_of(
        &self,
        parent: &Arc<Database>,
        check: Check,
    ) -> Result<Copy, Error> {
        let version = self.context.host.version_of(parent.seat());
        let place = Place::default();
        let options = CopyOptions {
            frozen_at_most: self.context.frozen_at_most,
            frozen_by_choice: self.context.frozen_at_most,
            check,
        };
        self.copy_to(parent, options, &place, version).await
    }

    /// The same in this place. `version` is that of the server that will run it.
    pub(crate) async fn copy_to(
        &self,
        parent: &Arc<Database>,
        options: CopyOptions,
        place: &Place,
        version: String,
    ) -> Result<Copy, Error> {
        let context = &self.context;
        let host = &context.host;
        let id = context.catalog.new_instance(version).await?;
        let from = parent.seat();
        let quiet = Arc::new(Quiet {
            database: Arc::clone(parent),
            host: Arc::clone(host),
        });
        match host.driver.copy(from, id, place, options, quiet).await {
            Ok(copied) => Ok(Copy { id, copied }),
            Err(error) => {
                self.warm.discard(id).await;
                Err(match error {
                    DriverError::Unknown(_) => Error::NotFound(parent.name.clone()),
                    DriverError::Busy { limit, reason, .. } => refused(
                        parent,
                        &format!(
                            "its server writes so much that its files cannot be copied while it stands still for \
                             snapshot.frozen_at_most = {} ms; and while it runs on: {reason}. Raising \
                             snapshot.frozen_at_most is the other way",
                            limit.as_millis()
                        ),
                    ),
                    error => Error::Machine {
                        doing: format!("copying the files of database '{}'", parent.name),
                        reason: error.to_string(),
                    },
                })
            }
        }
    }
}

/// A database to be made of a copy.
fn adoption(order: &BranchOrder, spec: Arc<Spec>, copy: Copy) -> (Adoption, Branched) {
    let BranchOrder { parent, name, .. } = order;
    let of = BranchOf {
        parent: parent.name.clone(),
        instance: parent.instance,
        at: Timestamp::now(),
        expires: order.expires,
    };
    let new = Adoption {
        name: name.clone(),
        spec,
        branch: Some(of.clone()),
        reason: format!("it was branched from '{}'", parent.name),
        arrival: Arrival {
            id: copy.id,
            origin: Origin {
                instance: parent.instance,
                secret: None,
            },
            rights: parent.rights(),
            replay: None,
        },
    };
    let made = Branched {
        name: name.clone(),
        of,
        frozen: copy.copied.frozen,
        size: copy.copied.size,
        shared: copy.copied.shared,
    };
    (new, made)
}

/// How long a copy waits for changes of accounts that have begun.
const CHANGING: Duration = Duration::from_secs(1);

/// Lets the server of a database end what it writes before its files are copied.
struct Quiet {
    database: Arc<Database>,
    host: Arc<Host>,
}

#[async_trait]
impl Quiesce for Quiet {
    async fn quiesce(&self) -> Box<dyn Send> {
        // a `CREATE USER` would be in the copy's log, and not in its table, which has no part in the lock
        let unchanged = self.database.without_changes(CHANGING).await;
        let host = &self.host;
        let quiet = within(host.deadlines.ask, async {
            host.servers.quiesce(&self.database.server()?).await
        });
        match quiet.await {
            Ok(quiet) => Box::new((quiet, unchanged)),
            Err(error) => {
                let database = &self.database.name;
                warn!(%database, %error, "its server is copied as a crash would leave it");
                Box::new(unchanged)
            }
        }
    }
}

fn refused(database: &Database, reason: &str) -> Error {
    Error::Refused {
        database: database.name.clone(),
        state: database.state(),
        reasons: vec![reason.to_owned()],
    }
}
