//! Runs the same statements on a server and through Dormouse, while sessions are moved.
//!
//! A script runs twice: on a server alone, and through Dormouse while an adversary, between any two
//! statements, takes the session's backend away for other clients, suspends the database, parks it,
//! or kills its server. Every reply must be the same, byte for byte.
//!
//! Scripts are in `tests/differential/*.txt` (or the folder `DORMOUSE_DIFFERENTIAL_SCRIPTS` names);
//! `script.rs` documents their format. Generated scripts follow; `DORMOUSE_DIFFERENTIAL_STATEMENTS` is the number of statements (10,000),
//! `DORMOUSE_DIFFERENTIAL_SEED` the seed.
//!
//! Then the database is moved between every two statements (`DORMOUSE_DIFFERENTIAL_MOVES` statements), its replica reads
//! (`DORMOUSE_DIFFERENTIAL_READS`), and its primary is lost with its files between every two (`DORMOUSE_DIFFERENTIAL_LOSSES`). Scripts of a
//! folder that is named are run like that too.
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
    compare_with(world, steps, Adversary::new(seed))
}

fn compare_with(
    world: &mut World,
    steps: &[Step],
    mut adversary: Adversary,
) -> Result<(), Box<Difference>> {
    world.run(steps, |world, side| adversary.strike(world, side))
}

/// A number that the environment may set.
fn number(name: &str) -> Option<u64> {
    let set = std::env::var(name).ok()?;
    Some(set.parse().unwrap())
}

/// The scripts of the folder, with their names.
fn scripts() -> Vec<(String, Vec<Step>)> {
    let folder = std::env::var("DORMOUSE_DIFFERENTIAL_SCRIPTS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/differential").to_owned());
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "the scripts are missing");
    let read = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        let steps = script::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path.display().to_string(), steps)
    };
    files.iter().map(read).collect()
}

/// Runs generated scripts with an adversary, and those of the folder if one is named; returns how many statements there were.
fn all_are_the_same(
    world: &mut World,
    variable: &str,
    default: u64,
    adversary: fn(u64) -> Adversary,
) -> u64 {
    let statements = number(variable).unwrap_or(default);
    let first = number("DORMOUSE_DIFFERENTIAL_SEED").unwrap_or(20_261_201);
    let mut failed = Vec::new();
    let mut done = 0;
    let mut run = |name: String, mut steps: Vec<Step>, seed: u64, most: u64| {
        steps.truncate(usize::try_from(most).unwrap());
        if let Err(difference) = compare_with(world, &steps, adversary(seed)) {
            failed.push(format!("{name}:\n{difference}"));
        }
        steps.len() as u64
    };
    if std::env::var_os("DORMOUSE_DIFFERENTIAL_SCRIPTS").is_some() {
        for (seed, (name, steps)) in (1..).zip(scripts()) {
            done += run(name, steps, seed, u64::MAX);
        }
    }
    for seed in first.. {
        if done >= statements {
            break;
        }
        let steps = generate::script(seed);
        done += run(format!("seed {seed}"), steps, seed, statements - done);
    }
    println!("{done} statements; {}", world.summary());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    done
}

#[test]
fn replies_are_the_same_while_the_database_moves_between_every_two_statements() {
    let mut world = World::new();
    let variable = "DORMOUSE_DIFFERENTIAL_MOVES";
    let done = all_are_the_same(&mut world, variable, 30, Adversary::that_moves);
    let moves = world.count_of("move") + world.count_of("move asleep");
    assert!(moves > done / 20, "{}", world.summary());
}

#[test]
fn replies_are_the_same_while_a_replica_reads() {
    let mut world = World::with_a_replica();
    let variable = "DORMOUSE_DIFFERENTIAL_READS";
    let done = all_are_the_same(&mut world, variable, 600, |_| Adversary::new(0));
    let reads = world.reads_on_replicas();
    println!("{reads} on a replica");
    assert!(reads > done / 50, "{reads} of {done}");
}

#[test]
fn replies_are_the_same_while_the_primary_is_lost_between_every_two_statements() {
    let mut world = World::with_a_replica();
    let variable = "DORMOUSE_DIFFERENTIAL_LOSSES";
    let done = all_are_the_same(&mut world, variable, 10, Adversary::that_loses);
    assert!(world.count_of("loss") > done / 20, "{}", world.summary());
}

#[test]
fn every_script_gives_the_same_replies() {
    let mut world = World::new();
    let mut failed = Vec::new();
    for (name, steps) in scripts() {
        // seed 0: the session never keeps a backend; the others: every kind of interruption
        for seed in 0..=6 {
            if let Err(difference) = compare(&mut world, &steps, seed) {
                failed.push(format!("{name}, seed {seed}:\n{difference}"));
                break;
            }
        }
    }
    println!("{}", world.summary());
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn generated_scripts_give_the_same_replies() {
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
