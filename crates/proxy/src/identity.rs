//! A client's identity at the server.

use dormouse_types::Manager;
use dormouse_wire::caps::Capabilities;

use crate::security::Security;
use crate::stream::Peer;

/// A client's identity at the server; fixed at the login or by `COM_CHANGE_USER`.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// The user as it logs in.
    pub(crate) user: String,
    /// The user part of the account that matched: empty for an anonymous account.
    pub(crate) account_user: String,
    /// The host part of the account that matched.
    pub(crate) account_host: String,
    /// The [version](dormouse_types::Account::version) of the account.
    pub(crate) account_version: u64,
    /// What the account might manage at the login; the plane checks it again.
    pub(crate) manager: Manager,
    /// What its backends show, because the account requires it.
    pub(crate) security: Security,
    /// Where the client comes from.
    pub(crate) peer: Peer,
    /// The capabilities agreed on by client and proxy.
    pub(crate) capabilities: Capabilities,
    /// The collation of the handshake: the server goes back to it on a reset.
    pub(crate) collation: u8,
    /// The largest packet the client takes.
    pub(crate) max_packet: u32,
    /// The connection attributes of the client.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Whether a user with these connection attributes is in the list of clients that do not wake a database.
pub(crate) fn is_one_of(
    never_wakes: &[String],
    user: &str,
    attributes: &[(Vec<u8>, Vec<u8>)],
) -> bool {
    let program = attribute(attributes, b"program_name");
    never_wakes
        .iter()
        .any(|one| match one.strip_prefix("program:") {
            Some(name) => program == Some(name.as_bytes()),
            None => *one == *user,
        })
}

fn attribute<'a>(attributes: &'a [(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<&'a [u8]> {
    let found = attributes.iter().find(|(key, _)| key == name)?;
    Some(&found.1)
}

impl Identity {
    /// Whether it is in the list of clients that do not wake a database (`never_wakes`).
    pub(crate) fn is_one_of(&self, never_wakes: &[String]) -> bool {
        is_one_of(never_wakes, &self.user, &self.attributes)
    }

    /// The key that it shows for a reserved database.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.attribute(dormouse_types::reserved::KEY_ATTRIBUTE.as_bytes())
    }

    /// The connection attribute of this name.
    fn attribute(&self, name: &[u8]) -> Option<&[u8]> {
        attribute(&self.attributes, name)
    }

    /// Whether its driver reads the status flags from the greeting only. It then assumes that autocommit
    /// is on, because the greeting is sent before the client names its database.
    pub(crate) fn believes_the_greeting(&self) -> bool {
        const GREETED: [&[u8]; 3] = [b"pymysql", b"aiomysql", b"asyncmy"];
        let name = self.attribute(b"_client_name");
        name.is_some_and(|name| GREETED.contains(&name))
    }

    /// Whether a backend of this identity can serve a session of the other: everything that is fixed at
    /// the login to the server is equal.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || self.user == other.user
                && self.account_user == other.account_user
                && self.account_host == other.account_host
                && self.account_version == other.account_version
                && self.security == other.security
                && self.peer.host() == other.peer.host()
                && wanted(self.capabilities) == wanted(other.capabilities)
                && self.collation == other.collation
                && self.max_packet == other.max_packet
    }
}

/// The capabilities to ask the server for: those agreed on with the client, without those that concern
/// only the client's connection. Session tracking is always on: the relay passes on what the client has
/// asked for. `NO_SCHEMA`, which forbids `schema.table`, would forbid it to the probe too. `IGNORE_SPACE` is a
/// setting of the session: a server drops it when the connection is reset.
pub(crate) fn wanted(agreed: Capabilities) -> Capabilities {
    agreed
        .set(Capabilities::SSL, false)
        .set(Capabilities::COMPRESS, false)
        .set(Capabilities::NO_SCHEMA, false)
        .set(Capabilities::IGNORE_SPACE, false)
        .set(Capabilities::CONNECT_WITH_DB, false)
        .set(Capabilities::SESSION_TRACK, true)
        .set(Capabilities::PLUGIN_AUTH, true)
        .set(Capabilities::SECURE_CONNECTION, true)
        .set(Capabilities::PROTOCOL_41, true)
}
