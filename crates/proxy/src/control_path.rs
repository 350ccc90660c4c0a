//! What the data path asks of the control path.

use std::time::Duration;

use async_trait::async_trait;
use dormouse_types::{Account, DatabaseName, InstanceId, Target, Variables};

/// Why the control could not answer. The text is for the client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ControlError(pub String);

/// What the data path asks of the control path. Nothing here wakes a database but
/// [`demand`](ControlPath::demand), and [`accounts`](ControlPath::accounts) if its server alone can tell.
#[async_trait]
pub trait ControlPath: Send + Sync + 'static {
    /// The version string that a server here would greet with.
    fn greeting_version(&self) -> String;

    /// A statement of this database is held. Returns at once; the door tells the rest.
    fn demand(&self, database: &DatabaseName);

    /// The accounts that a login of `user` could match: from the server while it is awake, from
    /// what was noted before it slept otherwise. Waits for at most `patience`, if its server is being
    /// started again.
    async fn accounts(
        &self,
        database: &DatabaseName,
        user: &str,
        patience: Duration,
    ) -> Result<Vec<Account>, ControlError>;

    /// Whether the database has this schema; `None` if that is not known.
    fn has_schema(&self, database: &DatabaseName, schema: &[u8]) -> Option<bool>;

    /// The global variables of a database whose server sleeps; `None` if they are not known.
    fn variables(&self, database: &DatabaseName) -> Option<Variables>;

    /// The same now, asked of the server while it is awake.
    async fn present_variables(&self, database: &DatabaseName) -> Option<Variables>;

    /// Gives the account the credential with which the proxy logs in as its user. Answers `false`
    /// if there is no such account.
    async fn enroll(
        &self,
        database: &DatabaseName,
        user: &str,
        host: &str,
    ) -> Result<bool, ControlError>;

    /// Nobody waits any more for the statement that runs on a connection of this server: ends it, and
    /// the connection. Returns when the server has been told, or is no more.
    async fn end_statement(&self, database: &DatabaseName, target: &Target, thread: u32);

    /// That credential: SHA1 of the password, for `mysql_native_password`.
    fn credential(&self, instance: InstanceId, user: &str) -> [u8; 20];
}
