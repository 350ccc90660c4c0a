//! The names in a statement, and which of them are nobody's to use.

use core::net::Ipv4Addr;

use super::Denied;
use crate::ast::{Name, Object, Statement};
use dormouse_types::reserved::{PLATFORM_USERS, SYSTEM_SCHEMAS};

/// Words that mean something else as the name of an account or role.
const RESERVED_WORDS: [&str; 4] = ["public", "none", "current_user", "current_role"];

/// The most characters of a name.
const LONGEST_USER: usize = 128;
const LONGEST_HOST: usize = 255;
const LONGEST_NAME: usize = 64;

/// Calls `visit` with each account, and each name that may be an account or a role.
pub(super) fn each<'a>(statement: &'a Statement, visit: &mut impl FnMut(&'a Name)) {
    match statement {
        Statement::CreateUser { users, .. }
        | Statement::AlterUser { users, .. }
        | Statement::Grant { to: users, .. } => users.iter().for_each(|user| visit(&user.name)),
        Statement::DropUser { users: names, .. }
        | Statement::Revoke { from: names, .. }
        | Statement::RevokeAll(names)
        | Statement::GrantRoles { to: names, .. }
        | Statement::RevokeRoles { from: names, .. } => names.iter().for_each(visit),
        Statement::RenameUser(pairs) => {
            for (from, to) in pairs {
                visit(from);
                visit(to);
            }
        }
        Statement::CreateRole { admin, .. } => admin.iter().for_each(visit),
        Statement::SetPassword { user, .. }
        | Statement::SetDefaultRole { user, .. }
        | Statement::ShowGrants(user)
        | Statement::ShowCreateUser(user) => visit(user),
        Statement::DropRole { .. }
        | Statement::SetGlobal(_)
        | Statement::SetGlobalTransaction { .. }
        | Statement::Kill { .. } => {}
    }
}

/// Calls `visit` with each name that is a role.
pub(super) fn each_role<'a>(statement: &'a Statement, visit: &mut impl FnMut(&'a str)) {
    match statement {
        Statement::CreateRole { roles, .. }
        | Statement::DropRole { roles, .. }
        | Statement::GrantRoles { roles, .. }
        | Statement::RevokeRoles { roles, .. } => roles.iter().for_each(|role| visit(role)),
        Statement::SetDefaultRole {
            role: Some(role), ..
        } => visit(role),
        _ => {}
    }
}

/// Checks every name of the statement.
pub(super) fn check(statement: &Statement) -> Result<(), Denied> {
    let mut result = Ok(());
    let mut note = |one: Result<(), Denied>| {
        if result.is_ok() {
            result = one;
        }
    };
    each(statement, &mut |name| {
        note(match name {
            Name::Account { user, host } => account(user, host),
            Name::Bare(name) => check_user(name),
            Name::Current | Name::Public => Ok(()),
        });
    });
    each_role(statement, &mut |role| {
        note(if role.is_empty() {
            Err(invalid("a role's name is empty"))
        } else {
            check_user(role)
        });
    });
    result
}

fn invalid(what: &str) -> Denied {
    // ER_CANNOT_USER
    Denied {
        code: 1396,
        state: "HY000",
        message: format!("Operation refused: {what}"),
    }
}

/// Whether a text is stored as it is: the server's tables of accounts have three bytes for a character at
/// most, ignore spaces at the end, and end at a NUL.
fn is_storable(text: &str, longest: usize) -> bool {
    text.chars().count() <= longest
        && !text.ends_with(' ')
        && text.chars().all(|c| c <= '\u{ffff}' && !c.is_control())
}

/// Checks the name of an account that may exist.
///
/// # Errors
/// [`Denied`]: no tenant can have such an account.
pub fn account(user: &str, host: &str) -> Result<(), Denied> {
    check_user(user)?;
    check_host(host)
}

/// Checks the name of an account that is to be made.
///
/// # Errors
/// [`Denied`]: it would be nobody's, or take other accounts' place.
pub fn new_account(user: &str, host: &str) -> Result<(), Denied> {
    account(user, host)?;
    if is_host_name(host) {
        return Err(invalid(
            "servers do not look up host names: the host of an account is an address (10.0.0.7), a pattern of \
             addresses (10.0.0.%), a network (10.0.0.0/255.255.255.0), localhost or %",
        ));
    }
    // the server sorts accounts by host first, and reaches all clients through a socket, which is local
    let local: Vec<char> = "localhost".chars().collect();
    if user.is_empty() && host != "%" && matches(&Pattern::read(host).0, &local) {
        return Err(Denied::privilege(
            "an anonymous account for localhost would take the place of every account for other hosts; use ''@'%'",
        ));
    }
    Ok(())
}

/// Checks the name of a schema on which an account gets rights.
///
/// # Errors
/// [`Denied`]: it is no name, or the server's own.
pub fn schema(name: &str) -> Result<(), Denied> {
    check_schema(name)
}

/// Whether a server with `skip_name_resolve` ignores accounts of this host (`hostname_requires_resolving` in
/// `sql/hostname.cc`).
fn is_host_name(host: &str) -> bool {
    !host.eq_ignore_ascii_case("localhost")
        && !host.contains([':', '%', '_', '/'])
        && host.parse::<Ipv4Addr>().is_err()
}

/// Checks the accounts that the statement makes, unless they exist.
pub(super) fn check_new(
    statement: &Statement,
    exists: impl Fn(&Name) -> bool,
) -> Result<(), Denied> {
    let check = |name: &Name| match name {
        Name::Account { user, host } if !exists(name) => new_account(user, host),
        _ => Ok(()),
    };
    match statement {
        Statement::CreateUser { users, .. } | Statement::Grant { to: users, .. } => {
            users.iter().try_for_each(|user| check(&user.name))
        }
        Statement::RenameUser(pairs) => pairs.iter().try_for_each(|(_, to)| check(to)),
        _ => Ok(()),
    }
}

