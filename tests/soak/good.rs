//! Good clients: short transactions, prepared statements, idle times in which their database sleeps. They
//! never reconnect and never get an error.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dormouse_testkit::{Client, Created, Dice};

use crate::{World, log_in};

pub(crate) fn prepare(client: &mut Client) {
    for statement in [
        "CREATE DATABASE app",
        "CREATE TABLE app.log (client INT, n INT, PRIMARY KEY (client, n))",
    ] {
        client.query(statement).ok();
    }
}

/// The number of rows; each client's rows are numbered without a gap.
pub(crate) fn check(client: &mut Client) -> u64 {
    let gaps = "SELECT COUNT(*) FROM (SELECT client FROM app.log GROUP BY client HAVING COUNT(*) <> MAX(n) + 1) AS g";
    assert_eq!(client.query(gaps).value(), "0", "rows are missing");
    client
        .query("SELECT COUNT(*) FROM app.log")
        .value()
        .parse()
        .unwrap()
}

pub(crate) fn client(world: &World, who: &Created, number: usize) {
    let mut client = log_in(world, who);
    let mut dice = Dice::new(number as u64 + 77);
    let next = format!("SELECT COALESCE(MAX(n) + 1, 0) FROM app.log WHERE client = {number}");
    let mut n: u64 = client.query(&next).value().parse().unwrap();
    while world.goes_on() {
        let began = Instant::now();
        client.query("BEGIN").ok();
        client
            .query(&format!("INSERT INTO app.log VALUES ({number}, {n})"))
            .ok();
        client.query("COMMIT").ok();
        n += 1;
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap();
        world.slowest.fetch_max(micros, Ordering::Relaxed);
        world.statements.fetch_add(3, Ordering::Relaxed);
        // now and then long enough for a nap
        let pause = if dice.below(400) == 0 {
            15_000
        } else {
            dice.below(50)
        };
        std::thread::sleep(Duration::from_millis(pause));
    }
}
