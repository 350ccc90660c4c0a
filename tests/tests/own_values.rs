//! Settings of a session that its backends have otherwise: those of a login that a reset drops,
//! `session_track_state_change`, and global values of the time when it began.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse};
use dormouse_wire::auth::{NATIVE, native};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::login::ChangeUser;
use dormouse_wire::reply::SessionChange;

/// One backend for all sessions of a database that never sleeps by itself.
fn one() -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[pool]\nbackends_max = 1\n",
    );
    let who = dormouse.create("shop", &[]);
    (dormouse, who)
}

fn with(dormouse: &Dormouse, who: &Created, capability: Capabilities) -> Client {
    let mut client = Client::tcp(dormouse.address());
    client.capabilities |= capability;
    client.login(&who.user, &who.password, None).ok();
    client
}

fn park(dormouse: &Dormouse) {
    let _ = dormouse.json(&["park", "shop"]);
}

/// A query that only the server answers.
fn on_server(client: &mut Client, expression: &str) -> String {
    let text = format!("SELECT {expression} FROM information_schema.ENGINES LIMIT 1");
    client.query(&text).value()
}

#[test]
fn ignore_space_of_a_login_lasts_until_a_reset() {
    let (dormouse, who) = one();
    const SPACE: &str = "@@sql_mode LIKE '%IGNORE_SPACE%'";
    let mut other = dormouse.connect(&who);
    for ends in ["reset", "change of user"] {
        let mut client = with(&dormouse, &who, Capabilities::IGNORE_SPACE);
        assert_eq!(on_server(&mut client, SPACE), "1");
        // another session has used its backend, and set it up for itself
        other.query("SET time_zone = '+01:00'").ok();
        assert_eq!(on_server(&mut other, SPACE), "0");
        assert_eq!(on_server(&mut client, SPACE), "1");
        park(&dormouse);
        let mode = client.query("SELECT @@sql_mode").value();
        assert!(mode.starts_with("IGNORE_SPACE,"), "{mode}");
        assert_eq!(on_server(&mut client, SPACE), "1");
        if ends == "reset" {
            client.command(Command::ResetConnection, b"");
        } else {
            let salt = client.greeting.as_ref().unwrap().salt;
            let login = ChangeUser {
                user: b"admin".to_vec(),
                auth: native::reply(&native::stage1(who.password.as_bytes()), &salt).to_vec(),
                schema: None,
                collation: 45,
                plugin: Some(NATIVE.to_owned()),
                attributes: Vec::new(),
            };
            // the packet has the command's byte already
            let packet = login.encode(client.capabilities);
            client.command(Command::ChangeUser, &packet[1..]);
        }
        assert_eq!(client.receive().unwrap()[0], 0, "{ends}");
        assert_eq!(on_server(&mut client, SPACE), "0", "{ends}");
        park(&dormouse);
        let mode = client.query("SELECT @@sql_mode").value();
        assert!(!mode.contains("IGNORE_SPACE"), "{ends}: {mode}");
        assert_eq!(on_server(&mut client, SPACE), "0", "{ends}");
    }
}

/// Whether the client is told that the statement has changed state.
fn is_told(client: &mut Client, text: &str) -> bool {
    let ok = client.query(text).ok();
    let told = |change: &SessionChange| matches!(change, SessionChange::State(_));
    ok.session_changes.iter().any(told)
}

#[test]
fn a_client_sees_its_own_tracking_of_state() {
    let (dormouse, who) = one();
    const OWN: &str = "@@session_track_state_change";
    let mut client = with(&dormouse, &who, Capabilities::SESSION_TRACK);
    // read in every form, and set to what was read
    for text in [
        "SET @old = @@session_track_state_change",
        "BEGIN NOT ATOMIC SET @old = @@session_track_state_change; END",
        "EXECUTE IMMEDIATE 'SET @old = @@session_track_state_change'",
        "PREPARE p FROM 'SET @old = @@session_track_state_change'",
        "EXECUTE p",
        "SET session_track_state_change = @old",
        "EXECUTE IMMEDIATE 'SET session_track_state_change = @old'",
    ] {
        client.query(text).ok();
        assert!(!is_told(&mut client, "SET @a = 1"), "{text}");
        assert_eq!(
            client.query(&format!("SELECT {OWN}")).value(),
            "0",
            "{text}"
        );
    }
    assert_eq!(on_server(&mut client, "@old"), "0");
    client.query("DEALLOCATE PREPARE p").ok();

    for text in [
        "SET session_track_state_change = 1",
        "BEGIN NOT ATOMIC SET session_track_state_change = ON; END",
        "EXECUTE IMMEDIATE 'SET session_track_state_change = TRUE'",
    ] {
        client.query(text).ok();
        for _ in 0..2 {
            assert!(is_told(&mut client, "SET @a = 1"), "{text}");
            assert_eq!(on_server(&mut client, OWN), "1", "{text}");
            park(&dormouse);
            assert_eq!(
                client.query(&format!("SELECT {OWN}")).value(),
                "1",
                "{text}"
            );
            assert_eq!(on_server(&mut client, OWN), "1", "{text}");
        }
        client
            .query("SET session_track_state_change = DEFAULT")
            .ok();
        assert!(!is_told(&mut client, "SET @a = 1"), "{text}");
        assert_eq!(on_server(&mut client, OWN), "0", "{text}");
    }
    client.query("SET session_track_state_change = 1").ok();
    client.command(Command::ResetConnection, b"");
    assert_eq!(client.receive().unwrap()[0], 0);
    assert!(!is_told(&mut client, "SET @a = 1"));
}

