//! The packets of a login: the client's request for TLS, its login, and the server's requests.

use crate::caps::Capabilities;
use crate::reader::{Malformed, Reader, put_lenenc_bytes, put_nul_bytes};

/// Payload length of a client's request for TLS. The packet ends there; bytes after it belong to
/// TLS.
pub const SSL_REQUEST_LEN: usize = 32;

/// A connection attribute: name and value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// A client's request for TLS: the fixed first part of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SslRequest {
    /// Capabilities as sent by the client.
    pub capabilities: Capabilities,
    /// Maximum packet size of the client, in bytes.
    pub max_packet: u32,
    /// Low byte of the client's collation.
    pub collation: u8,
}

impl SslRequest {
    /// Reads a request for TLS.
    ///
    /// # Errors
    /// It is not [`SSL_REQUEST_LEN`] bytes, or lacks the bit [`Capabilities::SSL`].
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let head = Self::read(&mut r)?;
        if !r.is_empty() || !head.capabilities.contains(Capabilities::SSL) {
            return Err(Malformed("no request for TLS"));
        }
        Ok(head)
    }

    /// Whether a login's first payload is a request for TLS. Then nothing else may be read from it.
    #[must_use]
    pub fn is_one(payload: &[u8]) -> bool {
        Self::parse(payload).is_ok()
    }

    /// The payload to send; the caller sets [`Capabilities::SSL`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SSL_REQUEST_LEN);
        let foreign = self.capabilities.contains(Capabilities::LONG_PASSWORD);
        let extended = if foreign {
            0
        } else {
            self.capabilities.extended()
        };
        out.extend_from_slice(&self.capabilities.low().to_le_bytes());
        out.extend_from_slice(&self.max_packet.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&[0; 19]);
        out.extend_from_slice(&extended.to_le_bytes());
        out
    }

    fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let low = r.u32()?;
        if !Capabilities(low.into()).contains(Capabilities::PROTOCOL_41) {
            return Err(Malformed("the client speaks the protocol of before 4.1"));
        }
        let max_packet = r.u32()?;
        let collation = r.u8()?;
        r.take(19)?;
        let capabilities = Capabilities::from_halves(low, r.u32()?);
        Ok(Self {
            capabilities,
            max_packet,
            collation,
        })
    }
}

/// A client's login ("HandshakeResponse41").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Negotiated capabilities after parsing; capabilities to send when encoding.
    pub capabilities: Capabilities,
    /// Maximum packet size of the client, in bytes.
    pub max_packet: u32,
    /// Low byte of the client's collation.
    pub collation: u8,
    /// User name.
    pub user: Vec<u8>,
    /// The proof of `plugin`.
    pub auth: Vec<u8>,
    /// Initial schema.
    pub schema: Option<Vec<u8>>,
    /// Plugin of the proof.
    pub plugin: Option<String>,
    /// Connection attributes, in the client's order.
    pub attributes: Vec<Attribute>,
}

impl Login {
    /// Reads a login to a server that offered `offered`. Bits that were not offered are ignored: real
    /// clients set such bits, but the layout of their packet does not depend on them.
    ///
    /// # Errors
    /// The client is older than 4.1, or the packet is cut short.
    pub fn parse(payload: &[u8], offered: Capabilities) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let head = SslRequest::read(&mut r)?;
        let capabilities = head.capabilities & offered;
        let has = |bit| capabilities.contains(bit);
        let user = r.nul_bytes()?.to_vec();
        let auth = if has(Capabilities::PLUGIN_AUTH_LENENC) {
            r.lenenc_bytes()?
        } else if has(Capabilities::SECURE_CONNECTION) {
            let len = r.u8()?;
            r.take(len.into())?
        } else {
            r.nul_bytes()?
        };
        let schema = has(Capabilities::CONNECT_WITH_DB).then(|| r.nul_or_rest().to_vec());
        let plugin = has(Capabilities::PLUGIN_AUTH).then(|| r.nul_or_rest());
        let attributes = if has(Capabilities::CONNECT_ATTRS) {
            read_attributes(&mut r)?
        } else {
            Vec::new()
        };
        Ok(Self {
            capabilities,
            max_packet: head.max_packet,
            collation: head.collation,
            user,
            auth: auth.to_vec(),
            schema: schema.filter(|name| !name.is_empty()),
            plugin: plugin_name(plugin),
            attributes,
        })
    }

    /// The payload to send. The capability bits of optional fields are set from the fields.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let long_auth = self.auth.len() > 250;
        let mut capabilities = self
            .capabilities
            .set(Capabilities::CONNECT_WITH_DB, self.schema.is_some())
            .set(Capabilities::PLUGIN_AUTH, self.plugin.is_some())
            | Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION;
        if long_auth {
            capabilities |= Capabilities::PLUGIN_AUTH_LENENC;
        }
        if !self.attributes.is_empty() {
            capabilities |= Capabilities::CONNECT_ATTRS;
        }
        let head = SslRequest {
            capabilities,
            max_packet: self.max_packet,
            collation: self.collation,
        };
        let mut out = head.encode();
        put_nul_bytes(&mut out, &self.user);
        // up to 250 bytes, a length byte and a length-encoded length are the same
        put_lenenc_bytes(&mut out, &self.auth);
        if let Some(schema) = &self.schema {
            put_nul_bytes(&mut out, schema);
        }
        if let Some(plugin) = &self.plugin {
            put_nul_bytes(&mut out, plugin.as_bytes());
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            put_attributes(&mut out, &self.attributes);
        }
        out
    }

    /// The value of the first attribute with this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        let found = self
            .attributes
            .iter()
            .find(|(key, _)| key == name.as_bytes());
        found.map(|(_, value)| value.as_slice())
    }
}

