//! The mediated statements.

use std::fmt;

use crate::privileges::Privilege;

/// A text that must not be shown: a password or its hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub(crate) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// An account or role as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// `CURRENT_USER`
    Current,
    /// `user@host`; where only accounts can stand, a missing host is `%`.
    Account {
        /// The user part.
        user: String,
        /// The host part.
        host: String,
    },
    /// A name without a host: a role, or else the account with the host `%`.
    Bare(String),
    /// `PUBLIC`
    Public,
}

/// An authentication plugin that an account may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    /// `mysql_native_password`
    Native,
    /// `ed25519`
    Ed25519,
    /// `parsec`
    Parsec,
    /// `caching_sha2_password`
    CachingSha2,
    /// `unix_socket`
    UnixSocket,
}

impl Plugin {
    /// Every plugin that an account may use.
    pub const ALL: [Self; 5] = [
        Self::Native,
        Self::Ed25519,
        Self::Parsec,
        Self::CachingSha2,
        Self::UnixSocket,
    ];

    /// The server's name for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::Ed25519 => "ed25519",
            Self::Parsec => "parsec",
            Self::CachingSha2 => "caching_sha2_password",
            Self::UnixSocket => "unix_socket",
        }
    }
}

/// One way to authenticate: `plugin [USING 'x' | USING PASSWORD('x')]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// The plugin.
    pub plugin: Plugin,
    /// What the plugin is given.
    pub value: Option<MethodValue>,
}

/// What a plugin is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MethodValue {
    /// A hash, or the name of an operating system user.
    Stored(Secret),
    /// A password.
    Password(Secret),
}

/// `IDENTIFIED …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identified {
    /// `BY 'password'`
    By(Secret),
    /// `BY PASSWORD 'hash'`
    ByHash(Secret),
    /// `VIA … OR …`
    Via(Vec<Method>),
}

/// An account with how it authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Which.
    pub name: Name,
    /// How, if the statement says so.
    pub identified: Option<Identified>,
}

/// `REQUIRE …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Require {
    /// `NONE`
    None,
    /// `SSL`
    Ssl,
    /// `X509`
    X509,
    /// `ISSUER … SUBJECT … CIPHER …`
    Certificate {
        /// `ISSUER`
        issuer: Option<String>,
        /// `SUBJECT`
        subject: Option<String>,
        /// `CIPHER`
        cipher: Option<String>,
    },
}

/// A limit of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `MAX_QUERIES_PER_HOUR n`
    Queries(u32),
    /// `MAX_UPDATES_PER_HOUR n`
    Updates(u32),
    /// `MAX_CONNECTIONS_PER_HOUR n`
    Connections(u32),
    /// `MAX_USER_CONNECTIONS n`
    Sessions(u32),
    /// `MAX_STATEMENT_TIME n`, in milliseconds.
    StatementTime(u32),
}

/// `PASSWORD EXPIRE …`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expire {
    /// At once.
    Now,
    /// `NEVER`
    Never,
    /// `DEFAULT`
    Default,
    /// `INTERVAL n DAY`
    Days(u16),
}

/// The options of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `REQUIRE`
    pub require: Option<Require>,
    /// `WITH MAX_…`
    pub limits: Vec<Limit>,
    /// `ACCOUNT LOCK | UNLOCK`
    pub locked: Option<bool>,
    /// `PASSWORD EXPIRE`
    pub expire: Option<Expire>,
}

impl Options {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is granted or revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privileges {
    /// `ALL [PRIVILEGES]`
    All,
    /// Each with its columns, if it is for columns alone.
    List(Vec<(Privilege, Vec<String>)>),
}

/// What a privilege is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// `*.*`
    Everything,
    /// `schema.*`; in the name, `%` and `_` are wildcards unless a `\` precedes them.
    Schema(String),
    /// `*`: the current schema.
    CurrentSchema,
    /// `[TABLE] schema.table`; without a schema, in the current one.
    Table(Option<String>, String),
    /// A routine, likewise.
    Routine(RoutineKind, Option<String>, String),
}

