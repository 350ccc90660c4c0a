//! One connection to a server: login as the client's user, questions of our own, taking on a
//! session's state.

mod answer;
mod assume;
mod link;
mod secure;
mod shelf;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_session::{Left, Probe, Question};
use dormouse_types::Target;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::client::{ClientConfig, ClientLogin, LoginError, LoginStep};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::{Event, Prepared, ReplyEnd, ReplyFramer};
use dormouse_wire::packet::{PacketBuffer, write_packet};
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::{ErrPacket, Tracking, retrack};
use dormouse_wire::text::{Limits, TextOutcome, TextResultSet};
use tokio::io::AsyncReadExt;

use crate::chunk::Chunk;
use crate::pool::Place;
use crate::refusal;
use crate::stream::{Peer, within, write_all};

pub(crate) use assume::{Residue, Schema};
pub(crate) use link::Link;
pub(crate) use shelf::{Shelf, Shelved};

/// The longest wait for a server's answer to what Dormouse itself asks.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer to what Dormouse itself asks, in bytes.
const LONGEST_ANSWER: usize = 1 << 20;

/// Who a client is to the server; fixed at the login or by `COM_CHANGE_USER`.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The user as it logs in.
    pub(crate) user: String,
    /// The host part of the account that matched.
    pub(crate) account_host: String,
    /// Whether the account demands TLS.
    pub(crate) tls: bool,
    /// Where the client comes from.
    pub(crate) peer: Peer,
    /// What client and Dormouse have agreed on.
    pub(crate) capabilities: Capabilities,
    /// The collation of the handshake: the server goes back to it on a reset.
    pub(crate) collation: u8,
    /// The largest packet the client takes.
    pub(crate) max_packet: u32,
    /// What the client's driver tells of itself.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why a backend could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    /// The server is gone, or does not answer.
    #[error("the server does not answer: {0}")]
    Gone(#[from] std::io::Error),
    /// It answers what no server would.
    #[error("the server's answer cannot be understood: {0}")]
    Malformed(#[from] Malformed),
    /// It refuses; its own words.
    #[error("{}", .0.message)]
    Refused(ErrPacket),
    /// A statement that restores the session failed.
    #[error("'{}' failed: {}", String::from_utf8_lossy(statement), error.message)]
    Restore {
        /// The statement.
        statement: Vec<u8>,
        /// The server's words.
        error: ErrPacket,
    },
}

/// A connection to a server, logged in.
pub(crate) struct Connection {
    stream: Link,
    thread: u32,
    capabilities: Capabilities,
}

/// A connection to a server, with its place in the pool.
pub(crate) struct Backend {
    pub(crate) stream: Link,
    /// The server process it belongs to.
    pub(crate) target: Arc<Target>,
    /// Whom the server takes it for.
    pub(crate) identity: Arc<Identity>,
    /// The server's connection id.
    pub(crate) thread: u32,
    pub(crate) capabilities: Capabilities,
    pub(crate) place: Place,
    /// The prepared statements it has.
    pub(crate) shelf: Shelf,
    /// What of a former session it still holds.
    pub(crate) residue: Residue,
    /// The event loop its socket is registered with.
    worker: std::thread::ThreadId,
}

impl Identity {
    /// Whether it is one of those who do not wake a database (`never_wakes`).
    pub(crate) fn is_one_of(&self, never_wakes: &[String]) -> bool {
        let attributes = self.attributes.iter();
        let program = attributes
            .filter(|(key, _)| key == b"program_name")
            .map(|(_, value)| value.as_slice())
            .next();
        never_wakes
            .iter()
            .any(|one| match one.strip_prefix("program:") {
                Some(name) => program == Some(name.as_bytes()),
                None => *one == self.user,
            })
    }

    /// Whether a backend of this identity can serve a session of the other: whatever was fixed at
    /// the server's login is the same.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || self.user == other.user
                && self.account_host == other.account_host
                && self.tls == other.tls
                && self.peer.host() == other.peer.host()
                && wanted(self.capabilities) == wanted(other.capabilities)
                && self.collation == other.collation
                && self.max_packet == other.max_packet
    }
}

impl Backend {
    /// A backend that nobody has used yet.
    pub(crate) fn new(
        connection: Connection,
        target: &Arc<Target>,
        identity: &Arc<Identity>,
        place: Place,
    ) -> Self {
        Self {
            stream: connection.stream,
            target: Arc::clone(target),
            identity: Arc::clone(identity),
            thread: connection.thread,
            capabilities: connection.capabilities,
            place,
            shelf: Shelf::default(),
            residue: Residue::none(),
            worker: std::thread::current().id(),
        }
    }

    /// One end of a socket pair as a backend, for tests of what surrounds it.
    #[cfg(test)]
    pub(crate) fn on(
        stream: Link,
        target: &Arc<Target>,
        identity: &Arc<Identity>,
        place: Place,
    ) -> Self {
        let connection = Connection {
            stream,
            thread: 1,
            capabilities: identity.capabilities,
        };
        Self::new(connection, target, identity, place)
    }

