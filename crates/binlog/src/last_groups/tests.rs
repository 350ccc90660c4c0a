//! What a log tells of a connection's last statement.
#![allow(clippy::unwrap_used, reason = "what fails fails its test")]

use std::collections::BTreeSet;

use super::*;
use crate::group::Kind;
use crate::place::{Name, Place};

fn group(sequence: u64, connection: Option<u32>, has_xid: bool) -> Group {
    Group {
        start: Place {
            file: Name::new("log.000001").unwrap(),
            position: sequence * 10,
        },
        end: sequence * 10 + 10,
        gtid: Gtid {
            domain: 0,
            server: 7,
            sequence,
        },
        timestamp: 0,
        kind: Kind::Transaction,
        schemas: BTreeSet::new(),
        tables: BTreeSet::new(),
        texts: Vec::new(),
        is_cut: false,
        savepoint: None,
        connection,
        has_xid,
        is_rolled_back: false,
    }
}

fn part(groups: &[Group]) -> LastGroups {
    let mut part = LastGroups::default();
    groups.iter().for_each(|group| part.note(group));
    part
}

fn at(position: &str) -> Option<Position> {
    Some(position.parse().unwrap())
}

#[test]
fn a_group_of_the_connection_behind_the_position_is_its_last_statement() {
    let (mine, other) = (Some(1), Some(2));
    let table = [
        // the groups, where the statement was sent, what it has written
        (vec![], at(""), Written::Nothing),
        (vec![group(1, mine, true)], at(""), Written::Committed),
        (vec![group(1, other, true)], at(""), Written::Nothing),
        (vec![group(8, mine, true)], at("0-7-8"), Written::Nothing),
        (vec![group(9, mine, true)], at("0-7-8"), Written::Committed),
        // numbers go on when another server becomes the primary
        (vec![group(9, mine, true)], at("0-5-8"), Written::Committed),
        (
            vec![group(9, mine, true), group(10, other, false)],
            at("0-7-8"),
            Written::Committed,
        ),
        (
            vec![group(8, mine, true), group(9, other, true)],
            at("0-7-8"),
            Written::Nothing,
        ),
        // another domain had no group at all
        (
            vec![group(9, mine, true)],
            at("3-7-100"),
            Written::Committed,
        ),
        (
            vec![group(9, mine, true)],
            at("0-7-9,3-7-100"),
            Written::Nothing,
        ),
        // a part in tables without transactions
        (vec![group(9, mine, false)], at("0-7-8"), Written::Unclear),
        // nobody knows whose
        (vec![group(9, None, true)], at("0-7-8"), Written::Unclear),
        (
            vec![group(9, None, true), group(10, mine, true)],
            at("0-7-8"),
            Written::Unclear,
        ),
        (
            vec![group(8, None, true), group(9, mine, true)],
            at("0-7-8"),
            Written::Committed,
        ),
        // where it was sent is not known: any group may be an earlier statement's
        (vec![group(1, other, true)], None, Written::Nothing),
        (vec![group(1, mine, true)], None, Written::Unclear),
    ];
    for (groups, position, expected) in table {
        let told = part(&groups).written(1, position.as_ref());
        assert_eq!(told, expected, "{groups:?}, {position:?}");
    }
}

#[test]
fn the_parts_of_a_log_are_added_from_its_end_on() {
    let mut log = part(&[group(9, Some(1), true)]);
    log.add_earlier(part(&[
        group(3, Some(1), false),
        group(4, Some(2), true),
        group(5, None, true),
    ]));
    log.add_earlier(part(&[group(1, Some(2), false), group(2, None, true)]));
    let table = [
        (1, "0-7-8", Written::Committed),
        (2, "0-7-8", Written::Nothing),
        (2, "0-7-5", Written::Nothing),
        (2, "0-7-3", Written::Unclear),
    ];
    for (connection, position, expected) in table {
        let told = log.written(connection, at(position).as_ref());
        assert_eq!(told, expected, "{connection}, {position}");
    }
    let mut named = part(&[]);
    named.add_earlier(part(&[group(4, Some(2), true)]));
    assert_eq!(named.written(2, at("0-7-3").as_ref()), Written::Committed);
}

#[test]
fn a_position_is_read_as_a_server_tells_it() {
    assert_eq!("".parse(), Ok(Position::default()));
    assert!("0-1-7,5-1-9".parse::<Position>().is_ok());
    for text in ["0-1", "0-1-7,", "0-1-7,0-2-8", "x", " "] {
        assert!(text.parse::<Position>().is_err(), "{text}");
    }
}
