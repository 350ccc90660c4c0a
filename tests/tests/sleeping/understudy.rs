//! Statements that read no table, on a sleeping database: an understudy answers them as a server would, byte for byte,
//! and the database stays asleep. All others wake it.
//!
//! `DORMOUSE_UNDERSTUDY_STATEMENTS` sets how many random statements of each kind are run.

use dormouse_session::Effects;
use dormouse_session::lexer::Mode;
use dormouse_testkit::{Client, Dice, Reply, process};
use dormouse_wire::command::Command;

use crate::tableless;
use crate::world::{Pair, World, kinds};

/// Most statements of one session.
const OF_ONE: usize = 20;

/// The error for what went with a session's last server (`ER_NOT_SUPPORTED_YET`).
const NOT_KNOWN: u16 = 1235;

/// What a session can still ask after its statements, while the database sleeps.
const LEFT: [&str; 4] = [
    "SELECT ROW_COUNT(), FOUND_ROWS(), LAST_INSERT_ID()",
    "SHOW WARNINGS",
    "SELECT @a, @b, @c, @@sql_mode, @@time_zone, @@collation_connection",
    "SELECT 'x' FROM DUAL WHERE 1",
];

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

fn world() -> World {
    let world = World::with("[warm_pool]\nsize = 0\n[asleep]\nunderstudies = 1\n");
    process::until("an understudy runs", || {
        let mut client = world.dormouse(kinds()[1]);
        client.query("SELECT 1 + 1").value();
        let runs = world.dormouse.state("asleep") == "parked";
        world.sleep();
        runs
    });
    world
}

/// The process ids of the servers that belong to no database.
fn understudies(world: &World) -> Vec<u32> {
    let mut all = world.dormouse.servers();
    let plain = world.dormouse.server("plain");
    all.retain(|pid| *pid != plain);
    all
}

/// Runs a text on both sides.
fn same(pair: &mut Pair, text: &str) {
    pair.alike(text, |client| {
        whole(client, Command::Query, text.as_bytes())
    });
}

/// Prepares a text, executes it twice, and closes it, on both sides.
fn same_prepared(pair: &mut Pair, text: &str) {
    pair.alike(text, |client| {
        let mut all = whole(client, Command::StmtPrepare, text.as_bytes());
        let Some(id) = all.get(5..9).filter(|_| all[4] == 0).map(<[u8]>::to_vec) else {
            return all;
        };
        // a server has counted other statements
        all.splice(5..9, [0; 4]);
        let execution = [&*id, &[0, 1, 0, 0, 0]].concat();
        for _ in 0..2 {
            all.extend(whole(client, Command::StmtExecute, &execution));
        }
        client.command(Command::StmtClose, &id);
        all
    });
}

fn whole(client: &mut Client, command: Command, argument: &[u8]) -> Vec<u8> {
    let reply = client.exchange_whole(command, argument);
    reply.unwrap_or_else(|error| format!("the connection ended: {error}").into_bytes())
}

/// A statement that qualifies, and whose effect on the session its text tells.
fn statement(dice: &mut Dice) -> String {
    loop {
        let text = tableless::qualifies(dice);
        if text.contains("CONNECTION_ID") {
            // the two sides have other ids
            continue;
        }
        let effects = Effects::of(text.as_bytes(), Mode::default());
        if matches!(
            effects,
            Effects::None | Effects::Counted | Effects::Replay(_)
        ) {
            return text;
        }
    }
}

/// Whether a text shows a list of warnings that may have been kept under another character set: its columns have
/// the collation of then.
fn shows_recoded(pair: &Pair, text: &str) -> bool {
    let names = ["COLLATION", "CHARACTER_SET", "NAMES"];
    let history = pair.history.to_ascii_uppercase();
    let text = text.to_ascii_uppercase();
    let shows = ["WARNINGS", "ERRORS"]
        .iter()
        .any(|list| text.contains(list));
    shows && names.iter().any(|name| history.contains(name))
}

