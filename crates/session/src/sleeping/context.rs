//! What an answer without a server may depend on.

use dormouse_types::Variables;
use dormouse_wire::caps::Capabilities;

/// What is known about a session besides its own state.
pub struct AsleepContext<'a> {
    /// The global variables that its values start from; `None` if they are not known, or if the
    /// session's backend may have started from others.
    pub globals: Option<&'a Variables>,
    /// What client and server have agreed on.
    pub capabilities: Capabilities,
    /// The collation of the login.
    pub collation: u8,
    /// What `CONNECTION_ID()` is.
    pub connection_id: u32,
    /// The session's `wait_timeout`, in seconds: Dormouse keeps it.
    pub wait_timeout: u64,
    /// What `@@socket` is.
    pub socket: &'a str,
    /// Whether the session has a backend, on the server that sleeps.
    pub backend: bool,
    /// Whether there is a schema of this name; `None` if that is not known.
    pub has_schema: &'a dyn Fn(&[u8]) -> Option<bool>,
}
