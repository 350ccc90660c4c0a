//! Load for a server's CPU, which counts itself ten times a second if need be: sysbench tells no
//! more often than once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use dormouse_testkit::{Client, Created, Dormouse, Reply};

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
    /// When the first was answered.
    first: OnceLock<Instant>,
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

    /// When the first was answered.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first.get().copied()
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
    /// Logs so many clients in, and begins.
    pub(super) fn start(
        dormouse: &Dormouse,
        who: &Created,
        clients: usize,
        count: &Arc<Count>,
    ) -> Self {
        Self::of(connect(dormouse, who, clients), count)
    }

    /// Begins at once, with clients that are logged in already.
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

/// Clients that are logged in.
pub(super) fn connect(dormouse: &Dormouse, who: &Created, clients: usize) -> Vec<Client> {
    (0..clients).map(|_| dormouse.connect(who)).collect()
}

/// One statement after another.
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
