//! The server's accounts, and the credential with which the proxy logs in to them.
//!
//! An account may have several credentials. Dormouse appends its own (*enrolling*); the account's own
//! stays first, since `SET PASSWORD` replaces the first. It is added to the account table's JSON in one
//! statement, not by `ALTER USER`: that would have to repeat the user's credentials (and would restore
//! old ones that the user changes at the same time), and counts as a change of password, which unsets
//! `PASSWORD EXPIRE` and restarts the password's lifetime.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use dormouse_types::{Account, Expiry, Manager, Mark, Specified, Transport, Verifier};

use dormouse_wire::auth::{ed25519, parsec};
use dormouse_wire::status::Status;
use dormouse_wire::{NATIVE, caching_sha2, native};
use serde::Deserialize;
use serde_json::Value;

use super::{Admin, AdminError, TIMEOUT, literal};
use crate::Origin;
use crate::rights;

/// The privilege that lifts the global `max_user_connections` (`sql/privilege.h`, `SUPER_ACL`).
const SUPER: u64 = 1 << 15;

/// The JSON of a `mysql.global_priv` row, only the fields used here; MariaDB 10.4 and later.
#[derive(Debug, Deserialize)]
struct Priv {
    #[serde(default)]
    plugin: Option<String>,
    #[serde(default)]
    authentication_string: Option<String>,
    #[serde(default)]
    auth_or: Vec<Method>,
    #[serde(default)]
    account_locked: bool,
    #[serde(default)]
    ssl_type: u8,
    #[serde(default)]
    x509_issuer: String,
    #[serde(default)]
    x509_subject: String,
    #[serde(default)]
    ssl_cipher: String,
    #[serde(default)]
    access: u64,
    #[serde(default)]
    max_user_connections: i64,
    #[serde(default)]
    is_role: bool,
    /// Seconds since 1970; 0 after `PASSWORD EXPIRE`.
    #[serde(default)]
    password_last_changed: Option<i64>,
    /// Days; 0: never expires; -1 or absent: `default_password_lifetime` applies.
    #[serde(default)]
    password_lifetime: Option<i64>,
    /// What the account may manage.
    #[serde(default)]
    dormouse: Option<String>,
    /// What it is to users on demand.
    #[serde(default)]
    dormouse_on_demand: Option<String>,
}

/// Server-wide settings that apply to accounts.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// `default_password_lifetime`, in days; 0: never expires.
    days: i64,
    /// `disconnect_on_expired_password`.
    turns_away: bool,
    /// Whether the server supports `unix_socket AS 'name'`: since 11.6 (MDEV-33479).
    socket_names: bool,
    /// The global `max_user_connections`; 0 for none.
    sessions: u32,
    /// `max_password_errors`.
    password_errors: u32,
    /// Status flags in the reply to a login.
    login_status: Status,
}

/// One credential; an empty object stands for the credential of the row itself.
#[derive(Debug, Clone, Deserialize)]
struct Method {
    #[serde(default)]
    plugin: Option<String>,
    #[serde(default)]
    authentication_string: Option<String>,
}

impl Priv {
    fn methods(&self) -> Vec<Method> {
        let own = Method {
            plugin: self.plugin.clone(),
            authentication_string: self.authentication_string.clone(),
        };
        if self.auth_or.is_empty() {
            return vec![own];
        }
        let named = |m: &Method| {
            if m.plugin.is_some() {
                m.clone()
            } else {
                own.clone()
            }
        };
        self.auth_or.iter().map(named).collect()
    }
}

impl Method {
    /// A missing plugin means `mysql_native_password`. A missing value means an empty password, if the
    /// plugin supports that: ed25519 without a key lets no client log in (seen on 10.11).
    fn verifier(&self, user: &str, rules: Rules) -> Verifier {
        let plugin = self.plugin.as_deref().unwrap_or(NATIVE);
        let value = self.authentication_string.as_deref().unwrap_or_default();
        let verifier = match plugin {
            NATIVE | caching_sha2::PLUGIN if value.is_empty() => Some(Verifier::NoPassword),
            NATIVE => native::from_text(value).map(Verifier::Native),
            caching_sha2::PLUGIN => {
                caching_sha2::is_stored(value).then(|| Verifier::CachingSha2(value.to_owned()))
            }
            ed25519::PLUGIN => ed25519::from_text(value).map(Verifier::Ed25519),
            parsec::PLUGIN => parsec::from_text(value).map(|(stretch, key)| Verifier::Parsec {
                doublings: stretch.doublings,
                salt: stretch.salt,
                key,
            }),
            "unix_socket" => {
                let named = rules.socket_names && !value.is_empty();
                let name = if named { value } else { user };
                Some(Verifier::UnixSocket(name.to_owned()))
            }
            _ => None,
        };
        // such as "invalid": no password matches
        verifier.unwrap_or_else(|| Verifier::Other(plugin.to_owned()))
    }
}

