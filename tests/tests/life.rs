//! State changes of a database with connected clients: no client has to reconnect.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Dormouse, Reply, process};
use dormouse_wire::command::Command;

/// A Dormouse whose databases sleep only when told to.
fn awake() -> Dormouse {
    Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n")
}

#[test]
fn a_connection_survives_suspend_park_and_kill() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    let id = client.id();
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (i INT PRIMARY KEY)").ok();
    client.query("INSERT INTO app.t VALUES (1)").ok();

    let _ = dormouse.json(&["suspend", "shop"]);
    assert_eq!(dormouse.state("shop"), "suspended");
    assert_eq!(client.query("SELECT COUNT(*) FROM app.t").value(), "1");
    assert_eq!(dormouse.state("shop"), "active");

    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(dormouse.state("shop"), "parked");
    assert!(dormouse.show("shop")["pid"].is_null());
    client.query("INSERT INTO app.t VALUES (2)").ok();

    process::kill(dormouse.server("shop"));
    assert_eq!(client.query("SELECT COUNT(*) FROM app.t").value(), "2");
    assert_eq!(client.id(), id);
}

#[test]
fn a_park_keeps_schema_settings_and_role() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE `größe`",
        "CREATE DATABASE other",
        "CREATE ROLE reader",
        "CREATE TABLE other.t (i INT PRIMARY KEY AUTO_INCREMENT)",
        "SET ROLE reader",
        "SET NAMES latin1 COLLATE latin1_german2_ci",
        "SET character_set_results = NULL",
        "SET sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES'",
        "SET time_zone = '+03:00', max_statement_time = 12.5, autocommit = 0",
        "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "INSERT INTO other.t VALUES (NULL)",
        "INSERT INTO other.t VALUES (NULL)",
        "COMMIT",
    ] {
        client.query(text).ok();
    }
    client.query("USE `gr\u{00f6}\u{00df}e`").err();
    client.query("SET NAMES utf8mb4").ok();
    client.query("USE `größe`").ok();
    client
        .query("SET NAMES latin1 COLLATE latin1_german2_ci")
        .ok();
    client.query("SET character_set_results = NULL").ok();
    let ask = "SELECT HEX(DATABASE()), CURRENT_ROLE(), @@character_set_client, @@character_set_results, \
               @@collation_connection, @@sql_mode, @@time_zone, @@max_statement_time, @@autocommit, \
               @@tx_isolation, LAST_INSERT_ID(), '\\'";
    let before = client.query(ask).rows();
    assert_eq!(before[0][10].as_deref(), Some("2"));
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(client.query(ask).rows(), before);
    process::kill(dormouse.server("shop"));
    assert_eq!(client.query(ask).rows(), before);
}

#[test]
fn settings_made_since_the_last_park_survive_a_kill() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("USE app").ok();
    client.query("SET time_zone = '+03:00'").ok();
    client
        .query("SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES')")
        .ok();
    let ask = "SELECT DATABASE(), @@time_zone, @@sql_mode FROM DUAL";
    let before = client.query(ask).rows();
    process::kill(dormouse.server("shop"));
    assert_eq!(client.query(ask).rows(), before);
}

#[test]
fn a_suspend_keeps_everything_including_an_open_transaction() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    let mut other = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (i INT)",
        "CREATE TEMPORARY TABLE app.temporary (i INT)",
        "INSERT INTO app.temporary VALUES (7)",
        "SET @a = 5",
        "START TRANSACTION",
        "INSERT INTO app.t VALUES (1)",
    ] {
        client.query(text).ok();
    }
    assert_eq!(client.query("SELECT GET_LOCK('l', 0)").value(), "1");
    let _ = dormouse.json(&["suspend", "shop"]);
    assert_eq!(other.query("SELECT COUNT(*) FROM app.t").value(), "0");
    assert_eq!(other.query("SELECT GET_LOCK('l', 0)").value(), "0");
    let _ = dormouse.json(&["suspend", "shop"]);
    client.query("COMMIT").ok();
    assert_eq!(
        client.query("SELECT @a + i FROM app.temporary").value(),
        "12"
    );
    assert_eq!(other.query("SELECT COUNT(*) FROM app.t").value(), "1");
}

