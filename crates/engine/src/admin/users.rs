//! Accounts that are managed from outside: `dormouse user`.
//!
//! A new account is closed to the server's own schemas before it gets rights in others.

use dormouse_tenant::Denied;
use dormouse_tenant::check::names;
use dormouse_types::{NewUser, UserChange, UserLimits, UserRole};
use dormouse_wire::{NATIVE, native};

use super::{Admin, AdminError, TIMEOUT, literal, quoted};
use crate::rights::{self, OWNER};

const DOING: &str = "changing the accounts";

/// `ER_CANNOT_USER`: it exists already, or does not exist.
const CANNOT_USER: u16 = 1396;

/// The connection, while an account is changed.
pub(super) struct Users<'a>(pub(super) &'a mut Admin);

impl Users<'_> {
    pub(super) async fn change(&mut self, change: &UserChange) -> Result<bool, AdminError> {
        if let UserChange::OnDemand(order) = change {
            check_new(&order.user, &order.host)?;
            check_schema(&order.user)?;
            return super::on_demand::Making(self.0).make(order).await;
        }
        self.change_one(change).await.map(|()| true)
    }

    async fn change_one(&mut self, change: &UserChange) -> Result<(), AdminError> {
        match change {
            UserChange::Add { user, password } => {
                check_new(&user.user, &user.host)?;
                user.schemas.iter().try_for_each(|s| check_schema(s))?;
                if user.on_demand.is_some() && !user.schemas.is_empty() {
                    let why = "a template for users on demand has no rights of its own: leave out its schemas";
                    return Err(AdminError::BadUser(why.to_owned()));
                }
                self.add_user(user, *password).await
            }
            UserChange::Rotate {
                user,
                host,
                password,
            } => {
                check(user, host)?;
                if (user.as_str(), host.as_str()) == OWNER {
                    return self.0.accounts().secure_owner(*password).await;
                }
                let (name, hash) = (name(user, host), native::to_text(password));
                let sql = format!("ALTER USER {name} IDENTIFIED VIA {NATIVE} USING '{hash}'");
                let missing = format!("there is no user {name}");
                self.user_statement(&sql, &missing).await
            }
            UserChange::OnDemand(_) => Ok(()),
            UserChange::Drop { user, host } => {
                check(user, host)?;
                if (user.as_str(), host.as_str()) == OWNER {
                    let why =
                        "the owner's account cannot be dropped; `user rotate` changes its password";
                    return Err(AdminError::BadUser(why.to_owned()));
                }
                let name = name(user, host);
                let missing = format!("there is no user {name}");
                self.user_statement(&format!("DROP USER {name}"), &missing)
                    .await
            }
        }
    }

    async fn add_user(&mut self, new: &NewUser, password: [u8; 20]) -> Result<(), AdminError> {
        let account = name(&new.user, &new.host);
        let tls = if new.require_tls { "SSL" } else { "NONE" };
        let UserLimits {
            connections,
            queries_per_hour,
            updates_per_hour,
        } = new.limits;
        let create = format!(
            "CREATE USER {account} IDENTIFIED VIA {NATIVE} USING '{}' REQUIRE {tls} WITH MAX_USER_CONNECTIONS \
             {connections} MAX_QUERIES_PER_HOUR {queries_per_hour} MAX_UPDATES_PER_HOUR {updates_per_hour}",
            native::to_text(&password)
        );
        let exists = format!("there is a user or role {account} already");
        self.user_statement(&create, &exists).await?;
        let given = self.give(new, &account).await;
        if given.is_err() {
            // without it, the next attempt would say that the account exists
            let _ = self
                .user_statement(&format!("DROP USER {account}"), "")
                .await;
        }
        given
    }

    async fn give(&mut self, new: &NewUser, account: &str) -> Result<(), AdminError> {
        if new.on_demand.is_some() {
            let (user, host) = (literal(&new.user), literal(&new.host));
            let mark = rights::set_mark(&user, &host, rights::TEMPLATE);
            self.0.run(DOING, &mark, TIMEOUT).await?;
            self.0.run(DOING, "FLUSH LOCAL PRIVILEGES", TIMEOUT).await?;
            return Ok(());
        }
        if new.schemas.is_empty() && new.role == UserRole::Owner {
            return self.0.accounts().give_all(&new.user, &new.host).await;
        }
        for sql in rights::closing(&literal(&new.user), &literal(&new.host)) {
            self.0.run(DOING, &sql, TIMEOUT).await?;
        }
        self.0.run(DOING, "FLUSH LOCAL PRIVILEGES", TIMEOUT).await?;
        let privileges = match new.role {
            UserRole::Reader => "SELECT, SHOW VIEW",
            UserRole::Writer => {
                "SELECT, INSERT, UPDATE, DELETE, EXECUTE, CREATE TEMPORARY TABLES, LOCK TABLES, SHOW VIEW"
            }
            UserRole::Owner => "ALL PRIVILEGES",
        };
        let all = ["%".to_owned()];
        let named: Vec<_> = new.schemas.iter().map(|s| rights::escaped(s)).collect();
        let patterns = if named.is_empty() { &all[..] } else { &named };
        for pattern in patterns {
            let sql = format!("GRANT {privileges} ON {}.* TO {account}", quoted(pattern));
            self.0.run(DOING, &sql, TIMEOUT).await?;
        }
        Ok(())
    }

    /// Runs a statement; if the server says that the account exists already or does not exist, `otherwise` tells why.
    async fn user_statement(&mut self, sql: &str, otherwise: &str) -> Result<(), AdminError> {
        match self.0.run(DOING, sql, TIMEOUT).await {
            Err(AdminError::Sql { error, .. }) if error.code == CANNOT_USER => {
                Err(AdminError::BadUser(otherwise.to_owned()))
            }
            other => other.map(drop),
        }
    }
}

