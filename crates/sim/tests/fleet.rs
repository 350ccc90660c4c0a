//! Tests of whole fleets: the report, and properties that hold for every fleet.

use std::time::{Duration, Instant};

use dormouse_policy::SettingsPatch;
use dormouse_sim::model::usual_prices;
use dormouse_sim::report::Figures;
use dormouse_sim::{Fleet, Report, Simulation, Tally, alternatives};
use dormouse_types::Delay;
use proptest::prelude::*;

fn fleet(databases: u64, days: u64, seed: u64) -> Simulation {
    let fleet = Fleet::Made {
        databases,
        days,
        seed,
    };
    Simulation::new(fleet, usual_prices(), Instant::now())
}

fn live(simulation: &Simulation, settings: SettingsPatch) -> Tally {
    let mut all = Tally::default();
    for host in 0..simulation.hosts() {
        all.merge(&simulation.live(host, settings.clone()));
    }
    all
}

fn figures(simulation: &Simulation, settings: SettingsPatch) -> Figures {
    Report::new(
        simulation,
        settings.clone(),
        &live(simulation, settings),
        &[],
    )
    .figures
}

fn delays(suspend_ms: u64, park_ms: u64) -> SettingsPatch {
    let after = |ms| Some(Delay::After(Duration::from_millis(ms)));
    SettingsPatch {
        idle_suspend: after(suspend_ms),
        idle_park: after(park_ms),
        ..SettingsPatch::default()
    }
}

#[test]
fn the_report_of_a_small_fleet_is_unchanged() {
    let simulation = fleet(200, 7, 1);
    let asked = SettingsPatch::default();
    let mut policies = vec![asked.clone()];
    policies.extend(alternatives(asked.clone()));
    let sampled: Vec<_> = policies
        .into_iter()
        .map(|settings| (settings.clone(), live(&simulation, settings)))
        .collect();
    let report = Report::new(
        &simulation,
        asked.clone(),
        &live(&simulation, asked),
        &sampled,
    );
    let text = report.to_string();
    let golden = include_str!("report.txt");
    assert!(text == golden, "it is now\n{text}");
}

#[test]
fn a_longer_delay_never_gives_more_wakes_from_suspended() {
    let simulation = fleet(60, 7, 3);
    let thaws = |suspend: u64| figures(&simulation, delays(suspend * 1000, 3_600_000)).thaws;
    let all: Vec<u64> = [1, 2, 5, 10, 30, 60, 300, 1800].map(thaws).to_vec();
    assert!(all.windows(2).all(|w| w[0] >= w[1]), "{all:?}");
    assert!(all.first() > all.last(), "{all:?}");
}

#[test]
fn a_machine_keeps_its_limit_of_concurrent_starts() {
    let mut simulation = fleet(500, 2, 1);
    let many = figures(&simulation, SettingsPatch::default());
    simulation.machines.starts_at_once = 1;
    let one = figures(&simulation, SettingsPatch::default());
    assert!(
        one.waits_ms.max > 2.0 * many.waits_ms.max,
        "{} and {}",
        one.waits_ms.max,
        many.waits_ms.max
    );
}

#[test]
fn the_sample_is_spread_evenly_over_the_machines() {
    assert_eq!(fleet(1200, 1, 1).sample(), [0, 1, 2]);
    assert_eq!(fleet(100_000, 1, 1).sample(), [0, 100]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn all_time_is_accounted_for_and_runs_are_reproducible(
        databases in 1u64..40,
        days in 1u64..5,
        seed: u64,
        suspend in 0u64..100_000,
        park in 0u64..1_000_000,
    ) {
        let simulation = fleet(databases, days, seed);
        let settings = delays(suspend, park);
        let tally = live(&simulation, settings.clone());
        prop_assert!(tally == live(&simulation, settings.clone()));
        let f = Report::new(&simulation, settings, &tally, &[]).figures;
        let sum = f.hours.active + f.hours.suspended + f.hours.parked + f.hours.between;
        let existed = (databases * days * 24) as f64;
        prop_assert!((sum - existed).abs() < 1e-6 * existed, "{sum} of {existed}");
        // wakes and sleeps differ by at most one per database
        let (wakes, sleeps) = (f.thaws + f.starts, f.suspends + f.parks);
        prop_assert!(wakes <= sleeps + databases);
        prop_assert!(f.waited >= wakes && f.waited <= f.requests);
        prop_assert!(f.cost <= f.cost_always_on);
    }
}
