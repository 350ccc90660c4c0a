//! The client's side of a login, with `mysql_native_password`.
//!
//! An account may have several plugins, which the server requests in the account's order. To any but
//! the native one this client sends an invalid proof, after which the server requests the next.

use crate::auth::{NATIVE, caching_sha2, ed25519, native, parsec};
use crate::caps::Capabilities;
use crate::greeting::{Greeting, GreetingError};
use crate::login::{Attribute, AuthSwitch, Login, SslRequest};
use crate::packet::write_packet;
use crate::reader::Malformed;
use crate::reply::{ErrPacket, OkPacket};

/// Parameters of a login.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Requested capabilities. Those that the server does not offer are dropped, except
    /// [`Capabilities::SSL`]: if that is not offered, the login fails.
    pub capabilities: Capabilities,
    /// Low byte of the collation's number.
    pub collation: u8,
    /// Maximum size of a packet sent by the server, in bytes.
    pub max_packet: u32,
    /// User name.
    pub user: Vec<u8>,
    /// `SHA1(password)`; `None` for an empty password or authentication by the Unix socket.
    pub stage1: Option<[u8; 20]>,
    /// Initial schema.
    pub schema: Option<Vec<u8>>,
    /// Connection attributes.
    pub attributes: Vec<Attribute>,
}

/// Next step of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginStep {
    /// Send these packets, headers included, then pass the server's next payload to
    /// [`ClientLogin::on_payload`].
    Send(Vec<u8>),
    /// Send this packet, begin TLS, and call [`ClientLogin::secured`]. Only if TLS is requested.
    Secure(Vec<u8>),
    /// The login is complete.
    Done {
        /// The server's final OK packet.
        ok: OkPacket,
        /// Negotiated capabilities.
        capabilities: Capabilities,
        /// Connection id on the server.
        connection_id: u32,
        /// Server version as in the greeting.
        version: String,
    },
}

