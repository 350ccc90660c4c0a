//! Every command works, with and without EOF packets, and across sleeps.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use dormouse_testkit::{Client, Created, Dormouse, Reply, process};
use dormouse_wire::auth::{NATIVE, native};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::login::ChangeUser;
use dormouse_wire::reply::{ErrPacket, OkPacket};

fn shop() -> (Dormouse, Created) {
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client
        .query("CREATE TABLE app.t (i INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT)")
        .ok();
    (dormouse, who)
}

/// Both kinds of client: with EOF packets and without. Neither requests session tracking, whose
/// packets differ after a sleep.
fn both(dormouse: &Dormouse, who: &Created) -> [Client; 2] {
    [true, false].map(|deprecate| {
        let mut client = Client::tcp(dormouse.address());
        client.capabilities = client
            .capabilities
            .set(Capabilities::SESSION_TRACK, false)
            .set(Capabilities::DEPRECATE_EOF, deprecate);
        client.login(&who.user, &who.password, Some("app")).ok();
        client
    })
}

/// `COM_STMT_EXECUTE` with one VARCHAR parameter.
fn execute(id: u32, value: &str, types: bool, flags: u8) -> Vec<u8> {
    let mut argument = id.to_le_bytes().to_vec();
    argument.push(flags);
    argument.extend_from_slice(&1u32.to_le_bytes());
    argument.push(0); // no NULL
    argument.push(u8::from(types));
    if types {
        argument.extend_from_slice(&[0xfd, 0]);
    }
    argument.push(u8::try_from(value.len()).unwrap());
    argument.extend_from_slice(value.as_bytes());
    argument
}

fn nap(dormouse: &Dormouse, order: &str) {
    let _ = dormouse.json(&[order, "shop"]);
}

#[test]
fn several_statements_and_several_results() {
    let (dormouse, who) = shop();
    for mut client in both(&dormouse, &who) {
        assert_eq!(client.query("SELECT 1; SELECT 2; SELECT 3").value(), "3");
        client
            .query("CREATE OR REPLACE PROCEDURE p() BEGIN SELECT 4; SELECT 5; END")
            .ok();
        client.query("CALL p()").ok();
        assert_eq!(client.query("SELECT 1; SELECT nowhere").err().code, 1054);
        assert_eq!(client.query("SELECT 6").value(), "6");
    }
}

#[test]
fn prepared_statements_survive_sleeps_and_a_kill_with_their_types() {
    let (dormouse, who) = shop();
    for mut client in both(&dormouse, &who) {
        let first = client.prepare("SELECT CONCAT(?, '!')");
        let second = client.prepare("SELECT UPPER(?)");
        assert_eq!((first, second), (1, 2));
        client.command(Command::StmtExecute, &execute(first, "one", true, 0));
        let before = client.binary_reply();
        assert!(before.len() > 2);
        for order in ["suspend", "park", "kill"] {
            match order {
                "kill" => process::kill(dormouse.server("shop")),
                _ => nap(&dormouse, order),
            }
            // drivers do not send the types twice
            client.command(Command::StmtExecute, &execute(first, "one", false, 0));
            assert_eq!(client.binary_reply(), before, "after {order}");
            client.command(Command::StmtExecute, &execute(second, "two", true, 0));
            assert!(client.binary_reply().len() > 2);
        }
        client.command(Command::StmtClose, &first.to_le_bytes());
        client.command(Command::StmtExecute, &execute(first, "one", true, 0));
        assert_eq!(
            ErrPacket::parse(&client.receive().unwrap()).unwrap().code,
            1243
        );
        // the one prepared last
        client.command(Command::StmtExecute, &execute(u32::MAX, "two", true, 0));
        assert!(client.binary_reply().len() > 2);
    }
}

#[test]
fn a_statement_is_prepared_again_in_its_original_schema() {
    let (dormouse, who) = shop();
    let [mut client, _] = both(&dormouse, &who);
    client.query("CREATE DATABASE other").ok();
    client.query("CREATE TABLE other.t (i INT)").ok();
    client.query("INSERT INTO app.t (v) VALUES ('here')").ok();
    let id = client.prepare("SELECT COUNT(*), ? FROM t");
    client.query("USE other").ok();
    client.command(Command::StmtExecute, &execute(id, "x", true, 0));
    let before = client.binary_reply();
    nap(&dormouse, "park");
    client.command(Command::StmtExecute, &execute(id, "x", false, 0));
    assert_eq!(client.binary_reply(), before);
    assert_eq!(client.query("SELECT DATABASE() FROM DUAL").value(), "other");
}

