//! Load for a server's CPU with counters that can be read at any time: sysbench reports once per second
//! at most.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use dormouse_testkit::{Client, Created, Dormouse, Reply};

/// Rows of the table, and rows read per statement: many, so that client and proxy, which share the
/// machine, use little CPU.
const ROWS: u64 = 10_000;
const READ: u64 = 5000;

/// Counters of the clients.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Statements answered.
    answered: AtomicU64,
    /// Statements that failed.
    failed: AtomicU64,
    /// Time of the first answer.
    first: OnceLock<Instant>,
}

impl Count {
    /// Number of statements answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Number of statements that failed so far.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Time of the first answer.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first.get().copied()
    }
}

/// A running load.
pub(super) struct Load {
    /// Time of its start.
    pub(super) began: Instant,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// Creates the table of the load.
pub(super) fn fill(dormouse: &Dormouse, who: &Created) {
    let mut client = dormouse.connect(who);
    for text in [
        "CREATE DATABASE app".to_owned(),
        "CREATE TABLE app.t (id INT PRIMARY KEY, c CHAR(120))".to_owned(),
        format!("INSERT INTO app.t SELECT seq, seq FROM app.seq_1_to_{ROWS}"),
    ] {
        client.query(&text).ok();
    }
}

impl Load {
    /// Logs clients in and starts the load.
    pub(super) fn start(
        dormouse: &Dormouse,
        who: &Created,
        clients: usize,
        count: &Arc<Count>,
    ) -> Self {
        Self::of(connect(dormouse, who, clients), count)
    }

    /// Starts the load with clients that are logged in already.
    pub(super) fn of(clients: Vec<Client>, count: &Arc<Count>) -> Self {
        let all = clients.len() as u64;
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let run = |(number, client)| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(count));
            std::thread::spawn(move || run(client, number * ROWS / all, &stop, &count))
        };
        let clients = (0..).zip(clients).map(run).collect();
        Self {
            began,
            stop,
            clients,
        }
    }

    /// Ends the load; returns the time of the last answer.
    pub(super) fn stop(self) -> Instant {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            // a client that failed has counted it
            let _ = client.join();
        }
        Instant::now()
    }
}

/// Connects and logs in clients.
pub(super) fn connect(dormouse: &Dormouse, who: &Created, clients: usize) -> Vec<Client> {
    (0..clients).map(|_| dormouse.connect(who)).collect()
}

/// Runs one statement after another.
fn run(mut client: Client, mut from: u64, stop: &AtomicBool, count: &Count) {
    while !stop.load(Ordering::Relaxed) {
        from = (from + READ) % (ROWS - READ);
        let last = from + READ - 1;
        let text = format!("SELECT SUM(CRC32(c)) FROM app.t WHERE id BETWEEN {from} AND {last}");
        match client.try_query(&text) {
            Ok(Reply::Rows(_)) => {
                count.first.get_or_init(Instant::now);
                count.answered.fetch_add(1, Ordering::Relaxed)
            }
            Ok(_) => count.failed.fetch_add(1, Ordering::Relaxed),
            Err(_) => {
                count.failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
    }
}
