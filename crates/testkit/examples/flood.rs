//! A flood of logins beside one good client: how long its statements take while others log in with the right
//! password, guess from one address, or guess from thousands of addresses.
//!
//! `cargo run --release -p dormouse-testkit --example flood -- [SECONDS] [LOGINS_PER_SECOND]`; needs the program
//! to be built with the same profile.
#![expect(clippy::expect_used, reason = "a measurement that fails ends")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dormouse_testkit::{Client, Created, Dormouse, Reply};

/// Threads that log in.
const THREADS: u64 = 8;

/// Who logs in beside the good client.
#[derive(Debug, Clone, Copy)]
enum Crowd {
    Nobody,
    Good,
    OneAddress,
    ManyAddresses,
}

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    accepted: AtomicU64,
    denied: AtomicU64,
    blocked: AtomicU64,
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let mut next = |default| arguments.next().map_or(default, |n| n.expect("a number"));
    let (seconds, rate) = (next(10), next(5000));
    let config =
        "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n[warm_pool]\nsize = 0\n";
    let mut dormouse = Dormouse::prepare_program(dormouse_testkit::program(), config, "warn");
    dormouse.up();
    let target = dormouse.create("target", &[]);
    let good = dormouse.create("good", &[]);
    println!(
        "crowd           logins/s  accepted   denied  blocked   p50 µs   p99 µs  state of the target"
    );
    for crowd in [
        Crowd::Nobody,
        Crowd::Good,
        Crowd::OneAddress,
        Crowd::ManyAddresses,
    ] {
        let _ = dormouse.json(&["park", "target"]);
        let counts = Counts::default();
        let over = AtomicBool::new(false);
        let times = thread::scope(|scope| {
            for n in 0..THREADS {
                let (counts, over, target, dormouse) = (&counts, &over, &target, &dormouse);
                scope.spawn(move || flood(crowd, n, rate, dormouse, target, counts, over));
            }
            let times = measure(&dormouse, &good, Duration::from_secs(seconds));
            over.store(true, Ordering::Relaxed);
            times
        });
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            let index = (last as f64 * share) as usize;
            times.get(index).map_or(0, Duration::as_micros)
        };
        println!(
            "{:<15} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8}  {}",
            format!("{crowd:?}"),
            count(&counts.begun) / seconds.max(1),
            count(&counts.accepted),
            count(&counts.denied),
            count(&counts.blocked),
            at(0.5),
            at(0.99),
            dormouse.state("target"),
        );
    }
}

/// Latencies of a statement each millisecond, sorted.
fn measure(dormouse: &Dormouse, who: &Created, time: Duration) -> Vec<Duration> {
    let mut client = dormouse.connect(who);
    let (mut times, end) = (Vec::new(), Instant::now() + time);
    while Instant::now() < end {
        let begun = Instant::now();
        assert_eq!(client.query("SELECT 1 FROM DUAL").value(), "1");
        times.push(begun.elapsed());
        thread::sleep(Duration::from_millis(1));
    }
    times.sort();
    times
}

fn flood(
    crowd: Crowd,
    thread: u64,
    rate: u64,
    dormouse: &Dormouse,
    target: &Created,
    counts: &Counts,
    over: &AtomicBool,
) {
    let password = match crowd {
        Crowd::Nobody => return,
        Crowd::Good => target.password.as_str(),
        Crowd::OneAddress | Crowd::ManyAddresses => "wrong",
    };
    let begun = Instant::now();
    for n in 0_u32.. {
        let due = Duration::from_secs(1) * n * u32::try_from(THREADS).expect("a few")
            / u32::try_from(rate).expect("a rate");
        if let Some(early) = due.checked_sub(begun.elapsed()) {
            thread::sleep(early);
        }
        if over.load(Ordering::Relaxed) {
            return;
        }
        let from = match crowd {
            Crowd::ManyAddresses => {
                format!("127.{}.{}.{}", thread + 1, n >> 8 & 255, n & 255)
            }
            Crowd::Good => format!("127.100.{thread}.1"),
            Crowd::Nobody | Crowd::OneAddress => "127.101.0.1".to_owned(),
        };
        counts.begun.fetch_add(1, Ordering::Relaxed);
        let mut client = Client::silent_from(&from, dormouse.address());
        let outcome = match client.receive() {
            Ok(first) if first.first() != Some(&0xff) => {
                client.read_greeting(&first);
                match client.login(&target.user, password, None) {
                    Reply::Ok(_) => &counts.accepted,
                    Reply::Err(error) if error.code == 1045 => &counts.denied,
                    _ => &counts.blocked,
                }
            }
            _ => &counts.blocked,
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        // no socket of the many stays in TIME_WAIT
        client.reset_on_close();
    }
}
