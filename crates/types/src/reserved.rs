//! Names that belong to the server or to Dormouse in every database. No tenant gets rights on them.

/// The schemas of the server itself.
pub const SYSTEM_SCHEMAS: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// The connection attribute with the key of a reserved database.
pub const KEY_ATTRIBUTE: &str = "dormouse_key";

/// Dormouse's own account and that of the server's system views, on every host.
pub const PLATFORM_USERS: [&str; 2] = ["dormouse", "mariadb.sys"];
