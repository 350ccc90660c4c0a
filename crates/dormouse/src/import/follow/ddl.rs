//! What is done with a statement of the other server's log. Pure.

use dormouse_binlog::follow::Query;
use dormouse_session::lexer::{Charset, Lexer, Mode, Token};

use crate::import::classify::{Effect, Reason, Treatment, classify, is_reserved, replaced};

/// Which schemas are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All but the server's own.
    All,
    /// Only these.
    Only(Vec<String>),
}

impl Scope {
    /// Whether a schema is followed.
    pub(crate) fn has(&self, schema: &str) -> bool {
        match self {
            Self::All => !is_reserved(schema) && schema != super::position::SCHEMA,
            Self::Only(schemas) => schemas.iter().any(|one| one == schema),
        }
    }
}

/// Schema and name; no name for a schema itself.
pub(crate) type Name = (String, Option<String>);

/// What is done with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Plan {
    /// The transaction ends.
    Commit,
    /// The transaction is undone.
    Rollback,
    /// It is about a savepoint of the transaction.
    Savepoint,
    /// Nothing.
    Skip,
    /// Nothing; what it is about is read again at the cut-over.
    Later,
    /// A statement about accounts, by its first words: told, not run.
    Account(String),
    /// It is run.
    Run {
        /// As it is run.
        text: Vec<u8>,
        /// What it is about.
        names: Vec<Name>,
    },
    /// It cannot be followed, for this reason.
    Refuse(&'static str),
}

/// `ANSI_QUOTES` and `NO_BACKSLASH_ESCAPES` in the number of a mode.
const ANSI_QUOTES: u64 = 4;
const NO_BACKSLASH_ESCAPES: u64 = 1 << 20;

/// How the text of a statement is read.
pub(crate) fn mode(query: &Query) -> Mode {
    let bits = query.sql_mode.unwrap_or(0);
    let client = query.collations.map_or(0, |[client, ..]| client);
    Mode {
        ansi_quotes: bits & ANSI_QUOTES != 0,
        no_backslash_escapes: bits & NO_BACKSLASH_ESCAPES != 0,
        charset: match client & 0x3FF {
            1 | 84 => Charset::Big5,
            28 | 87 => Charset::Gbk,
            13 | 88 | 95 | 96 => Charset::Sjis,
            _ => Charset::Other,
        },
    }
}

/// What is done with a statement.
pub(crate) fn plan(query: &Query, scope: &Scope) -> Plan {
    let mode = mode(query);
    let text = without_variables(&query.text, mode);
    let words = Words::read(text, mode);
    let is = |at, all: &[&str]| words.is(at, all);
    if is(0, &["COMMIT"]) {
        return Plan::Commit;
    }
    if is(0, &["ROLLBACK"]) && !is(1, &["TO"]) {
        return Plan::Rollback;
    }
    if is(0, &["SAVEPOINT", "ROLLBACK", "RELEASE"]) {
        return Plan::Savepoint;
    }
    if is(0, &["XA"]) {
        return Plan::Refuse("XA transactions are not followed");
    }
    let passed = [
        "BEGIN", "START", "FLUSH", "ANALYZE", "OPTIMIZE", "REPAIR", "CHECK", "SET", "PURGE",
    ];
    if words.all.is_empty() || is(0, &passed) || words.is_temporary() {
        return Plan::Skip;
    }
    if is(
        0,
        &[
            "INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH", "CALL", "DO",
        ],
    ) {
        return match is_reserved(&query.schema) {
            true => Plan::Skip,
            false => Plan::Refuse(
                "a session there writes its changes as statements (binlog_format = STATEMENT), not as rows",
            ),
        };
    }
    let schema = Some(query.schema.as_str()).filter(|schema| !schema.is_empty());
    let found = classify(text, mode, None);
    match found.treatment {
        Treatment::Try(Reason::Account) => return Plan::Account(words.first(2)),
        Treatment::Skip(_) | Treatment::Nothing | Treatment::Try(_) => return Plan::Skip,
        Treatment::Run => {}
    }
    if words.is_about(&["TRIGGER", "EVENT"]) {
        return Plan::Later;
    }
    let Some(names) = words.names(&found.effect) else {
        return Plan::Refuse("its kind of statement is not known");
    };
    let names: Option<Vec<Name>> = names
        .into_iter()
        .map(|(named, name)| {
            let schema = named.or_else(|| schema.map(ToOwned::to_owned))?;
            Some((schema, name))
        })
        .collect();
    let Some(names) = names else {
        return Plan::Refuse("it names no schema");
    };
    let within = names.iter().filter(|(schema, _)| scope.has(schema)).count();
    if within == 0 {
        return Plan::Skip;
    }
    if within < names.len() {
        return Plan::Refuse("it is about a schema that is followed and one that is not");
    }
    let text = match found.definer {
        Some((range, _)) => replaced(text, &[(range, "")]),
        None => text.to_vec(),
    };
    Plan::Run { text, names }
}

/// The statement behind `SET STATEMENT … FOR`.
fn without_variables(text: &[u8], mode: Mode) -> &[u8] {
    let mut lexer = Lexer::new(text, mode);
    let mut tokens = lexer.spanned();
    let set = tokens.next().is_some_and(|one| one.token.is("SET"));
    if !set || !tokens.next().is_some_and(|one| one.token.is("STATEMENT")) {
        return text;
    }
    let end = tokens.find(|one| one.token.is("FOR")).map(|one| one.end);
    end.and_then(|end| text.get(end..)).unwrap_or(text)
}

/// Bytes of a statement that are looked at.
const HEAD: usize = 64 << 10;

