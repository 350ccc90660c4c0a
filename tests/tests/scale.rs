//! A database's size follows its load and its settings, without an effect on its clients.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use dormouse_testkit::{Created, Dormouse, process};
use serde_json::Value;

const AWAKE: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";
const GIB: u64 = 1 << 30;
/// The kernel's files with the CPU limit, in cgroup v1 and v2.
const CPU: [(&str, &str); 2] = [("cpu", "cpu.cfs_quota_us"), ("cpu", "cpu.max")];
const MEMORY: [(&str, &str); 2] = [
    ("memory", "memory.limit_in_bytes"),
    ("memory", "memory.max"),
];

/// Clients that run one statement repeatedly.
struct Load {
    ended: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u64>>,
}

impl Load {
    fn start(dormouse: &Dormouse, who: &Created, clients: usize, statement: &'static str) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let run = |mut client: dormouse_testkit::Client| {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                let mut ran = 0;
                while !ended.load(Ordering::Relaxed) {
                    client.query(statement).rows();
                    ran += 1;
                }
                ran
            })
        };
        let clients = (0..clients).map(|_| run(dormouse.connect(who))).collect();
        Self { ended, clients }
    }

    /// Ends the load; returns the number of statements. Panics if one of them failed.
    fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        let ran = self.clients.into_iter().map(|c| c.join().unwrap());
        ran.sum()
    }
}

fn units(dormouse: &Dormouse) -> u64 {
    dormouse.show("shop")["units"].as_u64().unwrap()
}

/// Waits for the last entry about its size; returns all entries about it.
fn scaled(dormouse: &Dormouse) -> Vec<Value> {
    let mut told = Vec::new();
    process::until("the ledger tells of its size", || {
        let events = dormouse.json(&["events", "shop"]);
        let events = events.as_array().unwrap().iter();
        told = events
            .filter(|event| event["figures"]["units_before"].is_u64())
            .cloned()
            .collect();
        let last = told.last();
        last.is_some_and(|last| last["figures"]["units"] == units(dormouse))
    });
    told
}

/// Waits until the kernel's limits of the server are those of `units`, if it has limits.
fn is_limited_to(pid: u32, units: u64) {
    let cores = std::thread::available_parallelism().unwrap().get() as u64;
    // a quota of all cores is not set
    let half_cores = Some(units * 50_000).filter(|quota| *quota < cores * 100_000);
    let cpu = || {
        let text = process::control_file(pid, &CPU)?;
        let quota = text.split_whitespace().next().unwrap().parse::<i64>();
        Some(quota.ok().and_then(|quota| u64::try_from(quota).ok()))
    };
    let memory = || {
        let files = [
            ("memory", "memory.limit_in_bytes"),
            ("memory", "memory.max"),
        ];
        let text = process::control_file(pid, &files)?;
        Some(text.trim().parse::<u64>().unwrap())
    };
    if cpu().is_none() || memory().is_none() {
        eprintln!("skipped: no control groups for the limits of CPU and memory");
        return;
    }
    process::until(&format!("its limits are those of {units} units"), || {
        cpu() == Some(half_cores) && memory() == Some(units * 2 * GIB)
    });
}

#[test]
fn it_grows_under_load_and_shrinks_after_it() {
    let dormouse = Dormouse::start_with(AWAKE);
    let who = dormouse.create("shop", &["--units", "1..4"]);
    let pid = dormouse.server("shop");
    is_limited_to(pid, 1);

    let work = "SELECT BENCHMARK(200000, SHA2('dormouse', 256))";
    let load = Load::start(&dormouse, &who, 4, work);
    process::until("it has grown", || units(&dormouse) > 1);
    let ran = load.end();

    let calm = Load::start(&dormouse, &who, 1, "SELECT SLEEP(0.2)");
    // in one or more steps, each after 30 s of low load
    while units(&dormouse) > 1 {
        let size = units(&dormouse);
        process::until("it has shrunk", || units(&dormouse) < size);
    }
    is_limited_to(pid, 1);
    eprintln!("{ran} statements under load, {} after it", calm.end());
    assert_eq!(dormouse.server("shop"), pid);

    let told = scaled(&dormouse);
    let mut before = 1;
    for event in &told {
        assert_eq!(
            (&event["event"], &event["cause"]),
            (&"scaled".into(), &"load".into()),
            "{told:#?}"
        );
        assert_eq!(event["figures"]["units_before"], before, "{told:#?}");
        before = event["figures"]["units"].as_u64().unwrap();
    }
    let reason = |event: &Value| event["reason"].as_str().unwrap().to_owned();
    let grew = reason(told.first().unwrap());
    assert!(grew.contains("of 1 unit over the last second"), "{grew}");
    let shrank = reason(told.last().unwrap());
    assert!(shrank.contains("over the last 30 s"), "{shrank}");
    eprintln!("{grew}; {shrank}");
}

