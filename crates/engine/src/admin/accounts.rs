//! The server's users: who there is, and how the proxy may log in as them.
//!
//! A server takes several credentials for one account, in order. The machinery adds one of its
//! own at the end; the account's own comes first, so that the user's `SET PASSWORD` replaces that
//! one. It is added to the account table's JSON in one statement and not by `ALTER USER`, because
//! the latter must repeat the user's own credentials (and would put old ones back if the user
//! changes them in that moment), and counts as a change of password: it would unset
//! `PASSWORD EXPIRE` and restart the password's lifetime.

use dormouse_types::{Account, Verifier};
use dormouse_wire::{NATIVE, native};
use serde::Deserialize;
use serde_json::Value;

use super::{Admin, AdminError, PATIENCE, literal};

/// The privilege that lifts the global `max_user_connections` (`sql/privilege.h`, `SUPER_ACL`).
const SUPER: u64 = 1 << 15;

/// A row of `mysql.global_priv`, as far as it matters here; MariaDB 10.4 and later.
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
    access: u64,
    #[serde(default)]
    max_user_connections: i64,
    #[serde(default)]
    is_role: bool,
}

/// One credential of several; an empty one stands for the row's own.
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
    /// A credential without a plugin is native, one without a value an empty password.
    fn verifier(&self) -> Verifier {
        let plugin = self.plugin.as_deref().unwrap_or(NATIVE);
        let value = self.authentication_string.as_deref().unwrap_or_default();
        match native::from_text(value) {
            _ if plugin != NATIVE => Verifier::Other(plugin.to_owned()),
            _ if value.is_empty() => Verifier::NoPassword,
            Some(stage2) => Verifier::Native(stage2),
            // "invalid" and the like: nothing ever matches it
            None => Verifier::Other(plugin.to_owned()),
        }
    }
}

/// Reads an account's JSON; `global` is the server's `max_user_connections`, `ours` is the credential the machinery would have added. `None` for
/// a role, and for what cannot be read: nobody can log in with it here.
fn account(user: &str, host: &str, json: &str, ours: [u8; 20], global: u32) -> Option<Account> {
    // objects only: serde would also read a list as a row without a single field
    let fields: serde_json::Map<String, Value> = serde_json::from_str(json).ok()?;
    let methods = fields.get("auth_or").and_then(Value::as_array);
    if methods.is_some_and(|methods| !methods.iter().all(Value::is_object)) {
        return None;
    }
    let row: Priv = serde_json::from_value(Value::Object(fields)).ok()?;
    if row.is_role {
        return None;
    }
    let ours = Verifier::Native(ours);
    let mut verifiers: Vec<Verifier> = row.methods().iter().map(Method::verifier).collect();
    let all = verifiers.len();
    verifiers.retain(|v| *v != ours);
    Some(Account {
        user: user.to_owned(),
        host: host.to_owned(),
        enrolled: verifiers.len() < all,
        verifiers,
        locked: row.account_locked,
        require_tls: row.ssl_type > 0,
        max_sessions: at_most(row.max_user_connections),
        max_sessions_global: if row.access & SUPER == 0 { global } else { 0 },
    })
}

/// A negative limit lets in only those with `SUPER`; here it is none.
fn at_most(limit: i64) -> u32 {
    u32::try_from(limit).unwrap_or(0)
}

impl Admin {
    /// The accounts a user could log in with: all of them, or those that may be meant by one user
    /// name (their own and the anonymous ones). Roles, `dormouse`@`localhost` and `mariadb.sys`
    /// are left out.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn accounts(&mut self, user: Option<&str>) -> Result<Vec<Account>, AdminError> {
        let mut sql = String::from(
            "SELECT User, Host, Priv, @@global.max_user_connections FROM mysql.global_priv WHERE NOT (User = 'dormouse' AND Host = 'localhost') \
             AND User <> 'mariadb.sys'",
        );
        if let Some(user) = user {
            sql.push_str(&format!(" AND User IN ({}, '')", literal(user)));
        }
        let rows = self.run("a look at the accounts", &sql, PATIENCE).await?;
        let read = |[user, host, json, global]: [String; 4]| {
            let ours = native::stage2(&self.secret.user_stage1(self.instance, &user));
            account(
                &user,
                &host,
                &json,
                ours,
                at_most(global.parse().unwrap_or(0)),
            )
        };
        Ok(rows.texts().filter_map(read).collect())
    }

    /// Lets the proxy log in as this account, whatever its own credentials are; everything else
    /// about it stays. Does nothing for an account that is enrolled, or not there.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn enroll(&mut self, user: &str, host: &str) -> Result<(), AdminError> {
        let hash = self.secret.user_hash(self.instance, user);
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
        self.run("an enrolment", &sql, PATIENCE).await?;
        self.run("an enrolment", "FLUSH LOCAL PRIVILEGES", PATIENCE)
            .await
            .map(drop)
    }

    /// Gives the owner's account `admin`@`%` this password, enrolled and unlocked, in one
    /// statement; makes the account anew if it is gone.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn secure_owner(&mut self, password: [u8; 20]) -> Result<(), AdminError> {
        const NO_SUCH_USER: u16 = 1396;
        let identified = format!(
            "'admin'@'%' IDENTIFIED VIA {NATIVE} USING '{}' OR {NATIVE} USING '{}'",
            native::to_text(&password),
            self.secret.user_hash(self.instance, "admin"),
        );
        let alter = format!("ALTER USER {identified} ACCOUNT UNLOCK");
        match self
            .run("securing the owner's account", &alter, PATIENCE)
            .await
        {
            Err(AdminError::Sql { error, .. }) if error.code == NO_SUCH_USER => {
                let create = format!("CREATE USER IF NOT EXISTS {identified}");
                self.run("making the owner's account", &create, PATIENCE)
                    .await?;
                let grant = "GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION";
                self.run("making the owner's account", grant, PATIENCE)
                    .await
                    .map(drop)
            }
            other => other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests;