fn check_user(user: &str) -> Result<(), Denied> {
    if !is_storable(user, LONGEST_USER) {
        return Err(invalid(
            "the name of an account or role has at most 128 characters of the basic plane, no control \
             characters, and no space at its end",
        ));
    }
    let lower = user.trim().to_lowercase();
    if PLATFORM_USERS.contains(&lower.as_str()) {
        return Err(Denied::privilege(&format!(
            "accounts and roles named '{lower}' belong to Dormouse; use another name"
        )));
    }
    if RESERVED_WORDS.contains(&lower.as_str()) {
        return Err(invalid("this word cannot name an account or role"));
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), Denied> {
    let plain = host.chars().all(|c| c.is_ascii_graphic());
    if plain && !host.is_empty() && host.len() <= LONGEST_HOST {
        return Ok(());
    }
    Err(invalid(
        "the host of an account is not empty and has at most 255 ASCII characters without spaces",
    ))
}

/// What a grant on this object may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// The whole server.
    Server,
    /// A pattern that matches a schema of the server itself too.
    WidePattern,
    /// Any other pattern.
    Pattern,
    /// One schema, or something in it.
    Schema,
}

/// Checks the names of an object; a schema's pattern without needless escapes comes back in its place.
pub(super) fn check_object(object: &Object) -> Result<(Object, Extent), Denied> {
    match object {
        Object::Everything => Ok((Object::Everything, Extent::Server)),
        Object::Schema(pattern) => {
            let pattern = Pattern::read(pattern);
            check_schema(&pattern.literal())?;
            let extent = match (pattern.has_wildcards(), pattern.matches_reserved()) {
                (false, _) => Extent::Schema,
                (true, true) => Extent::WidePattern,
                (true, false) => Extent::Pattern,
            };
            Ok((Object::Schema(pattern.text()), extent))
        }
        Object::Table(Some(schema), name) | Object::Routine(_, Some(schema), name) => {
            check_schema(schema)?;
            if !is_storable(name, LONGEST_NAME) || name.is_empty() {
                return Err(invalid_name());
            }
            Ok((object.clone(), Extent::Schema))
        }
        // ER_NO_DB_ERROR
        Object::CurrentSchema | Object::Table(None, _) | Object::Routine(_, None, _) => {
            Err(Denied {
                code: 1046,
                state: "3D000",
                message: "No database selected".to_owned(),
            })
        }
    }
}

fn invalid_name() -> Denied {
    // ER_WRONG_DB_NAME
    Denied {
        code: 1102,
        state: "42000",
        message: "Incorrect name of a schema, table or routine: it has 1 to 64 characters of the basic plane, \
                  no control characters, and no space at its end"
            .to_owned(),
    }
}

fn check_schema(schema: &str) -> Result<(), Denied> {
    if schema.is_empty() || !is_storable(schema, LONGEST_NAME) {
        return Err(invalid_name());
    }
    if is_reserved_schema(schema) {
        return Err(Denied::privilege(&format!(
            "the schema '{}' belongs to the server; grant rights on your own schemas",
            schema.trim().to_lowercase()
        )));
    }
    Ok(())
}

fn is_reserved_schema(schema: &str) -> bool {
    let lower = schema.trim().to_lowercase();
    SYSTEM_SCHEMAS.contains(&lower.as_str())
}

/// A schema's name with wildcards.
struct Pattern(Vec<Part>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    One(char),
    AnyOne,
    AnyMany,
}

impl Pattern {
    fn read(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '\\' => Part::One(chars.next().unwrap_or('\\')),
                '%' => Part::AnyMany,
                '_' => Part::AnyOne,
                other => Part::One(other),
            });
        }
        Self(parts)
    }

    fn has_wildcards(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::One(_)))
    }

    /// What it means if it has no wildcards.
    fn literal(&self) -> String {
        let chars = self.0.iter().map(|part| match part {
            Part::One(c) => *c,
            Part::AnyOne => '_',
            Part::AnyMany => '%',
        });
        chars.collect()
    }

    /// Only wildcards have an escape in it, so that the server sees no two texts with the same meaning.
    fn text(&self) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::One(c) => {
                    if matches!(c, '%' | '_' | '\\') {
                        text.push('\\');
                    }
                    text.push(*c);
                }
                Part::AnyOne => text.push('_'),
                Part::AnyMany => text.push('%'),
            }
        }
        text
    }

    fn matches_reserved(&self) -> bool {
        SYSTEM_SCHEMAS.iter().any(|schema| {
            let schema: Vec<char> = schema.chars().collect();
            matches(&self.0, &schema)
        })
    }
}

/// Whether a pattern matches a name, in any case. The names are short, so the backtracking is bounded by
/// remembering which ends of the pattern match which ends of the name.
fn matches(pattern: &[Part], name: &[char]) -> bool {
    // reached[n]: the pattern so far matches the first n characters
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for part in pattern {
        let mut next = vec![false; name.len() + 1];
        match part {
            Part::AnyMany => {
                let mut any = false;
                for (n, is) in reached.iter().enumerate() {
                    any |= is;
                    next[n] = any;
                }
            }
            Part::AnyOne => {
                next[1..].copy_from_slice(&reached[..name.len()]);
            }
            Part::One(c) => {
                for (n, expected) in name.iter().enumerate() {
                    let same = c.to_lowercase().eq(expected.to_lowercase());
                    next[n + 1] = reached[n] && same;
                }
            }
        }
        reached = next;
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests;
