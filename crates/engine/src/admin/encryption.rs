//! Encrypting a server's files with its newest key, while statements run.

use std::time::Duration;

use super::{Admin, AdminError, TIMEOUT, literal, quoted};
use crate::encryption::plugin;

/// Time limit for rebuilding one Aria table, which blocks its writers.
const REBUILD: Duration = Duration::from_secs(3600);

/// Number of the server's threads that encrypt, while there is something to do.
const THREADS: u32 = 2;

/// Most tables that are listed.
const MAX_LISTED: usize = 20;

/// Interval at which the progress is read.
const POLL: Duration = Duration::from_millis(100);

/// Aria tables that the server can encrypt. `mysql.*` is among them: accounts, routines, events.
const ARIA: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE ENGINE = 'Aria' AND ROW_FORMAT = 'Page' AND TABLE_TYPE = 'BASE TABLE' \
    AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')";

/// InnoDB tables that their owner wants plain, which a server with `innodb_encrypt_tables=FORCE` only leaves as they are.
const DECLINED: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE ENGINE = 'InnoDB' AND TABLE_TYPE = 'BASE TABLE' \
    AND CREATE_OPTIONS REGEXP 'encrypted[^=]*=[^a-z]*no'";

/// Tables that are not encrypted: their engine cannot, or their owner has managed to have it so. A tablespace's name is
/// `schema/table`.
const PLAIN: &str = "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.TABLES \
    WHERE TABLE_TYPE = 'BASE TABLE' \
    AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys') \
    AND (ENGINE IN ('MyISAM', 'MRG_MyISAM', 'CSV', 'ARCHIVE') \
         OR ENGINE = 'Aria' AND ROW_FORMAT <> 'Page') \
    UNION SELECT REPLACE(NAME, '/', '.') FROM information_schema.INNODB_TABLESPACES_ENCRYPTION \
    WHERE ENCRYPTION_SCHEME = 0 LIMIT";

const SPACES: &str = "SELECT COUNT(*), \
    COALESCE(SUM(ENCRYPTION_SCHEME = 1 AND MIN_KEY_VERSION = CURRENT_KEY_VERSION \
                 AND NOT ROTATING_OR_FLUSHING), 0), \
    COALESCE(MAX(IF(NAME = 'innodb_system', CURRENT_KEY_VERSION, 0)), 0) \
    FROM information_schema.INNODB_TABLESPACES_ENCRYPTION";

/// A server's encryption.
#[derive(Debug)]
pub struct Encryption<'a>(pub(super) &'a mut Admin);

/// How many of the server's InnoDB tablespaces are encrypted with the newest key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Tablespaces that are.
    pub done: u32,
    /// All tablespaces.
    pub all: u32,
    /// Version of the newest key that the server has; 0 if no tablespace is encrypted yet.
    pub version: u32,
}

/// All files are encrypted with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// The key's version.
    pub version: u32,
    /// The binary log may still have files that need an older key.
    pub binary_log: bool,
}

impl Encryption<'_> {
    /// Encrypts everything with the newest key that the server has: Aria tables one after the other, InnoDB by the server's
    /// threads in the background. Returns when all is done; may be repeated. `None` if the server has no keys.
    ///
    /// # Errors
    /// As [`AdminError`] says; for instance, an Aria table is locked for seconds.
    pub async fn convert(&mut self) -> Result<Option<Converted>, AdminError> {
        if !self.has_keys().await? {
            return Ok(None);
        }
        // the binary log would replay the rebuilding of tables elsewhere
        self.0.query("SET SESSION sql_log_bin = 0").await?;
        self.threads(THREADS).await?;
        let tables = self.0.query(ARIA).await?;
        for [schema, table] in tables.texts() {
            let sql = format!("ALTER TABLE {}.{} FORCE", quoted(&schema), quoted(&table));
            match self.0.run("encrypting a table", &sql, REBUILD).await {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
        let declined = self.0.query(DECLINED).await?;
        for [schema, table] in declined.texts() {
            let sql = format!(
                "ALTER TABLE {}.{} ENCRYPTED=DEFAULT",
                quoted(&schema),
                quoted(&table)
            );
            match self.0.run("encrypting a table", &sql, REBUILD).await {
                Err(error) if !is_gone(&error) => return Err(error),
                _ => {}
            }
        }
        let version = loop {
            let progress = self.progress().await?;
            if progress.done == progress.all && progress.version > 0 {
                break progress.version;
            }
            tokio::time::sleep(POLL).await;
        };
        self.threads(0).await?;
        let binary_log = self.0.query("SELECT @@GLOBAL.log_bin").await?.text(0, 0) == "1";
        Ok(Some(Converted {
            version,
            binary_log,
        }))
    }

    /// How far the encryption is.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn progress(&mut self) -> Result<Progress, AdminError> {
        let rows = self.0.query(SPACES).await?;
        let number = |column| rows.text(0, column).parse().unwrap_or(0);
        Ok(Progress {
            all: number(0),
            done: number(1),
            version: number(2),
        })
    }

    /// The first twenty tables that are not encrypted, as `schema.table`.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn plain_tables(&mut self) -> Result<Vec<String>, AdminError> {
        let sql = format!("{PLAIN} {MAX_LISTED}");
        let doing = "listing tables that are not encrypted";
        let tables = self.0.run(doing, &sql, TIMEOUT).await?;
        Ok(tables.texts().map(|[name]| name).collect())
    }

    async fn has_keys(&mut self) -> Result<bool, AdminError> {
        let sql = format!(
            "SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME = {} AND PLUGIN_STATUS = 'ACTIVE'",
            literal(plugin::NAME)
        );
        Ok(!self.0.query(&sql).await?.rows.is_empty())
    }

    async fn threads(&mut self, count: u32) -> Result<(), AdminError> {
        let sql = format!("SET GLOBAL innodb_encryption_threads = {count}");
        self.0.query(&sql).await.map(drop)
    }
}

/// Whether the table was dropped meanwhile.
fn is_gone(error: &AdminError) -> bool {
    const NO_SUCH_SCHEMA: u16 = 1049;
    const NO_SUCH_TABLE: u16 = 1146;
    matches!(error, AdminError::Sql { error, .. } if [NO_SUCH_SCHEMA, NO_SUCH_TABLE].contains(&error.code))
}
