//! Who may do what: one table of roles and verbs, and the verb of each route.
//!
//! [`decide`] is the only place that answers; it is a pure function. A request whose route has no verb in [`RULES`]
//! is refused for everybody, so a route cannot be added without a rule.

use dormouse_control::Role;
use dormouse_types::DatabaseName;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read the status of the program: paths, version, number of databases.
    Status,
    /// Read the metrics of all databases.
    Metrics,
    /// List the databases.
    List,
    /// Read a database.
    Show,
    /// Read a database's pool.
    Pool,
    /// Read a database's sessions.
    Sessions,
    /// Read the use of a database.
    Usage,
    /// Read the use of all databases.
    UsageOfAll,
    /// Read what woke a database.
    Wakes,
    /// Read the ledger.
    Events,
    /// Create a database; the answer has its first password.
    Create,
    /// Branch a database.
    Branch,
    /// Bring a branch back to its parent.
    Reset,
    /// Move a database to another place.
    Move,
    /// Cancel the move of a database.
    CancelMove,
    /// Change the settings of a database.
    Set,
    /// Wake a database.
    Wake,
    /// Suspend a database.
    Suspend,
    /// Park a database.
    Park,
    /// Park a database although rows of its MEMORY tables are lost.
    ParkAndLose,
    /// Tell the ledger of an import or export.
    NoteTransfer,
    /// Reserve a database for an import, or end that.
    Reserve,
    /// Drop a database with its data.
    Drop,
    /// List the tokens.
    ListTokens,
    /// Add a token.
    AddToken,
    /// Give a token a new secret.
    RotateToken,
    /// Remove a token.
    RemoveToken,
    /// List a database's users.
    ListUsers,
    /// Add a user; the answer has its password.
    AddUser,
    /// Give a user a new password.
    RotateUser,
    /// Drop a user.
    DropUser,
    /// List the keys of all databases, by fingerprint.
    ListKeys,
    /// Encrypt a database.
    Encrypt,
    /// Give a database a new key.
    RotateKey,
    /// Wrap all keys by a new master key.
    RotateMasterKey,
    /// Back a database up.
    BackUp,
    /// List the backups of a database.
    ListBackups,
    /// List the backups of all databases.
    ListAllBackups,
    /// Read the statements in the history of a database.
    ReadHistory,
    /// Restore a backup, as a new database or in the place of one.
    Restore,
    /// Restore a backup for a test.
    VerifyBackup,
    /// See which backups are being made or restored.
    RunningBackups,
    /// Check the backup repository.
    CheckRepository,
    /// Remove backups that no rule keeps.
    PruneRepository,
    /// Create the backup repository.
    InitRepository,
    /// List the keys of the backup repository, by id.
    ListRepositoryKeys,
    /// Add a key of the backup repository.
    AddRepositoryKey,
    /// Remove a key of the backup repository.
    RemoveRepositoryKey,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 48] = [
        Self::Status,
        Self::Metrics,
        Self::List,
        Self::Show,
        Self::Pool,
        Self::Sessions,
        Self::Usage,
        Self::UsageOfAll,
        Self::Wakes,
        Self::Events,
        Self::Create,
        Self::Branch,
        Self::Reset,
        Self::Move,
        Self::CancelMove,
        Self::Set,
        Self::Wake,
        Self::Suspend,
        Self::Park,
        Self::ParkAndLose,
        Self::NoteTransfer,
        Self::Reserve,
        Self::Drop,
        Self::ListTokens,
        Self::AddToken,
        Self::RotateToken,
        Self::RemoveToken,
        Self::ListUsers,
        Self::AddUser,
        Self::RotateUser,
        Self::DropUser,
        Self::ListKeys,
        Self::Encrypt,
        Self::RotateKey,
        Self::RotateMasterKey,
        Self::BackUp,
        Self::ListBackups,
        Self::ListAllBackups,
        Self::ReadHistory,
        Self::Restore,
        Self::VerifyBackup,
        Self::RunningBackups,
        Self::CheckRepository,
        Self::PruneRepository,
        Self::InitRepository,
        Self::ListRepositoryKeys,
        Self::AddRepositoryKey,
        Self::RemoveRepositoryKey,
    ];

    /// What it does, as the documentation's table says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "read the program's status",
            Self::Metrics => "read the metrics of all databases",
            Self::List => "list databases",
            Self::Show => "show a database",
            Self::Pool => "read a database's pool",
            Self::Sessions => "read a database's sessions",
            Self::Usage => "read a database's use",
            Self::UsageOfAll => "read the use of all databases",
            Self::Wakes => "read what woke a database",
            Self::Events => "read the ledger",
            Self::Create => "create a database",
            Self::Branch => "branch a database",
            Self::Reset => "bring a branch back to its parent",
            Self::Move => "move a database",
            Self::CancelMove => "cancel the move of a database",
            Self::Set => "change a database's settings",
            Self::Wake => "wake a database",
            Self::Suspend => "suspend a database",
            Self::Park => "park a database",
            Self::ParkAndLose => "park a database and lose rows",
            Self::NoteTransfer => "tell the ledger of an import or export",
            Self::Reserve => "reserve a database for an import",
            Self::Drop => "drop a database",
            Self::ListTokens => "list tokens",
            Self::AddToken => "add a token",
            Self::RotateToken => "rotate a token",
            Self::RemoveToken => "remove a token",
            Self::ListUsers => "list a database's users",
            Self::AddUser => "add a user",
            Self::RotateUser => "rotate a user's password",
            Self::DropUser => "drop a user",
            Self::ListKeys => "list the keys of all databases",
            Self::Encrypt => "encrypt a database",
            Self::RotateKey => "rotate a database's key",
            Self::RotateMasterKey => "rotate the master key",
            Self::BackUp => "back a database up",
            Self::ListBackups => "list a database's backups",
            Self::ListAllBackups => "list the backups of all databases",
            Self::ReadHistory => "read a database's history",
            Self::Restore => "restore a backup",
            Self::VerifyBackup => "restore a backup for a test",
            Self::RunningBackups => "see the backups that are being made",
            Self::CheckRepository => "check the backup repository",
            Self::PruneRepository => "prune the backup repository",
            Self::InitRepository => "create the backup repository",
            Self::ListRepositoryKeys => "list the backup repository's keys",
            Self::AddRepositoryKey => "add a key of the backup repository",
            Self::RemoveRepositoryKey => "remove a key of the backup repository",
        }
    }
}