/// Runs statements on a session, expects a pin to veto a park, ends the pin, and expects the park to
/// succeed.
fn vetoes(dormouse: &Dormouse, client: &mut Client, make: &[&str], pin: &str, undo: &[&str]) {
    for text in make {
        let reply = client.query(text);
        assert!(!matches!(reply, Reply::Err(_)), "{text}: {reply:?}");
    }
    let (success, said) = output_of(&mut dormouse.command(&["park", "shop"]));
    assert!(
        !success && said.contains(pin),
        "a park with {make:?} said: {said}"
    );
    let ledger = dormouse.json(&["events", "shop"]).to_string();
    assert!(
        ledger.contains(pin),
        "the ledger does not tell of {pin}: {ledger}"
    );
    for text in undo {
        let reply = client.query(text);
        assert!(!matches!(reply, Reply::Err(_)), "{text}: {reply:?}");
    }
    if pin.ends_with("_lock") && !tells_of_locks(client) || pin == "text_prepare" {
        // the pin holds until the connection is reset
        client.command(Command::ResetConnection, b"");
        assert_eq!(client.receive().unwrap()[0], 0);
    }
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(dormouse.state("shop"), "parked", "after {undo:?}");
    assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
}

/// Whether the server has the plugin metadata_lock_info, which Debian ships as a separate package.
fn tells_of_locks(client: &mut Client) -> bool {
    !matches!(
        client.query("SELECT 1 FROM information_schema.METADATA_LOCK_INFO LIMIT 0"),
        Reply::Err(_)
    )
}

#[test]
fn state_that_cannot_be_restored_vetoes_a_park_and_the_ledger_names_it() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (i INT)").ok();
    let table: [(&[&str], &str, &[&str]); 6] = [
        (
            &["BEGIN", "INSERT INTO app.t VALUES (1)"],
            "transaction",
            &["COMMIT"],
        ),
        (
            &["SELECT GET_LOCK('l', 0)"],
            "_lock",
            &["SELECT RELEASE_LOCK('l')"],
        ),
        (
            &["LOCK TABLES app.t WRITE"],
            "table_lock",
            &["UNLOCK TABLES"],
        ),
        (
            &["HANDLER app.t OPEN AS h"],
            "table_lock",
            &["HANDLER h CLOSE"],
        ),
        (
            &["CREATE TEMPORARY TABLE app.x (i INT)"],
            "temporary_table",
            &["DROP TEMPORARY TABLE app.x"],
        ),
        (
            &["PREPARE s FROM CONCAT('SELECT', ' 1')"],
            "text_prepare",
            &["DEALLOCATE PREPARE s"],
        ),
    ];
    for (make, pin, undo) in table {
        vetoes(&dormouse, &mut client, make, pin, undo);
    }
    // pins that only a reset of the connection ends
    for (make, pin) in [
        ("SET @a = REPEAT('a', 100000)", "user_variable"),
        ("SET rand_seed1 = 5", "hidden_variable"),
    ] {
        let mut client = dormouse.connect(&who);
        client.query(make).ok();
        let (success, said) = output_of(&mut dormouse.command(&["park", "shop"]));
        assert!(
            !success && said.contains(pin),
            "a park after {make} said: {said}"
        );
        client.command(Command::ResetConnection, b"");
        assert_eq!(client.receive().unwrap()[0], 0);
        let _ = dormouse.json(&["park", "shop"]);
        assert_eq!(dormouse.state("shop"), "parked", "after a reset of {make}");
    }
    // a pin that only the end of the connection ends
    let mut client = dormouse.connect(&who);
    client.query("SET profiling = 1").ok();
    client.query("DO 42").ok();
    client.query("SET profiling = 0").ok();
    let (success, said) = output_of(&mut dormouse.command(&["park", "shop"]));
    assert!(!success && said.contains("profiling"), "{said}");
    let Reply::Rows(profiles) = client.query("SHOW PROFILES") else {
        panic!("no profiles");
    };
    assert_eq!(profiles.len(), 1, "{profiles:?}");
    drop(client);
    let mut client = dormouse.connect(&who);
    client.query("SET profiling = 0").ok();
    process::until("the pin has ended with its connection", || {
        output_of(&mut dormouse.command(&["park", "shop"])).0
    });
    assert_eq!(dormouse.state("shop"), "parked", "without profiles");
}

#[test]
fn pings_and_quits_do_not_wake_a_database() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("SELECT 1 FROM DUAL").value();
    let awake_answer = client.ping().unwrap();
    for (order, state) in [("suspend", "suspended"), ("park", "parked")] {
        let _ = dormouse.json(&[order, "shop"]);
        for _ in 0..10 {
            assert_eq!(client.ping().unwrap(), awake_answer);
        }
        dormouse.connect(&who).command(Command::Quit, b"");
        assert_eq!(dormouse.state("shop"), state);
    }
}

