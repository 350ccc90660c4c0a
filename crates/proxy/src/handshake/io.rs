//! Packets to and from a client during the login; no byte after a packet is read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use dormouse_wire::caps::Capabilities;
use dormouse_wire::packet::{HEADER, Header, write_packet};
use dormouse_wire::proxy_protocol::{Header as ProxyHeader, Told, parse};
use dormouse_wire::reply::ErrPacket;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::rejected::Rejected;
use crate::deadline::write_all;
use crate::guard::Client;
use crate::refusal;
use crate::security::ClientTls;
use crate::stream::{ClientStream, Peer, Socket};

/// The longest packet a client may send during the login, in bytes. Connection attributes are
/// limited to 64 KiB by the protocol.
const LONGEST: usize = 80 << 10;

/// A longer packet is read in steps of this many bytes.
const STEP: usize = 4 << 10;

/// How long one write may take; the whole login has a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time before a login's deadline that is reserved for sending the client an error.
const ERROR_RESERVE: Duration = Duration::from_millis(500);

/// A client's stream, packet by packet, with the sequence numbers of one exchange.
pub(crate) struct PacketIo<'a> {
    stream: &'a mut ClientStream,
    seq: u8,
    /// The deadline of the whole exchange, if there is one.
    deadline: Option<Instant>,
    has_begun_tls: bool,
}

impl<'a> PacketIo<'a> {
    /// An exchange in which the next packet has this number.
    pub(crate) fn new(stream: &'a mut ClientStream, seq: u8) -> Self {
        Self {
            stream,
            seq,
            deadline: None,
            has_begun_tls: false,
        }
    }

    /// Sets the deadline of the whole exchange.
    pub(crate) fn end_by(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    /// The timeout for an answer of the control path; it leaves time to send the client an error. `limit` is
    /// the timeout of the whole exchange.
    pub(crate) fn patience(&self, limit: Duration) -> Duration {
        let now = Instant::now();
        let left = self.deadline.map_or(limit, |deadline| deadline - now);
        left.saturating_sub((limit / 10).min(ERROR_RESERVE))
    }

    /// The sequence number of the next packet.
    pub(crate) fn seq(&self) -> u8 {
        self.seq
    }

    /// Whether the exchange is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// What the client's TLS session proves; `None` without TLS.
    pub(crate) fn tls(&self) -> Option<ClientTls> {
        self.stream.tls().map(ClientTls::of)
    }

    /// Whether the client has begun TLS in this exchange.
    pub(crate) fn has_begun_tls(&self) -> bool {
        self.has_begun_tls
    }

    /// Whom failures of this connection are counted for.
    pub(crate) fn client(&self, peer: &Peer) -> Option<Client> {
        match peer {
            Peer::Tcp { from, .. } => Some(Client::at(from.ip())),
            Peer::Unix => self.peer_user().map(Client::User),
        }
    }

    /// Reads the header that a trusted balancer sends first; no byte after it is read.
    pub(crate) async fn proxy_header(&mut self) -> Result<Told, Rejected> {
        let mut bytes = Vec::new();
        loop {
            match parse(&bytes).map_err(refusal::no_proxy_header)? {
                ProxyHeader::Complete(told) => return Ok(told),
                ProxyHeader::Needs(n) => {
                    let at = bytes.len();
                    bytes.resize(at + n, 0);
                    let missing = bytes.get_mut(at..).unwrap_or_default();
                    self.stream.read_exact(missing).await?;
                }
            }
        }
    }

    /// The id of the user whose process is at the other end of the Unix socket.
    pub(crate) fn peer_user(&self) -> Option<u32> {
        match self.stream.socket()? {
            Socket::Unix(socket) => Some(socket.peer_cred().ok()?.uid()),
            Socket::Tcp(_) => None,
        }
    }

    /// Sends one packet.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut packet = Vec::with_capacity(payload.len() + HEADER);
        self.seq = write_packet(&mut packet, self.seq, payload);
        write_all(self.stream, &packet, PATIENCE).await
    }

    /// Sends an error as the last packet; a failure to send it does not matter.
    pub(crate) async fn refuse(&mut self, error: &ErrPacket) {
        // before the greeting, an error has no SQLSTATE
        let capabilities = match self.seq {
            0 => Capabilities::NONE,
            _ => Capabilities::PROTOCOL_41,
        };
        let _ = self.send(&error.encode(capabilities)).await;
    }

    /// Receives one packet; reads no byte after it.
    pub(crate) async fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).await?;
        let header = Header::parse(header);
        let in_order = header.seq == self.seq || self.stream.is_compressed();
        if header.len > LONGEST || !in_order {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // memory is taken as bytes arrive, not as the header declares
        let mut payload = Vec::new();
        while payload.len() < header.len {
            let (at, missing) = (payload.len(), header.len - payload.len());
            payload.resize(at + missing.min(STEP), 0);
            let room = payload.get_mut(at..).unwrap_or_default();
            self.stream.read_exact(room).await?;
        }
        self.seq = self.seq.wrapping_add(1);
        Ok(payload)
    }

    /// Hands the raw stream to TLS and returns the server name the client asked for.
    pub(crate) async fn start_tls(
        &mut self,
        config: Arc<rustls::ServerConfig>,
    ) -> io::Result<Option<String>> {
        self.has_begun_tls = true;
        let closed = ClientStream::Closed(tokio::io::empty());
        let ClientStream::Plain(socket) = std::mem::replace(self.stream, closed) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let tls = TlsAcceptor::from(config).accept(socket).await?;
        let name = tls.get_ref().1.server_name().map(str::to_owned);
        *self.stream = ClientStream::Tls(Box::new(tls));
        Ok(name)
    }
}
