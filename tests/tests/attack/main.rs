//! Attacks on a shared Dormouse. Each attempt names what an attacker wants, and why it must fail; it is a
//! success for the attacker unless Dormouse or its server refuses it. 0 of them may succeed.
//!
//! The actors are those of `SECURITY.md`: the owner of a database, a user with few rights in it, the owner of
//! another database, a client without an account, a local user of the machine, and a caller of the API.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

mod caller;
mod local;
mod neighbour;
mod owner;
mod stranger;
mod suite;
mod user;

#[test]
fn there_are_many_attempts() {
    let all = owner::count()
        + user::count()
        + neighbour::count()
        + stranger::count()
        + local::count()
        + caller::count();
    println!("{all} attempts");
    assert!(all >= 150, "{all}");
}
