//! Statements of idle pools, health checks and drivers on a sleeping database: the answers are those
//! of a server, byte for byte, the database stays asleep, and after a wake all settings are in force.
//!
//! `tests/sleeping/*.txt` has the statements of known drivers. A file with a number before `.txt` is for
//! that server version only.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "sleeping/by_hand.rs"]
mod by_hand;
#[path = "sleeping/generate.rs"]
mod generate;
#[path = "understudy/refused.rs"]
mod refused;
#[path = "differential/script.rs"]
mod script;
#[path = "understudy/generate.rs"]
mod tableless;
#[path = "sleeping/understudy.rs"]
mod understudy;
#[path = "sleeping/world.rs"]
mod world;

use dormouse_testkit::{Client, Dice, Reply};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use script::{Action, Step};
use world::{Kind, World, kinds};

#[test]
fn statements_of_drivers_are_answered_as_by_a_server() {
    let mut world = World::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sleeping");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() > 10, "the scripts are missing");
    for path in files {
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let line = stem.rsplit_once('.').map(|(_, line)| format!("{line}."));
        if line.is_some_and(|line| !world.is_version(&line)) {
            continue;
        }
        println!("{stem}");
        let steps = script::parse(&std::fs::read_to_string(&path).unwrap()).unwrap();
        world.compare(&steps, &kinds_for(&steps));
    }
}

/// All kinds of client; those for which a reset differs from a new login only if there is no reset.
fn kinds_for(steps: &[Step]) -> Vec<Kind> {
    let resets = steps.iter().any(|step| step.action == Action::Reset);
    let mut kinds = kinds();
    kinds.retain(|kind| !resets || kind.collation != 255);
    kinds
}

#[test]
fn random_statements_are_answered_as_by_a_server_or_wake_the_database() {
    let mut world = World::new();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let scripts: usize = number("DORMOUSE_SLEEPING_SCRIPTS").unwrap_or(40);
    let mut dice = Dice::new(20_261_125 + scripts as u64);
    let mut answered = 0;
    for _ in 0..scripts {
        let steps = generate::script(&mut dice, 12);
        let kinds = kinds_for(&steps);
        let kind = kinds[dice.index(kinds.len())];
        answered += world.compare_loosely(&steps, kind);
    }
    println!("{answered} answered asleep");
    assert!(answered > scripts * 5, "{answered}");
}

/// Statements of three pools: when they connect, and to check a connection.
const POOLS: [(&[&str], &[&str]); 3] = [
    (
        &[
            "SELECT @@version_comment, @@max_allowed_packet, @@wait_timeout AS wait_timeout",
            "SET character_set_results = NULL",
            "SET autocommit=1",
        ],
        &[
            "/* ping */ SELECT 1",
            "SET autocommit=0",
            "SET autocommit=1",
        ],
    ),
    (
        &[
            "SET NAMES utf8mb4",
            "SET AUTOCOMMIT = 0",
            "SET AUTOCOMMIT = 1",
            "SELECT VERSION()",
        ],
        &["SELECT 1"],
    ),
    (
        &["SET NAMES utf8mb4"],
        &["SELECT 1 AS ok", "BEGIN", "ROLLBACK"],
    ),
];

#[test]
fn idle_pools_do_not_wake_a_database() {
    let mut world = World::new();
    let wakes = world.wakes();
    let mut clients: Vec<_> = POOLS.iter().map(|_| world.dormouse(kinds()[1])).collect();
    for (client, (preamble, _)) in clients.iter_mut().zip(POOLS) {
        preamble.iter().for_each(|text| fine(client, text));
    }
    for _ in 0..200 {
        for (client, (_, check)) in clients.iter_mut().zip(POOLS) {
            client.ping().unwrap();
            check.iter().for_each(|text| fine(client, text));
        }
    }
    assert!(world.is_asleep());
    assert_eq!(world.wakes(), wakes, "the ledger shows a wake");
    let status = world.watcher.query("SHOW DORMOUSE STATUS").rows();
    let count = status
        .iter()
        .find(|row| row[0].as_deref() == Some("sleeping_answers"));
    let count: u32 = count.unwrap()[1].as_deref().unwrap().parse().unwrap();
    assert!(count >= 200 * 3, "{count}");
    // and a statement does
    clients[1].query("SELECT COUNT(*) FROM d.t").value();
    assert!(!world.is_asleep());
}

fn fine(client: &mut Client, text: &str) {
    if let Reply::Err(error) = client.query(text) {
        panic!("{text}: {error}");
    }
}