/// A client's COM_CHANGE_USER, without its command byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeUser {
    /// User name.
    pub user: Vec<u8>,
    /// The proof of `plugin` for the greeting's salt.
    pub auth: Vec<u8>,
    /// Initial schema.
    pub schema: Option<Vec<u8>>,
    /// The client's collation; 0 if the packet has none.
    pub collation: u16,
    /// Plugin of the proof.
    pub plugin: Option<String>,
    /// Connection attributes, in the client's order.
    pub attributes: Vec<Attribute>,
}

impl ChangeUser {
    /// Reads the payload after the command byte, on a connection with these capabilities.
    ///
    /// # Errors
    /// The packet is cut short.
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        let user = r.nul_bytes()?.to_vec();
        let auth = if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let len = r.u8()?;
            r.take(len.into())?.to_vec()
        } else {
            r.nul_bytes()?.to_vec()
        };
        let schema = Some(r.nul_or_rest().to_vec()).filter(|name| !name.is_empty());
        let collation = if r.is_empty() { 0 } else { r.u16()? };
        let plugin = capabilities
            .contains(Capabilities::PLUGIN_AUTH)
            .then(|| r.nul_or_rest());
        let attributes = if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            read_attributes(&mut r)?
        } else {
            Vec::new()
        };
        Ok(Self {
            user,
            auth,
            schema,
            collation,
            plugin: plugin_name(plugin),
            attributes,
        })
    }

    /// The payload to send, with its command byte. A proof is cut after 255 bytes, the maximum of the
    /// layout.
    #[must_use]
    pub fn encode(&self, capabilities: Capabilities) -> Vec<u8> {
        let mut out = vec![crate::Command::ChangeUser as u8];
        put_nul_bytes(&mut out, &self.user);
        if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let len = u8::try_from(self.auth.len()).unwrap_or(u8::MAX);
            out.push(len);
            out.extend_from_slice(&self.auth[..len.into()]);
        } else {
            put_nul_bytes(&mut out, &self.auth);
        }
        put_nul_bytes(&mut out, self.schema.as_deref().unwrap_or_default());
        out.extend_from_slice(&self.collation.to_le_bytes());
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            put_nul_bytes(
                &mut out,
                self.plugin.as_deref().unwrap_or_default().as_bytes(),
            );
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            put_attributes(&mut out, &self.attributes);
        }
        out
    }
}

/// A server's request for a proof by another plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSwitch {
    /// The plugin.
    pub plugin: String,
    /// Data for the plugin: for the password plugins a salt of 20 bytes and a NUL.
    pub data: Vec<u8>,
}

impl AuthSwitch {
    /// The first byte.
    pub const MARK: u8 = 0xFE;

    /// A switch to a plugin that uses a salt.
    #[must_use]
    pub fn with_salt(plugin: &str, salt: &[u8; 20]) -> Self {
        let mut data = salt.to_vec();
        data.push(0);
        Self {
            plugin: plugin.to_owned(),
            data,
        }
    }

    /// The salt in the data, if it starts with one.
    #[must_use]
    pub fn salt(&self) -> Option<[u8; 20]> {
        self.data.first_chunk().copied()
    }

    /// The payload to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::MARK];
        put_nul_bytes(&mut out, self.plugin.as_bytes());
        out.extend_from_slice(&self.data);
        out
    }

    /// Reads a server's request. A packet of one byte requests the proof from before 4.1, returned as
    /// `mysql_old_password`.
    ///
    /// # Errors
    /// It starts with another byte, or its name has no end.
    pub fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(payload);
        if r.u8()? != Self::MARK {
            return Err(Malformed("a switch of plugins starts with 0xFE"));
        }
        if r.is_empty() {
            return Ok(Self {
                plugin: "mysql_old_password".to_owned(),
                data: Vec::new(),
            });
        }
        let plugin = String::from_utf8_lossy(r.nul_bytes()?).into_owned();
        Ok(Self {
            plugin,
            data: r.rest().to_vec(),
        })
    }
}

/// The payload of a message from the server's plugin to the client's ("AuthMoreData").
#[must_use]
pub fn auth_more(data: &[u8]) -> Vec<u8> {
    [&[1], data].concat()
}

fn plugin_name(bytes: Option<&[u8]>) -> Option<String> {
    let name = bytes.filter(|name| !name.is_empty())?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn read_attributes(r: &mut Reader<'_>) -> Result<Vec<Attribute>, Malformed> {
    let mut attributes = Vec::new();
    if r.is_empty() {
        return Ok(attributes);
    }
    let mut block = Reader::new(r.lenenc_bytes()?);
    while !block.is_empty() {
        let name = block.lenenc_bytes()?.to_vec();
        attributes.push((name, block.lenenc_bytes()?.to_vec()));
    }
    Ok(attributes)
}

fn put_attributes(out: &mut Vec<u8>, attributes: &[Attribute]) {
    let mut block = Vec::new();
    for (name, value) in attributes {
        put_lenenc_bytes(&mut block, name);
        put_lenenc_bytes(&mut block, value);
    }
    put_lenenc_bytes(out, &block);
}

#[cfg(test)]
mod tests;