#[test]
fn a_cursor_is_read_across_a_suspend_and_vetoes_a_park() {
    let (dormouse, who) = shop();
    for mut client in both(&dormouse, &who) {
        client
            .query("REPLACE INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
            .ok();
        let id = client.prepare("SELECT i FROM t WHERE v <> ? ORDER BY i");
        client.command(Command::StmtExecute, &execute(id, "z", true, 1));
        client.binary_reply();
        nap(&dormouse, "suspend");
        let (parked, said) =
            dormouse_testkit::dormouse::output_of(&mut dormouse.command(&["park", "shop"]));
        assert!(!parked && said.contains("cursor"), "{said}");
        let fetch = [&id.to_le_bytes()[..], &2u32.to_le_bytes()].concat();
        let mut rows = 0;
        for expected in [2, 1] {
            client.command(Command::StmtFetch, &fetch);
            loop {
                let packet = client.receive().unwrap();
                if packet[0] == 0xfe {
                    break;
                }
                rows += 1;
            }
            assert_eq!(rows, expected + if expected == 1 { 2 } else { 0 });
        }
        nap(&dormouse, "park");
        assert_eq!(dormouse.state("shop"), "parked");
    }
}

#[test]
fn long_data_is_collected_and_used_once() {
    let (dormouse, who) = shop();
    let [mut client, _] = both(&dormouse, &who);
    let id = client.prepare("SELECT CONCAT(LENGTH(?), '')");
    let chunk = "x".repeat(40_000);
    let data = [&id.to_le_bytes()[..], &0u16.to_le_bytes(), chunk.as_bytes()].concat();
    client.command(Command::StmtSendLongData, &data);
    client.command(Command::StmtSendLongData, &data);
    let mut argument = id.to_le_bytes().to_vec();
    argument.push(0);
    argument.extend_from_slice(&1u32.to_le_bytes());
    argument.extend_from_slice(&[0, 1, 0xfb, 0]);
    client.command(Command::StmtExecute, &argument);
    let reply = client.binary_reply();
    let row = &reply[reply.len() - 2];
    assert!(row.ends_with(b"80000"), "{row:?}");
}

#[test]
fn a_bulk_execution_keeps_its_types_across_a_park() {
    let (dormouse, who) = shop();
    let [mut client, _] = both(&dormouse, &who);
    client.query("DELETE FROM t").ok();
    let id = client.prepare("INSERT INTO t (v) VALUES (?)");
    let bulk = |types: bool, values: [&str; 2]| {
        let mut argument = id.to_le_bytes().to_vec();
        argument.extend_from_slice(&u16::from(types).rotate_left(7).to_le_bytes());
        if types {
            argument.extend_from_slice(&[0xfd, 0]);
        }
        for value in values {
            argument.push(0);
            argument.push(u8::try_from(value.len()).unwrap());
            argument.extend_from_slice(value.as_bytes());
        }
        argument
    };
    client.command(Command::StmtBulkExecute, &bulk(true, ["a", "b"]));
    assert_eq!(client.binary_reply()[0][0], 0);
    nap(&dormouse, "park");
    client.command(Command::StmtBulkExecute, &bulk(false, ["c", "d"]));
    let reply = client.binary_reply();
    assert_eq!(reply[0][0], 0, "{:?}", ErrPacket::parse(&reply[0]));
    assert_eq!(
        client
            .query("SELECT GROUP_CONCAT(v ORDER BY v) FROM t")
            .value(),
        "a,b,c,d"
    );
}

#[test]
fn a_file_is_loaded_from_the_client_while_the_database_sleeps() {
    let (dormouse, who) = shop();
    for mut client in both(&dormouse, &who) {
        client.query("DELETE FROM t").ok();
        nap(&dormouse, "park");
        client.command(
            Command::Query,
            b"LOAD DATA LOCAL INFILE 'x' INTO TABLE t (v)",
        );
        let request = client.receive().unwrap();
        assert_eq!(request, b"\xfbx");
        let line = format!("{}\n", "y".repeat(50_000));
        for _ in 0..20 {
            client.send(line.as_bytes());
        }
        client.send(b"");
        let ok = OkPacket::parse(&client.receive().unwrap(), client.capabilities).unwrap();
        assert_eq!(ok.affected, 20);
        assert_eq!(
            client.query("SELECT SUM(LENGTH(v)) FROM t").value(),
            "1000000"
        );
    }
}

#[test]
fn packets_beyond_16_mib_work_in_both_directions() {
    let (dormouse, who) = shop();
    dormouse
        .connect(&who)
        .query("SET GLOBAL max_allowed_packet = 67108864")
        .ok();
    for size in [0xff_ffff - 20, 0xff_ffff, 20_000_000, 40_000_000] {
        for mut client in both(&dormouse, &who) {
            let text = format!("SELECT LENGTH('{}')", "x".repeat(size));
            assert_eq!(client.query(&text).value(), size.to_string());
            let value = client.query(&format!("SELECT REPEAT('y', {size})")).value();
            assert_eq!(value.len(), size);
            assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
        }
    }
}

#[test]
fn a_packet_above_the_servers_limit_is_refused_by_the_server() {
    let (dormouse, who) = shop();
    let mut client = dormouse.connect(&who);
    let text = format!("SELECT LENGTH('{}')", "x".repeat(30_000_000));
    match client.try_query(&text) {
        Ok(Reply::Err(error)) => assert_eq!(error.code, 1153),
        // the server closes without reading the rest, and its reply may be truncated
        Err(_) => {}
        Ok(other) => panic!("{other:?}"),
    }
    assert_eq!(
        dormouse.connect(&who).query("SELECT 1 FROM DUAL").value(),
        "1"
    );
}

#[test]
fn sending_a_command_that_the_server_does_not_read_ends() {
    let (dormouse, who) = shop();
    let mut owner = dormouse.connect(&who);
    owner.query("SET GLOBAL max_allowed_packet = 1048576").ok();
    let mut client = dormouse.connect(&who);
    let text = format!("SELECT LENGTH('{}') FROM DUAL", "x".repeat(1_900_000));
    match client.try_query(&text) {
        Ok(Reply::Err(error)) => assert_eq!(error.code, 1153, "{}", error.message),
        // the server closes without reading the rest, and its reply may be truncated
        Err(_) => {}
        Ok(other) => panic!("{other:?}"),
    }
    assert_eq!(owner.query("SELECT 1 FROM DUAL").value(), "1");
}

#[test]
fn a_session_can_change_its_user_and_be_reset_also_asleep() {
    let (dormouse, who) = shop();
    let mut client = dormouse.connect(&who);
    client.query("CREATE USER joe IDENTIFIED BY 'j'").ok();
    client.query("GRANT SELECT ON app.* TO joe").ok();
    for asleep in [false, true] {
        client.query("SET @a = 1").ok();
        if asleep {
            client.command(Command::ResetConnection, b"");
            assert_eq!(client.receive().unwrap()[0], 0);
            nap(&dormouse, "park");
        }
        change_user(&mut client, "shop.joe", "j", Some("app")).ok();
        if asleep {
            assert_eq!(
                dormouse.state("shop"),
                "parked",
                "a change of user woke the database"
            );
        }
        assert_eq!(client.query("SELECT CURRENT_USER()").value(), "joe@%");
        assert_eq!(client.query("SELECT DATABASE() FROM DUAL").value(), "app");
        assert_eq!(client.query("SELECT @a").value(), "NULL");
        change_user(&mut client, "admin", &who.password, None).ok();
        assert_eq!(client.query("SELECT CURRENT_USER()").value(), "admin@%");
    }
}

#[test]
fn a_refused_change_of_user_resets_the_session_and_keeps_its_user() {
    let (dormouse, who) = shop();
    let mut client = Client::tcp(dormouse.address());
    client.login(&who.user, &who.password, Some("app")).ok();
    for asleep in [false, true] {
        client.query("SET @a = 1, time_zone = '+05:00'").ok();
        if asleep {
            nap(&dormouse, "park");
        }
        let refused = change_user(&mut client, "admin", "wrong", None).err();
        assert_eq!(refused.code, 1045, "{}", refused.message);
        let left = "SELECT CONCAT_WS('|', CURRENT_USER(), DATABASE(), COALESCE(@a, 'gone'), @@time_zone) \
                    FROM DUAL WHERE 1";
        assert_eq!(client.query(left).value(), "admin@%|app|gone|SYSTEM");
    }
    let code = |client: &mut Client| change_user(client, "admin", "wrong", None).err().code;
    assert_eq!([(); 3].map(|()| code(&mut client)), [1045, 1047, 1047]);
    // a server would refuse the correct one as well now
    assert_eq!(client.query("SELECT 1 FROM DUAL WHERE 1").value(), "1");
}

#[test]
fn a_refused_change_of_user_closes_a_session_with_another_character_set() {
    let (dormouse, who) = shop();
    let mut client = dormouse.connect(&who);
    client.query("SET NAMES latin1").ok();
    let refused = change_user(&mut client, "admin", "wrong", None).err();
    assert_eq!(refused.code, 1045, "it is told first");
    assert!(client.ping().is_err(), "which character set would it have?");
}

fn change_user(client: &mut Client, user: &str, password: &str, schema: Option<&str>) -> Reply {
    let salt = client.greeting.as_ref().unwrap().salt;
    let login = ChangeUser {
        user: user.as_bytes().to_vec(),
        auth: native::reply(&native::stage1(password.as_bytes()), &salt).to_vec(),
        schema: schema.map(|schema| schema.as_bytes().to_vec()),
        collation: 45,
        plugin: Some(NATIVE.to_owned()),
        attributes: Vec::new(),
    };
    // the packet has the command's byte already
    client.command(Command::ChangeUser, &login.encode(client.capabilities)[1..]);
    let payload = client.receive().unwrap();
    match payload[0] {
        0xff => Reply::Err(ErrPacket::parse(&payload).unwrap()),
        _ => Reply::Ok(OkPacket::parse(&payload, client.capabilities).unwrap()),
    }
}

#[test]
fn created_and_dropped_accounts_take_effect_at_once_awake_and_asleep() {
    let (dormouse, who) = shop();
    let mut client = dormouse.connect(&who);
    let try_login = |user: &str, password: &str| match Client::tcp(dormouse.address())
        .login(user, password, None)
    {
        Reply::Ok(_) => 0,
        Reply::Err(error) => error.code,
        Reply::Rows(_) => panic!("rows in answer to a login"),
    };
    client.query("CREATE USER joe IDENTIFIED BY 'one'").ok();
    assert_eq!(try_login("shop.joe", "one"), 0);
    client
        .query("CREATE USER ann IDENTIFIED BY 'one' ACCOUNT LOCK")
        .ok();
    assert_eq!(try_login("shop.ann", "one"), 4151);
    client
        .query("CREATE USER tom@'10.0.0.1' IDENTIFIED BY 'one'")
        .ok();
    assert_eq!(try_login("shop.tom", "one"), 1045);
    client.query("CREATE USER open").ok();
    assert_eq!(
        (try_login("shop.open", ""), try_login("shop.open", "x")),
        (0, 1045)
    );
    nap(&dormouse, "park");
    assert_eq!(
        (try_login("shop.joe", "one"), try_login("shop.joe", "two")),
        (0, 1045)
    );
    assert_eq!(try_login("shop.ann", "one"), 4151);
    assert_eq!(dormouse.state("shop"), "parked");
    client.query("ALTER USER joe IDENTIFIED BY 'two'").ok();
    assert_eq!(
        (try_login("shop.joe", "one"), try_login("shop.joe", "two")),
        (1045, 0)
    );
    nap(&dormouse, "suspend");
    assert_eq!(
        (try_login("shop.joe", "one"), try_login("shop.joe", "two")),
        (1045, 0)
    );
    let mut joe = Client::tcp(dormouse.address());
    joe.login("shop.joe", "two", None).ok();
    assert_eq!(joe.query("SELECT CURRENT_USER()").value(), "joe@%");
    client
        .query("SET PASSWORD FOR joe = PASSWORD('three')")
        .ok();
    assert_eq!(
        (try_login("shop.joe", "two"), try_login("shop.joe", "three")),
        (1045, 0)
    );
    client.query("DROP USER joe").ok();
    assert_eq!(try_login("shop.joe", "three"), 1045);
    nap(&dormouse, "park");
    assert_eq!(try_login("shop.joe", "three"), 1045);
    // a session of a dropped account is not restored
    assert_eq!(joe.query("SELECT 1 FROM DUAL").err().code, 1045);
}

#[test]
fn a_running_statement_is_killed_by_the_id_of_its_client_or_of_the_server() {
    let (dormouse, who) = shop();
    let mut watcher = dormouse.connect(&who);
    watcher.query("SELECT 1 FROM DUAL").value();
    for (connection, by_server) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut client = dormouse.connect(&who);
        client.query("SELECT 1 FROM DUAL").value();
        let session = client.query("SHOW DORMOUSE SESSION").rows();
        let thread = session
            .iter()
            .find(|row| row[0].as_deref() == Some("server_thread"));
        let of_server: u32 = thread.unwrap()[1].clone().unwrap().parse().unwrap();
        let id = if by_server { of_server } else { client.id() };
        let running = std::thread::spawn(move || (client.try_query("SELECT SLEEP(600)"), client));
        process::until("the statement runs", || {
            let count =
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
            watcher.query(count).value() == "1"
        });
        if connection {
            watcher.command(Command::ProcessKill, &id.to_le_bytes());
            assert_eq!(watcher.receive().unwrap()[0], 0);
        } else {
            watcher.query(&format!("KILL QUERY {id}")).ok();
        }
        let (reply, mut client) = running.join().unwrap();
        if connection {
            assert!(reply.is_err(), "its connection is closed without a reply");
            assert!(
                client.try_query("SELECT 1 FROM DUAL").is_err(),
                "a killed connection is still usable"
            );
        } else {
            let reply = reply.unwrap();
            assert!(matches!(reply, Reply::Err(_)) || reply.value() == "1");
            assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
        }
    }
    for nobody in [4_000_000_000_u32, 4_000_000] {
        assert_eq!(watcher.query(&format!("KILL {nobody}")).err().code, 1094);
    }
}