#[test]
fn a_session_on_a_suspended_server_is_answered_and_its_backend_catches_up() {
    let mut world = World::new();
    for kind in [kinds()[1], kinds()[2]] {
        let mut server = world.server(kind);
        let mut client = world.dormouse(kind);
        let session = 'a';
        let mut same = |world: &mut World, text: &str, asleep: bool| {
            let action = Action::Query(text.to_owned());
            let step = Step { session, action };
            let replies = [&mut server, &mut client].map(|client| world::run(client, &step));
            assert_eq!(
                world::told(&replies[0], kind),
                world::told(&replies[1], kind),
                "{text}"
            );
            assert_eq!(world.is_asleep(), asleep, "{text}");
        };
        same(&mut world, "SELECT i FROM d.t", false);
        let _ = world.dormouse.json(&["suspend", "asleep"]);
        for text in [
            "SELECT 1",
            "SELECT @@autocommit, @@sql_mode, 'x'",
            "SET time_zone = '+03:00'",
            "SET sql_mode = 'ANSI_QUOTES'",
            "BEGIN",
            "SELECT 'y', @@time_zone",
        ] {
            same(&mut world, text, true);
        }
        same(&mut world, "SELECT ROW_COUNT(), FOUND_ROWS()", false);
        for text in [
            "SELECT @@time_zone, @@sql_mode, @@in_transaction, \"i\" FROM d.t",
            "COMMIT",
            "SET sql_mode = DEFAULT, time_zone = DEFAULT",
        ] {
            same(&mut world, text, false);
        }
        world.sleep();
        // captured by the park
        same(&mut world, "SELECT @@time_zone, @@sql_mode, 'z'", true);
    }
}

#[test]
fn answers_survive_a_restart_of_dormouse() {
    let mut world = World::new();
    let kind = kinds()[1];
    let before = world
        .dormouse(kind)
        .query("SELECT @@max_allowed_packet, VERSION()")
        .rows();
    world.dormouse.stop();
    world.dormouse.up();
    let after = world
        .dormouse(kind)
        .query("SELECT @@max_allowed_packet, VERSION()")
        .rows();
    assert_eq!(before, after);
    assert_eq!(world.dormouse.state("asleep"), "parked");
}

#[test]
fn a_global_variable_that_was_set_is_known_asleep() {
    let mut world = World::new();
    let kind = kinds()[1];
    let mut client = world.dormouse(kind);
    client.query("SET GLOBAL lock_wait_timeout = 77").ok();
    world.sleep();
    let mut other = world.dormouse(kind);
    assert_eq!(other.query("SELECT @@lock_wait_timeout").value(), "77");
    // this session is older
    assert_eq!(client.query("SELECT @@lock_wait_timeout").value(), "86400");
    assert!(world.is_asleep());
    assert_eq!(
        client.query("SELECT @@lock_wait_timeout FROM d.t").value(),
        "86400"
    );
    assert_eq!(
        other.query("SELECT @@lock_wait_timeout FROM d.t").value(),
        "77"
    );
}

#[test]
fn connection_id_is_that_from_the_login_while_asleep() {
    let world = World::new();
    let mut client = world.dormouse(kinds()[1]);
    let id = client.query("SELECT CONNECTION_ID()").value();
    assert_eq!(id, client.id().to_string());
}

#[test]
fn a_session_listed_in_never_wakes_is_refused_and_does_not_prevent_a_park() {
    let mut world = World::new();
    let mut owner = world.dormouse(kinds()[1]);
    for text in [
        "CREATE USER monitor IDENTIFIED BY 'secret'",
        "GRANT ALL ON *.* TO monitor",
        "CREATE USER other IDENTIFIED BY 'secret'",
    ] {
        owner.query(text).ok();
    }
    let login = |world: &World, user: &str, program: Option<&str>| {
        let mut client = Client::unix(world.dormouse.socket());
        if let Some(program) = program {
            client.capabilities |= Capabilities::CONNECT_ATTRS;
            client.attributes = vec![(b"program_name".to_vec(), program.into())];
        }
        client.login(&format!("asleep.{user}"), "secret", None).ok();
        client
    };
    let mut monitor = login(&world, "monitor", None);
    assert_eq!(monitor.query("SELECT i FROM d.t").value(), "1");
    monitor.query("CREATE TEMPORARY TABLE d.tmp (i INT)").ok();
    // a temporary table of another session would prevent it
    world.sleep();
    assert!(world.is_asleep());
    let mut exporter = login(&world, "other", Some("mysqld_exporter"));
    for client in [&mut monitor, &mut exporter] {
        let error = client
            .query("SELECT COUNT(*) FROM information_schema.COLLATIONS")
            .err();
        assert_eq!((error.code, error.sqlstate()), (1290, "HY000"), "{error}");
        assert!(error.message.contains("never_wakes"), "{error}");
        client.command(Command::StmtPrepare, b"SELECT 1");
        assert_eq!(client.receive().unwrap()[0], 0xff);
    }
    assert_eq!(exporter.query("SELECT 1").value(), "1");
    assert!(world.is_asleep());
    assert_eq!(owner.query("SELECT i FROM d.t").value(), "1");
    // while the database is awake they are served, after an error about the lost state
    assert_eq!(
        exporter
            .query("SELECT COUNT(*) > 0 FROM information_schema.COLLATIONS")
            .value(),
        "1"
    );
    let lost = monitor.query("SELECT 1 FROM d.tmp").err();
    assert_eq!(lost.code, 1927, "{lost}");
    assert!(lost.message.contains("temporary_table"), "{lost}");
}