impl Priv {
    /// As the server computes it (`sql/sql_acl.cc`, `check_password_lifetime`).
    fn expiry(&self, server: Rules) -> Option<Expiry> {
        let own = self.password_lifetime.filter(|days| *days >= 0);
        let at = match (self.password_last_changed, own.unwrap_or(server.days)) {
            (Some(0), _) => 0,
            (_, 0) => return None,
            (changed, days) => changed
                .unwrap_or(0)
                .saturating_add(days.saturating_mul(24 * 3600)),
        };
        Some(Expiry {
            at,
            turns_away: server.turns_away,
        })
    }

    fn transport(&self) -> Transport {
        match self.ssl_type {
            0 => Transport::Any,
            1 => Transport::Tls,
            2 => Transport::Certificate,
            _ => Transport::Specified(Box::new(Specified {
                issuer: self.x509_issuer.clone(),
                subject: self.x509_subject.clone(),
                cipher: self.ssl_cipher.clone(),
            })),
        }
    }
}

/// The credential that enrolling adds, and the one that former versions added.
#[derive(Debug, Clone, Copy)]
struct Ours {
    present: [u8; 20],
    former: [u8; 20],
}

/// Parses an account's JSON. `None` for a role, and for JSON that cannot be parsed: such an account
/// cannot log in through Dormouse.
fn account(user: &str, host: &str, json: &str, ours: Ours, rules: Rules) -> Option<Account> {
    // objects only: serde would also accept an empty list as a row
    let fields: serde_json::Map<String, Value> = serde_json::from_str(json).ok()?;
    let methods = fields.get("auth_or").and_then(Value::as_array);
    if methods.is_some_and(|methods| !methods.iter().all(Value::is_object)) {
        return None;
    }
    let rest: Vec<_> = fields
        .iter()
        .filter(|(name, _)| *name != "auth_or")
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect();
    let row: Priv = serde_json::from_value(Value::Object(fields)).ok()?;
    if row.is_role {
        return None;
    }
    let (present, former) = (
        Verifier::Native(ours.present),
        Verifier::Native(ours.former),
    );
    let mut verifiers: Vec<Verifier> = row
        .methods()
        .iter()
        .map(|m| m.verifier(user, rules))
        .collect();
    // an account with the former credential is to be enrolled again, which removes it
    let enrolled = verifiers.contains(&present) && !verifiers.contains(&former);
    verifiers.retain(|v| *v != present && *v != former);
    Some(Account {
        user: user.to_owned(),
        host: host.to_owned(),
        enrolled,
        version: version_of(&rest, &verifiers),
        verifiers,
        locked: row.account_locked,
        transport: row.transport(),
        expiry: row.expiry(rules),
        max_sessions: at_most(row.max_user_connections),
        max_sessions_global: if row.access & SUPER == 0 {
            rules.sessions
        } else {
            0
        },
        password_errors_most: rules.password_errors,
        login_status: rules.login_status.0,
        manager: Manager::from_text(row.dormouse.as_deref().unwrap_or_default()),
        on_demand: Mark::from_text(row.dormouse_on_demand.as_deref().unwrap_or_default()),
    })
}

/// Status flags of a new session (`sql/sql_class.cc`, `THD::init`).
fn login_status(autocommit: &str, sql_mode: &str) -> Status {
    let has = |mode| sql_mode.split(',').any(|one| one == mode);
    [
        (autocommit == "1", Status::AUTOCOMMIT),
        (has("ANSI_QUOTES"), Status::ANSI_QUOTES),
        (has("NO_BACKSLASH_ESCAPES"), Status::NO_BACKSLASH_ESCAPES),
    ]
    .into_iter()
    .filter(|(is, _)| *is)
    .fold(Status(0), |all, (_, one)| all.with(one))
}

/// Hash of an account row without the credential that enrolling adds.
fn version_of(rest: &[(String, String)], verifiers: &[Verifier]) -> u64 {
    let mut hasher = DefaultHasher::new();
    rest.hash(&mut hasher);
    format!("{verifiers:?}").hash(&mut hasher);
    hasher.finish()
}

/// A negative limit (only `SUPER` may log in) is read as 0, no limit.
fn at_most(limit: i64) -> u32 {
    u32::try_from(limit).unwrap_or(0)
}

/// The accounts of a running server.
#[derive(Debug)]
pub struct Accounts<'a>(pub(super) &'a mut Admin);

