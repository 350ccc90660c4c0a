//! Logins, split into any segments, and other bytes in their place.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::io::{self, Read, Write};
use std::net::TcpStream;

use dormouse_testkit::{Client, Created, Dormouse, tls};
use dormouse_wire::auth::native;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::greeting::Greeting;
use dormouse_wire::login::{Login, SslRequest};
use dormouse_wire::packet::{HEADER, Header, write_packet};
use dormouse_wire::reply::{ErrPacket, SessionChange};
use dormouse_wire::status::Status;
use proptest::prelude::*;

/// A socket whose first bytes are written in the given pieces, each as a segment.
struct Cut {
    stream: TcpStream,
    pieces: Vec<usize>,
}

impl Cut {
    fn connect(address: &str, pieces: &[usize]) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(std::time::Duration::from_secs(30)))
            .unwrap();
        let pieces = pieces.iter().rev().copied().collect();
        Self { stream, pieces }
    }

    fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        read_packet(&mut self.stream)
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.pieces.pop().unwrap_or(bytes.len()).min(bytes.len());
        std::thread::yield_now();
        self.stream.write(&bytes[..n])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Cut {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }
}

fn read_packet(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let header = Header::parse(header);
    let mut payload = vec![0; header.len];
    stream.read_exact(&mut payload)?;
    Ok((header.seq, payload))
}

fn login(greeting: &Greeting, user: &str, password: &str, secure: bool) -> Vec<u8> {
    Login {
        capabilities: Client::plain_capabilities().set(Capabilities::SSL, secure),
        max_packet: 1 << 24,
        collation: 45,
        user: user.as_bytes().to_vec(),
        auth: native::reply(&native::stage1(password.as_bytes()), &greeting.salt).to_vec(),
        schema: None,
        plugin: Some("mysql_native_password".to_owned()),
        attributes: Vec::new(),
    }
    .encode()
}

/// Logs in over TLS with SSLRequest and ClientHello concatenated and split into pieces, then pings;
/// returns the server's last packet.
fn secure_login(address: &str, who: &Created, user: &str, name: &str, pieces: &[usize]) -> Vec<u8> {
    let mut cut = Cut::connect(address, pieces);
    let (_, greeting) = cut.packet().unwrap();
    let greeting = Greeting::parse(&greeting).unwrap();
    assert!(greeting.capabilities.contains(Capabilities::SSL));
    let mut connection = tls::to(name);
    let request = SslRequest {
        capabilities: Client::plain_capabilities().set(Capabilities::SSL, true),
        max_packet: 1 << 24,
        collation: 45,
    };
    let mut first = Vec::new();
    write_packet(&mut first, 1, &request.encode());
    connection.write_tls(&mut first).unwrap();
    cut.write_all(&first).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut cut);
    let mut packet = Vec::new();
    write_packet(&mut packet, 2, &login(&greeting, user, &who.password, true));
    stream.write_all(&packet).unwrap();
    let (_, answer) = read_packet(&mut stream).unwrap();
    if answer[0] != 0 {
        return answer;
    }
    stream.write_all(&[1, 0, 0, 0, 0x0e]).unwrap();
    read_packet(&mut stream).unwrap().1
}

fn parked() -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(
        "domain = \"db.example\"\n\
         [defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [limits]\nfailed_logins_per_minute = 1000000\nhandshake_timeout = \"20s\"\n",
    );
    let who = dormouse.create("shop", &[]);
    let _ = dormouse.json(&["park", "shop"]);
    (dormouse, who)
}

#[test]
fn tls_logins_succeed_however_the_first_bytes_are_split() {
    let (dormouse, who) = parked();
    let length = 36 + 700;
    for at in 0..length {
        let answer = secure_login(
            dormouse.address(),
            &who,
            &who.user,
            "localhost",
            &[at.max(1)],
        );
        assert_eq!(answer[0], 0, "cut after {at} bytes: {answer:?}");
    }
    // byte by byte, and each part alone
    for pieces in [
        vec![1; length],
        vec![4, 32],
        vec![3, 1, 32, 5],
        vec![36, 1, 1, 1],
    ] {
        let answer = secure_login(dormouse.address(), &who, &who.user, "localhost", &pieces);
        assert_eq!(answer[0], 0, "cut as {pieces:?}: {answer:?}");
    }
    assert_eq!(
        dormouse.state("shop"),
        "parked",
        "a login woke the database"
    );
}

