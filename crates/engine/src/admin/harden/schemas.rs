//! Rights in schemas: `mysql.db`.

use std::collections::{BTreeMap, BTreeSet};

use super::{AdminError, Hardening, Name, Reduction};
use crate::admin::literal;
use dormouse_types::reserved::SYSTEM_SCHEMAS;

use crate::rights::{self, GRANT, SCHEMA, SYS};

/// The rows of `mysql.db`: for an account and a pattern, the columns that say 'Y'.
type Granted = BTreeMap<(Name, String), BTreeSet<String>>;

/// Gives accounts the privileges that they had globally in all schemas but the server's own, and closes those.
pub(super) async fn harden(
    admin: &mut Hardening<'_>,
    accounts: &[Reduction],
    taken: &mut Vec<String>,
) -> Result<(), AdminError> {
    let columns = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'mysql' \
                   AND TABLE_NAME = 'db' AND COLUMN_NAME LIKE '%\\_priv' ORDER BY ORDINAL_POSITION";
    let columns = admin.read(columns).await?;
    let columns: Vec<_> = columns.texts().map(|[column]| column).collect();
    let before = read(admin, &columns).await?;
    let after = reduced(&before, accounts, &columns, taken);
    // a row that closes a schema comes before the row that would open it
    let (closing, others): (Vec<_>, Vec<_>) = { after.iter() }
        .filter(|(key, granted)| before.get(*key) != Some(granted))
        .partition(|((_, schema), _)| rights::exact(schema).is_some());
    for ((name, schema), granted) in closing.into_iter().chain(others) {
        admin
            .change(&replace(name, schema, granted, &columns))
            .await?;
    }
    for (name, schema) in before.keys().filter(|key| !after.contains_key(*key)) {
        let sql = format!(
            "DELETE FROM mysql.db WHERE Host = {} AND Db = {} AND User = {}",
            literal(&name.host),
            literal(schema),
            literal(&name.user)
        );
        admin.change(&sql).await?;
    }
    Ok(())
}

async fn read(admin: &mut Hardening<'_>, columns: &[String]) -> Result<Granted, AdminError> {
    let flags: Vec<_> = columns.iter().map(|c| format!("`{c}` = 'Y'")).collect();
    let sql = format!("SELECT Host, Db, User, {} FROM mysql.db", flags.join(", "));
    let rows = admin.read(&sql).await?;
    let row = |row: usize| {
        let name = Name {
            host: rows.text(row, 0),
            user: rows.text(row, 2),
        };
        let granted = columns.iter().enumerate();
        let granted = granted.filter(|(at, _)| rows.text(row, at + 3) == "1");
        let granted = granted.map(|(_, column)| column.clone()).collect();
        ((name, rows.text(row, 1)), granted)
    };
    Ok((0..rows.rows.len()).map(row).collect())
}

/// The rows as they should be.
fn reduced(
    before: &Granted,
    accounts: &[Reduction],
    columns: &[String],
    taken: &mut Vec<String>,
) -> Granted {
    let mut after = Granted::new();
    for ((name, schema), granted) in before {
        if name.is_reserved() {
            continue;
        }
        let mut granted = granted.clone();
        let exact = rights::exact(schema);
        if let Some("mysql" | "sys") = exact.as_deref() {
            let closed = match schema.as_str() {
                "sys" => &SYS[..],
                "mysql" => rights::closed(name.host.is_empty()),
                _ => &[],
            };
            if granted.iter().any(|c| !closed.contains(&c.as_str())) {
                taken.push(format!("{name}: rights in `{schema}`"));
            }
            continue;
        }
        let reaches = || {
            SYSTEM_SCHEMAS
                .iter()
                .any(|system| rights::reaches(schema, system))
        };
        if granted.contains(GRANT) && reaches() {
            granted.remove(GRANT);
            taken.push(format!("{name}: GRANT OPTION on `{schema}`"));
        }
        after.insert((name.clone(), schema.clone()), granted);
    }
    for one in accounts {
        let had = SCHEMA
            .iter()
            .filter(|(_, bit)| one.after.schemas & bit != 0);
        let had: Vec<_> = had.map(|(column, _)| (*column).to_owned()).collect();
        if !had.is_empty() {
            let key = (one.name.clone(), "%".to_owned());
            let known = had.into_iter().filter(|column| columns.contains(column));
            after.entry(key).or_default().extend(known);
        }
    }
    let mut names: BTreeSet<Name> = after.keys().map(|(name, _)| name.clone()).collect();
    names.extend(accounts.iter().map(|one| one.name.clone()));
    for name in names {
        let of = |all: &[&str]| all.iter().map(|column| (*column).to_owned()).collect();
        let closed = of(rights::closed(name.host.is_empty()));
        after.insert((name.clone(), "mysql".to_owned()), closed);
        after.insert((name, "sys".to_owned()), of(&SYS));
    }
    after
}

fn replace(name: &Name, schema: &str, granted: &BTreeSet<String>, columns: &[String]) -> String {
    let names: Vec<_> = columns.iter().map(|c| format!("`{c}`")).collect();
    let flag = |column: &String| {
        if granted.contains(column) {
            "'Y'"
        } else {
            "'N'"
        }
    };
    let flags: Vec<_> = columns.iter().map(flag).collect();
    format!(
        "REPLACE INTO mysql.db (Host, Db, User, {}) VALUES ({}, {}, {}, {})",
        names.join(", "),
        literal(&name.host),
        literal(schema),
        literal(&name.user),
        flags.join(", ")
    )
}
