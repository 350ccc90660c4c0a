//! Who a client is to the server.

use dormouse_wire::caps::Capabilities;

use crate::stream::Peer;

/// Who a client is to the server; fixed at the login or by `COM_CHANGE_USER`.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The user as it logs in.
    pub(crate) user: String,
    /// The host part of the account that matched.
    pub(crate) account_host: String,
    /// The [version](dormouse_types::Account::version) of the account.
    pub(crate) account_version: u64,
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

impl Identity {
    /// Whether it is one of those who do not wake a database (`never_wakes`).
    pub(crate) fn is_one_of(&self, never_wakes: &[String]) -> bool {
        let program = self.attribute(b"program_name");
        never_wakes
            .iter()
            .any(|one| match one.strip_prefix("program:") {
                Some(name) => program == Some(name.as_bytes()),
                None => *one == self.user,
            })
    }

    /// What its driver tells of itself under this name.
    fn attribute(&self, name: &[u8]) -> Option<&[u8]> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(key, _)| key == name)?;
        Some(&found.1)
    }

    /// Whether its driver takes the status flags from the greeting alone, which is sent before anybody
    /// knows which database the client wants: it believes that autocommit is on.
    pub(crate) fn believes_the_greeting(&self) -> bool {
        const GREETED: [&[u8]; 3] = [b"pymysql", b"aiomysql", b"asyncmy"];
        let name = self.attribute(b"_client_name");
        name.is_some_and(|name| GREETED.contains(&name))
    }

    /// Whether a backend of this identity can serve a session of the other: whatever was fixed at
    /// the server's login is the same.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || self.user == other.user
                && self.account_host == other.account_host
                && self.account_version == other.account_version
                && self.tls == other.tls
                && self.peer.host() == other.peer.host()
                && wanted(self.capabilities) == wanted(other.capabilities)
                && self.collation == other.collation
                && self.max_packet == other.max_packet
    }
}

/// What the server is asked for: what client and Dormouse agreed on, less what ends at Dormouse. It
/// always tells of changes in the session: the relay passes on what the client has asked for.
/// `NO_SCHEMA`, by which a client forbids itself `schema.table`, would forbid it to the probe too.
pub(crate) fn wanted(agreed: Capabilities) -> Capabilities {
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
