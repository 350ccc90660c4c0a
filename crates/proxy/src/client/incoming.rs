//! A command of a client, or the beginning of a long one.

use dormouse_wire::command::Command;
use dormouse_wire::packet::{HEADER, MAX_PAYLOAD, write_packet};

use crate::inbox::Bytes;

/// A command, or the beginning of a long one.
pub(crate) struct Incoming {
    pub(crate) command: Command,
    /// The packet from its header on.
    pub(crate) bytes: Bytes,
    /// How many bytes of the packet are still to come.
    pub(crate) left: usize,
    /// Whether another packet continues it.
    pub(crate) continues: bool,
}

impl Incoming {
    /// A command made by the proxy.
    pub(crate) fn made(command: Command, argument: &[u8]) -> Self {
        let mut packet = Vec::with_capacity(argument.len() + HEADER + 1);
        write_packet(&mut packet, 0, &[&[command as u8], argument].concat());
        Self {
            command,
            bytes: Bytes::Owned(packet),
            left: 0,
            continues: false,
        }
    }

    /// Whether all of it is in memory, so that it can be sent a second time.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == 0 && !self.continues
    }

    /// The sequence number of the last packet, if the command is whole.
    pub(crate) fn last_seq(&self) -> u8 {
        let before = self.bytes.len().saturating_sub(HEADER) / (HEADER + MAX_PAYLOAD);
        // the number wraps at 256
        before.to_le_bytes()[0]
    }

    /// The payload as far as it is there, its first byte being the command.
    pub(crate) fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }

    /// The payload behind the command byte, as far as it is there.
    pub(crate) fn argument(&self) -> &[u8] {
        self.payload().get(1..).unwrap_or_default()
    }
}