/// The kind of a routine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutineKind {
    /// `FUNCTION`
    Function,
    /// `PROCEDURE`
    Procedure,
    /// `PACKAGE`
    Package,
    /// `PACKAGE BODY`
    PackageBody,
}

/// How a password is given in `SET PASSWORD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewPassword {
    /// `PASSWORD('password')`
    Plain(Secret),
    /// `'hash'`
    Hash(Secret),
}

/// The value of a global variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `DEFAULT`
    Default,
    /// A number, as written.
    Number(String),
    /// A string or a word.
    Text(String),
    /// `NULL`
    Null,
    /// Anything else: the client's text, to be evaluated as the client.
    Expression(Vec<u8>),
}

/// `SET GLOBAL name = value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable's name, in lower case.
    pub variable: String,
    /// Its value.
    pub value: Value,
}

/// A transaction isolation level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// `READ UNCOMMITTED`
    ReadUncommitted,
    /// `READ COMMITTED`
    ReadCommitted,
    /// `REPEATABLE READ`
    RepeatableRead,
    /// `SERIALIZABLE`
    Serializable,
}

/// A mediated statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `CREATE USER`
    CreateUser {
        /// `OR REPLACE`
        or_replace: bool,
        /// `IF NOT EXISTS`
        if_not_exists: bool,
        /// The accounts.
        users: Vec<User>,
        /// Their options.
        options: Options,
    },
    /// `ALTER USER`
    AlterUser {
        /// `IF EXISTS`
        if_exists: bool,
        /// The accounts.
        users: Vec<User>,
        /// Their options.
        options: Options,
    },
    /// `DROP USER`
    DropUser {
        /// `IF EXISTS`
        if_exists: bool,
        /// The accounts.
        users: Vec<Name>,
    },
    /// `RENAME USER`: from, to.
    RenameUser(Vec<(Name, Name)>),
    /// `SET PASSWORD FOR`
    SetPassword {
        /// Whose.
        user: Name,
        /// The password.
        password: NewPassword,
    },
    /// `CREATE ROLE`
    CreateRole {
        /// `OR REPLACE`
        or_replace: bool,
        /// `IF NOT EXISTS`
        if_not_exists: bool,
        /// The roles.
        roles: Vec<String>,
        /// `WITH ADMIN`
        admin: Option<Name>,
    },
    /// `DROP ROLE`
    DropRole {
        /// `IF EXISTS`
        if_exists: bool,
        /// The roles.
        roles: Vec<String>,
    },
    /// `GRANT privileges ON`
    Grant {
        /// What.
        privileges: Privileges,
        /// On what.
        on: Object,
        /// To whom.
        to: Vec<User>,
        /// Options of the accounts.
        options: Options,
        /// `WITH GRANT OPTION`
        grant_option: bool,
    },
    /// `REVOKE privileges ON`
    Revoke {
        /// What.
        privileges: Privileges,
        /// Whether `GRANT OPTION` is revoked too.
        grant_option: bool,
        /// On what.
        on: Object,
        /// From whom.
        from: Vec<Name>,
    },
    /// `REVOKE ALL PRIVILEGES, GRANT OPTION FROM`
    RevokeAll(Vec<Name>),
    /// `GRANT role TO`
    GrantRoles {
        /// The roles.
        roles: Vec<String>,
        /// To whom.
        to: Vec<Name>,
        /// `WITH ADMIN OPTION`
        admin_option: bool,
    },
    /// `REVOKE role FROM`
    RevokeRoles {
        /// The roles.
        roles: Vec<String>,
        /// From whom.
        from: Vec<Name>,
        /// `ADMIN OPTION FOR`: only that.
        admin_option: bool,
    },
    /// `SET DEFAULT ROLE … FOR`; `None` is `NONE`.
    SetDefaultRole {
        /// The role.
        role: Option<String>,
        /// Whose.
        user: Name,
    },
    /// `SHOW GRANTS [FOR]`
    ShowGrants(Name),
    /// `SHOW CREATE USER`
    ShowCreateUser(Name),
    /// `SET GLOBAL`
    SetGlobal(Vec<Assignment>),
    /// `KILL` of a connection of another user. It is not read from a text: the proxy makes it for a session of
    /// the database, whose connection it knows.
    Kill {
        /// The server's number of the connection.
        thread: u32,
        /// Whether only its statement ends.
        query_only: bool,
    },
    /// `SET GLOBAL TRANSACTION`
    SetGlobalTransaction {
        /// `ISOLATION LEVEL`
        isolation: Option<Isolation>,
        /// `READ ONLY` or `READ WRITE`.
        read_only: Option<bool>,
    },
}

