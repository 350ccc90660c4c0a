//! A client without an account.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dormouse_testkit::process::{descriptors, resident, until};
use dormouse_testkit::{Client, Dormouse, Reply};

use crate::suite::World;

/// Longest time until a connection that breaks the rules is closed: `handshake_timeout` and some more.
const SOON: Duration = Duration::from_secs(20);

/// User names and passwords that do not log in.
const LOGINS: [(&str, &str, &str); 16] = [
    ("shop.admin", "", "the account has a password"),
    ("shop.admin", "wrong", "the password is wrong"),
    (
        "shop.admin",
        "invalid",
        "the text that stands for no password is no password",
    ),
    (
        "shop.dormouse",
        "",
        "the platform's account is not for clients",
    ),
    (
        "shop.dormouse",
        "dormouse",
        "the platform's account is not for clients",
    ),
    ("shop.mariadb.sys", "", "the server's own account is locked"),
    ("shop.root", "", "there is no such account"),
    ("shop.PUBLIC", "", "a role is no account"),
    ("shop.", "", "there are no anonymous accounts"),
    ("nowhere.admin", "", "there is no such database"),
    ("../shop.admin", "", "this is no database name"),
    ("shop/.admin", "", "this is no database name"),
    ("admin", "", "no database is named"),
    ("", "", "no database is named"),
    (".admin", "", "the database name is empty"),
    ("shop.admin' OR '1'='1", "", "there is no such account"),
];

/// What is sent instead of a login, and why it must not be served.
fn openings() -> Vec<(&'static str, Vec<u8>)> {
    let packet = |seq: u8, payload: &[u8]| {
        let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [&len[..3], &[seq], payload].concat()
    };
    let ssl_request = |flags: u32| {
        let mut payload = flags.to_le_bytes().to_vec();
        payload.extend_from_slice(&(1_u32 << 24).to_le_bytes());
        payload.push(45);
        payload.extend_from_slice(&[0; 23]);
        packet(1, &payload)
    };
    vec![
        (
            "a statement comes before the login",
            packet(0, b"\x03SELECT 1"),
        ),
        (
            "a statement comes in place of the login",
            packet(1, b"\x03SELECT 1"),
        ),
        (
            "COM_CHANGE_USER comes before the login",
            packet(1, b"\x11shop.admin\0\0"),
        ),
        (
            "COM_BINLOG_DUMP comes before the login",
            packet(1, b"\x12\0\0\0\0\0\0\0\0\0\0"),
        ),
        (
            "an HTTP request is no login",
            b"GET /v1/databases HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        ),
        (
            "a TLS ClientHello without an SSLRequest is no login",
            b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03".to_vec(),
        ),
        (
            "a PROXY header of an untrusted peer is no login",
            b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n".to_vec(),
        ),
        (
            "a PROXY header, version 2, of an untrusted peer is no login",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02".to_vec(),
        ),
        ("an empty packet is no login", packet(1, b"")),
        ("one byte is no login", packet(1, b"\0")),
        (
            "a login with a wrong sequence number is refused",
            packet(9, &[0; 40]),
        ),
        (
            "a login for protocol 3.20 is refused",
            packet(1, b"\0\0\0\0\0root\0"),
        ),
        ("a login of 16 MiB is too large", {
            let mut bytes = vec![0xff, 0xff, 0xff, 1];
            bytes.extend_from_slice(&[0; 70_000]);
            bytes
        }),
        (
            "an SSLRequest with a plain login behind it stays without TLS",
            {
                let mut bytes = ssl_request(0x0000_8a00 | 0x0008_0000);
                bytes.extend_from_slice(&packet(2, &[0; 64]));
                bytes
            },
        ),
        ("an SSLRequest twice is refused", {
            let mut bytes = ssl_request(0x0000_8a00 | 0x0008_0000);
            bytes.extend_from_slice(&ssl_request(0x0000_8a00 | 0x0008_0000));
            bytes
        }),
        ("lengths beyond the packet are refused", {
            let mut payload = 0x00af_a200_u32.to_le_bytes().to_vec();
            payload.extend_from_slice(&[0, 0, 0, 1, 45]);
            payload.extend_from_slice(&[0; 23]);
            payload.extend_from_slice(b"shop.admin\0\xfe\xff\xff\xff\xff\xff\xff\xff\xff");
            packet(1, &payload)
        }),
    ]
}

pub(crate) fn count() -> usize {
    LOGINS.len() + openings().len() + 6
}

#[test]
fn nobody_logs_in_without_a_password() {
    let world = World::new();
    for name in ["shop", "blog"] {
        let _ = world.dormouse.json(&["park", name]);
    }
    for (user, password, why) in LOGINS {
        let mut client = Client::tcp(world.dormouse.address());
        let reply = client.login(user, password, None);
        assert!(matches!(reply, Reply::Err(_)), "{user}: {reply:?}: {why}");
        let after = client.try_query("SELECT s FROM app.t");
        assert!(after.is_err(), "{user}: {after:?}: {why}");
        let mut client = Client::tls(world.dormouse.address());
        let reply = client.login_mysql(user, password);
        assert!(
            matches!(reply, Reply::Err(_)),
            "{user} by TLS: {reply:?}: {why}"
        );
    }
    for name in ["shop", "blog"] {
        assert_eq!(
            world.dormouse.state(name),
            "parked",
            "a failed login woke it"
        );
    }
    world.is_intact();
}

#[test]
fn whether_a_database_or_a_user_exists_is_not_told() {
    let world = World::new();
    let error_for = |user: &str| {
        let mut client = Client::tcp(world.dormouse.address());
        let error = client.login(user, "wrong", None).err();
        let name = user.split('.').next().unwrap();
        let account = user.split_once('.').map_or("", |(_, account)| account);
        let text = error.message.replace(name, "DB").replace(account, "USER");
        (error.code, error.sqlstate, text)
    };
    assert_eq!(error_for("shop.admin"), error_for("shop.nobody"));
    assert_eq!(error_for("shop.admin"), error_for("shoe.admin"));
}

#[test]
fn a_recorded_login_cannot_be_replayed() {
    let world = World::new();
    let mut first = Client::tcp(world.dormouse.address());
    let packet = first.login_packet(&world.owner.user, &world.owner.password, None);
    first.send(&packet);
    assert_eq!(first.receive().unwrap()[0], 0);
    let mut again = Client::tcp(world.dormouse.address());
    again.send(&packet);
    let mut answer = again.receive().unwrap();
    if answer[0] == 0xfe {
        // asked again with a new challenge: the old reply is still the old reply
        again.send(&packet[36 + world.owner.user.len()..][..20]);
        answer = again.receive().unwrap();
    }
    assert_eq!(answer[0], 0xff);
}

#[test]
fn whatever_comes_instead_of_a_login_is_not_served() {
    let world = World::new();
    let address = world.dormouse.address();
    for (why, bytes) in openings() {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // the peer may close before it has read everything
        let _ = stream.write_all(&bytes);
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        let timed_out = end
            .as_ref()
            .is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "not closed: {why}");
        // the greeting, and at most an error packet behind it
        let greeting = 4 + usize::from(answer[0]) + (usize::from(answer[1]) << 8);
        let rest = &answer[greeting..];
        let refused = rest.is_empty() || rest.get(4) == Some(&0xff) || rest.first() == Some(&0x15);
        assert!(refused, "{why}: {rest:?}");
    }
    world.is_intact();
}

