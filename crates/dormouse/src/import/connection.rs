//! A client's connection to Dormouse, on its Unix socket. Blocking.

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

/// A connection that has logged in.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
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
        let failed = |e: String| {
            let message = format!("cannot log in to {name} as {user}: {e}");
            ErrorBody::new("refused", message)
        };
        let stream = UnixStream::connect(socket).map_err(|e| failed(e.to_string()))?;
        let mut line = Self {
            stream,
            packets: PacketBuffer::new(MAX_ANSWER),
            capabilities: Capabilities::default(),
            status: Status::AUTOCOMMIT,
        };
        let mut login = ClientLogin::new(ClientConfig {
            capabilities: Capabilities::TRANSACTIONS | Capabilities::DEPRECATE_EOF,
            collation: UTF8MB4,
            max_packet: 1 << 30,
            user: format!("{name}.{user}").into_bytes(),
            stage1: (!password.0.is_empty()).then(|| native::stage1(password.0.as_bytes())),
            schema: None,
            attributes: vec![(b"program_name".to_vec(), b"dormouse".to_vec())],
        });
        loop {
            let (seq, payload) = line.payload().map_err(|e| failed(e.to_string()))?;
            match login.on_payload(seq, &payload) {
                Ok(LoginStep::Send(bytes)) => {
                    line.stream
                        .write_all(&bytes)
                        .map_err(|e| failed(e.to_string()))?;
                }
                Ok(LoginStep::Secure(_)) => return Err(failed("TLS was not asked for".to_owned())),
                Ok(LoginStep::Done {
                    ok, capabilities, ..
                }) => {
                    line.capabilities = capabilities;
                    line.status = ok.status;
                    return Ok(line);
                }
                Err(LoginError::Refused(error)) => {
                    let hint =
                        "the password is the one that `dormouse create` has saved, or $MYSQL_PWD";
                    return Err(failed(error.to_string()).with_hint(hint));
                }
                Err(other) => return Err(failed(other.to_string())),
            }
        }
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
        if let Err(error) = self.stream.write_all(&bytes) {
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

    fn result(&mut self) -> Result<Answer, Failure> {
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

    fn payload(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut bytes = [0; 16 << 10];
        loop {
            if let Some(packet) = self.packets.next().map_err(io::Error::other)? {
                return Ok(packet);
            }
            let length = self.stream.read(&mut bytes)?;
            if length == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "dormouse closed the connection",
                ));
            }
            self.packets.push(bytes.get(..length).unwrap_or_default());
        }
    }
}
