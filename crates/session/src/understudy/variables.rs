//! The system variables that have the same value on an understudy as in the session.

use crate::lexer::Token;

/// Variables with a session value that is restored. Those of `dormouse_tenant::variables` that have one, and
/// `sql_auto_is_null`, but not
/// - those whose values Dormouse or an understudy decides: timeouts for waiting, reading and writing,
///   `max_statement_time`, `idle_transaction_timeout`, `max_allowed_packet`, `session_track_…`,
///   `profiling_history_size`;
/// - those that follow the schema: `character_set_database`, `collation_database`.
const SESSION: [&str; 63] = [
    "autocommit",
    "auto_increment_increment",
    "auto_increment_offset",
    "big_tables",
    "check_constraint_checks",
    "completion_type",
    "default_week_format",
    "div_precision_increment",
    "foreign_key_checks",
    "group_concat_max_len",
    "lc_messages",
    "lc_time_names",
    "low_priority_updates",
    "net_retry_count",
    "sql_auto_is_null",
    "sql_safe_updates",
    "sql_select_limit",
    "sql_warnings",
    "sql_notes",
    "time_zone",
    "transaction_isolation",
    "transaction_read_only",
    "tx_isolation",
    "tx_read_only",
    "unique_checks",
    "updatable_views_with_limit",
    "character_set_client",
    "character_set_collations",
    "character_set_connection",
    "character_set_results",
    "character_set_server",
    "collation_connection",
    "collation_server",
    "explicit_defaults_for_timestamp",
    "note_verbosity",
    "old_mode",
    "sql_mode",
    "sql_quote_show_create",
    "join_buffer_size",
    "max_heap_table_size",
    "max_sort_length",
    "read_buffer_size",
    "read_rnd_buffer_size",
    "sort_buffer_size",
    "tmp_memory_table_size",
    "tmp_table_size",
    "eq_range_index_dive_limit",
    "in_predicate_conversion_threshold",
    "join_cache_level",
    "optimizer_prune_level",
    "optimizer_search_depth",
    "optimizer_selectivity_sampling_limit",
    "optimizer_switch",
    "optimizer_use_condition_selectivity",
    "histogram_size",
    "use_stat_tables",
    "innodb_lock_wait_timeout",
    "lock_wait_timeout",
    "default_storage_engine",
    "innodb_strict_mode",
    "log_queries_not_using_indexes",
    "long_query_time",
    "min_examined_row_limit",
];

/// Constants of a server's version. Not `have_ssl`, `have_symlink` and paths, which follow from its options.
const CONSTANTS: [&str; 19] = [
    "character_set_system",
    "have_compress",
    "have_crypt",
    "have_dynamic_loading",
    "have_geometry",
    "have_openssl",
    "have_profiling",
    "have_query_cache",
    "have_rtree_keys",
    "license",
    "lower_case_table_names",
    "protocol_version",
    "version",
    "version_comment",
    "version_compile_machine",
    "version_compile_os",
    "version_malloc_library",
    "version_source_revision",
    "version_ssl_library",
];

fn find(names: &'static [&'static str], name: &[u8]) -> Option<&'static str> {
    let is = |one: &&&str| one.as_bytes().eq_ignore_ascii_case(name);
    names.iter().find(is).copied()
}

/// What the statement before has left, as [`diagnostics`](crate::diagnostics) tells.
const LEFT: [&str; 2] = ["error_count", "warning_count"];

/// Whether `@@name` and `@@SESSION.name` may be read.
pub(super) fn is_readable(name: &[u8]) -> bool {
    is_alike(name) || find(&LEFT, name).is_some()
}

fn is_alike(name: &[u8]) -> bool {
    let known = find(&SESSION, name).or_else(|| find(&CONSTANTS, name));
    known.is_some()
}

/// The variable of this name, in lower case, if a session may set it on an understudy. Not `autocommit`: it decides
/// when transactions begin and end.
pub(super) fn settable(name: Token<'_>) -> Option<&'static str> {
    let Token::Word(name) = name else {
        return None;
    };
    find(&SESSION, name).filter(|name| *name != "autocommit")
}

/// Whether a row of `SHOW SESSION VARIABLES` on an understudy is the same as the database's own would be, by the
/// variable's name in any case. The caller wakes the database if it is not.
#[must_use]
pub fn may_show(name: &str) -> bool {
    is_alike(name.as_bytes())
}
