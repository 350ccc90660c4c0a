use proptest::prelude::*;

use super::*;

/// Cuts a text in pieces of `piece` bytes.
fn split_in(text: &[u8], piece: usize, mode: Mode) -> Result<Vec<Statement>, SplitError> {
    let mut splitter = Splitter::new(b";", 1 << 20);
    splitter.set_mode(mode);
    let mut all = Vec::new();
    for bytes in text.chunks(piece.max(1)) {
        splitter.push(bytes);
        while let Some(statement) = splitter.next()? {
            all.push(statement);
        }
    }
    splitter.end();
    while let Some(statement) = splitter.next()? {
        all.push(statement);
    }
    Ok(all)
}

fn texts(text: &str) -> Vec<String> {
    let whole = split_in(text.as_bytes(), usize::MAX, Mode::default()).unwrap();
    for piece in [1, 2, 3, 7] {
        let cut = split_in(text.as_bytes(), piece, Mode::default());
        assert_eq!(cut.as_ref(), Ok(&whole), "{piece} bytes at once: {text}");
    }
    let text = |s: Statement| String::from_utf8(s.text).unwrap();
    whole.into_iter().map(text).collect()
}

#[test]
fn a_statement_ends_at_the_delimiter_outside_of_strings_names_and_comments() {
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        (" ; ;\n", &[]),
        ("SELECT 1;SELECT 2", &["SELECT 1", "SELECT 2"]),
        ("SELECT ';', \";\", `;`;x", &["SELECT ';', \";\", `;`", "x"]),
        (r"SELECT '\';', 'a'';';x", &[r"SELECT '\';', 'a'';'", "x"]),
        (r"SELECT `a\`;x", &[r"SELECT `a\`", "x"]),
        (r"SELECT '\\';x", &[r"SELECT '\\'", "x"]),
        ("SELECT 1 -- ;\n+ 1;x", &["SELECT 1 -- ;\n+ 1", "x"]),
        ("SELECT 1 # ;\n+ 1;x", &["SELECT 1 # ;\n+ 1", "x"]),
        ("SELECT 1 /* ; ' */ + 1;x", &["SELECT 1 /* ; ' */ + 1", "x"]),
        ("SELECT 1--1;x", &["SELECT 1--1", "x"]),
        ("--\nSELECT 1;", &["SELECT 1"]),
        ("--no space\nSELECT 1;", &["SELECT 1"]),
        ("-- it's\n\n/* it's */ # it's\nSELECT 1;", &["SELECT 1"]),
        (
            "/*!40101 SET NAMES utf8mb4 */;\nx;",
            &["/*!40101 SET NAMES utf8mb4 */", "x"],
        ),
        (
            "/*M!100616 SET a = '*/;' */;x;",
            &["/*M!100616 SET a = '*/;' */", "x"],
        ),
        (
            "/*!50003 SET @a = '/* ' */;x",
            &["/*!50003 SET @a = '/* ' */", "x"],
        ),
        (
            "/*M!999999\\- enable the sandbox mode */ \n-- dump\nSELECT 1;",
            &["SELECT 1"],
        ),
        (
            "/*!999999\\- enable the sandbox mode */ \nSELECT 1;",
            &["SELECT 1"],
        ),
        (
            "INSERT INTO t VALUES (\\N);x",
            &["INSERT INTO t VALUES (\\N)", "x"],
        ),
        (
            "SELECT 6/2;SELECT 3*/**/2",
            &["SELECT 6/2", "SELECT 3*/**/2"],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(texts(text), *expected, "{text}");
    }
}

#[test]
fn the_command_delimiter_sets_what_ends_a_statement() {
    let table: &[(&str, &[&str])] = &[
        (
            "DELIMITER ;;\nBEGIN a; b; END ;;\nDELIMITER ;\nx;y",
            &["BEGIN a; b; END", "x", "y"],
        ),
        ("delimiter $$ \r\na;b$$\ndelimiter ;\r\nx;", &["a;b", "x"]),
        ("DELIMITER //\nSELECT 1/2//x", &["SELECT 1/2", "x"]),
        ("DELIMITERS;x", &["DELIMITERS", "x"]),
        ("SELECT 1\nDELIMITER ;x", &["SELECT 1\nDELIMITER", "x"]),
        ("-- c\nDELIMITER ;;", &[]),
        (
            "DELIMITER ;;\n/*!50003 CREATE TRIGGER t BEGIN x; y; END */;;\nDELIMITER ;\nz;",
            &["/*!50003 CREATE TRIGGER t BEGIN x; y; END */", "z"],
        ),
    ];
    for (text, expected) in table {
        assert_eq!(texts(text), *expected, "{text}");
    }
}

