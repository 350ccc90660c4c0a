//! Limits of the server that Dormouse enforces.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, Reply};
use dormouse_wire::command::Command;

/// The value on the server between statements that ask for it: a stored function shows it.
const ON_THE_SERVER: &str = "SELECT d.present()";
const HIGHEST: &str = "31536000";

fn one(limits: &str) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[limits]\n{limits}\n"
    ));
    let who = dormouse.create("shop", &[]);
    (dormouse, who)
}

/// Makes the function of [`ON_THE_SERVER`].
fn make_function(client: &mut Client) {
    client.query("CREATE DATABASE d").ok();
    client
        .query("CREATE FUNCTION d.present() RETURNS BIGINT RETURN @@wait_timeout")
        .ok();
}

fn shown(client: &mut Client) -> String {
    client.query("SELECT @@wait_timeout").value()
}

#[test]
fn a_session_ends_after_its_own_wait_timeout_also_while_the_database_sleeps() {
    let (dormouse, who) = one("");
    let mut other = dormouse.connect(&who);
    make_function(&mut other);
    let mut client = dormouse.connect(&who);
    assert_eq!(shown(&mut client), "28800");
    client.query("SET SESSION wait_timeout = 1 + 1").ok();
    assert_eq!(shown(&mut client), "2");
    let listed = client.query("SHOW VARIABLES LIKE 'wait_timeout'").rows();
    assert_eq!(listed[0][1].as_deref(), Some("2"));
    assert_eq!(client.query(ON_THE_SERVER).value(), HIGHEST);
    let _ = dormouse.json(&["park", "shop"]);
    assert!(client.receive().is_err(), "it says something");
    assert_eq!(dormouse.state("shop"), "parked");
    assert_eq!(shown(&mut other), "28800");
}

