//! The replica that commits wait for is lost with its files: they wait for the one that takes its place, and go on then.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use dormouse_testkit::{Created, Dormouse, Reply, process};

/// Sessions that commit; more than one, so that one holds the log while another waits.
const SESSIONS: usize = 8;

/// What one session was told of its transactions, each of which adds one.
#[derive(Default)]
struct Told {
    committed: AtomicU64,
    unknown: AtomicU64,
}

struct Shop {
    dormouse: Dormouse,
    who: Created,
    over: AtomicBool,
    told: [Told; SESSIONS],
}

impl Shop {
    fn open() -> Self {
        let dormouse = Dormouse::start_with(
            "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n",
        );
        let arguments = ["--replicas", "1", "--durability", "replica"];
        let who = dormouse.create("shop", &arguments);
        let mut client = dormouse.connect(&who);
        client.query("CREATE DATABASE app").ok();
        client
            .query("CREATE TABLE app.t (id INT PRIMARY KEY, n INT)")
            .ok();
        for id in 0..SESSIONS {
            client
                .query(&format!("INSERT INTO app.t VALUES ({id}, 0)"))
                .ok();
        }
        let shop = Self {
            dormouse,
            who,
            over: AtomicBool::new(false),
            told: Default::default(),
        };
        shop.until_commits_wait();
        shop
    }

    fn until_commits_wait(&self) {
        let mut platform = self.dormouse.platform("shop");
        process::until("commits wait for the replica", || {
            let waits = platform.query("SELECT @@GLOBAL.rpl_semi_sync_master_enabled");
            self.replica().is_some() && waits.value() == "1"
        });
    }

    /// The replica that follows.
    fn replica(&self) -> Option<u64> {
        let shown = self.dormouse.show("shop");
        let one = shown["followers"].as_array()?.first()?.clone();
        let follows = one["doing"] == "following";
        one["instance"].as_u64().filter(|_| follows)
    }

    /// Commits again and again, until it is over.
    fn serve(&self, id: usize) {
        let mut client = self.dormouse.connect(&self.who);
        let adds = format!("UPDATE app.t SET n = n + 1 WHERE id = {id}");
        while !self.over.load(Ordering::SeqCst) {
            let told = ["BEGIN", &adds, "COMMIT"].map(|text| client.query(text));
            let failed = told.into_iter().find_map(|reply| match reply {
                Reply::Err(error) => Some(error),
                Reply::Ok(_) | Reply::Rows(_) => None,
            });
            match failed.map(|error| (error.code, error.message)) {
                None => self.told[id].committed.fetch_add(1, Ordering::SeqCst),
                // it was rolled back, and so were the statements behind it
                Some((1213, _)) => 0,
                Some((1053, _)) => self.told[id].unknown.fetch_add(1, Ordering::SeqCst),
                Some(other) => panic!("session {id}: {other:?}"),
            };
        }
    }

    fn until_all_commit(&self) {
        let counts = || {
            self.told
                .each_ref()
                .map(|told| told.committed.load(Ordering::SeqCst))
        };
        let before = counts();
        process::until("all sessions commit", || {
            counts()
                .iter()
                .zip(before)
                .all(|(now, then)| *now > then + 2)
        });
    }

    /// Takes the files of an instance away, and kills its server.
    fn lose(&self, files: &Path) {
        let lost = self.dormouse.data_dir().join("lost");
        let pids = process::mentioning(files);
        fs::rename(files, &lost).unwrap();
        pids.into_iter().for_each(process::kill);
        fs::remove_dir_all(&lost).unwrap();
    }

    fn files_of(&self, instance: u64) -> std::path::PathBuf {
        let instances = self.dormouse.data_dir().join("instances");
        instances.join(instance.to_string())
    }

    /// Loses the replica, and returns when another one follows.
    fn lose_the_replica(&self) {
        let lost = self.replica().unwrap();
        self.lose(&self.files_of(lost));
        process::until("another one follows", || {
            self.replica().is_some_and(|one| one != lost)
        });
    }

    /// Loses the primary, and returns when another one serves.
    fn lose_the_primary(&self) {
        let files = self.dormouse.instance("shop");
        self.lose(&files);
        process::until("another one serves", || {
            self.dormouse.instance("shop") != files
        });
    }

    /// Does this while the sessions commit; then each transaction that was told is there once.
    fn while_all_commit(&self, losses: impl FnOnce()) {
        thread::scope(|scope| {
            let served: Vec<_> = (0..SESSIONS)
                .map(|id| scope.spawn(move || self.serve(id)))
                .collect();
            let over = Over(&self.over);
            self.until_all_commit();
            losses();
            self.until_all_commit();
            drop(over);
            served.into_iter().for_each(|one| one.join().unwrap());
        });
        let mut client = self.dormouse.connect(&self.who);
        let rows = client.query("SELECT n FROM app.t ORDER BY id").rows();
        for (id, (row, told)) in rows.iter().zip(&self.told).enumerate() {
            let n: u64 = row[0].as_ref().unwrap().parse().unwrap();
            let committed = told.committed.load(Ordering::SeqCst);
            let unknown = told.unknown.load(Ordering::SeqCst);
            assert!(
                (committed..=committed + unknown).contains(&n),
                "session {id}: {n} of {committed} and {unknown} whose outcome is not known"
            );
        }
    }
}

/// Ends the sessions when it is dropped, also by a failure.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn commits_that_wait_for_a_lost_replica_go_on_with_the_next_one() {
    let shop = Shop::open();
    shop.while_all_commit(|| shop.lose_the_replica());
}

#[test]
fn commits_that_came_to_the_next_primary_with_its_copy_do_not_happen_twice() {
    let shop = Shop::open();
    shop.while_all_commit(|| {
        shop.lose_the_replica();
        shop.lose_the_primary();
    });
}
