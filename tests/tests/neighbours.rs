//! Isolation of sessions that share a connection to the server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, Reply};
use dormouse_wire::command::Command;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::ErrPacket;
use dormouse_wire::status::Status;

/// One backend for all, and the owner's session.
fn crowded() -> (Dormouse, Created, Client) {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [pool]\nbackends_max = 1\nlease_timeout = \"200ms\"\n",
    );
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE DATABASE d").ok();
    (dormouse, who, owner)
}

/// An execution with these types, or none, and these values.
fn execute(client: &mut Client, id: u32, types: Option<&[u8]>, values: &[u8]) -> Vec<u8> {
    let mut execution = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0]].concat();
    execution.push(u8::from(types.is_some()));
    execution.extend_from_slice(types.unwrap_or_default());
    execution.extend_from_slice(values);
    client.command(Command::StmtExecute, &execution);
    client.receive().unwrap()
}

const BIGINT: u8 = 8;
const DOUBLE: u8 = 5;
const TEXT: u8 = 253;

/// A number of eight bytes, and a text.
fn values(number: [u8; 8], text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(text.len()).unwrap().to_le_bytes();
    // a length of eight bytes
    [&number[..], &[0xfe], &len, &[0; 4], text].concat()
}

#[test]
fn a_long_execution_never_gets_the_parameter_types_of_another_session() {
    let (dormouse, who, mut owner) = crowded();
    owner
        .query("CREATE TABLE d.t (n BIGINT, s LONGTEXT) ENGINE=Aria")
        .ok();
    owner
        .query("SET GLOBAL max_allowed_packet = 64 * 1024 * 1024")
        .ok();
    let text = "INSERT INTO d.t VALUES (?, ?)";
    let mut one = dormouse.connect(&who);
    let mut other = dormouse.connect(&who);
    let number = 123_456_789_u64.to_le_bytes();
    let id = one.prepare(text);
    let numbers = Some(&[BIGINT, 0, TEXT, 0][..]);
    assert_eq!(execute(&mut one, id, numbers, &values(number, b"a"))[0], 0);
    for length in [10, 1_100_000, 17 << 20] {
        let theirs = other.prepare(text);
        let half = 0.5_f64.to_le_bytes();
        let fractions = Some(&[DOUBLE, 0, TEXT, 0][..]);
        let reply = execute(&mut other, theirs, fractions, &values(half, b"b"));
        assert_eq!(reply[0], 0);
        // the client has sent its types already
        let long = values(number, &vec![b'x'; length]);
        assert_eq!(execute(&mut one, id, None, &long)[0], 0, "{length}");
    }
    let wrong = "SELECT COUNT(*) FROM d.t WHERE s <> 'b' AND n <> 123456789";
    let mut owner = dormouse.connect(&who);
    assert_eq!(owner.query(wrong).value(), "0");
    let right = "SELECT COUNT(*) FROM d.t WHERE n = 123456789";
    assert_eq!(owner.query(right).value(), "4");
}

#[test]
fn sending_an_execution_that_the_server_does_not_read_ends() {
    let (dormouse, who, mut owner) = crowded();
    owner
        .query("CREATE TABLE d.t (n BIGINT, s LONGTEXT) ENGINE=Aria")
        .ok();
    let mut client = dormouse.connect(&who);
    let id = client.prepare("INSERT INTO d.t VALUES (?, ?)");
    let types = Some(&[BIGINT, 0, TEXT, 0][..]);
    let first = execute(&mut client, id, types, &values([0; 8], b"a"));
    assert_eq!(first[0], 0);
    // it loses its backend, and the types must be sent to the next one
    owner.query("SELECT COUNT(*) FROM d.t").value();
    let long = values([0; 8], &vec![b'x'; 17 << 20]);
    let mut execution = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0, 0]].concat();
    execution.extend_from_slice(&long);
    client.command(Command::StmtExecute, &execution);
    // longer than max_allowed_packet: the server closes, and its reply may be truncated
    if let Ok(reply) = client.receive() {
        assert_eq!(ErrPacket::parse(&reply).unwrap().code, 1153);
    }
    assert_eq!(owner.query("SELECT COUNT(*) FROM d.t").value(), "1");
}

#[test]
fn an_execution_with_incomplete_long_data_is_refused() {
    let (dormouse, who, mut owner) = crowded();
    owner.query("CREATE TABLE d.t (s LONGTEXT)").ok();
    let mut client = dormouse.connect(&who);
    let id = client.prepare("INSERT INTO d.t VALUES (?)");
    let data = |text: &str| [&id.to_le_bytes()[..], &[0, 0], text.as_bytes()].concat();
    owner.query("BEGIN").ok();
    owner.query("SELECT COUNT(*) FROM d.t").value();
    client.command(Command::StmtSendLongData, &data("first "));
    // the reply follows that of the long data: it has been processed
    client.ping().unwrap();
    owner.query("COMMIT").ok();
    client.command(Command::StmtSendLongData, &data("second"));
    let reply = execute(&mut client, id, Some(&[TEXT, 0]), &[]);
    let error = ErrPacket::parse(&reply).unwrap();
    assert_eq!(error.code, 1105, "{}", error.message);
    for part in ["first ", "second"] {
        client.command(Command::StmtSendLongData, &data(part));
    }
    assert_eq!(execute(&mut client, id, Some(&[TEXT, 0]), &[])[0], 0);
    let stored = "SELECT GROUP_CONCAT(s) FROM d.t";
    assert_eq!(owner.query(stored).value(), "first second");
}