#[test]
fn offset_and_line_are_those_of_the_first_code() {
    let text = "-- a\n\nSELECT\n1;\n/* c */ x;\nDELIMITER ;;\n'\n';;y";
    for piece in [1, 2, 5, 100] {
        let all = split_in(text.as_bytes(), piece, Mode::default()).unwrap();
        let at: Vec<_> = all.iter().map(|s| (s.offset, s.line)).collect();
        assert_eq!(at, [(6, 3), (24, 5), (40, 7), (45, 8)], "{piece}");
        for statement in &all {
            let from = usize::try_from(statement.offset).unwrap();
            assert!(text.as_bytes()[from..].starts_with(&statement.text));
        }
    }
}

#[test]
fn modes_and_character_sets_decide_what_a_backslash_is() {
    let mode = |ansi, none, charset| Mode {
        ansi_quotes: ansi,
        no_backslash_escapes: none,
        charset,
    };
    let table: &[(&[u8], Mode, usize)] = &[
        (br"SELECT '\';x", mode(false, true, Charset::Other), 2),
        (br#"SELECT "\";x"#, mode(true, false, Charset::Other), 2),
        // a character of two bytes whose second is a backslash
        (b"SELECT '\x95\\';x", mode(false, false, Charset::Sjis), 2),
        (b"SELECT '\x95\\';x'", mode(false, false, Charset::Other), 1),
        (b"SELECT '\xbf\\';x", mode(false, false, Charset::Gbk), 2),
        (b"SELECT '\xa4\\';x", mode(false, false, Charset::Big5), 2),
    ];
    for (text, mode, count) in table {
        for piece in [1, 2, 100] {
            let all = split_in(text, piece, *mode).unwrap();
            assert_eq!(all.len(), *count, "{text:?} {mode:?} {piece}");
        }
    }
}

#[test]
fn what_is_no_dump_is_an_error_with_its_line() {
    let table = [
        ("x;\nSELECT 'a", 2, Fault::Unfinished),
        ("x;\nSELECT 1 /* a", 2, Fault::Unfinished),
        ("x;\n\\! rm -rf /\n", 2, Fault::ClientCommand(b'!')),
        ("x;\n\n\\. file\n", 2, Fault::ClientCommand(b'.')),
        ("DELIMITER \nx", 1, Fault::NoDelimiter),
    ];
    for (text, line, fault) in table {
        let error = split_in(text.as_bytes(), 3, Mode::default()).unwrap_err();
        assert_eq!(error.fault, fault, "{text}");
        assert!(error.line >= line, "{text}: {}", error.line);
    }
    let mut splitter = Splitter::new(b";", 10);
    splitter.push(b"x;SELECT 1;SELECT '0123456789';");
    assert!(splitter.next().unwrap().is_some());
    assert!(splitter.next().unwrap().is_some());
    assert_eq!(splitter.next().unwrap_err().fault, Fault::TooLong(10));
}

#[test]
fn a_long_comment_is_not_kept() {
    let mut splitter = Splitter::new(b";", 10);
    for _ in 0..100 {
        splitter.push(b"-- a comment longer than a statement may be\n");
        assert_eq!(splitter.next(), Ok(None));
    }
    assert!(splitter.buffer.len() < 100);
}

/// Parts of statements, each complete in itself and without a delimiter in code.
fn part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9 ,()]{0,8}",
        r"'([a-z;`\x22/*#-]|''|\\\\|\\'){0,8}'",
        r"`[a-z;'\x22/*#-]{0,8}`",
        r"/\*[a-z;' ]{0,8}\*/",
        r"-- [a-z;']{0,8}\n",
        r"/\*!50003 [a-z ]{0,8}\*/",
    ]
}

proptest! {
    #[test]
    fn joined_statements_come_apart_again(
        statements in prop::collection::vec(prop::collection::vec(part(), 0..6), 0..6),
        piece in 1..20_usize,
    ) {
        let statements: Vec<_> = statements.iter().map(|s| format!("SELECT {}", s.concat())).collect();
        let text: String = statements.iter().map(|s| format!("{s};\n")).collect();
        let all = split_in(text.as_bytes(), piece, Mode::default()).unwrap();
        let found: Vec<_> = all.iter().map(|s| String::from_utf8(s.text.clone()).unwrap()).collect();
        let expected: Vec<_> = statements.iter().map(|s| s.trim_ascii_end().to_owned()).collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn any_bytes_are_cut_alike_in_any_pieces(
        text in prop::collection::vec(prop::sample::select(b"'\"`;-#/*!M\\ \naD\xa4\xff".to_vec()), 0..60),
        piece in 1..9_usize,
    ) {
        let whole = split_in(&text, usize::MAX, Mode::default());
        let cut = split_in(&text, piece, Mode::default());
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => prop_assert_eq!(whole, cut),
            (Err(whole), Err(cut)) => prop_assert_eq!(whole.fault, cut.fault),
            (whole, cut) => prop_assert!(false, "{:?} {:?}", whole, cut),
        }
    }
}