#[test]
fn a_client_that_disconnects_in_the_middle_of_a_result_leaves_nothing_behind() {
    let (dormouse, who) = shop();
    for _ in 0..20 {
        let mut client = dormouse.connect(&who);
        client.command(
            Command::Query,
            b"SELECT REPEAT('x', 1000) FROM seq_1_to_100000",
        );
        client.receive().unwrap();
    }
    process::until("every session has ended", || {
        dormouse.show("shop")["sessions"] == 0
    });
    nap(&dormouse, "park");
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn pipelined_commands_are_answered_in_order() {
    let (dormouse, who) = shop();
    let mut client = dormouse.connect(&who);
    let mut bytes = Vec::new();
    for n in 0..50 {
        let text = format!("\x03SELECT {n}");
        dormouse_wire::packet::write_packet(&mut bytes, 0, text.as_bytes());
    }
    client.send_raw(&bytes).unwrap();
    for n in 0..50 {
        assert_eq!(client.result().unwrap().value(), n.to_string());
    }
}

#[test]
fn unknown_commands_are_refused() {
    let (dormouse, who) = shop();
    let mut client = dormouse.connect(&who);
    for (command, code) in [(0x08, 1235), (0x12, 1235), (0x00, 1047), (0xee, 1047)] {
        client.send_raw(&[1, 0, 0, 0, command]).unwrap();
        assert_eq!(
            ErrPacket::parse(&client.receive().unwrap()).unwrap().code,
            code
        );
        assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
    }
    client.send_raw(&[1, 0, 0, 7, 0x0e]).unwrap();
    assert_eq!(
        ErrPacket::parse(&client.receive().unwrap()).unwrap().code,
        1156
    );
    assert!(
        client.receive().is_err(),
        "the connection continues out of order"
    );
}
