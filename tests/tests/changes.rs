//! Changes outside of transactions that the end of the server interrupts: with a history, and from MariaDB 11.5 on, each
//! happens once, and its client knows.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, Reply, process};
use dormouse_wire::command::Command;
use dormouse_wire::reply::{ErrPacket, OkPacket};

use between::{Between, When};
use scene::Scene;

#[path = "commits/between.rs"]
mod between;
#[path = "history/scene.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod scene;

const AWAKE: &str =
    "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n";

/// A Dormouse with a database.
struct World {
    scene: Scene,
    who: Created,
    /// What `create` needs to make another database on the same version.
    version: &'static [&'static str],
    /// Whether the server's log tells which connection has written what.
    tells: bool,
}

impl World {
    /// Runs a test on each version of the server.
    fn each(arguments: &[&str], test: fn(&Self)) {
        test(&Self::on(None, arguments));
        match newer() {
            Some(newer) => test(&Self::on(Some(newer), arguments)),
            None => println!("skipped: there is no second server"),
        }
    }

    /// On a server whose log tells; `None`: there is none.
    fn that_tells(arguments: &[&str]) -> Option<Self> {
        let world = Self::on(newer(), arguments);
        if !world.tells {
            println!("skipped: there is no server from 11.5 on");
        }
        Some(world).filter(|world| world.tells)
    }

    fn on(newer: Option<String>, arguments: &[&str]) -> Self {
        let mut config = AWAKE.to_owned();
        let mut version: &[&str] = &[];
        if let Some(newer) = newer {
            config.push_str(&format!("[servers]\n\"11.8\" = \"{newer}\"\n"));
            version = &["--version", "11.8"];
        }
        let scene = Scene::start(false, &config);
        let who = scene
            .dormouse
            .create("shop", &[arguments, version].concat());
        let mut client = scene.dormouse.connect(&who);
        client.query("CREATE DATABASE app").ok();
        let told = client.query("SELECT VERSION() FROM DUAL WHERE 1").value();
        let mut parts = told.split('.').map(|part| part.parse().unwrap_or(0));
        let told: (u32, u32) = (parts.next().unwrap(), parts.next().unwrap());
        Self {
            scene,
            who,
            version,
            tells: told >= (11, 5),
        }
    }

    fn dormouse(&self) -> &Dormouse {
        &self.scene.dormouse
    }

    fn client(&self) -> Client {
        let mut client = self.dormouse().connect(&self.who);
        client.query("USE app").ok();
        client
    }

    /// A table with rows 1 to 4.
    fn table(&self, name: &str) {
        let mut client = self.client();
        for text in [
            format!(
                "CREATE TABLE {name} (i INT AUTO_INCREMENT PRIMARY KEY, v INT, at TIMESTAMP NULL)"
            ),
            format!("INSERT INTO {name} (v) VALUES (1), (2), (3), (4)"),
        ] {
            client.query(&text).ok();
        }
    }

    fn rows(&self, table: &str) -> Vec<Vec<Option<String>>> {
        let text = format!("SELECT i, v FROM {table} ORDER BY i");
        self.client().query(&text).rows()
    }
}

/// The newer server, if it is not the one that tests use anyway.
fn newer() -> Option<String> {
    let older = std::env::var("DORMOUSE_TEST_MARIADBD").unwrap_or_default();
    let newer = std::env::var("DORMOUSE_TEST_MARIADBD_118").ok();
    newer.filter(|newer| *newer != older)
}

/// A counter of the database's pool.
fn counter(client: &mut Client, name: &str) -> String {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    let found = rows.into_iter().find(|row| row[0].as_deref() == Some(name));
    found.unwrap().pop().unwrap().unwrap()
}

const HISTORY: &[&str] = &["--history", "true"];

/// Statements that change a table, in the place of whose name stands `%`.
const CHANGES: [&str; 7] = [
    "/* now */ INSERT INTO % (v, at) VALUES (7, NOW())",
    "/* now */ INSERT INTO % (v) VALUES (7), ('8'), ('x')",
    "/* now */ INSERT INTO % (i, v) VALUES (1, 1) ON DUPLICATE KEY UPDATE v = v + 10",
    "/* now */UPDATE % SET v = v + 1 WHERE v >= 3;",
    "/* now */ DELETE FROM % WHERE v = 2",
    "/* now */ REPLACE INTO % (i, v) VALUES (3, 30), (9, 90)",
    "/* now */ INSERT INTO % (v) SELECT v FROM %",
];

