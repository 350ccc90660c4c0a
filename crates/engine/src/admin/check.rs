//! `CHECK TABLE` for every table.

use std::time::Duration;

use super::{Admin, AdminError, TIMEOUT, quoted};

/// Time limit for one table.
const LONGEST: Duration = Duration::from_secs(3600);

/// Most tables that are named.
const NAMED: usize = 20;

const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')";

/// Checks every table; returns those that are damaged, the first twenty, as `schema.table: reason`.
///
/// # Errors
/// As [`AdminError`] says.
pub async fn check_tables(admin: &mut Admin) -> Result<Vec<String>, AdminError> {
    let all = admin.run("listing tables", TABLES, TIMEOUT).await?;
    let all: Vec<[String; 2]> = all.texts().collect();
    let mut damaged = Vec::new();
    for [schema, table] in all {
        let sql = format!("CHECK TABLE {}.{}", quoted(&schema), quoted(&table));
        let said = admin.run("checking a table", &sql, LONGEST).await?;
        let wrong = said
            .texts()
            .find(|[_, _, kind, _]: &[String; 4]| kind.eq_ignore_ascii_case("error"));
        if let Some([_, _, _, reason]) = wrong {
            damaged.push(format!("{schema}.{table}: {reason}"));
        }
        if damaged.len() == NAMED {
            break;
        }
    }
    Ok(damaged)
}
