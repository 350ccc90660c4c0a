//! Temporary tables: which a session may have, and whether they still exist.
//!
//! MariaDB 10.11 has no list of them. But the server counts `CREATE TEMPORARY TABLE` per session, and `SHOW
//! CREATE TABLE` distinguishes a temporary table from another of the same name. If the server's count equals
//! that of the session's own texts, each name can be checked; if a procedure has created one, the session is
//! pinned until a reset.

use std::collections::BTreeSet;

use crate::lexer::{Lexer, Mode, Token, begins_with};

/// The most names that are checked one by one.
const MOST: usize = 32;

/// The temporary tables that a session may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Temporaries {
    /// Names as written in a statement: `` `schema`.`table` ``.
    names: BTreeSet<String>,
    /// The number of `CREATE TEMPORARY TABLE` in the session's texts.
    seen: u64,
    /// Whether there may be one whose name is not known.
    obscure: bool,
}

impl Temporaries {
    /// Whether there may be any.
    pub(crate) fn may_exist(&self) -> bool {
        self.obscure || !self.names.is_empty()
    }

    /// The names, if all tables are known by theirs.
    pub(crate) fn known(&self) -> Option<Vec<String>> {
        let known = !self.obscure && !self.names.is_empty();
        known.then(|| self.names.iter().cloned().collect())
    }

    /// These tables, which Dormouse has just created.
    pub(crate) fn created(names: Vec<String>) -> Self {
        Self {
            seen: names.len() as u64,
            names: names.into_iter().collect(),
            obscure: false,
        }
    }

    /// Notes a text that has run in this schema.
    pub(crate) fn ran(&mut self, text: &[u8], mode: Mode, schema: Option<&[u8]>) {
        if let Some(rest) = after_create_temporary(text, mode) {
            self.seen += 1;
            match created(rest, schema) {
                Some(name) if self.names.len() < MOST => {
                    self.names.insert(name);
                }
                _ => self.obscure = true,
            }
            return;
        }
        if begins_with(text, &["ALTER", "RENAME", "HANDLER"]) && self.may_exist() {
            // one may have a new name now, or a handler, of which the server has no list
            self.obscure = true;
        }
    }

    /// Takes the server's count.
    pub(crate) fn counted(&mut self, created: u64) {
        self.obscure |= created > self.seen;
    }

    /// The questions that check each name.
    pub(crate) fn questions(&self) -> Vec<String> {
        let ask = |name| format!("SHOW CREATE TABLE {name}");
        self.names.iter().map(ask).collect()
    }

    /// Takes the answers, in order: the second column of the row, if there is one.
    pub(crate) fn answered(&mut self, answers: &[Option<Vec<u8>>]) {
        let there = |answer: &Option<Vec<u8>>| {
            answer
                .as_ref()
                .is_some_and(|text| text.starts_with(b"CREATE TEMPORARY "))
        };
        let names = std::mem::take(&mut self.names);
        let kept = names.into_iter().zip(answers);
        self.names = kept
            .filter(|(_, answer)| there(answer))
            .map(|(name, _)| name)
            .collect();
    }
}

/// The tokens after `CREATE [OR REPLACE] TEMPORARY`, if a text begins so. (Inside the body of a procedure
/// it creates no table yet.)
fn after_create_temporary(text: &[u8], mode: Mode) -> Option<Lexer<'_>> {
    let mut tokens = Lexer::new(text, mode);
    if !tokens.next()?.is("CREATE") {
        return None;
    }
    let mut token = tokens.next()?;
    if token.is("OR") {
        token = tokens.nth(1)?;
    }
    token.is("TEMPORARY").then_some(tokens)
}

/// The name in `TABLE [IF NOT EXISTS] name`.
fn created(mut tokens: Lexer<'_>, schema: Option<&[u8]>) -> Option<String> {
    if !tokens.next()?.is("TABLE") {
        return None;
    }
    let mut token = tokens.next()?;
    if token.is("IF") {
        token = tokens.nth(2)?;
    }
    let first = name(&token)?;
    match tokens.next() {
        Some(Token::Other(b'.')) => Some(format!("{first}.{}", name(&tokens.next()?)?)),
        _ => {
            let schema = std::str::from_utf8(schema?).ok().filter(|s| s.is_ascii())?;
            Some(format!("`{}`.{first}", schema.replace('`', "``")))
        }
    }
}

fn name(token: &Token<'_>) -> Option<String> {
    let name = token.name()?;
    let name = std::str::from_utf8(&name).ok()?;
    name.is_ascii()
        .then(|| format!("`{}`", name.replace('`', "``")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(texts: &[&str]) -> Temporaries {
        let mut all = Temporaries::default();
        for text in texts {
            all.ran(text.as_bytes(), Mode::default(), Some(b"shop"));
        }
        all
    }

    #[test]
    fn names_are_read_from_the_texts() {
        for (text, name) in [
            ("CREATE TEMPORARY TABLE t (i INT)", "`shop`.`t`"),
            (
                "create or replace temporary table if not exists `a``b` (i int)",
                "`shop`.`a``b`",
            ),
            ("CREATE TEMPORARY TABLE other . t SELECT 1", "`other`.`t`"),
        ] {
            let all = after(&[text]);
            assert_eq!(
                all.questions(),
                [format!("SHOW CREATE TABLE {name}")],
                "{text}"
            );
            assert!(!all.obscure);
        }
        assert!(after(&["CREATE TEMPORARY SEQUENCE s"]).obscure);
        assert!(after(&["CREATE TEMPORARY TABLE t (i INT)", "ALTER TABLE t RENAME u"]).obscure);
        assert!(after(&["CREATE TEMPORARY TABLE t (i INT)", "HANDLER t OPEN"]).obscure);
        assert!(!after(&["CREATE TABLE t (i INT)", "DROP TABLE t"]).may_exist());
        let mut all = after(&["CREATE PROCEDURE p() CREATE TEMPORARY TABLE t (i INT)"]);
        all.counted(1);
        assert!(all.obscure, "calling it has made one");
    }

    #[test]
    fn a_table_exists_as_long_as_the_server_shows_it() {
        let mut all = after(&[
            "CREATE TEMPORARY TABLE a (i INT)",
            "CREATE TEMPORARY TABLE b (i INT)",
        ]);
        all.counted(2);
        assert!(all.may_exist());
        all.answered(&[
            Some(b"CREATE TABLE `a` ...".to_vec()),
            Some(b"CREATE TEMPORARY TABLE".to_vec()),
        ]);
        assert_eq!(all.questions(), ["SHOW CREATE TABLE `shop`.`b`"]);
        all.answered(&[None]);
        assert!(!all.may_exist());
        all.counted(3);
        assert!(all.may_exist(), "a procedure has made one");
    }
}