impl Statement {
    /// Its name, for the log and the ledger: it has no names of accounts and no secrets.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateUser { .. } => "CREATE USER",
            Self::AlterUser { .. } => "ALTER USER",
            Self::DropUser { .. } => "DROP USER",
            Self::RenameUser(_) => "RENAME USER",
            Self::SetPassword { .. } => "SET PASSWORD",
            Self::CreateRole { .. } => "CREATE ROLE",
            Self::DropRole { .. } => "DROP ROLE",
            Self::Grant { .. } => "GRANT",
            Self::Revoke { .. } | Self::RevokeAll(_) => "REVOKE",
            Self::GrantRoles { .. } => "GRANT role",
            Self::RevokeRoles { .. } => "REVOKE role",
            Self::SetDefaultRole { .. } => "SET DEFAULT ROLE",
            Self::ShowGrants(_) => "SHOW GRANTS",
            Self::ShowCreateUser(_) => "SHOW CREATE USER",
            Self::SetGlobal(_) => "SET GLOBAL",
            Self::SetGlobalTransaction { .. } => "SET GLOBAL TRANSACTION",
            Self::Kill { .. } => "KILL",
        }
    }

    /// Whether only an owner may run it. Others who run such a statement have only what the server grants them.
    #[must_use]
    pub fn is_for_owners(&self) -> bool {
        matches!(
            self,
            Self::Grant { .. }
                | Self::Revoke { .. }
                | Self::RevokeAll(_)
                | Self::GrantRoles { .. }
                | Self::RevokeRoles { .. }
                | Self::SetGlobal(_)
                | Self::SetGlobalTransaction { .. }
                | Self::Kill { .. }
        )
    }

    /// Whether it commits the open transaction before it runs.
    #[must_use]
    pub fn commits(&self) -> bool {
        !matches!(
            self,
            Self::ShowGrants(_)
                | Self::ShowCreateUser(_)
                | Self::SetGlobal(_)
                | Self::SetGlobalTransaction { .. }
                | Self::Kill { .. }
        )
    }

    /// Whether it sets global variables, with which later sessions begin.
    #[must_use]
    pub fn sets_globals(&self) -> bool {
        matches!(self, Self::SetGlobal(_) | Self::SetGlobalTransaction { .. })
    }

    /// Whether the name of a schema is missing, for which the current one stands.
    #[must_use]
    pub fn needs_schema(&self) -> bool {
        match self {
            Self::Grant { on, .. } | Self::Revoke { on, .. } => matches!(
                on,
                Object::CurrentSchema | Object::Table(None, _) | Object::Routine(_, None, _)
            ),
            _ => false,
        }
    }

    /// Fills in the current schema where the name of one is missing.
    #[must_use]
    pub fn in_schema(mut self, schema: &str) -> Self {
        if let Self::Grant { on, .. } | Self::Revoke { on, .. } = &mut self {
            match on {
                // it is a name, not a pattern
                Object::CurrentSchema => *on = Object::Schema(escaped(schema)),
                Object::Table(missing @ None, _) | Object::Routine(_, missing @ None, _) => {
                    *missing = Some(schema.to_owned());
                }
                _ => {}
            }
        }
        self
    }

    /// The expressions whose values must be filled in before the statement can be checked.
    pub fn expressions(&mut self) -> impl Iterator<Item = &mut Value> {
        let assignments = match self {
            Self::SetGlobal(assignments) => assignments.as_mut_slice(),
            _ => &mut [],
        };
        let values = assignments.iter_mut().map(|one| &mut one.value);
        values.filter(|value| matches!(value, Value::Expression(_)))
    }
}

/// A schema's name as a pattern that matches it alone.
fn escaped(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}
