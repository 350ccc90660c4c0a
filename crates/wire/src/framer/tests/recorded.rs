//! Replies recorded from a real server: the framer finds their end for any split.

use std::fmt::Write as _;

use super::{NEW, OLD, frame};
use crate::caps::Capabilities;
use crate::command::ReplyKind;
use crate::framer::ReplyEnd;

const RECORDED: &str = include_str!("recorded.txt");

fn kind(name: &str) -> ReplyKind {
    match name {
        "Simple" => ReplyKind::Simple,
        "Text" => ReplyKind::Text,
        "ResultSet" => ReplyKind::ResultSet,
        "Execute" => ReplyKind::Execute,
        "Prepare" => ReplyKind::Prepare,
        "Fetch" => ReplyKind::Fetch,
        "FieldList" => ReplyKind::FieldList,
        other => panic!("no kind of reply: {other}"),
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn told(end: &ReplyEnd) -> String {
    let mut told = String::new();
    if let Some(code) = end.error {
        write!(told, " error {code}").unwrap();
    }
    if let Some(status) = end.status {
        write!(told, " status {:#06x}", status.0).unwrap();
    }
    for (name, number) in [
        ("affected", end.affected),
        ("warnings", end.warnings.into()),
    ] {
        if number > 0 {
            write!(told, " {name} {number}").unwrap();
        }
    }
    if let Some(p) = end.prepared {
        let (id, columns, params) = (p.statement, p.columns, p.params);
        write!(told, " statement {id} columns {columns} params {params}").unwrap();
    }
    if end.session_changes {
        told.push_str(" changed");
    }
    if told.is_empty() {
        "nothing".into()
    } else {
        told[1..].into()
    }
}

#[test]
fn each_recorded_reply_is_one_reply() {
    let lines: Vec<&str> = RECORDED
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect();
    assert_eq!(lines.len(), 3 * 42);
    for reply in lines.chunks_exact(3) {
        let [name, expected, hex] = reply else {
            unreachable!("three lines each")
        };
        let (head, _) = name.split_once(": ").unwrap();
        let (age, kind_name) = head.split_once(' ').unwrap();
        let caps = if age == "new" { NEW } else { OLD };
        let caps = caps | Capabilities::SESSION_TRACK | Capabilities::PROGRESS;
        let bytes = bytes(hex);
        for cut in 0..bytes.len() {
            let (consumed, end, _) = frame(kind(kind_name), caps, &bytes, &[cut])
                .unwrap_or_else(|e| panic!("{name}, cut at {cut}: {e}"));
            assert_eq!(
                (consumed, told(&end).as_str()),
                (bytes.len(), *expected),
                "{name}"
            );
        }
    }
}
