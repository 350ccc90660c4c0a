//! A client that sends single packets, so that a test can also violate the protocol.

mod from;
mod stream;
mod zip;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use dormouse_wire::auth::{CACHING_SHA2, NATIVE, caching_sha2, ed25519, native, parsec};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::{Event, ReplyFramer};
use dormouse_wire::greeting::Greeting;
use dormouse_wire::login::{AuthSwitch, Login, SslRequest};
use dormouse_wire::packet::{HEADER, Header, write_packet};
use dormouse_wire::reply::{ErrPacket, OkPacket};
use dormouse_wire::status::Status;
use dormouse_wire::text::{Limits, TextOutcome, TextResultSet};

use stream::Stream;

/// A connection to a server or to Dormouse.
pub struct Client {
    stream: Box<dyn Stream>,
    /// The greeting of the other side.
    pub greeting: Option<Greeting>,
    /// The client's capabilities.
    pub capabilities: Capabilities,
    /// The collation of its login.
    pub collation: u8,
    /// Connection attributes of its login.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Number of bytes that [`receive`](Client::receive) has read, including headers.
    pub received: u64,
    seq: u8,
}

/// Result of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// No rows.
    Ok(OkPacket),
    /// Rows, as text.
    Rows(Vec<Vec<Option<String>>>),
    /// An error.
    Err(ErrPacket),
}

impl Reply {
    /// The OK packet; panics if it is another result.
    pub fn ok(self) -> OkPacket {
        match self {
            Self::Ok(ok) => ok,
            other => panic!("expected OK, got {other:?}"),
        }
    }

    /// The rows; panics if there are none.
    pub fn rows(self) -> Vec<Vec<Option<String>>> {
        match self {
            Self::Rows(rows) => rows,
            other => panic!("expected rows, got {other:?}"),
        }
    }

    /// The only value of the only row; panics otherwise.
    pub fn value(self) -> String {
        let rows = self.rows();
        match rows.as_slice() {
            [row] => match row.as_slice() {
                [value] => value.clone().unwrap_or_else(|| "NULL".to_owned()),
                _ => panic!("expected one column, got {row:?}"),
            },
            _ => panic!("expected one row, got {rows:?}"),
        }
    }

    /// The error; panics if there is none.
    pub fn err(self) -> ErrPacket {
        match self {
            Self::Err(error) => error,
            other => panic!("expected an error, got {other:?}"),
        }
    }
}

/// Timeout of a read: longer than any correct operation takes.
const PATIENCE: Duration = Duration::from_secs(60);

impl Client {
    /// Connects by TCP and reads the greeting.
    #[must_use]
    pub fn tcp(address: &str) -> Self {
        let mut client = Self::silent(address);
        client.greet();
        client
    }

    /// Connects by TCP, reads the greeting, and continues over TLS with any certificate.
    #[must_use]
    pub fn tls(address: &str) -> Self {
        Self::tls_with(address, crate::tls::config())
    }

    /// As [`tls`](Self::tls), with a configuration.
    #[must_use]
    pub fn tls_with(address: &str, config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        let mut stream = Self::socket(address);
        let twin = stream.try_clone().expect("a socket");
        let mut plain = Self::new(Box::new(twin));
        plain.greet();
        let capabilities = Self::plain_capabilities() | Capabilities::SSL;
        let request = SslRequest {
            capabilities,
            max_packet: 1 << 24,
            collation: 45,
        };
        let mut packet = Vec::new();
        let seq = write_packet(&mut packet, 1, &request.encode());
        stream.write_all(&packet).expect("it reads");
        let tls = rustls::StreamOwned::new(crate::tls::connection("localhost", config), stream);
        let mut client = Self::new(Box::new(tls));
        client.greeting = plain.greeting;
        client.capabilities = capabilities;
        client.seq = seq;
        client
    }

    /// Switches to the compressed protocol; the login must have requested it
    /// ([`capabilities`](Self::capabilities)).
    pub fn compress(&mut self) {
        let nothing: Box<dyn Stream> = Box::new(UnixStream::pair().expect("a pair").0);
        let inner = std::mem::replace(&mut self.stream, nothing);
        self.stream = Box::new(zip::Zip::new(inner));
    }

    /// Connects by TCP without reading the greeting.
    #[must_use]
    pub fn silent(address: &str) -> Self {
        Self::new(Box::new(Self::socket(address)))
    }

    fn socket(address: &str) -> TcpStream {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream
    }

