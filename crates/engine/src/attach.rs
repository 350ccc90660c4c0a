//! A session's connection id on its backend.
//!
//! A server's `CONNECTION_ID()` is the variable `pseudo_thread_id` (`sql/item_create.cc`), which takes a privilege that
//! no account of a tenant has. So Dormouse sets it by a procedure that runs with Dormouse's rights and that everybody
//! may call; it asks for a proof that only Dormouse can make, since it takes a key that only the server and Dormouse
//! can read. A proof is for one step from one id to another.

use dormouse_types::InstanceId;
use hmac::digest::Digest as _;
use sha2::Sha256;

use crate::secret::to_hex;
use crate::{Secret, rights};

/// The procedure; its schema is closed to everybody.
pub const PROCEDURE: &str = "dormouse_attach";

/// Name of the file with the key, in [`Layout::files`](crate::Layout::files): `LOAD_FILE` gives it to accounts with the
/// privilege FILE only.
pub const KEY_FILE: &str = "attach.key";

/// Makes the procedure and lets everybody call it. Idempotent; for a server without privilege tables, or before
/// `FLUSH PRIVILEGES`.
pub(crate) fn statements() -> [String; 4] {
    let (user, host) = rights::PLATFORM;
    [
        "SET sql_mode = ''".to_owned(),
        // one line: a server that makes its own schemas reads statements by lines
        format!(
            "CREATE OR REPLACE DEFINER='{user}'@'{host}' PROCEDURE mysql.{PROCEDURE}(id INT UNSIGNED, \
             proof CHAR(64) CHARACTER SET latin1) SQL SECURITY DEFINER IF proof = BINARY SHA2(CONCAT(\
             LOAD_FILE(CONCAT(@@secure_file_priv, '{KEY_FILE}')), CONNECTION_ID(), ':', id), 256) \
             THEN SET pseudo_thread_id = id; ELSE SIGNAL SQLSTATE '42000' \
             SET MESSAGE_TEXT = 'only Dormouse sets the id of a connection'; END IF"
        ),
        format!(
            "REPLACE INTO mysql.global_priv (Host, User, Priv) SELECT '', 'PUBLIC', '{}' FROM DUAL \
             WHERE NOT EXISTS (SELECT 1 FROM mysql.global_priv WHERE Host = '' AND User = 'PUBLIC')",
            rights::public_json()
        ),
        format!(
            "REPLACE INTO mysql.procs_priv (Host, Db, User, Routine_name, Routine_type, Grantor, Proc_priv) \
             VALUES ('', 'mysql', 'PUBLIC', '{PROCEDURE}', 'PROCEDURE', '{user}@{host}', 'Execute')"
        ),
    ]
}

/// The key of an instance, as its file has it.
#[must_use]
pub fn key(secret: &Secret, instance: InstanceId) -> String {
    to_hex(&secret.attach_key(instance))
}

/// The statement that gives a backend the connection id `to`, while it has `from`.
#[must_use]
pub fn statement(key: &str, from: u32, to: u32) -> String {
    let proof = Sha256::digest(format!("{key}{from}:{to}"));
    format!("CALL mysql.{PROCEDURE}({to}, '{}')", to_hex(&proof))
}
