//! Replies recorded from a real server.