    /// Closes it; its place stays taken.
    pub(crate) fn close(self) -> Place {
        self.place
    }

    /// Keeps a statement that its session does not need here any more.
    pub(crate) fn keep_statement(&mut self, left: Left) {
        let Left { id, wording, types } = left;
        match wording {
            Some((text, schema)) => self.shelf.put(text, schema, Shelved { id, types }),
            None => self.shelf.close(id),
        }
    }

    /// Moves its socket to the event loop of the thread that is running.
    pub(crate) fn move_here(mut self) -> std::io::Result<Self> {
        let here = std::thread::current().id();
        if self.worker != here {
            self.stream = self.stream.move_here()?;
            self.worker = here;
        }
        Ok(self)
    }

    /// Connects and logs in.
    pub(crate) async fn connect(
        target: &Target,
        identity: &Identity,
        credential: [u8; 20],
    ) -> Result<Connection, BackendError> {
        let mut stream = within(PATIENCE, Link::connect(&target.socket)).await?;
        if let Some(header) = proxy_header(&identity.peer) {
            write_all(&mut stream, &header, PATIENCE).await?;
        }
        let mut login = ClientLogin::new(ClientConfig {
            capabilities: wanted(identity.capabilities).set(Capabilities::SSL, identity.tls),
            collation: identity.collation,
            max_packet: identity.max_packet,
            user: identity.user.clone().into_bytes(),
            stage1: Some(credential),
            schema: None,
            attributes: identity.attributes.clone(),
        });
        let mut packets = PacketBuffer::new(LONGEST_ANSWER);
        loop {
            let (seq, payload) = next_packet(&mut stream, &mut packets).await?;
            match login.on_payload(seq, &payload) {
                Ok(LoginStep::Send(bytes)) => write_all(&mut stream, &bytes, PATIENCE).await?,
                Ok(LoginStep::Secure(bytes)) => {
                    write_all(&mut stream, &bytes, PATIENCE).await?;
                    stream = within(PATIENCE, secure::secure(stream)).await?;
                    let bytes = login.secured().map_err(std::io::Error::other)?;
                    write_all(&mut stream, &bytes, PATIENCE).await?;
                }
                Ok(LoginStep::Done {
                    capabilities,
                    connection_id,
                    ..
                }) => {
                    return Ok(Connection {
                        stream,
                        thread: connection_id,
                        capabilities,
                    });
                }
                Err(LoginError::Refused(error)) => return Err(BackendError::Refused(error)),
                Err(LoginError::Malformed(malformed)) => return Err(malformed.into()),
                Err(LoginError::NoTls) => {
                    return Err(BackendError::Refused(refusal::server_without_tls(
                        &identity.user,
                    )));
                }
            }
        }
    }

    /// Sends a command of our own.
    async fn send(&mut self, command: Command, argument: &[u8]) -> Result<(), BackendError> {
        let mut packet = Vec::with_capacity(argument.len() + 5);
        write_packet(&mut packet, 0, &[&[command as u8], argument].concat());
        Ok(write_all(&mut self.stream, &packet, PATIENCE).await?)
    }

    /// Asks one question and reads its whole answer.
    pub(crate) async fn ask(&mut self, statement: &[u8]) -> Result<TextOutcome, BackendError> {
        self.send(Command::Query, statement).await?;
        self.outcome(&mut PacketBuffer::new(LONGEST_ANSWER)).await
    }

    /// Sends a command whose answer is one OK, EOF or ERR packet.
    pub(crate) async fn tell(
        &mut self,
        command: Command,
        argument: &[u8],
    ) -> Result<Option<ErrPacket>, BackendError> {
        self.send(command, argument).await?;
        let mut packets = PacketBuffer::new(LONGEST_ANSWER);
        let (_, payload) = next_packet(&mut self.stream, &mut packets).await?;
        let failed = payload.first() == Some(&0xff);
        Ok(if failed {
            Some(ErrPacket::parse(&payload)?)
        } else {
            None
        })
    }

    /// Prepares a statement once more.
    pub(crate) async fn prepare(
        &mut self,
        text: &[u8],
    ) -> Result<Result<Prepared, ErrPacket>, BackendError> {
        self.send(Command::StmtPrepare, text).await?;
        let mut framer = ReplyFramer::new(ReplyKind::Prepare, self.capabilities);
        let mut first = Vec::new();
        loop {
            let chunk = within(PATIENCE, Chunk::read(&mut self.stream)).await?;
            if chunk.is_empty() {
                return Err(BackendError::Gone(std::io::ErrorKind::UnexpectedEof.into()));
            }
            if first.len() < LONGEST_ANSWER {
                first.extend_from_slice(&chunk);
            }
            if let Event::End(end) = framer.feed(&chunk)?.event {
                return Ok(match end.prepared {
                    Some(prepared) => Ok(prepared),
                    None => Err(ErrPacket::parse(first.get(4..).unwrap_or_default())?),
                });
            }
        }
    }

