//! A bank whose server is killed again and again while its clients commit: no commit that was acknowledged is lost, none
//! that was refused has happened, none has happened twice, and with a log (of a history, or for replicas) the outcome of
//! each is known. The same for changes outside of transactions, from MariaDB 11.5 on.
//!
//! `DORMOUSE_COMMIT_KILLS` is the number of kills, `DORMOUSE_COMMIT_LOSSES` that of primaries whose files are lost as well.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dormouse_testkit::{Client, Created, Dice, Dormouse, Reply, process};

use scene::Scene;

#[path = "history/scene.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod scene;

/// Clients of the bank.
const CLIENTS: u32 = 8;
/// Accounts, each with this much at first.
const ACCOUNTS: u32 = 10;
const EACH: u32 = 1000;

/// What a client was told of its transfers, by their numbers.
#[derive(Default)]
struct Journal {
    told: BTreeMap<u64, Told>,
    /// How much they added to accounts, as they were told.
    added: u64,
    /// How often the reply was that it has committed.
    committed: u64,
    /// Errors that are no answer to whether a transfer has happened.
    unknown: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Committed,
    RolledBack,
}

/// What the clients of a bank do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// They transfer money in transactions.
    Transfers,
    /// They change rows outside of transactions.
    Changes,
}

/// What all clients share.
struct Bank<'a> {
    dormouse: &'a Dormouse,
    who: &'a Created,
    serves: Serves,
    over: AtomicBool,
    /// Commits that have been sent, and those that were answered.
    sent: AtomicU64,
    answered: AtomicU64,
}

impl Bank<'_> {
    /// A client that transfers money until the bank is closed.
    fn serve(&self, number: u32) -> Journal {
        let mut client = self.dormouse.connect(self.who);
        let mut dice = Dice::new(u64::from(number) + 1);
        let mut journal = Journal::default();
        let mut n = 0;
        while !self.over.load(Ordering::SeqCst) {
            n += 1;
            if self.serves == Serves::Changes {
                self.change(&mut client, &mut dice, &mut journal, number, n);
                continue;
            }
            let told = self.transfer(&mut client, &mut dice, number, n, n % 3 == 0);
            match told {
                Ok(told) => {
                    journal.told.insert(n, told);
                }
                Err(error) => journal.unknown.push(error),
            }
        }
        journal
    }

    /// Two changes, each a transaction of its own.
    fn change(
        &self,
        client: &mut Client,
        dice: &mut Dice,
        journal: &mut Journal,
        number: u32,
        n: u64,
    ) {
        let (to, amount) = (dice.below(u64::from(ACCOUNTS)), dice.below(10) + 1);
        let entry = format!("INSERT INTO app.ledger (c, n, amount) VALUES ({number}, {n}, 0)");
        match self.make(client, journal, &entry) {
            Some(told) => drop(journal.told.insert(n, told)),
            None => return,
        }
        let text = format!("UPDATE app.account SET balance = balance + {amount} WHERE id = {to}");
        if self.make(client, journal, &text) == Some(Told::Committed) {
            journal.added += amount;
        }
    }

    /// Makes a change; `None`: what became of it is not known, which is noted.
    fn make(&self, client: &mut Client, journal: &mut Journal, text: &str) -> Option<Told> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        let reply = client.query(text);
        self.answered.fetch_add(1, Ordering::SeqCst);
        match reply {
            Reply::Ok(ok) if ok.affected == 1 => Some(Told::Committed),
            Reply::Err(error) if error.code == 1213 => Some(Told::RolledBack),
            Reply::Err(error) if error.message.contains("it has committed") => {
                journal.committed += 1;
                Some(Told::Committed)
            }
            other => {
                journal.unknown.push(format!("{text}: {other:?}"));
                None
            }
        }
    }

    fn transfer(
        &self,
        client: &mut Client,
        dice: &mut Dice,
        number: u32,
        n: u64,
        shows: bool,
    ) -> Result<Told, String> {
        let from = dice.below(u64::from(ACCOUNTS));
        let to = dice.below(u64::from(ACCOUNTS));
        let amount = dice.below(10);
        // some of them cannot be run again
        let shown = if shows { "SELECT UUID()" } else { "SELECT 1" };
        let texts = [
            "BEGIN".to_owned(),
            format!("INSERT INTO app.ledger (c, n, amount) VALUES ({number}, {n}, {amount})"),
            shown.to_owned(),
            format!("UPDATE app.account SET balance = balance - {amount} WHERE id = {from}"),
            format!("UPDATE app.account SET balance = balance + {amount} WHERE id = {to}"),
        ];
        for text in &texts {
            if let Reply::Err(error) = client.query(text) {
                // its own deadlocks too
                if error.code != 1213 {
                    return Err(format!("{text}: {error:?}"));
                }
                client.query("ROLLBACK").ok();
                return Ok(Told::RolledBack);
            }
        }
        self.sent.fetch_add(1, Ordering::SeqCst);
        let reply = client.query("COMMIT");
        self.answered.fetch_add(1, Ordering::SeqCst);
        match reply {
            Reply::Ok(_) => Ok(Told::Committed),
            Reply::Err(error) if error.code == 1213 => Ok(Told::RolledBack),
            other => Err(format!("COMMIT: {other:?}")),
        }
    }
}

