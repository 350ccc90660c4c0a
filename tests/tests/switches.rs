//! Dormouse is killed at every step of a switch to another primary, in a move and in a failover: the next start finds one
//! primary, which has everything.
//!
//! `DORMOUSE_SWITCH_KILLS` is the number of kills in moves, `DORMOUSE_FAILOVER_KILLS` that in failovers. In the first round Dormouse is
//! killed as soon as a step is seen; later some time after that, too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use dormouse_testkit::dormouse::output_of;
use dormouse_testkit::{Client, Created, Dice, Dormouse, Reply, process};

use watch::{LOOK, Step, Watch, instances, primaries};

#[path = "switches/watch.rs"]
mod watch;

/// Those of a move.
const MOVE: [Step; 10] = [
    Step::Begun,
    Step::Stage("restarting its server, which keeps no log"),
    Step::Stage("copying its files"),
    Step::Stage("starting the copy"),
    Step::Stage("catching up, and waiting for a moment to switch"),
    Step::Fenced,
    Step::Promoted,
    Step::Written,
    Step::Stopped,
    Step::Removed,
];

/// Those of a failover.
const FAILOVER: [Step; 6] = [
    Step::Begun,
    Step::Promoted,
    Step::Written,
    Step::Serves,
    Step::Seeded,
    Step::Followed,
];

fn start() -> Dormouse {
    Dormouse::start_with(
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n",
    )
}

fn make(dormouse: &Dormouse, arguments: &[&str]) -> Created {
    let who = dormouse.create("shop", arguments);
    let mut client = dormouse.connect(&who);
    client.query("CREATE DATABASE app").ok();
    client.query("CREATE TABLE app.t (n INT PRIMARY KEY)").ok();
    who
}

fn count(variable: &str, default: usize) -> usize {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap())
}

/// Numbers that are written one after the other, and those of them that were acknowledged.
#[derive(Default)]
struct Journal {
    last: AtomicU64,
    told: BTreeSet<u64>,
}

impl Journal {
    /// Writes until it is over, or the connection ends; returns what was acknowledged.
    fn write(&self, client: &mut Client, over: &AtomicBool) -> BTreeSet<u64> {
        let mut told = BTreeSet::new();
        while !over.load(Ordering::Relaxed) {
            let n = self.last.fetch_add(1, Ordering::SeqCst) + 1;
            match client.try_query(&format!("INSERT INTO app.t VALUES ({n})")) {
                Ok(Reply::Ok(_)) => drop(told.insert(n)),
                // it may have happened: a number is used once
                Ok(Reply::Err(_)) => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => break,
            }
        }
        told
    }

    /// Compares with what is there.
    fn check(&self, client: &mut Client, when: &str) {
        let rows = client.query("SELECT n FROM app.t").rows();
        let there = rows
            .iter()
            .map(|row| row[0].as_ref().unwrap().parse().unwrap());
        let there: BTreeSet<u64> = there.collect();
        let lost: Vec<u64> = self.told.difference(&there).copied().collect();
        assert_eq!(lost, Vec::<u64>::new(), "{when}");
    }
}

/// Kills Dormouse when this step is seen, and `later`, while a client writes; or when there is nothing more to be seen, since
/// what `begin` began has ended. Starts it again. Returns whether the step was seen.
fn kill_at(
    dormouse: &mut Dormouse,
    who: &Created,
    journal: &mut Journal,
    (step, later): (Step, Duration),
    begin: impl FnOnce(&Dormouse) -> Option<std::process::Command>,
) -> bool {
    let over = AtomicBool::new(false);
    let mut writer = dormouse.connect(who);
    let mut watch = Watch::new(dormouse);
    let (seen, told) = thread::scope(|scope| {
        let writes = scope.spawn(|| journal.write(&mut writer, &over));
        let _ends = Ends(&over);
        let command = begin(dormouse);
        let ordered = command.map(|mut command| scope.spawn(move || output_of(&mut command)));
        let mut seen = false;
        process::until("the step, or the end", || {
            let ended = ordered.as_ref().is_some_and(|order| order.is_finished());
            while !seen && !ended {
                seen = watch.sees(step);
                if !seen {
                    thread::sleep(LOOK);
                    break;
                }
            }
            seen || ended
        });
        thread::sleep(later);
        process::kill(dormouse.pid());
        over.store(true, Ordering::Relaxed);
        ordered.map(|order| order.join().unwrap());
        (seen, writes.join().unwrap())
    });
    drop(watch);
    journal.told.extend(told);
    dormouse.kill();
    dormouse.up();
    seen
}

