use proptest::prelude::*;

use super::*;

fn machine(cores: u32, gib: u64) -> Capacity {
    Capacity {
        millicores: cores * 1000,
        memory: Bytes::mib(gib << 10),
    }
}

fn awake(units: u16, min: u16, used: u32) -> Claim {
    Claim {
        units: Units(units),
        min: Units(min),
        used,
    }
}

#[track_caller]
fn grown(machine: Capacity, others: &[Claim], asking: Claim, to: u16, why: Why, expected: &str) {
    let growth = grow(machine, others, asking, Units(to), why);
    let limit = growth.limit.map_or_else(String::new, |l| format!(": {l}"));
    assert_eq!(format!("{}{limit}", growth.to.0), expected);
}

#[test]
fn growth_is_cut_to_the_memory_that_is_left() {
    // 80 % of 20 GiB are 8 units
    let machine = machine(16, 20);
    let limit = "awake databases may have 8 units of memory together, 80 % of the machine's 20GiB";
    for (others, to, why, expected) in [
        (vec![], 8, Why::Cpu, "8".to_owned()),
        (vec![], 9, Why::Cpu, format!("8: {limit}")),
        (vec![awake(5, 1, 0)], 4, Why::Memory, format!("3: {limit}")),
        (
            vec![awake(5, 1, 0), awake(3, 1, 0)],
            2,
            Why::Cpu,
            format!("1: {limit}"),
        ),
        (vec![awake(50, 1, 0)], 2, Why::Memory, format!("1: {limit}")),
    ] {
        grown(machine, &others, awake(1, 1, 500), to, why, &expected);
    }
}

#[test]
fn a_minimum_is_granted_beyond_the_budget() {
    let full = [awake(8, 1, 0)];
    grown(machine(16, 20), &full, awake(1, 3, 0), 3, Why::Range, "3");
}

#[test]
fn cores_limit_growth_for_cpu_and_not_for_memory() {
    let machine = machine(2, 64);
    let asking = awake(3, 1, 1500);
    grown(
        machine,
        &[],
        asking,
        5,
        Why::Cpu,
        "4: the machine has 2 cores",
    );
    grown(machine, &[], asking, 5, Why::Memory, "5");
}

#[test]
fn on_a_saturated_machine_the_smaller_database_catches_up_and_the_larger_stops() {
    let machine = machine(2, 64);
    let (large, small) = (awake(3, 1, 1450), awake(1, 1, 500));
    let idle = awake(2, 1, 20);
    grown(machine, &[large, idle], small, 2, Why::Cpu, "2");
    grown(
        machine,
        &[small, idle],
        large,
        4,
        Why::Cpu,
        "3: the machine's CPU is used up, and the fair share is 0.99 cores",
    );
    // with twice the minimum, the fair share is twice as large
    let promised = Claim {
        min: Units(2),
        ..large
    };
    grown(
        machine,
        &[small, idle],
        promised,
        4,
        Why::Cpu,
        "3: the machine's CPU is used up, and the fair share is 1.32 cores",
    );
    // with CPU to spare there is no such limit
    let quiet = awake(1, 1, 100);
    grown(machine, &[quiet, idle], large, 4, Why::Cpu, "4");
}

fn told(shrinks: &[Shrink]) -> Vec<String> {
    let line = |s: &Shrink| format!("{} to {}: {}", s.index, s.to.0, s.reason);
    shrinks.iter().map(line).collect()
}

#[test]
fn after_a_wake_the_least_loaded_databases_shrink() {
    // 8 units, and a ninth and tenth have woken
    let databases = [
        awake(3, 1, 1400),
        awake(4, 3, 100),
        awake(2, 1, 100),
        awake(1, 1, 0),
    ];
    assert_eq!(
        told(&give_back(machine(4, 20), &databases)),
        [
            "1 to 3: awake databases need 10 units of memory and may have 8; it used 0.1 cores of 4 units",
            "2 to 1: awake databases need 10 units of memory and may have 8; it used 0.1 cores of 2 units",
        ]
    );
    let enough = machine(4, 25);
    assert_eq!(told(&give_back(enough, &databases)), [""; 0]);
}

#[test]
fn databases_at_their_minimum_keep_it_although_the_budget_is_exceeded() {
    let mut databases = vec![awake(1, 1, 10); 30];
    assert_eq!(give_back(machine(2, 8), &databases), []);
    databases.push(awake(4, 1, 2000));
    let shrinks = give_back(machine(2, 8), &databases);
    assert_eq!(
        told(&shrinks),
        [
            "30 to 1: awake databases need 34 units of memory and may have 3; it used 2 cores of 4 units"
        ]
    );
}

fn any_awake() -> impl Strategy<Value = Claim> {
    (1..12u16, 0..12u16, 0..6000u32).prop_map(|(min, more, used)| {
        awake(min + more, min, used.min((u32::from(min + more)) * 500))
    })
}

