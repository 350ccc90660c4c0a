//! A bank with many more clients than backends, suspended and parked while it works.
//!
//! Every client runs the same kinds of transactions in turn. Each kind has an invariant in the data
//! or in the session, and no client may get an error except for deadlocks of its own transactions.
//! The test ends after a number of transactions, not after a time, so it also shows whether all
//! clients got their share.
//!
//! `DORMOUSE_BANK_CLIENTS` is the number of clients, `DORMOUSE_BANK_TRANSACTIONS` the mean number of
//! transactions of each.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, RwLock};
use std::time::{Duration, Instant};

use dormouse_testkit::{Client, Created, Dice, Dormouse, Reply};
use dormouse_wire::command::Command;
use dormouse_wire::reply::{ErrPacket, OkPacket};

/// Few, so that transactions conflict.
const ACCOUNTS: u64 = 10;
const TILLS: u64 = 4;
const BACKENDS: u32 = 8;

fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| text.parse().unwrap())
}

/// Shared state of all clients.
struct Bank {
    /// Number of transactions after which the test ends.
    wanted: u64,
    done: AtomicU64,
    statements: AtomicU64,
    retries: AtomicU64,
    slowest_ms: AtomicU64,
    /// Locked for reading during work that pins a backend; while it is locked for writing, no session
    /// vetoes a park.
    pinning: RwLock<()>,
    open: Barrier,
}

impl Bank {
    fn is_open(&self) -> bool {
        self.done.load(Ordering::Relaxed) < self.wanted
    }
}

/// A statement prepared once. Its parameters are all BIGINT; their types are sent with the first
/// execution only, as by drivers.
struct Prepared {
    id: u32,
    typed: bool,
}

/// One client. It connects once.
struct Customer<'a> {
    bank: &'a Bank,
    client: Client,
    dice: Dice,
    number: u64,
    /// Transactions done.
    n: u64,
    /// Last value of `@mine`.
    mine: u64,
    insert: Prepared,
    look: Prepared,
}

/// Result of a client.
#[derive(Default, Clone, Copy)]
struct Account {
    business: u64,
    transfers: u64,
    receipts: u64,
    visits: u64,
}

impl<'a> Customer<'a> {
    fn arrive(bank: &'a Bank, dormouse: &Dormouse, who: &Created, number: u64) -> Self {
        let mut client = dormouse.connect(who);
        let mut prepare = |text| Prepared {
            id: client.prepare(text),
            typed: false,
        };
        let insert = prepare("INSERT INTO app.receipt (client, n) VALUES (?, ?)");
        let look = prepare("SELECT client, n FROM app.receipt WHERE id = ?");
        let mut customer = Self {
            bank,
            client,
            dice: Dice::new(number + 1),
            number,
            n: 0,
            mine: number * 1_000_000,
            insert,
            look,
        };
        customer.sets_its_variables();
        customer
    }

    fn timed<R>(&mut self, work: impl FnOnce(&mut Client) -> R) -> R {
        let began = Instant::now();
        let result = work(&mut self.client);
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        self.bank.slowest_ms.fetch_max(took, Ordering::Relaxed);
        self.bank.statements.fetch_add(1, Ordering::Relaxed);
        result
    }

    fn query(&mut self, text: &str) -> Reply {
        self.timed(|client| client.query(text))
    }

    fn ok(&mut self, text: &str) -> OkPacket {
        match self.query(text) {
            Reply::Ok(ok) => ok,
            other => panic!("client {}, {text}: {other:?}", self.number),
        }
    }

    #[track_caller]
    fn finds(&mut self, text: &str, expected: &str) {
        match self.query(text) {
            Reply::Rows(rows) => assert_eq!(
                rows,
                [[Some(expected.to_owned())]],
                "client {}, {text}",
                self.number
            ),
            other => panic!("client {}, {text}: {other:?}", self.number),
        }
    }

