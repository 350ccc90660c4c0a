//! Statements about accounts and roles themselves.

use super::{Problem, account, list, name, role as role_name};
use crate::ast::{
    Expire, Identified, Limit, Method, MethodValue, Name, NewPassword, Options, Plugin, Require,
    Secret, Statement, User,
};
use crate::cursor::Cursor;

/// `CREATE [OR REPLACE] USER`, `ALTER USER`, `DROP USER`, `RENAME USER`
pub(super) fn user(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    if c.eats("CREATE") {
        let or_replace = c.eats_all(&["OR", "REPLACE"]);
        c.need("USER")?;
        let if_not_exists = c.eats_all(&["IF", "NOT", "EXISTS"]);
        let users = list(c, |c| identified_user(c, account))?;
        return Ok(Statement::CreateUser {
            or_replace,
            if_not_exists,
            users,
            options: options(c)?,
        });
    }
    if c.eats_all(&["ALTER", "USER"]) {
        let if_exists = c.eats_all(&["IF", "EXISTS"]);
        let users = list(c, |c| identified_user(c, account))?;
        return Ok(Statement::AlterUser {
            if_exists,
            users,
            options: options(c)?,
        });
    }
    if c.eats_all(&["DROP", "USER"]) {
        let if_exists = c.eats_all(&["IF", "EXISTS"]);
        let users = list(c, account)?;
        return Ok(Statement::DropUser { if_exists, users });
    }
    c.need("RENAME")?;
    c.need("USER")?;
    let pair = |c: &mut Cursor<'_>| {
        let from = account(c)?;
        c.need("TO")?;
        Ok((from, account(c)?))
    };
    Ok(Statement::RenameUser(list(c, pair)?))
}

/// `CREATE [OR REPLACE] ROLE`, `DROP ROLE`
pub(super) fn role(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    if c.eats("DROP") {
        c.need("ROLE")?;
        let if_exists = c.eats_all(&["IF", "EXISTS"]);
        let roles = list(c, role_name)?;
        return Ok(Statement::DropRole { if_exists, roles });
    }
    c.need("CREATE")?;
    let or_replace = c.eats_all(&["OR", "REPLACE"]);
    c.need("ROLE")?;
    let if_not_exists = c.eats_all(&["IF", "NOT", "EXISTS"]);
    let roles = list(c, role_name)?;
    let admin = if c.eats("WITH") {
        c.need("ADMIN")?;
        Some(name(c)?)
    } else {
        None
    };
    Ok(Statement::CreateRole {
        or_replace,
        if_not_exists,
        roles,
        admin,
    })
}

/// `SET PASSWORD FOR user = …`
pub(super) fn set_password(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    c.need("SET")?;
    c.need("PASSWORD")?;
    c.need("FOR")?;
    let user = account(c)?;
    c.eats_byte(b':');
    c.need_byte(b'=')?;
    let password = if c.eats("PASSWORD") {
        c.need_byte(b'(')?;
        let password = c.string()?;
        c.need_byte(b')')?;
        NewPassword::Plain(Secret(password))
    } else if c.is("OLD_PASSWORD") {
        return Err(Problem::unsupported(
            "OLD_PASSWORD is not safe; use PASSWORD('…')",
        ));
    } else {
        NewPassword::Hash(Secret(c.string()?))
    };
    Ok(Statement::SetPassword { user, password })
}

/// `SET DEFAULT ROLE … FOR user`
pub(super) fn set_default_role(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    c.need("SET")?;
    c.need("DEFAULT")?;
    c.need("ROLE")?;
    let role = if c.eats("NONE") {
        None
    } else {
        Some(role_name(c)?)
    };
    c.need("FOR")?;
    let user = account(c)?;
    Ok(Statement::SetDefaultRole { role, user })
}

/// `SHOW GRANTS [FOR …]`, `SHOW CREATE USER […]`
pub(super) fn show(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    c.need("SHOW")?;
    if c.eats("GRANTS") {
        let who = if c.eats("FOR") {
            name(c)?
        } else {
            Name::Current
        };
        return Ok(Statement::ShowGrants(who));
    }
    c.need("CREATE")?;
    c.need("USER")?;
    let who = if c.is_over() {
        Name::Current
    } else {
        account(c)?
    };
    Ok(Statement::ShowCreateUser(who))
}

