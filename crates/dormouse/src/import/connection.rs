//! A client's connection to Dormouse, on its Unix socket, or to another server. Blocking.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use dormouse_api::ErrorBody;
use dormouse_types::DatabaseName;
use dormouse_wire::status::Status;
use dormouse_wire::{
    Capabilities, ClientConfig, ClientLogin, Command, ErrPacket, Limits, LoginError, LoginStep,
    PacketBuffer, TextOutcome, TextResultSet, native, write_packet,
};

use crate::Outcome;
use crate::credentials::Password;

/// Largest packet accepted from the server.
const MAX_ANSWER: usize = 16 << 20;

/// Collation of the connection: `utf8mb4_general_ci`.
const UTF8MB4: u8 = 45;

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused it: nothing of it was done, if its tables have transactions.
    Refused(ErrPacket),
    /// The connection broke: whether the statement ran is unknown.
    Gone(String),
}

/// What a statement gave.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Rows changed.
    pub(crate) affected: u64,
    /// Warnings.
    pub(crate) warnings: u16,
    /// The first row of its rows, as text.
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

/// What bytes go through: a socket, or TLS on one.
pub(crate) trait Stream: Read + Write + Send + std::fmt::Debug {}

impl<T: Read + Write + Send + std::fmt::Debug> Stream for T {}

/// Begins TLS on a stream.
pub(crate) type Secure<'a> = &'a dyn Fn(Box<dyn Stream>) -> io::Result<Box<dyn Stream>>;

/// Who logs in, and how.
pub(crate) struct Login<'a> {
    pub(crate) user: String,
    pub(crate) password: &'a str,
    /// Capabilities beyond those that every connection here has.
    pub(crate) capabilities: Capabilities,
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) secure: Option<Secure<'a>>,
}

/// What one of several statements that were sent together gave: rows changed, and warnings.
pub(crate) type Each = (u64, u16);

/// A connection that has logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    packets: PacketBuffer,
    capabilities: Capabilities,
    status: Status,
}

impl Connection {
    /// Logs in to a database as one of its users.
    ///
    /// # Errors
    /// Dormouse does not listen there or refuses the login.
    pub(crate) fn open(
        socket: &Path,
        name: &DatabaseName,
        user: &str,
        password: &Password,
    ) -> Outcome<Self> {
        Self::open_with(
            socket,
            name,
            user,
            password,
            Capabilities::default(),
            Vec::new(),
        )
    }

    /// The same with further capabilities and attributes.
    ///
    /// # Errors
    /// As those of [`open`](Self::open).
    pub(crate) fn open_with(
        socket: &Path,
        name: &DatabaseName,
        user: &str,
        password: &Password,
        capabilities: Capabilities,
        mut attributes: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Outcome<Self> {
        let failed = |e: String| {
            let message = format!("cannot log in to {name} as {user}: {e}");
            ErrorBody::new("refused", message)
        };
        let stream = UnixStream::connect(socket).map_err(|e| failed(e.to_string()))?;
        attributes.push((b"program_name".to_vec(), b"dormouse".to_vec()));
        let login = Login {
            user: format!("{name}.{user}"),
            password: &password.0,
            capabilities,
            attributes,
            secure: None,
        };
        Self::over(Box::new(stream), login).map_err(|error| match error {
            LoginError::Refused(error) => {
                let hint =
                    "the password is the one that `dormouse create` has saved, or $MYSQL_PWD";
                failed(error.to_string()).with_hint(hint)
            }
            other => failed(other.to_string()),
        })
    }

    /// Logs in to a server on a stream that was just connected.
    ///
    /// # Errors
    /// The server refuses the login, or the stream breaks.
    pub(crate) fn over(stream: Box<dyn Stream>, login: Login<'_>) -> Result<Self, LoginError> {
        let broken = |error: io::Error| {
            let text = format!("the connection broke: {error}");
            LoginError::Refused(ErrPacket::new(2013, "HY000", text))
        };
        let mut line = Self {
            stream,
            packets: PacketBuffer::new(MAX_ANSWER),
            capabilities: Capabilities::default(),
            status: Status::AUTOCOMMIT,
        };
        let wanted = Capabilities::TRANSACTIONS | Capabilities::DEPRECATE_EOF | login.capabilities;
        let mut steps = ClientLogin::new(ClientConfig {
            capabilities: wanted.set(Capabilities::SSL, login.secure.is_some()),
            collation: UTF8MB4,
            max_packet: 1 << 30,
            user: login.user.into_bytes(),
            stage1: (!login.password.is_empty()).then(|| native::stage1(login.password.as_bytes())),
            schema: None,
            attributes: login.attributes,
        });
        loop {
            let (seq, payload) = line.payload().map_err(broken)?;
            match steps.on_payload(seq, &payload)? {
                LoginStep::Send(bytes) => line.stream.write_all(&bytes).map_err(broken)?,
                LoginStep::Secure(bytes) => {
                    line.stream.write_all(&bytes).map_err(broken)?;
                    if let Some(secure) = login.secure {
                        line.stream = secure(line.stream).map_err(broken)?;
                    }
                    let bytes = steps.secured()?;
                    line.stream.write_all(&bytes).map_err(broken)?;
                    line.stream.flush().map_err(broken)?;
                }
                LoginStep::Done {
                    ok, capabilities, ..
                } => {
                    line.capabilities = capabilities;
                    line.status = ok.status;
                    return Ok(line);
                }
            }
        }
    }

    /// Sends a command that is no statement.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) fn command(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(payload.len() + 8);
        write_packet(&mut bytes, 0, payload);
        self.stream.write_all(&bytes)?;
        self.stream.flush()
    }