/// A number that the environment may set.
fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap())
}

fn kills() -> u64 {
    number("DORMOUSE_COMMIT_KILLS", 20)
}

/// A counter of the database's pool.
fn counter(client: &mut Client, name: &str) -> u64 {
    let rows = client.query("SHOW DORMOUSE STATUS").rows();
    let found = rows.into_iter().find(|row| row[0].as_deref() == Some(name));
    found.unwrap().pop().unwrap().unwrap().parse().unwrap()
}

const AWAKE: &str =
    "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n";

#[test]
fn no_commit_is_lost_or_doubled_or_unknown_while_the_server_is_killed_in_the_middle_of_commits() {
    let scene = Scene::start_archiving_every("1h", false, AWAKE);
    let who = scene.create("shop");
    let killed = Killed::its_server(kills(), Serves::Transfers);
    killed.while_a_bank_is_open(&scene.dormouse, &who);
}

/// Skipped where there is no server from 11.5 on: the log of others does not tell.
#[test]
fn no_change_is_lost_or_doubled_or_unknown_while_the_server_is_killed_in_the_middle_of_changes() {
    let older = std::env::var("DORMOUSE_TEST_MARIADBD").unwrap_or_default();
    let Ok(newer) = std::env::var("DORMOUSE_TEST_MARIADBD_118") else {
        println!("skipped: there is no second server");
        return;
    };
    let (mut config, mut arguments) = (AWAKE.to_owned(), vec!["--history", "true"]);
    if newer != older {
        config.push_str(&format!("[servers]\n\"11.8\" = \"{newer}\"\n"));
        arguments.extend(["--version", "11.8"]);
    }
    let scene = Scene::start_archiving_every("1h", false, &config);
    let who = scene.dormouse.create("shop", &arguments);
    let killed = Killed::its_server(kills(), Serves::Changes);
    killed.while_a_bank_is_open(&scene.dormouse, &who);
}

#[test]
fn a_primary_with_a_replica_is_killed_in_the_middle_of_commits_and_goes_on_with_all_of_them() {
    let dormouse = Dormouse::start_with(AWAKE);
    let who = dormouse.create("shop", &["--replicas", "1"]);
    until_it_has_a_replica(&dormouse);
    Killed::its_server(kills(), Serves::Transfers).while_a_bank_is_open(&dormouse, &who);
}

#[test]
fn a_primary_is_lost_with_its_files_in_the_middle_of_commits_and_its_replica_has_all_of_them() {
    let dormouse = Dormouse::start_with(AWAKE);
    let arguments = ["--replicas", "1", "--durability", "replica"];
    let who = dormouse.create("shop", &arguments);
    let losses = number("DORMOUSE_COMMIT_LOSSES", 2);
    Killed::with_its_files(losses).while_a_bank_is_open(&dormouse, &who);
}

fn until_it_has_a_replica(dormouse: &Dormouse) {
    process::until("a replica follows", || {
        dormouse.show("shop")["followers"][0]["doing"] == "following"
    });
}

/// How often a replica took a primary's place.
fn failovers(dormouse: &Dormouse) -> u64 {
    let metrics = dormouse.command(&["metrics"]).output().unwrap();
    let metrics = String::from_utf8(metrics.stdout).unwrap();
    let mut lines = metrics.lines();
    let found = lines.find_map(|line| line.strip_prefix("dormouse_failovers_total "));
    found.unwrap().parse().unwrap()
}

/// How often the server is killed, whether its files are gone then, and what its clients do.
struct Killed {
    times: u64,
    files_too: bool,
    serves: Serves,
}

impl Killed {
    fn its_server(times: u64, serves: Serves) -> Self {
        Self {
            times,
            files_too: false,
            serves,
        }
    }

    fn with_its_files(times: u64) -> Self {
        Self {
            times,
            files_too: true,
            serves: Serves::Transfers,
        }
    }

    /// Kills while clients commit, and compares what they were told with what is there.
    fn while_a_bank_is_open(&self, dormouse: &Dormouse, who: &Created) {
        let mut client = dormouse.connect(who);
        make(&mut client);
        let bank = Bank {
            dormouse,
            who,
            serves: self.serves,
            over: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        };
        let journals: Vec<Journal> = std::thread::scope(|scope| {
            let bank = &bank;
            let clients: Vec<_> = (0..CLIENTS)
                .map(|number| scope.spawn(move || bank.serve(number)))
                .collect();
            let closes = Closes(&bank.over);
            let mut dice = Dice::new(99);
            for _ in 0..self.times {
                self.strike(bank, &mut dice);
            }
            drop(closes);
            clients
                .into_iter()
                .map(|client| client.join().unwrap())
                .collect()
        });
        // one that dies starts again on its own files, which have all that was told
        let expected = if self.files_too { self.times } else { 0 };
        assert_eq!(failovers(dormouse), expected, "failovers");
        self.audit(&mut client, &journals);
    }

