//! What the importer does with each statement of a dump. Pure.
//!
//! Dumps are made by a superuser for a whole server. What a database's owner may not do there is left out, or tried,
//! and counted by its [`Reason`], so that the summary can name it.

use std::ops::Range;

use dormouse_session::lexer::{Lexer, Mode, Token};

/// Bytes of a statement that are looked at. Names and options stand at its beginning, rows behind.
const HEAD: usize = 16 << 10;

/// Why a statement is not run as it stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// `SET … GTID_PURGED`, `SQL_LOG_BIN`, `CHANGE MASTER`, `START SLAVE` and the like.
    Replication,
    /// `LOCK TABLES`, `UNLOCK TABLES`.
    Locks,
    /// `FLUSH …`.
    Flush,
    /// Contents of a schema that belongs to the server.
    SystemSchema,
    /// `INSTALL PLUGIN`, `CREATE SERVER` and the like.
    ServerWide,
    /// A global variable that was refused.
    GlobalVariable,
    /// A statement about accounts that was refused.
    Account,
    /// A definer that was replaced by the owner.
    Definer,
    /// A collation of MySQL that was replaced by the closest one there is.
    Collation,
}

impl Reason {
    /// What is told in the summary.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Replication => "replication and binary log: not run, a database has its own",
            Self::Locks => "LOCK TABLES and UNLOCK TABLES: not run, the import needs no locks",
            Self::Flush => "FLUSH: not run, nothing of it is needed",
            Self::SystemSchema => {
                "contents of the server's own schemas: not run; accounts come with CREATE USER and GRANT"
            }
            Self::ServerWide => "plugins and servers: not run, a database cannot load any",
            Self::GlobalVariable => "global variables that an owner may not set: refused",
            Self::Account => "statements about accounts: refused",
            Self::Definer => {
                "definers: replaced by the owner, as nobody may make code for other accounts"
            }
            Self::Collation => "collations of MySQL: replaced by those of MariaDB that are closest",
        }
    }
}

/// What to do with a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// Run it; an error stops the import.
    Run,
    /// Run it; if it is refused, count it and go on.
    Try(Reason),
    /// Count it only.
    Skip(Reason),
    /// It is a comment to every MariaDB.
    Nothing,
}

/// A kind of object with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ObjectKind {
    Table,
    View,
    Sequence,
    Procedure,
    Function,
    Package,
    PackageBody,
    Trigger,
    Event,
}

impl ObjectKind {
    /// As in `DROP …`.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Table => "TABLE",
            Self::View => "VIEW",
            Self::Sequence => "SEQUENCE",
            Self::Procedure => "PROCEDURE",
            Self::Function => "FUNCTION",
            Self::Package => "PACKAGE",
            Self::PackageBody => "PACKAGE BODY",
            Self::Trigger => "TRIGGER",
            Self::Event => "EVENT",
        }
    }
}

/// An object: its kind, and its name with the schema if the statement says so.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Object {
    pub(crate) kind: ObjectKind,
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
}

/// What a statement does, as far as it matters for going on after an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Sets something of the session, and nothing else.
    Session,
    /// Changes nothing that matters for going on.
    Neutral,
    /// Begins a transaction.
    Begins,
    /// `USE schema`.
    Use(String),
    /// `DROP … IF EXISTS`.
    Drop(Object),
    /// `CREATE …`, with or without `OR REPLACE`.
    Create { object: Object, replaces: bool },
    /// Rows for a table.
    Rows(Object),
    /// Something that is an error or without effect if it is run again.
    Definition,
    /// `COMMIT` and others that end a transaction.
    Ends,
    /// Anything else.
    Other,
}

/// A statement that has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Classified {
    pub(crate) treatment: Treatment,
    pub(crate) effect: Effect,
    /// Where a definer stands, and its name.
    pub(crate) definer: Option<(Range<usize>, String)>,
    /// Collations of MySQL 8, each with what takes its place.
    pub(crate) collations: Vec<(Range<usize>, &'static str)>,
}

/// The schemas that belong to the server.
pub(crate) fn is_reserved(schema: &str) -> bool {
    dormouse_types::reserved::SYSTEM_SCHEMAS
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(schema))
}

/// The beginning of a statement as tokens.
struct Tokens<'a> {
    all: Vec<(Token<'a>, Range<usize>)>,
}

