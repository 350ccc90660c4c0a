//! Many clients, while their database is suspended, parked, woken and killed at random.
//!
//! `DORMOUSE_STORM_SECONDS` is the duration; the default is short.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use dormouse_testkit::{Client, Created, Dice, Dormouse, Reply, process};

fn seconds(default: u64) -> Duration {
    let set = std::env::var("DORMOUSE_STORM_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(set.unwrap_or(default))
}

#[derive(Default)]
struct Tally {
    statements: AtomicU64,
    interrupted: AtomicU64,
    transactions_lost: AtomicU64,
    slowest_ms: AtomicU64,
}

/// One client: inserts rows and counts them, alone and in transactions, and never reconnects.
struct Worker {
    client: Client,
    number: u64,
    next: u64,
    tally: Arc<Tally>,
    kills: Arc<AtomicU64>,
    /// Locked for reading during work.
    lull: Arc<RwLock<()>>,
}

impl Worker {
    fn run(&mut self, text: &str) -> Reply {
        let start = Instant::now();
        let reply = self.client.query(text);
        self.tally.statements.fetch_add(1, Ordering::Relaxed);
        let took = u64::try_from(start.elapsed().as_millis()).unwrap();
        self.tally.slowest_ms.fetch_max(took, Ordering::Relaxed);
        reply
    }

    /// A statement outside a transaction: it may fail only if its server was killed while it ran.
    fn alone(&mut self, text: &str) -> Option<Reply> {
        let kills = self.kills.load(Ordering::SeqCst);
        match self.run(text) {
            Reply::Err(error) => {
                let killed = self.kills.load(Ordering::SeqCst) > kills;
                assert!(error.sqlstate() == "08007" && killed, "{text}: {error:?}");
                self.tally.interrupted.fetch_add(1, Ordering::Relaxed);
                None
            }
            reply => Some(reply),
        }
    }

    fn insert(&mut self) {
        let (number, n) = (self.number, self.next);
        self.next += 1;
        let text = format!("INSERT INTO app.log VALUES ({number}, {n})");
        if self.alone(&text).is_none() {
            // the outcome is unknown: read it
            let look = format!("SELECT COUNT(*) FROM app.log WHERE c = {number} AND n = {n}");
            loop {
                match self.alone(&look).map(Reply::value).as_deref() {
                    Some("1") => return,
                    Some(_) => break,
                    None => {}
                }
            }
            self.next -= 1;
        }
    }

    /// Inserts two rows in one transaction; if its outcome is unknown, both or none exist.
    fn transaction(&mut self) {
        let (number, n) = (self.number, self.next);
        let texts = [
            "BEGIN".to_owned(),
            format!("INSERT INTO app.log VALUES ({number}, {n})"),
            format!("INSERT INTO app.log VALUES ({number}, {})", n + 1),
            "COMMIT".to_owned(),
        ];
        let kills = self.kills.load(Ordering::SeqCst);
        let failed = texts.iter().any(|text| match self.run(text) {
            Reply::Err(error) => {
                let killed = self.kills.load(Ordering::SeqCst) > kills;
                let expected = matches!(error.sqlstate(), "40001" | "08007");
                assert!(expected && killed, "{text}: {error:?}");
                self.tally.transactions_lost.fetch_add(1, Ordering::Relaxed);
                true
            }
            _ => false,
        });
        if !failed {
            self.next += 2;
            return;
        }
        let look = format!(
            "SELECT COUNT(*) FROM app.log WHERE c = {number} AND n IN ({n}, {})",
            n + 1
        );
        let found = std::iter::repeat_with(|| self.alone(&look))
            .flatten()
            .next()
            .unwrap()
            .value();
        match found.as_str() {
            "0" => {}
            "2" => self.next += 2,
            other => panic!("half a transaction: {other} of 2 rows"),
        }
    }

    fn work(mut self, done: &AtomicBool) -> u64 {
        let mut dice = Dice::new(self.number + 1);
        self.alone("SET time_zone = '+05:00'");
        let lull = Arc::clone(&self.lull);
        while !done.load(Ordering::Relaxed) {
            let busy = lull.read();
            match dice.below(10) {
                0..5 => self.insert(),
                5..7 => self.transaction(),
                _ => {
                    if let Some(zone) = self.alone("SELECT @@time_zone FROM DUAL") {
                        assert_eq!(zone.value(), "+05:00");
                    }
                }
            }
            drop(busy);
            std::thread::sleep(Duration::from_millis(dice.below(40)));
        }
        while self.alone("SELECT 1 FROM DUAL").is_none() {}
        self.next
    }
}

/// Suspends, parks, wakes and kills at random until the time is over; returns the counts. For every
/// other park all clients pause: among two hundred clients one is always in a transaction.
fn chaos(
    dormouse: &Dormouse,
    name: &str,
    until: Instant,
    kills: &AtomicU64,
    lull: &RwLock<()>,
) -> [u64; 4] {
    let mut dice = Dice::new(7);
    let mut did = [0; 4];
    let mut parks = 0;
    // on a slow machine it continues until everything has happened, for another minute at most
    let at_last = until + Duration::from_secs(60);
    while Instant::now() < until || (did.contains(&0) && Instant::now() < at_last) {
        let what = dice.below(4);
        match what {
            3 => {
                if let Some(pid) = dormouse.show(name)["pid"].as_u64() {
                    // counted first: a client that gets the error must see the count
                    kills.fetch_add(1, Ordering::SeqCst);
                    process::kill(u32::try_from(pid).unwrap());
                    did[3] += 1;
                }
            }
            n => {
                parks += u64::from(n == 1);
                let quiet = (n == 1 && parks % 2 == 0).then(|| lull.write());
                let order = ["suspend", "park", "wake"][usize::try_from(n).unwrap()];
                let output = dormouse.command(&[order, name]).output().unwrap();
                did[usize::try_from(n).unwrap()] += u64::from(output.status.success());
                drop(quiet);
            }
        }
        std::thread::sleep(Duration::from_millis(dice.below(200)));
    }
    did
}

fn worker(
    dormouse: &Dormouse,
    who: &Created,
    number: u64,
    tally: &Arc<Tally>,
    kills: &Arc<AtomicU64>,
    lull: &Arc<RwLock<()>>,
) -> Worker {
    let client = dormouse.connect(who);
    Worker {
        client,
        number,
        next: 0,
        tally: Arc::clone(tally),
        kills: Arc::clone(kills),
        lull: Arc::clone(lull),
    }
}

#[test]
fn clients_get_no_errors_except_for_statements_interrupted_by_a_kill() {
    const CLIENTS: u64 = 200;
    let dormouse =
        Dormouse::start_with("[defaults]\nidle_suspend = \"50ms\"\nidle_park = \"200ms\"\n");
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client
        .query("CREATE TABLE app.log (c INT, n INT, PRIMARY KEY (c, n))")
        .ok();
    let (tally, kills) = (Arc::new(Tally::default()), Arc::new(AtomicU64::new(0)));
    let done = Arc::new(AtomicBool::new(false));
    let lull = Arc::new(RwLock::new(()));
    let until = Instant::now() + seconds(15);
    let workers: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let worker = worker(&dormouse, &who, number, &tally, &kills, &lull);
            let done = Arc::clone(&done);
            std::thread::spawn(move || worker.work(&done))
        })
        .collect();
    let did = chaos(&dormouse, "shop", until, &kills, &lull);
    done.store(true, Ordering::Relaxed);
    let counted: u64 = workers
        .into_iter()
        .map(|worker| worker.join().unwrap())
        .sum();
    let stored = client.query("SELECT COUNT(*) FROM app.log").value();
    println!(
        "{} statements, slowest {} ms; {} suspends, {} parks, {} wakes, {} kills; \
         {} statements and {} transactions interrupted by kills",
        tally.statements.load(Ordering::Relaxed),
        tally.slowest_ms.load(Ordering::Relaxed),
        did[0],
        did[1],
        did[2],
        did[3],
        tally.interrupted.load(Ordering::Relaxed),
        tally.transactions_lost.load(Ordering::Relaxed),
    );
    assert_eq!(stored, counted.to_string(), "rows lost or doubled");
    assert!(did.iter().all(|n| *n > 0), "the storm was none: {did:?}");
}

