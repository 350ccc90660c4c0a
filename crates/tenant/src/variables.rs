//! The global variables that an owner may set, each with the reason why.

use crate::ast::Value;
use crate::render::text;

/// What values a variable takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// `ON` or `OFF`.
    Switch,
    /// Whole numbers from the first to the second.
    Whole(i64, i64),
    /// Numbers from 0 to this.
    Fraction(u32),
    /// A word, a list of words, or a number that stands for one. The server checks it.
    Words,
    /// A storage engine whose tables are in the database's own files.
    Engine,
}

/// A global variable that an owner may set.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
    /// Why it may be set.
    pub reason: &'static str,
}

const DEFAULTS: &str = "the default of new sessions; each session may set it anyway";
const PARSING: &str = "how the statements of new sessions are read and checked";
const MEMORY: &str = "memory of each session, within the database's own limit";
const PLANS: &str = "how queries are planned";
const WAITS: &str = "how long statements and sessions wait or last";
const ACCOUNTS: &str = "rules for the database's own accounts";
const TABLES: &str = "how tables are made and checked";
const LOGS: &str = "what counts as slow";

const MIB: i64 = 1 << 20;
const YEAR: i64 = 31_536_000;

const fn of(name: &'static str, values: Values, reason: &'static str) -> Variable {
    Variable {
        name,
        values,
        reason,
    }
}

use Values::{Engine, Fraction, Switch, Whole, Words};

/// All of them, by reason.
pub static VARIABLES: [Variable; 78] = [
    of("autocommit", Switch, DEFAULTS),
    of("auto_increment_increment", Whole(1, 65_535), DEFAULTS),
    of("auto_increment_offset", Whole(1, 65_535), DEFAULTS),
    of("big_tables", Switch, DEFAULTS),
    of("check_constraint_checks", Switch, DEFAULTS),
    of("completion_type", Words, DEFAULTS),
    of("default_week_format", Whole(0, 7), DEFAULTS),
    of("div_precision_increment", Whole(0, 30), DEFAULTS),
    of("foreign_key_checks", Switch, DEFAULTS),
    of("group_concat_max_len", Whole(4, 1024 * MIB), DEFAULTS),
    of("lc_messages", Words, DEFAULTS),
    of("lc_time_names", Words, DEFAULTS),
    of("low_priority_updates", Switch, DEFAULTS),
    of("net_retry_count", Whole(1, 1000), DEFAULTS),
    of("profiling_history_size", Whole(0, 100), DEFAULTS),
    of("session_track_schema", Switch, DEFAULTS),
    of("session_track_state_change", Switch, DEFAULTS),
    of("session_track_system_variables", Words, DEFAULTS),
    of("session_track_transaction_info", Words, DEFAULTS),
    of("sql_safe_updates", Switch, DEFAULTS),
    of("sql_select_limit", Whole(0, i64::MAX), DEFAULTS),
    of("sql_warnings", Switch, DEFAULTS),
    of("sql_notes", Switch, DEFAULTS),
    of("time_zone", Words, DEFAULTS),
    of("transaction_isolation", Words, DEFAULTS),
    of("transaction_read_only", Switch, DEFAULTS),
    of("tx_isolation", Words, DEFAULTS),
    of("tx_read_only", Switch, DEFAULTS),
    of("unique_checks", Switch, DEFAULTS),
    of("updatable_views_with_limit", Words, DEFAULTS),
    of("character_set_client", Words, PARSING),
    of("character_set_collations", Words, PARSING),
    of("character_set_connection", Words, PARSING),
    of("character_set_database", Words, PARSING),
    of("character_set_results", Words, PARSING),
    of("character_set_server", Words, PARSING),
    of("collation_connection", Words, PARSING),
    of("collation_database", Words, PARSING),
    of("collation_server", Words, PARSING),
    of("explicit_defaults_for_timestamp", Switch, PARSING),
    of("note_verbosity", Words, PARSING),
    of("old_mode", Words, PARSING),
    of("sql_mode", Words, PARSING),
    of("sql_quote_show_create", Switch, PARSING),
    of("join_buffer_size", Whole(128, 256 * MIB), MEMORY),
    of("max_allowed_packet", Whole(MIB, 1024 * MIB), MEMORY),
    of("max_heap_table_size", Whole(16_384, 1024 * MIB), MEMORY),
    of("max_sort_length", Whole(64, 8 * MIB), MEMORY),
    of("read_buffer_size", Whole(8192, 64 * MIB), MEMORY),
    of("read_rnd_buffer_size", Whole(1, 64 * MIB), MEMORY),
    of("sort_buffer_size", Whole(1024, 256 * MIB), MEMORY),
    of("tmp_memory_table_size", Whole(0, 1024 * MIB), MEMORY),
    of("tmp_table_size", Whole(0, 1024 * MIB), MEMORY),
    of("eq_range_index_dive_limit", Whole(0, 4_294_967_295), PLANS),
    of(
        "in_predicate_conversion_threshold",
        Whole(0, 4_294_967_295),
        PLANS,
    ),
    of("join_cache_level", Whole(0, 8), PLANS),
    of("optimizer_prune_level", Whole(0, 2), PLANS),
    of("optimizer_search_depth", Whole(0, 62), PLANS),
    of(
        "optimizer_selectivity_sampling_limit",
        Whole(10, 4_294_967_295),
        PLANS,
    ),
    of("optimizer_switch", Words, PLANS),
    of("optimizer_use_condition_selectivity", Whole(1, 5), PLANS),
    of("histogram_size", Whole(0, 255), PLANS),
    of("use_stat_tables", Words, PLANS),
    of("idle_transaction_timeout", Whole(0, YEAR), WAITS),
    of("innodb_lock_wait_timeout", Whole(0, 100_000_000), WAITS),
    of("interactive_timeout", Whole(1, YEAR), WAITS),
    of("lock_wait_timeout", Whole(0, YEAR), WAITS),
    of("max_statement_time", Fraction(31_536_000), WAITS),
    of("wait_timeout", Whole(1, YEAR), WAITS),
    of("disconnect_on_expired_password", Switch, ACCOUNTS),
    of("local_infile", Switch, ACCOUNTS),
    of("max_password_errors", Whole(1, 4_294_967_295), ACCOUNTS),
    of("default_storage_engine", Engine, TABLES),
    of("innodb_default_row_format", Words, TABLES),
    of("innodb_strict_mode", Switch, TABLES),
    of("log_queries_not_using_indexes", Switch, LOGS),
    of("long_query_time", Fraction(31_536_000), LOGS),
    of("min_examined_row_limit", Whole(0, 4_294_967_295), LOGS),
];

