//! `GRANT` and `REVOKE`.

use dormouse_session::lexer::Token;

use super::user::{identified_user, limit, require};
use super::{Problem, list, name, role};
use crate::ast::{Name, Object, Options, Privileges, RoutineKind, Statement};
use crate::cursor::Cursor;
use crate::privileges::Privilege;

/// `GRANT OPTION` in a list of privileges.
const GRANT_OPTION: &str = "GRANT OPTION";

/// What stands in front of `ON`.
struct Rights {
    privileges: Privileges,
    grant_option: bool,
}

pub(super) fn grant(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    c.need("GRANT")?;
    if is_of_roles(c, "TO") {
        let roles = list(c, role)?;
        c.need("TO")?;
        let to = list(c, plain_name)?;
        let admin_option = c.eats("WITH");
        if admin_option {
            c.need("ADMIN")?;
            c.need("OPTION")?;
        }
        return Ok(Statement::GrantRoles {
            roles,
            to,
            admin_option,
        });
    }
    let rights = rights(c)?;
    c.need("ON")?;
    let on = object(c)?;
    c.need("TO")?;
    let to = list(c, |c| identified_user(c, name))?;
    let mut options = Options {
        require: require(c)?,
        ..Options::default()
    };
    let mut grant_option = rights.grant_option;
    if c.eats("WITH") {
        while !c.is_over() {
            if c.eats("GRANT") {
                c.need("OPTION")?;
                grant_option = true;
            } else if let Some(limit) = limit(c)? {
                options.limits.push(limit);
            } else {
                return Err(c.unexpected("GRANT OPTION or a limit (MAX_…)"));
            }
        }
    }
    Ok(Statement::Grant {
        privileges: rights.privileges,
        on,
        to,
        options,
        grant_option,
    })
}

pub(super) fn revoke(c: &mut Cursor<'_>) -> Result<Statement, Problem> {
    c.need("REVOKE")?;
    if is_of_roles(c, "FROM") {
        if is_all(c) {
            c.need_byte(b',')?;
            c.need("GRANT")?;
            c.need("OPTION")?;
            c.need("FROM")?;
            return Ok(Statement::RevokeAll(list(c, plain_name)?));
        }
        let admin_option = c.eats_all(&["ADMIN", "OPTION", "FOR"]);
        let roles = list(c, role)?;
        c.need("FROM")?;
        let from = list(c, plain_name)?;
        return Ok(Statement::RevokeRoles {
            roles,
            from,
            admin_option,
        });
    }
    let Rights {
        privileges,
        grant_option,
    } = rights(c)?;
    c.need("ON")?;
    let on = object(c)?;
    c.need("FROM")?;
    let from = list(c, plain_name)?;
    Ok(Statement::Revoke {
        privileges,
        grant_option,
        on,
        from,
    })
}

/// Whether `TO` or `FROM` comes without an `ON` before it.
fn is_of_roles(c: &Cursor<'_>, end: &str) -> bool {
    let mut tokens = (0..).map_while(|ahead| c.peek_at(ahead));
    let first = tokens.find(|token| token.is("ON") || token.is(end));
    first.is_some_and(|first| first.is(end))
}

/// A name that no `IDENTIFIED` follows.
fn plain_name(c: &mut Cursor<'_>) -> Result<Name, Problem> {
    let name = name(c)?;
    if c.is("IDENTIFIED") {
        return Err(Problem::unsupported(
            "IDENTIFIED is for CREATE USER, ALTER USER and GRANT of privileges",
        ));
    }
    Ok(name)
}

fn is_all(c: &mut Cursor<'_>) -> bool {
    let all = c.eats("ALL");
    if all {
        c.eats("PRIVILEGES");
    }
    all
}

fn rights(c: &mut Cursor<'_>) -> Result<Rights, Problem> {
    let mut grant_option = false;
    if is_all(c) {
        if c.eats_byte(b',') {
            c.need("GRANT")?;
            c.need("OPTION")?;
            grant_option = true;
        }
        return Ok(Rights {
            privileges: Privileges::All,
            grant_option,
        });
    }
    let mut all = Vec::new();
    loop {
        let mut words: Vec<String> = Vec::new();
        while let Some(Token::Word(word)) = c.peek()
            && !c.is("ON")
        {
            words.push(String::from_utf8_lossy(word).to_ascii_uppercase());
            c.next();
        }
        let name = words.join(" ");
        if name == GRANT_OPTION {
            grant_option = true;
        } else if name != "USAGE" {
            let Some(privilege) = Privilege::named(&name) else {
                return Err(unknown(&name));
            };
            let columns = columns(c)?;
            if !columns.is_empty() && !privilege.has_columns() {
                return Err(Problem::syntax(&format!("{name} is not for columns")));
            }
            all.push((privilege, columns));
        }
        if !c.eats_byte(b',') {
            break;
        }
    }
    Ok(Rights {
        privileges: Privileges::List(all),
        grant_option,
    })
}

fn unknown(name: &str) -> Problem {
    match name {
        "PROXY" => Problem::unsupported("an account cannot act as another (GRANT PROXY)"),
        "" => Problem::syntax("a privilege is expected"),
        // it is a name that the client wrote unquoted, so no secret
        _ if name.len() <= 64 => Problem::syntax(&format!("unknown privilege {name}")),
        _ => Problem::syntax("unknown privilege"),
    }
}

fn columns(c: &mut Cursor<'_>) -> Result<Vec<String>, Problem> {
    if !c.eats_byte(b'(') {
        return Ok(Vec::new());
    }
    let columns = list(c, |c| c.identifier())?;
    c.need_byte(b')')?;
    Ok(columns)
}

fn object(c: &mut Cursor<'_>) -> Result<Object, Problem> {
    // a word is the name of a table, unless another name follows
    let followed = |c: &Cursor<'_>| {
        c.peek_at(1)
            .is_some_and(|next| next.name().is_some() && !next.is("TO") && !next.is("FROM"))
    };
    let kind = match () {
        () if c.is("FUNCTION") && followed(c) => Some(RoutineKind::Function),
        () if c.is("PROCEDURE") && followed(c) => Some(RoutineKind::Procedure),
        () if c.is("PACKAGE") && followed(c) => Some(RoutineKind::Package),
        () => None,
    };
    if let Some(mut kind) = kind {
        c.next();
        if kind == RoutineKind::Package && c.is("BODY") && followed(c) {
            c.next();
            kind = RoutineKind::PackageBody;
        }
        let (schema, name) = qualified(c)?;
        return Ok(Object::Routine(kind, schema, name));
    }
    if c.is("TABLE") && (followed(c) || c.peek_at(1) == Some(Token::Other(b'*'))) {
        c.next();
    }
    if c.eats_byte(b'*') {
        if !c.eats_byte(b'.') {
            return Ok(Object::CurrentSchema);
        }
        c.need_byte(b'*')?;
        return Ok(Object::Everything);
    }
    let name = c.identifier()?;
    if !c.eats_byte(b'.') {
        return Ok(Object::Table(None, name));
    }
    if c.eats_byte(b'*') {
        return Ok(Object::Schema(name));
    }
    Ok(Object::Table(Some(name), c.identifier()?))
}

fn qualified(c: &mut Cursor<'_>) -> Result<(Option<String>, String), Problem> {
    let name = c.identifier()?;
    if !c.eats_byte(b'.') {
        return Ok((None, name));
    }
    Ok((Some(name), c.identifier()?))
}
