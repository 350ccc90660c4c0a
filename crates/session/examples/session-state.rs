//! Prints `docs/session-state.md`.
#![allow(clippy::print_stdout, reason = "that is what it is for")]

fn main() {
    print!("{}", dormouse_session::table::document());
}