/// The beginning of a statement.
struct Words<'a> {
    all: Vec<Token<'a>>,
}

type Named = (Option<String>, Option<String>);

impl<'a> Words<'a> {
    fn read(text: &'a [u8], mode: Mode) -> Self {
        let mut lexer = Lexer::new(text.get(..HEAD).unwrap_or(text), mode);
        let all = lexer.spanned().map(|one| one.token).take(10_000).collect();
        Self { all }
    }

    fn is(&self, at: usize, words: &[&str]) -> bool {
        self.all.get(at).is_some_and(|token| token.is_any(words))
    }

    fn first(&self, count: usize) -> String {
        let word = |token: &Token<'_>| {
            token
                .name()
                .map(|n| String::from_utf8_lossy(&n).to_ascii_uppercase())
        };
        let words: Vec<_> = self.all.iter().take(count).filter_map(word).collect();
        words.join(" ")
    }

    fn is_temporary(&self) -> bool {
        (1..4).any(|at| self.is(at, &["TEMPORARY"])) && self.is(0, &["CREATE", "DROP"])
    }

    /// Whether the kind of object is one of these: the first kind that stands there.
    fn is_about(&self, kinds: &[&str]) -> bool {
        const KINDS: [&str; 12] = [
            "TABLE",
            "VIEW",
            "SEQUENCE",
            "PROCEDURE",
            "FUNCTION",
            "PACKAGE",
            "TRIGGER",
            "EVENT",
            "INDEX",
            "DATABASE",
            "SCHEMA",
            "TABLES",
        ];
        let at = (1..24).find(|at| self.is(*at, &KINDS));
        self.is(0, &["CREATE", "ALTER", "DROP"]) && at.is_some_and(|at| self.is(at, kinds))
    }

    fn name(&self, at: usize) -> Option<String> {
        let name = self.all.get(at)?.name()?;
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    fn behind_if(&self, at: usize) -> usize {
        match (self.is(at, &["IF"]), self.is(at + 1, &["NOT"])) {
            (true, true) => at + 3,
            (true, false) => at + 2,
            (false, _) => at,
        }
    }

    fn is_byte(&self, at: usize, byte: u8) -> bool {
        self.all.get(at) == Some(&Token::Other(byte))
    }

    /// The name of an object, and where it ends.
    fn object(&self, at: usize) -> Option<(Named, usize)> {
        let first = self.name(at)?;
        if self.is_byte(at + 1, b'.') {
            let name = self.name(at + 2)?;
            return Some(((Some(first), Some(name)), at + 3));
        }
        Some(((None, Some(first)), at + 1))
    }

    /// Objects with commas between them; `joint` stands between the two names of a pair.
    fn list(&self, mut at: usize, joint: &str) -> Option<Vec<Named>> {
        let mut names = Vec::new();
        loop {
            let (name, end) = self.object(at)?;
            names.push(name);
            at = end;
            if self.is_byte(at, b',') || !joint.is_empty() && self.is(at, &[joint]) {
                at += 1;
                continue;
            }
            return Some(names);
        }
    }

    /// What the statement is about.
    fn names(&self, effect: &Effect) -> Option<Vec<Named>> {
        let is = |at, words: &[&str]| self.is(at, words);
        if is(0, &["TRUNCATE"]) {
            let (name, _) = self.object(1 + usize::from(is(1, &["TABLE"])))?;
            return Some(vec![name]);
        }
        if is(0, &["RENAME"]) && is(1, &["TABLE", "TABLES"]) {
            return self.list(self.behind_if(2), "TO");
        }
        if !is(0, &["CREATE", "ALTER", "DROP"]) {
            return None;
        }
        let at = if is(1, &["OR"]) { 3 } else { 1 };
        if is(at, &["DATABASE", "SCHEMA"]) {
            let name = self.name(self.behind_if(at + 1));
            // ALTER DATABASE CHARACTER SET: the current one
            let options = ["CHARACTER", "CHARSET", "DEFAULT", "COLLATE", "COMMENT"];
            let current = is(0, &["ALTER"]) && is(at + 1, &options);
            return Some(vec![(name.filter(|_| !current), None)]);
        }
        let index = (at..at + 3).find(|at| is(*at, &["INDEX"]));
        if let Some(index) = index.filter(|_| is(0, &["CREATE", "DROP"])) {
            let on = (index..index + 8).find(|at| is(*at, &["ON"]))?;
            let (name, _) = self.object(on + 1)?;
            return Some(vec![name]);
        }
        if let Effect::Create { object, .. } = effect {
            return Some(vec![(object.schema.clone(), Some(object.name.clone()))]);
        }
        const KINDS: [&str; 6] = [
            "TABLE",
            "VIEW",
            "SEQUENCE",
            "PROCEDURE",
            "FUNCTION",
            "PACKAGE",
        ];
        let kind = (1..24).find(|at| is(*at, &KINDS))?;
        let from = self.behind_if(kind + 1 + usize::from(is(kind + 1, &["BODY"])));
        if is(0, &["DROP"]) {
            return self.list(from, "");
        }
        let (name, end) = self.object(from)?;
        let mut names = vec![name];
        // ALTER TABLE … RENAME [TO | AS | =] other
        let renames = (end..self.all.len())
            .find(|at| is(*at, &["RENAME"]) && !is(*at + 1, &["COLUMN", "INDEX", "KEY"]));
        if let Some(at) = renames.filter(|_| is(kind, &["TABLE"])) {
            let skip = usize::from(is(at + 1, &["TO", "AS"]) || self.is_byte(at + 1, b'='));
            names.push(self.object(at + 1 + skip)?.0);
        }
        Some(names)
    }
}

#[cfg(test)]
mod tests;
