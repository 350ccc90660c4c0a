use super::*;
use proptest::prelude::*;

const DEFAULT: Mode = Mode {
    ansi_quotes: false,
    no_backslash_escapes: false,
    charset: Charset::Other,
};
const ANSI: Mode = Mode {
    ansi_quotes: true,
    ..DEFAULT
};
const PLAIN: Mode = Mode {
    no_backslash_escapes: true,
    ..DEFAULT
};
const BOTH: Mode = Mode {
    ansi_quotes: true,
    ..PLAIN
};

fn show(token: Token<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match token {
        Token::Word(w) | Token::Number(w) | Token::Bits(w) => text(w),
        Token::Quoted(w, _) => format!("`{}`", text(w)),
        Token::Text(..) => "''".to_owned(),
        Token::National(..) => "N''".to_owned(),
        Token::UserVariable => "@".to_owned(),
        Token::SystemVariable => "@@".to_owned(),
        Token::Semicolon => ";".to_owned(),
        Token::Other(byte) => char::from(byte).to_string(),
    }
}

fn words_in(text: &[u8], mode: Mode) -> Vec<String> {
    Lexer::new(text, mode).map(show).collect()
}

fn words(text: &str) -> Vec<String> {
    words_in(text.as_bytes(), DEFAULT)
}

