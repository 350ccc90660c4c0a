//! Runs the statements of a tenant that manage accounts and global variables, with Dormouse's own account.
//!
//! What runs is rendered by `dormouse_tenant` from what it has read; the client's text never comes here.
//! The rights of the caller are read from the server's account table just before. Two plans must not run at
//! the same time on a server: the caller of [`Accounts::run`] sees to that.

use dormouse_tenant::shown::{is_shadow, without_credential};
use dormouse_tenant::{Caller, Condition, Fact, Facts, Name, Outcome, Statement, Step};
use dormouse_types::Manager;
use dormouse_wire::{Command, ErrPacket, TextOutcome};

use super::accounts::Accounts;
use super::{Admin, AdminError, Rows, TIMEOUT, literal};

const DOING: &str = "a statement about accounts or global variables";

/// `ER_NONEXISTING_GRANT`
const NO_SUCH_GRANT: u16 = 1141;

/// Limit on the names that one statement may have.
const MOST_NAMES: usize = 100;

impl Accounts<'_> {
    /// Checks a statement against the server's account table and runs what comes in its place.
    ///
    /// # Errors
    /// As [`AdminError`] says: it is then not known how far the statement has come. What the server or the
    /// rules refuse is an [`Outcome`].
    pub async fn run(self, statement: &Statement, caller: &Caller) -> Result<Outcome, AdminError> {
        let admin = self.0;
        // an account that does not exist is not made by a GRANT
        admin
            .run(DOING, "SET SESSION sql_mode='NO_AUTO_CREATE_USER'", TIMEOUT)
            .await?;
        let named = dormouse_tenant::check::named(statement);
        if named.len() > MOST_NAMES {
            return Ok(failed(
                1235,
                "42000",
                format!("a statement can name at most {MOST_NAMES} accounts and roles"),
            ));
        }
        let facts = admin.facts(&named, caller).await?;
        let manager = facts
            .0
            .iter()
            .find(|one| one.user == caller.user && one.host == caller.host && !one.is_role)
            .map_or(Manager::None, |one| one.manager);
        if manager == Manager::None || manager == Manager::Users && statement.is_for_owners() {
            return Ok(Outcome::NotAManager);
        }
        let plan = match dormouse_tenant::check(statement, caller, &facts) {
            Ok(plan) => plan,
            Err(denied) => return Ok(failed(denied.code, denied.state, denied.message)),
        };
        let mut conditions = Vec::new();
        for step in &plan.steps {
            match admin.step(step, &facts).await? {
                Done::Ok(mut more) => conditions.append(&mut more),
                Done::Rows(rows) => {
                    let rows = match &plan.shows {
                        Some((who, manager)) => admin.shown(rows, who, *manager),
                        None => rows,
                    };
                    return Ok(Outcome::Rows {
                        columns: rows.columns,
                        rows: rows.rows,
                    });
                }
                Done::Failed(error) => {
                    let state = error.sqlstate().to_owned();
                    // the server would quote the text that it could not read, which may have a password
                    let message = match error.code {
                        1064 => {
                            "the server of this database does not know this form of the statement"
                                .into()
                        }
                        _ => error.message,
                    };
                    return Ok(failed(error.code, &state, message));
                }
            }
        }
        Ok(Outcome::Done(conditions))
    }
}

fn failed(code: u16, state: &str, message: String) -> Outcome {
    Outcome::Failed {
        code,
        state: state.to_owned(),
        message,
    }
}

/// The end of a step.
enum Done {
    Ok(Vec<Condition>),
    Rows(Rows),
    Failed(ErrPacket),
}

impl Admin {
    /// The rows of the accounts that a statement names, of its caller, and of all owners.
    async fn facts(&mut self, named: &[&str], caller: &Caller) -> Result<Facts, AdminError> {
        let names = named.iter().copied().chain([caller.user.as_str()]);
        let names: Vec<String> = names.map(literal).collect();
        let sql = format!(
            "SELECT User, Host, COALESCE(JSON_VALUE(Priv, '$.dormouse'), ''), \
             COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) FROM mysql.global_priv \
             WHERE User IN ({}) OR JSON_VALUE(Priv, '$.dormouse') = 'owner'",
            names.join(", ")
        );
        let rows = self.run(DOING, &sql, TIMEOUT).await?;
        let fact = |[user, host, manager, is_role]: [String; 4]| Fact {
            user,
            host,
            manager: Manager::from_text(&manager),
            is_role: is_role == "1" || is_role == "true",
        };
        Ok(Facts(rows.texts().map(fact).collect()))
    }

    async fn step(&mut self, step: &Step, facts: &Facts) -> Result<Done, AdminError> {
        match step {
            Step::Run(sql) | Step::Show(sql) => self.carry_out(sql).await,
            Step::RunIfGranted(sql) => Ok(match self.carry_out(sql).await? {
                Done::Failed(error) if error.code == NO_SUCH_GRANT => Done::Ok(Vec::new()),
                done => done,
            }),
            Step::Protect { user, host } => {
                self.accounts().protect(user, host).await?;
                Ok(Done::Ok(Vec::new()))
            }
            Step::Withdraw { user, host } => {
                self.accounts().withdraw(user, host).await?;
                Ok(Done::Ok(Vec::new()))
            }
            Step::Flag {
                user,
                host,
                manager,
            } => {
                let value = match manager.as_text() {
                    Some(value) => format!("JSON_SET(Priv, '$.dormouse', '{value}')"),
                    None => "JSON_REMOVE(Priv, '$.dormouse')".to_owned(),
                };
                let sql = format!(
                    "UPDATE mysql.global_priv SET Priv = {value} WHERE User = {} AND Host = {} \
                     AND NOT COALESCE(JSON_VALUE(Priv, '$.is_role'), 0)",
                    literal(user),
                    literal(host)
                );
                self.run(DOING, &sql, TIMEOUT).await?;
                self.run(DOING, "FLUSH LOCAL PRIVILEGES", TIMEOUT).await?;
                Ok(Done::Ok(Vec::new()))
            }
            Step::RunAsAdminOf(roles, sql) => {
                self.become_admin(roles, facts).await?;
                let done = self.carry_out(sql).await;
                self.resign_as_admin().await?;
                done
            }
        }
    }

