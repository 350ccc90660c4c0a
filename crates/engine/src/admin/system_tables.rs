//! The server's own tables, views and routines, brought to those of another version.
//!
//! A newer server runs on older files, but its own tables in them lack columns and its schema `sys` is that of the older one.
//! What is needed is read from a fresh server of the newer version ([`SystemTables::of`]), since the script of
//! `mariadb-upgrade` is in no file of the server's package, and is made on the older files ([`SystemTables::install`]):
//! columns that are missing or different, tables that are missing, and all of `sys`. Columns that the newer version does not have
//! stay, as do rows and the texts of the help tables.
//!
//! Idempotent, and safe to repeat after a crash at any statement, but for one thing: privileges that the older version does
//! not know may then be missing in accounts that have all others. It runs on a server that is started for maintenance
//! ([`repair`](crate::repair)), and rights are brought up to date afterwards ([`Admin::harden`]).

use std::collections::BTreeMap;
use std::time::Duration;

use dormouse_tenant::render::text as literal;

use super::{Admin, AdminError, OWN_SESSION, Rows};

const DOING: &str = "bringing the server's own tables to its version";

/// Deadline of one statement: a table of statistics may be large.
const LIMIT: Duration = Duration::from_secs(600);

/// Schemas with the server's own tables.
const SCHEMAS: [&str; 2] = ["mysql", "sys"];

/// The schema whose views and routines are replaced.
const SYS: &str = "sys";

const NO_SUCH_TABLE: u16 = 1146;

/// The tables, views and routines of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemTables {
    tables: Vec<Table>,
    /// Procedures, functions and triggers.
    code: Vec<Code>,
    views: Vec<Code>,
}

/// A table of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    schema: String,
    name: String,
    create: String,
}

/// A stored program or view of schema `sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Code {
    kind: &'static str,
    name: String,
    /// Names of a mode, a character set and a collation.
    session: [String; 3],
    create: String,
}

impl SystemTables {
    /// Those of a fresh server.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn of(admin: &mut Admin) -> Result<Self, AdminError> {
        admin.query("SET SESSION sql_quote_show_create = 1").await?;
        let schemas = SCHEMAS.map(literal).join(", ");
        let sql = format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' \
             AND TABLE_SCHEMA IN ({schemas}) ORDER BY TABLE_SCHEMA, TABLE_NAME"
        );
        let mut tables = Vec::new();
        for [schema, name] in run(admin, &sql).await?.texts() {
            let create = shown(admin, "TABLE", &schema, &name).await?.text(0, 1);
            tables.push(Table {
                schema,
                name,
                create,
            });
        }
        let mut code = Vec::new();
        let sql = "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.ROUTINES \
                   WHERE ROUTINE_SCHEMA = 'sys' ORDER BY ROUTINE_TYPE, ROUTINE_NAME";
        for [kind, name] in run(admin, sql).await?.texts() {
            let kind = if kind == "FUNCTION" {
                "FUNCTION"
            } else {
                "PROCEDURE"
            };
            code.push(Code::shown(admin, kind, name).await?);
        }
        let sql = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'sys' \
                   ORDER BY TRIGGER_NAME";
        for [name] in run(admin, sql).await?.texts() {
            code.push(Code::shown(admin, "TRIGGER", name).await?);
        }
        let sql = "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'sys' ORDER BY TABLE_NAME";
        let mut views = Vec::new();
        for [name] in run(admin, sql).await?.texts() {
            views.push(Code::shown(admin, "VIEW", name).await?);
        }
        Ok(Self {
            tables,
            code,
            views,
        })
    }

    /// Makes them on a server that runs on older files, for maintenance; returns the tables that were changed or made, as
    /// `schema.table`.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn install(&self, admin: &mut Admin) -> Result<Vec<String>, AdminError> {
        for sql in [
            "SET SESSION sql_quote_show_create = 1, SESSION sql_log_bin = 0",
            "CREATE SCHEMA IF NOT EXISTS sys CHARACTER SET utf8mb3 COLLATE utf8mb3_general_ci",
        ] {
            run(admin, sql).await?;
        }
        let mut changed = Vec::new();
        for table in &self.tables {
            if table.install(admin).await? {
                changed.push(format!("{}.{}", table.schema, table.name));
            }
        }
        run(admin, "USE sys").await?;
        for code in &self.code {
            let (kind, name) = (code.kind, quoted(&code.name));
            run(admin, &format!("DROP {kind} IF EXISTS sys.{name}")).await?;
            code.create(admin, &code.create).await?;
        }
        self.install_views(admin).await?;
        run(admin, OWN_SESSION).await?;
        Ok(changed)
    }

    /// Replaces the views. They use each other, so one that fails is tried again after others were made.
    async fn install_views(&self, admin: &mut Admin) -> Result<(), AdminError> {
        let mut left: Vec<&Code> = self.views.iter().collect();
        loop {
            let (before, mut failed, mut last) = (left.len(), Vec::new(), None);
            for view in left {
                let text = match view.create.strip_prefix("CREATE ") {
                    Some(rest) => format!("CREATE OR REPLACE {rest}"),
                    None => view.create.clone(),
                };
                match view.create(admin, &text).await {
                    Ok(()) => {}
                    Err(error @ AdminError::Sql { .. }) => {
                        failed.push(view);
                        last = Some(error);
                    }
                    Err(other) => return Err(other),
                }
            }
            match last {
                None => return Ok(()),
                Some(error) if failed.len() == before => return Err(error),
                Some(_) => left = failed,
            }
        }
    }
}

