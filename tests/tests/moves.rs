//! State that pins a session to its server, and state that is restored after a park, a move to another
//! backend or a kill.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dormouse, process};

/// A Dormouse whose databases sleep only when told to.
fn awake() -> Dormouse {
    Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n")
}

/// One whose sessions share one backend.
fn shared() -> Dormouse {
    Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[pool]\nbackends_max = 1\n",
    )
}

/// Parks the database, or says why not.
fn park(dormouse: &Dormouse) -> Result<(), String> {
    let (parked, said) = output_of(&mut dormouse.command(&["park", "shop"]));
    if parked { Ok(()) } else { Err(said) }
}

fn is_pinned_by(dormouse: &Dormouse, pin: &str) {
    let said = park(dormouse).unwrap_err();
    assert!(said.contains(pin), "expected {pin}: {said}");
}

fn app(dormouse: &Dormouse) -> (Created, Client) {
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("USE app").ok();
    (who, client)
}

#[test]
fn a_savepoint_without_autocommit_pins_until_its_transaction_ends() {
    let dormouse = awake();
    let (_, mut client) = app(&dormouse);
    client.query("SET autocommit = 0").ok();
    park(&dormouse).unwrap();
    for sets in [
        "SAVEPOINT s",
        "EXECUTE IMMEDIATE 'SAVEPOINT s'",
        "BEGIN NOT ATOMIC SAVEPOINT s; END",
    ] {
        for ends in [
            "COMMIT",
            "ROLLBACK",
            "CREATE OR REPLACE TABLE implicit (i INT)",
            "SET autocommit = 1",
        ] {
            client.query(sets).ok();
            is_pinned_by(&dormouse, "transaction");
            client.query("ROLLBACK TO s").ok();
            is_pinned_by(&dormouse, "transaction");
            client.query(ends).ok();
            park(&dormouse).unwrap();
            client.query("SET autocommit = 0").ok();
        }
    }
    // inside a transaction that was begun while the server slept
    client.query("SET autocommit = 1").ok();
    park(&dormouse).unwrap();
    client.query("BEGIN").ok();
    client.query("SAVEPOINT s").ok();
    is_pinned_by(&dormouse, "transaction");
    client.query("ROLLBACK TO s").ok();
    client.query("COMMIT").ok();
    park(&dormouse).unwrap();
}

