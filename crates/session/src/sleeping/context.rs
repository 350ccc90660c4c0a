//! What an answer without a server depends on besides the session's state.

use dormouse_types::Variables;
use dormouse_wire::caps::Capabilities;

/// Facts about a session, its connection and its server that [`SessionState`](crate::SessionState) does not
/// contain. `proxy` fills it in for each answer.
pub struct AsleepContext<'a> {
    /// The global variables, with which the session began; `None` if they are not known, or if the
    /// session's backend may have begun with others.
    pub globals: Option<&'a Variables>,
    /// The capabilities agreed on with the client.
    pub capabilities: Capabilities,
    /// The collation of the login.
    pub collation: u8,
    /// The value of `CONNECTION_ID()`.
    pub connection_id: u32,
    /// The session's `wait_timeout` in seconds, which Dormouse enforces.
    pub wait_timeout: u64,
    /// The value of `@@socket`.
    pub socket: &'a str,
    /// Whether the session has a backend on the sleeping server.
    pub backend: bool,
    /// Whether a schema of this name exists; `None` if not known.
    pub has_schema: &'a dyn Fn(&[u8]) -> Option<bool>,
    /// Whether the session is known to be allowed to enter it.
    pub may_enter: &'a dyn Fn(&[u8]) -> bool,
}
