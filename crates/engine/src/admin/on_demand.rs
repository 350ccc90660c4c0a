//! Users that a login makes: an account with the credential of its template, and a schema of its own name.
//!
//! The account's row is the first thing written, complete and marked; the mark goes last. So after a crash in between,
//! the next login of the user finds the mark and goes on. A schema that exists already is nobody's to give: only one
//! that carries this module's comment, made for a marked account, is taken for the user's own.

use dormouse_types::UserOnDemand;
use dormouse_wire::native;
use serde_json::{Map, Value};

use super::{Admin, AdminError, TIMEOUT, literal, quoted};
use crate::rights;

const DOING: &str = "making a user on demand";

/// Comment of the schemas that are made here.
const COMMENT: &str = "made on demand, with the user of its name";

/// What a user gets of its template: credentials, what its connections must have, limits, the age of the password.
const INHERITED: [&str; 14] = [
    "plugin",
    "authentication_string",
    "auth_or",
    "ssl_type",
    "ssl_cipher",
    "x509_issuer",
    "x509_subject",
    "max_questions",
    "max_updates",
    "max_connections",
    "max_user_connections",
    "max_statement_time",
    "password_lifetime",
    "password_last_changed",
];

/// The connection, while a user is made.
pub(super) struct Making<'a>(pub(super) &'a mut Admin);

impl Making<'_> {
    /// Makes the user, or completes one that a crash has left without its schema; `false` if it is complete.
    pub(super) async fn make(&mut self, order: &UserOnDemand) -> Result<bool, AdminError> {
        let UserOnDemand {
            user, host, most, ..
        } = order;
        let account = format!("{}@{}", literal(user), literal(host));
        let sql = format!(
            "SELECT Host, COALESCE(JSON_VALUE(Priv, '$.{}'), '') FROM mysql.global_priv WHERE User = {}",
            rights::MARK,
            literal(user)
        );
        let rows = self.0.run(DOING, &sql, TIMEOUT).await?;
        let found: Vec<[String; 2]> = rows.texts().collect();
        match found.iter().find(|[at, _]| at == host) {
            Some([_, mark]) if mark == rights::PENDING => {}
            // another login has made it
            Some(_) => return Ok(false),
            None if !found.is_empty() => {
                return bad(format!(
                    "user {account} is not made on demand: there is another user or role of this name"
                ));
            }
            None => self.add(order, &account, *most).await?,
        }
        for sql in rights::closing(&literal(user), &literal(host)) {
            self.0.run(DOING, &sql, TIMEOUT).await?;
        }
        self.flush().await?;
        match self.comment_of(user).await? {
            Some(comment) if comment == COMMENT => {}
            Some(_) => return taken(user),
            None => {
                let sql = format!(
                    "CREATE DATABASE {} COMMENT {}",
                    quoted(user),
                    literal(COMMENT)
                );
                self.0.run(DOING, &sql, TIMEOUT).await?;
            }
        }
        let own = quoted(&rights::escaped(user));
        let sql = format!("GRANT ALL PRIVILEGES ON {own}.* TO {account}");
        self.0.run(DOING, &sql, TIMEOUT).await?;
        let sql = format!(
            "UPDATE mysql.global_priv SET Priv = JSON_REMOVE(Priv, '$.{}') WHERE User = {} AND Host = {}",
            rights::MARK,
            literal(user),
            literal(host)
        );
        self.0.run(DOING, &sql, TIMEOUT).await?;
        self.flush().await?;
        Ok(true)
    }

    /// Writes the row of the account, which has no rights yet.
    async fn add(
        &mut self,
        order: &UserOnDemand,
        account: &str,
        most: u32,
    ) -> Result<(), AdminError> {
        let UserOnDemand {
            user,
            host,
            template,
            ..
        } = order;
        let Some(template) = template else {
            return bad(format!("user {account} was dropped meanwhile"));
        };
        if self.comment_of(user).await?.is_some() {
            return taken(user);
        }
        let sql = "SELECT (SELECT COUNT(*) FROM mysql.global_priv WHERE User NOT IN ('dormouse', 'mariadb.sys', 'PUBLIC')), \
             (SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN \
             ('mysql', 'sys', 'information_schema', 'performance_schema'))";
        let rows = self.0.run(DOING, sql, TIMEOUT).await?;
        for (column, what) in ["users and roles", "schemas"].into_iter().enumerate() {
            let count: u64 = rows.text(0, column).parse().unwrap_or(u64::MAX);
            if count >= u64::from(most) {
                return bad(format!(
                    "user {account} is not made on demand: the database has {most} {what} or more, and limit \
                     on_demand_in_all = {most} is reached; drop some, or ask whoever runs Dormouse to raise it"
                ));
            }
        }
        let sql = format!(
            "SELECT Priv FROM mysql.global_priv WHERE User = {} AND Host = {}",
            literal(template),
            literal(host)
        );
        let rows = self.0.run(DOING, &sql, TIMEOUT).await?;
        let row = serde_json::from_str::<Map<String, Value>>(&rows.text(0, 0));
        let instance = self.0.instance;
        let ours = [
            self.0.secret.account_hash(instance, template, host),
            native::to_text(&self.0.secret.former_stage2(instance, template)),
        ];
        let Some(row) = row.ok().and_then(|row| heir(row, &ours)) else {
            return bad(format!(
                "user {account} is not made on demand: '{template}'@'{host}' is no template any more, or locked"
            ));
        };
        let sql = format!(
            "INSERT INTO mysql.global_priv (Host, User, Priv) VALUES ({}, {}, {})",
            literal(host),
            literal(user),
            literal(&row)
        );
        self.0.run(DOING, &sql, TIMEOUT).await?;
        self.flush().await
    }

    /// The comment of a schema; `None`: there is no such schema.
    async fn comment_of(&mut self, schema: &str) -> Result<Option<String>, AdminError> {
        let sql = format!(
            "SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {name} \
             AND BINARY SCHEMA_NAME = {name}",
            name = literal(schema)
        );
        let rows = self.0.run(DOING, &sql, TIMEOUT).await?;
        Ok((!rows.rows.is_empty()).then(|| rows.text(0, 0)))
    }

    async fn flush(&mut self) -> Result<(), AdminError> {
        let flush = "FLUSH LOCAL PRIVILEGES";
        self.0.run(DOING, flush, TIMEOUT).await.map(drop)
    }
}