#[test]
fn plain_logins_succeed_however_they_are_split() {
    let (dormouse, who) = parked();
    for at in 1..120 {
        let mut cut = Cut::connect(dormouse.address(), &[at]);
        let (_, greeting) = cut.packet().unwrap();
        let greeting = Greeting::parse(&greeting).unwrap();
        let mut packet = Vec::new();
        write_packet(
            &mut packet,
            1,
            &login(&greeting, &who.user, &who.password, false),
        );
        // the first command follows in the same write
        packet.extend_from_slice(&[1, 0, 0, 0, 0x0e]);
        cut.write_all(&packet).unwrap();
        assert_eq!(
            cut.packet().unwrap().1[0],
            0,
            "the login, cut after {at} bytes"
        );
        assert_eq!(
            cut.packet().unwrap().1[0],
            0,
            "the ping, login cut after {at} bytes"
        );
    }
    assert_eq!(
        dormouse.state("shop"),
        "parked",
        "a login woke the database"
    );
}

#[test]
fn sni_names_the_database() {
    let (dormouse, who) = parked();
    let address = dormouse.address();
    assert_eq!(
        secure_login(address, &who, "admin", "shop.db.example", &[])[0],
        0
    );
    assert_eq!(
        secure_login(address, &who, "shop.admin", "shop.db.example", &[])[0],
        0
    );
    let error = ErrPacket::parse(&secure_login(
        address,
        &who,
        "admin",
        "nope.db.example",
        &[],
    ))
    .unwrap();
    assert_eq!(error.code, 1045);
    let error = ErrPacket::parse(&secure_login(address, &who, "admin", "elsewhere", &[])).unwrap();
    assert_eq!(error.code, 1046);
}

#[test]
fn failed_logins_get_the_reason_and_do_not_wake_the_database() {
    let (dormouse, who) = parked();
    for (user, password, code) in [
        ("shop.admin", "wrong", 1045),
        ("shop.admin", "", 1045),
        ("shop.nobody", "x", 1045),
        ("shop.", "x", 1045),
        ("shop.dormouse", "x", 1045),
        ("nosuch.admin", "x", 1045),
        ("../etc.admin", "x", 1045),
        ("admin", "x", 1046),
        ("", "", 1046),
    ] {
        let error = Client::tcp(dormouse.address())
            .login(user, password, None)
            .err();
        assert_eq!(error.code, code, "{user}: {}", error.message);
    }
    let mut client = Client::tcp(dormouse.address());
    let error = client
        .login(&who.user, &who.password, Some("nowhere"))
        .err();
    assert_eq!(error.code, 1049);
    assert_eq!(dormouse.state("shop"), "parked");
}

#[test]
fn failed_logins_are_limited_by_address() {
    let dormouse = Dormouse::start_with("[limits]\nfailed_logins_per_minute = 3\n");
    let who = dormouse.create("shop", &[]);
    let fail = || {
        Client::tcp(dormouse.address())
            .login(&who.user, "wrong", None)
            .err()
    };
    assert_eq!([fail().code, fail().code, fail().code], [1045, 1045, 1045]);
    // refused before the greeting
    let first = Client::silent(dormouse.address()).receive().unwrap();
    let blocked = ErrPacket::parse(&first).unwrap();
    assert_eq!(blocked.code, 1129);
    assert!(
        blocked.message.contains("failed_logins_per_minute = 3"),
        "{}",
        blocked.message
    );
    // the limit does not apply to the Unix socket
    Client::unix(dormouse.socket())
        .login(&who.user, &who.password, None)
        .ok();
}

#[test]
fn a_client_that_never_finishes_its_login_is_disconnected() {
    let dormouse = Dormouse::start_with("[limits]\nhandshake_timeout = \"2s\"\n");
    let who = dormouse.create("shop", &[]);
    let mut silent = Client::tcp(dormouse.address());
    let error = ErrPacket::parse(&silent.receive().unwrap()).unwrap();
    assert_eq!((error.code, error.sqlstate()), (1159, "08S01"), "{error:?}");
    assert!(
        error.message.contains("handshake_timeout"),
        "{}",
        error.message
    );
    assert!(silent.receive().is_err(), "the connection stayed open");
    dormouse.connect(&who).query("SELECT 1 FROM DUAL").value();
}

