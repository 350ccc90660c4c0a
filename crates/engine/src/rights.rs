//! Rights of the accounts in a database's server.
//!
//! A tenant's account holds no global privilege but [`GLOBAL`], and nothing in schema `mysql` but SELECT on
//! [`READABLE`] tables. "All schemas" is the row of schema `%` in `mysql.db`; an exact row for `mysql` without a
//! privilege, and one for `sys` with [`SYS`], take precedence over it (the server uses the most specific row only).
//! GRANT OPTION exists natively on schemas that cannot match a system schema. Who may manage accounts is noted in the
//! account's own row ([`Manager`]); such statements run through Dormouse.
//!
//! Pure; [`admin`](crate::admin) and [`template`](crate::template) write it to servers.

use dormouse_types::Manager;
use dormouse_wire::NATIVE;
use serde_json::{Map, Value};

use crate::Version;

/// Version of the rights: a data directory with an older one is brought to this one before it serves again.
pub const CURRENT: u8 = 2;

/// The owner's account.
pub const OWNER: (&str, &str) = ("admin", "%");

/// Dormouse's account.
pub(crate) const PLATFORM: (&str, &str) = ("dormouse", "localhost");

/// The server's account: definer of its own views.
pub(crate) const SERVER: (&str, &str) = ("mariadb.sys", "localhost");

/// Privileges of a schema: column of `mysql.db`, and bit of the access mask (`sql/privilege.h`).
pub(crate) const SCHEMA: [(&str, u64); 20] = [
    ("Select_priv", 1),
    ("Insert_priv", 1 << 1),
    ("Update_priv", 1 << 2),
    ("Delete_priv", 1 << 3),
    ("Create_priv", 1 << 4),
    ("Drop_priv", 1 << 5),
    ("References_priv", 1 << 11),
    ("Index_priv", 1 << 12),
    ("Alter_priv", 1 << 13),
    ("Create_tmp_table_priv", 1 << 16),
    ("Lock_tables_priv", 1 << 17),
    ("Execute_priv", 1 << 18),
    ("Create_view_priv", 1 << 21),
    ("Show_view_priv", 1 << 22),
    ("Create_routine_priv", 1 << 23),
    ("Alter_routine_priv", 1 << 24),
    ("Event_priv", 1 << 26),
    ("Trigger_priv", 1 << 27),
    ("Delete_history_priv", 1 << 29),
    ("Show_create_routine_priv", 1 << 39),
];

/// Column of the GRANT OPTION in `mysql.db`.
pub(crate) const GRANT: &str = "Grant_priv";

const GRANT_BIT: u64 = 1 << 10;
const CREATE_USER: u64 = 1 << 25;

/// Global privileges that a tenant's account may hold: RELOAD, PROCESS, SHOW DATABASES, BINLOG MONITOR, SLAVE
/// MONITOR.
pub(crate) const GLOBAL: u64 = 1 << 6 | 1 << 8 | 1 << 14 | 1 << 20 | 1 << 38;

/// Privileges in schema `sys`.
pub(crate) const SYS: [&str; 3] = ["Select_priv", "Execute_priv", "Create_tmp_table_priv"];

/// Privileges in schema `mysql`, in the row that closes it. A role needs one at least: when a server merges roles it
/// removes rows without any, and the row of `%` would apply. This one shows definitions of views that the role may read.
pub(crate) const fn closed(role: bool) -> &'static [&'static str] {
    if role { &["Show_view_priv"] } else { &[] }
}

/// Tables of schema `mysql` that hold no secret; owners may read them, since tools expect that.
pub(crate) const READABLE: [&str; 22] = [
    "user",
    "db",
    "tables_priv",
    "columns_priv",
    "procs_priv",
    "roles_mapping",
    "proc",
    "event",
    "time_zone",
    "time_zone_leap_second",
    "time_zone_name",
    "time_zone_transition",
    "time_zone_transition_type",
    "help_category",
    "help_keyword",
    "help_relation",
    "help_topic",
    "innodb_index_stats",
    "innodb_table_stats",
    "column_stats",
    "index_stats",
    "table_stats",
];

/// Tables without which rights cannot be checked or brought up to date.
pub(crate) const NEEDED: [&str; 12] = [
    "columns_priv",
    "db",
    "event",
    "func",
    "global_priv",
    "plugin",
    "proc",
    "procs_priv",
    "proxies_priv",
    "roles_mapping",
    "servers",
    "tables_priv",
];