impl Table {
    /// Makes the table, or changes its columns; returns whether there was anything to do.
    async fn install(&self, admin: &mut Admin) -> Result<bool, AdminError> {
        let found = shown(admin, "TABLE", &self.schema, &self.name).await;
        let found = match found {
            Ok(rows) => rows.text(0, 1),
            Err(AdminError::Sql { error, .. }) if error.code == NO_SUCH_TABLE => {
                run(admin, &format!("USE {}", quoted(&self.schema))).await?;
                run(admin, &self.create).await?;
                return Ok(true);
            }
            Err(other) => return Err(other),
        };
        let (before, after) = (columns(&found), columns(&self.create));
        let clauses = clauses(&before, &after);
        if clauses.is_empty() {
            return Ok(false);
        }
        let table = format!("{}.{}", quoted(&self.schema), quoted(&self.name));
        run(
            admin,
            &format!("ALTER TABLE {table} {}", clauses.join(", ")),
        )
        .await?;
        if (self.schema.as_str(), self.name.as_str()) == ("mysql", "db") {
            for sql in new_privileges(&before, &after) {
                run(admin, &sql).await?;
            }
        }
        Ok(true)
    }
}

impl Code {
    async fn shown(
        admin: &mut Admin,
        kind: &'static str,
        name: String,
    ) -> Result<Self, AdminError> {
        let rows = shown(admin, kind, SYS, &name).await?;
        let of = |wanted: &str| {
            let at = rows.columns.iter().position(|column| column == wanted);
            at.map_or(String::new(), |at| rows.text(0, at))
        };
        let create = [
            "Create Procedure",
            "Create Function",
            "Create View",
            "SQL Original Statement",
        ];
        let create = create.into_iter().map(of).find(|text| !text.is_empty());
        let session = ["sql_mode", "character_set_client", "collation_connection"].map(of);
        Ok(Self {
            kind,
            session,
            create: create.unwrap_or_default(),
            name,
        })
    }

    async fn create(&self, admin: &mut Admin, text: &str) -> Result<(), AdminError> {
        let [mode, charset, collation] = self.session.each_ref().map(|text| literal(text));
        let session = format!(
            "SET SESSION sql_mode = {mode}, SESSION character_set_client = {charset}, \
             SESSION collation_connection = {collation}"
        );
        run(admin, &session).await?;
        run(admin, text).await.map(drop)
    }
}

async fn run(admin: &mut Admin, sql: &str) -> Result<Rows, AdminError> {
    admin.run(DOING, sql, LIMIT).await
}

