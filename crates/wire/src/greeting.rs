//! The server's first packet ("HandshakeV10").

use crate::caps::Capabilities;
use crate::reader::{Malformed, Reader, put_nul_bytes};
use crate::reply::ErrPacket;
use crate::status::Status;

/// The server's first packet: version, capabilities, and the salt for the client's proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The version as sent, for MariaDB 10.x with the prefix `5.5.5-`.
    pub version: String,
    /// The connection's id, as in `CONNECTION_ID()`.
    pub connection_id: u32,
    /// Random bytes, none of them NUL.
    pub salt: [u8; 20],
    /// The server's capabilities.
    pub capabilities: Capabilities,
    /// Low byte of the server's default collation.
    pub collation: u8,
    /// Initial status flags of the session.
    pub status: Status,
    /// The plugin for which the salt is meant.
    pub auth_plugin: String,
}

/// Why a server's first packet is not a greeting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GreetingError {
    /// The server refuses the connection; its error may be sent to the client.
    #[error("the server refuses connections: {0}")]
    Refused(ErrPacket),
    /// The peer uses another protocol.
    #[error("no greeting of a MariaDB or MySQL server: {0}")]
    Malformed(#[from] Malformed),
}

const VERSION_10: u8 = 10;

impl Greeting {
    /// The payload to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.version.len() + self.auth_plugin.len());
        let [low_a, low_b, high_a, high_b] = self.capabilities.low().to_le_bytes();
        let (salt_1, salt_2) = self.salt.split_at(8);
        out.push(VERSION_10);
        put_nul_bytes(&mut out, self.version.as_bytes());
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        out.extend_from_slice(salt_1);
        out.push(0);
        out.extend_from_slice(&[low_a, low_b, self.collation]);
        out.extend_from_slice(&self.status.0.to_le_bytes());
        out.extend_from_slice(&[high_a, high_b]);
        out.push(21);
        out.extend_from_slice(&[0; 6]);
        let foreign = self.capabilities.contains(Capabilities::LONG_PASSWORD);
        let extended = if foreign {
            0
        } else {
            self.capabilities.extended()
        };
        out.extend_from_slice(&extended.to_le_bytes());
        out.extend_from_slice(salt_2);
        out.push(0);
        put_nul_bytes(&mut out, self.auth_plugin.as_bytes());
        out
    }

    /// Reads a server's first payload.
    ///
    /// # Errors
    /// It is an ERR packet, or not a greeting of protocol 10 with `PROTOCOL_41`.
    pub fn parse(payload: &[u8]) -> Result<Self, GreetingError> {
        let mut r = Reader::new(payload);
        match r.u8()? {
            VERSION_10 => {}
            0xFF => return Err(GreetingError::Refused(ErrPacket::parse(payload)?)),
            _ => return Err(Malformed("a greeting starts with 10").into()),
        }
        let version = String::from_utf8_lossy(r.nul_bytes()?).into_owned();
        let connection_id = r.u32()?;
        let mut salt = [0; 20];
        salt[..8].copy_from_slice(r.take(8)?);
        r.take(1)?;
        let low = r.u16()?;
        let collation = r.u8()?;
        let status = Status(r.u16()?);
        let high = r.u16()?;
        r.take(7)?;
        let low = u32::from(low) | u32::from(high) << 16;
        let capabilities = Capabilities::from_halves(low, r.u32()?);
        if !capabilities.contains(Capabilities::PROTOCOL_41) {
            return Err(Malformed("the server is older than 4.1").into());
        }
        salt[8..].copy_from_slice(r.take(12)?);
        // the salt's NUL, which some old servers omit
        if r.peek() == Some(0) {
            r.take(1)?;
        }
        let auth_plugin = match r.nul_or_rest() {
            [] => crate::NATIVE.to_owned(),
            name => String::from_utf8_lossy(name).into_owned(),
        };
        Ok(Self {
            version,
            connection_id,
            salt,
            capabilities,
            collation,
            status,
            auth_plugin,
        })
    }
}

#[cfg(test)]
mod tests;