    /// Connects by Unix socket and reads the greeting.
    #[must_use]
    pub fn unix(path: &Path) -> Self {
        Self::on(UnixStream::connect(path).expect("it listens"))
    }

    /// Connects by Unix socket and reads the greeting.
    ///
    /// # Errors
    /// Nobody listens, or there is no greeting.
    pub fn try_unix(path: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self::new(Box::new(stream));
        let payload = client.receive()?;
        client.read_greeting(&payload);
        Ok(client)
    }

    /// Reads the greeting from a connected Unix socket.
    #[must_use]
    pub fn on(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = Self::new(Box::new(stream));
        client.greet();
        client
    }

    /// The default capabilities.
    #[must_use]
    pub fn plain_capabilities() -> Capabilities {
        Capabilities::OWN_CLIENT | Capabilities::LOCAL_FILES | Capabilities::STMT_BULK
    }

    fn new(stream: Box<dyn Stream>) -> Self {
        let capabilities = Self::plain_capabilities();
        Self {
            stream,
            greeting: None,
            capabilities,
            collation: 45,
            attributes: Vec::new(),
            received: 0,
            seq: 0,
        }
    }

    /// Reads the greeting.
    pub fn greet(&mut self) {
        let payload = self.receive().expect("a greeting");
        self.read_greeting(&payload);
    }

    /// Takes this payload for the greeting.
    pub fn read_greeting(&mut self, payload: &[u8]) {
        self.greeting = Some(Greeting::parse(payload).expect("a greeting"));
    }