/// Global privileges that accounts of older databases may have and lose, for the ledger.
const LOST: [(&str, u64); 14] = [
    ("SHUTDOWN", 1 << 7),
    ("FILE", 1 << 9),
    ("SUPER", 1 << 15),
    ("REPLICATION SLAVE", 1 << 19),
    ("CREATE TABLESPACE", 1 << 28),
    ("SET USER", 1 << 30),
    ("FEDERATED ADMIN", 1 << 31),
    ("CONNECTION ADMIN", 1 << 32),
    ("READ_ONLY ADMIN", 1 << 33),
    ("REPLICATION SLAVE ADMIN", 1 << 34),
    ("REPLICATION MASTER ADMIN", 1 << 35),
    ("BINLOG ADMIN", 1 << 36),
    ("BINLOG REPLAY", 1 << 37),
    ("GRANT OPTION", GRANT_BIT),
];

/// Key of [`Manager`] in an account's JSON.
pub const KEY: &str = "dormouse";

/// Key of [`Mark`](dormouse_types::Mark) in an account's JSON.
pub(crate) const MARK: &str = "dormouse_on_demand";

/// The value of [`MARK`] of an account whose credential users on demand get.
pub(crate) const TEMPLATE: &str = "template";

/// That of a user on demand whose schema or rights are missing.
pub(crate) const PENDING: &str = "pending";

/// Statement that marks an account; `user` and `host` are SQL literals.
pub(crate) fn set_mark(user: &str, host: &str, mark: &str) -> String {
    format!(
        "UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, '$.{MARK}', '{mark}') \
         WHERE User = {user} AND Host = {host}"
    )
}

/// Meaning of the access mask: that of MariaDB 10.11.0.
const MASK_VERSION: u64 = 101_100;

/// An older account's rights in terms of this model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reduced {
    /// The account's JSON with reduced rights.
    pub(crate) json: String,
    /// Privileges that it had in all schemas.
    pub(crate) schemas: u64,
    pub(crate) manages: Manager,
    /// Names of the global privileges that it loses.
    pub(crate) lost: Vec<&'static str>,
}

/// Whether a column of `mysql.db` exists in servers of this version.
fn has_column(version: Option<&Version>, column: &str) -> bool {
    column != "Show_create_routine_priv" || version.is_some_and(|v| (v.major, v.minor) >= (11, 3))
}

/// Reduces an account to the rights of this model. The JSON is written anew, so that no reader can understand it
/// differently (repeated keys, escaped names). JSON that is no object becomes a locked account.
pub(crate) fn reduce(json: &str) -> Reduced {
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(json) else {
        return Reduced {
            json: locked_json(),
            schemas: 0,
            manages: Manager::None,
            lost: vec!["its row, which could not be read: it is locked"],
        };
    };
    let access = fields.get("access").and_then(Value::as_u64).unwrap_or(0);
    let is_role = fields.get("is_role").and_then(Value::as_bool) == Some(true);
    let had = fields.get(KEY).and_then(Value::as_str);
    let had = had.map_or(Manager::None, Manager::from_text);
    // all privileges that a schema can have, but the newest, which few accounts were given
    let all = { SCHEMA.iter() }
        .filter(|(name, _)| *name != "Show_create_routine_priv" && *name != "Delete_history_priv")
        .fold(GRANT_BIT | CREATE_USER, |mask, (_, bit)| mask | bit);
    let manages = match had {
        _ if is_role => Manager::None,
        Manager::None if access & all == all => Manager::Owner,
        Manager::None if access & CREATE_USER != 0 => Manager::Users,
        had => had,
    };
    let mut lost: Vec<_> = { LOST.iter() }
        .filter(|(_, bit)| access & bit != 0)
        .filter(|(_, bit)| *bit != GRANT_BIT || manages != Manager::Owner)
        .map(|(name, _)| *name)
        .collect();
    if is_role && access & CREATE_USER != 0 {
        lost.push("CREATE USER");
    }
    fields.insert("access".to_owned(), (access & GLOBAL).into());
    let version = fields.get("version_id").and_then(Value::as_u64);
    let version = version.unwrap_or(0).max(MASK_VERSION);
    fields.insert("version_id".to_owned(), version.into());
    match manages.as_text() {
        Some(manages) => fields.insert(KEY.to_owned(), manages.into()),
        None => fields.remove(KEY),
    };
    let schemas = SCHEMA.iter().fold(0, |mask, (_, bit)| mask | bit) & access;
    Reduced {
        json: Value::Object(fields).to_string(),
        schemas,
        manages,
        lost,
    }
}

