//! Servers that are killed, cannot be started, or do not answer: statements and logins wait while that
//! helps, and get an error with the reason when it does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use dormouse_testkit::{Client, Created, Dormouse, Reply, process};

/// Starts a Dormouse with a database that stays awake, without a warm pool.
fn alone(limits: &str) -> (Dormouse, Created) {
    let config = format!(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n\
         [limits]\n{limits}\n"
    );
    let dormouse = Dormouse::start_with(&config);
    let who = dormouse.create("shop", &[]);
    let mut client = dormouse.connect(&who);
    for text in [
        "CREATE DATABASE app",
        "CREATE TABLE app.t (i INT PRIMARY KEY)",
        "INSERT INTO app.t VALUES (1), (2), (3)",
    ] {
        client.query(text).ok();
    }
    (dormouse, who)
}

/// Results of many clients.
#[derive(Default)]
struct Seen {
    done: AtomicBool,
    statements: AtomicU64,
    logins: AtomicU64,
    interrupted: AtomicU64,
    refused: Mutex<Vec<String>>,
    slowest_ms: AtomicU64,
}

impl Seen {
    fn done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }

    /// Number of answered statements and logins.
    fn both(&self) -> (u64, u64) {
        let count = |of: &AtomicU64| of.load(Ordering::SeqCst);
        (count(&self.statements), count(&self.logins))
    }

    fn note(&self, began: Instant, counter: &AtomicU64, reply: Reply) {
        let took = u64::try_from(began.elapsed().as_millis()).unwrap();
        self.slowest_ms.fetch_max(took, Ordering::SeqCst);
        match reply {
            // it was running when the server was killed: its outcome is unknown
            Reply::Err(error) if error.sqlstate() == "08007" => {
                self.interrupted.fetch_add(1, Ordering::SeqCst);
            }
            Reply::Err(error) => self.refused.lock().unwrap().push(format!("{error:?}")),
            _ => {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    /// A client that stays connected and queries.
    fn ask(&self, mut client: Client) {
        while !self.done() {
            let began = Instant::now();
            let reply = client.query("SELECT COUNT(*) FROM app.t");
            self.note(began, &self.statements, reply);
        }
    }

    /// Clients that connect, query once, and disconnect.
    fn come_and_go(&self, dormouse: &Dormouse, who: &Created, schema: Option<&str>) {
        while !self.done() {
            let began = Instant::now();
            let mut client = Client::tcp(dormouse.address());
            let reply = client.login(&who.user, &who.password, schema);
            let came = matches!(reply, Reply::Ok(_));
            self.note(began, &self.logins, reply);
            if came {
                let began = Instant::now();
                let reply = client.query("SELECT COUNT(*) FROM app.t");
                self.note(began, &self.statements, reply);
            }
        }
    }
}

/// Kills the next process that is, or is about to be, the database's server.
fn kill_next(dormouse: &Dormouse, killed: &mut BTreeSet<u32>) {
    process::until("there is another server", || {
        let next = dormouse.servers().into_iter().find(|p| !killed.contains(p));
        if let Some(pid) = next {
            process::kill(pid);
            killed.insert(pid);
        }
        next.is_some()
    });
}

#[test]
fn no_statement_or_login_is_refused_while_a_server_is_killed_repeatedly_also_during_its_start() {
    let (dormouse, who) = alone("handshake_timeout = \"60s\"");
    let seen = Seen::default();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let client = dormouse.connect(&who);
            let (seen, dormouse, who) = (&seen, &dormouse, &who);
            scope.spawn(move || seen.ask(client));
            let schema = (n % 2 == 0).then_some("app");
            scope.spawn(move || seen.come_and_go(dormouse, who, schema));
        }
        let answered = || {
            let (statements, logins) = seen.both();
            process::until("statements and logins are answered", || {
                let now = seen.both();
                (now.0 > statements + 8 && now.1 > logins + 4) || seen.done()
            });
        };
        let mut killed = BTreeSet::new();
        // one kill while it runs, then four during the start, then one while it runs
        answered();
        for _ in 0..5 {
            kill_next(&dormouse, &mut killed);
        }
        answered();
        kill_next(&dormouse, &mut killed);
        answered();
        seen.done.store(true, Ordering::SeqCst);
    });
    let (statements, logins) = seen.both();
    println!(
        "{statements} statements, {logins} logins, {} interrupted, slowest {} ms",
        seen.interrupted.load(Ordering::SeqCst),
        seen.slowest_ms.load(Ordering::SeqCst),
    );
    assert_eq!(*seen.refused.lock().unwrap(), Vec::<String>::new());
    let ledger = dormouse.json(&["events", "shop"]).to_string();
    let told = "was killed by signal 9 while it was starting";
    assert!(
        ledger.contains(told),
        "none was killed as it started: {ledger}"
    );
}

/// The server's system tablespace.
fn tablespace(dormouse: &Dormouse) -> PathBuf {
    let instances = dormouse.data_dir().join("instances");
    let found = fs::read_dir(instances).unwrap().find_map(|entry| {
        let inside = fs::read_dir(entry.unwrap().path()).ok()?;
        inside.filter_map(Result::ok).find_map(|dir| {
            let file = dir.path().join("ibdata1");
            file.is_file().then_some(file)
        })
    });
    found.unwrap()
}

#[test]
fn a_repaired_database_accepts_a_new_login() {
    let (dormouse, who) = alone("handshake_timeout = \"60s\"");
    let file = tablespace(&dormouse);
    let aside = file.with_extension("aside");
    fs::rename(&file, &aside).unwrap();
    fs::write(&file, "damaged").unwrap();
    process::kill(dormouse.server("shop"));
    dormouse.until_state("shop", "failed");
    // the errors of statements and logins quote the server's log
    let reason = dormouse.show("shop")["reason"].to_string();
    assert!(reason.contains("InnoDB"), "{reason}");
    fs::rename(&aside, &file).unwrap();
    let mut client = dormouse.connect(&who);
    assert_eq!(client.query("SELECT COUNT(*) FROM app.t").value(), "3");
    assert_eq!(dormouse.state("shop"), "active");
}

#[test]
fn a_login_whose_accounts_cannot_be_read_gets_an_error_that_says_so() {
    let (dormouse, who) = alone("handshake_timeout = \"1s\"");
    let mut other = dormouse.platform("shop");
    other.query("LOCK TABLES mysql.global_priv WRITE").ok();
    let mut client = Client::tcp(dormouse.address());
    let error = client.login(&who.user, &who.password, None).err();
    other.query("UNLOCK TABLES").ok();
    assert_eq!((error.code, error.sqlstate()), (1105, "HY000"), "{error:?}");
    for words in [
        "the accounts of database 'shop' cannot be read: its server has not answered",
        "nothing is known to be wrong with this login",
        "handshake_timeout = 1s",
    ] {
        assert!(error.message.contains(words), "{}", error.message);
    }
    dormouse.connect(&who).query("SELECT 1 FROM DUAL").value();
}