#[test]
fn statements_that_read_no_table_are_answered_as_by_a_server() {
    let mut world = world();
    let statements = number("DORMOUSE_UNDERSTUDY_STATEMENTS").unwrap_or(400);
    let mut dice = Dice::new(20_261_130 + statements as u64);
    let (mut run, mut failed) = (0, 0);
    'sessions: while run < statements {
        let kinds = kinds();
        let kind = kinds[dice.index(kinds.len())];
        let mut pair = Pair::new(&world, kind);
        for _ in 0..OF_ONE {
            let text = statement(&mut dice);
            if shows_recoded(&pair, &text) {
                continue;
            }
            let binary = dice.index(3) == 0 && !text.trim_start().starts_with(['S', 's']);
            match binary {
                true => same_prepared(&mut pair, &text),
                false => same(&mut pair, &text),
            }
            run += 1;
            if !world.is_asleep() {
                // it fails on every server
                let error = pair.clients[0].query(&text);
                assert!(
                    matches!(error, Reply::Err(_)),
                    "{text} woke it\n{}",
                    pair.history
                );
                failed += 1;
                world.sleep();
                // a park keeps less of a session than a server does
                continue 'sessions;
            }
        }
        for text in LEFT {
            if shows_recoded(&pair, text) {
                continue;
            }
            same(&mut pair, text);
            assert!(world.is_asleep(), "{text} woke it\n{}", pair.history);
        }
        // and awake
        if dice.index(10) == 0 {
            same(
                &mut pair,
                "SELECT @a, @b, @c, @@sql_mode, @@time_zone, i FROM d.t",
            );
            assert!(!world.is_asleep());
            world.sleep();
        }
    }
    println!("{run} statements, {failed} of them fail");
    assert!(failed * 10 < run, "{failed} of {run} fail");
}

#[test]
fn statements_that_read_more_wake_the_database() {
    let mut world = world();
    let statements = number("DORMOUSE_UNDERSTUDY_STATEMENTS").unwrap_or(100);
    let mut dice = Dice::new(20_261_131 + statements as u64);
    let mut client = world.dormouse(kinds()[1]);
    for _ in 0..statements {
        let text = tableless::does_not(&mut dice);
        let upper = text.to_ascii_uppercase();
        // Dormouse itself answers the first two
        let own = upper.starts_with("SHOW DORMOUSE") || upper.contains("PROCESSLIST");
        if own || upper.contains("PASSWORD") {
            continue;
        }
        let _ = world.dormouse.json(&["suspend", "asleep"]);
        match client.try_query(&text) {
            // Dormouse itself has refused it
            Ok(Reply::Err(error)) if error.code == NOT_KNOWN => continue,
            Ok(_) => {}
            // this one, or the one before, has killed its own connection
            Err(_) => {
                client = world.dormouse(kinds()[1]);
                let _answered = client.try_query(&text);
            }
        }
        assert!(!world.is_asleep(), "{text} did not wake it");
    }
}

#[test]
fn what_a_statement_has_left_on_a_suspended_server_is_not_asked_of_another() {
    let world = world();
    let mut pair = Pair::new(&world, kinds()[1]);
    for text in [
        "SELECT i FROM d.t UNION ALL SELECT 5 UNION ALL SELECT 6",
        "INSERT INTO d.t VALUES (2), (3)",
        "SELECT i FROM d.t WHERE i < 3",
        "SET wait_timeout = 337",
    ] {
        same(&mut pair, text);
        let _ = world.dormouse.json(&["suspend", "asleep"]);
        same(&mut pair, "SELECT FOUND_ROWS(), ROW_COUNT(), 1 + 1");
        same(&mut pair, "SELECT FOUND_ROWS(), ROW_COUNT(), 1 + 1");
    }
}

/// The statement that only an understudy answers asleep.
const ASKS: &str = "SELECT 1 + 1";

#[test]
fn a_database_answers_itself_if_its_understudy_cannot() {
    let mut world = world();
    let kind = kinds()[1];
    let mut client = world.dormouse(kind);
    // too long an answer
    for text in [
        "SELECT REPEAT('x', 2000000)",
        // an error is the database's own
        "SELECT 1 +",
        "SELECT CAST('a' AS CHAR(4294967296))",
    ] {
        world.sleep();
        let reply = client.query(text);
        let mut server = world.server(kind);
        assert_eq!(reply, server.query(text), "{text}");
    }
    // it is killed while sessions use it: no statement fails, and another one runs soon
    world.sleep();
    assert_eq!(client.query(ASKS).value(), "2");
    assert!(world.is_asleep());
    let understudy = understudies(&world);
    assert_eq!(understudy.len(), 1, "{understudy:?}");
    process::kill(understudy[0]);
    assert_eq!(client.query(ASKS).value(), "2");
    process::until("another understudy answers", || {
        world.sleep();
        assert_eq!(client.query(ASKS).value(), "2");
        world.is_asleep()
    });
    assert_ne!(understudies(&world), understudy);
}

