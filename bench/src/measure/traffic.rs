//! Clients that update rows, alone and in transactions, and note how long each statement took: for measures of what
//! happens to a database meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::{Client, Created, Dice, Dormouse, Reply};

use super::millis;
use crate::stats::percentile;

/// Number of clients.
const CLIENTS: u64 = 8;

/// What a client sends after an error.
const ENDS: &str = "ROLLBACK";

/// Clients that run.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    statements: Vec<Statement>,
    /// Errors that statements got, on connections that went on.
    pub(super) errors: Vec<String>,
    /// Connections that were dropped.
    pub(super) dropped: u32,
}

/// A statement that was answered.
#[derive(Debug, Clone, Copy)]
struct Statement {
    client: u64,
    sent: Instant,
    answered: Instant,
    /// Whether it did work: it is no `ROLLBACK`, and did not fail.
    works: bool,
}

/// Makes the tables: rows of about a kilobyte in one, none in the other.
pub(super) fn fill(dormouse: &Dormouse, who: &Created, rows: u64) {
    let mut client = dormouse.connect(who);
    for text in [
        "CREATE DATABASE app".to_owned(),
        "CREATE TABLE app.stock (id INT PRIMARY KEY, n INT NOT NULL, c VARCHAR(1000) CHARACTER SET latin1)".to_owned(),
        "CREATE TABLE app.sale (id BIGINT PRIMARY KEY AUTO_INCREMENT, item INT, n INT)".to_owned(),
        format!("INSERT INTO app.stock SELECT seq, 0, REPEAT(MD5(seq), 30) FROM app.seq_1_to_{rows}"),
    ] {
        client.query(&text).ok();
    }
}

impl Traffic {
    /// Logs the clients in, and lets them run.
    pub(super) fn start(dormouse: &Dormouse, who: &Created, rows: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let run = |number| {
            let (client, stop) = (dormouse.connect(who), Arc::clone(&stop));
            std::thread::spawn(move || customer(client, number, rows, &stop))
        };
        Self {
            clients: (1..=CLIENTS).map(run).collect(),
            stop,
        }
    }

    /// Ends it; returns what they have seen.
    pub(super) fn stop(self) -> anyhow::Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let one = client.join().ok().context("a client of the load failed")?;
            all.statements.extend(one.statements);
            all.errors.extend(one.errors);
            all.dropped += one.dropped;
        }
        Ok(all)
    }
}

impl Seen {
    /// Milliseconds of each statement of which a part lies in this time.
    pub(super) fn during(&self, from: Instant, to: Instant) -> Vec<f64> {
        let there = |one: &&Statement| one.answered >= from && one.sent <= to;
        let time = |one: &Statement| millis(one.answered - one.sent);
        self.statements.iter().filter(there).map(time).collect()
    }

    /// Milliseconds of the longest and of the 99.9th percentile of these statements.
    pub(super) fn longest(&self, from: Instant, to: Instant) -> (f64, f64) {
        let times = self.during(from, to);
        (percentile(&times, 100.0), percentile(&times, 99.9))
    }

    /// The longest time in which a client got no work done.
    pub(super) fn stood_still(&self, from: Instant, to: Instant) -> Duration {
        let of = |client| {
            let done = self.statements.iter();
            let done = done.filter(move |one| one.client == client && one.works);
            let mut at: Vec<Instant> = { done.map(|one| one.answered) }
                .filter(|at| (from..=to).contains(at))
                .collect();
            at.extend([from, to]);
            at.sort();
            let gaps = at.windows(2).map(|two| two[1] - two[0]);
            gaps.max().unwrap_or_default()
        };
        (1..=CLIENTS).map(of).max().unwrap_or_default()
    }
}

fn customer(mut client: Client, number: u64, rows: u64, stop: &AtomicBool) -> Seen {
    let mut dice = Dice::new(number);
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let item = 1 + dice.below(rows);
        let sells = format!("UPDATE app.stock SET n = n - 1 WHERE id = {item}");
        let notes = format!("INSERT INTO app.sale (item, n) VALUES ({item}, 1)");
        let texts = match dice.below(2) {
            0 => vec!["BEGIN".to_owned(), sells, notes, "COMMIT".to_owned()],
            _ => vec![sells],
        };
        let mut texts = texts.into_iter();
        while let Some(text) = texts.next() {
            let sent = Instant::now();
            let Ok(reply) = client.try_query(&text) else {
                seen.dropped += 1;
                return seen;
            };
            seen.statements.push(Statement {
                client: number,
                sent,
                answered: Instant::now(),
                works: text != ENDS && matches!(reply, Reply::Ok(_)),
            });
            if let Reply::Err(error) = reply {
                seen.errors
                    .push(format!("{}: {}", error.code, error.message));
                texts = vec![ENDS.to_owned()].into_iter();
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_counts_for_every_time_of_which_it_has_a_part() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let statement = |sent, answered| Statement {
            client: 1,
            sent: at(sent),
            answered: at(answered),
            works: true,
        };
        let seen = Seen {
            statements: vec![statement(0, 10), statement(5, 300), statement(310, 320)],
            ..Seen::default()
        };
        assert_eq!(seen.during(at(50), at(100)), [295.0]);
        assert_eq!(seen.longest(at(0), at(400)).0, 295.0);
        assert!(seen.longest(at(330), at(400)).0.is_nan());
    }

    #[test]
    fn a_client_stands_still_until_it_gets_work_done_whatever_others_do() {
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let statement = |client, answered, works| Statement {
            client,
            sent: at(answered),
            answered: at(answered),
            works,
        };
        let busy = (2..=CLIENTS).flat_map(|client| (0..9).map(move |n| (client, n * 50)));
        let mut statements: Vec<_> = busy
            .map(|(client, ms)| statement(client, ms, true))
            .collect();
        statements.extend(
            [(10, true), (100, false), (310, true)].map(|(ms, works)| statement(1, ms, works)),
        );
        let seen = Seen {
            statements,
            ..Seen::default()
        };
        assert_eq!(seen.stood_still(at(0), at(400)).as_millis(), 300);
    }
}
