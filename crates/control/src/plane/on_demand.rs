//! Schemas and users that are made when a login names them.

use dormouse_types::reserved::SYSTEM_SCHEMAS;
use std::sync::Arc;
use std::time::Instant;

use dormouse_policy::{Cause, Spec};
use dormouse_types::{DatabaseName, OnDemand, State, Template, UserChange, UserOnDemand};

use super::Plane;
use crate::catalog::{Change, Durability, Entry};
use crate::database::Database;
use crate::error::Error;
use crate::principal::Principal;
use crate::servers::ServerError;
use crate::time::{Late, millis_since, now, within};

impl Plane {
    /// The schemas and users that logins of a database make.
    #[must_use]
    pub fn on_demand(&self, name: &DatabaseName) -> OnDemand {
        let found = self.context.registry.find(name);
        found.map_or_else(OnDemand::default, |database| database.spec().on_demand)
    }

    /// Makes a user that a login needs, on the server of this generation, or completes it. It runs to its end also if
    /// the caller stops waiting.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] if another server runs, or none; [`Error::Invalid`] if the user cannot be
    /// made; [`Error::Server`].
    pub async fn make_user(
        &self,
        name: &DatabaseName,
        generation: u64,
        order: UserOnDemand,
    ) -> Result<(), Error> {
        let database = self.find(name)?;
        let plane = self.clone();
        let made = tokio::spawn(async move { plane.make(&database, generation, order).await });
        made.await.unwrap_or_else(|broken| {
            Err(Error::Server {
                database: name.clone(),
                reason: broken.to_string(),
            })
        })
    }

    async fn make(
        &self,
        database: &Arc<Database>,
        generation: u64,
        order: UserOnDemand,
    ) -> Result<(), Error> {
        let began = now();
        let host = &self.context.host;
        let _may = database.may_change().await;
        let view = database.view();
        if view.state != State::Active || view.generation != generation {
            return Err(Error::Refused {
                database: database.name.clone(),
                state: view.state,
                reasons: vec!["its users can be made while it is active only".to_owned()],
            });
        }
        let change = UserChange::OnDemand(order.clone());
        let made = within(host.deadlines.ask, async {
            let server = database.server()?;
            host.servers.change_user(&server, &change).await
        });
        match made.await {
            Ok(false) => Ok(()),
            Ok(true) => {
                let UserOnDemand {
                    user,
                    host,
                    template,
                    ..
                } = &order;
                let what = match template {
                    Some(template) => format!(
                        "user '{user}'@'{host}' and schema {user} were made on demand, from template \
                         '{template}'@'{host}'"
                    ),
                    None => format!(
                        "user '{user}'@'{host}' on demand, whose making had been interrupted, was completed"
                    ),
                };
                self.record(database, user, what, Some(began)).await;
                Ok(())
            }
            Err(Late::Failed(ServerError::BadRequest(why))) => {
                let what = format!("refused: {why}");
                self.record(database, &order.user, what, None).await;
                Err(Error::Invalid(why))
            }
            Err(error) => Err(Error::Server {
                database: database.name.clone(),
                reason: error.to_string(),
            }),
        }
    }

    /// Whether a login may make another schema: the database, which is awake, has fewer than `most`.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Invalid`] if it has as many; [`Error::Server`].
    pub async fn may_make_schema(&self, name: &DatabaseName, most: u32) -> Result<(), Error> {
        let database = self.find(name)?;
        let host = &self.context.host;
        let asked = within(host.deadlines.ask, async {
            host.servers.snapshot(&database.server()?).await
        });
        let snapshot = asked.await.map_err(|error| Error::Server {
            database: name.clone(),
            reason: error.to_string(),
        })?;
        let own = |schema: &&String| !SYSTEM_SCHEMAS.contains(&schema.as_str());
        let count = snapshot.schemas.iter().filter(own).count();
        if u32::try_from(count).is_ok_and(|count| count < most) {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "the schema is not made on demand: the database has {count} schemas, and limit on_demand_in_all = {most} \
             is reached; drop some, or ask whoever runs Dormouse to raise it"
        )))
    }

    /// Notes in the ledger that a login of this user has made a schema.
    pub async fn made_schema(&self, name: &DatabaseName, user: &str, schema: &str) {
        if let Ok(database) = self.find(name) {
            let what = format!("schema {schema} was made on demand");
            self.record(&database, user, what, None).await;
        }
    }

    /// Makes logins of matching users use this account's credential.
    pub(super) async fn add_template(
        &self,
        name: &DatabaseName,
        template: Template,
    ) -> Result<(), Error> {
        let change = |mut spec: Spec| {
            let users = &mut spec.on_demand.users;
            users.retain(|one| (&one.user, &one.host) != (&template.user, &template.host));
            users.push(template);
            spec
        };
        self.change_spec(name, change).await.map(drop)
    }

    /// Ends that; does nothing for an account that is no template.
    pub(super) async fn remove_template(
        &self,
        name: &DatabaseName,
        user: &str,
        host: &str,
    ) -> Result<(), Error> {
        let change = |mut spec: Spec| {
            let users = &mut spec.on_demand.users;
            users.retain(|one| (one.user.as_str(), one.host.as_str()) != (user, host));
            spec
        };
        self.change_spec(name, change).await.map(drop)
    }

    async fn record(
        &self,
        database: &Arc<Database>,
        user: &str,
        what: String,
        began: Option<Instant>,
    ) {
        let entry = Entry {
            actor: Principal::Client {
                user: Some(user.into()),
                database: database.name.clone(),
            },
            duration_ms: began.map(millis_since),
            figures: database.view().figures(),
            ..Entry::noted(&database.name, Cause::Demand, what)
        };
        let change = vec![Change::Ledger(Box::new(entry))];
        if let Err(error) = self.context.catalog.write(Durability::Soon, change).await {
            tracing::warn!(%error, "a change of users is not in the ledger");
        }
    }
}