#[test]
fn a_transaction_with_a_savepoint_is_lost_when_its_server_dies() {
    let dormouse = awake();
    let (_, mut client) = app(&dormouse);
    client.query("SET autocommit = 0").ok();
    client.query("SAVEPOINT s").ok();
    process::kill(dormouse.server("shop"));
    assert_eq!(client.query("ROLLBACK TO s").err().code, 1213);
    assert_eq!(client.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
}

#[test]
fn a_text_prepared_statement_without_privileges_fails_only_its_execution() {
    let dormouse = awake();
    let (_, mut owner) = app(&dormouse);
    for text in [
        "CREATE TABLE t (i INT)",
        "INSERT INTO t VALUES (5)",
        "CREATE USER reader IDENTIFIED BY 'secret'",
        "GRANT SELECT ON app.t TO reader",
    ] {
        owner.query(text).ok();
    }
    let reader = Created {
        user: "shop.reader".to_owned(),
        password: "secret".to_owned(),
    };
    let mut client = dormouse.connect(&reader);
    client.query("PREPARE p FROM 'SELECT i FROM app.t'").ok();
    assert_eq!(client.query("EXECUTE p").value(), "5");
    owner.query("REVOKE SELECT ON app.t FROM reader").ok();
    owner.query("GRANT INSERT ON app.t TO reader").ok();
    park(&dormouse).unwrap();
    assert_eq!(client.query("SELECT 1 + 1 FROM DUAL WHERE 1").value(), "2");
    let error = client.query("EXECUTE p").err();
    assert_eq!((error.code, &error.sqlstate), (1142, b"42000"));
    assert!(
        error.message.starts_with("SELECT command denied"),
        "{error:?}"
    );
    owner.query("GRANT SELECT ON app.t TO reader").ok();
    assert_eq!(client.query("EXECUTE p").value(), "5");
    owner.query("DROP TABLE t").ok();
    park(&dormouse).unwrap();
    assert_eq!(client.query("EXECUTE p").err().code, 1146);
    park(&dormouse).unwrap();
    client.query("DEALLOCATE PREPARE p").ok();
    assert_eq!(client.query("EXECUTE p").err().code, 1243);
}

#[test]
fn parameters_of_a_text_prepared_statement_whose_table_is_gone_are_taken() {
    let dormouse = awake();
    let (_, mut client) = app(&dormouse);
    client.query("CREATE TABLE t (i INT)").ok();
    client.query("INSERT INTO t VALUES (5)").ok();
    client
        .query("PREPARE p FROM 'SELECT ''?'', ? + i FROM t WHERE i = ?'")
        .ok();
    client.query("DROP TABLE t").ok();
    park(&dormouse).unwrap();
    for text in [
        "EXECUTE p USING 1, 5",
        "BEGIN NOT ATOMIC EXECUTE p USING 'a', NULL; END",
        "EXECUTE IMMEDIATE 'BEGIN NOT ATOMIC SET @a = 1; EXECUTE p USING @a, @b; END'",
        "EXECUTE p USING DEFAULT, IGNORE",
    ] {
        let error = client.query(text).err();
        assert_eq!((error.code, &error.sqlstate), (1146, b"42S02"), "{text}");
        assert_eq!(error.message, "Table 'app.t' doesn't exist", "{text}");
    }
    for text in ["EXECUTE p", "BEGIN NOT ATOMIC EXECUTE p USING 1; END"] {
        assert_eq!(client.query(text).err().code, 1210, "{text}");
    }
    client.query("CREATE TABLE t (i INT)").ok();
    client.query("INSERT INTO t VALUES (5)").ok();
    let rows = client.query("EXECUTE p USING 1, 5").rows();
    assert_eq!(rows, [[Some("?".to_owned()), Some("6".to_owned())]]);
}

#[test]
fn a_denied_variable_leaves_no_pin() {
    let dormouse = awake();
    let (_, mut owner) = app(&dormouse);
    owner.query("CREATE USER bob IDENTIFIED BY 'b'").ok();
    let mut bob = Client::unix(dormouse.socket());
    bob.login("shop.bob", "b", None).ok();
    for text in [
        "SET pseudo_thread_id = 5",
        "SET @a = 7, SESSION sql_log_bin = 0",
        "CALL mysql.dormouse_attach(5, 'x')",
    ] {
        bob.query(text).err();
        park(&dormouse).unwrap_or_else(|said| panic!("{text}: {said}"));
        let set = bob.query("SELECT COALESCE(@a, 5) FROM information_schema.ENGINES LIMIT 1");
        assert_eq!(set.value(), "5", "{text}");
    }
}

#[test]
fn a_failed_text_prepare_leaves_no_pin() {
    let dormouse = awake();
    let (_, mut client) = app(&dormouse);
    client.query("PREPARE q FROM 'SELECT i FROM missing'").err();
    park(&dormouse).unwrap();
    assert_eq!(client.query("EXECUTE q").err().code, 1243);
}

#[test]
fn user_variables_too_long_to_be_stored_pin_and_are_never_lost() {
    let dormouse = awake();
    let (_, mut client) = app(&dormouse);
    for n in [32_769, 1_000_000, 4_000_000, 10_000_000] {
        client.query(&format!("SET @a = REPEAT('x', {n})")).ok();
        is_pinned_by(&dormouse, "user_variable");
        assert_eq!(client.query("SELECT LENGTH(@a)").value(), n.to_string());
        client.query("SET @a = NULL").ok();
        park(&dormouse).unwrap();
    }
    // many, and the names count too
    let many = |n: u32, name: &str| {
        let set: Vec<_> = (0..n).map(|i| format!("@{name}{i} = {i}")).collect();
        format!("SET {}", set.join(", "))
    };
    client.query(&many(900, "a")).ok();
    park(&dormouse).unwrap();
    assert_eq!(
        client.query("SELECT @a899 FROM DUAL WHERE 1").value(),
        "899"
    );
    client.query(&many(900, &"n".repeat(60))).ok();
    is_pinned_by(&dormouse, "user_variable");
    let long = format!("SELECT @{}899", "n".repeat(60));
    assert_eq!(client.query(&long).value(), "899");
}

#[test]
fn a_long_list_of_warnings_does_not_end_the_session() {
    let dormouse = awake();
    let (_, mut client) = app(&dormouse);
    for text in [
        "SET max_error_count = 65535",
        "CREATE TABLE w (c INT)",
        "INSERT IGNORE INTO w SELECT REPEAT('x', 200) FROM seq_1_to_20000",
    ] {
        client.query(text).ok();
    }
    park(&dormouse).unwrap();
    assert_eq!(client.query("SHOW WARNINGS").err().code, 1235);
    assert_eq!(client.query("SELECT @@warning_count").value(), "20000");
}

#[test]
fn the_last_value_of_a_sequence_is_kept_and_reading_it_pins() {
    let dormouse = awake();
    let (_, mut client) = app(&dormouse);
    client.query("CREATE SEQUENCE s START WITH 7").ok();
    assert_eq!(client.query("SELECT NEXTVAL(s)").value(), "7");
    park(&dormouse).unwrap();
    assert_eq!(client.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
    park(&dormouse).unwrap();
    assert_eq!(client.query("SELECT LASTVAL(s) + 1").value(), "8");
    let row = client
        .query("SELECT LASTVAL(s), PREVIOUS VALUE FOR app.s AS p")
        .rows();
    assert_eq!(row, [[Some("7".to_owned()), Some("7".to_owned())]]);
    is_pinned_by(&dormouse, "sequence");
    client.query("SELECT NEXTVAL(s)").value();
    client.query("SELECT LASTVAL(s) + 1").value();
}

#[test]
fn no_session_sees_the_last_value_of_another() {
    let dormouse = shared();
    let (who, mut owner) = app(&dormouse);
    owner.query("CREATE SEQUENCE s").ok();
    owner
        .query("CREATE TABLE t (i INT DEFAULT NEXTVAL(app.s), n INT)")
        .ok();
    // both sessions are as after the login, so the backend is not reset between them
    let mut client = dormouse.connect(&who);
    let mut other = dormouse.connect(&who);
    // advanced by a statement, and by the default of a column
    for advances in ["DO NEXTVAL(app.s)", "INSERT INTO app.t (n) VALUES (1)"] {
        other.query("SELECT 0 FROM DUAL WHERE 1").value();
        client.query(advances).ok();
        assert_eq!(
            other.query("SELECT LASTVAL(app.s)").value(),
            "NULL",
            "{advances}"
        );
        assert!(other.ping().is_ok());
        other = dormouse.connect(&who);
    }
}

#[test]
fn the_last_value_of_a_sequence_survives_its_server_once_it_was_read() {
    let dormouse = shared();
    let (who, mut client) = app(&dormouse);
    client.query("CREATE SEQUENCE s").ok();
    client.query("SELECT NEXTVAL(s)").value();
    // the commit also makes the sequence durable
    client.query("CREATE TABLE t (i INT)").ok();
    client.query("INSERT INTO t VALUES (1)").ok();
    dormouse.connect(&who).query("DO 0").ok();
    process::kill(dormouse.server("shop"));
    assert_eq!(client.query("SELECT LASTVAL(s)").value(), "1");
}
