//! The role of a session.

/// The role that a session has, as far as known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// That of its account after a login.
    OfLogin,
    /// This one, or none.
    Is(Option<String>),
}
