use super::*;
use proptest::prelude::*;

fn words(text: &str) -> Vec<String> {
    Lexer::new(text.as_bytes())
        .map(|token| match token {
            Token::Word(w) => String::from_utf8_lossy(w).into_owned(),
            Token::Quoted(w) => format!("`{}`", String::from_utf8_lossy(w)),
            Token::Text => "''".to_owned(),
            Token::UserVariable => "@".to_owned(),
            Token::SystemVariable => "@@".to_owned(),
            Token::Semicolon => ";".to_owned(),
            Token::Other(byte) => char::from(byte).to_string(),
        })
        .collect()
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

proptest! {
    #[test]
    fn ends_on_any_bytes(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Lexer::new(&text).count() <= text.len());
    }

    #[test]
    fn a_string_hides_whatever_it_holds(inside in "[^'\\\\]{0,40}") {
        let text = format!("SELECT '{inside}'");
        prop_assert_eq!(words(&text), vec!["SELECT", "''"]);
    }
}
