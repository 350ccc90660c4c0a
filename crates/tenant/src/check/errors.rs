//! What a statement does to the count of wrong passwords (`max_password_errors`) of the accounts that it names.
//!
//! As seen on 10.11 and 11.8: the server begins to count anew for an account that it writes anew, with privileges or with
//! what `ALTER USER` says. Roles and `SET PASSWORD` leave the count, and a renamed account keeps it.

use super::{Caller, names};
use crate::ast::{Name, Statement};

/// An account: user and host.
type Account = (String, String);

/// A change of a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordErrors {
    /// It is 0.
    Forgotten(Account),
    /// It is that of the second account, which is the first one under another name.
    Moved(Account, Account),
}

/// The changes, in their order, once the statement has succeeded.
#[must_use]
pub fn password_errors(statement: &Statement, caller: &Caller) -> Vec<PasswordErrors> {
    let account = |name: &Name| match name {
        Name::Account { user, host } => Some((user.clone(), host.clone())),
        // a role has no count
        Name::Bare(name) => Some((name.clone(), "%".to_owned())),
        Name::Current => Some((caller.user.clone(), caller.host.clone())),
        Name::Public => None,
    };
    match statement {
        Statement::RenameUser(pairs) => { pairs.iter() }
            .filter_map(|(from, to)| Some(PasswordErrors::Moved(account(from)?, account(to)?)))
            .collect(),
        // an account that exists stays as it is
        Statement::CreateUser {
            if_not_exists: true,
            ..
        } => Vec::new(),
        Statement::CreateUser { .. }
        | Statement::AlterUser { .. }
        | Statement::DropUser { .. }
        | Statement::Grant { .. }
        | Statement::Revoke { .. }
        | Statement::RevokeAll(_) => {
            let mut all = Vec::new();
            names::each(statement, &mut |name| {
                all.extend(account(name).map(PasswordErrors::Forgotten));
            });
            all
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use dormouse_session::lexer::Mode;

    use super::*;
    use crate::parse;

    #[test]
    fn an_account_is_counted_anew_when_it_is_written_anew() {
        let caller = Caller {
            user: "admin".to_owned(),
            host: "10.%".to_owned(),
        };
        let all = |text: &str| {
            let Some(Ok(statement)) = parse(text.as_bytes(), Mode::default()) else {
                panic!("{text}");
            };
            let shown = |change: &PasswordErrors| match change {
                PasswordErrors::Forgotten((user, host)) => format!("{user}@{host}"),
                PasswordErrors::Moved(from, to) => {
                    format!("{}@{} {}@{}", from.0, from.1, to.0, to.1)
                }
            };
            let changes = password_errors(&statement, &caller);
            changes.iter().map(shown).collect::<Vec<_>>().join(", ")
        };
        for (text, expected) in [
            (
                "ALTER USER a, b@localhost ACCOUNT UNLOCK",
                "a@%, b@localhost",
            ),
            ("ALTER USER CURRENT_USER() ACCOUNT UNLOCK", "admin@10.%"),
            ("GRANT SELECT ON s.t TO a", "a@%"),
            ("GRANT ALL ON *.* TO a WITH GRANT OPTION", "a@%"),
            ("REVOKE SELECT ON s.* FROM a", "a@%"),
            ("REVOKE ALL, GRANT OPTION FROM a", "a@%"),
            ("CREATE OR REPLACE USER a", "a@%"),
            ("CREATE USER a", "a@%"),
            ("DROP USER a", "a@%"),
            ("CREATE USER IF NOT EXISTS a", ""),
            ("SET PASSWORD FOR a = PASSWORD('x')", ""),
            ("SET DEFAULT ROLE r FOR a", ""),
            ("GRANT r TO a", ""),
            ("REVOKE r FROM a", ""),
            ("CREATE ROLE r WITH ADMIN a", ""),
            ("RENAME USER a TO b, c@d TO a", "a@% b@%, c@d a@%"),
        ] {
            assert_eq!(all(text), expected, "{text}");
        }
    }
}
