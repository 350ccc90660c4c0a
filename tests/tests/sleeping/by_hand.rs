//! Statements that Dormouse answers by itself on a sleeping database, without an understudy.

use dormouse_testkit::Client;
use dormouse_wire::command::Command;

use crate::world::{Pair, World, kinds};

fn world() -> World {
    World::with("[asleep]\nunderstudies = 0\n")
}

fn whole(client: &mut Client, command: Command, argument: &[u8]) -> Vec<u8> {
    let reply = client.exchange_whole(command, argument);
    reply.unwrap_or_else(|error| format!("the connection ended: {error}").into_bytes())
}

fn same(pair: &mut Pair, text: &str) {
    pair.alike(text, |client| {
        whole(client, Command::Query, text.as_bytes())
    });
}

#[test]
fn comments_and_semicolons_do_not_wake_it() {
    let mut world = world();
    for kind in kinds() {
        let mut pair = Pair::new(&world, kind);
        for text in [
            "SELECT 1 # x",
            "SELECT 1 -- x",
            "SELECT 1 -- x\n",
            "SELECT 1 --\tx\n\n",
            "SELECT 1 /* x */",
            "SELECT 1 /* x */;",
            "SELECT 1/* x */ ; ",
            "/* a */ SELECT 1 /* b */ /* c */",
            "SELECT 1;",
            "SELECT 1 ; ; \n",
            "-- a\nSELECT 1",
            "# a\n/* b */ SELECT 1",
            "SELECT/* x */1",
            "SELECT /* x */ 1 /* y */ AS /* z */ a /* . */",
            "SELECT 'a' /* ; */, @@autocommit -- ,",
            "SELECT 1 /* a */ LIMIT /* b */ 1 # c",
            "SELECT VERSION() # x",
            "SET /* a */ autocommit /* b */ = /* c */ 1 # d",
            "SET NAMES utf8mb4 /* x */",
            "COMMIT /* x */",
            "SELECT 1 /**/",
            "SELECT 1 /* x; */",
            "SELECT 1 -- it's",
            "SELECT 1 /* \" */",
        ] {
            same(&mut pair, text);
            assert!(world.is_asleep(), "woken by {text}\n{}", pair.history);
        }
    }
}

#[test]
fn what_may_be_more_than_a_comment_is_answered_by_a_server() {
    let mut world = world();
    for text in [
        "SELECT 1; -- x",
        "SELECT 1; /* x */",
        "SELECT 1 /*! + 1 */",
        "SELECT 1 /*M! + 1 */",
        "SELECT 1 /*!99999 + 1 */",
        "SELECT 1 /* x",
        "SELECT 1 /* a /* b */ */",
        "SELECT 1 --x",
        "SELECT 1 --1",
        "SELECT @@/* x */autocommit",
        "SELECT VERSION(/* x */)",
        "SELECT VERSION/* x */()",
    ] {
        let mut pair = Pair::new(&world, kinds()[1]);
        same(&mut pair, text);
        same(&mut pair, "SELECT 1");
        drop(pair);
        world.sleep();
    }
    assert!(world.is_asleep());
}

#[test]
fn identity_is_the_sessions() {
    let mut world = world();
    for kind in kinds() {
        let mut pair = Pair::new(&world, kind);
        for text in [
            "SELECT @@identity",
            "SELECT @@last_insert_id, @@session.identity AS i",
            "SELECT LAST_INSERT_ID()",
        ] {
            same(&mut pair, text);
            assert!(world.is_asleep(), "woken by {text}\n{}", pair.history);
        }
    }
    let kind = kinds()[1];
    for mut client in [world.server(kind), world.dormouse(kind)] {
        client
            .query("CREATE TABLE d.a (i INT AUTO_INCREMENT KEY)")
            .ok();
    }
    let mut pair = Pair::new(&world, kind);
    for text in [
        "INSERT INTO d.a VALUES (NULL), (NULL)",
        "INSERT INTO d.a VALUES (7)",
        "INSERT INTO d.a VALUES (NULL)",
        "SELECT LAST_INSERT_ID(12345678901)",
    ] {
        same(&mut pair, text);
        world.sleep();
        same(&mut pair, "SELECT @@identity");
        same(&mut pair, "SELECT LAST_INSERT_ID(), @@last_insert_id");
        assert!(world.is_asleep(), "{}", pair.history);
        same(&mut pair, "SELECT @@identity, LAST_INSERT_ID(), i FROM d.t");
    }
}