#[test]
fn tls_can_be_required() {
    let dormouse = Dormouse::start_with("[tls]\nrequire = true\n");
    let who = dormouse.create("shop", &[]);
    let error = Client::tcp(dormouse.address())
        .login(&who.user, &who.password, None)
        .err();
    assert_eq!(error.code, 3159);
    assert_eq!(
        secure_login(dormouse.address(), &who, &who.user, "localhost", &[])[0],
        0
    );
    Client::unix(dormouse.socket())
        .login(&who.user, &who.password, None)
        .ok();
}

/// Sends bytes; checks that the connection ends, or answers and continues, and never hangs.
fn ends_or_answers(client: &mut Client, bytes: &[u8]) {
    let _ = client.send_raw(bytes);
    let _ = client.finish_sending();
    while client.receive().is_ok() {}
}

#[test]
fn garbage_instead_of_a_login_ends_the_connection_and_nothing_else() {
    let (dormouse, who) = parked();
    let framed = |seq: u8, payload: &[u8]| {
        let mut packet = Vec::new();
        write_packet(&mut packet, seq, payload);
        packet
    };
    let valid = Client::tcp(dormouse.address()).login_packet(&who.user, "wrong", None);
    let mut table = vec![
        vec![],
        vec![0],
        framed(1, &[]),
        framed(0, &valid),
        framed(9, &valid),
        vec![0xff, 0xff, 0xff, 1, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        framed(1, &[0xff; 32]),
    ];
    table.extend((0..valid.len()).map(|n| framed(1, &valid[..n])));
    for bytes in table {
        ends_or_answers(&mut Client::tcp(dormouse.address()), &bytes);
    }
    proptest!(ProptestConfig::with_cases(300), |(bytes in proptest::collection::vec(any::<u8>(), 0..300), frame: bool)| {
        let bytes = if frame { framed(1, &bytes) } else { bytes };
        ends_or_answers(&mut Client::tcp(dormouse.address()), &bytes);
    });
    assert_eq!(
        dormouse.state("shop"),
        "parked",
        "garbage woke the database"
    );
    assert_eq!(
        dormouse.connect(&who).query("SELECT 1 FROM DUAL").value(),
        "1"
    );
}

#[test]
fn garbage_after_the_login_ends_the_connection_and_nothing_else() {
    let (dormouse, who) = parked();
    proptest!(ProptestConfig::with_cases(200), |(bytes in proptest::collection::vec(any::<u8>(), 0..200), frame: bool, command: u8)| {
        // COM_SHUTDOWN and the like included
        let payload = [&[command][..], &bytes].concat();
        let mut packet = Vec::new();
        write_packet(&mut packet, 0, &payload);
        let bytes = if frame { packet } else { bytes };
        ends_or_answers(&mut dormouse.connect(&who), &bytes);
    });
    assert_eq!(
        dormouse.connect(&who).query("SELECT 1 FROM DUAL").value(),
        "1"
    );
}

/// The status flags of the reply to a login.
fn login_status(dormouse: &Dormouse, who: &Created) -> (Client, u16) {
    let mut client = Client::tcp(dormouse.address());
    let ok = client.login(&who.user, &who.password, None).ok();
    (client, ok.status.without(Status::SESSION_STATE_CHANGED).0)
}

#[test]
fn a_login_gets_the_servers_current_status_flags_and_a_matching_connection() {
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[pool]\nbackends_max = 1\n",
    );
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE DATABASE d").ok();
    owner.query("CREATE TABLE d.ac (i INT) ENGINE=InnoDB").ok();
    let set = "SET GLOBAL autocommit = 0, GLOBAL sql_mode = 'ANSI_QUOTES'";
    let has =
        "SELECT CONCAT(@@autocommit + 0, @@sql_mode) FROM d.ac RIGHT JOIN (SELECT 1) one ON 1";
    for sleep in [None, Some("suspend"), Some("park")] {
        if let Some(order) = sleep {
            let _ = dormouse.json(&[order, "shop"]);
        }
        let (mut before, status) = login_status(&dormouse, &who);
        assert_eq!(status, 0x0002, "{sleep:?}");
        assert_eq!(
            before
                .query("SELECT @@autocommit FROM DUAL WHERE 1")
                .value(),
            "1"
        );

        owner.query(set).ok();
        if let Some(order) = sleep {
            let _ = dormouse.json(&[order, "shop"]);
        }
        // the only backend was opened before
        let (mut after, status) = login_status(&dormouse, &who);
        assert_eq!(status, 0x8000, "{sleep:?}");
        assert_eq!(after.query(has).value(), "0ANSI_QUOTES", "{sleep:?}");
        after.query("INSERT INTO d.ac VALUES (1)").ok();
        drop(after);
        let count = "SELECT COUNT(*) FROM d.ac WHERE 1";
        assert_eq!(
            before.query(count).value(),
            "0",
            "it was told that nothing is committed"
        );
        // the session with the old flags keeps its values
        before.query("INSERT INTO d.ac VALUES (2)").ok();
        drop(before);
        assert_eq!(owner.query(count).value(), "1", "{sleep:?}");
        owner.query("DELETE FROM d.ac").ok();
        owner
            .query("SET GLOBAL autocommit = 1, GLOBAL sql_mode = ''")
            .ok();
    }
}