fn any_machine() -> impl Strategy<Value = Capacity> {
    (0..64u32, 0..200u64).prop_map(|(cores, gib)| machine(cores, gib))
}

fn any_why() -> impl Strategy<Value = Why> {
    prop_oneof![Just(Why::Cpu), Just(Why::Memory), Just(Why::Range)]
}

#[test]
fn a_follower_gets_what_the_minimum_of_the_others_leaves_or_waits() {
    let others = |count: usize| vec![awake(6, 2, 0); count];
    for (gib, others, wanted, stay, given) in [
        // 20 GiB are 8 units of budget, and 10 in all
        (20, others(1), 4, Stay::Lasting, Some(4)),
        (20, others(3), 4, Stay::Lasting, Some(2)),
        (20, others(4), 4, Stay::Lasting, None),
        (20, others(4), 4, Stay::Passing, Some(2)),
        (20, others(5), 4, Stay::Passing, None),
        (20, others(0), 0, Stay::Lasting, Some(1)),
    ] {
        let told = follow(machine(2, gib), &others, Units(wanted), stay);
        assert_eq!(told.clone().ok(), given.map(Units), "{told:?}");
    }
    let told = follow(machine(2, 4), &others(1), Units(1), Stay::Lasting).unwrap_err();
    assert_eq!(
        told,
        "there is no room for it: of 1 units of memory, the databases that are awake, their replicas and copies need 2 at least"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn growth_keeps_the_budget_and_takes_nothing_away(
        machine in any_machine(),
        others in proptest::collection::vec(any_awake(), 0..12),
        asking in any_awake(),
        more in 0..40u16,
        why in any_why(),
    ) {
        let to = Units(asking.units.0 + more);
        let growth = grow(machine, &others, asking, to, why);
        prop_assert!(asking.units <= growth.to && growth.to <= to);
        prop_assert_eq!(growth.limit.is_some(), growth.to < to);
        let kept = allotted(&others) + u64::from(growth.to.0) <= machine.budget();
        prop_assert!(kept || growth.to == asking.units);
    }

    #[test]
    fn a_larger_machine_never_grants_less(
        machine in any_machine(),
        cores in 0..8u32,
        gib in 0..64u64,
        others in proptest::collection::vec(any_awake(), 0..12),
        asking in any_awake(),
        why in any_why(),
    ) {
        let larger = Capacity {
            millicores: machine.millicores + cores * 1000,
            memory: Bytes(machine.memory.0 + (gib << 30)),
        };
        let to = Units(asking.units.0 + 20);
        let size = |machine| grow(machine, &others, asking, to, why).to;
        prop_assert!(size(machine) <= size(larger));
    }

    #[test]
    fn busy_databases_on_a_saturated_machine_share_all_of_it_and_no_more(
        mins in proptest::collection::vec(1..5u16, 2..6),
        fewer in 0..16u32,
    ) {
        // all are at their limit and use the whole machine together
        let databases: Vec<_> = mins.iter().map(|min| awake(*min, *min, u32::from(*min) * 500)).collect();
        let used: u32 = databases.iter().map(|d| d.used).sum();
        let cores = (used / 1000).saturating_sub(fewer).max(1);
        let machine = machine(cores, 10_000);
        let mut shares = 0;
        for (at, asking) in databases.iter().enumerate() {
            let mut others = databases.clone();
            others.remove(at);
            let fair = fair_share(machine, &others, *asking).unwrap();
            let to = grow(machine, &others, *asking, Units(500), Why::Cpu).to;
            prop_assert_eq!(u64::from(to.0), covering(fair).max(u64::from(asking.units.0)));
            shares += fair;
        }
        let all = u64::from(cores) * 1000;
        prop_assert!(shares <= all && all - shares < databases.len() as u64);
    }

    #[test]
    fn the_least_loaded_databases_shrink_as_far_as_needed_and_no_further(
        machine in any_machine(),
        databases in proptest::collection::vec(any_awake(), 0..20),
    ) {
        let shrinks = give_back(machine, &databases);
        let mut after = databases.clone();
        for shrink in &shrinks {
            let database = &mut after[shrink.index];
            prop_assert!(database.min <= shrink.to && shrink.to < database.units);
            database.units = shrink.to;
        }
        let spare = |those: &[Claim]| those.iter().any(|d| d.units > d.min);
        let (asked, left) = (allotted(&databases), allotted(&after));
        prop_assert!(left <= machine.budget() || !spare(&after));
        prop_assert!(shrinks.is_empty() || left >= machine.budget().min(asked));
        // a database that keeps units above its minimum is at least as loaded as any that shrank
        let load = |d: &Claim| f64::from(d.used) / f64::from(d.units.0);
        for (at, _) in after.iter().enumerate().filter(|(_, d)| d.units > d.min) {
            for gave in shrinks.iter().filter(|s| s.index != at) {
                prop_assert!(load(&databases[gave.index]) <= load(&databases[at]));
            }
        }
    }
}
