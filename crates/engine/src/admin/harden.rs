//! Brings the rights in a data directory of an older Dormouse to those of [`rights`].
//!
//! Idempotent, and safe to repeat after a crash at any statement: rights are added where they belong before they are
//! taken from where they were. The server reads the new rights at the end. It runs before the database's own code
//! can: the server is started for it alone, without privilege tables, events and the database's plugins
//! ([`repair`](crate::repair)).

use std::collections::BTreeSet;

use dormouse_tenant::check::names;
use dormouse_types::Manager;

use super::{Admin, AdminError, Rows, TIMEOUT, literal};
use crate::attach;
use crate::rights::{self, PLATFORM, SERVER};

mod definers;
mod schemas;

/// What is being done, for errors.
const DOING: &str = "bringing its accounts to this version's rights";

/// Libraries of plugins that reach neither the host nor the network; data or logins may depend on them.
const HARMLESS: [&str; 4] = [
    "ha_archive",
    "ha_blackhole",
    "password_reuse_check",
    "simple_password_check",
];

/// An account or role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    host: String,
    user: String,
}

impl Name {
    fn is(&self, (user, host): (&str, &str)) -> bool {
        self.user == user && self.host.eq_ignore_ascii_case(host)
    }

    /// Whether it is Dormouse's account or the server's.
    fn is_reserved(&self) -> bool {
        self.is(PLATFORM) || self.is(SERVER)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}'@'{}'", self.user, self.host)
    }
}

/// An account of the server as it is, and as it should be.
struct Reduction {
    name: Name,
    before: String,
    after: rights::Reduced,
}

/// The connection, while the rights are changed.
pub(super) struct Hardening<'a>(pub(super) &'a mut Admin);

