//! Schemas and global variables: read before a park, since a database without a server cannot tell them.

use dormouse_types::{VARIABLES, VariableKind, Variables};

use super::{Admin, AdminError, TIMEOUT, literal};

/// Whether users of a database may set a global variable to this value.
fn is_allowed(name: &str, value: &str) -> bool {
    dormouse_tenant::variables::find(name).is_some_and(|variable| variable.allows(value))
}

/// Variables that Dormouse sets itself, or that trigger an action when set.
const OWN: [&str; 19] = [
    "innodb_buffer_pool_size",
    "innodb_buffer_pool_dump_now",
    "innodb_buffer_pool_load_now",
    "innodb_buffer_pool_load_abort",
    "innodb_buffer_pool_dump_pct",
    "innodb_buffer_pool_dump_at_shutdown",
    "innodb_fast_shutdown",
    "innodb_encrypt_tables",
    "innodb_encryption_threads",
    "innodb_encryption_rotate_key_age",
    "innodb_default_encryption_key_id",
    "aria_encrypt_tables",
    "encrypt_tmp_disk_tables",
    "innodb_log_checkpoint_now",
    "innodb_log_file_size",
    "gtid_slave_pos",
    "gtid_binlog_state",
    "wait_timeout",
    "interactive_timeout",
];

/// A variable that the server refused to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSet {
    /// Its name.
    pub name: String,
    /// The server's error.
    pub reason: String,
}

/// The schemas, the global variables and the stored code of a running server.
#[derive(Debug)]
pub struct Settings<'a>(pub(super) &'a mut Admin);

impl Settings<'_> {
    /// The schemas, in the server's order.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn schemas(self) -> Result<Vec<String>, AdminError> {
        let rows = self
            .0
            .run("reading the schemas", "SHOW DATABASES", TIMEOUT)
            .await?;
        Ok(rows.texts().map(|[name]| name).collect())
    }

    /// The global variables set by SQL since the server started, with their values as SQL literals; only those
    /// that users of a database may set.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn changed_globals(self) -> Result<Vec<(String, String)>, AdminError> {
        let sql = "SELECT LOWER(VARIABLE_NAME), VARIABLE_TYPE, GLOBAL_VALUE FROM information_schema.SYSTEM_VARIABLES \
                   WHERE GLOBAL_VALUE_ORIGIN = 'SQL' AND READ_ONLY = 'NO' AND GLOBAL_VALUE IS NOT NULL \
                   ORDER BY VARIABLE_NAME";
        let rows = self
            .0
            .run("reading the global variables", sql, TIMEOUT)
            .await?;
        let changed = rows
            .texts::<3>()
            .filter(|[name, _, value]| is_allowed(name, value));
        Ok(changed
            .map(|[name, kind, value]| (name, value_literal(&kind, &value)))
            .collect())
    }

    /// The global variables that clients read ([`VARIABLES`]), as `SELECT @@GLOBAL.name` shows them.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn variables(self) -> Result<Variables, AdminError> {
        let names: Vec<String> = VARIABLES.iter().map(|v| literal(v.name)).collect();
        let sql = format!(
            "SELECT LOWER(VARIABLE_NAME), COALESCE(GLOBAL_VALUE, ''), GLOBAL_VALUE_ORIGIN \
             FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME IN ({})",
            names.join(", ")
        );
        let rows = self
            .0
            .run("reading the global variables", &sql, TIMEOUT)
            .await?;
        // the expression that Django sends
        let zones = "SELECT CONVERT_TZ('2001-01-01 01:00:00','UTC','UTC') IS NOT NULL";
        let zones = self.0.run("reading the time zones", zones, TIMEOUT).await?;
        let mut changed = false;
        let mut all = vec![(Variables::TIME_ZONES.to_owned(), zones.text(0, 0))];
        for [name, value, origin] in rows.texts() {
            let by_sql = origin == "SQL";
            changed |= by_sql;
            // values of own variables that were set by SQL are lost at a restart
            if !by_sql || !OWN.contains(&name.as_str()) {
                all.push((name.clone(), shown(&name, value)));
            }
        }
        all.push((Variables::CHANGED.to_owned(), u8::from(changed).to_string()));
        Ok(all.into_iter().collect())
    }

    /// Sets global variables to values from [`changed_globals`](Self::changed_globals). Returns those
    /// that the server, which may be of another version, refused, and those that users may not set: values from an
    /// older Dormouse, which let them.
    ///
    /// # Errors
    /// As [`AdminError`] says, but not for single refused variables.
    pub async fn apply_globals(
        self,
        globals: &[(String, String)],
    ) -> Result<Vec<NotSet>, AdminError> {
        let plain = |value: &str| value.trim_matches('\'').to_owned();
        let (globals, forbidden): (Vec<_>, Vec<_>) = { globals.iter() }
            .cloned()
            .partition(|(name, value)| is_allowed(name, &plain(value)));
        let mut not_set: Vec<_> = { forbidden.into_iter() }
            .map(|(name, _)| NotSet {
                name,
                reason: "users of a database may not set it to this value".to_owned(),
            })
            .collect();
        if globals.is_empty() {
            return Ok(not_set);
        }
        let all: Vec<String> = globals
            .iter()
            .map(|(n, v)| format!("GLOBAL `{n}` = {v}"))
            .collect();
        let set = |what: &str| format!("SET {what}");
        match self
            .0
            .run("setting variables", &set(&all.join(", ")), TIMEOUT)
            .await
        {
            Err(AdminError::Sql { .. }) => {}
            other => return other.map(|_| not_set),
        }
        for ((name, _), one) in globals.iter().zip(&all) {
            match self.0.run("setting a variable", &set(one), TIMEOUT).await {
                Err(AdminError::Sql { error, .. }) => {
                    not_set.push(NotSet {
                        name: name.clone(),
                        reason: error.to_string(),
                    });
                }
                other => drop(other?),
            }
        }
        Ok(not_set)
    }
}

/// A variable's value as `SELECT` shows it.
fn shown(name: &str, value: String) -> String {
    let is_flag = VARIABLES
        .iter()
        .any(|v| v.name == name && v.kind == VariableKind::Flag);
    match value.as_str() {
        "ON" if is_flag => "1".to_owned(),
        "OFF" if is_flag => "0".to_owned(),
        _ => value,
    }
}

/// Quotes a value unless its type is numeric: a server refuses quoted numbers and unquoted texts.
fn value_literal(kind: &str, value: &str) -> String {
    let numeric = ["INT", "DOUBLE"].iter().any(|word| kind.contains(word));
    let plain = !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if numeric && plain {
        value.to_owned()
    } else {
        literal(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_by_their_type() {
        for (kind, value, expected) in [
            ("BIGINT UNSIGNED", "151", "151"),
            ("INT", "-1", "-1"),
            ("DOUBLE", "0.500000", "0.500000"),
            ("VARCHAR", "151", "'151'"),
            ("VARCHAR", "it's", "'it''s'"),
            ("BOOLEAN", "ON", "'ON'"),
            ("INT", "1; DROP", "'1; DROP'"),
            ("INT", "", "''"),
        ] {
            assert_eq!(value_literal(kind, value), expected);
        }
    }
}