/// Engines whose tables are in the files of the database.
const ENGINES: [&str; 5] = ["InnoDB", "Aria", "MyISAM", "MEMORY", "CSV"];

/// The option because of which no server of a database lets anybody set this variable (in lower case).
#[must_use]
pub fn prevented_by(name: &str) -> Option<&'static str> {
    // as on every server that begins without a limit
    (name == "max_user_connections").then_some("--max-user-connections=0")
}

/// The variable of this name (in lower case), if an owner may set it.
#[must_use]
pub fn find(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|one| one.name == name)
}

impl Variable {
    /// Whether the owner may set the variable to a value that is known as text, as the server shows it.
    #[must_use]
    pub fn allows(&self, shown: &str) -> bool {
        let number = shown.parse::<i64>().is_ok() || shown.parse::<u64>().is_ok();
        let value = if number || matches!(self.values, Fraction(_)) {
            Value::Number(shown.to_owned())
        } else {
            Value::Text(shown.to_owned())
        };
        self.rendered(&value).is_ok()
    }

    /// The value as SQL, or what values there are.
    pub(crate) fn rendered(&self, value: &Value) -> Result<String, String> {
        let value = match value {
            Value::Default => return Ok("DEFAULT".to_owned()),
            Value::Null => return Err("it cannot be NULL".to_owned()),
            Value::Expression(_) => return Err("its value is not known yet".to_owned()),
            Value::Number(value) | Value::Text(value) => value.as_str(),
        };
        match self.values {
            Switch => {
                let on = ["ON", "1", "TRUE", "YES"];
                let off = ["OFF", "0", "FALSE", "NO"];
                let is = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
                match (is(&on), is(&off)) {
                    (true, _) => Ok("ON".to_owned()),
                    (_, true) => Ok("OFF".to_owned()),
                    _ => Err("it is ON or OFF".to_owned()),
                }
            }
            Whole(least, most) => {
                // the server's highest value of some variables is above i64::MAX
                let number = match value.parse::<u64>() {
                    Ok(number) if most == i64::MAX => return Ok(number.to_string()),
                    Ok(number) => i64::try_from(number).ok(),
                    Err(_) => value.parse::<i64>().ok(),
                };
                let within = number.filter(|number| (least..=most).contains(number));
                within
                    .map(|number| number.to_string())
                    .ok_or_else(|| format!("it is a whole number from {least} to {most}"))
            }
            Fraction(most) => {
                let digits = value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                let number = value
                    .parse::<f64>()
                    .ok()
                    .filter(|_| digits && value.len() <= 24);
                number
                    .filter(|number| (0.0..=f64::from(most)).contains(number))
                    .map(|_| value.to_owned())
                    .ok_or_else(|| format!("it is a number from 0 to {most}"))
            }
            Words => Ok(match value.parse::<u64>() {
                Ok(number) => number.to_string(),
                Err(_) => text(value),
            }),
            Engine => {
                let engine = ENGINES.iter().find(|one| one.eq_ignore_ascii_case(value));
                engine
                    .map(|engine| text(engine))
                    .ok_or_else(|| format!("it is one of {}", ENGINES.join(", ")))
            }
        }
    }
}