/// The part of them that servers are to be tried with: one, if their log does not tell.
fn changes(world: &World) -> &'static [&'static str] {
    let most = if world.tells { CHANGES.len() } else { 1 };
    &CHANGES[..most]
}

/// What stands in the statement at which a server is killed; Dormouse's own do not have it.
const NOW: &str = "/* now */";

/// What is sent right before a change whose server's log tells.
const ASKS: &str = "SIGNAL SQLSTATE '45000'";

fn is_unknown(error: &ErrPacket) {
    assert_eq!((error.code, error.sqlstate()), (1053, "08007"), "{error:?}");
}

fn says_committed(error: &ErrPacket) {
    assert_eq!((error.code, error.sqlstate()), (1053, "HY000"), "{error:?}");
    assert!(error.message.contains("it has committed"), "{error:?}");
}

/// An execution of a prepared statement with one number.
fn execute(
    client: &mut Client,
    statement: u32,
    with_type: bool,
    number: u32,
) -> Result<OkPacket, ErrPacket> {
    let mut packet = statement.to_le_bytes().to_vec();
    packet.extend_from_slice(&[0, 1, 0, 0, 0, 0, u8::from(with_type)]);
    if with_type {
        packet.extend_from_slice(&[3, 0]);
    }
    packet.extend_from_slice(&number.to_le_bytes());
    client.command(Command::StmtExecute, &packet);
    let reply = client.receive().unwrap();
    OkPacket::parse(&reply, client.capabilities).map_err(|_| ErrPacket::parse(&reply).unwrap())
}

#[test]
fn a_change_that_did_not_happen_is_made_on_the_next_server() {
    World::each(HISTORY, |world| {
        for (number, change) in (0..).zip(changes(world)) {
            let (own, twin) = (format!("own{number}"), format!("twin{number}"));
            world.table(&own);
            world.table(&twin);
            // warnings are counted in the reply
            let mut undisturbed = world.client();
            undisturbed.query("SET sql_mode = ''").ok();
            let expected = undisturbed.query(&change.replace('%', &twin)).ok();
            drop(undisturbed);

            // it is alone in its packet where the log does not tell
            let when = [When::Before, When::Between][usize::from(world.tells)];
            let between = Between::kill_at(world.dormouse(), "shop", NOW, when);
            let mut client = world.client();
            client.query("SET sql_mode = ''").ok();
            let id = client.query("SELECT CONNECTION_ID()").value();
            let reply = client.query(&change.replace('%', &own));
            assert!(between.has_fired(), "{change}");
            if world.tells {
                assert_eq!(reply.ok(), expected, "{change}");
                assert_eq!(world.rows(&own), world.rows(&twin), "{change}");
                let found = counter(&mut client, "commits_found_rolled_back");
                assert_eq!(found, (number + 1).to_string());
            } else {
                is_unknown(&reply.err());
                assert_eq!(world.rows(&own), world.rows("own0"), "{change}");
            }
            // the session is the same
            assert_eq!(client.query("SELECT CONNECTION_ID()").value(), id);
            assert_eq!(client.query("SELECT @@sql_mode").value(), "");
        }
    });
}

#[test]
fn a_change_that_has_happened_is_told_as_committed_and_happens_once() {
    World::each(HISTORY, |world| {
        for (number, change) in (0..).zip(changes(world)) {
            let (own, twin) = (format!("own{number}"), format!("twin{number}"));
            world.table(&own);
            world.table(&twin);
            let mut undisturbed = world.client();
            undisturbed.query("SET sql_mode = ''").ok();
            undisturbed.query(&change.replace('%', &twin)).ok();
            drop(undisturbed);

            let between = Between::kill_at(world.dormouse(), "shop", NOW, When::After);
            let mut client = world.client();
            client.query("SET sql_mode = ''").ok();
            let id = client.query("SELECT CONNECTION_ID()").value();
            let error = client.query(&change.replace('%', &own)).err();
            assert!(between.has_fired(), "{change}");
            match world.tells {
                true => says_committed(&error),
                false => is_unknown(&error),
            }
            assert_eq!(world.rows(&own), world.rows(&twin), "{change}");
            // the session is the same, and the next change is told as its own
            assert_eq!(client.query("SELECT CONNECTION_ID()").value(), id);
            let text = format!("INSERT INTO {own} (v) VALUES (1)");
            assert_eq!(client.query(&text).ok().affected, 1);
            let found = counter(&mut client, "commits_found_committed");
            let expected = if world.tells { number + 1 } else { 0 };
            assert_eq!(found, expected.to_string());
        }
    });
}