/// The verb of each route: method, path, verb. HEAD is GET.
pub const RULES: [(&str, &str, Verb); 47] = [
    ("GET", "/v1/status", Verb::Status),
    ("GET", "/metrics", Verb::Metrics),
    ("GET", "/v1/databases", Verb::List),
    ("POST", "/v1/databases", Verb::Create),
    ("POST", "/v1/databases/{name}/branches", Verb::Branch),
    ("POST", "/v1/databases/{name}/reset", Verb::Reset),
    ("POST", "/v1/databases/{name}/move", Verb::Move),
    ("DELETE", "/v1/databases/{name}/move", Verb::CancelMove),
    ("GET", "/v1/databases/{name}", Verb::Show),
    ("PATCH", "/v1/databases/{name}", Verb::Set),
    ("DELETE", "/v1/databases/{name}", Verb::Drop),
    ("GET", "/v1/databases/{name}/pool", Verb::Pool),
    ("GET", "/v1/databases/{name}/sessions", Verb::Sessions),
    ("POST", "/v1/databases/{name}/wake", Verb::Wake),
    ("POST", "/v1/databases/{name}/suspend", Verb::Suspend),
    // its handler asks for `ParkAndLose` too, if the query says so
    ("POST", "/v1/databases/{name}/park", Verb::Park),
    ("POST", "/v1/databases/{name}/transfers", Verb::NoteTransfer),
    ("PUT", "/v1/databases/{name}/reservation", Verb::Reserve),
    ("GET", "/v1/databases/{name}/usage", Verb::Usage),
    ("GET", "/v1/usage", Verb::UsageOfAll),
    ("GET", "/v1/databases/{name}/wakes", Verb::Wakes),
    ("GET", "/v1/events", Verb::Events),
    ("GET", "/v1/tokens", Verb::ListTokens),
    ("POST", "/v1/tokens", Verb::AddToken),
    ("DELETE", "/v1/tokens/{id}", Verb::RemoveToken),
    ("POST", "/v1/tokens/{id}/rotate", Verb::RotateToken),
    ("GET", "/v1/databases/{name}/users", Verb::ListUsers),
    ("POST", "/v1/databases/{name}/users", Verb::AddUser),
    (
        "POST",
        "/v1/databases/{name}/users/rotate",
        Verb::RotateUser,
    ),
    ("POST", "/v1/databases/{name}/users/drop", Verb::DropUser),
    ("GET", "/v1/keys", Verb::ListKeys),
    ("POST", "/v1/keys/rotate-master", Verb::RotateMasterKey),
    ("POST", "/v1/databases/{name}/encrypt", Verb::Encrypt),
    ("POST", "/v1/databases/{name}/rotate-key", Verb::RotateKey),
    ("GET", "/v1/databases/{name}/backups", Verb::ListBackups),
    ("POST", "/v1/databases/{name}/backups", Verb::BackUp),
    ("GET", "/v1/databases/{name}/history", Verb::ReadHistory),
    ("POST", "/v1/databases/{name}/restore", Verb::Restore),
    ("POST", "/v1/databases/{name}/verify", Verb::VerifyBackup),
    ("GET", "/v1/backups", Verb::ListAllBackups),
    ("POST", "/v1/backups/init", Verb::InitRepository),
    ("POST", "/v1/backups/check", Verb::CheckRepository),
    ("POST", "/v1/backups/prune", Verb::PruneRepository),
    ("GET", "/v1/backups/running", Verb::RunningBackups),
    ("GET", "/v1/backups/keys", Verb::ListRepositoryKeys),
    ("POST", "/v1/backups/keys", Verb::AddRepositoryKey),
    ("DELETE", "/v1/backups/keys/{id}", Verb::RemoveRepositoryKey),
];