/// JSON of an account that nobody can use.
fn locked_json() -> String {
    format!(
        "{{\"access\":0,\"version_id\":{MASK_VERSION},\"plugin\":\"{NATIVE}\",\
         \"authentication_string\":\"invalid\",\"account_locked\":true}}"
    )
}

/// JSON of the owner's account before it has a password.
pub(crate) fn owner_json() -> String {
    format!(
        "{{\"access\":{GLOBAL},\"version_id\":{MASK_VERSION},\"plugin\":\"{NATIVE}\",\
         \"authentication_string\":\"invalid\",\"account_locked\":true,\"{KEY}\":\"{}\"}}",
        Manager::Owner.as_text().unwrap_or_default()
    )
}

/// JSON of Dormouse's account. A mask with all bits set means every privilege of the server's version.
pub(crate) fn platform_json(hash: &str) -> String {
    format!(
        "{{\"access\":18446744073709551615,\"plugin\":\"{NATIVE}\",\
         \"authentication_string\":\"{hash}\"}}"
    )
}

/// JSON of the server's account, as its installer writes it.
pub(crate) fn server_json() -> String {
    format!(
        "{{\"access\":0,\"plugin\":\"{NATIVE}\",\"authentication_string\":\"\",\
         \"account_locked\":true,\"password_last_changed\":0}}"
    )
}

/// JSON of the role that every account has.
pub(crate) fn public_json() -> String {
    format!("{{\"access\":0,\"version_id\":{MASK_VERSION},\"is_role\":true}}")
}

/// Statements that give an account, in `mysql.db`, all schemas but the server's own; `user` and `host` are SQL
/// literals. The rows that close system schemas come first.
pub(crate) fn all_schemas(user: &str, host: &str, version: Option<&Version>) -> Vec<String> {
    let of = |schema: &str, yes: &dyn Fn(&str) -> bool| {
        let columns = SCHEMA.iter().map(|(name, _)| *name);
        let columns: Vec<_> = columns.filter(|name| has_column(version, name)).collect();
        let value = |c: &&str| if yes(c) { "'Y'" } else { "'N'" };
        let values: Vec<_> = columns.iter().map(value).collect();
        format!(
            "REPLACE INTO mysql.db (Host, Db, User, {}, {GRANT}) VALUES ({host}, '{schema}', {user}, {}, 'N')",
            columns.join(", "),
            values.join(", ")
        )
    };
    vec![
        of("mysql", &|_| false),
        of("sys", &|c| SYS.contains(&c)),
        of("%", &|_| true),
    ]
}

/// Statements that close the server's own schemas to an account that may get rights in patterns; `user` and `host` are
/// SQL literals. All columns that are not named are 'N'.
pub(crate) fn closing(user: &str, host: &str) -> [String; 2] {
    let sys = SYS.join(", ");
    let yes = SYS.map(|_| "'Y'").join(", ");
    [
        format!("REPLACE INTO mysql.db (Host, Db, User) VALUES ({host}, 'mysql', {user})"),
        format!(
            "REPLACE INTO mysql.db (Host, Db, User, {sys}) VALUES ({host}, 'sys', {user}, {yes})"
        ),
    ]
}

