//! The identity that a client claims at its login.

use dormouse_wire::caps::Capabilities;

use crate::guard::Client;
use crate::stream::Peer;

/// The identity that a client claims, and its first proof of it.
pub(crate) struct Claim<'a> {
    pub(crate) user: &'a str,
    pub(crate) peer: Peer,
    /// Whom failures are counted for.
    pub(crate) client: Option<Client>,
    pub(crate) capabilities: Capabilities,
    /// Whether it must not wake the database.
    pub(crate) never_wakes: bool,
    /// The authentication plugin of its first reply.
    pub(crate) plugin: Option<&'a str>,
    /// Its first reply.
    pub(crate) reply: &'a [u8],
    /// The salt that it was sent.
    pub(crate) salt: [u8; 20],
}
