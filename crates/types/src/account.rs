//! A database user as the server knows it, and how a password of theirs is checked.

use serde::{Deserialize, Serialize};

/// One account of one database, as read from the server's own account table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user part of `'user'@'host'`; empty for an anonymous account.
    pub user: String,
    /// The host part: a literal, a pattern with `%` and `_`, or `base/netmask`.
    pub host: String,
    /// The ways to prove who one is, any of which is enough, in the server's order.
    pub verifiers: Vec<Verifier>,
    /// Whether the account is locked (`ACCOUNT LOCK`).
    pub locked: bool,
    /// Whether the account demands TLS (`REQUIRE SSL` or stronger).
    pub require_tls: bool,
    /// How many sessions it may have at once (`MAX_USER_CONNECTIONS`); 0 for no limit of its own.
    #[serde(default)]
    pub max_sessions: u32,
    /// The server's global `max_user_connections`, for accounts without a limit of their own; 0 for
    /// none.
    #[serde(default)]
    pub max_sessions_global: u32,
    /// Whether the account carries the credential with which the proxy logs in as this user.
    pub enrolled: bool,
}

/// One way an account's owner proves who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plugin", content = "value", rename_all = "snake_case")]
pub enum Verifier {
    /// `mysql_native_password`: SHA1(SHA1(password)).
    Native([u8; 20]),
    /// `mysql_native_password` with an empty password.
    NoPassword,
    /// Another plugin, by name; the proxy cannot check it.
    Other(String),
}
