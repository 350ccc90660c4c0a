//! Reads queries without tables, derived ones included.
//!
//! A server makes a derived table of `UNION … INTERSECT …`, of several queries in parentheses between others, and of
//! `(… LIMIT 1) ORDER BY …`. Such a statement loses the warnings of the one before, as any with a table does.

use super::parser::Parser;
use super::words::is_bare_alias;
use crate::lexer::Token;

impl Parser<'_, '_> {
    /// `SELECT`, `VALUES`, one of them in parentheses, or several with `UNION` and the like between.
    pub(super) fn query(&mut self) -> Option<()> {
        self.nested(|parser| {
            parser.term(false)?;
            let mut weaker = false;
            loop {
                if parser.takes_any(&["UNION", "EXCEPT"]) {
                    weaker = true;
                } else if weaker || !parser.takes("INTERSECT") {
                    return Some(());
                }
                parser.takes_any(&["ALL", "DISTINCT"]);
                parser.term(true)?;
            }
        })
    }

    fn term(&mut self, behind_another: bool) -> Option<()> {
        if self.takes("SELECT") {
            self.select()?;
        } else if self.takes("VALUES") {
            self.list(|parser| parser.enclosed(Self::expressions))?;
        } else {
            self.nested(|parser| parser.enclosed(|parser| parser.term(false)))?;
            if !behind_another {
                return Some(());
            }
        }
        if self.takes("ORDER") {
            self.word("BY")?;
            self.list(|parser| {
                parser.integer()?;
                parser.takes_any(&["ASC", "DESC"]);
                Some(())
            })?;
        }
        if self.takes("LIMIT") {
            self.integer()?;
            if self.takes_sign(b',') || self.takes("OFFSET") {
                self.integer()?;
            }
        }
        Some(())
    }

    /// What stands behind `SELECT`.
    fn select(&mut self) -> Option<()> {
        self.takes_any(&["ALL", "DISTINCT"]);
        self.list(Self::item)?;
        if self.takes("FROM") {
            self.word("DUAL")?;
        }
        if self.takes("WHERE") {
            self.expression()?;
        }
        if self.takes("HAVING") {
            self.expression()?;
        }
        Some(())
    }

    fn item(&mut self) -> Option<()> {
        self.expression()?;
        if self.takes("AS") {
            let alias = self.next()?;
            return matches!(alias, Token::Word(_) | Token::Quoted(..) | Token::Text(..))
                .then_some(());
        }
        if self.peek(0).is_some_and(is_bare_alias) {
            self.skip();
        }
        Some(())
    }
}
