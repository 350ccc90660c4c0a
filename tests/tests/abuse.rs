//! Clients that guess passwords, flood, lie about their address or never finish what they begin do not harm
//! others.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;

use dormouse_testkit::{Client, Created, Dormouse, Reply, process};
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::ErrPacket;

const STAYS: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

/// A Dormouse with these settings, and a parked database.
fn parked(config: &str) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!("{STAYS}{config}"));
    let who = dormouse.create("shop", &[]);
    let _ = dormouse.json(&["park", "shop"]);
    (dormouse, who)
}

fn guess(dormouse: &Dormouse, from: &str, who: &Created) -> ErrPacket {
    let mut client = Client::tcp_from(from, dormouse.address());
    client.login(&who.user, "wrong", None).err()
}

/// The error that is sent instead of a greeting.
fn turned_away(from: &str, dormouse: &Dormouse) -> ErrPacket {
    let first = Client::silent_from(from, dormouse.address())
        .receive()
        .unwrap();
    ErrPacket::parse(&first).unwrap()
}

fn logs_in(dormouse: &Dormouse, from: &str, who: &Created) -> Client {
    let mut client = Client::tcp_from(from, dormouse.address());
    client.login(&who.user, &who.password, None).ok();
    client
}

#[test]
fn an_address_that_guesses_is_blocked_and_no_other() {
    let (dormouse, who) = parked("[limits]\nfailed_logins_per_minute = 3\n");
    for _ in 0..3 {
        assert_eq!(guess(&dormouse, "127.0.0.2", &who).code, 1045);
    }
    let error = turned_away("127.0.0.2", &dormouse);
    assert_eq!(error.code, 1129);
    assert!(
        error.message.contains("failed_logins_per_minute = 3"),
        "{}",
        error.message
    );
    let _ = logs_in(&dormouse, "127.0.0.1", &who);
    // names of databases can be guessed no faster than passwords
    for name in ["a.admin", "b.admin", "admin"] {
        let mut client = Client::tcp_from("127.0.0.3", dormouse.address());
        let code = client.login(name, "x", None).err().code;
        assert!(matches!(code, 1045 | 1046), "{code}");
    }
    assert_eq!(turned_away("127.0.0.3", &dormouse).code, 1129);
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn many_addresses_that_guess_at_one_database_do_not_lock_out_its_users() {
    let (dormouse, who) = parked("[limits]\nfailed_logins_per_minute_per_database = 5\n");
    let other = dormouse.create("other", &[]);
    let addresses: Vec<_> = (10..30).map(|n| format!("127.0.0.{n}")).collect();
    for from in &addresses {
        assert_eq!(guess(&dormouse, from, &who).code, 1045);
    }
    for from in &addresses {
        // from here on the right password is refused, too
        let mut client = Client::tcp_from(from, dormouse.address());
        let error = client.login(&who.user, &who.password, None).err();
        assert_eq!(error.code, 1129);
        let limit = "failed_logins_per_minute_per_database = 5";
        assert!(error.message.contains(limit), "{}", error.message);
    }
    let _ = logs_in(&dormouse, "127.0.0.40", &who);
    // elsewhere these addresses have done nothing
    let _ = logs_in(&dormouse, &addresses[0], &other);
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn guesses_that_are_begun_at_once_are_counted_too() {
    let (dormouse, who) = parked("[limits]\nfailed_logins_per_minute = 3\n");
    let mut clients: Vec<_> = (0..30)
        .map(|_| Client::tcp_from("127.0.0.2", dormouse.address()))
        .collect();
    let packets: Vec<_> = clients
        .iter()
        .enumerate()
        .map(|(n, client)| {
            let password = if n == 29 {
                who.password.as_str()
            } else {
                "wrong"
            };
            client.login_packet(&who.user, password, None)
        })
        .collect();
    let codes: Vec<_> = clients
        .iter_mut()
        .zip(packets)
        .map(|(client, packet)| {
            client.send(&packet);
            ErrPacket::parse(&client.receive().unwrap()).unwrap().code
        })
        .collect();
    assert_eq!(
        codes.iter().filter(|code| **code == 1045).count(),
        3,
        "{codes:?}"
    );
    assert_eq!(
        codes.iter().filter(|code| **code == 1129).count(),
        27,
        "{codes:?}"
    );
}

#[test]
fn lists_of_addresses_refuse_new_clients_and_end_those_that_are_there() {
    let (dormouse, who) = parked("");
    let other = dormouse.create("other", &[]);
    let mut inside = logs_in(&dormouse, "127.0.0.2", &who);
    let mut outside = logs_in(&dormouse, "127.0.0.3", &who);
    let mut elsewhere = logs_in(&dormouse, "127.0.0.3", &other);
    assert_eq!(outside.query("SELECT 1").value(), "1");
    let shown = dormouse.json(&["set", "shop", "--allow", "127.0.0.2,10.0.0.0/8"]);
    assert_eq!(
        shown["allow"],
        serde_json::json!(["127.0.0.2", "10.0.0.0/8"])
    );
    while outside
        .try_query("SELECT 1")
        .is_ok_and(|reply| matches!(reply, Reply::Rows(_)))
    {}
    assert_eq!(inside.query("SELECT 1").value(), "1");
    assert_eq!(elsewhere.query("SELECT 1").value(), "1");
    let mut client = Client::tcp_from("127.0.0.3", dormouse.address());
    let error = client.login(&who.user, &who.password, None).err();
    assert_eq!(error.code, 1130);
    for part in ["not in the allow list", "database 'shop'", "127.0.0.3"] {
        assert!(error.message.contains(part), "{}", error.message);
    }
    // the Unix socket has no addresses
    Client::unix(dormouse.socket())
        .login(&who.user, &who.password, None)
        .ok();
    let _ = dormouse.json(&["set", "shop", "--allow", "none", "--deny", "127.0.0.2"]);
    while inside
        .try_query("SELECT 1")
        .is_ok_and(|reply| matches!(reply, Reply::Rows(_)))
    {}
    let _ = logs_in(&dormouse, "127.0.0.3", &who);
}

#[test]
fn lists_outlive_a_restart_and_those_of_the_configuration_change_on_sighup() {
    let (mut dormouse, who) = parked("");
    let _ = dormouse.json(&["set", "shop", "--deny", "127.0.0.2"]);
    dormouse.stop();
    dormouse.up();
    let mut client = Client::tcp_from("127.0.0.2", dormouse.address());
    assert_eq!(
        client.login(&who.user, &who.password, None).err().code,
        1130
    );
    let mut there = logs_in(&dormouse, "127.0.0.3", &who);
    dormouse.reconfigure("[access]\ndeny = ['127.0.0.3']\n");
    while there
        .try_query("SELECT 1")
        .is_ok_and(|reply| matches!(reply, Reply::Rows(_)))
    {}
    let error = turned_away("127.0.0.3", &dormouse);
    assert_eq!(error.code, 1130);
    assert!(
        error.message.contains("deny in [access]"),
        "{}",
        error.message
    );
    // an invalid configuration changes nothing
    dormouse.reconfigure("[access]\ndeny = ['127.0.0.3/8']\n");
    process::until("the log says so", || {
        dormouse.log().contains("nothing was read again")
    });
    assert_eq!(turned_away("127.0.0.3", &dormouse).code, 1130);
}

#[test]
fn only_a_trusted_balancer_may_tell_the_clients_address() {
    let (dormouse, who) =
        parked("[proxy_protocol]\ntrusted = ['127.0.0.2']\n[access]\ndeny = ['203.0.113.9']\n");
    let mut admin = logs_in(&dormouse, "127.0.0.1", &who);
    admin
        .query("CREATE USER bo@'203.0.113.%' IDENTIFIED BY 'x'")
        .ok();
    let header = |address: &str| format!("PROXY TCP4 {address} 10.0.0.1 4000 3306\r\n");
    let through = |header: &[u8]| {
        let mut client = Client::silent_from("127.0.0.2", dormouse.address());
        client.send_raw(header).unwrap();
        client
    };
    let mut bo = through(header("203.0.113.7").as_bytes());
    bo.greet();
    bo.login("shop.bo", "x", None).ok();
    assert_eq!(bo.query("SELECT CURRENT_USER()").value(), "bo@203.0.113.%");
    let sessions = admin.query("SHOW DORMOUSE SESSIONS").rows();
    let shown = format!("{sessions:?}");
    assert!(shown.contains("203.0.113.7:4000"), "{shown}");
    // the lists apply to the client's address
    let error = ErrPacket::parse(&through(header("203.0.113.9").as_bytes()).receive().unwrap());
    assert_eq!(error.unwrap().code, 1130);
    // a balancer's own connection (health check) keeps its address, which bo's account does not admit
    let mut local = through(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    local.greet();
    assert_eq!(local.login("shop.bo", "x", None).err().code, 1045);
    // a trusted balancer must send the header
    let login =
        Client::tcp_from("127.0.0.1", dormouse.address()).login_packet("shop.bo", "x", None);
    let mut packet = Vec::new();
    write_packet(&mut packet, 1, &login);
    let error = ErrPacket::parse(&through(&packet).receive().unwrap()).unwrap();
    assert_eq!(error.code, 1043);
    assert!(
        error.message.contains("[proxy_protocol]"),
        "{}",
        error.message
    );
    // nobody else may
    let mut liar = Client::silent_from("127.0.0.3", dormouse.address());
    liar.send_raw(header("203.0.113.7").as_bytes()).unwrap();
    liar.greet();
    let answer = liar.receive().map(|payload| payload.first().copied());
    assert!(!matches!(answer, Ok(Some(0))), "{answer:?}");
}

#[test]
fn starts_are_limited_and_thaws_are_not() {
    let (dormouse, who) = parked("[limits]\nwakes_per_minute = 2\n");
    let mut client = logs_in(&dormouse, "127.0.0.1", &who);
    for _ in 0..2 {
        assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
        for _ in 0..3 {
            let _ = dormouse.json(&["suspend", "shop"]);
            assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
        }
        let _ = dormouse.json(&["park", "shop"]);
    }
    let error = client.query("SELECT 1 FROM DUAL").err();
    assert_eq!(error.code, 1203);
    assert!(
        error.message.contains("wakes_per_minute = 2"),
        "{}",
        error.message
    );
    assert_eq!(dormouse.state("shop"), "parked");
    // an order of the operator counts for nobody
    let _ = dormouse.json(&["wake", "shop"]);
    assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
}

#[test]
fn connections_are_limited_in_all() {
    let (dormouse, who) = parked("[limits]\nconnections = 3\n");
    let open: Vec<_> = (2..5)
        .map(|n| Client::tcp_from(&format!("127.0.0.{n}"), dormouse.address()))
        .collect();
    let error = turned_away("127.0.0.9", &dormouse);
    assert_eq!(error.code, 1040);
    assert!(
        error.message.contains("connections = 3"),
        "{}",
        error.message
    );
    drop(open);
    process::until("there is room again", || {
        let mut client = Client::silent_from("127.0.0.9", dormouse.address());
        client
            .receive()
            .is_ok_and(|first| first.first() != Some(&0xff))
    });
    let _ = who;
}

#[test]
fn logins_that_are_never_finished_do_not_keep_others_out() {
    let (dormouse, who) = parked("[limits]\nhandshakes = 5\nhandshake_timeout = \"1h\"\n");
    let mut open: Vec<_> = (0..50)
        .map(|_| Client::tcp_from("127.0.0.2", dormouse.address()))
        .collect();
    let _ = logs_in(&dormouse, "127.0.0.1", &who);
    let error = ErrPacket::parse(&open[0].receive().unwrap()).unwrap();
    assert_eq!(error.code, 1040);
    assert!(
        error.message.contains("handshakes = 5"),
        "{}",
        error.message
    );
}

#[test]
fn declared_lengths_take_no_memory() {
    let (dormouse, who) = parked("");
    let memory = || {
        let status = fs::read_to_string(format!("/proc/{}/status", dormouse.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib >> 10
    };
    let mut sessions: Vec<_> = (0..50)
        .map(|_| logs_in(&dormouse, "127.0.0.1", &who))
        .collect();
    let before = memory();
    // logins of 16 MiB, and of 70 KiB that never end
    let mut logins: Vec<_> = (0..200)
        .map(|n| {
            let mut client = Client::tcp_from("127.0.0.2", dormouse.address());
            let header = if n % 2 == 0 {
                [0xff, 0xff, 0xff, 1]
            } else {
                [0, 0x18, 1, 1]
            };
            let _ = client.send_raw(&header);
            client
        })
        .collect();
    // statements of 16 MiB that end after the header, to a database that sleeps
    for session in &mut sessions {
        session.send_raw(&[0xff, 0xff, 0xff, 0, 3]).unwrap();
    }
    for login in logins.iter_mut().step_by(2) {
        while login.receive().is_ok() {}
    }
    let after = memory();
    assert!(
        after < before + 40,
        "{before} MiB before, {after} MiB after"
    );
    assert_eq!(dormouse.state("shop"), "parked");
}