    fn strike(&self, bank: &Bank<'_>, dice: &mut Dice) {
        let dormouse = bank.dormouse;
        if self.files_too {
            until_it_has_a_replica(dormouse);
            let mut platform = dormouse.platform("shop");
            process::until("commits wait for the replica", || {
                let waits = platform.query("SELECT @@GLOBAL.rpl_semi_sync_master_enabled");
                waits.value() == "1"
            });
        }
        let answered = bank.answered.load(Ordering::SeqCst);
        process::until("the bank is served", || {
            bank.answered.load(Ordering::SeqCst) > answered + 20
        });
        let (pid, files) = (dormouse.server("shop"), dormouse.instance("shop"));
        let sent = bank.sent.load(Ordering::SeqCst);
        while bank.sent.load(Ordering::SeqCst) == sent {
            std::hint::spin_loop();
        }
        // a commit takes one or two milliseconds: the aim, not a wait
        std::thread::sleep(Duration::from_micros(dice.below(2500)));
        let lost = dormouse.data_dir().join("lost");
        if self.files_too {
            std::fs::rename(&files, &lost).unwrap();
        }
        process::kill(pid);
        process::until("the server has ended", || {
            dormouse.servers().iter().all(|p| *p != pid)
        });
        if self.files_too {
            process::until("another one serves", || dormouse.instance("shop") != files);
            std::fs::remove_dir_all(&lost).unwrap();
        } else {
            // without the delay that servers have which end often
            let _ = dormouse.json(&["wake", "shop"]);
        }
    }

    fn audit(&self, client: &mut Client, journals: &[Journal]) {
        let mut committed = 0;
        let mut refused = 0;
        for (number, journal) in journals.iter().enumerate() {
            assert_eq!(journal.unknown, Vec::<String>::new(), "client {number}");
            let text = format!("SELECT n, COUNT(*) FROM app.ledger WHERE c = {number} GROUP BY n");
            let rows = client.query(&text).rows();
            let parse = |field: &Option<String>| field.as_ref().unwrap().parse::<u64>().unwrap();
            let there: BTreeMap<u64, u64> = rows
                .iter()
                .map(|row| (parse(&row[0]), parse(&row[1])))
                .collect();
            for (n, told) in &journal.told {
                let times = there.get(n).copied().unwrap_or(0);
                let expected = u64::from(*told == Told::Committed);
                assert_eq!(times, expected, "client {number}, transfer {n}: {told:?}");
                committed += expected;
                refused += 1 - expected;
            }
            assert!(there.keys().all(|n| journal.told.contains_key(n)));
        }
        let added: u64 = journals.iter().map(|journal| journal.added).sum();
        let told: u64 = journals.iter().map(|journal| journal.committed).sum();
        let sum = client.query("SELECT SUM(balance) FROM app.account").value();
        let expected = u64::from(ACCOUNTS * EACH) + added;
        assert_eq!(sum, expected.to_string());
        println!(
            "{} kills{} of {}, {:?}: {committed} commits ({told} told by an error), {refused} refused; found committed {}, not committed {}, \
             unresolved {}; run again {}, not run again {}",
            self.times,
            if self.files_too {
                " with all files"
            } else {
                ""
            },
            client
                .query("SELECT VERSION() FROM app.account LIMIT 1")
                .value(),
            self.serves,
            counter(client, "commits_found_committed"),
            counter(client, "commits_found_rolled_back"),
            counter(client, "commits_unresolved"),
            counter(client, "transactions_replayed"),
            counter(client, "transactions_not_replayed"),
        );
        assert_eq!(counter(client, "commits_unresolved"), 0);
    }
}

/// Closes the bank when it is dropped, also by a failure.
struct Closes<'a>(&'a AtomicBool);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Makes the tables of the bank.
fn make(client: &mut Client) {
    for text in [
        "CREATE DATABASE app".to_owned(),
        "USE app".to_owned(),
        "CREATE TABLE app.account (id INT PRIMARY KEY, balance INT)".to_owned(),
        "CREATE TABLE app.ledger (i INT AUTO_INCREMENT PRIMARY KEY, c INT, n INT, amount INT)"
            .to_owned(),
        format!(
            "INSERT INTO app.account SELECT seq, {EACH} FROM seq_0_to_{}",
            ACCOUNTS - 1
        ),
    ] {
        client.query(&text).ok();
    }
}
