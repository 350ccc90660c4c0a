use super::*;
use crate::session::admission::serve;

/// The size of the future that a function with three arguments returns.
fn future_size<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn an_idle_client_needs_little_memory() {
    // each idle client costs these two; a rare path that makes the future larger belongs into a box
    let (future, session) = (future_size(serve), size_of::<Session>());
    assert!(future <= 2_300, "the future has {future} bytes");
    assert!(session <= 860, "the session has {session} bytes");
}
