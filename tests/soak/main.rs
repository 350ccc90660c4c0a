//! Hostile and good clients side by side, for as long as asked; at the end Dormouse has the memory and the
//! descriptors with which it began, and no good client noticed anything.
//!
//! Run by `./dev soak [MINUTES [ATTACK...]]`. Traffic goes to Dormouse on the loopback interface only.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program that checks: what fails ends it"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dormouse_testkit::process::{descriptors, resident, until};
use dormouse_testkit::{Client, Created, Dice, Dormouse};

mod good;
mod hostile;

/// Databases; each has its good clients.
const DATABASES: usize = 4;
const GOOD_CLIENTS: usize = 3;

/// Memory that may remain at the end beyond that after the first minute: allocators keep some.
const MEMORY_SLACK: u64 = 24 << 20;

/// Descriptors that may remain: pools keep a connection for a while.
const DESCRIPTOR_SLACK: usize = 16;

/// What all clients share.
struct World {
    address: String,
    stop: AtomicBool,
    /// Statements of good clients, and the slowest in microseconds.
    statements: AtomicU64,
    slowest: AtomicU64,
    /// Attacks made.
    attacks: AtomicU64,
}

impl World {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// One look at Dormouse's process.
#[derive(Debug, Clone, Copy)]
struct Look {
    memory: u64,
    descriptors: usize,
}

fn look(dormouse: &Dormouse) -> Look {
    Look {
        memory: resident(dormouse.pid()),
        descriptors: descriptors(dormouse.pid()),
    }
}

/// Good clients and attackers, until the time is up.
fn round(
    dormouse: &Dormouse,
    databases: &[Created],
    only: &[String],
    time: Duration,
) -> Arc<World> {
    let world = Arc::new(World {
        address: dormouse.address().to_owned(),
        stop: AtomicBool::new(false),
        statements: AtomicU64::new(0),
        slowest: AtomicU64::new(0),
        attacks: AtomicU64::new(0),
    });
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    for who in databases {
        for number in 0..GOOD_CLIENTS {
            let (world, who) = (Arc::clone(&world), who.clone());
            threads.push(std::thread::spawn(move || {
                good::client(&world, &who, number)
            }));
        }
    }
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let attacks = hostile::ATTACKS.iter().filter(|(name, _)| wanted(name));
    for (number, (_, attack)) in attacks.enumerate() {
        let (world, who) = (
            Arc::clone(&world),
            databases[number % databases.len()].clone(),
        );
        threads.push(std::thread::spawn(move || {
            let mut dice = Dice::new(number as u64 + 1);
            while world.goes_on() {
                attack(&world, &who, &mut dice);
                world.attacks.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let began = Instant::now();
    while began.elapsed() < time {
        let left = time.saturating_sub(began.elapsed());
        std::thread::sleep(left.min(Duration::from_secs(60)));
        let Look {
            memory,
            descriptors,
        } = look(dormouse);
        println!(
            "{:>5} s: {} statements, slowest {} ms, {} attacks, {} MiB, {descriptors} descriptors",
            began.elapsed().as_secs(),
            world.statements.load(Ordering::Relaxed),
            world.slowest.load(Ordering::Relaxed) / 1000,
            world.attacks.load(Ordering::Relaxed),
            memory >> 20,
        );
    }
    world.stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("a client of the soak");
    }
    world
}

fn main() {
    let minutes: u64 = std::env::args().nth(1).map_or(30, |text| {
        text.parse().expect("usage: soak [MINUTES [ATTACK...]]")
    });
    let only: Vec<String> = std::env::args().skip(2).collect();
    let dormouse = Dormouse::start_with(
        "[defaults]\nidle_suspend = \"2s\"\nidle_park = \"10s\"\n\
         [pool]\nbackend_idle = \"5s\"\n\
         [limits]\nfailed_logins_per_minute = 1000000\nfailed_logins_per_minute_per_database = 1000000\n\
         handshake_timeout = \"5s\"\n\
         read_timeout = \"5s\"\nwrite_timeout = \"5s\"\n",
    );
    let databases: Vec<Created> = (0..DATABASES)
        .map(|n| dormouse.create(&format!("db{n}"), &[]))
        .collect();
    for who in &databases {
        good::prepare(&mut dormouse.connect(who));
    }
    // buffers, threads and caches have their size after the first round
    round(&dormouse, &databases, &only, Duration::from_secs(60));
    settle(&dormouse);
    let before = look(&dormouse);
    let world = round(
        &dormouse,
        &databases,
        &only,
        Duration::from_secs(60 * minutes),
    );
    settle(&dormouse);
    let after = look(&dormouse);
    for (n, who) in databases.iter().enumerate() {
        let rows = good::check(&mut dormouse.connect(who));
        println!("db{n}: {rows} rows, all there");
    }
    println!("before: {before:?}\nafter:  {after:?}");
    assert!(
        world.statements.load(Ordering::Relaxed) > 0,
        "no good client ran"
    );
    assert!(
        after.memory <= before.memory + MEMORY_SLACK,
        "memory grew: {before:?} to {after:?}"
    );
    assert!(
        after.descriptors <= before.descriptors + DESCRIPTOR_SLACK,
        "descriptors grew: {before:?} to {after:?}"
    );
    println!("ok");
}

/// Waits until all databases sleep and the clients' connections are closed.
fn settle(dormouse: &Dormouse) {
    for n in 0..DATABASES {
        until("the databases are parked", || {
            dormouse.state(&format!("db{n}")) == "parked"
        });
    }
}

/// A connection whose greeting was read, or none: an attacker may be refused at the door.
fn connect(world: &World) -> Option<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect(&world.address).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    Some(stream)
}

/// A logged-in client.
fn log_in(world: &World, who: &Created) -> Client {
    let mut client = Client::tcp(&world.address);
    client.login(&who.user, &who.password, None).ok();
    client
}
