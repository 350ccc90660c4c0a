//! A server's account, and how its credentials are verified.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::on_demand::Mark;

/// One account of one database, read from the server's account table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user part of `'user'@'host'`; empty for an anonymous account.
    pub user: String,
    /// The host part: a literal, a pattern with `%` and `_`, or `base/netmask`.
    pub host: String,
    /// Accepted credentials, any of which is enough, in the server's order.
    pub verifiers: Vec<Verifier>,
    /// Whether the account is locked (`ACCOUNT LOCK`).
    pub locked: bool,
    /// Required transport (`REQUIRE`).
    pub transport: Transport,
    /// Expiry of the password, if any.
    pub expiry: Option<Expiry>,
    /// Maximum number of sessions (`MAX_USER_CONNECTIONS`); 0 for no limit of its own.
    #[serde(default)]
    pub max_sessions: u32,
    /// The server's global `max_user_connections`, for accounts without a limit of their own; 0 for
    /// none.
    #[serde(default)]
    pub max_sessions_global: u32,
    /// The server's global `max_password_errors`: with so many wrong passwords in a row it is blocked.
    #[serde(default = "unlimited")]
    pub password_errors_most: u32,
    /// Status flags of the protocol at a login, computed from the server's current global variables.
    #[serde(default = "autocommit")]
    pub login_status: u16,
    /// Changes with every change of the account in the server's account table: a connection opened
    /// before has the old privileges.
    #[serde(default)]
    pub version: u64,
    /// Whether the account has the credential with which the proxy logs in as this user.
    pub enrolled: bool,
    /// Whether the account may manage accounts and global variables, through Dormouse.
    #[serde(default)]
    pub manager: Manager,
    /// What the account is to users on demand.
    #[serde(default)]
    pub on_demand: Mark,
}

/// What an account may manage. The server itself gives no tenant these rights: Dormouse carries such
/// statements out. Kept in the account's row of `mysql.global_priv`, under the key `dormouse`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// Nothing.
    #[default]
    None,
    /// Accounts that are weaker than an owner, and roles (`CREATE USER`).
    Users,
    /// All accounts, all privileges, and global variables (`ALL PRIVILEGES ON *.* WITH GRANT OPTION`).
    Owner,
}

impl Manager {
    /// Reads the value of the key; anything unknown counts as [`Manager::None`].
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text {
            "owner" => Self::Owner,
            "users" => Self::Users,
            _ => Self::None,
        }
    }

    /// The value of the key; `None`: the key is absent.
    #[must_use]
    pub fn as_text(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Users => Some("users"),
            Self::Owner => Some("owner"),
        }
    }
}

/// `SERVER_STATUS_AUTOCOMMIT`: the default of a server.
fn autocommit() -> u16 {
    0x0002
}

/// The default of `max_password_errors`.
fn unlimited() -> u32 {
    u32::MAX
}

/// One credential of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "plugin", content = "value", rename_all = "snake_case")]
pub enum Verifier {
    /// `mysql_native_password`: SHA1(SHA1(password)).
    Native([u8; 20]),
    /// A password plugin with an empty password.
    NoPassword,
    /// `ed25519`: the password's public key.
    Ed25519([u8; 32]),
    /// `parsec`: the password's public key and the parameters of its derivation.
    Parsec {
        /// The number of rounds is 1024 times 2 to this power.
        doublings: u8,
        /// The salt.
        salt: [u8; 18],
        /// The public key.
        key: [u8; 32],
    },
    /// `caching_sha2_password`: the salted hash in the server's format.
    CachingSha2(String),
    /// `unix_socket`: the name of the operating system user that may log in.
    UnixSocket(String),
    /// Name of another plugin, which the proxy cannot verify.
    Other(String),
}

/// Transport that an account requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Any.
    Any,
    /// Encryption (`REQUIRE SSL`).
    Tls,
    /// A verified client certificate (`REQUIRE X509`). Notes of former versions mean any of the requirements of
    /// [`Transport::Specified`] too; the server checks those.
    Certificate,
    /// What `REQUIRE SUBJECT`, `ISSUER` and `CIPHER` say.
    Specified(Box<Specified>),
}

/// What an account requires of a client's certificate and of its TLS session; an empty text requires nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Specified {
    /// Who has signed the certificate, in OpenSSL's notation (`/C=DE/O=Example/CN=authority`).
    pub issuer: String,
    /// Whose the certificate is.
    pub subject: String,
    /// The cipher's name in OpenSSL (`TLS_AES_256_GCM_SHA384`).
    pub cipher: String,
}

/// The names in a client's verified certificate, each as the bytes of its DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateNames {
    /// Who has signed it.
    pub issuer: Arc<[u8]>,
    /// Whose it is.
    pub subject: Arc<[u8]>,
}

/// Expiry of a password and its consequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// Time of expiry in seconds since 1970.
    pub at: i64,
    /// Whether a client that does not support expired passwords is refused (the server's
    /// `disconnect_on_expired_password`); otherwise it may only set a new one.
    pub turns_away: bool,
}