    /// Lets packets of this many bytes in.
    pub(crate) fn accept(&mut self, most: usize) {
        self.packets = PacketBuffer::new(most);
    }

    /// The session's status after the last statement that told it.
    pub(crate) fn status(&self) -> Status {
        self.status
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub(crate) fn run(&mut self, text: &[u8]) -> Result<Answer, Failure> {
        let gone = |e: io::Error| Failure::Gone(e.to_string());
        let mut bytes = Vec::with_capacity(text.len() + 8);
        let mut command = Vec::with_capacity(text.len() + 1);
        command.push(Command::Query as u8);
        command.extend_from_slice(text);
        write_packet(&mut bytes, 0, &command);
        drop(command);
        let sent = self.stream.write_all(&bytes);
        if let Err(error) = sent.and_then(|()| self.stream.flush()) {
            // the server may have said why it closed the connection
            return Err(match self.result() {
                Err(refused @ Failure::Refused(_)) => refused,
                _ => gone(error),
            });
        }
        drop(bytes);
        self.result()
    }

    /// Runs one of the importer's own questions.
    ///
    /// # Errors
    /// The question failed.
    pub(crate) fn ask(&mut self, text: &str) -> Outcome<Vec<Vec<Option<String>>>> {
        match self.run(text.as_bytes()) {
            Ok(answer) => Ok(answer.rows),
            Err(Failure::Refused(error)) => Err(ErrorBody::new(
                "refused",
                format!("the database refused a question of the import ({text}): {error}"),
            )),
            Err(Failure::Gone(error)) => Err(ErrorBody::new(
                "machine",
                format!("the connection to dormouse broke: {error}"),
            )),
        }
    }

    /// Runs statements that are sent together, and adds what each gives; after one that is refused the others do not run.
    ///
    /// # Errors
    /// As [`Failure`] says.
    pub(crate) fn run_all(&mut self, text: &[u8], each: &mut Vec<Each>) -> Result<(), Failure> {
        let gone = |e: io::Error| Failure::Gone(e.to_string());
        let mut command = Vec::with_capacity(text.len() + 1);
        command.push(Command::Query as u8);
        command.extend_from_slice(text);
        self.command(&command).map_err(gone)?;
        self.results(Some(each)).map(drop)
    }

    fn result(&mut self) -> Result<Answer, Failure> {
        self.results(None)
    }

    fn results(&mut self, mut each: Option<&mut Vec<Each>>) -> Result<Answer, Failure> {
        let limits = Limits {
            rows: 1_000_000,
            bytes: 256 << 20,
        };
        let mut result = TextResultSet::new(self.capabilities, limits);
        let mut answer = Answer::default();
        loop {
            let gone = |e: io::Error| Failure::Gone(e.to_string());
            let (_, payload) = self.payload().map_err(gone)?;
            let outcome = result.on_payload(&payload);
            match outcome.map_err(|e| Failure::Gone(e.to_string()))? {
                None => continue,
                Some(TextOutcome::Ok(ok)) => {
                    self.status = ok.status;
                    answer.affected += ok.affected;
                    if let Some(each) = &mut each {
                        each.push((ok.affected, ok.warnings));
                    }
                    answer.warnings = answer.warnings.saturating_add(ok.warnings);
                }
                Some(TextOutcome::Rows { rows, .. }) => {
                    let text = |v: Vec<u8>| String::from_utf8_lossy(&v).into_owned();
                    let row =
                        |row: Vec<Option<Vec<u8>>>| row.into_iter().map(|v| v.map(text)).collect();
                    answer.rows = rows.into_iter().map(row).collect();
                }
                Some(TextOutcome::Err(error)) => return Err(Failure::Refused(error)),
            }
            if !result.expects_more() {
                return Ok(answer);
            }
        }
    }

    /// Whether bytes have arrived that were not taken.
    pub(crate) fn has_packet(&self) -> bool {
        !self.packets.is_empty()
    }

    /// The next packet.
    ///
    /// # Errors
    /// The connection broke, or the packet is too large.
    pub(crate) fn payload(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut bytes = [0; 32 << 10];
        loop {
            if let Some(packet) = self.packets.next().map_err(io::Error::other)? {
                return Ok(packet);
            }
            let length = self.stream.read(&mut bytes)?;
            if length == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the other end has closed it",
                ));
            }
            self.packets.push(bytes.get(..length).unwrap_or_default());
        }
    }
}