impl<'a> Tokens<'a> {
    fn read(text: &'a [u8], mode: Mode) -> Self {
        let head = text.get(..HEAD).unwrap_or(text);
        let mut lexer = Lexer::new(head, mode);
        let all = lexer.spanned().map(|s| (s.token, s.start..s.end));
        Self {
            all: all.take(2000).collect(),
        }
    }

    fn get(&self, at: usize) -> Option<&Token<'a>> {
        self.all.get(at).map(|(token, _)| token)
    }

    fn is(&self, at: usize, words: &[&str]) -> bool {
        self.get(at).is_some_and(|token| token.is_any(words))
    }

    fn has(&self, words: &[&str]) -> bool {
        self.all.iter().any(|(token, _)| token.is_any(words))
    }

    fn name(&self, at: usize) -> Option<String> {
        let name = self.get(at)?.name()?;
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    /// The object whose name begins there.
    fn object(&self, kind: ObjectKind, at: usize) -> Option<Object> {
        let first = self.name(at)?;
        let qualified = matches!(self.get(at + 1), Some(Token::Other(b'.')));
        Some(match self.name(at + 2).filter(|_| qualified) {
            Some(name) => Object {
                kind,
                schema: Some(first),
                name,
            },
            None => Object {
                kind,
                schema: None,
                name: first,
            },
        })
    }

    /// Behind `IF EXISTS` or `IF NOT EXISTS`, if it is there.
    fn behind_if(&self, at: usize) -> usize {
        match (self.is(at, &["IF"]), self.is(at + 1, &["NOT"])) {
            (true, true) => at + 3,
            (true, false) => at + 2,
            (false, _) => at,
        }
    }
}

const KINDS: [(&str, ObjectKind); 8] = [
    ("TABLE", ObjectKind::Table),
    ("VIEW", ObjectKind::View),
    ("SEQUENCE", ObjectKind::Sequence),
    ("PROCEDURE", ObjectKind::Procedure),
    ("FUNCTION", ObjectKind::Function),
    ("PACKAGE", ObjectKind::Package),
    ("TRIGGER", ObjectKind::Trigger),
    ("EVENT", ObjectKind::Event),
];

/// Collations of MySQL 8 and what takes their place in MariaDB.
const COLLATIONS: [(&str, &str); 6] = [
    ("utf8mb4_0900_ai_ci", "utf8mb4_uca1400_ai_ci"),
    ("utf8mb4_0900_as_ci", "utf8mb4_uca1400_as_ci"),
    ("utf8mb4_0900_as_cs", "utf8mb4_uca1400_as_cs"),
    ("utf8mb4_0900_bin", "utf8mb4_bin"),
    ("utf8mb4_de_pb_0900_ai_ci", "utf8mb4_uca1400_german2_ai_ci"),
    ("utf8mb4_es_0900_ai_ci", "utf8mb4_uca1400_spanish_ai_ci"),
];

/// Looks at a statement. `schema` is the current one.
pub(crate) fn classify(text: &[u8], mode: Mode, schema: Option<&str>) -> Classified {
    let tokens = Tokens::read(text, mode);
    let effect = effect(&tokens);
    let treatment = treatment(&tokens, &effect, schema);
    let defines = tokens.is(0, &["CREATE", "ALTER"]);
    Classified {
        treatment,
        definer: definer(&tokens, text).filter(|_| defines),
        collations: match defines || tokens.is(0, &["SET"]) {
            true => collations(&tokens),
            false => Vec::new(),
        },
        effect,
    }
}

fn effect(tokens: &Tokens<'_>) -> Effect {
    let Some(Token::Word(first)) = tokens.get(0) else {
        return Effect::Other;
    };
    let first = String::from_utf8_lossy(first).to_ascii_uppercase();
    match first.as_str() {
        "SET" => Effect::Session,
        "USE" => tokens.name(1).map_or(Effect::Other, Effect::Use),
        "DROP" => drops(tokens),
        "CREATE" => creates(tokens),
        "INSERT" | "REPLACE" => rows(tokens),
        "ALTER" if tokens.has(&["KEYS"]) && tokens.has(&["DISABLE", "ENABLE"]) => Effect::Neutral,
        "ALTER" | "GRANT" | "REVOKE" | "ANALYZE" | "OPTIMIZE" | "CHECK" | "SELECT" | "SHOW" => {
            Effect::Definition
        }
        // the state of a sequence
        "DO" if tokens.is(1, &["SETVAL"]) => Effect::Definition,
        "LOCK" | "UNLOCK" | "FLUSH" => Effect::Neutral,
        "BEGIN" => Effect::Begins,
        "START" if tokens.is(1, &["TRANSACTION"]) => Effect::Begins,
        "COMMIT" | "ROLLBACK" => Effect::Ends,
        _ => Effect::Other,
    }
}

