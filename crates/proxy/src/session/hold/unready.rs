//! Why there is no usable backend.

use dormouse_session::Pin;
use dormouse_wire::reply::ErrPacket;

/// Why there is no usable backend.
pub(crate) enum Unready {
    /// The server is gone or going; ask the door again.
    Gone,
    /// The door is being shut; wait there.
    Shutting,
    /// The last backend is gone, and these with it; the client has not been told.
    StateGone(Vec<Pin>),
    /// The server refuses this user now; the session goes on.
    Refused(ErrPacket),
    /// The session's state cannot be brought to a backend.
    Lost(ErrPacket),
}
