//! What the data path asks of the control path.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_link::ClientCertificate;
use dormouse_tenant::{Caller, Outcome, Statement};
use dormouse_types::{
    Account, CertificateNames, DatabaseName, Ended, InstanceId, OnDemand, RunAgain, Target, Trace,
    UserOnDemand, Variables, WokenBy,
};

/// Why the control path could not answer. The text is for the client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct ControlError(pub String);

/// What the data path asks of the control path. Only [`demand`](ControlPath::demand) wakes a database,
/// and [`accounts`](ControlPath::accounts) if only the server knows the accounts.
#[async_trait]
pub trait ControlPath: Send + Sync + 'static {
    /// The version string of the installed server, for greetings.
    fn greeting_version(&self) -> String;

    /// Requests a wake of this database, because a statement of this user is held. Returns at once; later
    /// the door opens or refuses the statement. `by` is called if the statement is the first that is held: the ledger
    /// names it.
    fn demand(&self, database: &DatabaseName, user: &str, by: &dyn Fn() -> WokenBy);

    /// Why the database's server failed last, as its own log says, if that was lately.
    fn last_failure(&self, database: &DatabaseName) -> Option<String>;

    /// The accounts that a login of `user` could match: read from the server while it is awake, else
    /// as stored before it slept. If the server is being restarted, waits for at most `patience`. `address` is the
    /// client's, for the ledger.
    async fn accounts(
        &self,
        database: &DatabaseName,
        user: &str,
        address: &str,
        patience: Duration,
    ) -> Result<Vec<Account>, ControlError>;

    /// Whether the database has this schema; `None` if that is not known.
    fn has_schema(&self, database: &DatabaseName, schema: &[u8]) -> Option<bool>;

    /// The global variables of a database whose server sleeps; `None` if they are not known.
    fn variables(&self, database: &DatabaseName) -> Option<Variables>;

    /// The global variables that its users had set when its server went to sleep, with their values as SQL literals;
    /// `None` if they are not known.
    fn set_globals(&self, database: &DatabaseName) -> Option<Vec<(String, String)>>;

    /// A server without data that answers in place of this database's while it sleeps: of the same version, and with the
    /// same settings but for [`set_globals`](ControlPath::set_globals). `None` if none runs, or none is like it. One run of
    /// a server is one `Arc`, and has a generation of its own.
    fn understudy(&self, database: &DatabaseName) -> Option<Arc<Target>>;

    /// Makes an account without rights on an understudy, unless it has it, with the credential that
    /// [`credential`](ControlPath::credential) gives. Accounts may go again while no connection uses them. Not for
    /// Dormouse's own accounts.
    async fn enroll_on_understudy(
        &self,
        target: &Target,
        user: &str,
        host: &str,
    ) -> Result<(), ControlError>;

    /// The present global variables, asked of the server while it is awake.
    async fn present_variables(&self, database: &DatabaseName) -> Option<Variables>;

    /// Whether the server, which is awake, has stored code that changes sessions in ways that no reply reports; `None`
    /// if it does not answer.
    async fn hides_changes(&self, database: &DatabaseName) -> Option<bool>;

    /// Gives the account the credential with which the proxy logs in as its user. Answers `false`
    /// if there is no such account.
    async fn enroll(
        &self,
        database: &DatabaseName,
        user: &str,
        host: &str,
    ) -> Result<bool, ControlError>;

    /// Runs a statement about accounts or global variables in place of its client, on this server. It runs to
    /// its end also if the caller stops waiting. An error: it is not known whether it has run.
    async fn manage(
        &self,
        database: &DatabaseName,
        target: &Target,
        caller: Caller,
        statement: Statement,
    ) -> Result<Outcome, ControlError>;

    /// The schemas and users that logins of the database make.
    fn on_demand(&self, database: &DatabaseName) -> OnDemand;

    /// Makes a user that a login needs on this server, or completes it. It runs to its end also if the caller stops
    /// waiting. An error: it is not made; the text is for the client.
    async fn make_user(
        &self,
        database: &DatabaseName,
        target: &Target,
        order: UserOnDemand,
    ) -> Result<(), ControlError>;

    /// Whether a login may make another schema: the database, which is awake, has fewer than `most`.
    async fn may_make_schema(&self, database: &DatabaseName, most: u32)
    -> Result<(), ControlError>;

    /// Notes in the ledger that a login of this user has made a schema.
    async fn made_schema(&self, database: &DatabaseName, user: &str, schema: &str);

    /// Ends a connection of this server with the statement that runs on it, or that statement alone: its client has left,
    /// or another session kills it. Returns when the server has accepted the request or is gone.
    async fn end_statement(
        &self,
        database: &DatabaseName,
        target: &Target,
        thread: u32,
        what: Ended,
    );

    /// Whether a transaction with this trace has committed on the database's former server: asked of the log of the
    /// present one, `target`. `sent`: when it was sent, since 1970. An error: that cannot be known; the text is for
    /// the client.
    async fn committed(
        &self,
        database: &DatabaseName,
        target: &Target,
        trace: Trace,
        sent: Duration,
    ) -> Result<bool, ControlError>;

    /// What keeps statements, which the end of the database's former server has interrupted, from being run again on the
    /// present one. `ran_on`: the generation on which one ran; zero: none ran. An error: that cannot be known.
    async fn run_again(
        &self,
        database: &DatabaseName,
        ran_on: u64,
    ) -> Result<RunAgain, ControlError>;

    /// The credential that [`enroll`](ControlPath::enroll) gives: SHA1 of the password, for
    /// `mysql_native_password`.
    fn credential(&self, instance: InstanceId, user: &str, host: &str) -> [u8; 20];

    /// The statement that gives a connection of the instance's server the connection id `to`, while it has `from`.
    fn attach(&self, instance: InstanceId, from: u32, to: u32) -> String;

    /// A certificate with these names that the instance's server trusts, for one connection.
    fn client_certificate(
        &self,
        instance: InstanceId,
        names: &CertificateNames,
    ) -> Result<ClientCertificate, ControlError>;
}