#[test]
fn tokens_of_a_text() {
    let table: [(&str, &[&str]); 12] = [
        ("", &[]),
        ("select 1", &["select", "1"]),
        ("  /* x */ SELECT-- c\n1", &["SELECT", "1"]),
        ("SELECT 1--1", &["SELECT", "1", "-", "-", "1"]),
        ("# c\nUSE `a``b`", &["USE", "`a``b`"]),
        (
            "SELECT 'it''s @a; \\' @b', \"@c\"",
            &["SELECT", "''", ",", "''"],
        ),
        (
            "SET @a := @@x, @`b c`=1",
            &["SET", "@", ":", "=", "@@", "x", ",", "@", "=", "1"],
        ),
        (
            "/*!40101 SET NAMES utf8 */;",
            &["SET", "NAMES", "utf8", ";"],
        ),
        ("/*M!100100 SET x=1 */", &["SET", "x", "=", "1"]),
        ("SELECT 'open", &["SELECT", "''"]),
        ("SELECT /* open", &["SELECT"]),
        ("SELECT größe", &["SELECT", "größe"]),
    ];
    for (text, expected) in table {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn each_mode_reads_quotes_in_its_own_way() {
    let table: [(&str, Mode, &[&str]); 8] = [
        (r"SELECT '\', @x", DEFAULT, &["SELECT", "''"]),
        (r"SELECT '\', @x", PLAIN, &["SELECT", "''", ",", "@"]),
        (r#"SELECT "\", @x"#, PLAIN, &["SELECT", "''", ",", "@"]),
        (
            r#"SELECT '\'' AS "a""b`\", @x"#,
            ANSI,
            &["SELECT", "''", "AS", r#"`a""b`\`"#, ",", "@"],
        ),
        (
            r#"SELECT '\' "\", `"\`"#,
            BOTH,
            &["SELECT", "''", r"`\`", ",", r#"`"\`"#],
        ),
        (r#"SELECT 1 -- "\n, "a""#, ANSI, &["SELECT", "1"]),
        (
            "SELECT 1 -- \"\n, \"a\"",
            ANSI,
            &["SELECT", "1", ",", "`a`"],
        ),
        ("/* \" */ USE \"e", ANSI, &["USE", "`e`"]),
    ];
    for (text, mode, expected) in table {
        assert_eq!(words_in(text.as_bytes(), mode), expected, "{text}");
    }
    let name = Lexer::new(br#""a""b`""#, ANSI).next().unwrap();
    assert_eq!(name.name().unwrap(), &b"a\"b`"[..]);
}

#[test]
fn literals_and_numbers_are_one_token() {
    let table: [(&str, &[&str]); 17] = [
        ("x'41' X'4'", &["x'41'", "X", "''"]),
        ("b'01' B'2'", &["b'01'", "B", "''"]),
        (
            "0x4f 0x 0x4g 0b01 0b2",
            &["0x4f", "0x", "0x4g", "0b01", "0b2"],
        ),
        ("N'a\\'b' n'' N 'a'", &["N''", "N''", "N", "''"]),
        (
            "_utf8mb4'a' _latin1 x'41'",
            &["_utf8mb4", "''", "_latin1", "x'41'"],
        ),
        ("1.5+.5", &["1.5", "+", ".5"]),
        ("1e5 1.e5 1E-5 1e+", &["1e5", "1.e5", "1E-5", "1e", "+"]),
        ("1..10", &["1", ".", ".", "10"]),
        ("1a 1e 1_", &["1a", "1e", "1_"]),
        ("t.5 t.x'41'", &["t", ".", "5", "t", ".", "x", "''"]),
        ("`t`.5", &["`t`", ".5"]),
        ("t .5", &["t", ".5"]),
        ("t.1e5.x", &["t", ".", "1e5", ".", "x"]),
        ("@a.b @'c' @ d", &["@", "@", "@", "d"]),
        ("@@global.x @@5", &["@@", "global", ".", "x", "@@", "5"]),
        ("\\N'a'", &["\\N", "''"]),
        ("a:=1", &["a", ":", "=", "1"]),
    ];
    for (text, expected) in table {
        assert_eq!(words(text), expected, "{text}");
    }
}

#[test]
fn executable_comments_are_code_for_the_servers_that_run_them() {
    let table: [(&str, &[&str], bool); 9] = [
        ("/*! a */ b", &["a", "b"], false),
        ("/*M! a */", &["a"], false),
        ("/*!50701 a */ b", &["b"], false),
        ("/*!99999 a /* b */ c */ d", &["d"], false),
        ("/*M!50701 a */ b", &["a", "b"], false),
        ("/*!100100 a */", &["a"], false),
        ("/*!110400 a */", &["a"], true),
        ("/*! a /* b */ c */ d", &["a", "c", "d"], false),
        // the second one is code too, and the first end ends both
        (
            "/*! a /*! b */ c */ d",
            &["a", "b", "c", "*", "/", "d"],
            false,
        ),
    ];
    for (text, expected, versioned) in table {
        let mut lexer = Lexer::new(text.as_bytes(), DEFAULT);
        let found: Vec<_> = lexer.by_ref().map(show).collect();
        assert_eq!(
            (found.as_slice(), lexer.is_versioned()),
            (
                &*expected.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(),
                versioned
            ),
            "{text}"
        );
    }
}

#[test]
fn half_a_character_is_no_quote_and_no_escape() {
    // 0x5c and 0x60 are `\` and a backtick
    let escape = b"SELECT '\x95\x5c', @x, '";
    let name = b"SELECT `\x95\x60`, @x";
    for (charset, double) in [
        (Charset::Other, false),
        (Charset::Big5, false),
        (Charset::Gbk, true),
        (Charset::Sjis, true),
    ] {
        let mode = Mode { charset, ..DEFAULT };
        let hidden = !words_in(escape, mode).contains(&"@".to_owned());
        assert_eq!(hidden, !double, "{charset:?}");
        let hidden = !words_in(name, mode).contains(&"@".to_owned());
        assert_eq!(hidden, !double, "{charset:?}");
    }
    assert!(!Charset::all_read_alike(escape) && !Charset::all_read_alike(name));
    assert!(Charset::all_read_alike("SELECT 'ä', '\\'', `a`".as_bytes()));
}

/// Skips what may stand between tokens, by other means than the lexer's.
fn is_gap(mut gap: &[u8]) -> bool {
    while let Some(first) = gap.first() {
        let length = if b" \t\n\r\x0b\x0c".contains(first) {
            1
        } else if gap.starts_with(b"#") || gap.starts_with(b"--") {
            gap.iter()
                .position(|b| *b == b'\n')
                .map_or(gap.len(), |n| n + 1)
        } else if gap.starts_with(b"*/") {
            2
        } else if gap.starts_with(b"/*!") || gap.starts_with(b"/*M!") {
            // what it holds may be code, and then ends the gap, or a comment
            let prefix = gap.iter().position(|b| *b == b'!').map_or(0, |n| n + 1);
            let digits = gap[prefix..]
                .iter()
                .take(6)
                .take_while(|b| b.is_ascii_digit());
            let digits = digits.count();
            let skipped = gap.len() > prefix + digits && !is_gap(&gap[prefix + digits..]);
            if skipped {
                gap.len()
            } else {
                prefix + if digits < 5 { 0 } else { digits }
            }
        } else if gap.starts_with(b"/*") {
            let end = gap[2..].windows(2).position(|pair| pair == b"*/");
            end.map_or(gap.len(), |n| n + 4)
        } else {
            return false;
        };
        gap = &gap[length..];
    }
    true
}

fn modes() -> impl Strategy<Value = Mode> {
    let charsets = [Charset::Other, Charset::Big5, Charset::Gbk, Charset::Sjis];
    (
        any::<bool>(),
        any::<bool>(),
        proptest::sample::select(charsets.to_vec()),
    )
        .prop_map(|(ansi_quotes, no_backslash_escapes, charset)| Mode {
            ansi_quotes,
            no_backslash_escapes,
            charset,
        })
}

/// Bytes that matter to a tokenizer, and any others.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "'", "\"", "`", "\\", "@", "@@", "#", "--", "-- ", "/*", "*/", "/*!", "/*M!", "50701",
        "110400", "\n", " ", ";", ".", "1", "0x", "e", "x'", "b'", "N'", "_utf8", "a", "SET",
        "\u{e4}", ",", "=",
    ];
    let piece = prop_oneof![
        4 => proptest::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..3),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn ends_on_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..200), mode in modes()) {
        prop_assert!(Lexer::new(&text, mode).count() <= text.len());
    }

    #[test]
    fn tokens_cover_all_but_white_space_and_comments(text in texts(), mode in modes()) {
        let mut lexer = Lexer::new(&text, mode);
        let mut end = 0;
        while let Some(token) = lexer.next_spanned() {
            prop_assert!(end <= token.start && token.start < token.end && token.end <= text.len());
            prop_assert!(is_gap(&text[end..token.start]), "before {token:?}");
            prop_assert_eq!(token.gap == Gap::Blank, text[end..token.start].trim_ascii().is_empty()
                || text[end..token.start].iter().all(|b| b" \t\n\r\x0b\x0c".contains(b)));
            end = token.end;
        }
        prop_assert!(is_gap(&text[end..]), "at the end");
        prop_assert!(lexer.is_at_end());
    }

    #[test]
    fn what_all_read_alike_has_the_same_tokens(text in texts(), mode in modes()) {
        if Charset::all_read_alike(&text) {
            let mode = Mode { charset: Charset::Other, ..mode };
            let expected: Vec<_> = Lexer::new(&text, mode).spanned().collect();
            for charset in [Charset::Big5, Charset::Gbk, Charset::Sjis] {
                let found: Vec<_> = Lexer::new(&text, Mode { charset, ..mode }).spanned().collect();
                prop_assert_eq!(&found, &expected);
            }
        }
    }

    #[test]
    fn a_string_is_one_token_whatever_it_contains(inside in "[^'\\\\]{0,40}") {
        let text = format!("SELECT '{inside}'");
        prop_assert_eq!(words(&text), vec!["SELECT", "''"]);
    }
}
