//! Many clients that connect at once, as after a restart of a machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::sync::Barrier;

use dormouse_testkit::{Client, Dormouse};

const THREADS: usize = 50;
/// Clients of each database. Both ends of each connection are file descriptors of this machine.
const EACH: usize = 60;

#[test]
fn thousands_of_clients_that_connect_at_once_all_log_in() {
    let dormouse = Dormouse::start();
    let who = dormouse.create("shop", &[]);
    let _ = dormouse.json(&["park", "shop"]);
    let all_connected = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let silent = || Client::silent(dormouse.address());
                let mut clients: Vec<_> = std::iter::repeat_with(silent).take(EACH).collect();
                all_connected.wait();
                clients.iter_mut().for_each(Client::greet);
                for client in &mut clients {
                    client.login(&who.user, &who.password, None).ok();
                }
            });
        }
    });
    assert_eq!(dormouse.state("shop"), "parked");
}
