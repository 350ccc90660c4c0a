use proptest::prelude::*;

use super::*;

fn greeting() -> Greeting {
    Greeting {
        version: "5.5.5-10.11.19-MariaDB-0+deb12u1".into(),
        connection_id: 0x0102_0304,
        salt: *b"12345678abcdefghijkl",
        capabilities: Capabilities::MARIADB_OFFER,
        collation: 45,
        status: Status::AUTOCOMMIT,
        auth_plugin: crate::NATIVE.into(),
    }
}

#[test]
fn has_the_layout_of_mariadb() {
    let expected = [
        b"\x0a5.5.5-10.11.19-MariaDB-0+deb12u1\0\x04\x03\x02\x0112345678\0".as_slice(),
        b"\xfe\xf7\x2d\x02\x00\xff\x81\x15\0\0\0\0\0\0\x0d\0\0\0",
        b"abcdefghijkl\0mysql_native_password\0",
    ];
    assert_eq!(greeting().encode(), expected.concat());
}

#[test]
fn mysql_offers_no_extended_bits() {
    let mysql = Capabilities::MARIADB_OFFER | Capabilities::LONG_PASSWORD;
    let payload = Greeting {
        capabilities: mysql,
        ..greeting()
    }
    .encode();
    let parsed = Greeting::parse(&payload).unwrap();
    assert_eq!(
        (parsed.capabilities.low(), parsed.capabilities.extended()),
        (0x81ff_f7ff, 0)
    );
}

#[test]
fn an_error_in_its_place_is_recognised() {
    let error = Greeting::parse(b"\xff\x10\x04Too many connections").unwrap_err();
    let GreetingError::Refused(err) = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (err.code, err.sqlstate(), err.message.as_str()),
        (1040, "HY000", "Too many connections")
    );
}

#[test]
fn other_protocols_are_refused() {
    for other in [
        &b""[..],
        b"\x09old",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ] {
        assert!(matches!(
            Greeting::parse(other),
            Err(GreetingError::Malformed(_))
        ));
    }
    let full = greeting().encode();
    for cut in 0..full.len() - crate::NATIVE.len() - 2 {
        assert!(Greeting::parse(&full[..cut]).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn comes_back(
        version in "[ -~]{0,40}", plugin in "[a-z_]{1,30}", connection_id: u32, salt: [u8; 20],
        bits: u64, collation: u8, status: u16,
    ) {
        let capabilities = Capabilities(bits) | Capabilities::PROTOCOL_41;
        let given = Greeting {
            version, connection_id, salt, collation, status: Status(status), auth_plugin: plugin,
            capabilities: Capabilities::from_halves(capabilities.low(), capabilities.extended()),
        };
        prop_assert_eq!(Greeting::parse(&given.encode()), Ok(given));
    }

    #[test]
    fn no_bytes_cause_a_panic(mut bytes: Vec<u8>, lead: bool) {
        if lead {
            bytes.insert(0, 10);
        }
        let _ = Greeting::parse(&bytes);
    }
}
