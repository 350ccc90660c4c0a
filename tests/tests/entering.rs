//! `USE` while the database sleeps: it is answered only if the server would let the account into the schema.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, Reply};
use dormouse_wire::command::Command;

fn one() -> (Dormouse, Created) {
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
    let who = dormouse.create("shop", &[]);
    let mut admin = dormouse.connect(&who);
    for text in [
        "CREATE SCHEMA mine",
        "CREATE SCHEMA others",
        "CREATE SCHEMA by_role",
        "CREATE USER bob IDENTIFIED BY 'b'",
        "CREATE ROLE reader",
        "GRANT SELECT ON mine.* TO bob",
        "GRANT SELECT ON by_role.* TO reader",
        "GRANT reader TO bob",
    ] {
        admin.query(text).ok();
    }
    (dormouse, who)
}

fn bob(dormouse: &Dormouse) -> Client {
    let who = Created {
        user: "shop.bob".to_owned(),
        password: "b".to_owned(),
    };
    dormouse.connect(&who)
}

/// The outcome on a database that sleeps, and whether it has woken.
fn asleep(dormouse: &Dormouse, mut how: impl FnMut() -> u16) -> (u16, bool) {
    let _ = dormouse.json(&["park", "shop"]);
    let code = how();
    (code, dormouse.state("shop") != "parked")
}

fn code(reply: Reply) -> u16 {
    match reply {
        Reply::Err(error) => error.code,
        _ => 0,
    }
}

fn enter(client: &mut Client, schema: &str) -> u16 {
    code(client.query(&format!("USE {schema}")))
}

fn init_db(client: &mut Client, schema: &str) -> u16 {
    client.command(Command::InitDb, schema.as_bytes());
    code(client.result().unwrap())
}

#[test]
fn a_schema_is_entered_asleep_once_a_server_has_let_the_account_in() {
    let (dormouse, who) = one();
    let mut admin = dormouse.connect(&who);
    for how in [enter, init_db] {
        // as after every change of privileges
        admin.query("FLUSH PRIVILEGES").ok();
        let mut client = bob(&dormouse);
        let mut into = |schema: &str| asleep(&dormouse, || how(&mut client, schema));
        assert_eq!(into("others"), (1044, true));
        assert_eq!(into("others"), (1044, true));
        assert_eq!(into("mine"), (0, true), "nobody knows yet");
        assert_eq!(into("mine"), (0, false));
        assert_eq!(into("others"), (1044, true));
        assert_eq!(into("information_schema"), (0, true));
        assert_eq!(into("information_schema"), (0, false));
        // other sessions of the account know as well, its owner knows all
        let mut second = bob(&dormouse);
        let into = |client: &mut Client, schema: &str| asleep(&dormouse, || how(client, schema));
        assert_eq!(into(&mut second, "mine"), (0, false));
        assert_eq!(into(&mut admin, "others"), (0, false));

        admin.query("REVOKE SELECT ON mine.* FROM bob").ok();
        assert_eq!(into(&mut second, "mine"), (1044, true));
        admin.query("GRANT SELECT ON mine.* TO bob").ok();
        assert_eq!(into(&mut second, "mine"), (0, true));
    }
}

#[test]
fn a_schema_that_a_role_opens_is_open_to_that_role_alone() {
    let (dormouse, _who) = one();
    let mut with_role = bob(&dormouse);
    let mut without = bob(&dormouse);
    with_role.query("SET ROLE reader").ok();
    let into = |client: &mut Client| asleep(&dormouse, || enter(client, "by_role"));
    assert_eq!(into(&mut with_role), (0, true));
    assert_eq!(into(&mut with_role), (0, false));
    assert_eq!(into(&mut without), (1044, true));
    with_role.query("SET ROLE NONE").ok();
    assert_eq!(into(&mut with_role), (1044, true));
}

#[test]
fn the_schema_of_a_login_counts() {
    let (dormouse, _who) = one();
    let log_in = |schema: &str| {
        let mut client = Client::tcp(dormouse.address());
        (code(client.login("shop.bob", "b", Some(schema))), client)
    };
    assert_eq!(log_in("others").0, 1044, "it is awake");
    let (entered, mut client) = log_in("mine");
    assert_eq!(entered, 0);
    assert_eq!(asleep(&dormouse, || enter(&mut client, "mine")), (0, false));
}
