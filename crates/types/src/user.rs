//! Users of a database that are managed from outside.

use serde::{Deserialize, Serialize};

use crate::on_demand::{NamePattern, UserOnDemand};

/// What a user may do in its schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserRole {
    /// Reads.
    Reader,
    /// Reads and writes rows, and calls routines.
    Writer,
    /// Everything in its schemas; without a list of schemas, everything the owner `admin` may do.
    Owner,
}

impl std::str::FromStr for UserRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "reader" => Ok(Self::Reader),
            "writer" => Ok(Self::Writer),
            "owner" => Ok(Self::Owner),
            other => Err(format!("'{other}' is not one of reader, writer, owner")),
        }
    }
}

/// Limits of one account, kept by its server; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserLimits {
    /// Sessions at once.
    pub connections: u32,
    /// Statements in an hour.
    pub queries_per_hour: u32,
    /// Statements that change data, in an hour.
    pub updates_per_hour: u32,
}

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUser {
    /// Its name.
    pub user: String,
    /// Addresses from which it may log in, as in `CREATE USER`.
    pub host: String,
    /// What it may do.
    pub role: UserRole,
    /// Where; all schemas but the server's own if the list is empty.
    pub schemas: Vec<String>,
    /// Its limits.
    pub limits: UserLimits,
    /// Whether it must use TLS.
    pub require_tls: bool,
    /// It is a template for users of these names, without rights of its own.
    #[serde(default)]
    pub on_demand: Option<NamePattern>,
}

/// A change of a database's accounts. Passwords are SHA1(SHA1(password)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserChange {
    /// A new account.
    Add {
        /// The account.
        user: NewUser,
        /// Its password.
        password: [u8; 20],
    },
    /// A new password for an account.
    Rotate {
        /// Its name.
        user: String,
        /// Its host.
        host: String,
        /// The password.
        password: [u8; 20],
    },
    /// The end of an account.
    Drop {
        /// Its name.
        user: String,
        /// Its host.
        host: String,
    },
    /// A user that a login needs, with a schema of its own.
    OnDemand(UserOnDemand),
}
