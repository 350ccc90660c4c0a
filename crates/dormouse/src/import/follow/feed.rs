//! The other server's binary log, read by a thread of its own.
//!
//! The thread reads ahead by a few pieces and then waits: so a source that is faster than the database fills no memory.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use dormouse_wire::ErrPacket;

use super::halt::Halt;
use super::position::Place;
use super::source::ask;
use crate::import::connection::Connection;

/// Bytes of events that are handed over at once, if there are so many.
const PIECE: usize = 128 << 10;
/// Pieces read ahead.
const AHEAD: usize = 16;
/// Largest event.
const LARGEST: usize = 1 << 30;

/// Command: send me the binary log.
const COM_BINLOG_DUMP: u8 = 0x12;
/// Command: I am a replica.
const COM_REGISTER_SLAVE: u8 = 0x15;
/// The log is not there any more, or the position is none.
const FATAL_READING: u16 = 1236;

type Piece = Result<Vec<Vec<u8>>, Halt>;

/// The events, in order.
#[derive(Debug)]
pub(crate) struct Feed {
    receiver: Receiver<Piece>,
    /// Whether events have checksums in front of the first description of the format.
    pub(crate) checksums: bool,
}

impl Feed {
    /// Begins to read at a place.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub(crate) fn open(mut connection: Connection, from: &Place) -> Result<Self, Halt> {
        let gone = |e: io::Error| Halt::Source(format!("the other server is gone: {e}"));
        ask(&mut connection, "SET @master_heartbeat_period = 1000000000")?;
        ask(
            &mut connection,
            "SET @master_binlog_checksum = @@global.binlog_checksum",
        )?;
        ask(&mut connection, "SET @mariadb_slave_capability = 4")?;
        ask(&mut connection, "SET net_write_timeout = 3600")?;
        let checksums = super::source::value(&mut connection, "SELECT @@global.binlog_checksum")?;
        // another replica's number would make the server end that one
        let server: u32 = 0x4000_0000 | std::process::id();
        let mut register = vec![COM_REGISTER_SLAVE];
        register.extend_from_slice(&server.to_le_bytes());
        // no host, user, password, port, rank, id of its own source
        register.extend_from_slice(&[0; 3 + 2 + 4 + 4]);
        connection.command(&register).map_err(gone)?;
        let (_, answer) = connection.payload().map_err(gone)?;
        check(&answer)?;
        let mut dump = vec![COM_BINLOG_DUMP];
        let position = u32::try_from(from.position).unwrap_or(u32::MAX);
        dump.extend_from_slice(&position.to_le_bytes());
        dump.extend_from_slice(&0u16.to_le_bytes());
        dump.extend_from_slice(&server.to_le_bytes());
        dump.extend_from_slice(from.file.as_bytes());
        connection.accept(LARGEST);
        connection.command(&dump).map_err(gone)?;
        let (sender, receiver) = sync_channel(AHEAD);
        std::thread::spawn(move || read(connection, &sender));
        Ok(Self {
            receiver,
            checksums: checksums.as_deref() == Some("CRC32"),
        })
    }

    /// The next events, if they are there.
    ///
    /// # Errors
    /// The server is gone, or has no such log.
    pub(crate) fn try_next(&self) -> Result<Option<Vec<Vec<u8>>>, Halt> {
        match self.receiver.try_recv() {
            Ok(piece) => piece.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(ended()),
        }
    }

    /// The next events; waits for them.
    ///
    /// # Errors
    /// As those of [`try_next`](Self::try_next).
    pub(crate) fn next(&self, patience: Duration) -> Result<Option<Vec<Vec<u8>>>, Halt> {
        match self.receiver.recv_timeout(patience) {
            Ok(piece) => piece.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
        }
    }
}

fn ended() -> Halt {
    Halt::Source("the other server has closed the connection".to_owned())
}

fn check(packet: &[u8]) -> Result<(), Halt> {
    match packet.first() {
        Some(0) => Ok(()),
        Some(0xFF) => {
            let error = ErrPacket::parse(packet).map_err(|e| Halt::Source(e.to_string()))?;
            Err(match error.code {
                FATAL_READING if error.message.contains("slave_id") => {
                    Halt::Source(error.to_string())
                }
                FATAL_READING => Halt::stop(
                    format!("the other server cannot give its binary log from there: {error}"),
                    "it has removed the log, or it is another server: begin anew with --restart, and keep the log longer (expire_logs_days)",
                ),
                1227 => Halt::stop(
                    format!("the other server does not give its binary log: {error}"),
                    "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO the account",
                ),
                1158 | 1159 | 1160 | 1161 | 1053 | 1927 => Halt::Source(error.to_string()),
                _ => Halt::Stop(dormouse_api::ErrorBody::new(
                    "refused",
                    format!("the other server's log: {error}"),
                )),
            })
        }
        _ => Err(ended()),
    }
}

fn read(mut connection: Connection, sender: &SyncSender<Piece>) {
    let mut piece = Vec::new();
    let mut bytes = 0;
    loop {
        let packet = connection.payload();
        let event = packet
            .map_err(|e| Halt::Source(format!("the connection to the other server broke: {e}")))
            .and_then(|(_, packet)| check(&packet).map(|()| packet));
        match event {
            Ok(mut packet) => {
                packet.remove(0);
                bytes += packet.len();
                piece.push(packet);
            }
            Err(halt) => {
                let _gone = sender.send(Ok(std::mem::take(&mut piece)));
                let _gone = sender.send(Err(halt));
                return;
            }
        }
        // what has arrived already goes along
        if bytes < PIECE && connection.has_packet() {
            continue;
        }
        bytes = 0;
        if sender.send(Ok(std::mem::take(&mut piece))).is_err() {
            return;
        }
    }
}
