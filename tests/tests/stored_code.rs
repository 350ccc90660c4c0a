//! Stored code that changes its caller's session in ways that no reply reports: user locks, variables, sequences.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, Reply};
use dormouse_wire::command::Command;

/// One backend for all sessions of a database that never sleeps by itself.
fn one() -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [pool]\nbackends_max = 1\nlease_timeout = \"100ms\"\n",
    );
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (i INT)",
        "CREATE TABLE s.u (i INT)",
        "CREATE SEQUENCE s.q",
        "CREATE FUNCTION s.locks() RETURNS INT RETURN GET_LOCK('a', 0)",
        "CREATE FUNCTION s.sets() RETURNS INT BEGIN SELECT 5 INTO @x; RETURN 1; END",
        "CREATE FUNCTION s.advances() RETURNS INT RETURN NEXTVAL(s.q)",
        "CREATE TRIGGER s.locks BEFORE INSERT ON s.t FOR EACH ROW SET NEW.i = GET_LOCK('a', 0)",
        "CREATE TRIGGER s.sets BEFORE INSERT ON s.u FOR EACH ROW SET NEW.i = (@x := 5)",
        "CREATE VIEW s.locks AS SELECT GET_LOCK('a', 0)",
        "CREATE VIEW s.calls AS SELECT s.locks()",
        "CREATE PROCEDURE s.lock_inside() SELECT GET_LOCK('a', 0) INTO @y",
        "CREATE FUNCTION s.goes_on() RETURNS INT BEGIN CALL s.lock_inside(); RETURN 1; END",
        "CREATE PROCEDURE s.makes() EXECUTE IMMEDIATE \
         'CREATE FUNCTION s.made() RETURNS INT RETURN GET_LOCK(''a'', 0)'",
    ] {
        client.query(text).ok();
    }
    (dormouse, who)
}

/// A client in the schema: code of another one changes the schema for a moment, which is reported.
fn inside(dormouse: &Dormouse, who: &Created) -> Client {
    let mut client = dormouse.connect(who);
    client.query("USE s").ok();
    client
}

/// Runs a text, whatever it answers.
fn run(client: &mut Client, text: &str) {
    if let Reply::Err(error) = client.query(text) {
        panic!("{text}: {error:?}");
    }
}

/// A statement that needs a backend of the session's own state.
const ELSEWHERE: &str = "SELECT COUNT(*) FROM s.t";

#[test]
fn a_lock_that_stored_code_takes_keeps_the_backend() {
    let (dormouse, who) = one();
    let mut first = inside(&dormouse, &who);
    let mut second = inside(&dormouse, &who);
    for text in [
        "SELECT s.locks()",
        "DO s.locks()",
        "INSERT INTO s.t VALUES (1)",
        "SELECT * FROM s.locks",
        "SELECT * FROM s.calls",
        "SELECT s.goes_on()",
        "BEGIN NOT ATOMIC CALL s.makes(); END",
        "SELECT s.made()",
    ] {
        run(&mut first, text);
        if text.contains("makes") {
            continue;
        }
        let refused = second.query(ELSEWHERE).err();
        assert_eq!(refused.code, 1040, "{text}");
        assert!(refused.message.contains("user_lock"), "{text}: {refused:?}");
        let mine = "SELECT IS_USED_LOCK('a') = CONNECTION_ID()";
        assert_eq!(first.query(mine).value(), "1", "{text}");
        run(&mut first, "DO RELEASE_ALL_LOCKS()");
        run(&mut second, ELSEWHERE);
    }
    let id = first.prepare("SELECT s.locks()");
    let execute = [&id.to_le_bytes()[..], &[0, 1, 0, 0, 0]].concat();
    first.command(Command::StmtExecute, &execute);
    let _row = first.binary_reply();
    assert_eq!(second.query(ELSEWHERE).err().code, 1040);
    run(&mut first, "DO RELEASE_ALL_LOCKS()");
    run(&mut second, ELSEWHERE);
}

#[test]
fn a_variable_that_stored_code_sets_moves_with_its_session() {
    let (dormouse, who) = one();
    for text in ["SELECT s.sets()", "INSERT INTO s.u VALUES (1)"] {
        let mut first = inside(&dormouse, &who);
        let mut second = inside(&dormouse, &who);
        run(&mut first, text);
        let other = "SELECT @x FROM s.t RIGHT JOIN (SELECT 1) o ON 1 LIMIT 1";
        assert_eq!(second.query(other).value(), "NULL", "{text}");
        assert_eq!(first.query("SELECT @x").value(), "5", "{text}");
    }
}

#[test]
fn a_sequence_that_stored_code_advances_is_not_told_to_others() {
    let (dormouse, who) = one();
    let mut first = inside(&dormouse, &who);
    let mut second = inside(&dormouse, &who);
    run(&mut first, "SELECT s.advances()");
    assert_eq!(second.query("SELECT LASTVAL(s.q)").value(), "NULL");
    // whoever has asked for one keeps its backend
    drop(second);
    assert_eq!(first.query("SELECT LASTVAL(s.q)").err().code, 1235);
}

#[test]
fn code_that_another_session_makes_counts_at_once_and_after_a_start() {
    let (mut dormouse, who) = one();
    let mut maker = dormouse.connect(&who);
    for text in [
        "DROP SCHEMA s",
        "CREATE SCHEMA s",
        "CREATE TABLE s.t (i INT)",
        "CREATE FUNCTION s.harmless() RETURNS INT RETURN 1",
    ] {
        run(&mut maker, text);
    }
    drop(maker);
    let _ = dormouse.json(&["park", "shop"]);
    let mut first = inside(&dormouse, &who);
    let mut second = inside(&dormouse, &who);
    // nothing is hidden yet
    run(&mut first, "SELECT s.harmless()");
    run(&mut second, ELSEWHERE);
    run(
        &mut second,
        "CREATE FUNCTION s.locks() RETURNS INT RETURN GET_LOCK('a', 0)",
    );
    run(&mut first, "SELECT s.locks()");
    assert_eq!(second.query(ELSEWHERE).err().code, 1040);
    run(&mut first, "DO RELEASE_ALL_LOCKS()");

    let _ = dormouse.json(&["park", "shop"]);
    run(&mut first, "SELECT s.locks()");
    assert_eq!(second.query(ELSEWHERE).err().code, 1040);
    run(&mut first, "DO RELEASE_ALL_LOCKS()");
    drop((first, second));

    dormouse.stop();
    dormouse.up();
    let mut first = inside(&dormouse, &who);
    let mut second = inside(&dormouse, &who);
    run(&mut first, "SELECT s.locks()");
    assert_eq!(second.query(ELSEWHERE).err().code, 1040);
}