/// Ends a writer when it is dropped, also by a failure.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The step of a kill, and how much later.
fn aim(steps: &[Step], kill: usize, dice: &mut Dice) -> (Step, Duration) {
    let most = if kill < steps.len() { 1 } else { 30_000 };
    let later = Duration::from_micros(dice.below(most));
    (steps[kill % steps.len()], later)
}

#[test]
fn whenever_dormouse_is_killed_in_a_move_one_primary_has_everything() {
    let mut dormouse = start();
    let who = make(&dormouse, &[]);
    let mut journal = Journal::default();
    let mut dice = Dice::new(13);
    let mut moved: BTreeMap<Step, [u32; 3]> = BTreeMap::new();
    for kill in 0..count("DORMOUSE_SWITCH_KILLS", MOVE.len()) {
        let aim = aim(&MOVE, kill, &mut dice);
        if aim.0 == MOVE[1] {
            // its next server keeps no log
            let _ = dormouse.json(&["park", "shop"]);
        }
        let before = dormouse.instance("shop");
        let seen = kill_at(&mut dormouse, &who, &mut journal, aim, |dormouse| {
            Some(dormouse.command(&["move", "shop"]))
        });
        let when = format!("kill {kill}, {aim:?}");
        journal.check(&mut dormouse.connect(&who), &when);
        process::until("there is one instance", || instances(&dormouse).len() == 1);
        let now = dormouse.instance("shop");
        assert_eq!(
            instances(&dormouse),
            BTreeSet::from([now.clone()]),
            "{when}"
        );
        assert_eq!(primaries(&dormouse), instances(&dormouse), "{when}");
        if seen && matches!(aim.0, Step::Written | Step::Stopped | Step::Removed) {
            assert_ne!(now, before, "{when}");
        }
        let counts = moved.entry(aim.0).or_default();
        counts[usize::from(now != before)] += 1;
        counts[2] += u32::from(!seen);
    }
    println!("of each step [kills before the switch, behind it, not seen]: {moved:?}");
    let all = |at: usize| moved.values().map(|counts| counts[at]).sum::<u32>();
    assert!(all(0) > 0 && all(1) > 0, "{moved:?}");
    let _ = dormouse.json(&["move", "shop"]);
    journal.check(&mut dormouse.connect(&who), "at the end");
}

#[test]
fn whenever_dormouse_is_killed_in_a_failover_one_primary_has_everything() {
    let mut dormouse = start();
    let who = make(&dormouse, &["--replicas", "1", "--durability", "replica"]);
    let mut journal = Journal::default();
    let mut dice = Dice::new(13);
    let mut done: BTreeMap<Step, u32> = BTreeMap::new();
    for kill in 0..count("DORMOUSE_FAILOVER_KILLS", FAILOVER.len()) {
        until_a_replica_has_all(&dormouse);
        let aim = aim(&FAILOVER, kill, &mut dice);
        let files = dormouse.instance("shop");
        let lost = dormouse.dir().join("lost");
        let seen = kill_at(&mut dormouse, &who, &mut journal, aim, |dormouse| {
            let pid = dormouse.server("shop");
            fs::rename(&files, &lost).unwrap();
            process::kill(pid);
            None
        });
        fs::remove_dir_all(&lost).unwrap();
        let when = format!("kill {kill}, {aim:?}");
        assert!(seen, "{when}");
        journal.check(&mut dormouse.connect(&who), &when);
        until_a_replica_has_all(&dormouse);
        let now = dormouse.instance("shop");
        assert_ne!(now, files, "{when}");
        assert_eq!(primaries(&dormouse), BTreeSet::from([now]), "{when}");
        process::until("nothing else is left", || instances(&dormouse).len() == 2);
        *done.entry(aim.0).or_default() += 1;
    }
    println!("kills at each step: {done:?}");
    journal.check(&mut dormouse.connect(&who), "at the end");
}

/// Waits until a replica follows, and commits wait for it.
fn until_a_replica_has_all(dormouse: &Dormouse) {
    process::until("a replica follows", || {
        dormouse.show("shop")["followers"][0]["doing"] == "following"
    });
    let mut server = dormouse.platform("shop");
    process::until("commits wait for it", || {
        let waits = server.query("SELECT @@GLOBAL.rpl_semi_sync_master_enabled");
        waits.value() == "1"
    });
}
