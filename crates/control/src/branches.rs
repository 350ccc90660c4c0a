//! Branching: a new database on a copy of another one's files.
//!
//! The copy is made by the driver, which freezes a server that runs. The new server recovers it as it would recover
//! from a crash, and gets credentials of its own before the door opens. The parent sleeps on if it slept.

use std::sync::Arc;
use std::time::Instant;

use dormouse_driver::{Check, Copied, CopyOptions, Error as DriverError, Observed};
use dormouse_engine::rights;
use dormouse_policy::Spec;
use dormouse_policy::lifecycle::Order;
use dormouse_types::{DatabaseName, InstanceId, State};
use jiff::Timestamp;

use crate::admission::Importance;
use crate::catalog::{Change, DatabaseRow, Durability, Noted};
use crate::create::{Creator, to_its_end};
use crate::database::Database;
use crate::error::Error;
use crate::instance::Instance;
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
struct Copy {
    id: InstanceId,
    copied: Copied,
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

    /// Brings a branch back to its parent: a new copy takes its place, with its settings. Its sessions end. Until the
    /// copy is complete, the branch stays as it is; a crash after that may leave it dropped.
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
            let copy = self.copy_of(&order.parent, &name).await?;
            let dropped = match branch.order(Order::Drop, by.clone()) {
                Ok(answer) => answer.await.unwrap_or(Err(Error::Stopping)),
                Err(error) => Err(error),
            };
            if let Err(error) = dropped.and_then(|()| self.context.registry.reserve(&name)) {
                self.warm.discard(copy.id).await;
                return Err(error);
            }
            let made = self
                .serve(&order, branch.shared_spec(), copy, began, by)
                .await;
            self.context.registry.release(&name);
            made
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
        let copy = self.copy_of(&order.parent, &order.name).await?;
        let spec = order.parent.shared_spec();
        self.serve(order, spec, copy, began, by).await
    }

    /// Makes a database of a copy.
    async fn serve(
        &self,
        order: &BranchOrder,
        spec: Arc<Spec>,
        Copy { id, copied }: Copy,
        began: Instant,
        by: Principal,
    ) -> Result<Branched, Error> {
        let BranchOrder { parent, name, .. } = order;
        let of = BranchOf {
            parent: parent.name.clone(),
            instance: parent.instance,
            at: Timestamp::now(),
            expires: order.expires,
        };
        let row = DatabaseRow {
            name: name.clone(),
            instance: id,
            units: spec.units.min,
            spec,
            state: State::Creating,
            since: Timestamp::now(),
            generation: 1,
            rights: rights::CURRENT,
            reason: format!("it was branched from '{}'", parent.name),
            noted: Noted::default(),
            storage: None,
            full: false,
            branch: Some(Box::new(of.clone())),
        };
        let claim = Change::Claim(Box::new(row.clone()));
        if let Err(error) = self
            .context
            .catalog
            .write(Durability::Soon, vec![claim])
            .await
        {
            self.warm.discard(id).await;
            return Err(error);
        }
        match self.bring_up(row, parent.instance, began, by).await {
            Ok(()) => Ok(Branched {
                name: name.clone(),
                of,
                frozen: copied.frozen,
                size: copied.size,
                shared: copied.shared,
            }),
            Err(error) => {
                self.undo(name, id).await;
                Err(error)
            }
        }
    }

    /// A new instance with a copy of the files of a database. After a crash, the next start removes it.
    async fn copy_of(&self, parent: &Database, name: &DatabaseName) -> Result<Copy, Error> {
        self.check_disk(name)?;
        if parent.rights() < rights::CURRENT {
            return Err(refused(
                parent,
                "its accounts have the rights of an older version; `dormouse wake` brings them up to date",
            ));
        }
        let context = &self.context;
        let host = &context.host;
        let id = context.catalog.new_instance(host.servers.version()).await?;
        // a server checks the pages that it reads
        let options = CopyOptions {
            frozen_at_most: context.frozen_at_most,
            check: Check::Nothing,
        };
        let copied = host.driver.copy(parent.instance, id, options);
        match copied.await {
            Ok(copied) => Ok(Copy { id, copied }),
            Err(error) => {
                self.warm.discard(id).await;
                Err(match error {
                    DriverError::Unknown(_) => Error::NotFound(parent.name.clone()),
                    DriverError::Busy { limit, .. } => refused(
                        parent,
                        &format!(
                            "its server writes so much that its files cannot be copied while it stands still for \
                             snapshot.frozen_at_most = {} ms; try again, or raise that",
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

    /// Starts the copy's server, gives it credentials of its own, and opens its door.
    async fn bring_up(
        &self,
        row: DatabaseRow,
        from: InstanceId,
        began: Instant,
        by: Principal,
    ) -> Result<(), Error> {
        let host = &self.context.host;
        let admitted = self.context.admission.start(Importance::Awaited).await?;
        let mut instance = Instance::new(Arc::clone(host), row.instance, row.units);
        let seen: Observed = instance.start().await.map_err(|error| Error::Machine {
            doing: format!("starting the copy, instance {}", row.instance),
            reason: error.to_string(),
        })?;
        drop(admitted);
        let taken_over = async {
            let server = instance.server()?;
            host.servers.take_over(&server, from).await
        };
        within(host.deadlines.start, taken_over)
            .await
            .map_err(|error| Error::Server {
                database: row.name.clone(),
                reason: error.to_string(),
            })?;
        let meter = self.meter(&row, &seen);
        self.record(&row, &seen, &meter, began, by).await?;
        self.open(row, meter, instance, &seen);
        Ok(())
    }
}

fn refused(database: &Database, reason: &str) -> Error {
    Error::Refused {
        database: database.name.clone(),
        state: database.state(),
        reasons: vec![reason.to_owned()],
    }
}
