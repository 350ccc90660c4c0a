//! The tokenizer against a real server: a `SELECT` that the server accepts has as many columns as the
//! tokenizer finds items, whatever is in its strings, names and comments.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_session::lexer::{Charset, Lexer, Mode, Token};
use dormouse_testkit::dice::Dice;
use dormouse_testkit::{Client, Dormouse, Reply};
use dormouse_wire::command::Command;

/// Items of a `SELECT` in which a comma, a quote or a number may be read wrongly.
const ITEMS: &[&[u8]] = &[
    b"'a,'",
    b"'it''s,'",
    b"'a\\'b,'",
    b"'\\\\'",
    b"'\\'",
    b"'\\', '",
    b"\"x,\"",
    b"\"a\"\",\"",
    b"\"\\\", \"",
    b"1 AS `a,b`",
    b"1 AS `a``,`",
    b"1 AS `\\`",
    b"1 AS \"a\"\",b\"",
    b"1 AS 'x,'",
    b"1 /* , ' */",
    b"1 -- , '\n",
    b"1 --\t, \"\n",
    b"1 # , `\n",
    b"1--1",
    b"1 /*! + 1, 2 */",
    b"/*!50701 , ' */ 1",
    b"/*!99999 /* , */ ' */ 1",
    b"/*M!50701 1, */ 2",
    b"/*!100100 1, */ 2",
    b"/*! 1 /* ' */ , */ 2",
    b"/*!5070 1 */",
    b"N'a,'",
    b"n'a\\','",
    b"x'41'",
    b"X'4a4B'",
    b"b'01'",
    b"0x4f",
    b"0b01",
    b"1.5",
    b".5",
    b"1e5",
    b"1.e+5",
    b"_utf8mb4'a,'",
    b"_latin1 x'41'",
    b"_latin1'\\','",
    b"\\N",
    b"@a",
    b"@a.b",
    b"@'a,b'",
    b"@`a,`",
    b"@\"c,\"",
    b"@@version",
    b"@@global . version",
    b"'\x95\x5c'",
    b"'\x95\x5c', '",
    b"'\xb5\x5c', ''",
    b"1 AS `\xb5\x60`",
    b"1 AS `\xb5\x60,` , `",
    b"'\x83\x5c\\','",
];

/// What is put between items, or anywhere.
const JUNK: &[&[u8]] = &[
    b"'", b"\"", b"`", b"\\", b"/*", b"*/", b"-- ", b"#", b"\n", b"\xb5", b"''", b" ",
];

fn text(dice: &mut Dice) -> Vec<u8> {
    let mut text = b"SELECT ".to_vec();
    for number in 0..=dice.below(3) {
        if number > 0 {
            text.extend_from_slice(b",");
        }
        text.extend_from_slice(ITEMS[dice.index(ITEMS.len())]);
        if dice.below(4) == 0 {
            text.extend_from_slice(JUNK[dice.index(JUNK.len())]);
        }
    }
    text
}

fn items(text: &[u8], mode: Mode) -> usize {
    let commas = Lexer::new(text, mode).filter(|token| *token == Token::Other(b','));
    1 + commas.count()
}

fn columns(client: &mut Client, text: &[u8]) -> Option<usize> {
    client.command(Command::Query, text);
    match client.result().unwrap() {
        Reply::Rows(rows) => Some(rows[0].len()),
        Reply::Ok(_) | Reply::Err(_) => None,
    }
}

#[test]
fn a_server_finds_the_same_items() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    let charsets = [
        ("utf8mb4", Charset::Other),
        ("latin1", Charset::Other),
        ("big5", Charset::Big5),
        ("gbk", Charset::Gbk),
        ("sjis", Charset::Sjis),
        ("cp932", Charset::Sjis),
    ];
    let mut dice = Dice::new(20_261_129);
    let (mut asked, mut answered) = (0, 0);
    for (name, charset) in charsets {
        for (ansi_quotes, no_backslash_escapes) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let mode = Mode {
                ansi_quotes,
                no_backslash_escapes,
                charset,
            };
            let modes = [
                (ansi_quotes, "ANSI_QUOTES"),
                (no_backslash_escapes, "NO_BACKSLASH_ESCAPES"),
            ];
            let modes: Vec<_> = modes
                .iter()
                .filter(|(on, _)| *on)
                .map(|(_, mode)| *mode)
                .collect();
            client
                .query(&format!(
                    "SET NAMES {name}, character_set_results = utf8mb4"
                ))
                .ok();
            client
                .query(&format!("SET sql_mode = '{}'", modes.join(",")))
                .ok();
            for _ in 0..150 {
                let text = text(&mut dice);
                asked += 1;
                if let Some(columns) = columns(&mut client, &text) {
                    answered += 1;
                    let shown = text.escape_ascii();
                    assert_eq!(items(&text, mode), columns, "{name}, {modes:?}: {shown}");
                }
            }
        }
    }
    println!("{answered} of {asked} texts were accepted");
    assert!(answered > asked / 5, "{answered} of {asked}");
}