impl Accounts<'_> {
    /// The accounts that can log in: all, or those that may match one user name (its own and the
    /// anonymous ones). Without roles, `dormouse`@`localhost` and `mariadb.sys`.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn list(self, user: Option<&str>) -> Result<Vec<Account>, AdminError> {
        let mut sql = String::from(
            "SELECT User, Host, Priv, @@default_password_lifetime, @@disconnect_on_expired_password, @@global.max_user_connections, @@global.autocommit, @@global.sql_mode, @@global.max_password_errors FROM mysql.global_priv WHERE NOT (User = 'dormouse' AND Host = 'localhost') \
             AND User <> 'mariadb.sys'",
        );
        if let Some(user) = user {
            sql.push_str(&format!(" AND User IN ({}, '')", literal(user)));
        }
        let rows = self.0.run("reading the accounts", &sql, TIMEOUT).await?;
        let socket_names = self
            .0
            .version()
            .is_some_and(|v| (v.major, v.minor) >= (11, 6));
        let read = |[
            user,
            host,
            json,
            days,
            turns_away,
            sessions,
            autocommit,
            sql_mode,
            password_errors,
        ]: [String; 9]| {
            let (secret, instance) = (&self.0.secret, self.0.instance);
            let ours = Ours {
                present: native::stage2(&secret.account_stage1(instance, &user, &host)),
                former: secret.former_stage2(instance, &user),
            };
            let rules = Rules {
                days: days.parse().unwrap_or(0),
                turns_away: turns_away == "1",
                socket_names,
                sessions: at_most(sessions.parse().unwrap_or(0)),
                password_errors: password_errors.parse().unwrap_or(u32::MAX),
                login_status: login_status(&autocommit, &sql_mode),
            };
            account(&user, &host, &json, ours, rules)
        };
        Ok(rows.texts().filter_map(read).collect())
    }

    /// Replaces the credential that former versions gave to all accounts of a user name by that of each
    /// account.
    async fn replace_former(&mut self, user: &str) -> Result<(), AdminError> {
        let (secret, instance) = (&self.0.secret, self.0.instance);
        let former = native::to_text(&secret.former_stage2(instance, user));
        let of_user = format!("User = {} AND Priv LIKE '%{former}%'", literal(user));
        let sql = format!("SELECT Host FROM mysql.global_priv WHERE {of_user}");
        let rows = self.0.run("enrolling an account", &sql, TIMEOUT).await?;
        for [host] in rows.texts() {
            let hash = self.0.secret.account_hash(instance, user, &host);
            let sql = format!(
                "UPDATE mysql.global_priv SET Priv = REPLACE(Priv, '{former}', '{hash}') \
                 WHERE {of_user} AND Host = {}",
                literal(&host)
            );
            self.0.run("enrolling an account", &sql, TIMEOUT).await?;
        }
        Ok(())
    }

    /// Replaces the credentials of another instance, of whose files this one's are a copy, by its own.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn take_over(self, from: &Origin) -> Result<(), AdminError> {
        const DOING: &str = "giving the accounts of a copy its own credentials";
        let sql = "SELECT User, Host FROM mysql.global_priv \
                   WHERE NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0)";
        let all: Vec<[String; 2]> = self.0.run(DOING, sql, TIMEOUT).await?.texts().collect();
        for [user, host] in all {
            let secret = &self.0.secret;
            let own = secret.account_hash(self.0.instance, &user, &host);
            let old = from.secret.as_ref().unwrap_or(secret);
            let theirs = old.account_hash(from.instance, &user, &host);
            let former = native::to_text(&old.former_stage2(from.instance, &user));
            let sql = format!(
                "UPDATE mysql.global_priv SET Priv = REPLACE(REPLACE(Priv, '{theirs}', '{own}'), '{former}', '{own}') \
                 WHERE User = {} AND Host = {} AND (Priv LIKE '%{theirs}%' OR Priv LIKE '%{former}%')",
                literal(&user),
                literal(&host)
            );
            self.0.run(DOING, &sql, TIMEOUT).await?;
        }
        self.0
            .run(DOING, "FLUSH LOCAL PRIVILEGES", TIMEOUT)
            .await
            .map(drop)
    }

    /// Adds Dormouse's credential to an account, so that the proxy can log in to it; changes nothing else,
    /// but for a credential of a former version, which is removed from all accounts of this user name.
    /// Does nothing for an account that has it or does not exist.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn enroll(mut self, user: &str, host: &str) -> Result<(), AdminError> {
        self.replace_former(user).await?;
        let hash = self.0.secret.account_hash(self.0.instance, user, host);
        let method =
            format!("JSON_OBJECT('plugin', '{NATIVE}', 'authentication_string', '{hash}')");
        let sql = format!(
            "UPDATE mysql.global_priv SET Priv = IF(JSON_LENGTH(Priv, '$.auth_or') > 0, \
             JSON_ARRAY_APPEND(Priv, '$.auth_or', {method}), \
             JSON_SET(Priv, '$.auth_or', JSON_ARRAY(JSON_OBJECT(), {method}))) \
             WHERE User = {} AND Host = {} AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) \
             AND JSON_SEARCH(Priv, 'one', '{hash}', NULL, '$.auth_or') IS NULL",
            literal(user),
            literal(host),
        );
        self.0.run("enrolling an account", &sql, TIMEOUT).await?;
        self.0
            .run("enrolling an account", "FLUSH LOCAL PRIVILEGES", TIMEOUT)
            .await
            .map(drop)
    }

    /// Takes Dormouse's credential from an account, whose host is given as the server stores it; the account is then as
    /// it was before [`enroll`](Self::enroll).
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub(super) async fn withdraw(self, user: &str, host: &str) -> Result<(), AdminError> {
        const DOING: &str = "taking Dormouse's credential from an account";
        let (secret, instance) = (&self.0.secret, self.0.instance);
        let ours = [
            secret.account_hash(instance, user, host),
            native::to_text(&secret.former_stage2(instance, user)),
        ];
        let account = format!("User = {} AND Host = {}", literal(user), literal(host));
        let mut statements: Vec<String> = Vec::with_capacity(4);
        statements.extend(ours.map(|hash| {
            let found = format!("JSON_SEARCH(Priv, 'one', '{hash}', NULL, '$.auth_or')");
            format!(
                "UPDATE mysql.global_priv SET Priv = \
                 JSON_REMOVE(Priv, REPLACE(JSON_UNQUOTE({found}), '.authentication_string', '')) \
                 WHERE {account} AND {found} IS NOT NULL"
            )
        }));
        // a list of the account's own credential alone
        statements.push(format!(
            "UPDATE mysql.global_priv SET Priv = JSON_REMOVE(Priv, '$.auth_or') \
             WHERE {account} AND JSON_COMPACT(JSON_EXTRACT(Priv, '$.auth_or')) = '[{{}}]'"
        ));
        statements.push("FLUSH LOCAL PRIVILEGES".to_owned());
        for sql in statements {
            self.0.run(DOING, &sql, TIMEOUT).await?;
        }
        Ok(())
    }

    /// Sets the password of the owner's account `admin`@`%`, enrols and unlocks it, in one statement, and gives it
    /// its rights again; creates the account if it was dropped.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn secure_owner(mut self, password: [u8; 20]) -> Result<(), AdminError> {
        const NO_SUCH_USER: u16 = 1396;
        let doing = "setting the owner's password";
        let identified = format!(
            "'admin'@'%' IDENTIFIED VIA {NATIVE} USING '{}' OR {NATIVE} USING '{}'",
            native::to_text(&password),
            self.0.secret.account_hash(self.0.instance, "admin", "%"),
        );
        let alter = format!("ALTER USER {identified} ACCOUNT UNLOCK");
        match self.0.run(doing, &alter, TIMEOUT).await {
            Err(AdminError::Sql { error, .. }) if error.code == NO_SUCH_USER => {
                let create = format!("CREATE USER IF NOT EXISTS {identified}");
                self.0.run(doing, &create, TIMEOUT).await?;
            }
            other => drop(other?),
        }
        // a new database's owner has them
        if self.owner_is_complete().await? {
            return Ok(());
        }
        let (user, host) = rights::OWNER;
        self.give_all(user, host).await
    }

    async fn owner_is_complete(&mut self) -> Result<bool, AdminError> {
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM mysql.global_priv WHERE User = 'admin' AND Host = '%' \
             AND JSON_VALUE(Priv, '$.{}') = 'owner' AND JSON_VALUE(Priv, '$.access') = {}) = 1 \
             AND (SELECT COUNT(*) FROM mysql.db WHERE User = 'admin' AND Host = '%' \
             AND (Db = '%' AND Drop_priv = 'Y' OR Db = 'mysql' AND Drop_priv = 'N' OR Db = 'sys' AND Drop_priv = 'N')) = 3",
            rights::KEY,
            rights::GLOBAL
        );
        let rows = self
            .0
            .run("reading the owner's rights", &sql, TIMEOUT)
            .await?;
        Ok(rows.text(0, 0) == "1")
    }

    /// Makes an account an owner: it has all rights in all schemas but the server's own, and manages accounts.
    pub(super) async fn give_all(self, user: &str, host: &str) -> Result<(), AdminError> {
        let doing = "giving an account its rights";
        let version = self.0.version();
        let (user, host) = (literal(user), literal(host));
        let mut statements = rights::all_schemas(&user, &host, version.as_ref());
        statements.push(rights::readable(&user, &host));
        statements.push(format!(
            "UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.access', {}, '$.{}', '{}') \
             WHERE User = {user} AND Host = {host}",
            rights::GLOBAL,
            rights::KEY,
            Manager::Owner.as_text().unwrap_or_default()
        ));
        statements.push("FLUSH LOCAL PRIVILEGES".to_owned());
        for sql in statements {
            self.0.run(doing, &sql, TIMEOUT).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
