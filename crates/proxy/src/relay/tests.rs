use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::ReplyKind;
use dormouse_wire::filter::Edited;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::OkPacket;

use super::*;
use crate::backend::tests::rig;
use crate::inbox::Inbox;
use crate::stream::{ClientStream, Socket};

const LONG: Duration = Duration::from_secs(60);

/// A session's client, and the client's own end of the socket.
struct Ends {
    ours: Client,
    client: UnixStream,
}

impl Ends {
    fn new() -> Self {
        let (ours, client) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = tokio::net::UnixStream::from_std(ours).unwrap();
        let ours = Client {
            stream: ClientStream::Plain(Socket::Unix(socket)),
            inbox: Inbox::default(),
            tally: Arc::default(),
            capabilities: Capabilities::OWN_CLIENT,
            read_timeout: LONG,
            write_timeout: LONG,
        };
        Self { ours, client }
    }

    /// The bytes that the client has received.
    fn told(&mut self) -> Vec<u8> {
        self.client.set_nonblocking(true).unwrap();
        let mut told = Vec::new();
        let _all_there_is = self.client.read_to_end(&mut told);
        told
    }
}

fn ok(seq: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    let ok = OkPacket::default().encode(Capabilities::OWN_CLIENT, false);
    write_packet(&mut packet, seq, &ok);
    packet
}

/// Edits nothing.
struct Nothing;

impl EditRows for Nothing {
    fn concerns(&self, _column: &[u8]) -> bool {
        false
    }

    fn edit(&self, _value: &[u8]) -> Edited {
        Edited::Kept
    }
}

fn unchanged() -> Changes<Nothing> {
    Changes {
        tracking: Tracking::All,
        statement: None,
        filter: None,
    }
}

#[tokio::test]
async fn a_reply_to_another_command_reaches_no_client() {
    let (_pool, backend, mut server) = rig();
    let mut ends = Ends::new();
    let mut listening = backend.speak().sent(ReplyKind::ResultSet, 0);
    server.write_all(&ok(3)).unwrap();
    let broken = relay(&mut listening, &mut ends.ours, &mut unchanged()).await;
    assert!(
        matches!(
            broken,
            Err(Broken::Fault {
                delivered: false,
                ..
            })
        ),
        "{broken:?}"
    );
    assert_eq!(ends.told(), b"");
    assert!(listening.into_backend().is_none());
}

#[tokio::test]
async fn bytes_behind_a_reply_reach_no_client() {
    let (_pool, backend, mut server) = rig();
    let mut ends = Ends::new();
    let mut listening = backend.speak().sent(ReplyKind::ResultSet, 0);
    server.write_all(&[ok(1), ok(1)].concat()).unwrap();
    let broken = relay(&mut listening, &mut ends.ours, &mut unchanged()).await;
    assert!(matches!(broken, Err(Broken::Fault { .. })), "{broken:?}");
    assert_eq!(ends.told(), b"");
}

#[tokio::test]
async fn a_complete_reply_reaches_the_client_and_frees_the_backend() {
    let (_pool, backend, mut server) = rig();
    let mut ends = Ends::new();
    let mut listening = backend.speak().sent(ReplyKind::ResultSet, 0);
    server.write_all(&ok(1)).unwrap();
    relay(&mut listening, &mut ends.ours, &mut unchanged())
        .await
        .unwrap();
    assert_eq!(ends.told(), ok(1));
    assert!(listening.into_backend().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_left_is_not_waited_for_long_whatever_it_has_sent() {
    for ahead in [&b""[..], b"\x01\0\0\0\x01"] {
        let (_pool, backend, server) = rig();
        let mut ends = Ends::new();
        let mut listening = backend.speak().sent(ReplyKind::ResultSet, 0);
        ends.client.write_all(ahead).unwrap();
        ends.client.shutdown(std::net::Shutdown::Both).unwrap();
        let broken = relay(&mut listening, &mut ends.ours, &mut unchanged()).await;
        assert!(
            matches!(broken, Err(Broken::Client { running: true })),
            "{broken:?}"
        );
        drop(server);
    }
}
