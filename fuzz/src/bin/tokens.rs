//! The tokenizer reads any bytes in any mode: tokens are in order, do not overlap, and leave out only
//! white space and comments. The first byte of the input chooses the mode.
#![no_main]

use dormouse_session::lexer::{Charset, Gap, Lexer, Mode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((how, text)) = bytes.split_first() else { return };
    let charsets = [Charset::Other, Charset::Big5, Charset::Gbk, Charset::Sjis];
    let mode = Mode {
        ansi_quotes: how & 1 != 0,
        no_backslash_escapes: how & 2 != 0,
        charset: charsets[usize::from(how >> 2 & 3)],
    };
    let mut lexer = Lexer::new(text, mode);
    let mut tokens = Vec::new();
    let mut end = 0;
    while let Some(token) = lexer.next_spanned() {
        assert!(end <= token.start && token.start < token.end && token.end <= text.len());
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
        assert_eq!(token.gap == Gap::Blank, text[end..token.start].iter().all(blank));
        let _ = (token.is_closed(), token.token.name());
        end = token.end;
        tokens.push(token);
    }
    assert!(lexer.is_at_end());
    if Charset::all_read_alike(text) {
        let mode = Mode { charset: Charset::Other, ..mode };
        assert_eq!(tokens, Lexer::new(text, mode).spanned().collect::<Vec<_>>());
    }
});
