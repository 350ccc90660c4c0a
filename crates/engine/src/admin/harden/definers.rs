//! Stored code that would run with the rights of Dormouse's account or of the server's: it gets the owner as its
//! definer.

use super::{AdminError, Hardening};
use crate::admin::{literal, quoted};

/// Definers that no stored code of a database may have.
const RESERVED: &str = "('dormouse@localhost', 'mariadb.sys@localhost')";

/// Definer of stored code that had one of [`RESERVED`].
const OWNER: &str = "admin@%";

/// Gives stored code outside the server's schemas another definer; closes code in those that was changed to run with
/// its definer's rights.
pub(super) async fn harden(
    admin: &mut Hardening<'_>,
    taken: &mut Vec<String>,
) -> Result<(), AdminError> {
    routines_and_events(admin, taken).await?;
    views(admin, taken).await?;
    triggers(admin, taken).await
}

async fn routines_and_events(
    admin: &mut Hardening<'_>,
    taken: &mut Vec<String>,
) -> Result<(), AdminError> {
    let reserved = format!("LOWER(CONVERT(definer USING utf8mb4)) IN {RESERVED}");
    let of_database = format!("{reserved} AND db NOT IN ('sys', 'mysql')");
    for (what, table, kind) in [("routine", "proc", "type"), ("event", "event", "db")] {
        let sql = format!("SELECT db, name, {kind} FROM mysql.{table} WHERE {of_database}");
        for [schema, name, _] in admin.read(&sql).await?.texts() {
            taken.push(format!("{what} {schema}.{name}: the definer, now {OWNER}"));
        }
        let sql = format!("UPDATE mysql.{table} SET definer = '{OWNER}' WHERE {of_database}");
        admin.change(&sql).await?;
    }
    // the server's own routines run with their caller's rights
    let changed = "db IN ('sys', 'mysql') AND security_type <> 'INVOKER'";
    for sql in [
        format!("UPDATE mysql.proc SET security_type = 'INVOKER' WHERE {changed}"),
        "DELETE FROM mysql.event WHERE db IN ('sys', 'mysql')".to_owned(),
    ] {
        admin.change(&sql).await?;
    }
    Ok(())
}

async fn views(admin: &mut Hardening<'_>, taken: &mut Vec<String>) -> Result<(), AdminError> {
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, SECURITY_TYPE, ALGORITHM, CHECK_OPTION, VIEW_DEFINITION \
         FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN ('sys', 'mysql') AND LOWER(DEFINER) IN {RESERVED}"
    );
    let found: Vec<_> = admin.read(&sql).await?.texts().collect();
    for [schema, name, security, algorithm, check, text] in found {
        let view = format!("{}.{}", quoted(&schema), quoted(&name));
        let check = match check.as_str() {
            "CASCADED" => " WITH CASCADED CHECK OPTION",
            "LOCAL" => " WITH LOCAL CHECK OPTION",
            _ => "",
        };
        let sql = format!(
            "CREATE OR REPLACE ALGORITHM = {algorithm} DEFINER = 'admin'@'%' SQL SECURITY {security} \
             VIEW {view} AS {text}{check}"
        );
        if admin.attempt(&sql).await? {
            taken.push(format!("view {view}: the definer, now {OWNER}"));
        } else {
            // it refers to what does not exist now, but may later
            admin.change(&format!("DROP VIEW IF EXISTS {view}")).await?;
            taken.push(format!("view {view}: it ran with Dormouse's rights"));
        }
    }
    Ok(())
}

async fn triggers(admin: &mut Hardening<'_>, taken: &mut Vec<String>) -> Result<(), AdminError> {
    let sql = format!(
        "SELECT TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER, SQL_MODE FROM information_schema.TRIGGERS \
         WHERE TRIGGER_SCHEMA NOT IN ('sys', 'mysql') AND LOWER(DEFINER) IN {RESERVED}"
    );
    let found: Vec<_> = admin.read(&sql).await?.texts().collect();
    for [schema, name, definer, mode] in found {
        let trigger = format!("{}.{}", quoted(&schema), quoted(&name));
        let text = admin
            .read(&format!("SHOW CREATE TRIGGER {trigger}"))
            .await?;
        let text = text.text(0, 2);
        let (user, host) = definer.split_once('@').unwrap_or_default();
        let prefix = format!("CREATE DEFINER={}@{} ", quoted(user), quoted(host));
        let recreated = match text.strip_prefix(&prefix) {
            Some(rest) => {
                let mode = format!("SET SESSION sql_mode = {}", literal(&mode));
                let schema = format!("USE {}", quoted(&schema));
                let create = format!("CREATE OR REPLACE DEFINER='admin'@'%' {rest}");
                let done = admin.attempt(&schema).await?
                    && admin.attempt(&mode).await?
                    && admin.attempt(&create).await?;
                admin.change("SET SESSION sql_mode = ''").await?;
                done
            }
            None => false,
        };
        if recreated {
            taken.push(format!("trigger {trigger}: the definer, now {OWNER}"));
        } else {
            admin
                .change(&format!("DROP TRIGGER IF EXISTS {trigger}"))
                .await?;
            taken.push(format!("trigger {trigger}: it ran with Dormouse's rights"));
        }
    }
    Ok(())
}