#[test]
fn wait_timeout_follows_the_session_and_is_never_set_on_a_server() {
    let (dormouse, who) = one("wait_timeout = \"90s\"\ninteractive_timeout = \"100s\"");
    let mut client = dormouse.connect(&who);
    make_function(&mut client);
    client
        .query("SET NAMES utf8mb4, @@SESSION.wait_timeout = 2147483")
        .ok();
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(client.query(ON_THE_SERVER).value(), HIGHEST);
    assert_eq!(shown(&mut client), "2147483");
    let id = client.prepare("SELECT @@wait_timeout");
    client.command(
        Command::StmtExecute,
        &[&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat(),
    );
    let rows = client.binary_reply();
    assert!(
        rows.iter()
            .any(|row| row.ends_with(&2_147_483_u64.to_le_bytes())),
        "{rows:?}"
    );
    assert_eq!(client.query("SELECT ROW_COUNT()").value(), "-1");
    client.query("SET wait_timeout = DEFAULT").ok();
    assert_eq!(shown(&mut client), "90");
    client.query("SET wait_timeout = 7").ok();
    client.command(Command::ResetConnection, b"");
    assert_eq!(client.receive().unwrap()[0], 0);
    assert_eq!(shown(&mut client), "90");

    let mut person = Client::tcp(dormouse.address());
    let mut login = person.login_packet(&who.user, &who.password, None);
    // CLIENT_INTERACTIVE
    login[1] |= 4;
    person.send(&login);
    assert_eq!(person.receive().unwrap()[0], 0);
    assert_eq!(shown(&mut person), "100");
    // only the login of an interactive client differs
    person.query("SET wait_timeout = DEFAULT").ok();
    assert_eq!(shown(&mut person), "90");
    person.query("SET wait_timeout = 100").ok();
    person.command(Command::ResetConnection, b"");
    assert_eq!(person.receive().unwrap()[0], 0);
    assert_eq!(shown(&mut person), "90");
}

#[test]
fn a_running_statement_is_not_idle() {
    let (dormouse, who) = one("");
    let mut client = dormouse.connect(&who);
    client.query("SET wait_timeout = 1").ok();
    assert_eq!(client.query("SELECT SLEEP(4)").value(), "0");
}

#[test]
fn an_idle_transaction_is_rolled_back_and_its_session_closed() {
    let (dormouse, who) = one("idle_transaction_timeout = \"1s\"");
    let mut other = dormouse.connect(&who);
    other.query("CREATE DATABASE s").ok();
    other.query("CREATE TABLE s.t (i INT PRIMARY KEY)").ok();
    let mut client = dormouse.connect(&who);
    client.query("BEGIN").ok();
    client.query("INSERT INTO s.t VALUES (1)").ok();
    assert!(client.receive().is_err(), "it says something");
    other.query("INSERT INTO s.t VALUES (1)").ok();
}

fn log_in(dormouse: &Dormouse, user: &str) -> (Client, Reply) {
    let mut client = Client::tcp(dormouse.address());
    let reply = client.login(user, "pw", None);
    (client, reply)
}

#[test]
fn the_session_limit_of_an_account_is_enforced() {
    let (dormouse, who) = one("");
    let mut admin = dormouse.connect(&who);
    for statement in [
        "CREATE USER limited IDENTIFIED BY 'pw' WITH MAX_USER_CONNECTIONS 1",
        "CREATE USER plain IDENTIFIED BY 'pw' WITH MAX_USER_CONNECTIONS 2",
    ] {
        admin.query(statement).ok();
    }
    let (mut first, reply) = log_in(&dormouse, "shop.limited");
    reply.ok();
    assert_eq!(first.query("SELECT 1").value(), "1");
    let (_, reply) = log_in(&dormouse, "shop.limited");
    let error = reply.err();
    assert_eq!((error.code, &error.sqlstate), (1226, b"42000"));
    assert!(
        error.message.contains("max_user_connections"),
        "{}",
        error.message
    );
    first.command(Command::Quit, b"");
    assert!(first.receive().is_err());
    // other capabilities: the backend of the first client cannot serve it
    let mut again = Client::tcp(dormouse.address());
    let mut login = again.login_packet("shop.limited", "pw", None);
    // CLIENT_FOUND_ROWS
    login[0] |= 2;
    again.send(&login);
    assert_eq!(again.receive().unwrap()[0], 0);
    assert_eq!(again.query("SELECT 1").value(), "1");

    let (_one, reply) = log_in(&dormouse, "shop.plain");
    reply.ok();
    let (mut changing, reply) = log_in(&dormouse, "shop.plain");
    reply.ok();
    let (_, reply) = log_in(&dormouse, "shop.plain");
    assert_eq!(reply.err().code, 1226);
    assert_eq!(changing.query("SELECT 1").value(), "1");
}

#[test]
fn the_global_limit_of_sessions_is_that_of_a_server_with_its_defaults() {
    let (dormouse, who) = one("");
    let mut admin = dormouse.connect(&who);
    let id = admin.prepare("SELECT @@max_user_connections");
    let shown = |admin: &mut Client| {
        let mut shown = Vec::new();
        for text in [
            "SELECT @@max_user_connections",
            "SELECT @@GLOBAL.max_user_connections",
            "SELECT CONCAT(@@SESSION.max_user_connections)",
            "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'max_user_connections'",
            "SELECT VARIABLE_VALUE FROM information_schema.SESSION_VARIABLES WHERE VARIABLE_NAME = 'max_user_connections'",
            "SELECT CONCAT_WS(' ', SESSION_VALUE, GLOBAL_VALUE, GLOBAL_VALUE_ORIGIN, DEFAULT_VALUE) \
             FROM information_schema.SYSTEM_VARIABLES WHERE VARIABLE_NAME = 'max_user_connections'",
        ] {
            shown.push(admin.query(text).value());
        }
        let row = admin
            .query("SHOW VARIABLES LIKE 'max_user_connections'")
            .rows();
        shown.extend(row[0][1].clone());
        admin.command(
            Command::StmtExecute,
            &[&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat(),
        );
        let rows = admin.binary_reply();
        // a header, the bits of NULLs, a BIGINT or an INT
        shown.push(format!("{:?}", &rows[rows.len() - 2][2..6]));
        shown
    };
    let expected = [
        "0",
        "0",
        "0",
        "0",
        "0",
        "0 0 COMPILE-TIME 0",
        "0",
        "[0, 0, 0, 0]",
    ];
    assert_eq!(shown(&mut admin), expected);
    for text in [
        "SET GLOBAL max_user_connections = 2",
        "SET GLOBAL max_user_connections = 0",
        "SET @@GLOBAL.max_user_connections = DEFAULT",
        "EXECUTE IMMEDIATE 'SET GLOBAL max_user_connections = 2'",
    ] {
        let error = admin.query(text).err();
        // seen on 10.11 and 11.8
        let message = "The MariaDB server is running with the --max-user-connections=0 option so it cannot execute this statement";
        assert_eq!((error.code, &error.sqlstate), (1290, b"HY000"), "{text}");
        assert_eq!(error.message, message, "{text}");
    }
    let error = admin.query("SET max_user_connections = 2").err();
    assert_eq!(error.code, 1621, "{}", error.message);
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(admin.query("SELECT @@max_user_connections").value(), "0");
    assert_eq!(
        admin.query("SELECT @@GLOBAL.max_user_connections").value(),
        "0"
    );
    let _ = dormouse.json(&["park", "shop"]);
    assert_eq!(shown(&mut admin), expected);
}