/// Why a login failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The server refused the login; its error may be sent to the client that logs in.
    #[error("the server refused the login: {0}")]
    Refused(ErrPacket),
    /// TLS is requested, but the server does not offer it.
    #[error("the server does not offer TLS")]
    NoTls,
    /// The peer does not follow the protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl From<GreetingError> for LoginError {
    fn from(error: GreetingError) -> Self {
        match error {
            GreetingError::Refused(err) => Self::Refused(err),
            GreetingError::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}

/// Limit on the server's requests: an account may have several plugins, some with two requests each.
const MAX_QUESTIONS: u8 = 16;

/// State machine of a login. The caller reads payloads and writes the packets that it returns.
#[derive(Debug)]
pub struct ClientLogin {
    config: ClientConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    Greeting,
    Securing {
        seq: u8,
        login: Login,
        agreed: Agreed,
    },
    Answer {
        agreed: Agreed,
        questions: u8,
    },
    Over,
}

#[derive(Debug)]
struct Agreed {
    capabilities: Capabilities,
    connection_id: u32,
    version: String,
}

impl ClientLogin {
    /// A login that waits for the server's greeting.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self {
            config,
            state: State::Greeting,
        }
    }

    /// Processes the server's next payload with its sequence number; the first is the greeting.
    ///
    /// # Errors
    /// The login failed and the connection must be closed.
    pub fn on_payload(&mut self, seq: u8, payload: &[u8]) -> Result<LoginStep, LoginError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Greeting => self.greeted(seq, &Greeting::parse(payload)?),
            State::Answer { agreed, questions } => self.answered(seq, payload, agreed, questions),
            State::Securing { .. } => Err(Malformed("a packet before TLS").into()),
            State::Over => Err(Malformed("a packet after the login's end").into()),
        }
    }

    fn greeted(&mut self, seq: u8, greeting: &Greeting) -> Result<LoginStep, LoginError> {
        let config = &self.config;
        let needed = Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::PLUGIN_AUTH_LENENC;
        let wanted = (config.capabilities | needed)
            .set(Capabilities::CONNECT_WITH_DB, config.schema.is_some())
            .set(Capabilities::CONNECT_ATTRS, !config.attributes.is_empty())
            .set(Capabilities::LONG_PASSWORD, true);
        let secure = wanted.contains(Capabilities::SSL);
        if secure && !greeting.capabilities.contains(Capabilities::SSL) {
            return Err(LoginError::NoTls);
        }
        let capabilities = wanted & greeting.capabilities;
        let attributed = capabilities.contains(Capabilities::CONNECT_ATTRS);
        let login = Login {
            capabilities,
            max_packet: config.max_packet,
            collation: config.collation,
            user: config.user.clone(),
            auth: self.proof(&greeting.salt),
            schema: config.schema.clone(),
            plugin: capabilities
                .contains(Capabilities::PLUGIN_AUTH)
                .then(|| NATIVE.to_owned()),
            attributes: if attributed {
                config.attributes.clone()
            } else {
                Vec::new()
            },
        };
        let agreed = Agreed {
            capabilities,
            connection_id: greeting.connection_id,
            version: greeting.version.clone(),
        };
        if secure {
            let request = SslRequest {
                capabilities,
                max_packet: config.max_packet,
                collation: config.collation,
            };
            let mut packet = Vec::new();
            let seq = write_packet(&mut packet, seq.wrapping_add(1), &request.encode());
            self.state = State::Securing { seq, login, agreed };
            return Ok(LoginStep::Secure(packet));
        }
        self.state = State::Answer {
            agreed,
            questions: 0,
        };
        Ok(send(seq, &login.encode()))
    }

    /// Call when TLS has been set up. Returns the packets to send over it.
    ///
    /// # Errors
    /// TLS was not requested.
    pub fn secured(&mut self) -> Result<Vec<u8>, LoginError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Securing { seq, login, agreed } => {
                self.state = State::Answer {
                    agreed,
                    questions: 0,
                };
                let mut packet = Vec::new();
                write_packet(&mut packet, seq, &login.encode());
                Ok(packet)
            }
            _ => Err(Malformed("TLS that was not asked for").into()),
        }
    }

    fn answered(
        &mut self,
        seq: u8,
        payload: &[u8],
        agreed: Agreed,
        questions: u8,
    ) -> Result<LoginStep, LoginError> {
        match payload.first() {
            Some(0x00) => {
                let Agreed {
                    capabilities,
                    connection_id,
                    version,
                } = agreed;
                let ok = OkPacket::parse(payload, capabilities)?;
                Ok(LoginStep::Done {
                    ok,
                    capabilities,
                    connection_id,
                    version,
                })
            }
            Some(0xFF) => Err(LoginError::Refused(ErrPacket::parse(payload)?)),
            Some(mark @ (&AuthSwitch::MARK | 0x01)) if questions < MAX_QUESTIONS => {
                let proof = if *mark == AuthSwitch::MARK {
                    self.switched(&AuthSwitch::parse(payload)?)?
                } else {
                    no_proof(&payload[1..])
                };
                self.state = State::Answer {
                    agreed,
                    questions: questions + 1,
                };
                Ok(send(seq, &proof))
            }
            _ => Err(Malformed("no answer to a login").into()),
        }
    }

    /// The proof for the plugin to which the server switched.
    fn switched(&self, switch: &AuthSwitch) -> Result<Vec<u8>, LoginError> {
        let no_salt = Malformed("a switch of plugins without a salt");
        match switch.plugin.as_str() {
            NATIVE => Ok(self.proof(&switch.salt().ok_or(no_salt)?)),
            // an empty proof would mean an empty password
            caching_sha2::PLUGIN if self.config.stage1.is_some() => Ok(vec![0; 32]),
            ed25519::CLIENT => Ok(vec![0; 64]),
            _ => Ok(Vec::new()),
        }
    }

    fn proof(&self, salt: &[u8; 20]) -> Vec<u8> {
        self.config
            .stage1
            .map_or_else(Vec::new, |stage1| native::reply(&stage1, salt).to_vec())
    }
}

/// The answer to a further request of a plugin that is not supported.
fn no_proof(question: &[u8]) -> Vec<u8> {
    match question {
        [caching_sha2::PERFORM_FULL] => vec![0],
        salt if parsec::Stretch::parse(salt).is_some() => vec![0; parsec::REPLY],
        _ => Vec::new(),
    }
}

fn send(seq: u8, payload: &[u8]) -> LoginStep {
    let mut out = Vec::new();
    write_packet(&mut out, seq.wrapping_add(1), payload);
    LoginStep::Send(out)
}

#[cfg(test)]
mod tests;
