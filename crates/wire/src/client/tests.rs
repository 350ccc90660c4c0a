use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::CACHING_SHA2;
use crate::packet::{HEADER, Header};
use crate::status::Status;

const SALT: [u8; 20] = *b"12345678abcdefghijkl";

fn config() -> ClientConfig {
    ClientConfig {
        capabilities: Capabilities::MARIADB_OFFER | Capabilities::FOUND_ROWS,
        collation: 45,
        max_packet: 1 << 30,
        user: b"admin".to_vec(),
        stage1: Some(native::stage1(b"secret")),
        schema: Some(b"shop".to_vec()),
        attributes: vec![(b"program_name".to_vec(), b"dormouse".to_vec())],
    }
}

fn greeting(capabilities: Capabilities) -> Vec<u8> {
    let greeting = Greeting {
        version: "11.8.6-MariaDB".into(),
        connection_id: 42,
        salt: SALT,
        capabilities,
        collation: 45,
        status: Status::AUTOCOMMIT,
        auth_plugin: NATIVE.into(),
    };
    greeting.encode()
}

fn sent(step: LoginStep, seq: u8) -> Vec<u8> {
    let LoginStep::Send(bytes) = step else {
        panic!("{step:?}")
    };
    let header = Header::parse(*bytes.first_chunk().unwrap());
    assert_eq!(
        header,
        Header {
            len: bytes.len() - HEADER,
            seq
        }
    );
    bytes[HEADER..].to_vec()
}

fn proves_itself(proof: &[u8], salt: &[u8; 20]) -> bool {
    native::verify(proof, salt, &native::stage2(&native::stage1(b"secret")))
}

#[test]
fn logs_in_with_the_capabilities_of_both_sides() {
    let offered = (Capabilities::MARIADB_OFFER - Capabilities::DEPRECATE_EOF) | Capabilities::SSL;
    let mut client = ClientLogin::new(config());
    let payload = sent(client.on_payload(0, &greeting(offered)).unwrap(), 1);
    let login = Login::parse(&payload, Capabilities(u64::MAX)).unwrap();
    assert_eq!(
        login.capabilities,
        Capabilities::MARIADB_OFFER - Capabilities::DEPRECATE_EOF
    );
    assert_eq!(
        (login.user, login.schema),
        (b"admin".to_vec(), Some(b"shop".to_vec()))
    );
    assert_eq!(login.attributes, config().attributes);
    assert!(proves_itself(&login.auth, &SALT));
    let ok = OkPacket {
        status: Status::AUTOCOMMIT,
        ..OkPacket::default()
    };
    let done = client
        .on_payload(2, &ok.encode(login.capabilities, false))
        .unwrap();
    let expected = LoginStep::Done {
        ok,
        capabilities: login.capabilities,
        connection_id: 42,
        version: "11.8.6-MariaDB".into(),
    };
    assert_eq!(done, expected);
    assert!(client.on_payload(3, b"\0").is_err());
}

#[test]
fn answers_a_switch_with_the_new_salt() {
    let mut client = ClientLogin::new(config());
    client
        .on_payload(0, &greeting(Capabilities::MARIADB_OFFER))
        .unwrap();
    let salt = *b"ABCDEFGHIJKLMNOPQRST";
    let switch = AuthSwitch::with_salt(NATIVE, &salt).encode();
    let proof = sent(client.on_payload(2, &switch).unwrap(), 3);
    assert!(proves_itself(&proof, &salt));
}

#[test]
fn an_empty_password_has_an_empty_proof() {
    let mut client = ClientLogin::new(ClientConfig {
        stage1: None,
        schema: None,
        ..config()
    });
    let payload = sent(
        client
            .on_payload(0, &greeting(Capabilities::MARIADB_OFFER))
            .unwrap(),
        1,
    );
    let login = Login::parse(&payload, Capabilities(u64::MAX)).unwrap();
    assert_eq!((login.auth, login.schema), (Vec::new(), None));
    let switch = AuthSwitch::with_salt(CACHING_SHA2, &SALT).encode();
    assert_eq!(sent(client.on_payload(2, &switch).unwrap(), 3), b"");
}

