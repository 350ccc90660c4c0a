//! The shadow rows of an account: rows of `mysql.db` that keep it out of the schemas of the platform.
//!
//! A tenant's account has rights on all its schemas through one row for the pattern `%`. A server takes the
//! first row that matches host, user and schema, and a row for an exact name comes before one for a pattern.
//! So a row without privileges for exactly `mysql` refuses what the row for `%` would allow.
//!
//! `REVOKE ALL PRIVILEGES` and `CREATE OR REPLACE USER` remove these rows, `RENAME USER` keeps them.

use super::accounts::Accounts;
use super::{AdminError, TIMEOUT, literal};
use crate::rights;

const DOING: &str = "protecting the system schemas";

impl Accounts<'_> {
    /// Gives an account or a role (whose host is empty) its shadow rows; changes nothing if it has them.
    /// Returns whether something was missing. Call it before the account gets rights on a pattern, and after
    /// every statement that may have removed its rows.
    ///
    /// # Errors
    /// As [`AdminError`] says.
    pub async fn protect(self, user: &str, host: &str) -> Result<bool, AdminError> {
        // a row of a role without any privilege would be removed when the server merges roles
        let shadows = [
            ("mysql", rights::closed(host.is_empty())),
            ("sys", &rights::SYS[..]),
        ];
        let (user, host) = (literal(user), literal(host));
        let found = format!(
            "SELECT * FROM mysql.db WHERE User = {user} AND Host = {host} AND Db IN ('mysql', 'sys')"
        );
        let found = self.0.run(DOING, &found, TIMEOUT).await?;
        let column = |name: &str| {
            let same = |column: &String| column.eq_ignore_ascii_case(name);
            found.columns.iter().position(same)
        };
        let is_right = |row: usize, allowed: &[&str]| {
            found.columns.iter().enumerate().all(|(at, name)| {
                let is_privilege = name.to_ascii_lowercase().ends_with("_priv");
                let expected = if allowed.iter().any(|one| one.eq_ignore_ascii_case(name)) {
                    "Y"
                } else {
                    "N"
                };
                !is_privilege || found.text(row, at) == expected
            })
        };
        let mut missing = false;
        for (schema, allowed) in shadows {
            let has = column("Db").is_some_and(|db| {
                (0..found.rows.len())
                    .any(|row| found.text(row, db) == schema && is_right(row, allowed))
            });
            if has {
                continue;
            }
            missing = true;
            let columns: String = allowed.iter().map(|name| format!(", {name}")).collect();
            let values = ", 'Y'".repeat(allowed.len());
            // all other privileges are 'N' by default
            let row = format!(
                "REPLACE INTO mysql.db (Host, Db, User{columns}) VALUES ({host}, '{schema}', {user}{values})"
            );
            self.0.run(DOING, &row, TIMEOUT).await?;
        }
        if missing {
            let flush = "FLUSH LOCAL PRIVILEGES";
            self.0.run(DOING, flush, TIMEOUT).await?;
        }
        Ok(missing)
    }
}
