//! Writes statements as SQL, for a session with an empty `sql_mode` (or `NO_AUTO_CREATE_USER`) and `utf8mb4`.
//!
//! Everything that came from a client is in quotes of this file's making.

use std::fmt::Write as _;

use crate::ast::{
    Expire, Identified, Isolation, Limit, Method, MethodValue, Name, NewPassword, Object, Options,
    Privileges, Require, RoutineKind, Statement, User, Value,
};

/// A string literal.
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            other => out.push(other),
        }
    }
    out.push('\'');
    out
}

/// A quoted name.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// An account or role.
pub(crate) fn name(name: &Name) -> String {
    match name {
        Name::Current => "CURRENT_USER()".to_owned(),
        Name::Account { user, host } => format!("{}@{}", text(user), text(host)),
        Name::Bare(role) => text(role),
        Name::Public => "PUBLIC".to_owned(),
    }
}

fn list<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
    items.iter().map(one).collect::<Vec<_>>().join(", ")
}

pub(crate) fn names(all: &[Name]) -> String {
    list(all, name)
}

pub(crate) fn users(all: &[User]) -> String {
    list(all, |user| match &user.identified {
        None => name(&user.name),
        Some(how) => format!("{} {}", name(&user.name), identified(how)),
    })
}

pub(crate) fn roles(all: &[String]) -> String {
    list(all, |role| text(role))
}

fn identified(how: &Identified) -> String {
    match how {
        Identified::By(password) => format!("IDENTIFIED BY {}", text(&password.0)),
        Identified::ByHash(hash) => format!("IDENTIFIED BY PASSWORD {}", text(&hash.0)),
        Identified::Via(methods) => {
            let methods: Vec<_> = methods.iter().map(method).collect();
            format!("IDENTIFIED VIA {}", methods.join(" OR "))
        }
    }
}

fn method(method: &Method) -> String {
    let plugin = method.plugin.as_str();
    match &method.value {
        None => plugin.to_owned(),
        Some(MethodValue::Stored(value)) => format!("{plugin} USING {}", text(&value.0)),
        Some(MethodValue::Password(value)) => {
            format!("{plugin} USING PASSWORD({})", text(&value.0))
        }
    }
}

/// The options, with a space in front.
pub(crate) fn options(options: &Options, grant_option: bool) -> String {
    let mut out = String::new();
    if let Some(require) = &options.require {
        out.push_str(" REQUIRE ");
        out.push_str(&self::require(require));
    }
    if grant_option || !options.limits.is_empty() {
        out.push_str(" WITH");
    }
    if grant_option {
        out.push_str(" GRANT OPTION");
    }
    for limit in &options.limits {
        let (name, value) = match limit {
            Limit::Queries(n) => ("MAX_QUERIES_PER_HOUR", n),
            Limit::Updates(n) => ("MAX_UPDATES_PER_HOUR", n),
            Limit::Connections(n) => ("MAX_CONNECTIONS_PER_HOUR", n),
            Limit::Sessions(n) => ("MAX_USER_CONNECTIONS", n),
            Limit::StatementTime(n) => ("MAX_STATEMENT_TIME", n),
        };
        let _ = write!(out, " {name} {value}");
    }
    match options.locked {
        None => {}
        Some(true) => out.push_str(" ACCOUNT LOCK"),
        Some(false) => out.push_str(" ACCOUNT UNLOCK"),
    }
    match options.expire {
        None => {}
        Some(Expire::Now) => out.push_str(" PASSWORD EXPIRE"),
        Some(Expire::Never) => out.push_str(" PASSWORD EXPIRE NEVER"),
        Some(Expire::Default) => out.push_str(" PASSWORD EXPIRE DEFAULT"),
        Some(Expire::Days(days)) => {
            let _ = write!(out, " PASSWORD EXPIRE INTERVAL {days} DAY");
        }
    }
    out
}

fn require(require: &Require) -> String {
    match require {
        Require::None => "NONE".to_owned(),
        Require::Ssl => "SSL".to_owned(),
        Require::X509 => "X509".to_owned(),
        Require::Certificate {
            issuer,
            subject,
            cipher,
        } => {
            let parts = [("ISSUER", issuer), ("SUBJECT", subject), ("CIPHER", cipher)];
            let parts = parts.into_iter();
            let parts =
                parts.filter_map(|(word, value)| Some(format!("{word} {}", text(value.as_ref()?))));
            parts.collect::<Vec<_>>().join(" AND ")
        }
    }
}

/// What stands in front of `ON`.
pub(crate) fn privileges(privileges: &Privileges, grant_option: bool) -> String {
    let mut parts: Vec<String> = match privileges {
        Privileges::All => vec!["ALL PRIVILEGES".to_owned()],
        Privileges::List(all) => all
            .iter()
            .map(|(privilege, columns)| match columns.as_slice() {
                [] => privilege.name().to_owned(),
                columns => {
                    let columns = list(columns, |column| quoted(column));
                    format!("{} ({columns})", privilege.name())
                }
            })
            .collect(),
    };
    if grant_option {
        parts.push("GRANT OPTION".to_owned());
    }
    if parts.is_empty() {
        parts.push("USAGE".to_owned());
    }
    parts.join(", ")
}