    /// Whether a transaction is open, by the server's own word.
    pub(crate) async fn in_transaction(&mut self) -> Result<bool, BackendError> {
        let outcome = self.ask(b"SELECT @@in_transaction").await?;
        let TextOutcome::Rows { rows, .. } = outcome else {
            return Ok(true);
        };
        Ok(rows
            .first()
            .and_then(|row| row.first())
            .is_none_or(|c| c.as_deref() != Some(b"0")))
    }

    /// Asks the questions of a probe, each batch in one round trip.
    pub(crate) async fn probe(&mut self, probe: &mut Probe) -> Result<(), BackendError> {
        loop {
            let questions = probe.questions();
            if questions.is_empty() {
                return Ok(());
            }
            let mut bytes = Vec::new();
            for question in &questions {
                let (Question::Rows(text) | Question::Raw(text)) = question;
                write_packet(&mut bytes, 0, &[&[Command::Query as u8], &**text].concat());
            }
            write_all(&mut self.stream, &bytes, PATIENCE).await?;
            let mut ahead = Vec::new();
            let mut answers = Vec::with_capacity(questions.len());
            for question in &questions {
                answers.push(self.answer(question, &mut ahead).await?);
            }
            probe.answers(answers);
        }
    }

    /// Reads the outcome of one statement.
    async fn outcome(&mut self, packets: &mut PacketBuffer) -> Result<TextOutcome, BackendError> {
        let mut answer = TextResultSet::new(self.capabilities, Limits::default());
        loop {
            let (_, payload) = next_packet(&mut self.stream, packets).await?;
            match answer.on_payload(&payload) {
                Ok(Some(outcome)) if !answer.expects_more() => return Ok(outcome),
                Ok(_) => {}
                Err(error) => return Err(BackendError::Gone(std::io::Error::other(error))),
            }
        }
    }

    /// Runs a statement and returns the packets of its reply, for a client that is told so much of
    /// changes in its session, and what their end says.
    pub(crate) async fn reply_to(
        &mut self,
        command: &[u8],
        tracking: Tracking,
    ) -> std::io::Result<(Vec<u8>, ReplyEnd)> {
        write_all(&mut self.stream, command, PATIENCE).await?;
        let mut framer = ReplyFramer::new(ReplyKind::ResultSet, self.capabilities);
        let mut reply = Vec::new();
        let mut seen = 0;
        loop {
            let chunk = within(PATIENCE, Chunk::read(&mut self.stream)).await?;
            if chunk.is_empty() || reply.len() > LONGEST_ANSWER {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            reply.extend_from_slice(&chunk);
            while seen < reply.len() {
                let step = framer
                    .feed_to_change(&reply[seen..])
                    .map_err(std::io::Error::other)?;
                seen += step.consumed;
                let begin = seen - step.tracks;
                if step.tracks > 0
                    && let Some(packet) = retrack(&reply[begin..seen], tracking)
                {
                    reply.splice(begin..seen, packet.iter().copied());
                    seen = begin + packet.len();
                }
                if let Event::End(end) = step.event {
                    return Ok((reply, end));
                }
            }
        }
    }
}

/// What the server is asked for: what client and Dormouse agreed on, less what ends at Dormouse. It
/// always tells of changes in the session: the relay passes on what the client has asked for.
/// `NO_SCHEMA`, by which a client forbids itself `schema.table`, would forbid it to the probe too.
fn wanted(agreed: Capabilities) -> Capabilities {
    agreed
        .set(Capabilities::SSL, false)
        .set(Capabilities::COMPRESS, false)
        .set(Capabilities::NO_SCHEMA, false)
        .set(Capabilities::CONNECT_WITH_DB, false)
        .set(Capabilities::SESSION_TRACK, true)
        .set(Capabilities::PLUGIN_AUTH, true)
        .set(Capabilities::SECURE_CONNECTION, true)
        .set(Capabilities::PROTOCOL_41, true)
}

/// The PROXY protocol's line (version 1, haproxy.org "The PROXY protocol" §2.1) that tells the
/// server where the client is, so that accounts bound to hosts work.
fn proxy_header(peer: &Peer) -> Option<Vec<u8>> {
    let Peer::Tcp { from, to } = peer else {
        return None;
    };
    let (source, target) = (from.ip().to_canonical(), to.ip().to_canonical());
    let family = match (source, target) {
        (IpAddr::V4(_), IpAddr::V4(_)) => "TCP4",
        _ => "TCP6",
    };
    let line = format!(
        "PROXY {family} {source} {target} {} {}\r\n",
        from.port(),
        to.port()
    );
    Some(line.into_bytes())
}

async fn next_packet(
    stream: &mut Link,
    packets: &mut PacketBuffer,
) -> Result<(u8, Vec<u8>), BackendError> {
    loop {
        match packets.next() {
            Ok(Some(packet)) => return Ok(packet),
            Ok(None) => {}
            Err(error) => return Err(BackendError::Gone(std::io::Error::other(error))),
        }
        let mut bytes = Vec::with_capacity(4096);
        if within(PATIENCE, stream.read_buf(&mut bytes)).await? == 0 {
            return Err(BackendError::Gone(std::io::ErrorKind::UnexpectedEof.into()));
        }
        packets.push(&bytes);
    }
}
