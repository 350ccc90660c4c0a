//! H2: what a history costs small writes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use dormouse_testkit::{Client, Created, Dormouse, Reply};

use crate::cleanup;
use crate::options::Options;
use crate::report::{Report, Unit};
use crate::rig::sleepy_dormouse;
use crate::say;
use crate::stats::{median, ratios};

/// Numbers of clients.
const CLIENTS: [u32; 2] = [1, 8];

/// Runs the rounds.
pub(crate) fn run(options: &Options, report: &mut Report) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new()
        .prefix("dmhist")
        .tempdir_in("/tmp")?;
    cleanup::remember(dir.path());
    let (key, place) = (dir.path().join("key"), dir.path().join("repository"));
    fs::write(&key, "a key")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let dormouse = sleepy_dormouse(
        options,
        &format!(
            "[backup]\nrepository = '{}'\nkey_file = '{}'\n",
            place.display(),
            key.display()
        ),
    );
    let _ = dormouse.json(&["backup", "init"]);
    let databases = [("plain", "false"), ("logged", "true")].map(|(name, history)| {
        let who = dormouse.create(name, &["--history", history]);
        let mut client = dormouse.connect(&who);
        client.query("CREATE DATABASE b").ok();
        client
            .query("CREATE TABLE b.t (id BIGINT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(100))")
            .ok();
        who
    });
    for clients in CLIENTS {
        let mut figures = [Vec::new(), Vec::new()];
        for round in 0..=options.rounds() {
            for turn in 0..2 {
                // each round begins with the other one
                let which = (turn + round as usize) % 2;
                let time = Duration::from_secs(options.seconds().into());
                let speed = writes(&dormouse, &databases[which], clients, time)?;
                if round > 0 {
                    figures[which].push(speed);
                }
            }
            say(&format!(
                "H2 {clients} clients, round {round} of {}",
                options.rounds()
            ));
        }
        let [plain, logged] = &figures;
        for (name, figures) in [("without", plain), ("with", logged)] {
            let what = format!("{clients} clients, commits, {name} a history");
            report.raw(format!("H2 {what}"), Unit::PerSecond, figures);
            report.figure("H2", what, median(figures), Unit::PerSecond);
        }
        let what = format!("{clients} clients, commits with a history ÷ without");
        report.figure("H2", what, median(&ratios(logged, plain)), Unit::Ratio);
    }
    Ok(())
}

/// Commits a second of so many clients.
fn writes(dormouse: &Dormouse, who: &Created, clients: u32, time: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let done = thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut client: Client = dormouse.connect(who);
                    let mut done = 0_u32;
                    while began.elapsed() < time {
                        let text = "INSERT INTO b.t (v) VALUES ('a hundred bytes are enough for a small row')";
                        match client.query(text) {
                            Reply::Ok(_) => done += 1,
                            _ => return None,
                        }
                    }
                    Some(done)
                })
            })
            .collect();
        let done: Option<Vec<u32>> = running
            .into_iter()
            .map(|one| one.join().ok().flatten())
            .collect();
        done
    });
    let done: u32 = done.context("a write failed")?.into_iter().sum();
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}