#[test]
fn a_client_that_switches_tracking_off_loses_nothing() {
    let (dormouse, who) = one();
    let mut other = dormouse.connect(&who);
    for text in [
        "CREATE SCHEMA s",
        "CREATE FUNCTION s.sets() RETURNS INT BEGIN SET @x = 5; RETURN 1; END",
        "CREATE PROCEDURE s.off() EXECUTE IMMEDIATE CONCAT('SET session_track_state_change', ' = 0')",
    ] {
        other.query(text).ok();
    }
    for text in [
        "SET session_track_state_change = 0",
        "SET session_track_state_change = 0, time_zone = '+01:00'",
        "BEGIN NOT ATOMIC SET session_track_state_change = OFF; END",
        "EXECUTE IMMEDIATE 'SET session_track_state_change = 0'",
        "CALL s.off()",
    ] {
        let mut client = dormouse.connect(&who);
        client.query("USE s").ok();
        client.query(text).ok();
        // moved once, with the setting
        other.query("CREATE OR REPLACE TABLE s.t (i INT)").ok();
        assert_eq!(client.query("SELECT sets()").value(), "1", "{text}");
        other.query("CREATE OR REPLACE TABLE s.t (i INT)").ok();
        assert_eq!(client.query("SELECT @x").value(), "5", "{text}");
    }
}

#[test]
fn what_is_told_of_transactions_is_told_on_a_database_that_sleeps_too() {
    let (dormouse, who) = one();
    let mut client = with(&dormouse, &who, Capabilities::SESSION_TRACK);
    client
        .query("SET session_track_transaction_info = 'CHARACTERISTICS'")
        .ok();
    const STATEMENTS: [&str; 5] = [
        "BEGIN",
        "COMMIT",
        "SET TRANSACTION READ ONLY",
        "START TRANSACTION",
        "ROLLBACK",
    ];
    let told = STATEMENTS.map(|text| client.query(text).ok().session_changes);
    for (text, told) in STATEMENTS.iter().zip(told) {
        assert!(!told.is_empty(), "{text}");
        if !["COMMIT", "ROLLBACK"].contains(text) {
            park(&dormouse);
        }
        assert_eq!(client.query(text).ok().session_changes, told, "{text}");
    }
}

#[test]
fn a_session_keeps_the_global_values_with_which_it_began() {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[pool]\nbackends_max = 2\n",
    );
    let who = dormouse.create("shop", &[]);
    const OWN: &str = "@@group_concat_max_len, @@long_query_time";
    let both = |client: &mut Client| {
        let text = format!("SELECT CONCAT_WS(' ', {OWN}) FROM information_schema.ENGINES LIMIT 1");
        client.query(&text).value()
    };
    let mut first = dormouse.connect(&who);
    let mut early = dormouse.connect(&who);
    let old = both(&mut first);
    let mut second = dormouse.connect(&who);
    second.query("SET GLOBAL group_concat_max_len = 5555").ok();
    second.query("SET GLOBAL long_query_time = 7").ok();
    // takes the backend of the session that is idle for longest
    let mut third = dormouse.connect(&who);
    assert_eq!(both(&mut third), "5555 7.000000");
    assert_eq!(both(&mut first), old);
    assert_eq!(both(&mut second), old);
    // it has had no backend yet, and then sets one of them itself
    assert_eq!(both(&mut early), old);
    early.query("SET group_concat_max_len = 777").ok();
    assert_eq!(both(&mut third), "5555 7.000000");
    assert_eq!(both(&mut second), old);
    let (_, time) = old.split_once(' ').unwrap();
    assert_eq!(both(&mut early), format!("777 {time}"));
    park(&dormouse);
    assert_eq!(both(&mut first), old);
    assert_eq!(both(&mut dormouse.connect(&who)), "5555 7.000000");
    park(&dormouse);
    // asleep, and after a later change
    let text = "SELECT @@group_concat_max_len";
    assert_eq!(early.query(text).value(), "777");
    second.query("SET GLOBAL group_concat_max_len = 6666").ok();
    assert_eq!(both(&mut third), "5555 7.000000");
    early.command(Command::ResetConnection, b"");
    assert_eq!(early.receive().unwrap()[0], 0);
    assert_eq!(both(&mut early), "6666 7.000000");
    assert_eq!(both(&mut first), old);
}