/// A pattern that matches exactly this schema.
pub(crate) fn escaped(schema: &str) -> String {
    let mut pattern = String::with_capacity(schema.len() + 4);
    for c in schema.chars() {
        if "%_\\".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Statement that lets an account read the tables of `mysql` without secrets; `user` and `host` are SQL literals.
pub(crate) fn readable(user: &str, host: &str) -> String {
    let rows: Vec<_> = { READABLE.iter() }
        .map(|table| format!("({host}, 'mysql', {user}, '{table}', '', 'Select', '')"))
        .collect();
    format!(
        "REPLACE INTO mysql.tables_priv (Host, Db, User, Table_name, Grantor, Table_priv, Column_priv) VALUES {}",
        rows.join(", ")
    )
}

/// Statement that lets the server's account, definer of the view `mysql.user`, read the accounts.
pub(crate) const SERVER_READS: &str = "REPLACE INTO mysql.tables_priv (Host, Db, User, Table_name, Grantor, Table_priv, Column_priv) \
     VALUES ('localhost', 'mysql', 'mariadb.sys', 'global_priv', '', 'Select', '')";

/// Statement that replaces the view `mysql.user`: without Dormouse's account and the server's, and without
/// passwords.
pub(crate) fn user_view() -> String {
    const PRIVILEGES: [(&str, u64); 30] = [
        ("Select", 0),
        ("Insert", 1),
        ("Update", 2),
        ("Delete", 3),
        ("Create", 4),
        ("Drop", 5),
        ("Reload", 6),
        ("Shutdown", 7),
        ("Process", 8),
        ("File", 9),
        ("Grant", 10),
        ("References", 11),
        ("Index", 12),
        ("Alter", 13),
        ("Show_db", 14),
        ("Super", 15),
        ("Create_tmp_table", 16),
        ("Lock_tables", 17),
        ("Execute", 18),
        ("Repl_slave", 19),
        ("Repl_client", 20),
        ("Create_view", 21),
        ("Show_view", 22),
        ("Create_routine", 23),
        ("Alter_routine", 24),
        ("Create_user", 25),
        ("Event", 26),
        ("Trigger", 27),
        ("Create_tablespace", 28),
        ("Delete_history", 29),
    ];
    let text = |key: &str| format!("IFNULL(JSON_VALUE(Priv, '$.{key}'), '')");
    let number =
        |key: &str| format!("CAST(IFNULL(JSON_VALUE(Priv, '$.{key}'), 0) AS UNSIGNED) AS {key}");
    let mut columns: Vec<String> = vec!["Host".into(), "User".into(), "'' AS Password".into()];
    columns.extend(PRIVILEGES.iter().map(|(name, bit)| {
        let bit = 1u64 << bit;
        format!("IF(JSON_VALUE(Priv, '$.access') & {bit}, 'Y', 'N') AS {name}_priv")
    }));
    columns.extend([
        "ELT(IFNULL(JSON_VALUE(Priv, '$.ssl_type'), 0) + 1, '', 'ANY', 'X509', 'SPECIFIED') AS ssl_type"
            .to_owned(),
        format!("{} AS ssl_cipher", text("ssl_cipher")),
        format!("{} AS x509_issuer", text("x509_issuer")),
        format!("{} AS x509_subject", text("x509_subject")),
        number("max_questions"),
        number("max_updates"),
        number("max_connections"),
        "CAST(IFNULL(JSON_VALUE(Priv, '$.max_user_connections'), 0) AS SIGNED) AS max_user_connections"
            .to_owned(),
        format!("{} AS plugin", text("plugin")),
        "'' AS authentication_string".to_owned(),
        "IF(IFNULL(JSON_VALUE(Priv, '$.password_last_changed'), 1) = 0, 'Y', 'N') AS password_expired"
            .to_owned(),
        "IF(IFNULL(JSON_VALUE(Priv, '$.is_role'), FALSE), 'Y', 'N') AS is_role".to_owned(),
        format!("{} AS default_role", text("default_role")),
        "CAST(IFNULL(JSON_VALUE(Priv, '$.max_statement_time'), 0.0) AS DECIMAL(12,6)) AS max_statement_time"
            .to_owned(),
    ]);
    format!(
        "CREATE OR REPLACE DEFINER='mariadb.sys'@'localhost' SQL SECURITY DEFINER VIEW mysql.user AS \
         SELECT {} FROM mysql.global_priv WHERE NOT (Host = 'localhost' AND User IN ('dormouse', 'mariadb.sys') OR Host = '' AND User = 'PUBLIC')",
        columns.join(", ")
    )
}

/// The schema that a row of `mysql.db` names; `None` for a pattern.
pub(crate) fn exact(pattern: &str) -> Option<String> {
    let mut name = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '%' | '_' => return None,
            '\\' => name.push(chars.next().unwrap_or('\\')),
            other => name.push(other),
        }
    }
    Some(name)
}

/// Whether someone with GRANT OPTION on this pattern could pass on rights in `schema`: whether a pattern that this one
/// matches (`a%c` for `a_c`) could match it.
pub(crate) fn reaches(pattern: &str, schema: &str) -> bool {
    // between wildcards of either kind stand literal parts
    let mut parts = vec![String::new()];
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match (c, parts.last_mut()) {
            ('%' | '_', _) => parts.push(String::new()),
            ('\\', Some(part)) => part.push(chars.next().unwrap_or('\\')),
            (other, Some(part)) => part.push(other),
            (_, None) => {}
        }
    }
    let [first, middle @ .., last] = parts.as_slice() else {
        return parts.first().is_some_and(|only| only == schema);
    };
    let Some(mut rest) = schema.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in middle {
        let Some(at) = rest.find(part.as_str()) else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests;
