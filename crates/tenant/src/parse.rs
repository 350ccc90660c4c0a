//! Reads a statement.
//!
//! The grammar is the server's (`sql/sql_yacc.yy`), for the mediated statements alone. What it does not
//! contain is refused: the client learns what is not supported.

mod global;
mod grant;
mod user;

use dormouse_session::lexer::{Lexer, Mode, Token};

use crate::ast::{Name, Statement};
use crate::cursor::Cursor;

/// Why a mediated statement cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The server's number for it.
    pub code: u16,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// `ER_PARSE_ERROR`.
    pub(crate) fn syntax(what: &str) -> Self {
        let message = format!("You have an error in your SQL syntax: {what}");
        Self {
            code: 1064,
            message,
        }
    }

    /// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
    fn reset_master() -> Self {
        let message = "RESET MASTER would end the history of this database, so Dormouse does not run it; whoever \
                       operates Dormouse can turn the history off and on"
            .to_owned();
        Self {
            code: 1227,
            message,
        }
    }

    /// `ER_NOT_SUPPORTED_YET`: the server may accept it, Dormouse does not.
    pub(crate) fn unsupported(what: &str) -> Self {
        let message =
            format!("Dormouse runs this statement in your place and does not support it: {what}");
        Self {
            code: 1235,
            message,
        }
    }
}

/// Which grammar a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Role,
    Grant,
    Revoke,
    SetPassword,
    SetDefaultRole,
    SetGlobal,
    Show,
    ResetMaster,
}

/// Reads a text; `None`: it is no mediated statement. The text must be in UTF-8; see
/// [`needs_utf8`].
///
/// ```
/// use dormouse_session::lexer::Mode;
/// use dormouse_tenant::{Statement, parse};
///
/// let text = b"create user `o'neil`@'10.%' identified by 'it''s \\'secret\\''";
/// let Some(Ok(statement)) = parse(text, Mode::default()) else { panic!() };
/// assert_eq!(statement.kind(), "CREATE USER");
/// assert!(!format!("{statement:?}").contains("secret"));
/// assert_eq!(parse(b"CREATE TABLE user (a INT)", Mode::default()), None);
/// ```
#[must_use]
pub fn parse(text: &[u8], mode: Mode) -> Option<Result<Statement, Problem>> {
    let kind = kind(text, mode)?;
    Some(Cursor::new(text, mode).and_then(|cursor| statement(kind, cursor)))
}

/// Whether a text begins as a mediated statement does. Cheap for all other texts.
#[must_use]
pub fn is_mediated(text: &[u8], mode: Mode) -> bool {
    kind(text, mode).is_some()
}

/// Whether a text means the same only in UTF-8: it has other characters than ASCII.
#[must_use]
pub fn needs_utf8(text: &[u8]) -> bool {
    !text.is_ascii()
}

fn kind(text: &[u8], mode: Mode) -> Option<Kind> {
    let mut tokens = Lexer::new(text, mode);
    let Token::Word(first) = tokens.next()? else {
        return None;
    };
    let mut word = || tokens.next();
    // asked for each statement of an owner: allocates nothing; the longest word has six letters
    let mut upper = [0; 6];
    let upper = upper.get_mut(..first.len())?;
    upper.copy_from_slice(first);
    upper.make_ascii_uppercase();
    match &*upper {
        b"CREATE" => {
            let mut next = word()?;
            if next.is("OR") {
                word().filter(|token| token.is("REPLACE"))?;
                next = word()?;
            }
            user_or_role(next)
        }
        b"DROP" => user_or_role(word()?),
        b"ALTER" | b"RENAME" => word()?.is("USER").then_some(Kind::User),
        b"GRANT" => Some(Kind::Grant),
        b"REVOKE" => Some(Kind::Revoke),
        b"SHOW" => {
            let next = word()?;
            let shows = next.is("GRANTS") || next.is("CREATE") && word()?.is("USER");
            shows.then_some(Kind::Show)
        }
        b"SET" => {
            let next = word()?;
            if next.is("PASSWORD") {
                // for one's own account it is the server's
                return word()?.is("FOR").then_some(Kind::SetPassword);
            }
            if next.is("DEFAULT") {
                return tokens
                    .any(|token| token.is("FOR"))
                    .then_some(Kind::SetDefaultRole);
            }
            if next.is("STATEMENT") {
                return None;
            }
            global::sets_global(Lexer::new(text, mode)).then_some(Kind::SetGlobal)
        }
        b"RESET" => tokens
            .any(|token| token.is("MASTER"))
            .then_some(Kind::ResetMaster),
        _ => None,
    }
}

fn user_or_role(token: Token<'_>) -> Option<Kind> {
    if token.is("USER") {
        Some(Kind::User)
    } else if token.is("ROLE") {
        Some(Kind::Role)
    } else {
        None
    }
}

fn statement(kind: Kind, mut cursor: Cursor<'_>) -> Result<Statement, Problem> {
    let c = &mut cursor;
    let statement = match kind {
        Kind::User => user::user(c)?,
        Kind::Role => user::role(c)?,
        Kind::SetPassword => user::set_password(c)?,
        Kind::SetDefaultRole => user::set_default_role(c)?,
        Kind::Show => user::show(c)?,
        Kind::Grant => grant::grant(c)?,
        Kind::Revoke => grant::revoke(c)?,
        Kind::SetGlobal => global::set(c)?,
        Kind::ResetMaster => return Err(Problem::reset_master()),
    };
    cursor.end()?;
    Ok(statement)
}

/// Items separated by commas.
fn list<T>(
    cursor: &mut Cursor<'_>,
    mut item: impl FnMut(&mut Cursor<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let mut items = vec![item(cursor)?];
    while cursor.eats_byte(b',') {
        items.push(item(cursor)?);
    }
    Ok(items)
}

/// An account or role. `CURRENT_ROLE` is refused: it is known to the client's connection alone.
fn name(cursor: &mut Cursor<'_>) -> Result<Name, Problem> {
    if cursor.is("CURRENT_USER") {
        cursor.eats("CURRENT_USER");
        if cursor.eats_byte(b'(') {
            cursor.need_byte(b')')?;
        }
        return Ok(Name::Current);
    }
    if cursor.is("CURRENT_ROLE") {
        return Err(Problem::unsupported(
            "name the role instead of CURRENT_ROLE",
        ));
    }
    if cursor.is("PUBLIC") {
        cursor.eats("PUBLIC");
        return Ok(Name::Public);
    }
    let user = cursor.identifier_or_string()?;
    Ok(match cursor.host()? {
        Some(host) => Name::Account { user, host },
        None => Name::Bare(user),
    })
}

/// An account: a missing host is `%`.
fn account(cursor: &mut Cursor<'_>) -> Result<Name, Problem> {
    match name(cursor)? {
        Name::Bare(user) => Ok(Name::Account {
            user,
            host: "%".to_owned(),
        }),
        Name::Public => Err(Problem::syntax("PUBLIC is no account")),
        other => Ok(other),
    }
}

/// A role's name.
fn role(cursor: &mut Cursor<'_>) -> Result<String, Problem> {
    let words = ["PUBLIC", "NONE", "CURRENT_ROLE", "CURRENT_USER"];
    if words.iter().any(|word| cursor.is(word)) {
        return Err(cursor.unexpected("a role's name"));
    }
    let role = cursor.identifier_or_string()?;
    if cursor.peek() == Some(Token::UserVariable) {
        return Err(Problem::syntax("a role has no host"));
    }
    Ok(role)
}

#[cfg(test)]
mod tests;