/// A name with `IDENTIFIED …`, if there is one.
pub(super) fn identified_user(
    c: &mut Cursor<'_>,
    name: fn(&mut Cursor<'_>) -> Result<Name, Problem>,
) -> Result<User, Problem> {
    let name = name(c)?;
    if !c.eats("IDENTIFIED") {
        return Ok(User {
            name,
            identified: None,
        });
    }
    let identified = if c.eats("BY") {
        if c.eats("PASSWORD") {
            Identified::ByHash(Secret(c.string()?))
        } else {
            Identified::By(Secret(c.string()?))
        }
    } else if c.eats("VIA") || c.eats("WITH") {
        let mut methods = vec![method(c)?];
        while c.eats("OR") {
            methods.push(method(c)?);
        }
        Identified::Via(methods)
    } else {
        return Err(c.unexpected("BY, VIA or WITH"));
    };
    Ok(User {
        name,
        identified: Some(identified),
    })
}

fn method(c: &mut Cursor<'_>) -> Result<Method, Problem> {
    let plugin = c.identifier_or_string()?;
    let known = Plugin::ALL.into_iter();
    let plugin = known
        .clone()
        .find(|known| known.as_str().eq_ignore_ascii_case(&plugin));
    let Some(plugin) = plugin else {
        let names: Vec<_> = known.map(Plugin::as_str).collect();
        return Err(Problem::unsupported(&format!(
            "an account authenticates with one of {}",
            names.join(", ")
        )));
    };
    let value = if c.eats("USING") || c.eats("AS") {
        Some(if c.eats("PASSWORD") {
            c.need_byte(b'(')?;
            let password = c.string()?;
            c.need_byte(b')')?;
            MethodValue::Password(Secret(password))
        } else {
            MethodValue::Stored(Secret(c.string()?))
        })
    } else if c.eats("BY") {
        MethodValue::Password(Secret(c.string()?)).into()
    } else {
        None
    };
    Ok(Method { plugin, value })
}

/// `REQUIRE … WITH … ACCOUNT … PASSWORD …`
fn options(c: &mut Cursor<'_>) -> Result<Options, Problem> {
    let mut options = Options {
        require: require(c)?,
        ..Options::default()
    };
    if c.eats("WITH") {
        while let Some(limit) = limit(c)? {
            options.limits.push(limit);
        }
        if options.limits.is_empty() {
            return Err(c.unexpected("a limit (MAX_…)"));
        }
    }
    while !c.is_over() {
        if c.eats("ACCOUNT") {
            let locked = c.eats("LOCK");
            if !locked {
                c.need("UNLOCK")?;
            }
            options.locked = Some(locked);
        } else if c.eats("PASSWORD") {
            c.need("EXPIRE")?;
            options.expire = Some(if c.eats("NEVER") {
                Expire::Never
            } else if c.eats("DEFAULT") {
                Expire::Default
            } else if c.eats("INTERVAL") {
                let days = c.number()?;
                c.need("DAY")?;
                Expire::Days(days)
            } else {
                Expire::Now
            });
        } else {
            return Err(c.unexpected("REQUIRE, WITH, ACCOUNT, PASSWORD EXPIRE or the end"));
        }
    }
    Ok(options)
}

/// `REQUIRE …`
pub(super) fn require(c: &mut Cursor<'_>) -> Result<Option<Require>, Problem> {
    if !c.eats("REQUIRE") {
        return Ok(None);
    }
    if c.eats("NONE") {
        return Ok(Some(Require::None));
    }
    if c.eats("SSL") {
        return Ok(Some(Require::Ssl));
    }
    if c.eats("X509") {
        return Ok(Some(Require::X509));
    }
    let (mut issuer, mut subject, mut cipher) = (None, None, None);
    loop {
        let part = if c.eats("ISSUER") {
            &mut issuer
        } else if c.eats("SUBJECT") {
            &mut subject
        } else if c.eats("CIPHER") {
            &mut cipher
        } else {
            break;
        };
        if part.replace(c.string()?).is_some() {
            return Err(Problem::syntax("ISSUER, SUBJECT or CIPHER stands twice"));
        }
        c.eats("AND");
    }
    if issuer.is_none() && subject.is_none() && cipher.is_none() {
        return Err(c.unexpected("NONE, SSL, X509, ISSUER, SUBJECT or CIPHER"));
    }
    Ok(Some(Require::Certificate {
        issuer,
        subject,
        cipher,
    }))
}

/// One limit, if one comes next.
pub(super) fn limit(c: &mut Cursor<'_>) -> Result<Option<Limit>, Problem> {
    Ok(Some(if c.eats("MAX_QUERIES_PER_HOUR") {
        Limit::Queries(c.number()?)
    } else if c.eats("MAX_UPDATES_PER_HOUR") {
        Limit::Updates(c.number()?)
    } else if c.eats("MAX_CONNECTIONS_PER_HOUR") {
        Limit::Connections(c.number()?)
    } else if c.eats("MAX_USER_CONNECTIONS") {
        Limit::Sessions(c.number()?)
    } else if c.eats("MAX_STATEMENT_TIME") {
        Limit::StatementTime(c.number()?)
    } else {
        return Ok(None);
    }))
}