#[test]
fn a_change_that_changes_no_row_is_run_again_and_one_that_fails_fails_once_more() {
    let Some(world) = World::that_tells(HISTORY) else {
        return;
    };
    world.table("own");
    for (text, code) in [
        ("/* now */ UPDATE own SET v = v WHERE i = 1", None),
        ("/* now */ DELETE FROM own WHERE v = 1000", None),
        (
            "/* now */ INSERT IGNORE INTO own (i, v) VALUES (1, 1)",
            None,
        ),
        (
            "/* now */ INSERT INTO own (i, v) VALUES (5, 5), (1, 1)",
            Some(1062),
        ),
    ] {
        let before = world.rows("own");
        let between = Between::kill_at(world.dormouse(), "shop", NOW, When::After);
        let mut client = world.client();
        match (client.query(text), code) {
            (Reply::Ok(ok), None) => assert_eq!(ok.affected, 0, "{text}"),
            (Reply::Err(error), Some(code)) => assert_eq!(error.code, code, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
        assert!(between.has_fired(), "{text}");
        assert_eq!(world.rows("own"), before, "{text}");
    }
}

#[test]
fn the_changes_before_it_are_not_taken_for_the_one_that_was_interrupted() {
    let Some(world) = World::that_tells(HISTORY) else {
        return;
    };
    world.table("own");
    world.table("mark");
    // the same text several times, and last by a prepared statement
    for when in [When::Before, When::Between, When::After] {
        let between = Between::kill_at(world.dormouse(), "shop", NOW, when);
        let mut client = world.client();
        for _ in 0..3 {
            client.query("INSERT INTO own (v) VALUES (7)").ok();
        }
        client.query("BEGIN").ok();
        client.query("INSERT INTO own (v) VALUES (7)").ok();
        client.query("COMMIT").ok();
        // it is written to the log and fails
        client.query("CREATE TABLE again (i INT)").ok();
        client.query("CREATE TABLE again (i INT)").err();
        client.query("DROP TABLE again").ok();
        let reply = client.query("INSERT INTO own (v) VALUES (7) /* now */");
        assert!(between.has_fired());
        let sevens = "SELECT COUNT(*) FROM own WHERE v = 7";
        match when {
            When::Before | When::Between => assert_eq!(reply.ok().affected, 1),
            When::After => says_committed(&reply.err()),
        }
        assert_eq!(client.query(sevens).value(), "5", "{when:?}");
        client.query("DELETE FROM own WHERE v = 7").ok();
    }
    // two interruptions of one session
    let mut client = world.client();
    for when in [When::After, When::Between, When::After, When::Before] {
        drop(client);
        let between = Between::kill_at(world.dormouse(), "shop", NOW, when);
        client = world.client();
        client.query("INSERT INTO mark (v) VALUES (8)").ok();
        let reply = client.query("INSERT INTO mark (v) VALUES (8) /* now */");
        assert_eq!(
            matches!(reply, Reply::Ok(_)),
            when != When::After,
            "{when:?}"
        );
        assert!(between.has_fired());
    }
    let eights = "SELECT COUNT(*) FROM mark WHERE v = 8";
    assert_eq!(client.query(eights).value(), "8");
}

#[test]
fn a_prepared_change_is_known_as_well() {
    let Some(world) = World::that_tells(HISTORY) else {
        return;
    };
    world.table("own");
    for (number, when) in [
        (100, When::Before),
        (101, When::Between),
        (102, When::After),
    ] {
        let between = Between::kill_at(world.dormouse(), "shop", ASKS, when);
        let mut client = world.client();
        let insert = client.prepare("INSERT INTO own (v) VALUES (?)");
        let reply = execute(&mut client, insert, true, number);
        assert!(between.has_fired());
        match when {
            When::Before | When::Between => assert_eq!(reply.unwrap().affected, 1),
            When::After => says_committed(&reply.unwrap_err()),
        }
        assert_eq!(
            execute(&mut client, insert, false, number)
                .unwrap()
                .affected,
            1
        );
        let text = format!("SELECT COUNT(*) FROM own WHERE v = {number}");
        assert_eq!(client.query(&text).value(), "2", "{when:?}");
    }
}

#[test]
fn a_change_that_waits_for_a_lock_when_its_server_is_killed_is_made_on_the_next_one() {
    let Some(world) = World::that_tells(HISTORY) else {
        return;
    };
    world.table("own");
    let mut holder = world.client();
    holder.query("BEGIN").ok();
    holder
        .query("SELECT * FROM own WHERE i = 1 FOR UPDATE")
        .rows();
    let mut admin = world.dormouse().platform("shop");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut client = world.client();
            let reply = client.query("UPDATE own SET v = v + 100 WHERE i = 1");
            (
                reply.ok(),
                client.query("SELECT v FROM own WHERE i = 1").value(),
            )
        });
        // it cannot end before the lock does
        process::until("it waits for the lock", || {
            let text =
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'UPDATE%'";
            admin.query(text).value() == "1"
        });
        process::kill(world.dormouse().server("shop"));
        let (ok, value) = waiting.join().unwrap();
        assert_eq!((ok.affected, &*value), (1, "101"));
    });
}