/// What a session can ask about a statement, asleep and awake.
const LEFT: [&str; 5] = [
    "SHOW WARNINGS",
    "SHOW ERRORS",
    "SHOW COUNT(*) ERRORS",
    "SELECT @@warning_count, @@error_count",
    "SELECT ROW_COUNT(), FOUND_ROWS()",
];

#[test]
fn a_kill_leaves_what_it_leaves_on_a_server() {
    let world = world();
    let kill = |client: &mut Client, command, argument: &[u8]| {
        if command != Command::StmtExecute {
            return whole(client, command, argument);
        }
        let statement = client.prepare("KILL QUERY ?").to_le_bytes();
        // a parameter that is a LONGLONG
        let head = [0, 1, 0, 0, 0, 0, 1, 8, 0];
        whole(client, command, &[&statement[..], &head, argument].concat())
    };
    let none = 999_999_999_i64.to_le_bytes();
    let kills: [(Command, &[u8]); 5] = [
        (Command::Query, b"KILL 999999999"),
        (Command::Query, b"KILL QUERY 0"),
        (Command::Query, b"KILL USER nobody"),
        (Command::ProcessKill, &none[..4]),
        (Command::StmtExecute, &none),
    ];
    for awake in [false, true] {
        for (command, argument) in kills {
            for left in LEFT {
                let mut pair = Pair::new(&world, kinds()[1]);
                if awake && left.contains("ROW_COUNT") {
                    same(&mut pair, "SELECT i FROM d.t");
                } else if awake {
                    same(&mut pair, "SELECT i FROM d.t UNION ALL SELECT 1 / 0");
                } else {
                    world.sleep();
                }
                let what = format!("{command:?} {}, awake: {awake}", argument.escape_ascii());
                pair.alike(what, |client| kill(client, command, argument));
                // in the list, all texts have one collation
                let [expected, found] = pair.clients.each_mut().map(|client| client.query(left));
                assert_eq!(found, expected, "{left} after {}", pair.history);
                same(&mut pair, "SELECT 1");
            }
        }
    }
}

#[test]
fn a_session_that_was_answered_only_asleep_keeps_the_global_values_of_its_login() {
    let world = world();
    let kind = kinds()[1];
    for (set, ask) in [
        ("sql_mode = 'ANSI_QUOTES'", "@@sql_mode"),
        ("collation_server = 'utf8mb4_bin'", "@@collation_server"),
        (
            "collation_connection = 'latin1_bin'",
            "@@collation_connection",
        ),
        ("time_zone = '+03:00'", "@@time_zone"),
        ("div_precision_increment = 9", "1 / 3"),
    ] {
        let mut pair = Pair::new(&world, kind);
        let mut idle = Pair::new(&world, kind);
        same(&mut pair, "SELECT @@autocommit");
        for mut client in [world.dormouse.platform("plain"), world.dormouse(kind)] {
            client.query(&format!("SET GLOBAL {set}")).ok();
        }
        for sleeps in [false, true] {
            if sleeps {
                world.sleep();
            }
            same(&mut pair, &format!("SELECT {ask}"));
            same(&mut idle, &format!("SELECT {ask}"));
            same(&mut pair, &format!("SELECT {ask}, i FROM d.t"));
        }
        // one that begins now has the new value
        let mut later = Pair::new(&world, kind);
        same(&mut later, &format!("SELECT {ask}, i FROM d.t"));
        world.sleep();
        same(&mut later, &format!("SELECT {ask}"));
        for pair in [&mut pair, &mut idle] {
            pair.alike("a reset", |client| {
                whole(client, Command::ResetConnection, b"")
            });
            same(pair, &format!("SELECT {ask}"));
            same(pair, &format!("SELECT {ask}, i FROM d.t"));
        }
    }
}

/// Druid sends a ping, `SELECT 1`, or the query that it was given (`SELECT 'x'` in its examples).
#[test]
fn checks_of_pools_do_not_wake_it() {
    let mut world = world();
    for kind in kinds() {
        let mut pair = Pair::new(&world, kind);
        for text in [
            "SELECT 1",
            "SELECT 'x'",
            "/* ping */ SELECT 1",
            "/* ping */",
        ] {
            same(&mut pair, text);
            assert!(world.is_asleep(), "woken by {text}\n{}", pair.history);
        }
        pair.alike("a ping", |client| whole(client, Command::Ping, b""));
        assert!(world.is_asleep(), "woken by a ping\n{}", pair.history);
    }
}
