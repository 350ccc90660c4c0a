//! Schemas and global variables: read before a park, since a database without a server cannot tell them.

use dormouse_types::{VARIABLES, VariableKind, Variables};

use super::{Admin, AdminError, TIMEOUT, literal};

/// Global variables that users of a database may set, with the largest value of those that are sizes: what is restored
/// after a start.
const ALLOWED: [(&str, u64); 68] = [
    ("auto_increment_increment", ANY),
    ("auto_increment_offset", ANY),
    ("autocommit", ANY),
    ("block_encryption_mode", ANY),
    ("character_set_client", ANY),
    ("character_set_collations", ANY),
    ("character_set_connection", ANY),
    ("character_set_database", ANY),
    ("character_set_filesystem", ANY),
    ("character_set_results", ANY),
    ("character_set_server", ANY),
    ("check_constraint_checks", ANY),
    ("collation_connection", ANY),
    ("collation_database", ANY),
    ("collation_server", ANY),
    ("column_compression_threshold", ANY),
    ("default_password_lifetime", ANY),
    ("default_regex_flags", ANY),
    ("default_storage_engine", ANY),
    ("default_week_format", ANY),
    ("disconnect_on_expired_password", ANY),
    ("div_precision_increment", ANY),
    ("eq_range_index_dive_limit", ANY),
    ("explicit_defaults_for_timestamp", ANY),
    ("foreign_key_checks", ANY),
    ("group_concat_max_len", 1 << 30),
    ("histogram_size", ANY),
    ("histogram_type", ANY),
    ("innodb_default_row_format", ANY),
    ("innodb_lock_wait_timeout", ANY),
    ("innodb_strict_mode", ANY),
    ("innodb_table_locks", ANY),
    ("join_buffer_size", 64 << 20),
    ("join_cache_level", ANY),
    ("lc_messages", ANY),
    ("lc_time_names", ANY),
    ("local_infile", ANY),
    ("lock_wait_timeout", ANY),
    ("long_query_time", ANY),
    ("low_priority_updates", ANY),
    ("max_allowed_packet", 1 << 30),
    ("max_error_count", ANY),
    ("max_heap_table_size", 256 << 20),
    ("max_length_for_sort_data", ANY),
    ("max_password_errors", ANY),
    ("max_recursive_iterations", ANY),
    ("max_sort_length", ANY),
    ("max_sp_recursion_depth", ANY),
    ("max_statement_time", ANY),
    ("max_user_connections", ANY),
    ("min_examined_row_limit", ANY),
    ("note_verbosity", ANY),
    ("old_mode", ANY),
    ("optimizer_prune_level", ANY),
    ("optimizer_search_depth", ANY),
    ("optimizer_switch", ANY),
    ("optimizer_use_condition_selectivity", ANY),
    ("read_buffer_size", 64 << 20),
    ("read_rnd_buffer_size", 64 << 20),
    ("sort_buffer_size", 64 << 20),
    ("sql_mode", ANY),
    ("sql_select_limit", ANY),
    ("time_zone", ANY),
    ("tmp_table_size", 256 << 20),
    ("transaction_isolation", ANY),
    ("tx_isolation", ANY),
    ("unique_checks", ANY),
    ("updatable_views_with_limit", ANY),
];

const ANY: u64 = u64::MAX;

/// Whether users of a database may set a global variable to this value.
fn is_allowed(name: &str, value: &str) -> bool {
    let known = ALLOWED.iter().find(|(known, _)| *known == name);
    known.is_some_and(|(_, most)| *most == ANY || value.parse().is_ok_and(|n: u64| n <= *most))
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

/// The schemas and global variables of a running server.
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
