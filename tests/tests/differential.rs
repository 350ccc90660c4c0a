//! Runs the same statements on a server and through Dormouse, while sessions are moved.
//!
//! A script runs twice: on a server alone, and through Dormouse while an adversary, between any two
//! statements, takes the session's backend away for other clients, suspends the database, parks it,
//! or kills its server. Every reply must be the same, byte for byte.
//!
//! Scripts are in `tests/differential/*.txt` (or the folder `DORMOUSE_DIFFERENTIAL_SCRIPTS` names);
//! `script.rs` documents their format. Generated scripts follow; `DORMOUSE_DIFFERENTIAL_STATEMENTS` is the number of statements (10,000),
//! `DORMOUSE_DIFFERENTIAL_SEED` the seed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

#[path = "differential/adversary.rs"]
mod adversary;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/script.rs"]
mod script;
#[path = "differential/world.rs"]
mod world;

use adversary::Adversary;
use script::Step;
use world::{Difference, World};

/// Runs a script with the adversary's decisions drawn from a seed.
fn compare(world: &mut World, steps: &[Step], seed: u64) -> Result<(), Box<Difference>> {
    let mut adversary = Adversary::new(seed);
    world.run(steps, |world, side| adversary.strike(world, side))
}

#[test]
fn every_script_gives_the_same_replies() {
    let mut world = World::new();
    let folder = std::env::var("DORMOUSE_DIFFERENTIAL_SCRIPTS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/differential").to_owned());
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the scripts are missing");
    let mut failed = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let steps = script::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        // seed 0: the session never keeps a backend; the others: every kind of interruption
        for seed in 0..=6 {
            if let Err(difference) = compare(&mut world, &steps, seed) {
                failed.push(format!("{}, seed {seed}:\n{difference}", path.display()));
                break;
            }
        }
    }
    println!("{}", world.summary());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn generated_scripts_give_the_same_replies() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let statements = number("DORMOUSE_DIFFERENTIAL_STATEMENTS").unwrap_or(10_000);
    let seed = number("DORMOUSE_DIFFERENTIAL_SEED").unwrap_or(20_261_124);
    let mut world = World::new();
    let mut done = 0;
    let mut round = 0;
    while done < statements {
        let seed = seed + round;
        let steps = generate::script(seed);
        if let Err(difference) = compare(&mut world, &steps, seed) {
            let (steps, difference) = shrink(&mut world, steps, seed, difference);
            let script: Vec<_> = steps.iter().map(ToString::to_string).collect();
            panic!(
                "seed {seed}:\n{difference}\nshrunk to:\n{}",
                script.join("\n")
            );
        }
        done += steps.len() as u64;
        round += 1;
    }
    println!("{done} statements; {}", world.summary());
    assert!(world.strikes() > done / 20, "{}", world.summary());
}

/// Removes statements that are not needed for the difference.
fn shrink(
    world: &mut World,
    mut steps: Vec<Step>,
    seed: u64,
    mut difference: Box<Difference>,
) -> (Vec<Step>, Box<Difference>) {
    steps.truncate(difference.at + 1);
    let mut size = steps.len() / 2;
    let mut tries = 80;
    while size > 0 {
        let mut at = 0;
        while at < steps.len() && tries > 0 {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + size).min(steps.len()));
            tries -= 1;
            // with the adversary at every step, because its decisions depend on the number of the step
            match compare(world, &fewer, seed).or_else(|_| compare(world, &fewer, seed)) {
                Err(found) => {
                    steps = fewer;
                    steps.truncate(found.at + 1);
                    difference = found;
                }
                Ok(()) => at += size,
            }
        }
        size /= 2;
    }
    (steps, difference)
}