    /// Executes a prepared statement; returns the packets of the reply.
    fn execute(&mut self, choose: fn(&mut Self) -> &mut Prepared, values: &[u64]) -> Vec<Vec<u8>> {
        const BIGINT: u8 = 8;
        let statement = choose(self);
        let mut argument = [&statement.id.to_le_bytes()[..], &[0, 1, 0, 0, 0, 0]].concat();
        if std::mem::replace(&mut statement.typed, true) {
            argument.push(0);
        } else {
            argument.push(1);
            values.iter().for_each(|_| argument.extend([BIGINT, 0]));
        }
        values
            .iter()
            .for_each(|value| argument.extend(value.to_le_bytes()));
        let packets = self.timed(|client| {
            client.command(Command::StmtExecute, &argument);
            client.binary_reply()
        });
        let failed = packets.iter().find(|packet| packet[0] == 0xff);
        if let Some(error) = failed.map(|packet| ErrPacket::parse(packet)) {
            panic!("client {}, prepared: {error:?}", self.number);
        }
        packets
    }

    /// Works until the test ends.
    fn stay(mut self) -> Account {
        let mut own = Account::default();
        self.bank.open.wait();
        while self.bank.is_open() {
            // the same work for all, at different times
            match (self.number + self.n) % 8 {
                0 | 4 => {
                    self.transfers_money();
                    own.transfers += 1;
                }
                1 | 5 => self.counts_in_a_variable(),
                2 => {
                    self.takes_a_receipt();
                    own.receipts += 1;
                }
                3 => self.uses_a_temporary_table(),
                6 => {
                    self.takes_a_prepared_receipt();
                    own.receipts += 1;
                }
                _ => {
                    self.stands_at_a_till();
                    own.visits += 1;
                }
            }
            self.n += 1;
            self.bank.done.fetch_add(1, Ordering::Relaxed);
        }
        self.sees_its_variables();
        own.business = self.n;
        own
    }

