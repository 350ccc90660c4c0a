//! The tokens of a text that can be judged, and a cursor over them.

use crate::lexer::{Charset, Lexer, Mode, Spanned, Token};

use super::script::LONGEST;

/// How deep parentheses and the like may be nested: some functions evaluate an argument more than once.
const DEEPEST: usize = 20;
/// How many user variables may be read, and how many functions may make long values of short ones.
const MOST_READ: usize = 8;
const MOST_GROWING: usize = 4;
/// The highest length that a function may be told to make a value.
const LONGEST_MADE: u32 = 1024;

/// What a function costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Linear in the length of its arguments, and its result is hardly longer than they are.
    Light,
    /// Its result may be much longer than its arguments.
    Growing,
    /// More than linear in the length of its arguments.
    Heavy,
}

/// The tokens of one statement, without semicolons at its end. `None`: the text is too long, is more than one
/// statement, or has executable comments, quotes that are not closed, or characters beyond ASCII outside strings.
pub(super) fn cut(text: &[u8], mode: Mode) -> Option<Vec<Spanned<'_>>> {
    let double = mode.charset != Charset::Other && !text.is_ascii();
    if text.len() > LONGEST || double {
        return None;
    }
    let mut lexer = Lexer::new(text, mode);
    let mut tokens: Vec<Spanned<'_>> = Vec::new();
    let mut behind = 0;
    while let Some(spanned) = lexer.next_spanned() {
        let readable = is_plain_gap(text.get(behind..spanned.start)?)
            && is_readable(text.get(spanned.start..spanned.end)?, &spanned);
        if !readable {
            return None;
        }
        behind = spanned.end;
        tokens.push(spanned);
    }
    if !is_plain_gap(text.get(behind..)?) {
        return None;
    }
    let end = |one: &Spanned<'_>| one.token == Token::Semicolon;
    if let Some(first) = tokens.iter().position(end) {
        // a comment behind it may be a statement of its own
        let rest = text.get(tokens.get(first)?.start..)?;
        let ends = |byte: &u8| *byte == b';' || byte.is_ascii_whitespace();
        rest.iter().all(ends).then(|| tokens.truncate(first))?;
    }
    Some(tokens)
}

/// Whether what stands between two tokens has no executable comment.
fn is_plain_gap(gap: &[u8]) -> bool {
    let executable = |opening: &[u8]| memchr::memmem::find(gap, opening).is_some();
    gap.is_ascii() && !executable(b"/*!") && !executable(b"/*M!")
}

fn is_readable(whole: &[u8], spanned: &Spanned<'_>) -> bool {
    match spanned.token {
        Token::Text(..) | Token::National(_) => spanned.is_closed(),
        Token::Quoted(..) => spanned.is_closed() && whole.is_ascii(),
        Token::UserVariable => whole.is_ascii() && is_user_variable(whole),
        _ => whole.is_ascii(),
    }
}

/// Whether a user variable has a name and, if that is quoted, a quote behind it.
fn is_user_variable(whole: &[u8]) -> bool {
    match whole {
        [_, quote @ (b'\'' | b'"' | b'`'), .., last] => quote == last && whole.len() > 3,
        [_, b'\'' | b'"' | b'`'] => false,
        [_, _, ..] => true,
        _ => false,
    }
}

/// A cursor over tokens. Methods whose names begin with `takes` step over what they find and say whether they did;
/// those that return an `Option` step over what must be there. What it reads is in `expression` (values), `functions`
/// (their arguments) and `query`.
#[derive(Debug)]
pub(super) struct Parser<'t, 'a> {
    tokens: &'t [Spanned<'a>],
    at: usize,
    depth: usize,
    load: Load,
}

/// What a statement may cost. A server does not look at `max_statement_time` within a row, so that a statement of
/// one row must be cheap by its text: long values (user variables, results of growing functions) and heavy functions
/// exclude each other.
#[derive(Debug, Default)]
struct Load {
    read: usize,
    growing: usize,
    heavy: usize,
    /// Whether it is between the parentheses of a growing function.
    grows: bool,
}

