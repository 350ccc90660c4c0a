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
    /// What the account demands of the connection (`REQUIRE`).
    pub transport: Transport,
    /// When the password expires, if it ever does.
    pub expiry: Option<Expiry>,
    /// How many sessions it may have at once (`MAX_USER_CONNECTIONS`); 0 for no limit of its own.
    #[serde(default)]
    pub max_sessions: u32,
    /// The server's global `max_user_connections`, for accounts without a limit of their own; 0 for
    /// none.
    #[serde(default)]
    pub max_sessions_global: u32,
    /// The status flags that the answer to a login has now, by the server's global values, as the
    /// protocol numbers them.
    #[serde(default = "autocommit")]
    pub login_status: u16,
    /// Changes with whatever the server's account table says of it: a connection that began before has the
    /// rights of then.
    #[serde(default)]
    pub version: u64,
    /// Whether the account carries the credential with which the proxy logs in as this user.
    pub enrolled: bool,
}

/// `SERVER_STATUS_AUTOCOMMIT`: what a server says as it comes.
fn autocommit() -> u16 {
    0x0002
}

/// One way an account's owner proves who they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plugin", content = "value", rename_all = "snake_case")]
pub enum Verifier {
    /// `mysql_native_password`: SHA1(SHA1(password)).
    Native([u8; 20]),
    /// A password plugin with an empty password.
    NoPassword,
    /// `ed25519`: the password's public key.
    Ed25519([u8; 32]),
    /// `parsec`: the password's public key and how it is stretched.
    Parsec {
        /// The rounds are 1024 times 2 to this power.
        doublings: u8,
        /// The salt.
        salt: [u8; 18],
        /// The public key.
        key: [u8; 32],
    },
    /// `caching_sha2_password`: the salted digest as the server has it.
    CachingSha2(String),
    /// `unix_socket`: the name of the operating system's user who may be this account's.
    UnixSocket(String),
    /// Another plugin, by name; the proxy cannot check it.
    Other(String),
}

/// What an account demands of the connection over which its user comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Nothing.
    Any,
    /// Encryption (`REQUIRE SSL`).
    Tls,
    /// A certificate of the client's, or a cipher (`REQUIRE X509`, `SUBJECT`, `ISSUER`, `CIPHER`).
    Certificate,
}

/// When a password expires, and what that means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// Seconds since 1970; from then on it has expired.
    pub at: i64,
    /// Whether a client that cannot deal with that is turned away (the server's
    /// `disconnect_on_expired_password`); otherwise it may do nothing but set a new one.
    pub turns_away: bool,
}