impl Hardening<'_> {
    /// Brings the server's accounts and their rights, definers, plugins and system views to this version's; returns
    /// what was taken away.
    ///
    /// # Errors
    /// As [`AdminError`] says; [`AdminError::Broken`] if a privilege table is missing.
    pub(super) async fn run(&mut self) -> Result<Vec<String>, AdminError> {
        self.check_tables().await?;
        let mut taken = Vec::new();
        let accounts = self.reductions().await?;
        schemas::harden(self, &accounts, &mut taken).await?;
        self.tables_and_routines(&accounts, &mut taken).await?;
        self.global(&accounts, &mut taken).await?;
        self.anonymous(&accounts, &mut taken).await?;
        self.plugins(&mut taken).await?;
        definers::harden(self, &mut taken).await?;
        self.system_views(&mut taken).await?;
        for sql in attach::statements() {
            self.change(&sql).await?;
        }
        self.change("FLUSH PRIVILEGES").await?;
        Ok(taken)
    }

    async fn check_tables(&mut self) -> Result<(), AdminError> {
        let sql = "SELECT TABLE_NAME FROM information_schema.TABLES \
                   WHERE TABLE_SCHEMA = 'mysql' AND TABLE_TYPE = 'BASE TABLE'";
        let found: BTreeSet<_> = self.read(sql).await?.texts().map(|[name]| name).collect();
        let missing: Vec<_> = { rights::NEEDED.iter() }
            .filter(|name| !found.contains(**name))
            .map(|name| format!("mysql.{name}"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(AdminError::Broken(missing.join(", ")))
    }

    async fn reductions(&mut self) -> Result<Vec<Reduction>, AdminError> {
        let rows = self
            .read("SELECT Host, User, Priv FROM mysql.global_priv ORDER BY Host, User")
            .await?;
        let reduced = rows.texts().map(|[host, user, before]| Reduction {
            name: Name { host, user },
            after: rights::reduce(&before),
            before,
        });
        Ok(reduced.filter(|one| !one.name.is_reserved()).collect())
    }

    /// Rights in tables, columns and routines of system schemas.
    async fn tables_and_routines(
        &mut self,
        accounts: &[Reduction],
        taken: &mut Vec<String>,
    ) -> Result<(), AdminError> {
        let readable = rights::READABLE.map(literal).join(", ");
        let kept = format!("Db = 'mysql' AND Table_name IN ({readable})");
        let odd = format!(
            "Db IN ('mysql', 'sys') AND NOT ({kept} AND Table_priv = 'Select' AND Column_priv = '')"
        );
        let rows = self
            .read(&format!(
                "SELECT DISTINCT User, Host, CONCAT(Db, '.', Table_name) FROM mysql.tables_priv WHERE {odd} \
                 AND NOT (User = 'mariadb.sys' AND Host = 'localhost')"
            ))
            .await?;
        let lost =
            |[user, host, table]: [String; 3]| format!("'{user}'@'{host}': rights in {table}");
        taken.extend(rows.texts().map(lost));
        let reserved = "Host = 'localhost' AND User IN ('dormouse', 'mariadb.sys')";
        for sql in [
            // a SELECT beside other rights stays
            format!(
                "UPDATE mysql.tables_priv SET Table_priv = 'Select', Column_priv = '' \
                 WHERE {kept} AND FIND_IN_SET('Select', Table_priv)"
            ),
            format!("DELETE FROM mysql.tables_priv WHERE {odd} OR {reserved}"),
            "DELETE FROM mysql.columns_priv WHERE Db IN ('mysql', 'sys')".to_owned(),
            "DELETE FROM mysql.procs_priv WHERE Db IN ('mysql', 'sys')".to_owned(),
            "DELETE FROM mysql.proxies_priv".to_owned(),
            format!(
                "DELETE FROM mysql.roles_mapping WHERE {reserved} OR Role IN ('dormouse', 'mariadb.sys')"
            ),
            rights::SERVER_READS.to_owned(),
        ] {
            self.change(&sql).await?;
        }
        for one in accounts {
            if one.after.manages == Manager::Owner {
                let sql = rights::readable(&literal(&one.name.user), &literal(&one.name.host));
                self.change(&sql).await?;
            }
        }
        Ok(())
    }

    /// Global rights; call it when rights in schemas are in place.
    async fn global(
        &mut self,
        accounts: &[Reduction],
        taken: &mut Vec<String>,
    ) -> Result<(), AdminError> {
        let hash = self.0.secret.admin_hash();
        for ((user, host), json) in [
            (PLATFORM, rights::platform_json(&hash)),
            (SERVER, rights::server_json()),
        ] {
            let (user, host, json) = (literal(user), literal(host), literal(&json));
            let sql = format!(
                "REPLACE INTO mysql.global_priv (Host, User, Priv) VALUES ({host}, {user}, {json})"
            );
            self.change(&sql).await?;
        }
        for Reduction {
            name,
            before,
            after,
        } in accounts
        {
            if *before != after.json {
                let sql = format!(
                    "UPDATE mysql.global_priv SET Priv = {} WHERE User = {} AND Host = {}",
                    literal(&after.json),
                    literal(&name.user),
                    literal(&name.host)
                );
                self.change(&sql).await?;
            }
            if !after.lost.is_empty() {
                taken.push(format!("{name}: {}", after.lost.join(", ")));
            }
        }
        Ok(())
    }

    /// Anonymous accounts that take the place of every account for other hosts: nobody could log in.
    async fn anonymous(
        &mut self,
        accounts: &[Reduction],
        taken: &mut Vec<String>,
    ) -> Result<(), AdminError> {
        let anonymous = accounts.iter().map(|one| &one.name);
        let anonymous = anonymous.filter(|name| name.user.is_empty() && !name.host.is_empty());
        for name in anonymous.filter(|name| names::new_account("", &name.host).is_err()) {
            for table in ["mysql.db", "mysql.global_priv"] {
                let host = literal(&name.host);
                self.change(&format!(
                    "DELETE FROM {table} WHERE User = '' AND Host = {host}"
                ))
                .await?;
            }
            taken.push(format!("anonymous account {name}"));
        }
        Ok(())
    }

    /// Plugins, functions from libraries, and servers of other machines.
    async fn plugins(&mut self, taken: &mut Vec<String>) -> Result<(), AdminError> {
        let plugins = self.read("SELECT name, dl FROM mysql.plugin").await?;
        for [name, library] in plugins.texts() {
            let plain = library.strip_suffix(".so").unwrap_or(&library);
            if HARMLESS.contains(&plain) {
                continue;
            }
            let delete = format!("DELETE FROM mysql.plugin WHERE name = {}", literal(&name));
            self.change(&delete).await?;
            if crate::config::LOGINS.contains(&plain) {
                // its configuration loads it
                continue;
            }
            let quoted = super::quoted(&name);
            self.attempt(&format!("UNINSTALL PLUGIN IF EXISTS {quoted}"))
                .await?;
            taken.push(format!("plugin {name}"));
        }
        let functions = self.read("SELECT name FROM mysql.func").await?;
        for [name] in functions.texts() {
            self.attempt(&format!("DROP FUNCTION IF EXISTS {}", super::quoted(&name)))
                .await?;
            let delete = format!("DELETE FROM mysql.func WHERE name = {}", literal(&name));
            self.change(&delete).await?;
            taken.push(format!("function {name} from a library"));
        }
        let servers = self.read("SELECT Server_name FROM mysql.servers").await?;
        for [name] in servers.texts() {
            self.attempt(&format!("DROP SERVER IF EXISTS {}", super::quoted(&name)))
                .await?;
            taken.push(format!("server {name}"));
        }
        self.change("DELETE FROM mysql.servers").await
    }

    /// Views of the server's schemas: `mysql.user` is replaced; one that was changed to run with another account's
    /// rights is dropped.
    async fn system_views(&mut self, taken: &mut Vec<String>) -> Result<(), AdminError> {
        let sql = "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.VIEWS \
                   WHERE (TABLE_SCHEMA = 'sys' AND SECURITY_TYPE <> 'INVOKER') \
                   OR (TABLE_SCHEMA = 'mysql' AND TABLE_NAME <> 'user')";
        let odd: Vec<_> = self.read(sql).await?.texts().collect();
        for [schema, view] in odd {
            let (schema, view) = (super::quoted(&schema), super::quoted(&view));
            self.change(&format!("DROP VIEW IF EXISTS {schema}.{view}"))
                .await?;
            taken.push(format!("view {schema}.{view}"));
        }
        let is_table = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mysql' \
                        AND TABLE_NAME = 'user' AND TABLE_TYPE = 'BASE TABLE'";
        if self.read(is_table).await?.text(0, 0) != "0" {
            let aside = "RENAME TABLE mysql.user TO mysql.user_of_database";
            self.change(aside).await?;
            taken.push("table mysql.user: it is mysql.user_of_database now".to_owned());
        }
        self.change(&rights::user_view()).await
    }

    async fn read(&mut self, sql: &str) -> Result<Rows, AdminError> {
        self.0.run(DOING, sql, TIMEOUT).await
    }

    async fn change(&mut self, sql: &str) -> Result<(), AdminError> {
        self.0.run(DOING, sql, TIMEOUT).await.map(drop)
    }

    /// Runs a statement that the server may refuse; returns whether it did it.
    async fn attempt(&mut self, sql: &str) -> Result<bool, AdminError> {
        match self.0.run(DOING, sql, TIMEOUT).await {
            Ok(_) => Ok(true),
            Err(AdminError::Sql { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