fn drops(tokens: &Tokens<'_>) -> Effect {
    let at = 1 + usize::from(tokens.is(1, &["TEMPORARY"]));
    let kind = KINDS.iter().find(|(word, _)| tokens.is(at, &[word]));
    let Some((_, kind)) = kind.filter(|_| tokens.is(at + 1, &["IF", "BODY"])) else {
        return Effect::Definition;
    };
    let body = tokens.is(at + 1, &["BODY"]);
    let kind = if body { ObjectKind::PackageBody } else { *kind };
    let name = tokens.behind_if(at + 1 + usize::from(body));
    tokens
        .object(kind, name)
        .map_or(Effect::Definition, Effect::Drop)
}

/// `CREATE [OR REPLACE] [options] KIND [IF NOT EXISTS] name`
fn creates(tokens: &Tokens<'_>) -> Effect {
    let replaces = tokens.is(1, &["OR"]) && tokens.is(2, &["REPLACE"]);
    if tokens.is(1, &["TEMPORARY"]) || tokens.is(3, &["TEMPORARY"]) {
        return Effect::Definition;
    }
    // ALGORITHM = …, DEFINER = …, SQL SECURITY …, AGGREGATE
    for at in 1..16 {
        if tokens.is(
            at,
            &["USER", "ROLE", "DATABASE", "SCHEMA", "INDEX", "SERVER"],
        ) {
            return Effect::Definition;
        }
        let Some((_, kind)) = KINDS.iter().find(|(word, _)| tokens.is(at, &[word])) else {
            continue;
        };
        let body = *kind == ObjectKind::Package && tokens.is(at + 1, &["BODY"]);
        let kind = if body { ObjectKind::PackageBody } else { *kind };
        let name = tokens.behind_if(at + 1 + usize::from(body));
        let object = tokens.object(kind, name);
        return object.map_or(Effect::Definition, |object| Effect::Create {
            object,
            replaces,
        });
    }
    Effect::Definition
}

fn rows(tokens: &Tokens<'_>) -> Effect {
    const OPTIONS: [&str; 5] = ["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"];
    let at = (1..5).find(|at| !tokens.is(*at, &OPTIONS)).unwrap_or(1);
    tokens
        .object(ObjectKind::Table, at)
        .map_or(Effect::Other, Effect::Rows)
}

fn treatment(tokens: &Tokens<'_>, effect: &Effect, schema: Option<&str>) -> Treatment {
    use Treatment::{Run, Skip, Try};
    if tokens.all.is_empty() {
        return Treatment::Nothing;
    }
    if let Some(treatment) = of_the_server(tokens, effect, schema) {
        return treatment;
    }
    let is = |at, words: &[&str]| tokens.is(at, words);
    if is(0, &["SET"]) {
        if tokens.has(&["GTID_PURGED", "SQL_LOG_BIN", "GTID_SLAVE_POS"]) {
            return Skip(Reason::Replication);
        }
        if is(1, &["PASSWORD", "DEFAULT"]) && is(1, &["PASSWORD"]) | is(2, &["ROLE"]) {
            return Try(Reason::Account);
        }
        let global = is(1, &["GLOBAL"])
            || tokens.all.windows(2).any(|pair| {
                matches!(pair, [(Token::SystemVariable | Token::Other(b','), _), (word, _)] if word.is("GLOBAL"))
            });
        return match global {
            true => Try(Reason::GlobalVariable),
            false => Run,
        };
    }
    if is(0, &["LOCK", "UNLOCK"]) {
        return Skip(Reason::Locks);
    }
    if is(0, &["FLUSH"]) {
        return Skip(Reason::Flush);
    }
    let replication = is(0, &["CHANGE"]) && is(1, &["MASTER", "REPLICATION"])
        || is(0, &["START", "STOP", "RESET"])
            && is(
                1,
                &[
                    "SLAVE",
                    "REPLICA",
                    "ALL",
                    "MASTER",
                    "GROUP_REPLICATION",
                    "BINARY",
                ],
            );
    if replication {
        return Skip(Reason::Replication);
    }
    let server_wide = is(0, &["INSTALL", "UNINSTALL"])
        || is(0, &["CREATE", "DROP", "ALTER"])
            && (is(1, &["SERVER"]) || is(3, &["SERVER"]) && is(1, &["OR"]))
        || is(0, &["CREATE"]) && tokens.has(&["SONAME"]) && tokens.has(&["RETURNS"]);
    if server_wide {
        return Skip(Reason::ServerWide);
    }
    let accounts = is(0, &["GRANT", "REVOKE"])
        || is(0, &["CREATE", "ALTER", "DROP", "RENAME"])
            && (is(1, &["USER", "ROLE"]) || is(1, &["OR"]) && is(3, &["USER", "ROLE"]));
    if accounts {
        return Try(Reason::Account);
    }
    Run
}