    /// Only the admins of a role may grant it. Dormouse becomes one for one statement.
    async fn become_admin(&mut self, roles: &[String], facts: &Facts) -> Result<(), AdminError> {
        let exists = |role: &&String| {
            let mut facts = facts.0.iter();
            facts.any(|one| one.is_role && one.user == **role)
        };
        for role in roles.iter().filter(exists) {
            let sql = format!(
                "REPLACE INTO mysql.roles_mapping (Host, User, Role, Admin_option) \
                 VALUES ('localhost', 'dormouse', {}, 'Y')",
                literal(role)
            );
            self.run(DOING, &sql, TIMEOUT).await?;
        }
        self.run(DOING, "FLUSH LOCAL PRIVILEGES", TIMEOUT)
            .await
            .map(drop)
    }

    async fn resign_as_admin(&mut self) -> Result<(), AdminError> {
        let sql = "DELETE FROM mysql.roles_mapping WHERE Host = 'localhost' AND User = 'dormouse'";
        self.run(DOING, sql, TIMEOUT).await?;
        self.run(DOING, "FLUSH LOCAL PRIVILEGES", TIMEOUT)
            .await
            .map(drop)
    }

    /// Runs one statement of a plan; reads its warnings.
    async fn carry_out(&mut self, sql: &str) -> Result<Done, AdminError> {
        let mut command = vec![Command::Query as u8];
        command.extend_from_slice(sql.as_bytes());
        match self.outcome(DOING, &command, TIMEOUT).await? {
            TextOutcome::Err(error) => Ok(Done::Failed(error)),
            TextOutcome::Rows { columns, rows } => Ok(Done::Rows(Rows { columns, rows })),
            TextOutcome::Ok(ok) if ok.warnings == 0 => Ok(Done::Ok(Vec::new())),
            TextOutcome::Ok(_) => {
                let rows = self.run(DOING, "SHOW WARNINGS", TIMEOUT).await?;
                let condition = |[level, code, message]: [String; 3]| Condition {
                    level,
                    code: code.parse().unwrap_or(1105),
                    message,
                };
                Ok(Done::Ok(rows.texts().map(condition).collect()))
            }
        }
    }

    /// The rows of `SHOW GRANTS` and `SHOW CREATE USER` as the account's owner knows them: without Dormouse's
    /// credential and the shadow rows, and with what Dormouse keeps in place of the server.
    fn shown(&self, mut rows: Rows, who: &Name, manager: Manager) -> Rows {
        let ours = match who {
            Name::Account { user, host } => self.secret.account_hash(self.instance, user, host),
            _ => return without_shadows(rows),
        };
        for value in rows.rows.iter_mut().flatten().flatten() {
            let text = String::from_utf8_lossy(value);
            let text = without_credential(&text, &ours).unwrap_or_else(|| text.into_owned());
            *value = with_manager(text, manager).into_bytes();
        }
        let mut rows = without_shadows(rows);
        if manager == Manager::Owner {
            // it is in ALL PRIVILEGES ON *.*
            rows.rows
                .retain(|row| !begins(row, "GRANT ALL PRIVILEGES ON `%`.* TO "));
        }
        rows
    }
}

fn begins(row: &[Option<Vec<u8>>], with: &str) -> bool {
    let first = row.first().and_then(Option::as_deref).unwrap_or_default();
    first.starts_with(with.as_bytes())
}

/// Leaves out the rows about `sys`, on which no tenant can grant anything. Those about `mysql`, without any
/// privilege, are not shown by the server.
fn without_shadows(mut rows: Rows) -> Rows {
    rows.rows.retain(|row| {
        let first = row.first().and_then(Option::as_deref);
        !is_shadow(&String::from_utf8_lossy(first.unwrap_or_default()))
    });
    rows
}

/// The row about `*.*` with what Dormouse keeps.
fn with_manager(row: String, manager: Manager) -> String {
    let Some((privileges, rest)) = row.split_once(" ON *.* TO ") else {
        return row;
    };
    if !privileges.starts_with("GRANT ") {
        return row;
    }
    match manager {
        Manager::None => row,
        Manager::Users if privileges == "GRANT USAGE" => {
            format!("GRANT CREATE USER ON *.* TO {rest}")
        }
        Manager::Users => format!("{privileges}, CREATE USER ON *.* TO {rest}"),
        Manager::Owner => match rest.rsplit_once(" WITH MAX_") {
            Some((account, limits)) => {
                format!("GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION MAX_{limits}")
            }
            None => format!("GRANT ALL PRIVILEGES ON *.* TO {rest} WITH GRANT OPTION"),
        },
    }
}