#[test]
fn a_failed_login_returns_the_reason() {
    let err = ErrPacket::new(1045, "28000", "Access denied").encode(Capabilities::PROTOCOL_41);
    let refused = |error| matches!(error, Err(LoginError::Refused(e)) if e.code == 1045);
    assert!(refused(ClientLogin::new(config()).on_payload(0, &err)));
    let after_greeting = |payload: &[u8]| {
        let mut client = ClientLogin::new(config());
        client
            .on_payload(0, &greeting(Capabilities::MARIADB_OFFER))
            .unwrap();
        client.on_payload(2, payload)
    };
    assert!(refused(after_greeting(&err)));
    assert!(matches!(
        after_greeting(b"\x07"),
        Err(LoginError::Malformed(_))
    ));
}

#[test]
fn unsupported_plugins_get_an_invalid_proof() {
    let mut client = ClientLogin::new(config());
    client
        .on_payload(0, &greeting(Capabilities::MARIADB_OFFER))
        .unwrap();
    let mut answer = |payload: &[u8]| sent(client.on_payload(2, payload).unwrap(), 3);
    let switch = |plugin| AuthSwitch::with_salt(plugin, &SALT).encode();
    assert_eq!(answer(&switch("client_ed25519")), [0; 64]);
    assert_eq!(answer(&switch(CACHING_SHA2)), [0; 32]);
    assert_eq!(answer(b"\x01\x04"), [0]);
    assert_eq!(answer(&switch("parsec")), b"");
    assert_eq!(answer(&[b"\x01P\0".as_slice(), &[7; 18]].concat()), [0; 96]);
    assert_eq!(answer(&switch("dialog")), b"");
    assert_eq!(answer(b"\x01Password"), b"");
    assert!(proves_itself(&answer(&switch(NATIVE)), &SALT));
}

#[test]
fn begins_tls_before_it_sends_credentials() {
    let secure = || {
        ClientLogin::new(ClientConfig {
            capabilities: Capabilities::MARIADB_OFFER | Capabilities::SSL,
            ..config()
        })
    };
    let mut client = secure();
    let with_tls = greeting(Capabilities::MARIADB_OFFER | Capabilities::SSL);
    let LoginStep::Secure(request) = client.on_payload(0, &with_tls).unwrap() else {
        panic!("it does not ask for TLS");
    };
    assert!(SslRequest::is_one(&request[HEADER..]));
    assert_eq!(request[3], 1);
    let login = client.secured().unwrap();
    assert_eq!(login[3], 2);
    let login = Login::parse(&login[HEADER..], Capabilities(u64::MAX)).unwrap();
    assert!(login.capabilities.contains(Capabilities::SSL));
    assert!(proves_itself(&login.auth, &SALT));
    assert!(client.secured().is_err());

    let without = greeting(Capabilities::MARIADB_OFFER);
    assert_eq!(secure().on_payload(0, &without), Err(LoginError::NoTls));
    let mut hasty = secure();
    hasty.on_payload(0, &with_tls).unwrap();
    assert!(hasty.on_payload(2, b"\0").is_err());
}

#[test]
fn the_number_of_requests_is_limited() {
    let mut client = ClientLogin::new(config());
    client
        .on_payload(0, &greeting(Capabilities::MARIADB_OFFER))
        .unwrap();
    let switch = AuthSwitch::with_salt(NATIVE, &SALT).encode();
    let rounds = (0..100)
        .take_while(|_| client.on_payload(2, &switch).is_ok())
        .count();
    assert_eq!(rounds, usize::from(MAX_QUESTIONS));
}

proptest! {
    #[test]
    fn no_bytes_cause_a_panic(payloads in vec(vec(any::<u8>(), 0..60), 0..5), greeted: bool) {
        let mut client = ClientLogin::new(config());
        if greeted {
            client.on_payload(0, &greeting(Capabilities::MARIADB_OFFER)).unwrap();
        }
        for payload in payloads {
            let _ = client.on_payload(1, &payload);
        }
    }
}