impl<'t, 'a> Parser<'t, 'a> {
    pub(super) fn new(tokens: &'t [Spanned<'a>]) -> Self {
        Self {
            tokens,
            at: 0,
            depth: 0,
            load: Load::default(),
        }
    }

    /// Counts a user variable that is read.
    pub(super) fn reads_variable(&mut self) {
        self.load.read += 1;
    }

    /// How many user variables are read.
    pub(super) fn read(&self) -> usize {
        self.load.read
    }

    /// Counts an operator that costs as much as a heavy function.
    pub(super) fn has_heavy(&mut self) {
        self.load.heavy += 1;
    }

    /// The arguments of a function of this weight, in parentheses.
    pub(super) fn weighed(
        &mut self,
        weight: Weight,
        arguments: impl FnOnce(&mut Self) -> Option<()>,
    ) -> Option<()> {
        match weight {
            Weight::Light => return self.enclosed(arguments),
            Weight::Heavy => {
                self.load.heavy += 1;
                return self.enclosed(arguments);
            }
            Weight::Growing => {}
        }
        if self.load.grows {
            return None;
        }
        self.load.growing += 1;
        self.load.grows = true;
        self.enclosed(arguments)?;
        self.load.grows = false;
        Some(())
    }

    /// Whether no more can be needed than a moment.
    pub(super) fn is_cheap(&self) -> bool {
        let Load {
            read,
            growing,
            heavy,
            ..
        } = self.load;
        let kinds = [read, growing, heavy].iter().filter(|n| **n > 0).count();
        kinds < 2 && read <= MOST_READ && growing <= MOST_GROWING
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// The token so many behind the next one.
    pub(super) fn peek(&self, ahead: usize) -> Option<Token<'a>> {
        self.tokens.get(self.at + ahead).map(|one| one.token)
    }

    /// The next token.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let next = self.peek(0)?;
        self.at += 1;
        Some(next)
    }

    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    pub(super) fn is(&self, word: &str) -> bool {
        self.peek(0).is_some_and(|next| next.is(word))
    }

    pub(super) fn is_any(&self, words: &[&str]) -> bool {
        self.peek(0).is_some_and(|next| next.is_any(words))
    }

    pub(super) fn is_sign(&self, ahead: usize, sign: u8) -> bool {
        self.peek(ahead) == Some(Token::Other(sign))
    }

    /// Whether a word comes next, with a parenthesis right behind it: else it may be the call of a stored function.
    pub(super) fn is_call(&self) -> bool {
        let pair = self.tokens.get(self.at).zip(self.tokens.get(self.at + 1));
        pair.is_some_and(|(name, open)| {
            matches!(name.token, Token::Word(_))
                && open.token == Token::Other(b'(')
                && open.start == name.end
        })
    }

    pub(super) fn takes(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    pub(super) fn takes_any(&mut self, words: &[&str]) -> bool {
        let found = self.is_any(words);
        self.at += usize::from(found);
        found
    }

    pub(super) fn takes_sign(&mut self, sign: u8) -> bool {
        let found = self.is_sign(0, sign);
        self.at += usize::from(found);
        found
    }

    pub(super) fn takes_signs(&mut self, signs: &[u8]) -> bool {
        let mut expected = signs.iter().enumerate();
        let found = expected.all(|(ahead, sign)| self.is_sign(ahead, *sign));
        self.at += if found { signs.len() } else { 0 };
        found
    }

    pub(super) fn word(&mut self, word: &str) -> Option<()> {
        self.takes(word).then_some(())
    }

    pub(super) fn any(&mut self, words: &[&str]) -> Option<()> {
        self.takes_any(words).then_some(())
    }

    pub(super) fn sign(&mut self, sign: u8) -> Option<()> {
        self.takes_sign(sign).then_some(())
    }

    pub(super) fn text(&mut self) -> Option<()> {
        matches!(self.next()?, Token::Text(..)).then_some(())
    }

    /// Digits alone.
    pub(super) fn integer(&mut self) -> Option<()> {
        let digits = |number: &[u8]| number.iter().all(u8::is_ascii_digit);
        matches!(self.next()?, Token::Number(number) if digits(number)).then_some(())
    }

    /// A number of characters that a value is to have.
    pub(super) fn length(&mut self) -> Option<()> {
        let Token::Number(number) = self.next()? else {
            return None;
        };
        let length: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
        (length <= LONGEST_MADE).then_some(())
    }

    /// One or more of something, with commas between.
    pub(super) fn list(&mut self, one: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        loop {
            one(self)?;
            if !self.takes_sign(b',') {
                return Some(());
            }
        }
    }

    /// Something that may contain itself.
    pub(super) fn nested(&mut self, inside: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        if self.depth >= DEEPEST {
            return None;
        }
        self.depth += 1;
        let found = inside(self);
        self.depth -= 1;
        found
    }

    /// Something in parentheses.
    pub(super) fn enclosed(&mut self, inside: impl FnOnce(&mut Self) -> Option<()>) -> Option<()> {
        self.sign(b'(')?;
        self.nested(inside)?;
        self.sign(b')')
    }
}
