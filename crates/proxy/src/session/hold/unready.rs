//! Why there is no usable backend.

use dormouse_session::Pin;
use dormouse_wire::reply::ErrPacket;

/// Why there is no usable backend.
pub(crate) enum Unready {
    /// The server is gone or is being stopped; ask the door again.
    ServerGone,
    /// The door is being shut; wait there.
    Shutting,
    /// The session's last backend is gone, and with it this state. The client does not know yet.
    SessionStateLost(Vec<Pin>),
    /// The server refuses this user now; the session continues.
    Refused(ErrPacket),
    /// The session's state cannot be restored on a backend.
    CannotRestore(ErrPacket),
}
