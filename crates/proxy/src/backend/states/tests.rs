use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::OkPacket;

use super::*;
use crate::backend::tests::rig as pooled;
use crate::pool::Pool;

/// The other end of a backend's socket.
struct Server(UnixStream);

impl Server {
    /// Sends one packet.
    fn says(&mut self, seq: u8, payload: &[u8]) {
        let mut packet = Vec::new();
        write_packet(&mut packet, seq, payload);
        self.0.write_all(&packet).unwrap();
    }

    fn says_ok(&mut self, seq: u8) {
        let ok = OkPacket::default().encode(Capabilities::OWN_CLIENT, false);
        self.says(seq, &ok);
    }

    /// Whether the backend's end has been closed.
    fn is_left(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).is_ok()
    }
}

fn rig() -> (Arc<Pool>, Box<Backend>, Server) {
    let (pool, backend, theirs) = pooled();
    (pool, backend, Server(theirs))
}

/// A query, sent whole.
async fn asked(backend: Box<Backend>) -> Listening {
    let mut speaking = backend.speak();
    let command = [b"\x09\0\0\0\x03", &b"SELECT 1"[..]].concat();
    speaking.send(&command, PATIENCE).await.unwrap();
    speaking.sent(ReplyKind::ResultSet, 0)
}

fn text(error: &BackendError) -> String {
    error.to_string()
}

#[tokio::test]
async fn a_complete_reply_gives_the_backend_back() {
    let (pool, backend, mut server) = rig();
    let mut listening = asked(backend).await;
    server.says_ok(1);
    let reply = listening.reply(Tracking::All).await.unwrap();
    assert!(reply.whole && reply.end.error.is_none());
    let mut backend = listening.into_backend().expect("all was answered");
    assert_eq!(backend.check_idle(), Ok(()));
    pool.give_back(backend);
    assert_eq!(pool.status().idle, 1);
}

#[tokio::test]
async fn a_backend_dropped_in_a_command_is_closed_and_frees_its_place() {
    for stage in 0..4 {
        let (pool, backend, mut server) = rig();
        match stage {
            0 => {
                let mut speaking = backend.speak();
                speaking.send(b"\x09\0\0", PATIENCE).await.unwrap();
            }
            1 => drop(asked(backend).await),
            2 => {
                let mut listening = asked(backend).await;
                // a result of one column begins
                server.says(1, &[1]);
                let reply = listening.reply(Tracking::All);
                let waits = tokio::time::timeout(Duration::from_millis(1), reply).await;
                assert!(waits.is_err(), "the reply is incomplete");
                assert!(listening.into_backend().is_none(), "the command still runs");
            }
            _ => {
                let mut speaking = backend.speak();
                speaking.send(b"two commands", PATIENCE).await.unwrap();
                let mut listening = speaking.sent_all([ReplyKind::Simple; 2]);
                server.says_ok(1);
                listening.reply(Tracking::All).await.unwrap();
                assert!(listening.into_backend().is_none(), "one reply is missing");
            }
        }
        assert!(server.is_left(), "stage {stage}");
        let status = pool.status();
        assert_eq!((status.backends, status.idle), (0, 0), "stage {stage}");
    }
}

#[tokio::test]
async fn the_replies_to_several_commands_come_one_by_one() {
    let (_pool, backend, mut server) = rig();
    let mut speaking = backend.speak();
    speaking.send(b"three commands", PATIENCE).await.unwrap();
    // the one in the middle has no reply
    let kinds = [ReplyKind::Simple, ReplyKind::None, ReplyKind::ResultSet];
    let mut listening = speaking.sent_all(kinds);
    let mut both = Vec::new();
    write_packet(&mut both, 1, b"\xff\x28\x04#42000no");
    write_packet(
        &mut both,
        1,
        &OkPacket::default().encode(Capabilities::OWN_CLIENT, false),
    );
    server.0.write_all(&both).unwrap();
    let first = listening.reply(Tracking::All).await.unwrap();
    assert_eq!(first.end.error, Some(1064));
    let second = listening.reply(Tracking::All).await.unwrap();
    assert_eq!(second.end.error, None);
    assert!(listening.into_backend().is_some());
}

#[tokio::test]
async fn a_reply_to_another_command_is_a_fault() {
    for seq in [0, 2, 7] {
        let (_pool, backend, mut server) = rig();
        let mut listening = asked(backend).await;
        server.says_ok(seq);
        let error = listening.reply(Tracking::All).await.err().unwrap();
        assert!(
            matches!(error, BackendError::Malformed(_)),
            "{}",
            text(&error)
        );
    }
    // the last packet of a long command had the number 255
    let (_pool, backend, mut server) = rig();
    let mut listening = backend.speak().sent(ReplyKind::Simple, 255);
    server.says_ok(0);
    listening.reply(Tracking::All).await.unwrap();
    assert!(listening.into_backend().is_some());
}

#[tokio::test]
async fn bytes_behind_a_reply_are_a_fault() {
    let (_pool, backend, mut server) = rig();
    let mut listening = asked(backend).await;
    let mut bytes = Vec::new();
    let ok = OkPacket::default().encode(Capabilities::OWN_CLIENT, false);
    write_packet(&mut bytes, 1, &ok);
    write_packet(&mut bytes, 1, &ok);
    server.0.write_all(&bytes).unwrap();
    let error = listening.reply(Tracking::All).await.err().unwrap();
    assert!(
        matches!(error, BackendError::Malformed(_)),
        "{}",
        text(&error)
    );
    assert!(listening.into_backend().is_none());
    assert!(server.is_left());
}

#[tokio::test]
async fn a_closed_or_talking_backend_fails_the_check() {
    let (_pool, mut backend, mut server) = rig();
    assert_eq!(backend.check_idle(), Ok(()));
    server.says_ok(1);
    assert_eq!(backend.check_idle(), Err(Unusable::Bytes));
    let (_pool, mut backend, server) = rig();
    drop(server);
    assert_eq!(backend.check_idle(), Err(Unusable::Closed));
}

#[tokio::test]
async fn a_long_reply_is_read_to_its_end_and_kept_in_part() {
    let (_pool, backend, mut server) = rig();
    let mut listening = asked(backend).await;
    let writer = std::thread::spawn(move || {
        let ok = |more: u8| [&[0, 0, 0, 2 | more, 0, 0, 0][..], &[b'x'; 30_000]].concat();
        for seq in 1..100 {
            // MORE_RESULTS
            server.says(seq, &ok(8));
        }
        server.says(100, &ok(0));
        server
    });
    let reply = listening.reply(Tracking::All).await.unwrap();
    assert!(!reply.whole && reply.bytes.len() <= LONGEST_ANSWER);
    let backend = listening.into_backend().expect("all was answered");
    let mut server = writer.join().unwrap();
    let mut listening = asked(backend).await;
    server.says_ok(1);
    assert!(listening.reply(Tracking::All).await.unwrap().whole);
}
