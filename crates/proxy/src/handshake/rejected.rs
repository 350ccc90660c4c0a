//! Why a login ends early.

use dormouse_wire::reply::ErrPacket;

/// Why a connection ends before the login is complete.
pub(crate) enum Rejected {
    /// The client is gone, broke the protocol's framing, or took too long.
    Silently,
    /// The client is to be sent this error.
    With(ErrPacket),
    /// The same, for a failure that has been counted, or that is none of the client's.
    Counted(ErrPacket),
}

impl From<std::io::Error> for Rejected {
    fn from(_: std::io::Error) -> Self {
        Self::Silently
    }
}

impl From<ErrPacket> for Rejected {
    fn from(error: ErrPacket) -> Self {
        Self::With(error)
    }
}
