//! Decides whether a statement may run, and what runs in its place.

mod errors;
pub mod names;
mod plan;

use std::fmt;

use dormouse_types::Manager;

use crate::ast::{Name, Statement};

pub use errors::{PasswordErrors, password_errors};
pub use plan::check;

/// Who sent the statement: the account that the login matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user part.
    pub user: String,
    /// The host part of the account, not of the client.
    pub host: String,
}

/// A row of the server's account table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The user or role.
    pub user: String,
    /// The host; empty for a role.
    pub host: String,
    /// What it may manage.
    pub manager: Manager,
    /// Whether it is a role.
    pub is_role: bool,
}

/// What the server's account table says about those that a statement names, about its caller and about all
/// owners, read just before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts(pub Vec<Fact>);

impl Facts {
    fn of(&self, user: &str, host: &str) -> Option<&Fact> {
        // the server compares hosts without regard to case
        let mut rows = self.0.iter();
        rows.find(|one| one.user == user && one.host.eq_ignore_ascii_case(host))
    }

    /// An account by the name with which the server stores it.
    fn stored(&self, user: &str, host: &str) -> Name {
        let host = self.of(user, host).map_or(host, |one| &one.host);
        Name::Account {
            user: user.to_owned(),
            host: host.to_owned(),
        }
    }

    /// What precedes a rename: Dormouse's credential is that of the former name, and nobody would know it under the new
    /// one. The next login gets a new one, also if the rename fails.
    fn withdrawals(&self, pairs: &[(Name, Name)]) -> Vec<Step> {
        let step = |(from, _): &(Name, Name)| match from {
            Name::Account { user, host } => {
                let account = self.of(user, host).filter(|one| !one.is_role)?;
                Some(Step::Withdraw {
                    user: account.user.clone(),
                    host: account.host.clone(),
                })
            }
            _ => None,
        };
        pairs.iter().filter_map(step).collect()
    }

    fn is_role(&self, name: &str) -> bool {
        self.of(name, "").is_some_and(|one| one.is_role)
    }

    /// Whether an account with this user name may manage more. The server gives rights on schemas to a user name and
    /// a pattern of hosts, so accounts of one name share them.
    fn has_stronger(&self, user: &str, than: Manager) -> bool {
        let mut rows = self.0.iter();
        rows.any(|one| one.user == user && !one.is_role && one.manager > than)
    }

    fn manager(&self, user: &str, host: &str) -> Manager {
        let found = self.of(user, host).filter(|one| !one.is_role);
        found.map_or(Manager::None, |one| one.manager)
    }
}

/// Why a statement may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// The server's number for it.
    pub code: u16,
    /// Its SQLSTATE.
    pub state: &'static str,
    /// What is refused, why, and what to do.
    pub message: String,
}

impl Denied {
    /// `ER_SPECIFIC_ACCESS_DENIED_ERROR`
    pub(crate) fn privilege(what: &str) -> Self {
        Self {
            code: 1227,
            state: "42000",
            message: format!("Access denied: {what}"),
        }
    }

    /// `ER_OPTION_PREVENTS_STATEMENT`
    pub(crate) fn option(option: &str) -> Self {
        Self {
            code: 1290,
            state: "HY000",
            message: format!(
                "The MariaDB server is running with the {option} option so it cannot execute this statement"
            ),
        }
    }

    /// `ER_WRONG_VALUE_FOR_VAR`
    pub(crate) fn value(what: &str) -> Self {
        Self {
            code: 1231,
            state: "42000",
            message: what.to_owned(),
        }
    }
}

/// One step of a plan. A text is SQL for a session with `sql_mode='NO_AUTO_CREATE_USER'` and `utf8mb4`.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Run it; an error ends the plan.
    Run(String),
    /// Run it; the error that there is no such grant (1141) does not count.
    RunIfGranted(String),
    /// Run it and answer with its rows.
    Show(String),
    /// Give the account or role its shadow rows.
    Protect {
        /// The user or role.
        user: String,
        /// The host; empty for a role.
        host: String,
    },
    /// Take Dormouse's credential from the account.
    Withdraw {
        /// The user.
        user: String,
        /// The host, as the server stores it.
        host: String,
    },
    /// Note what the account may manage.
    Flag {
        /// The user.
        user: String,
        /// The host.
        host: String,
        /// What it may manage from now on.
        manager: Manager,
    },
    /// Run it with the right to grant these roles, which only their admins have.
    RunAsAdminOf(Vec<String>, String),
}

impl fmt::Debug for Step {
    /// Without the SQL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(_) => f.write_str("Run"),
            Self::RunIfGranted(_) => f.write_str("RunIfGranted"),
            Self::Show(_) => f.write_str("Show"),
            Self::Protect { user, host } => write!(f, "Protect {user}@{host}"),
            Self::Withdraw { user, host } => write!(f, "Withdraw {user}@{host}"),
            Self::Flag {
                user,
                host,
                manager,
            } => write!(f, "Flag {user}@{host} {manager:?}"),
            Self::RunAsAdminOf(roles, _) => write!(f, "RunAsAdminOf {roles:?}"),
        }
    }
}

/// What runs in the place of a statement, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// For what shows an account: the account as the server stores it, and what it may manage.
    pub shows: Option<(Name, Manager)>,
}

/// The names of all accounts and roles that a statement names: whose rows [`check()`] needs, besides those of the
/// caller and all owners.
#[must_use]
pub fn named(statement: &Statement) -> Vec<&str> {
    let mut all = Vec::new();
    names::each(statement, &mut |name| match name {
        Name::Account { user, .. } | Name::Bare(user) => all.push(user.as_str()),
        Name::Current | Name::Public => {}
    });
    names::each_role(statement, &mut |role| all.push(role));
    all
}

#[cfg(test)]
mod tests;