/// Opens connections that do not log in, each with these first bytes.
fn crowd(dormouse: &Dormouse, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    (0..count)
        .map(|_| {
            let mut stream = TcpStream::connect(dormouse.address()).unwrap();
            stream.write_all(bytes).unwrap();
            stream
        })
        .collect()
}

#[test]
fn half_open_logins_take_little_and_end() {
    let dormouse = Dormouse::start_with("[limits]\nhandshake_timeout = \"5s\"\n");
    let who = dormouse.create("shop", &[]);
    let (files, memory) = (descriptors(dormouse.pid()), resident(dormouse.pid()));
    // a header that declares 16 MiB, and nothing behind it
    let clients = crowd(&dormouse, 2000, &[0xff, 0xff, 0xff, 1]);
    let grown = resident(dormouse.pid()).saturating_sub(memory);
    assert!(
        grown < 64 << 20,
        "2,000 half-open logins took {grown} bytes"
    );
    // a good client is served meanwhile
    assert_eq!(dormouse.connect(&who).query("SELECT 1").value(), "1");
    for client in &clients {
        client.set_read_timeout(Some(SOON)).unwrap();
        let mut rest = Vec::new();
        let end = (&mut &*client).read_to_end(&mut rest);
        let timed_out = end.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out, "a half-open login was not ended");
    }
    drop(clients);
    until("its descriptors are closed", || {
        descriptors(dormouse.pid()) <= files + 8
    });
}

#[test]
fn a_declared_size_takes_no_memory() {
    let world = World::new();
    let memory = resident(world.dormouse.pid());
    let clients: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = world.dormouse.connect(&world.owner);
            // the first of 64 packets of a statement of 1 GiB
            client.send_raw(&[0xff, 0xff, 0xff, 0, 3]).unwrap();
            client
        })
        .collect();
    let grown = resident(world.dormouse.pid()).saturating_sub(memory);
    assert!(grown < 64 << 20, "declared statements took {grown} bytes");
    drop(clients);
    world.is_intact();
}

#[test]
fn a_client_that_never_reads_takes_little() {
    let world = World::new();
    let memory = resident(world.dormouse.pid());
    let clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = world.dormouse.connect(&world.owner);
            let text = "SELECT REPEAT('x', 1000) FROM seq_1_to_100000";
            let payload = [&[3], text.as_bytes()].concat();
            let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
            let packet = [&len[..3], &[0], &payload[..]].concat();
            client.send_raw(&packet).unwrap();
            client
        })
        .collect();
    // others are served meanwhile
    let mut other = world.dormouse.connect(&world.other);
    assert_eq!(other.query("SELECT s FROM app.t").value(), "blog-secret");
    let grown = resident(world.dormouse.pid()).saturating_sub(memory);
    assert!(
        grown < 64 << 20,
        "unread results of 2 GB took {grown} bytes"
    );
    drop(clients);
}