#[test]
fn a_session_that_loses_state_is_told_whether_its_change_has_happened() {
    let Some(world) = World::that_tells(HISTORY) else {
        return;
    };
    world.table("own");
    for (v, when, committed) in [(10, When::Between, false), (11, When::After, true)] {
        let between = Between::kill_at(world.dormouse(), "shop", NOW, when);
        let mut client = world.client();
        client.query("SELECT GET_LOCK('a', 0)").value();
        let error = client
            .query(&format!("/* now */ INSERT INTO own (v) VALUES ({v})"))
            .err();
        assert_eq!((error.code, error.sqlstate()), (1927, "08S01"), "{error:?}");
        assert_eq!(
            error.message.contains("it has committed"),
            committed,
            "{error:?}"
        );
        assert!(client.receive().is_err(), "the session has ended");
        assert!(between.has_fired());
        let text = format!("SELECT COUNT(*) FROM own WHERE v = {v}");
        let count = world.client().query(&text).value();
        assert_eq!(count, u32::from(committed).to_string(), "{when:?}");
    }
}

#[test]
fn after_a_failover_the_log_of_the_new_primary_tells() {
    let arguments = ["--replicas", "1", "--durability", "replica"];
    for (v, when) in [(10, When::Between), (11, When::After)] {
        let Some(world) = World::that_tells(&arguments) else {
            return;
        };
        world.table("own");
        let dormouse = world.dormouse();
        let between = Between::lose_at(dormouse, "shop", NOW, when);
        process::until("the replica follows and commits wait for it", || {
            let shown = dormouse.show("shop");
            let waits = "SELECT @@GLOBAL.rpl_semi_sync_master_enabled";
            shown["followers"][0]["doing"] == "following"
                && dormouse.platform("shop").query(waits).value() == "1"
        });
        let before = dormouse.show("shop")["instance"].clone();
        let mut client = world.client();
        let text = format!("INSERT INTO own (v) VALUES ({v}) {NOW}");
        match (when, client.query(&text)) {
            (When::After, reply) => says_committed(&reply.err()),
            (_, reply) => assert_eq!(reply.ok().affected, 1),
        }
        assert!(between.has_fired());
        assert_ne!(dormouse.show("shop")["instance"], before, "it failed over");
        let text = format!("SELECT COUNT(*) FROM own WHERE v = {v}");
        assert_eq!(client.query(&text).value(), "1", "{when:?}");
    }
}