#[test]
fn without_understudies_the_database_wakes() {
    let mut world = World::with("[asleep]\nunderstudies = 0\n");
    let mut client = world.dormouse(kinds()[1]);
    assert!(world.is_asleep());
    assert_eq!(client.query(ASKS).value(), "2");
    assert!(!world.is_asleep());
}

#[test]
fn sessions_see_nothing_of_each_other_there() {
    let mut world = world();
    let kind = kinds()[1];
    let other = world.dormouse.create("other", &[]);
    let _ = world.dormouse.json(&["park", "other"]);
    let mut one = world.dormouse(kind);
    let mut two = Client::unix(world.dormouse.socket());
    two.capabilities = kind.capabilities;
    two.login(&other.user, &other.password, None).ok();
    for _ in 0..3 {
        for text in [
            "SET @secret = 'of one'",
            "SET sql_mode = 'ANSI_QUOTES', time_zone = '+05:00'",
            "SELECT 1 / 0, @secret",
        ] {
            assert!(!matches!(one.query(text), Reply::Err(_)), "{text}");
        }
        let ours = one.prepare("SELECT @secret, ? + 1");
        assert_eq!(two.query("SELECT @secret").rows(), [[None]]);
        assert_eq!(two.query("SHOW WARNINGS"), Reply::Rows(Vec::new()));
        let settings = two.query("SELECT @@time_zone, @@sql_mode LIKE '%ANSI%', \"text\"");
        let expected = ["SYSTEM", "0", "text"].map(|value| Some(value.to_owned()));
        assert_eq!(settings.rows(), [expected]);
        two.command(
            Command::StmtExecute,
            &[&ours.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat(),
        );
        let unknown = two.receive().unwrap();
        assert_eq!(unknown[..3], [0xff, 0xdb, 0x04], "1243");
        // an open one would have to be prepared again under the SQL mode that is set next
        one.command(Command::StmtClose, &ours.to_le_bytes());
        assert_eq!(one.query("SELECT @secret").value(), "of one");
        assert_eq!(one.query("SHOW COUNT(*) WARNINGS").value(), "0");
    }
    assert!(world.is_asleep());
    assert_eq!(world.dormouse.state("other"), "parked");
}

#[test]
fn a_session_begins_with_the_global_values_that_its_owner_has_set() {
    let mut world = world();
    let kind = kinds()[1];
    let set = "SET GLOBAL div_precision_increment = 9";
    for mut client in [world.dormouse.platform("plain"), world.dormouse(kind)] {
        client.query(set).ok();
    }
    world.sleep();
    let mut pair = Pair::new(&world, kind);
    for text in [
        "SELECT 1 / 3, @@div_precision_increment",
        "SET div_precision_increment = 2",
        "SELECT 1 / 3",
    ] {
        same(&mut pair, text);
        assert!(world.is_asleep(), "{text}");
    }
    // the default is the global value, which only the server has
    same(&mut pair, "SET div_precision_increment = DEFAULT");
    same(&mut pair, "SELECT 1 / 3");
    assert!(!world.is_asleep());
}

#[test]
fn a_parameter_of_a_prepared_statement_is_used() {
    let mut world = world();
    let kind = kinds()[1];
    let mut pair = Pair::new(&world, kind);
    pair.alike("SELECT ? + 1, CONCAT(?, 'x')", |client| {
        let id = client.prepare("SELECT ? + 1, CONCAT(?, 'x')").to_le_bytes();
        let mut all = Vec::new();
        for (n, types) in [(7_u8, true), (8, true), (9, false)] {
            // no value is NULL; a LONGLONG and a VAR_STRING
            let mut execution = [&id[..], &[0, 1, 0, 0, 0, 0, u8::from(types)]].concat();
            if types {
                execution.extend([8, 0, 253, 0]);
            }
            execution.extend([n, 0, 0, 0, 0, 0, 0, 0, 2, b'a', b'0' + n]);
            all.extend(whole(client, Command::StmtExecute, &execution));
        }
        client.command(Command::StmtReset, &id);
        all.extend(client.receive().unwrap());
        client.command(Command::StmtClose, &id);
        all
    });
    assert!(world.is_asleep());
    // one that is still open is prepared again when the database wakes
    pair.alike("SELECT 5 * 5, awake", |client| {
        let id = client.prepare("SELECT 5 * 5").to_le_bytes();
        client.query("SELECT i FROM d.t").value();
        let execution = [&id[..], &[0, 1, 0, 0, 0]].concat();
        whole(client, Command::StmtExecute, &execution)
    });
    assert!(!world.is_asleep());
}

#[test]
fn a_prepared_statement_keeps_its_meaning_when_later_ones_are_read_differently() {
    let world = world();
    let kind = kinds()[1];
    for asleep in [true, false] {
        for (text, set) in [
            ("SELECT \"a\"", "SET sql_mode = 'ANSI_QUOTES'"),
            (
                "SELECT 'a' || 'b'",
                "SET sql_mode = CONCAT('PIPES_AS', '_CONCAT')",
            ),
            ("SELECT CHARSET('x')", "SET NAMES latin1"),
            (
                "SELECT 'a' = 'A'",
                "SET collation_connection = 'utf8mb4_bin'",
            ),
        ] {
            if asleep {
                world.sleep();
            }
            let mut pair = Pair::new(&world, kind);
            pair.alike(format!("{text}, then {set}, asleep: {asleep}"), |client| {
                if !asleep {
                    client.query("SELECT i FROM d.t").value();
                }
                let id = client.prepare(text).to_le_bytes();
                world.sleep();
                assert!(!matches!(client.query(set), Reply::Err(_)), "{set}");
                whole(
                    client,
                    Command::StmtExecute,
                    &[&id[..], &[0, 1, 0, 0, 0]].concat(),
                )
            });
        }
    }
}

#[test]
fn settings_that_were_copied_from_global_values_are_the_databases() {
    let mut world = world();
    let kind = kinds()[1];
    for set in [
        "SET GLOBAL time_zone = '+05:00'",
        "SET GLOBAL div_precision_increment = 8",
    ] {
        for mut client in [world.dormouse.platform("plain"), world.dormouse(kind)] {
            client.query(set).ok();
        }
    }
    world.sleep();
    let mut pair = Pair::new(&world, kind);
    same(&mut pair, "SET time_zone = DEFAULT");
    same(&mut pair, "SELECT FROM_UNIXTIME(0), @@time_zone");
    same(
        &mut pair,
        "SET div_precision_increment = @@GLOBAL.div_precision_increment + 1",
    );
    let _ = world.dormouse.json(&["suspend", "asleep"]);
    same(&mut pair, "SELECT 1 / 3");
    // what holds for the next transaction only is no setting
    world.sleep();
    let mut pair = Pair::new(&world, kind);
    for text in [
        "SET @@tx_read_only = 1",
        "SELECT 1 + 1",
        "COMMIT",
        "UPDATE d.t SET i = 1",
        "SET sql_select_limit = 0",
        "SELECT 1",
        "SET join_buffer_size = 1",
        "SHOW WARNINGS",
    ] {
        same(&mut pair, text);
    }
    assert!(!world.is_asleep());
}

#[test]
fn a_role_does_not_keep_an_understudy_from_answering() {
    let mut world = world();
    let mut owner = world.dormouse(kinds()[1]);
    for text in [
        "CREATE ROLE reader",
        "CREATE USER app IDENTIFIED BY 'secret'",
        "GRANT reader TO app",
        "SET DEFAULT ROLE reader FOR app",
    ] {
        owner.query(text).ok();
    }
    let mut client = Client::unix(world.dormouse.socket());
    client.login("asleep.app", "secret", None).ok();
    assert_eq!(client.query("SELECT CURRENT_ROLE()").value(), "reader");
    world.sleep();
    assert_eq!(client.query(ASKS).value(), "2");
    assert!(world.is_asleep());
}
