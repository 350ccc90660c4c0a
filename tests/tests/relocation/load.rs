//! Clients that do what clients of a shop do, while something happens to their database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use dormouse_testkit::{Client, Created, Dice, Dormouse};

/// Makes their tables.
pub(crate) fn make(client: &mut Client) {
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.account (id INT PRIMARY KEY, n INT NOT NULL) ENGINE = InnoDB",
        "CREATE TABLE app.journal (id BIGINT AUTO_INCREMENT PRIMARY KEY, account INT, n INT) ENGINE = InnoDB",
    ] {
        client.query(text).ok();
    }
}

/// Runs the clients until `meanwhile` has ended. None may get an error, and each finds what it has done.
pub(crate) fn run(dormouse: &Dormouse, who: &Created, clients: u64, meanwhile: impl FnOnce()) {
    let mut admin = dormouse.connect(who);
    for id in 0..clients {
        admin
            .query(&format!("INSERT INTO app.account VALUES ({id}, 0)"))
            .ok();
    }
    let ended = AtomicBool::new(false);
    let done: Vec<u64> = thread::scope(|scope| {
        let ended = &ended;
        let one = move |id| {
            let mut customer = Customer::new(dormouse.connect(who), id);
            while !ended.load(Ordering::Relaxed) {
                customer.acts();
            }
            customer.done
        };
        let all: Vec<_> = (0..clients)
            .map(|id| scope.spawn(move || one(id)))
            .collect();
        meanwhile();
        ended.store(true, Ordering::Relaxed);
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for (id, done) in done.into_iter().enumerate() {
        let mut of = |text: &str| admin.query(text).value().parse::<u64>().unwrap();
        let has = of(&format!("SELECT n FROM app.account WHERE id = {id}"));
        let noted = of(&format!(
            "SELECT COUNT(*) FROM app.journal WHERE account = {id}"
        ));
        assert!(done > 0, "client {id} did nothing");
        assert_eq!((has, noted), (done, done), "client {id}");
    }
}

struct Customer {
    client: Client,
    id: u64,
    dice: Dice,
    done: u64,
}

impl Customer {
    fn new(mut client: Client, id: u64) -> Self {
        client.query(&format!("SET @me = {id}")).ok();
        client.query("SET SESSION sql_mode = 'ANSI_QUOTES'").ok();
        Self {
            client,
            id,
            dice: Dice::new(id + 1),
            done: 0,
        }
    }

    fn acts(&mut self) {
        let (id, n) = (self.id, self.done + 1);
        let adds = format!("UPDATE app.account SET n = n + 1 WHERE id = {id}");
        let notes = format!("INSERT INTO app.journal (account, n) VALUES ({id}, {n})");
        let texts = match self.dice.below(3) {
            0 => vec!["BEGIN".to_owned(), adds, notes, "COMMIT".to_owned()],
            1 => vec![
                "SET autocommit = 0".to_owned(),
                notes,
                adds,
                "COMMIT".to_owned(),
                "SET autocommit = 1".to_owned(),
            ],
            _ => vec![adds, notes],
        };
        for text in texts {
            self.client.query(&text).ok();
        }
        self.done = n;
        let row = self.client.query("SELECT @me, @@SESSION.sql_mode").rows();
        let own = vec![Some(id.to_string()), Some("ANSI_QUOTES".to_owned())];
        assert_eq!(row, [own], "the session of client {id}");
    }
}
