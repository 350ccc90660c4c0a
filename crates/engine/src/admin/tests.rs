use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use dormouse_types::TlsIdentity;
use dormouse_wire::status::Status;
use dormouse_wire::{Greeting, NATIVE};

use super::*;

#[test]
fn a_literal_is_quoted() {
    assert_eq!(literal(r"o'x\' OR 1"), r"'o''x\\'' OR 1'");
    assert_eq!(literal("a\0b"), r"'a\0b'");
}

#[test]
fn a_missing_field_is_empty() {
    let rows = Rows {
        columns: vec!["a".into()],
        rows: vec![vec![Some(b"x".to_vec())], vec![None]],
    };
    assert_eq!(rows.texts::<2>().collect::<Vec<_>>(), [["x", ""], ["", ""]]);
}

#[tokio::test]
async fn unencrypted_bytes_behind_the_greeting_are_refused() {
    let greeting = Greeting {
        version: "11.8.6-MariaDB".to_owned(),
        connection_id: 1,
        salt: [7; 20],
        capabilities: Capabilities::OWN_CLIENT.set(Capabilities::SSL, true),
        collation: UTF8MB4,
        status: Status::AUTOCOMMIT,
        auth_plugin: NATIVE.to_owned(),
    };
    let mut bytes = Vec::new();
    write_packet(&mut bytes, 0, &greeting.encode());
    // an OK packet that would end the login
    write_packet(&mut bytes, 3, &[0, 0, 0, 2, 0, 0, 0]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = Endpoint::Tcp {
        address: listener.local_addr().unwrap(),
        identity: TlsIdentity {
            name: "localhost".into(),
            authority: b"".as_slice().into(),
        },
    };
    let server = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(&bytes).unwrap();
        let mut received = Vec::new();
        socket.read_to_end(&mut received).unwrap();
        received
    });
    let refused = Admin::connect(&endpoint, &Secret::new([1; 32]), InstanceId(1)).await;
    assert!(
        matches!(&refused, Err(AdminError::Protocol(what)) if what.contains("unencrypted")),
        "{refused:?}"
    );
    let header = proxy_header(&endpoint, &Origin::Local);
    assert!(
        server.join().unwrap() == header,
        "nothing follows the PROXY header"
    );
}
