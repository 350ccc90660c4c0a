//! Answers that concern the connection between a client and its server: they are those that the server would give if there
//! were nothing between the two.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "same_answers/accounts.rs"]
mod accounts;

use dormouse_testkit::{Client, Created, Dormouse, Reply, process};
use dormouse_wire::command::Command;

const AWAKE: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

fn one(config: &str) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!("{AWAKE}{config}"));
    let who = dormouse.create("shop", &[]);
    (dormouse, who)
}

fn log_in(dormouse: &Dormouse, user: &str, password: &str) -> (Client, Reply) {
    let mut client = Client::tcp(dormouse.address());
    let reply = client.login(user, password, None);
    (client, reply)
}

fn user(dormouse: &Dormouse, user: &str, password: &str) -> Client {
    let (client, reply) = log_in(dormouse, user, password);
    reply.ok();
    client
}

fn is_closed(client: &mut Client, text: &str) -> bool {
    client.try_query(text).is_err()
}

/// Waits until the server runs this statement.
fn until_it_runs(other: &mut Client, text: &str) {
    let count = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO = '{text}' AND STATE <> ''"
    );
    process::until("the statement runs", || other.query(&count).value() == "1");
}

#[test]
fn a_statement_whose_connection_is_killed_ends_as_on_a_server() {
    let (dormouse, who) = one("");
    let mut other = dormouse.connect(&who);
    for text in [
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (i INT)",
        "BEGIN",
        "SELECT * FROM s.t",
    ] {
        let _ = other.try_query(text).unwrap();
    }
    let mut killer = dormouse.connect(&who);
    for text in ["ALTER TABLE s.t ADD COLUMN j INT", "SELECT SLEEP(100)"] {
        let mut victim = dormouse.connect(&who);
        victim.command(Command::Query, text.as_bytes());
        until_it_runs(&mut killer, text);
        killer.query(&format!("KILL {}", victim.id())).ok();
        assert!(victim.result().is_err(), "closed without a reply: {text}");
    }
    // by another way than by its number
    let mut bob = {
        killer.query("CREATE USER bob IDENTIFIED BY 'b'").ok();
        user(&dormouse, "shop.bob", "b")
    };
    let mut bob_too = user(&dormouse, "shop.bob", "b");
    bob.command(Command::Query, b"SELECT SLEEP(100)");
    until_it_runs(&mut killer, "SELECT SLEEP(100)");
    let _ = bob_too.try_query("KILL USER bob");
    assert!(bob.result().is_err());

    let mut victim = dormouse.connect(&who);
    victim.command(Command::Query, b"SELECT SLEEP(100)");
    until_it_runs(&mut killer, "SELECT SLEEP(100)");
    killer.query(&format!("KILL QUERY {}", victim.id())).ok();
    assert_eq!(victim.result().unwrap().err().code, 1317);
    assert_eq!(victim.query("SELECT 1").value(), "1");
    // a server that dies is something else: what only reads is run again, but not for ever
    victim.command(Command::Query, b"SELECT SLEEP(100)");
    for _ in 0..2 {
        until_it_runs(&mut killer, "SELECT SLEEP(100)");
        process::kill(dormouse.server("shop"));
    }
    assert_eq!(victim.result().unwrap().err().code, 1053);
    assert_eq!(victim.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
}

#[test]
fn a_transaction_that_its_server_ends_for_idleness_closes_the_connection() {
    let (dormouse, who) = one("");
    let mut other = dormouse.connect(&who);
    other.query("CREATE SCHEMA s").ok();
    other.query("CREATE TABLE s.t (i INT PRIMARY KEY)").ok();
    for variable in ["idle_transaction_timeout", "idle_write_transaction_timeout"] {
        let mut client = dormouse.connect(&who);
        client.query(&format!("SET {variable} = 1")).ok();
        client.query("BEGIN").ok();
        client.query("INSERT INTO s.t VALUES (7)").ok();
        // waits for the lock of the row, until the server has rolled it back
        let count = "SELECT COUNT(*) FROM s.t WHERE i = 7 FOR UPDATE";
        assert_eq!(other.query(count).value(), "0", "{variable}");
        assert!(is_closed(&mut client, "SELECT 1 FROM s.t"), "{variable}");
    }
    other.query("INSERT INTO s.t VALUES (7)").ok();
}

#[test]
fn the_status_of_tls_is_that_of_the_clients_connection() {
    let (dormouse, who) = one("");
    let mut client = Client::tls(dormouse.address());
    client.login(&who.user, &who.password, None).ok();
    let mut plain = dormouse.connect(&who);
    for (text, column) in [
        ("SHOW STATUS LIKE 'Ssl_cipher'", 1),
        ("show session status where variable_name = 'ssl_cipher'", 1),
        ("EXECUTE IMMEDIATE 'SHOW STATUS LIKE \"Ssl_cipher\"'", 1),
        (
            "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher'",
            0,
        ),
        (
            "SELECT (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'ssl_cipher')",
            0,
        ),
        (
            "SELECT 'none' FROM DUAL WHERE FALSE UNION SELECT g.VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS g WHERE \
             g.VARIABLE_NAME = 'SSL_CIPHER'",
            0,
        ),
        (
            "EXECUTE IMMEDIATE 'SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = ?' \
             USING 'Ssl_cipher'",
            0,
        ),
    ] {
        let rows = client.query(text).rows();
        assert_eq!(
            rows[0][column].as_deref(),
            Some("TLS_AES_256_GCM_SHA384"),
            "{text}"
        );
        let rows = plain.query(text).rows();
        assert_eq!(rows[0][column].as_deref(), Some(""), "{text}");
    }
    let version = client.query("SHOW STATUS LIKE 'Ssl_version'").rows();
    assert_eq!(version[0][1].as_deref(), Some("TLSv1.3"));
    for text in [
        "SHOW STATUS LIKE 'Ssl_version'",
        "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_version'",
    ] {
        let id = client.prepare(text);
        client.command(
            Command::StmtExecute,
            &[&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat(),
        );
        let rows = client.binary_reply();
        assert!(
            rows.iter().any(|row| row.ends_with(b"\x07TLSv1.3")),
            "{text}: {rows:?}"
        );
    }
}

#[test]
fn a_user_is_not_changed_to_a_character_set_that_no_client_may_have() {
    let (dormouse, who) = one("");
    for (collation, name) in [
        (35_u16, "ucs2"),
        (54, "utf16"),
        (60, "utf32"),
        (56, "utf16le"),
    ] {
        let mut client = dormouse.connect(&who);
        let mut argument = b"admin\0\0\0".to_vec();
        argument.extend_from_slice(&collation.to_le_bytes());
        argument.extend_from_slice(b"mysql_native_password\0");
        client.command(Command::ChangeUser, &argument);
        let error = client.result().unwrap().err();
        let text = format!("Variable 'character_set_client' can't be set to the value of '{name}'");
        assert_eq!((error.code, error.message), (1231, text));
        assert_eq!(client.query("SELECT CURRENT_USER()").value(), "admin@%");
    }
}

#[test]
fn a_statement_that_gets_no_backend_is_told_who_has_them() {
    let (dormouse, who) =
        one("[pool]\nbackends_max = 1\nlease_timeout = \"100ms\"\nopen_after = \"0\"\n");
    let mut holder = dormouse.connect(&who);
    for text in ["CREATE SCHEMA s", "CREATE TABLE s.t (i INT)", "BEGIN"] {
        holder.query(text).ok();
    }
    assert!(
        holder
            .query("SELECT * FROM s.t FOR UPDATE")
            .rows()
            .is_empty()
    );
    let mut other = dormouse.connect(&who);
    let error = other.query("SELECT * FROM s.t FOR UPDATE").err();
    let expected = format!("session {} of 'admin' at 127.0.0.1:", holder.id());
    assert!(error.message.contains(&expected), "{}", error.message);
    assert!(
        error.message.contains("(transaction, for "),
        "{}",
        error.message
    );
    holder.query("COMMIT").ok();
    assert!(
        other
            .query("SELECT * FROM s.t FOR UPDATE")
            .rows()
            .is_empty()
    );
}

#[test]
fn a_session_is_not_answered_once_its_wait_timeout_has_passed() {
    let (dormouse, who) = one("");
    let mut client = dormouse.connect(&who);
    client.query("SET wait_timeout = 1").ok();
    assert_eq!(client.query("SELECT 1").value(), "1");
    // the time that the client lets pass
    std::thread::sleep(std::time::Duration::from_millis(1010));
    assert!(is_closed(&mut client, "SELECT 1"));
}
