//! Measures the duration of each verb on this machine: `cargo run -p dormouse-driver-local --example latency`.
#![allow(clippy::unwrap_used, reason = "a measurement that fails has no result")]

use std::time::{Duration, Instant};

use dormouse_driver::{Desired, Driver as _, History, Run};
use dormouse_driver_local::{LocalConfig, LocalDriver};
use dormouse_engine::{Admin, Installation, Search, Secret, buffer_pool};
use dormouse_types::{InstanceId, Units};

const ROUNDS: usize = 21;
const OBSERVATIONS: usize = 1000;

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let mariadbd = std::env::var_os("DORMOUSE_TEST_MARIADBD").map(Into::into);
    let installation = Installation::probe(&Search {
        mariadbd,
        ..Search::default()
    })
    .unwrap();
    let secret = Secret::load_or_create(&dir.path().join("secret")).unwrap();
    let driver =
        LocalDriver::new(LocalConfig::new(dir.path(), installation, secret.clone())).unwrap();
    println!("{}\n", driver.capabilities());
    let id = InstanceId(1);
    let desired = |run| Desired {
        run,
        units: Units(1),
        history: History::Off,
    };
    let mut figures: Vec<(&str, Vec<Duration>)> = Vec::new();
    let mut note = |what, start: Instant| {
        let took = start.elapsed();
        match figures.iter_mut().find(|(name, _)| *name == what) {
            Some((_, all)) => all.push(took),
            None => figures.push((what, vec![took])),
        }
    };
    for _ in 0..ROUNDS {
        let start = Instant::now();
        driver.provision(id, &Default::default()).await.unwrap();
        note("provision", start);
        let start = Instant::now();
        driver.apply(id, desired(Run::Running)).await.unwrap();
        note("first start", start);
        driver.apply(id, desired(Run::Stopped)).await.unwrap();
        let start = Instant::now();
        let seen = driver.apply(id, desired(Run::Running)).await.unwrap();
        note("start", start);
        let start = Instant::now();
        let endpoint = seen.endpoint.unwrap();
        let mut admin = Admin::connect(&endpoint, &secret, id).await.unwrap();
        note("admin login", start);
        let start = Instant::now();
        admin.accounts().secure_owner([7; 20]).await.unwrap();
        note("secure owner", start);
        let start = Instant::now();
        admin
            .buffer_pool()
            .resize(buffer_pool::awake(Units(1)), Duration::from_secs(60))
            .await
            .unwrap();
        note("grow pool", start);
        let start = Instant::now();
        for _ in 0..OBSERVATIONS {
            driver.observe(id).await.unwrap();
        }
        note("1000 observations", start);
        let start = Instant::now();
        admin.buffer_pool().note_hot_pages().await.unwrap();
        note("dump hot pages", start);
        let start = Instant::now();
        admin
            .buffer_pool()
            .resize(buffer_pool::suspended(), Duration::from_secs(60))
            .await
            .unwrap();
        note("shrink pool", start);
        let start = Instant::now();
        driver.apply(id, desired(Run::Frozen)).await.unwrap();
        note("freeze", start);
        let start = Instant::now();
        driver.apply(id, desired(Run::Running)).await.unwrap();
        note("thaw", start);
        let start = Instant::now();
        admin.ping().await.unwrap();
        note("ping after thaw", start);
        drop(admin);
        let start = Instant::now();
        driver.apply(id, desired(Run::Stopped)).await.unwrap();
        note("stop", start);
        driver.remove(id).await.unwrap();
    }
    println!("{:<17} {:>9} {:>9}", "", "p50", "max");
    for (what, mut all) in figures {
        all.sort();
        println!(
            "{what:<17} {:>6.1} ms {:>6.1} ms",
            ms(all[all.len() / 2]),
            ms(all[all.len() - 1])
        );
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