fn bad<T>(why: String) -> Result<T, AdminError> {
    Err(AdminError::BadUser(why))
}

fn taken<T>(schema: &str) -> Result<T, AdminError> {
    bad(format!(
        "user {schema} is not made on demand: schema {schema} exists already, and is not given to a new user; \
         choose another name, or make the user with CREATE USER"
    ))
}

/// The row of a user with the credential of a template, without Dormouse's own; `None` for an account that is no
/// template or is locked.
fn heir(mut template: Map<String, Value>, ours: &[String]) -> Option<String> {
    let is_template = template.get(rights::MARK).and_then(Value::as_str) == Some(rights::TEMPLATE);
    let is_locked = template.get("account_locked").and_then(Value::as_bool) == Some(true);
    if !is_template || is_locked {
        return None;
    }
    let mut row = Map::new();
    row.insert("access".to_owned(), 0.into());
    if let Some(version) = template.remove("version_id") {
        row.insert("version_id".to_owned(), version);
    }
    for key in INHERITED {
        if let Some(value) = template.remove(key) {
            row.insert(key.to_owned(), value);
        }
    }
    if let Some(Value::Array(methods)) = row.get_mut("auth_or") {
        methods.retain(|method| {
            let value = method.get("authentication_string").and_then(Value::as_str);
            !value.is_some_and(|value| ours.iter().any(|one| one == value))
        });
        // an empty object alone is the credential of the row itself
        if methods
            .iter()
            .all(|m| m.as_object().is_some_and(Map::is_empty))
        {
            row.remove("auth_or");
        }
    }
    row.insert(rights::MARK.to_owned(), rights::PENDING.into());
    Some(Value::Object(row).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heir_of(json: &str) -> Option<Value> {
        let row = heir(serde_json::from_str(json).unwrap(), &["*OURS".to_owned()])?;
        Some(serde_json::from_str(&row).unwrap())
    }

    #[test]
    fn a_user_gets_the_credential_of_a_template_and_no_rights() {
        let template = r#"{"access":256,"version_id":101119,"plugin":"mysql_native_password","authentication_string":"*A",
            "auth_or":[{},{"plugin":"mysql_native_password","authentication_string":"*OURS"}],"default_role":"boss",
            "dormouse":"owner","max_user_connections":3,"ssl_type":1,"dormouse_on_demand":"template"}"#;
        let expected = r#"{"access":0,"version_id":101119,"plugin":"mysql_native_password","authentication_string":"*A",
            "max_user_connections":3,"ssl_type":1,"dormouse_on_demand":"pending"}"#;
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(heir_of(template), Some(expected));
        let two = r#"{"auth_or":[{},{"plugin":"ed25519","authentication_string":"k"}],"dormouse_on_demand":"template"}"#;
        let methods = heir_of(two).unwrap();
        assert_eq!(methods["auth_or"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn only_a_template_that_is_not_locked_has_heirs() {
        for other in [
            r#"{"plugin":"mysql_native_password"}"#,
            r#"{"dormouse_on_demand":"pending"}"#,
            r#"{"dormouse_on_demand":"template","account_locked":true}"#,
        ] {
            assert_eq!(heir_of(other), None, "{other}");
        }
    }
}