#[test]
fn the_size_follows_a_changed_range() {
    let dormouse = Dormouse::start_with(AWAKE);
    let who = dormouse.create("shop", &["--units", "1..1"]);
    let pid = dormouse.server("shop");
    let load = Load::start(&dormouse, &who, 2, "SELECT COUNT(*) FROM mysql.user");
    for size in [2, 1] {
        let _ = dormouse.json(&["set", "shop", "--units", &format!("{size}..{size}")]);
        process::until("its size is in the new range", || units(&dormouse) == size);
        is_limited_to(pid, size);
    }
    // a sleeping database gets the size when it wakes
    load.end();
    let _ = dormouse.json(&["suspend", "shop"]);
    let _ = dormouse.json(&["set", "shop", "--units", "2..2"]);
    let mut client = dormouse.connect(&who);
    assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
    process::until("its size is in the new range", || units(&dormouse) == 2);
    is_limited_to(pid, 2);
    assert_eq!(dormouse.server("shop"), pid);
    let told = scaled(&dormouse);
    let reasons: Vec<_> = told.iter().map(|e| e["reason"].as_str().unwrap()).collect();
    let expected = ["2..2", "1..1", "2..2"].map(|range| format!("the range is {range} now"));
    assert_eq!(reasons, expected);
}

/// Makes the server allocate a GB of memory and hold it.
const GREEDY: &str = "SELECT LENGTH(CONCAT(REPEAT(REPEAT('x', 1000000), 1000), SLEEP(30)))";

#[test]
fn a_server_killed_for_lack_of_memory_restarts_at_once_with_more() {
    let dormouse = Dormouse::start_with(AWAKE);
    let who = dormouse.create("shop", &["--units", "1..5"]);
    let other = dormouse.create("blog", &["--units", "1..1"]);
    if process::control_file(dormouse.server("shop"), &MEMORY).is_none() {
        eprintln!("skipped: no control groups that limit memory");
        return;
    }
    let swaps = std::fs::read_to_string("/proc/swaps").unwrap_or_default();
    if swaps.lines().count() > 1 {
        eprintln!(
            "skipped: memory beyond the limit would be swapped out instead of the server being killed"
        );
        return;
    }
    let mut client = dormouse.connect(&who);
    client
        .query("SET GLOBAL max_allowed_packet = 1073741824")
        .ok();
    client.query("SET time_zone = '+03:00'").ok();
    // sessions that connect from here on have it
    let _ = dormouse.json(&["park", "shop"]);
    let unharmed = dormouse.server("blog");
    let beside = Load::start(&dormouse, &other, 1, "SELECT SLEEP(0.01)");
    // together they need more than its maximum; they only read, but what may have taken the memory is not run again
    let greedy: Vec<_> = (0..12).map(|_| dormouse.connect(&who)).collect();
    let greedy: Vec<_> = greedy
        .into_iter()
        .map(|mut client| std::thread::spawn(move || client.query(GREEDY).err()))
        .collect();
    for client in greedy {
        let error = client.join().unwrap();
        assert_eq!(error.code, 1053, "{error:?}");
    }
    assert_eq!(client.query("SELECT @@time_zone").value(), "+03:00");
    assert!(beside.end() > 0);
    assert_eq!(dormouse.server("blog"), unharmed);

    let size = units(&dormouse);
    is_limited_to(dormouse.server("shop"), size);
    let events = dormouse.json(&["events", "shop"]);
    let crashes = events.as_array().unwrap().iter();
    let crashes: Vec<_> = crashes.filter(|e| e["cause"] == "crash").collect();
    let [crash] = crashes.as_slice() else {
        panic!("{events:#}")
    };
    let told = crash["reason"].as_str().unwrap();
    assert!(
        told.starts_with("its server was killed for want of memory"),
        "{told}"
    );
    // it has one more unit, unless it had the maximum
    let sizes = scaled(&dormouse);
    let last = sizes.last().unwrap_or_else(|| panic!("{events:#}"));
    assert_eq!(last["figures"]["units"], size, "{events:#}");
    if size < 5 {
        assert_eq!(last["figures"]["units_before"], size - 1, "{events:#}");
        let why = last["reason"].as_str().unwrap();
        assert!(why.contains("killed for want of memory"), "{events:#}");
    }
    eprintln!("back with {size} units: {told}");
}