/// What happens to a statement about the server's own schemas.
fn of_the_server(tokens: &Tokens<'_>, effect: &Effect, schema: Option<&str>) -> Option<Treatment> {
    let skip = Some(Treatment::Skip(Reason::SystemSchema));
    let reserved = |name: Option<String>| name.is_some_and(|name| is_reserved(&name));
    if tokens.is(0, &["CREATE", "DROP", "ALTER"]) {
        let at = if tokens.is(1, &["OR"]) { 3 } else { 1 };
        if tokens.is(at, &["DATABASE", "SCHEMA"]) {
            return skip.filter(|_| reserved(tokens.name(tokens.behind_if(at + 1))));
        }
    }
    let object = match effect {
        Effect::Use(schema) => return skip.filter(|_| is_reserved(schema)),
        Effect::Session | Effect::Begins | Effect::Ends => return None,
        Effect::Drop(object) | Effect::Create { object, .. } | Effect::Rows(object) => Some(object),
        _ => None,
    };
    if let Some(schema) = object.and_then(|object| object.schema.as_deref()) {
        return skip.filter(|_| is_reserved(schema));
    }
    // accounts may be made wherever the session is
    let accounts = tokens.is(0, &["GRANT", "REVOKE"])
        || tokens.is(0, &["CREATE", "ALTER", "DROP"]) && tokens.is(1, &["USER", "ROLE"]);
    skip.filter(|_| !accounts && schema.is_some_and(is_reserved))
}

/// `DEFINER = user@host` in front of the object's kind.
fn definer(tokens: &Tokens<'_>, text: &[u8]) -> Option<(Range<usize>, String)> {
    let kinds = KINDS.map(|(word, _)| word);
    let last = (1..24).find(|at| tokens.is(*at, &kinds))?;
    let at = (1..last).find(|at| tokens.is(*at, &["DEFINER"]))?;
    if !matches!(tokens.get(at + 1), Some(Token::Other(b'='))) {
        return None;
    }
    let mut end = at + 2;
    match tokens.get(end + 1) {
        // `user`@`host`
        Some(Token::UserVariable) => end += 1,
        // CURRENT_USER()
        Some(Token::Other(b'(')) => end += 2,
        _ => {}
    }
    let from = tokens.all.get(at)?.1.start;
    let to = tokens.all.get(end)?.1.end;
    let name = text.get(tokens.all.get(at + 2)?.1.start..to)?;
    Some((
        from..to,
        String::from_utf8_lossy(name).replace(['`', '\'', '"'], ""),
    ))
}

fn collations(tokens: &Tokens<'_>) -> Vec<(Range<usize>, &'static str)> {
    let known = |token: &Token<'_>| COLLATIONS.iter().find(|(mysql, _)| token.is(mysql));
    let found = tokens.all.iter();
    found
        .filter_map(|(token, range)| known(token).map(|(_, other)| (range.clone(), *other)))
        .collect()
}

/// The text with some ranges replaced, which are in order and do not overlap.
pub(crate) fn replaced(text: &[u8], ranges: &[(Range<usize>, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut from = 0;
    for (range, new) in ranges {
        out.extend_from_slice(text.get(from..range.start).unwrap_or_default());
        out.extend_from_slice(new.as_bytes());
        from = range.end;
    }
    out.extend_from_slice(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests;