    fn transfers_money(&mut self) {
        let _pinned = self.bank.pinning.read().unwrap();
        let from = self.dice.below(ACCOUNTS);
        let to = (from + 1 + self.dice.below(ACCOUNTS - 1)) % ACCOUNTS;
        let amount = self.dice.below(50) + 1;
        let (number, n) = (self.number, self.n);
        let texts = [
            "BEGIN",
            &format!("SELECT balance INTO @b FROM app.account WHERE id = {from} FOR UPDATE"),
            &format!("UPDATE app.account SET balance = @b - {amount} WHERE id = {from}"),
            &format!("UPDATE app.account SET balance = balance + {amount} WHERE id = {to}"),
            &format!("INSERT INTO app.ledger VALUES ({number}, {n}, {from}, {to}, {amount})"),
            "COMMIT",
        ];
        while !self.tries(&texts) {
            self.bank.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs a transaction; `false` if it was rolled back because of a conflict.
    fn tries(&mut self, texts: &[&str]) -> bool {
        for text in texts {
            if let Reply::Err(error) = self.query(text) {
                // the server's own texts: an error of Dormouse with the same code has another text
                let own = matches!(
                    (error.code, error.message.as_str()),
                    (
                        1213,
                        "Deadlock found when trying to get lock; try restarting transaction"
                    ) | (
                        1205,
                        "Lock wait timeout exceeded; try restarting transaction"
                    )
                );
                assert!(own, "client {}, {text}: {error:?}", self.number);
                self.ok("ROLLBACK");
                return false;
            }
        }
        true
    }

    fn sets_its_variables(&mut self) {
        self.mine += 1;
        let (number, mine) = (self.number, self.mine);
        self.ok(&format!("SET @mine = {mine}, @who = 'client {number}'"));
    }

    fn sees_its_variables(&mut self) {
        let expected = format!("{}|client {}", self.mine, self.number);
        self.finds("SELECT CONCAT_WS('|', @mine, @who)", &expected);
    }

    fn counts_in_a_variable(&mut self) {
        self.sees_its_variables();
        self.sets_its_variables();
        self.mine += 1;
        let mine = self.mine.to_string();
        self.finds("SELECT @mine := @mine + 1", &mine);
    }

    fn takes_a_receipt(&mut self) {
        let (number, n) = (self.number, self.n);
        let ok = self.ok(&format!(
            "INSERT INTO app.receipt (client, n) VALUES ({number}, {n})"
        ));
        self.sets_its_variables();
        self.finds("SELECT LAST_INSERT_ID()", &ok.last_insert_id.to_string());
        self.finds(
            "SELECT CONCAT_WS('|', client, n) FROM app.receipt WHERE id = LAST_INSERT_ID()",
            &format!("{number}|{n}"),
        );
    }

    fn takes_a_prepared_receipt(&mut self) {
        let (number, n) = (self.number, self.n);
        let reply = self.execute(|own| &mut own.insert, &[number, n]);
        let ok = OkPacket::parse(&reply[0], self.client.capabilities).unwrap();
        let reply = self.execute(|own| &mut own.look, &[ok.last_insert_id]);
        // a binary row: its header, no NULLs, two BIGINTs
        let row = [&[0, 0][..], &number.to_le_bytes(), &n.to_le_bytes()].concat();
        assert_eq!(reply[reply.len() - 2], row, "client {number}");
        self.finds("SELECT LAST_INSERT_ID()", &ok.last_insert_id.to_string());
    }

    fn uses_a_temporary_table(&mut self) {
        let (number, n) = (self.number, self.n);
        {
            let _pinned = self.bank.pinning.read().unwrap();
            // the same name for all
            self.ok("CREATE TEMPORARY TABLE app.scratch (client INT, n INT)");
            self.ok(&format!("INSERT INTO app.scratch VALUES ({number}, {n})"));
            self.ok(&format!("INSERT INTO app.scratch VALUES ({number}, 1)"));
            self.finds(
                "SELECT CONCAT_WS('|', COUNT(*), MIN(client), MAX(client), SUM(n)) \
                 FROM app.scratch",
                &format!("2|{number}|{number}|{}", n + 1),
            );
            self.ok("DROP TEMPORARY TABLE app.scratch");
        }
        let gone = self.query("SELECT 1 FROM app.scratch").err();
        assert_eq!(gone.code, 1146, "{gone:?}");
    }

    /// Reads a value and writes it back plus one; only the lock excludes other clients.
    fn stands_at_a_till(&mut self) {
        let _pinned = self.bank.pinning.read().unwrap();
        let till = self.dice.below(TILLS);
        self.finds(&format!("SELECT GET_LOCK('till {till}', 50)"), "1");
        let visits = self.query(&format!("SELECT visits FROM app.till WHERE id = {till}"));
        let visits: u64 = visits.value().parse().unwrap();
        self.ok(&format!(
            "UPDATE app.till SET visits = {} WHERE id = {till}",
            visits + 1
        ));
        self.finds(&format!("SELECT RELEASE_LOCK('till {till}')"), "1");
    }
}

/// Numbers of executed and refused orders.
#[derive(Debug, Default)]
struct Nights {
    done: BTreeMap<&'static str, u64>,
    refused: BTreeMap<&'static str, u64>,
}

impl Nights {
    fn order(&mut self, dormouse: &Dormouse, order: &'static str) -> Result<(), String> {
        let output = dormouse.command(&[order, "bank"]).output().unwrap();
        if output.status.success() {
            *self.done.entry(order).or_default() += 1;
            return Ok(());
        }
        *self.refused.entry(order).or_default() += 1;
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Orders the database to sleep at random times until the test ends.
    fn fall(&mut self, dormouse: &Dormouse, bank: &Bank, all_left: impl Fn() -> bool) {
        let mut dice = Dice::new(7);
        for night in 0.. {
            if !bank.is_open() || all_left() {
                return;
            }
            match night % 8 {
                0 => {
                    let _nobody_pinned = bank.pinning.write().unwrap();
                    let parked = self.order(dormouse, "park");
                    assert_eq!(parked, Ok(()), "a park that nothing pinned could veto");
                }
                // a session may veto it
                3 | 6 => drop(self.order(dormouse, "park")),
                _ => drop(self.order(dormouse, "suspend")),
            }
            std::thread::sleep(Duration::from_millis(dice.below(400)));
        }
    }
}

fn set_up(client: &mut Client) {
    client.query("CREATE DATABASE app").ok();
    for table in [
        "account (id INT PRIMARY KEY, balance BIGINT NOT NULL)",
        "ledger (client INT, n INT, debit INT, credit INT, amount INT, PRIMARY KEY (client, n))",
        "receipt (id BIGINT PRIMARY KEY AUTO_INCREMENT, client BIGINT, n BIGINT)",
        "till (id INT PRIMARY KEY, visits BIGINT NOT NULL)",
    ] {
        client.query(&format!("CREATE TABLE app.{table}")).ok();
    }
    for id in 0..ACCOUNTS {
        client
            .query(&format!("INSERT INTO app.account VALUES ({id}, 1000)"))
            .ok();
    }
    for id in 0..TILLS {
        client
            .query(&format!("INSERT INTO app.till VALUES ({id}, 0)"))
            .ok();
    }
}

fn books_balance(client: &mut Client, customers: &[Account]) {
    let mut number = |text: &str| client.query(text).value();
    let sum = |of: fn(&Account) -> u64| customers.iter().map(of).sum::<u64>().to_string();
    assert_eq!(
        number("SELECT SUM(balance) FROM app.account"),
        (ACCOUNTS * 1000).to_string(),
        "money was made or lost"
    );
    assert_eq!(
        number("SELECT COUNT(*) FROM app.ledger"),
        sum(|own| own.transfers),
        "transfers were lost or doubled"
    );
    let moved = |side: &str| {
        format!("(SELECT COALESCE(SUM(amount), 0) FROM app.ledger WHERE {side} = a.id)")
    };
    assert_eq!(
        number(&format!(
            "SELECT COUNT(*) FROM app.account a WHERE balance <> 1000 - {} + {}",
            moved("debit"),
            moved("credit")
        )),
        "0",
        "an account does not agree with the ledger"
    );
    assert_eq!(
        number("SELECT COUNT(DISTINCT client, n) FROM app.receipt"),
        sum(|own| own.receipts),
        "receipts were lost"
    );
    assert_eq!(
        number("SELECT COUNT(*) FROM app.receipt"),
        sum(|own| own.receipts),
        "receipts were doubled"
    );
    assert_eq!(
        number("SELECT SUM(visits) FROM app.till"),
        sum(|own| own.visits),
        "two had the same lock"
    );
}

#[test]
fn balances_are_correct_with_few_backends_and_random_sleeps() {
    let clients = setting("DORMOUSE_BANK_CLIENTS", 200);
    let each = setting("DORMOUSE_BANK_TRANSACTIONS", 5);
    let dormouse = Dormouse::start_with(&format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n\
         [pool]\nbackends_max = {BACKENDS}\nlease_timeout = \"50s\"\n"
    ));
    let who = dormouse.create("bank", &[]);
    let mut owner = dormouse.connect(&who);
    set_up(&mut owner);
    let bank = Bank {
        wanted: clients * each,
        done: AtomicU64::default(),
        statements: AtomicU64::default(),
        retries: AtomicU64::default(),
        slowest_ms: AtomicU64::default(),
        pinning: RwLock::default(),
        open: Barrier::new(usize::try_from(clients).unwrap() + 1),
    };
    let customers: Vec<_> = (0..clients)
        .map(|number| Customer::arrive(&bank, &dormouse, &who, number))
        .collect();
    let mut nights = Nights::default();
    let began = std::sync::OnceLock::new();
    let accounts: Vec<Account> = std::thread::scope(|scope| {
        let threads: Vec<_> = customers
            .into_iter()
            .map(|customer| scope.spawn(|| customer.stay()))
            .collect();
        bank.open.wait();
        began.set(Instant::now()).unwrap();
        nights.fall(&dormouse, &bank, || {
            threads.iter().all(|thread| thread.is_finished())
        });
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let took = began.get().unwrap().elapsed();
    let mut shares: Vec<u64> = accounts.iter().map(|own| own.business).collect();
    shares.sort_unstable();
    let (least, median) = (shares[0], shares[shares.len() / 2]);
    println!(
        "{clients} clients on {BACKENDS} backends: {} transactions, {} statements in {:.1} s, \
         {} deadlocks; the slowest statement took {} ms; \
         transactions of a client: least {least}, median {median}, most {}; {nights:?}",
        bank.done.load(Ordering::Relaxed),
        bank.statements.load(Ordering::Relaxed),
        took.as_secs_f64(),
        bank.retries.load(Ordering::Relaxed),
        bank.slowest_ms.load(Ordering::Relaxed),
        shares[shares.len() - 1],
    );
    for row in owner.query("SHOW DORMOUSE STATUS").rows() {
        println!("  {row:?}");
    }
    books_balance(&mut owner, &accounts);
    assert!(least * 2 >= median, "one client had to wait for the others");
    for order in ["suspend", "park"] {
        assert!(nights.done.contains_key(order), "no {order}: {nights:?}");
    }
}
