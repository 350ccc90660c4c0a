//! `CHECK TABLE` for every table, and tables that have no definition.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Admin, AdminError, TIMEOUT, quoted};

/// Time limit for one table.
const LONGEST: Duration = Duration::from_secs(3600);

/// Most tables that are named.
const NAMED: usize = 20;

const TABLES: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
    WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')";

/// What InnoDB has: names as in file names, of which the server reads the parts. Not what it makes by itself (`#sql`, full-text
/// indexes), and a table with partitions once.
const IN_INNODB: &str = "SELECT DISTINCT \
    CONVERT(CONVERT(CAST(s AS BINARY) USING filename) USING utf8mb4), \
    CONVERT(CONVERT(CAST(t AS BINARY) USING filename) USING utf8mb4), CONCAT(s, '/', t) FROM ( \
    SELECT SUBSTRING_INDEX(NAME, '/', 1) s, SUBSTRING_INDEX(SUBSTRING_INDEX(NAME, '/', -1), '#', 1) t \
    FROM information_schema.INNODB_SYS_TABLES WHERE NAME LIKE '%/%' AND NAME NOT LIKE '%/#%' \
    AND NAME NOT REGEXP '/FTS_[0-9a-f]{16}_') named";

/// What has a definition, the file `.frm`.
const DEFINED: &str = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES";

/// The tables that InnoDB has and that have no definition: nobody can read them.
///
/// # Errors
/// As [`AdminError`] says.
pub async fn undefined_tables(admin: &mut Admin) -> Result<Vec<String>, AdminError> {
    let defined = admin.run("listing definitions", DEFINED, TIMEOUT).await?;
    let defined: BTreeSet<[String; 2]> = defined.texts().collect();
    let all = admin
        .run("listing tables of InnoDB", IN_INNODB, TIMEOUT)
        .await?;
    let missing = all
        .texts()
        .filter_map(|[schema, table, file]: [String; 3]| {
            let name = format!("{schema}.{table}");
            (!defined.contains(&[schema, table]))
                .then(|| format!("{name}: its definition is missing, the file {file}.frm"))
        });
    Ok(missing.take(NAMED).collect())
}

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