#[test]
fn a_transaction_interrupted_by_a_kill_goes_on_or_gets_an_error_and_the_session_continues() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("USE app").ok();
    client.query("CREATE TABLE t (i INT)").ok();
    client.query("BEGIN").ok();
    client.query("INSERT INTO t VALUES (1)").ok();
    process::kill(dormouse.server("shop"));
    client.query("INSERT INTO t VALUES (2)").ok();
    assert_eq!(client.query("SELECT COUNT(*) FROM t").value(), "2");
    // what this shows cannot be shown again
    client.query("SELECT UUID()").value();
    process::kill(dormouse.server("shop"));
    let error = client.query("INSERT INTO t VALUES (3)").err();
    assert_eq!((error.code, error.sqlstate()), (1213, "40001"));
    assert_eq!(client.query("SELECT COUNT(*) FROM t").value(), "0");
}

#[test]
fn a_statement_that_runs_during_a_kill_has_an_unknown_outcome() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    let mut watcher = dormouse.connect(&who);
    let sleeper = std::thread::spawn(move || (client.query("DO SLEEP(600)"), client));
    process::until("the statement runs", || {
        let running =
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
        watcher.query(running).value() == "1"
    });
    process::kill(dormouse.server("shop"));
    let (reply, mut client) = sleeper.join().unwrap();
    assert_eq!(reply.err().sqlstate(), "08007");
    assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
}

#[test]
fn idle_databases_sleep_by_themselves_and_wake_on_demand() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &["--idle-suspend", "200ms", "--idle-park", "300ms"]);
    let mut client = dormouse.connect(&who);
    assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
    dormouse.until_state("shop", "parked");
    assert_eq!(client.query("SELECT 2 FROM DUAL").value(), "2");
    // the ledger is written after the statement has run
    for word in ["suspended", "parked", "demand"] {
        process::until(&format!("the ledger tells of {word}"), || {
            dormouse
                .json(&["events", "shop"])
                .to_string()
                .contains(word)
        });
    }
}

#[test]
fn values_changed_by_set_global_survive_a_park() {
    let dormouse = awake();
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client
        .query("SET GLOBAL max_allowed_packet = 33554432")
        .ok();
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(
        client
            .query("SELECT @@global.max_allowed_packet FROM DUAL")
            .value(),
        "33554432"
    );
}

#[test]
fn a_killed_dormouse_leaves_its_servers_and_adopts_them_again() {
    let mut dormouse = awake();
    let active = dormouse.create("active", &[]);
    let suspended = dormouse.create("suspended", &[]);
    let parked = dormouse.create("parked", &[]);
    let mut client = dormouse.connect(&active);
    client.query("CREATE DATABASE kept").ok();
    let _ = dormouse.json(&["suspend", "suspended"]);
    let _ = dormouse.json(&["park", "parked"]);
    let servers = [dormouse.server("active"), dormouse.server("suspended")];
    dormouse.kill();
    assert!(
        client.try_query("SELECT 1 FROM DUAL").is_err(),
        "the connection outlived dormouse"
    );
    dormouse.up();
    assert_eq!(
        [dormouse.server("active"), dormouse.server("suspended")],
        servers
    );
    for (name, state) in [
        ("active", "active"),
        ("suspended", "suspended"),
        ("parked", "parked"),
    ] {
        assert_eq!(dormouse.state(name), state);
    }
    let mut client = dormouse.connect(&active);
    assert_eq!(client.query("SHOW DATABASES LIKE 'kept'").value(), "kept");
    assert_eq!(
        dormouse
            .connect(&suspended)
            .query("SELECT 1 FROM DUAL")
            .value(),
        "1"
    );
    assert_eq!(
        dormouse
            .connect(&parked)
            .query("SELECT 1 FROM DUAL")
            .value(),
        "1"
    );
    assert_eq!(
        [dormouse.server("active"), dormouse.server("suspended")],
        servers
    );
}

#[test]
fn a_dropped_database_leaves_nothing() {
    let dormouse = Dormouse::start_with("[warm_pool]\nsize = 0\n");
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("SELECT 1 FROM DUAL").value();
    let _ = dormouse.json(&["drop", "shop", "--yes"]);
    assert!(
        client.try_query("SELECT 1 FROM DUAL").is_err() || client.try_query("SELECT 1").is_err()
    );
    process::until("its server is gone", || dormouse.servers().is_empty());
    let instances = std::fs::read_dir(dormouse.data_dir().join("instances"))
        .unwrap()
        .count();
    assert_eq!(instances, 0);
    let error = Client::unix(dormouse.socket())
        .login(&who.user, &who.password, None)
        .err();
    assert_eq!(error.code, 1049);
}