pub(crate) fn object(object: &Object) -> String {
    let path = |schema: &Option<String>, name: &str| match schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
        None => quoted(name),
    };
    match object {
        Object::Everything => "*.*".to_owned(),
        Object::Schema(pattern) => format!("{}.*", quoted(pattern)),
        Object::CurrentSchema => "*".to_owned(),
        Object::Table(schema, table) => path(schema, table),
        Object::Routine(kind, schema, routine) => {
            let kind = match kind {
                RoutineKind::Function => "FUNCTION",
                RoutineKind::Procedure => "PROCEDURE",
                RoutineKind::Package => "PACKAGE",
                RoutineKind::PackageBody => "PACKAGE BODY",
            };
            format!("{kind} {}", path(schema, routine))
        }
    }
}

fn word(is: bool, words: &'static str) -> &'static str {
    if is { words } else { "" }
}

fn value(value: &Value) -> String {
    match value {
        Value::Default => "DEFAULT".to_owned(),
        Value::Number(digits) => digits.clone(),
        Value::Text(value) => text(value),
        Value::Null => "NULL".to_owned(),
        Value::Expression(_) => String::new(),
    }
}

/// The whole statement. It contains passwords.
#[must_use]
pub fn statement(statement: &Statement) -> String {
    match statement {
        Statement::CreateUser {
            or_replace,
            if_not_exists,
            users,
            options,
        } => format!(
            "CREATE {}USER {}{}{}",
            word(*or_replace, "OR REPLACE "),
            word(*if_not_exists, "IF NOT EXISTS "),
            self::users(users),
            self::options(options, false)
        ),
        Statement::AlterUser {
            if_exists,
            users,
            options,
        } => format!(
            "ALTER USER {}{}{}",
            word(*if_exists, "IF EXISTS "),
            self::users(users),
            self::options(options, false)
        ),
        Statement::DropUser { if_exists, users } => {
            format!(
                "DROP USER {}{}",
                word(*if_exists, "IF EXISTS "),
                names(users)
            )
        }
        Statement::RenameUser(pairs) => {
            let pair = |(from, to): &(Name, Name)| format!("{} TO {}", name(from), name(to));
            format!("RENAME USER {}", list(pairs, pair))
        }
        Statement::SetPassword { user, password } => {
            let password = match password {
                NewPassword::Plain(password) => format!("PASSWORD({})", text(&password.0)),
                NewPassword::Hash(hash) => text(&hash.0),
            };
            format!("SET PASSWORD FOR {} = {password}", name(user))
        }
        Statement::CreateRole {
            or_replace,
            if_not_exists,
            roles,
            admin,
        } => {
            let admin = admin
                .as_ref()
                .map(|admin| format!(" WITH ADMIN {}", name(admin)));
            format!(
                "CREATE {}ROLE {}{}{}",
                word(*or_replace, "OR REPLACE "),
                word(*if_not_exists, "IF NOT EXISTS "),
                self::roles(roles),
                admin.unwrap_or_default()
            )
        }
        Statement::DropRole { if_exists, roles } => {
            format!(
                "DROP ROLE {}{}",
                word(*if_exists, "IF EXISTS "),
                self::roles(roles)
            )
        }
        Statement::Grant {
            privileges,
            on,
            to,
            options,
            grant_option,
        } => format!(
            "GRANT {} ON {} TO {}{}",
            self::privileges(privileges, false),
            object(on),
            users(to),
            self::options(options, *grant_option)
        ),
        Statement::Revoke {
            privileges,
            grant_option,
            on,
            from,
        } => format!(
            "REVOKE {} ON {} FROM {}",
            self::privileges(privileges, *grant_option),
            object(on),
            names(from)
        ),
        Statement::RevokeAll(from) => {
            format!("REVOKE ALL PRIVILEGES, GRANT OPTION FROM {}", names(from))
        }
        Statement::GrantRoles {
            roles,
            to,
            admin_option,
        } => format!(
            "GRANT {} TO {}{}",
            self::roles(roles),
            names(to),
            word(*admin_option, " WITH ADMIN OPTION")
        ),
        Statement::RevokeRoles {
            roles,
            from,
            admin_option,
        } => format!(
            "REVOKE {}{} FROM {}",
            word(*admin_option, "ADMIN OPTION FOR "),
            self::roles(roles),
            names(from)
        ),
        Statement::SetDefaultRole { role, user } => {
            let role = role.as_ref().map_or("NONE".to_owned(), |role| text(role));
            format!("SET DEFAULT ROLE {role} FOR {}", name(user))
        }
        Statement::ShowGrants(who) => format!("SHOW GRANTS FOR {}", name(who)),
        Statement::ShowCreateUser(who) => format!("SHOW CREATE USER {}", name(who)),
        Statement::SetGlobal(assignments) => {
            let one = |one: &crate::ast::Assignment| {
                format!("GLOBAL {} = {}", quoted(&one.variable), value(&one.value))
            };
            format!("SET {}", list(assignments, one))
        }
        Statement::Kill { thread, query_only } => {
            let what = if *query_only { "QUERY" } else { "CONNECTION" };
            format!("KILL {what} {thread}")
        }
        Statement::SetGlobalTransaction {
            isolation,
            read_only,
        } => {
            let isolation = isolation.map(|level| match level {
                Isolation::ReadUncommitted => "ISOLATION LEVEL READ UNCOMMITTED",
                Isolation::ReadCommitted => "ISOLATION LEVEL READ COMMITTED",
                Isolation::RepeatableRead => "ISOLATION LEVEL REPEATABLE READ",
                Isolation::Serializable => "ISOLATION LEVEL SERIALIZABLE",
            });
            let access = read_only.map(|only| if only { "READ ONLY" } else { "READ WRITE" });
            let parts: Vec<_> = isolation.into_iter().chain(access).collect();
            format!("SET GLOBAL TRANSACTION {}", parts.join(", "))
        }
    }
}
