//! Statements that the end of a server has interrupted, and those that are to end.

use std::sync::Arc;
use std::time::Duration;

use dormouse_types::{DatabaseName, Ended, InstanceId, RunAgain, Trace};

use crate::database::Database;
use crate::database::context::Context;
use crate::error::Error;
use crate::outcome;
use crate::time::within;

/// Statements that the end of a server has interrupted, and those that are to end.
pub struct Statements<'a>(pub(super) &'a Context);

impl Statements<'_> {
    fn find(&self, name: &DatabaseName) -> Result<Arc<Database>, Error> {
        let found = self.0.registry.find(name);
        found.ok_or_else(|| Error::NotFound(name.clone()))
    }

    /// Whether a transaction with this trace has committed on the database's former server, as the log of the present one
    /// tells, which is that of this instance and generation. `sent`: when it was sent, since 1970.
    ///
    /// # Errors
    /// That cannot be known: there is no log, it cannot be read, or it does not reach back so far.
    pub async fn committed(
        &self,
        name: &DatabaseName,
        server: (InstanceId, u64),
        trace: Trace,
        sent: Duration,
    ) -> Result<bool, Error> {
        outcome::committed(self.0, &*self.find(name)?, server, trace, sent).await
    }

    /// What keeps statements, which the end of its former server has interrupted, from being run again on the present one.
    /// `ran_on`: the generation on which one ran; zero: none ran.
    ///
    /// # Errors
    /// That cannot be known.
    pub async fn run_again(&self, name: &DatabaseName, ran_on: u64) -> Result<RunAgain, Error> {
        outcome::run_again(self.0, &*self.find(name)?, ran_on).await
    }

    /// Kills the connection `thread`, or its statement, on the server of this generation; does nothing if
    /// another server runs. Returns when the server has confirmed.
    pub async fn end_statement(
        &self,
        name: &DatabaseName,
        generation: u64,
        thread: u32,
        what: Ended,
    ) {
        let Ok(database) = self.find(name) else {
            return;
        };
        if database.view().generation != generation {
            return;
        }
        let limit = self.0.host.deadlines.ask;
        let end = async {
            self.0
                .host
                .servers
                .end(&database.server()?, thread, what)
                .await
        };
        if let Err(error) = within(limit, end).await {
            tracing::warn!(database = %name, thread, %error, "a statement could not be ended");
        }
    }
}
