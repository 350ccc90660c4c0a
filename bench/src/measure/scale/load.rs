//! Load for a server's CPU, which counts itself ten times a second if need be: sysbench tells no
//! more often than once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use dormouse_testkit::{Client, Created, Dormouse, Reply};

/// Clients that send one statement after another.
const CLIENTS: u64 = 8;

/// Rows of the table, and those that a statement reads: so many that client and proxy, which share
/// the machine, have little to do.
const ROWS: u64 = 10_000;
const READ: u64 = 5000;

/// What the load's clients have had.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Statements answered.
    answered: AtomicU64,
    /// Statements that failed.
    failed: AtomicU64,
}

impl Count {
    /// Statements answered until now.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Statements that failed until now.
    pub(super) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Load that runs.
pub(super) struct Load {
    /// When it began.
    pub(super) began: Instant,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

/// Makes the table that the load reads.
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
    /// Begins at once, with clients that are logged in already.
    pub(super) fn start(dormouse: &Dormouse, who: &Created, count: &Arc<Count>) -> Self {
        let clients: Vec<Client> = (0..CLIENTS).map(|_| dormouse.connect(who)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let run = |(number, client)| {
            let (stop, count) = (Arc::clone(&stop), Arc::clone(count));
            std::thread::spawn(move || run(client, number, &stop, &count))
        };
        let clients = (0..).zip(clients).map(run).collect();
        Self {
            began,
            stop,
            clients,
        }
    }

    /// Ends it, and says when the last statement was answered.
    pub(super) fn stop(self) -> Instant {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            // one that failed has counted that
            let _ = client.join();
        }
        Instant::now()
    }
}

fn run(mut client: Client, number: u64, stop: &AtomicBool, count: &Count) {
    let mut from = number * ROWS / CLIENTS;
    while !stop.load(Ordering::Relaxed) {
        from = (from + READ) % (ROWS - READ);
        let last = from + READ - 1;
        let text = format!("SELECT SUM(CRC32(c)) FROM app.t WHERE id BETWEEN {from} AND {last}");
        match client.try_query(&text) {
            Ok(Reply::Rows(_)) => count.answered.fetch_add(1, Ordering::Relaxed),
            Ok(_) => count.failed.fetch_add(1, Ordering::Relaxed),
            Err(_) => {
                count.failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
    }
}