#[test]
fn revoked_privileges_end_for_new_logins() {
    let (dormouse, _, mut owner) = crowded();
    owner.query("CREATE TABLE d.secret (i INT)").ok();
    let secret = "SELECT COUNT(*) FROM d.secret";
    let log_in = |password: &str| {
        let mut client = Client::tcp(dormouse.address());
        client.login("shop.u", password, None).ok();
        client
    };
    for end in ["REVOKE ALL PRIVILEGES, GRANT OPTION FROM u", "DROP USER u"] {
        owner
            .query("CREATE OR REPLACE USER u IDENTIFIED BY 'a'")
            .ok();
        owner.query("GRANT ALL ON *.* TO u").ok();
        assert_eq!(log_in("a").query(secret).value(), "0", "{end}");
        owner.query(end).ok();
        owner
            .query("CREATE USER IF NOT EXISTS u IDENTIFIED BY 'a'")
            .ok();
        let code = log_in("a").query(secret).err().code;
        assert_eq!(code, 1142, "{end}");
    }
    owner.query("CREATE ROLE r").ok();
    owner.query("GRANT SELECT ON d.* TO r").ok();
    owner.query("GRANT r TO u").ok();
    owner.query("SET DEFAULT ROLE r FOR u").ok();
    let role = "SELECT COALESCE(CURRENT_ROLE(), 'none') FROM DUAL WHERE 1";
    assert_eq!(log_in("a").query(role).value(), "r");
    owner.query("SET DEFAULT ROLE NONE FOR u").ok();
    assert_eq!(log_in("a").query(role).value(), "none");
}

#[test]
fn the_rest_of_a_long_command_is_not_taken_for_another_command() {
    let (dormouse, who, mut owner) = crowded();
    owner.query("CREATE TABLE d.t (i INT)").ok();
    owner.query("INSERT INTO d.t VALUES (1), (2)").ok();
    let mut hidden = Vec::new();
    write_packet(&mut hidden, 0, b"\x03DELETE FROM d.t");
    for sleep in [None, Some("suspend"), Some("park")] {
        for text in [
            "KILL QUERY 4294967295",
            "SHOW DORMOUSE STATUS",
            "SHOW WARNINGS",
            "SHOW PROCESSLIST",
            "SELECT CONNECTION_ID()",
            "SELECT FOUND_ROWS()",
            "SET NAMES utf8mb4",
        ] {
            let mut client = dormouse.connect(&who);
            client.query("SELECT i FROM d.t").rows();
            // it loses its backend
            owner.query("SELECT i FROM d.t").rows();
            if let Some(order) = sleep {
                let _ = dormouse.json(&[order, "shop"]);
            }
            for at in [32 << 10, 1 << 20] {
                let mut payload = [text.as_bytes(), b" /* "].concat();
                payload.resize(at - 5, b'a');
                payload.extend_from_slice(&hidden);
                payload.extend_from_slice(&[b'b'; 100_000]);
                payload.extend_from_slice(b" */");
                client.command(Command::Query, &payload);
                let _one_answer = client.result().unwrap();
                assert_eq!(
                    client.query("SELECT 'mine' FROM DUAL WHERE 1").value(),
                    "mine"
                );
            }
        }
    }
    let long = vec![b'a'; 3 << 20];
    for command in [
        Command::Ping,
        Command::ResetConnection,
        Command::ProcessKill,
        Command::SetOption,
        Command::StmtReset,
        Command::StmtClose,
    ] {
        let mut client = dormouse.connect(&who);
        client.command(command, &long);
        if command != Command::StmtClose {
            assert_eq!(client.receive().unwrap()[0], 0xff, "{command:?}");
        }
        assert_eq!(
            client.query("SELECT 'mine' FROM DUAL WHERE 1").value(),
            "mine"
        );
    }
    assert_eq!(owner.query("SELECT COUNT(*) FROM d.t").value(), "2");
}

#[test]
fn profiles_are_not_visible_to_the_next_session() {
    let (dormouse, who, mut owner) = crowded();
    owner.query("SET profiling = 1").ok();
    owner.query("SELECT 'a secret' FROM DUAL WHERE 1").value();
    owner.query("SET profiling = 0").ok();
    // its backend, the only one, is closed with it
    owner.command(Command::Quit, b"");
    let mut other = dormouse.connect(&who);
    assert_eq!(other.query("SHOW PROFILES"), Reply::Rows(Vec::new()));
}

#[test]
fn a_session_uses_the_sql_mode_announced_at_its_login() {
    let (dormouse, who, mut owner) = crowded();
    for (mode, flag, expected) in [
        ("NO_BACKSLASH_ESCAPES", Status::NO_BACKSLASH_ESCAPES, "4"),
        ("", Status(0), "2"),
    ] {
        owner.query(&format!("SET GLOBAL sql_mode = '{mode}'")).ok();
        let mut client = Client::tcp(dormouse.address());
        let ok = client.login(&who.user, &who.password, None).ok();
        assert!(ok.status.contains(flag), "{mode}");
        let other = if mode.is_empty() {
            "NO_BACKSLASH_ESCAPES"
        } else {
            ""
        };
        owner
            .query(&format!("SET GLOBAL sql_mode = '{other}'"))
            .ok();
        let length = r"SELECT LENGTH('\\\\') FROM DUAL WHERE 1";
        assert_eq!(client.query(length).value(), expected, "{mode}");
    }
}