async fn shown(
    admin: &mut Admin,
    kind: &str,
    schema: &str,
    name: &str,
) -> Result<Rows, AdminError> {
    let (schema, name) = (quoted(schema), quoted(name));
    run(admin, &format!("SHOW CREATE {kind} {schema}.{name}")).await
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The columns in the answer of `SHOW CREATE TABLE`, in order: names, and definitions that begin with them. The names of the
/// server's own columns have no backticks.
fn columns(create: &str) -> Vec<(&str, &str)> {
    let column = |line| {
        let line = str::strip_prefix(line, "  ")?;
        let (name, _) = line.strip_prefix('`')?.split_once('`')?;
        Some((name, line.strip_suffix(',').unwrap_or(line)))
    };
    create.lines().filter_map(column).collect()
}

/// Clauses of `ALTER TABLE` that make the columns of `after` of those of `before`. Others stay.
fn clauses(before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
    let known: BTreeMap<_, _> = before.iter().copied().collect();
    let mut last = None;
    let mut clauses = Vec::new();
    for (name, definition) in after {
        let place = match last {
            None => "FIRST".to_owned(),
            Some(last) => format!("AFTER {}", quoted(last)),
        };
        match known.get(name) {
            Some(old) if old == definition => {}
            Some(_) => clauses.push(format!("MODIFY COLUMN {definition} {place}")),
            None => clauses.push(format!("ADD COLUMN {definition} {place}")),
        }
        last = Some(*name);
    }
    clauses
}

/// Statements that give privileges which older versions do not know to those who have all others in a schema.
fn new_privileges(before: &[(&str, &str)], after: &[(&str, &str)]) -> Vec<String> {
    let privileges = |all: &[(&str, &str)]| -> Vec<String> {
        let names = all.iter().map(|(name, _)| (*name).to_owned());
        names
            .filter(|name| name.ends_with("_priv") && name != crate::rights::GRANT)
            .collect()
    };
    let old = privileges(before);
    let all: Vec<_> = old
        .iter()
        .map(|name| format!("{} = 'Y'", quoted(name)))
        .collect();
    { privileges(after).into_iter() }
        .filter(|name| !old.contains(name))
        .map(|name| {
            format!(
                "UPDATE mysql.db SET {} = 'Y' WHERE {}",
                quoted(&name),
                all.join(" AND ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "CREATE TABLE `db` (\n  `Host` char(255) NOT NULL DEFAULT '',\n  \
        `Select_priv` enum('N','Y') NOT NULL DEFAULT 'N',\n  `Grant_priv` enum('N','Y') NOT NULL,\n  \
        `Gone` int(11),\n  PRIMARY KEY (`Host`)\n) ENGINE=Aria COMMENT='  `x` y'";
    const NEW: &str = "CREATE TABLE `db` (\n  `Host` char(300) NOT NULL DEFAULT '',\n  \
        `Select_priv` enum('N','Y') NOT NULL DEFAULT 'N',\n  `Grant_priv` enum('N','Y') NOT NULL,\n  \
        `Show_priv` enum('N','Y') NOT NULL DEFAULT 'N',\n  PRIMARY KEY (`Host`)\n) ENGINE=Aria";

    #[test]
    fn columns_are_read_as_they_are_shown() {
        let names: Vec<_> = columns(OLD).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Host", "Select_priv", "Grant_priv", "Gone"]);
        let (_, definition) = columns(OLD)[0];
        assert_eq!(definition, "`Host` char(255) NOT NULL DEFAULT ''");
    }

    #[test]
    fn what_differs_is_changed_and_what_is_missing_is_added_in_its_place() {
        assert_eq!(
            clauses(&columns(OLD), &columns(NEW)),
            [
                "MODIFY COLUMN `Host` char(300) NOT NULL DEFAULT '' FIRST",
                "ADD COLUMN `Show_priv` enum('N','Y') NOT NULL DEFAULT 'N' AFTER `Grant_priv`",
            ]
        );
        assert_eq!(clauses(&columns(NEW), &columns(NEW)), [""; 0]);
    }

    #[test]
    fn a_new_privilege_goes_to_those_who_have_all_others() {
        assert_eq!(
            new_privileges(&columns(OLD), &columns(NEW)),
            ["UPDATE mysql.db SET `Show_priv` = 'Y' WHERE `Select_priv` = 'Y'"]
        );
    }
}