#[test]
fn a_driver_that_relies_on_the_greeting_gets_the_announced_autocommit() {
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("SET GLOBAL autocommit = 0").ok();
    for sleep in [None, Some("suspend"), Some("park")] {
        if let Some(order) = sleep {
            let _ = dormouse.json(&[order, "shop"]);
        }
        let mut client = Client::tcp(dormouse.address());
        let greeted = client.greeting.as_ref().unwrap().status;
        assert!(greeted.contains(Status::AUTOCOMMIT));
        client.attributes = vec![(b"_client_name".to_vec(), b"pymysql".to_vec())];
        let ok = client.login(&who.user, &who.password, None).ok();
        assert!(ok.status.contains(Status::AUTOCOMMIT), "{sleep:?}");
        let ok = client.query("SET NAMES utf8mb4").ok();
        assert!(ok.status.contains(Status::AUTOCOMMIT), "{sleep:?}");
        let on = "SELECT @@autocommit FROM DUAL WHERE 1";
        assert_eq!(client.query(on).value(), "1", "{sleep:?}");
        let ok = client.query("SET autocommit = 0").ok();
        assert!(!ok.status.contains(Status::AUTOCOMMIT), "{sleep:?}");
        assert_eq!(client.query(on).value(), "0", "{sleep:?}");
    }
}

#[test]
fn clients_with_session_tracking_get_the_servers_variables_at_the_login() {
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n");
    let who = dormouse.create("shop", &[]);
    let mut owner = dormouse.connect(&who);
    owner.query("CREATE DATABASE d").ok();
    // reference: a session on the server itself, on a port of its own, without Dormouse
    let version = owner.query("SELECT VERSION() FROM DUAL WHERE 1").value();
    let tells = !version.starts_with("10.");
    let told = |schema: Option<&str>| {
        let mut client = Client::tcp(dormouse.address());
        client.capabilities |= Capabilities::SESSION_TRACK;
        let ok = client.login(&who.user, &who.password, schema).ok();
        let shown = ok.session_changes.iter().map(|change| match change {
            SessionChange::SystemVariable { name, value } => {
                String::from_utf8_lossy(&[name, &b"="[..], value].concat()).into_owned()
            }
            other => format!("{other:?}"),
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort_unstable();
        shown
    };
    let mut usual = vec![
        "autocommit=ON",
        "character_set_client=utf8mb4",
        "character_set_connection=utf8mb4",
        "character_set_results=utf8mb4",
        "redirect_url=",
        "time_zone=SYSTEM",
    ];
    usual.retain(|_| tells);
    for sleep in [None, Some("suspend"), Some("park")] {
        if let Some(order) = sleep {
            let _ = dormouse.json(&[order, "shop"]);
        }
        assert_eq!(told(None), usual, "{version} {sleep:?}");
        let with_schema = [&["Schema([100])"], &usual[..]].concat();
        assert_eq!(told(Some("d")), with_schema, "{version} {sleep:?}");
    }
    let set = "SET GLOBAL session_track_system_variables = 'time_zone,sql_mode', \
               GLOBAL time_zone = '+03:00', GLOBAL sql_mode = 'ANSI_QUOTES'";
    owner.query(set).ok();
    let changed = ["sql_mode=ANSI_QUOTES", "time_zone=+03:00"];
    assert_eq!(told(None), if tells { &changed[..] } else { &[] });
}