/// A rule for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// It does this.
    Does(Verb),
    /// The path is known, the method is not.
    NoMethod,
    /// There is none.
    Missing,
}

/// The rule for a method and the path of a route.
pub(crate) fn rule(method: &str, path: &str) -> Rule {
    let method = if method == "HEAD" { "GET" } else { method };
    let of_path = || RULES.iter().filter(|(_, known, _)| *known == path);
    match of_path().find(|(known, _, _)| *known == method) {
        Some((_, _, verb)) => Rule::Does(*verb),
        None if of_path().next().is_some() => Rule::NoMethod,
        None => Rule::Missing,
    }
}

/// What somebody may do: a role, and for an owner its database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The only database, for [`Role::Owner`].
    pub database: Option<DatabaseName>,
}

/// Whether a request is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is.
    Allowed,
    /// It is, for this database: the answer must have nothing of others.
    Only(DatabaseName),
    /// To the caller this database does not exist.
    Hidden(DatabaseName),
    /// It is not.
    Denied(Role),
}

/// One field of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Allowed.
    Yes,
    /// Allowed on the caller's own database, or restricted to it.
    Own,
    /// Denied.
    No,
}

/// The table. Whatever loses data or manages tokens is for admins and, on its database, for the owner.
#[must_use]
pub fn field(role: Role, verb: Verb) -> Field {
    use Field::{No, Own, Yes};
    let [admin, operator, viewer, owner] = match verb {
        Verb::Status => [Yes, Yes, Yes, No],
        Verb::Metrics => [Yes, Yes, Yes, No],
        Verb::List => [Yes, Yes, Yes, Own],
        Verb::Show => [Yes, Yes, Yes, Own],
        Verb::Pool => [Yes, Yes, Yes, Own],
        Verb::Sessions => [Yes, Yes, Yes, Own],
        Verb::Usage => [Yes, Yes, Yes, Own],
        Verb::UsageOfAll => [Yes, Yes, Yes, Own],
        Verb::Wakes => [Yes, Yes, Yes, Own],
        Verb::Events => [Yes, Yes, Yes, Own],
        Verb::Create | Verb::Branch | Verb::Reset => [Yes, No, No, No],
        Verb::Move | Verb::CancelMove => [Yes, Yes, No, No],
        Verb::Set => [Yes, Yes, No, Own],
        Verb::Wake => [Yes, Yes, No, Own],
        Verb::Suspend => [Yes, Yes, No, Own],
        Verb::Park => [Yes, Yes, No, Own],
        Verb::ParkAndLose => [Yes, No, No, Own],
        Verb::NoteTransfer => [Yes, Yes, No, Own],
        Verb::Reserve => [Yes, Yes, No, Own],
        Verb::Drop => [Yes, No, No, Own],
        Verb::ListTokens => [Yes, No, No, No],
        Verb::AddToken => [Yes, No, No, No],
        Verb::RotateToken => [Yes, No, No, No],
        Verb::RemoveToken => [Yes, No, No, No],
        Verb::ListUsers => [Yes, Yes, Yes, Own],
        Verb::AddUser => [Yes, No, No, Own],
        Verb::RotateUser => [Yes, No, No, Own],
        Verb::DropUser => [Yes, No, No, Own],
        Verb::ListKeys => [Yes, Yes, No, No],
        Verb::Encrypt => [Yes, Yes, No, Own],
        Verb::RotateKey => [Yes, Yes, No, Own],
        Verb::RotateMasterKey => [Yes, No, No, No],
        Verb::BackUp => [Yes, Yes, No, Own],
        Verb::ListBackups => [Yes, Yes, Yes, Own],
        Verb::ListAllBackups => [Yes, Yes, Yes, Own],
        // statements have data in them
        Verb::ReadHistory => [Yes, No, No, Own],
        Verb::Restore => [Yes, No, No, No],
        Verb::VerifyBackup => [Yes, Yes, No, No],
        Verb::RunningBackups => [Yes, Yes, Yes, No],
        Verb::CheckRepository => [Yes, Yes, No, No],
        Verb::PruneRepository => [Yes, No, No, No],
        Verb::InitRepository => [Yes, No, No, No],
        Verb::ListRepositoryKeys => [Yes, No, No, No],
        Verb::AddRepositoryKey => [Yes, No, No, No],
        Verb::RemoveRepositoryKey => [Yes, No, No, No],
    };
    match role {
        Role::Admin => admin,
        Role::Operator => operator,
        Role::Viewer => viewer,
        Role::Owner => owner,
    }
}

/// Whether somebody may do something, to this database if it is about one.
#[must_use]
pub fn decide(grant: &Grant, verb: Verb, database: Option<&DatabaseName>) -> Decision {
    match (field(grant.role, verb), &grant.database, database) {
        // a grant for one database is never one for all, whatever its role
        (Field::Yes, None, _) => Decision::Allowed,
        (Field::Own | Field::Yes, Some(own), None) => Decision::Only(own.clone()),
        (Field::Own | Field::Yes, Some(own), Some(named)) if own == named => {
            Decision::Only(own.clone())
        }
        (_, Some(own), Some(named)) if own != named => Decision::Hidden(named.clone()),
        _ => Decision::Denied(grant.role),
    }
}

#[cfg(test)]
mod tests;