    /// The connection id from the greeting.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.greeting.as_ref().expect("greeted").connection_id
    }

    /// The login packet's payload for a native password.
    #[must_use]
    pub fn login_packet(&self, user: &str, password: &str, schema: Option<&str>) -> Vec<u8> {
        let salt = self.greeting.as_ref().expect("greeted").salt;
        let auth = match password {
            "" => Vec::new(),
            password => native::reply(&native::stage1(password.as_bytes()), &salt).to_vec(),
        };
        let with_schema = self
            .capabilities
            .set(Capabilities::CONNECT_WITH_DB, schema.is_some());
        Login {
            capabilities: with_schema,
            max_packet: 1 << 24,
            collation: self.collation,
            user: user.as_bytes().to_vec(),
            auth,
            schema: schema.map(|schema| schema.as_bytes().to_vec()),
            plugin: Some(NATIVE.to_owned()),
            attributes: self.attributes.clone(),
        }
        .encode()
    }

    /// Logs in with a native password.
    pub fn login(&mut self, user: &str, password: &str, schema: Option<&str>) -> Reply {
        let packet = self.login_packet(user, password, schema);
        self.send(&packet);
        self.prove(password)
    }

    /// Logs in with SHA1(password).
    pub fn login_with(&mut self, user: &[u8], stage1: &[u8; 20]) -> Reply {
        let login = self.native_login(user, stage1);
        self.send(&login);
        self.prove("")
    }

    /// The same, with a server that may end meanwhile.
    ///
    /// # Errors
    /// It has ended, or refuses the login.
    pub fn try_login_with(&mut self, user: &[u8], stage1: &[u8; 20]) -> io::Result<()> {
        let mut packet = Vec::new();
        write_packet(&mut packet, self.seq, &self.native_login(user, stage1));
        self.send_raw(&packet)?;
        let payload = self.receive()?;
        let ok = OkPacket::parse(&payload, self.capabilities);
        ok.map(drop).map_err(io::Error::other)
    }

    fn native_login(&self, user: &[u8], stage1: &[u8; 20]) -> Vec<u8> {
        let salt = self.greeting.as_ref().expect("greeted").salt;
        let login = Login {
            capabilities: self.capabilities,
            max_packet: 1 << 24,
            collation: self.collation,
            user: user.to_vec(),
            auth: native::reply(stage1, &salt).to_vec(),
            schema: None,
            plugin: Some(NATIVE.to_owned()),
            attributes: Vec::new(),
        };
        login.encode()
    }

    /// Logs in like the client of MySQL 9.7: it begins with `caching_sha2_password` and waits for the
    /// server's request, as the greeting names another plugin.
    pub fn login_mysql(&mut self, user: &str, password: &str) -> Reply {
        let login = Login {
            capabilities: self.capabilities,
            max_packet: 1 << 24,
            collation: 45,
            user: user.as_bytes().to_vec(),
            auth: Vec::new(),
            schema: None,
            plugin: Some(CACHING_SHA2.to_owned()),
            attributes: Vec::new(),
        };
        self.send(&login.encode());
        self.prove(password)
    }

    /// Answers the requests of the other side until the end of the login.
    fn prove(&mut self, password: &str) -> Reply {
        let secret = password.as_bytes();
        let mut nonce = Vec::new();
        loop {
            let payload = self.receive().expect("an answer to the login");
            let answer = match payload[0] {
                0xff => return Reply::Err(ErrPacket::parse(&payload).expect("an error")),
                0x00 => {
                    let ok = OkPacket::parse(&payload, self.capabilities);
                    return Reply::Ok(ok.expect("an OK"));
                }
                0xfe => {
                    let switch = AuthSwitch::parse(&payload).expect("a switch");
                    let salt = switch.salt().expect("a salt");
                    nonce.clone_from(&switch.data);
                    match switch.plugin.as_str() {
                        parsec::PLUGIN => Vec::new(),
                        ed25519::CLIENT => ed25519::reply(secret, &nonce).to_vec(),
                        CACHING_SHA2 if secret.is_empty() => vec![0],
                        _ if secret.is_empty() => Vec::new(),
                        NATIVE => native::reply(&native::stage1(secret), &salt).to_vec(),
                        CACHING_SHA2 => caching_sha2::reply(secret, &salt).to_vec(),
                        other => panic!("asked for {other}"),
                    }
                }
                0x01 if payload[1..] == [caching_sha2::PERFORM_FULL] => [secret, &[0]].concat(),
                0x01 => {
                    let stretch = parsec::Stretch::parse(&payload[1..]).expect("a salt");
                    let nonce = nonce.as_slice().try_into().expect("32 bytes");
                    stretch.reply(secret, nonce, &[7; 32])
                }
                other => panic!("expected an answer to a login, got {other:#x}"),
            };
            self.send(&answer);
        }
    }

    /// Sends one packet with the next sequence number.
    pub fn send(&mut self, payload: &[u8]) {
        let mut packet = Vec::new();
        self.seq = write_packet(&mut packet, self.seq, payload);
        self.stream.write_all(&packet).expect("it reads");
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Sends raw bytes and receives as many as fit into `reply`, with little overhead, for
    /// measurements.
    ///
    /// # Errors
    /// The other side has closed, or sends nothing for a minute.
    pub fn exchange(&mut self, request: &[u8], reply: &mut [u8]) -> io::Result<()> {
        self.stream.write_all(request)?;
        self.stream.read_exact(reply)
    }

    /// Shuts down the sending direction; replies can still be received.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn finish_sending(&self) -> io::Result<()> {
        self.stream.finish_sending()
    }

    /// Encodes a command's packets as they are sent on this connection (compressed or not).
    pub fn packed(&mut self, packets: &[u8]) -> Vec<u8> {
        self.stream.packed(packets)
    }

    /// Sends bytes made by [`packed`](Self::packed), or a part of them.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn send_packed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_packed(bytes)
    }

    /// Receives some bytes; none if the other side has closed.
    ///
    /// # Errors
    /// The connection is broken, or the other side sends nothing for a minute.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.stream.read(room)
    }

    /// Makes closing the connection send a reset.
    pub fn reset_on_close(&self) {
        // fails if the other side has closed already, which needs no reset
        let _ = self.stream.reset_on_close();
    }

    /// Waits, without reading, until the other side has closed the connection.
    #[must_use]
    pub fn is_cut_within(&self, time: Duration) -> bool {
        self.stream.is_cut_within(time)
    }

    /// Receives one packet.
    ///
    /// # Errors
    /// The other side has closed, or sends nothing for a minute.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let mut header = [0; HEADER];
            self.stream.read_exact(&mut header)?;
            let header = Header::parse(header);
            let at = all.len();
            all.resize(at + header.len, 0);
            self.stream.read_exact(&mut all[at..])?;
            self.seq = header.seq.wrapping_add(1);
            self.received += (HEADER + header.len) as u64;
            if !header.continues() {
                return Ok(all);
            }
        }
    }

    /// Sends a command.
    pub fn command(&mut self, command: Command, argument: &[u8]) {
        self.seq = 0;
        self.send(&[&[command as u8], argument].concat());
    }

    /// Runs a statement; returns its last result.
    pub fn query(&mut self, text: &str) -> Reply {
        self.try_query(text).expect("the connection lives")
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn try_query(&mut self, text: &str) -> io::Result<Reply> {
        self.seq = 0;
        let mut packet = Vec::new();
        write_packet(
            &mut packet,
            0,
            &[&[Command::Query as u8], text.as_bytes()].concat(),
        );
        self.send_raw(&packet)?;
        self.result()
    }

    /// Receives the results of a statement; returns the last.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn result(&mut self) -> io::Result<Reply> {
        let limits = Limits {
            rows: 1 << 24,
            bytes: 1 << 30,
        };
        let mut result = TextResultSet::new(self.capabilities, limits);
        loop {
            let payload = self.receive()?;
            let outcome = result.on_payload(&payload).map_err(io::Error::other)?;
            let reply = match outcome {
                None => continue,
                Some(TextOutcome::Ok(ok)) => Reply::Ok(ok),
                Some(TextOutcome::Err(error)) => Reply::Err(error),
                Some(TextOutcome::Rows { rows, .. }) => {
                    Reply::Rows(rows.into_iter().map(texts).collect())
                }
            };
            if !result.expects_more() {
                return Ok(reply);
            }
        }
    }

    /// Prepares a statement; returns its id.
    pub fn prepare(&mut self, text: &str) -> u32 {
        self.command(Command::StmtPrepare, text.as_bytes());
        let first = self.receive().expect("a reply");
        assert_eq!(first[0], 0, "{:?}", ErrPacket::parse(&first));
        let number = |at: usize| u16::from_le_bytes([first[at], first[at + 1]]);
        let eof = !self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        for count in [number(7), number(5)] {
            for _ in 0..count + u16::from(count > 0 && eof) {
                self.receive().expect("a definition");
            }
        }
        u32::from_le_bytes([first[1], first[2], first[3], first[4]])
    }

    /// The packets of a reply to an execution, including the last one.
    pub fn binary_reply(&mut self) -> Vec<Vec<u8>> {
        let mut packets = vec![self.receive().expect("a reply")];
        let columns = packets[0][0];
        if matches!(columns, 0 | 0xff) {
            return packets;
        }
        let eof = !self.capabilities.contains(Capabilities::DEPRECATE_EOF);
        for _ in 0..columns + u8::from(eof) {
            packets.push(self.receive().expect("a definition"));
        }
        let has_cursor = |eof: &[u8]| {
            eof.len() == 5
                && Status(u16::from_le_bytes([eof[3], eof[4]])).contains(Status::CURSOR_EXISTS)
        };
        if eof && packets.last().is_some_and(|last| has_cursor(last)) {
            return packets;
        }
        loop {
            let packet = self.receive().expect("a row or the end");
            let is_end = matches!(packet[0], 0xfe | 0xff) && packet.len() < 100;
            packets.push(packet);
            if is_end {
                return packets;
            }
        }
    }

    /// Sends a command and returns the bytes of its whole reply.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn exchange_whole(&mut self, command: Command, argument: &[u8]) -> io::Result<Vec<u8>> {
        let payload = [&[command as u8], argument].concat();
        let kind = ReplyKind::of(&payload);
        let mut packet = Vec::new();
        write_packet(&mut packet, 0, &payload);
        self.send_raw(&packet)?;
        let mut reply = Vec::new();
        if kind == ReplyKind::None {
            return Ok(reply);
        }
        let mut framer = ReplyFramer::new(kind, self.capabilities);
        loop {
            let mut header = [0; HEADER];
            self.stream.read_exact(&mut header)?;
            let at = reply.len();
            reply.extend_from_slice(&header);
            reply.resize(at + HEADER + Header::parse(header).len, 0);
            self.stream.read_exact(&mut reply[at + HEADER..])?;
            let step = framer.feed(&reply[at..]).map_err(io::Error::other)?;
            if let Event::End(_) = step.event {
                return Ok(reply);
            }
        }
    }

    /// Sends a ping and receives its answer.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn ping(&mut self) -> io::Result<Vec<u8>> {
        let mut packet = Vec::new();
        write_packet(&mut packet, 0, &[Command::Ping as u8]);
        self.send_raw(&packet)?;
        self.receive()
    }
}

fn texts(row: Vec<Option<Vec<u8>>>) -> Vec<Option<String>> {
    row.into_iter()
        .map(|c| c.map(|c| String::from_utf8_lossy(&c).into_owned()))
        .collect()
}