#[test]
fn what_the_log_does_not_tell_is_not_guessed() {
    // without a history
    World::each(&[], |world| {
        world.table("own");
        let _between = Between::kill_at(world.dormouse(), "shop", NOW, When::Before);
        let mut client = world.client();
        is_unknown(
            &client
                .query("/* now */ INSERT INTO own (v) VALUES (1)")
                .err(),
        );
    });
    let Some(world) = World::that_tells(HISTORY) else {
        return;
    };
    // a part of it may have happened
    world.table("own");
    let text = "CREATE TABLE plain (v INT) ENGINE = MyISAM";
    world.client().query(text).ok();
    let texts = [
        "/* now */ INSERT INTO own (v) VALUES (1)",
        "/* now */ INSERT INTO plain SELECT v FROM own",
    ];
    for text in texts {
        let between = Between::kill_at(world.dormouse(), "shop", NOW, When::Between);
        let error = world.client().query(text).err();
        is_unknown(&error);
        assert!(
            error.message.contains("tables without transactions"),
            "{error:?}"
        );
        assert!(between.has_fired());
    }
    world.client().query("DROP TABLE plain").ok();
    // these may do more than to change rows
    for text in [
        "/* now */ INSERT INTO own (v) VALUES (@v := 1)",
        "/* now */ INSERT INTO own (v) VALUES (1); SELECT 1",
        "/* now */ SET STATEMENT sql_mode = '' FOR INSERT INTO own (v) VALUES (1)",
    ] {
        let between = Between::kill_at(world.dormouse(), "shop", NOW, When::Before);
        let mut client = world.client();
        client.command(Command::SetOption, &[0, 0]);
        client.receive().unwrap();
        is_unknown(&client.query(text).err());
        assert!(between.has_fired(), "{text}");
        // the next server serves
        drop(world.client());
    }
}

#[test]
fn what_is_sent_before_a_change_does_not_show() {
    let Some(world) = World::that_tells(HISTORY) else {
        return;
    };
    let plain = world.dormouse().create("plain", world.version);
    let mut replies = [&world.who, &plain].map(|who| {
        let mut client = world.dormouse().connect(who);
        let all = [
            "CREATE DATABASE two",
            "USE two",
            "CREATE TABLE t (i INT AUTO_INCREMENT PRIMARY KEY, v INT)",
            "INSERT INTO t (v) VALUES (1), (2), (3)",
            "SELECT v FROM t WHERE i < 3",
            "INSERT INTO t (v) VALUES (LAST_INSERT_ID() * 100)",
            "SELECT FOUND_ROWS(), LAST_INSERT_ID(), @@identity",
            "INSERT INTO t (v) VALUES (FOUND_ROWS())",
            "SELECT FOUND_ROWS(), ROW_COUNT()",
            "SELECT 1 / 0",
            "INSERT INTO t (v) VALUES (@@warning_count * 10 + @@error_count)",
            "SHOW WARNINGS",
            "SELECT nothing",
            "UPDATE t SET v = v + @@error_count WHERE i = 1",
            "SHOW WARNINGS",
            "SET insert_id = 77",
            "INSERT INTO t (v) VALUES (5)",
            "SELECT LAST_INSERT_ID()",
            "SET TRANSACTION READ ONLY",
            "DELETE FROM t WHERE i = 77",
            "SHOW WARNINGS",
            "SET SESSION TRANSACTION READ WRITE",
            "INSERT INTO t (i, v) VALUES (1, 1)",
            "GET DIAGNOSTICS CONDITION 1 @m = MESSAGE_TEXT",
            "SELECT @m",
            "INSERT INTO t (v) VALUES ('x')",
            "SHOW ERRORS",
            "SET sql_mode = ''",
            "INSERT INTO t (v) VALUES ('x')",
            "SHOW WARNINGS",
            "DELETE FROM t WHERE i = 2 RETURNING v",
            "INSERT nonsense",
            "SHOW ERRORS",
            "SELECT * FROM t",
        ];
        all.map(|text| (text, client.query(text)))
    });
    let [own, plain] = &mut replies;
    for ((text, own), (_, plain)) in own.iter().zip(plain.iter()) {
        assert_eq!(format!("{own:?}"), format!("{plain:?}"), "{text}");
    }
}