fn name(user: &str, host: &str) -> String {
    format!("{}@{}", literal(user), literal(host))
}

/// What a tenant could not name is refused here, too.
fn bad(denied: Denied) -> AdminError {
    AdminError::BadUser(denied.message)
}

fn check(user: &str, host: &str) -> Result<(), AdminError> {
    names::account(user, host).map_err(bad)
}

fn check_new(user: &str, host: &str) -> Result<(), AdminError> {
    if user.is_empty() {
        let why = "a user's name has 1 to 128 characters";
        return Err(AdminError::BadUser(why.to_owned()));
    }
    names::new_account(user, host).map_err(bad)
}

fn check_schema(schema: &str) -> Result<(), AdminError> {
    names::schema(schema).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_impossible_names_are_refused() {
        for (user, host) in [
            ("dormouse", "%"),
            ("Dormouse", "localhost"),
            ("mariadb.sys", "localhost"),
            ("", "%"),
            ("public", "%"),
            ("current_user", "%"),
            ("a\0b", "%"),
            ("a ", "%"),
            ("x\u{1f600}", "%"),
            ("a", ""),
            ("a", "x y"),
            ("a", "web.example.com"),
            ("a", "%\u{1f600}"),
        ] {
            assert!(check_new(user, host).is_err(), "{user:?}@{host:?}");
        }
        assert!(check_new(&"x".repeat(129), "%").is_err());
        assert!(check_new("it's \\ me", "10.0.0.%").is_ok());
        // what exists can be dropped
        assert!(check("", "localhost").is_ok() && check("a", "web.example.com").is_ok());
        for schema in [
            "mysql",
            "MySQL",
            "sys",
            "information_schema",
            "",
            "a\nb",
            "\u{1f600}",
        ] {
            assert!(check_schema(schema).is_err(), "{schema:?}");
        }
        assert!(check_schema("my_app").is_ok());
    }
}
