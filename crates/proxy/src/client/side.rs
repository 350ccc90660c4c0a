//! A client's stream, the bytes that have been read from it, and the answers of Dormouse itself.

use std::sync::Arc;
use std::time::Duration;

use dormouse_wire::caps::Capabilities;
use dormouse_wire::packet::write_packet;
use dormouse_wire::reply::{ErrPacket, OkPacket};
use dormouse_wire::status::Status;

use crate::config::Limits;
use crate::deadline::write_all;
use crate::inbox::Inbox;
use crate::stream::ClientStream;
use crate::tally::Tally;

/// The session is over; nothing more is sent to the client.
pub(crate) struct Over;

/// The client's side of a session.
pub(crate) struct Client {
    pub(crate) stream: ClientStream,
    pub(crate) inbox: Inbox,
    /// Counts its bytes as they pass.
    pub(crate) tally: Arc<Tally>,
    /// The capabilities agreed on with it.
    pub(crate) capabilities: Capabilities,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

impl Client {
    pub(crate) fn new(
        stream: ClientStream,
        capabilities: Capabilities,
        tally: Arc<Tally>,
        limits: &Limits,
    ) -> Self {
        Self {
            stream,
            inbox: Inbox::default(),
            tally,
            capabilities,
            read_timeout: limits.read_timeout,
            write_timeout: limits.write_timeout,
        }
    }

    /// Switches to the compressed protocol.
    pub(crate) fn compress(&mut self) {
        let closed = ClientStream::Closed(tokio::io::empty());
        self.stream = std::mem::replace(&mut self.stream, closed).compressed();
    }

    /// Sends one packet as the answer to the command just read.
    pub(crate) async fn reply(&mut self, payload: &[u8]) -> Result<(), Over> {
        self.reply_as(1, payload).await
    }

    /// Sends one packet with this number.
    pub(crate) async fn reply_as(&mut self, seq: u8, payload: &[u8]) -> Result<(), Over> {
        let mut packet = Vec::with_capacity(payload.len() + 4);
        write_packet(&mut packet, seq, payload);
        self.send_packets(&packet).await
    }

    /// Sends packets that were prepared as the answer to the command just read.
    pub(crate) async fn send_packets(&mut self, packets: &[u8]) -> Result<(), Over> {
        self.tally.sends(packets.len());
        write_all(&mut self.stream, packets, self.write_timeout)
            .await
            .map_err(|_| Over)
    }

    /// An OK packet with these status flags.
    pub(crate) fn ok(&self, status: Status) -> Vec<u8> {
        let ok = OkPacket {
            status,
            ..OkPacket::default()
        };
        ok.encode(self.capabilities, false)
    }

    /// Answers the command just read with OK.
    pub(crate) async fn reply_ok(&mut self, status: Status) -> Result<(), Over> {
        let ok = self.ok(status);
        self.reply(&ok).await
    }

    /// Answers the command just read with an error; the session continues.
    pub(crate) async fn reply_error(&mut self, error: &ErrPacket) -> Result<(), Over> {
        let packet = error.encode(self.capabilities);
        self.reply(&packet).await
    }

    /// Answers the command just read with an error and ends the session.
    pub(crate) async fn end_with(&mut self, error: &ErrPacket) -> Over {
        let _ = self.reply_error(error).await;
        Over
    }

    /// Counts the bytes that have come from the client.
    pub(crate) fn count_received(&mut self) {
        let received = self.inbox.take_received();
        self.tally.received(received);
    }
}
