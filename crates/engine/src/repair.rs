//! SQL that makes a server let Dormouse in again, whatever users have done to its account.
//!
//! The server runs it at a start for maintenance ([`config::render`](crate::config::render)): without privilege
//! tables, events and the plugins that its files name, and before it serves anybody. It stops at the first error, so
//! what may fail has a handler.

use crate::{Secret, rights};

/// The account table, as the server's installer makes it.
const ACCOUNTS: &str = "(Host CHAR(255) NOT NULL DEFAULT '', User CHAR(128) NOT NULL DEFAULT '', \
    Priv LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '{}' CHECK (JSON_VALID(Priv)), \
    PRIMARY KEY (Host, User)) ENGINE=Aria TRANSACTIONAL=1 CHARACTER SET utf8mb3 COLLATE utf8mb3_bin \
    COMMENT='Users and global privileges'";

/// The statements, one in each line. They restore the account table if a view or nothing is in its place, and Dormouse's
/// account.
#[must_use]
pub fn sql(secret: &Secret) -> String {
    let platform = rights::platform_json(&secret.admin_hash());
    let table =
        "TABLE_SCHEMA = 'mysql' AND TABLE_NAME = 'global_priv' AND TABLE_TYPE = 'BASE TABLE'";
    let steps = [
        "SET SESSION sql_mode = '', lock_wait_timeout = 5".to_owned(),
        format!("IF NOT EXISTS (SELECT 1 FROM information_schema.TABLES WHERE {table}) THEN"),
        "DROP VIEW IF EXISTS mysql.global_priv".to_owned(),
        "SET @renamed = (SELECT CONCAT('RENAME TABLE `', REPLACE(TABLE_SCHEMA, '`', '``'), '`.`', \
         REPLACE(TABLE_NAME, '`', '``'), '` TO mysql.global_priv') FROM information_schema.TABLES \
         WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_COMMENT = 'Users and global privileges' \
         ORDER BY TABLE_SCHEMA = 'mysql' DESC LIMIT 1)"
            .to_owned(),
        "IF @renamed IS NOT NULL THEN EXECUTE IMMEDIATE @renamed".to_owned(),
        "END IF".to_owned(),
        format!("CREATE TABLE IF NOT EXISTS mysql.global_priv {ACCOUNTS}"),
        "END IF".to_owned(),
        "DELETE FROM mysql.global_priv WHERE User = 'dormouse' AND Host = 'localhost'".to_owned(),
        format!(
            "INSERT INTO mysql.global_priv (Host, User, Priv) VALUES ('localhost', 'dormouse', '{platform}')"
        ),
    ];
    let mut block =
        "BEGIN NOT ATOMIC DECLARE CONTINUE HANDLER FOR SQLEXCEPTION BEGIN END;".to_owned();
    for step in steps {
        block.push(' ');
        block.push_str(&step);
        if !step.ends_with(" THEN") {
            block.push(';');
        }
    }
    let needed = rights::NEEDED.map(|name| format!("'{name}'")).join(", ");
    let all = rights::NEEDED.len();
    // a server that has rights for PUBLIC crashes if one of the tables is missing; without this it reads none
    format!(
        "{block} END;\nBEGIN NOT ATOMIC IF (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mysql' \
         AND TABLE_NAME IN ({needed})) = {all} THEN FLUSH PRIVILEGES; END IF; END;\n"
    )
}