#[test]
fn a_fleet_converges_to_parked_and_leaves_nothing() {
    let databases: usize = std::env::var("DORMOUSE_FLEET")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(8);
    let (suspend, park) = if databases >= 30 {
        ("10s", "30s")
    } else {
        ("500ms", "1500ms")
    };
    let config = format!(
        "[defaults]\nidle_suspend = \"{suspend}\"\nidle_park = \"{park}\"\n[warm_pool]\nsize = 0\n"
    );
    let dormouse = Dormouse::start_with(&config);
    let all: Vec<_> = (0..databases)
        .map(|n| {
            let name = format!("db{n}");
            let who = dormouse.create(&name, &[]);
            (name, who)
        })
        .collect();
    for (name, _) in &all {
        let _ = dormouse.json(&["park", name]);
    }
    let before = (
        process::descriptors(dormouse.pid()),
        process::resident(dormouse.pid()),
    );
    let until = Instant::now() + seconds(15);
    let refused = AtomicU64::new(0);
    let statements = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for (n, (_, who)) in all.iter().enumerate() {
            let (dormouse, refused, statements) = (&dormouse, &refused, &statements);
            scope.spawn(move || {
                let mut dice = Dice::new(n as u64 + 1);
                while Instant::now() < until {
                    let mut client = Client::tcp(dormouse.address());
                    match client.login(&who.user, &who.password, None) {
                        Reply::Ok(_) => {}
                        _ => {
                            refused.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                    for _ in 0..dice.below(20) {
                        assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
                        statements.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(Duration::from_millis(dice.below(100)));
                    }
                    std::thread::sleep(Duration::from_millis(dice.below(3000)));
                }
            });
        }
    });
    for (name, _) in &all {
        process::until(&format!("{name} is parked"), || {
            dormouse.state(name) == "parked"
        });
    }
    process::until("no server is left", || dormouse.servers().is_empty());
    let after = (
        process::descriptors(dormouse.pid()),
        process::resident(dormouse.pid()),
    );
    println!(
        "{databases} databases, {} statements; descriptors {} -> {}, memory {} -> {} KiB",
        statements.load(Ordering::Relaxed),
        before.0,
        after.0,
        before.1 >> 10,
        after.1 >> 10
    );
    assert_eq!(refused.load(Ordering::Relaxed), 0, "logins were refused");
    assert!(
        after.0 <= before.0 + 4,
        "descriptors were left over: {before:?} {after:?}"
    );
    assert!(
        after.1 <= before.1 + (32 << 20),
        "memory was left over: {before:?} {after:?}"
    );
}
