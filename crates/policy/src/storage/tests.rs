use proptest::prelude::*;

use super::*;

fn gib(n: u64) -> Bytes {
    Bytes(n * GIB)
}

#[test]
fn it_warns_then_is_full_and_each_level_ends_below_its_beginning() {
    let trace = [
        (79, Fill::Fine),
        (80, Fill::Warn(80)),
        (76, Fill::Warn(80)),
        (74, Fill::Fine),
        (79, Fill::Fine),
        (92, Fill::Warn(90)),
        (86, Fill::Warn(90)),
        (84, Fill::Warn(80)),
        (99, Fill::Warn(90)),
        (100, Fill::Full),
        (140, Fill::Full),
        (95, Fill::Full),
        (94, Fill::Warn(90)),
        (99, Fill::Warn(90)),
        (100, Fill::Full),
        (86, Fill::Warn(90)),
        (10, Fill::Fine),
    ];
    let mut before = Fill::Fine;
    for (percent, expected) in trace {
        let now = fill(Bytes::mib(percent * 20), Bytes::mib(2000), before);
        assert_eq!(now, expected, "{percent} % after {before:?}");
        before = now;
    }
    assert_eq!(fill(Bytes(0), Bytes(0), Fill::Fine), Fill::Full);
}

#[test]
fn a_small_volume_grows_early_and_a_large_one_late() {
    for (size, at) in [(10, 6), (100, 80), (500, 400), (1000, 950)] {
        assert_eq!(grow_at(gib(size)), gib(at), "{size} GiB");
    }
    assert_eq!(grow_at(Bytes(100 * GIB - 100)), Bytes(60 * GIB - 60));
    for (size, next) in [
        (1, 2),
        (10, 15),
        (99, 149),
        (100, 125),
        (500, 625),
        (1000, 1100),
    ] {
        assert_eq!(next_size(gib(size)), gib(next), "{size} GiB");
    }
}

#[test]
fn growth_takes_as_many_steps_as_needed() {
    for (size, used, grown_to) in [
        (10, 5, 10),
        (10, 6, 15),
        (10, 40, 80),
        (0, 0, 1),
        (600, 569, 600),
        (600, 570, 660),
    ] {
        assert_eq!(
            grown(gib(size), gib(used)),
            gib(grown_to),
            "{used} of {size} GiB"
        );
    }
}

proptest! {
    #[test]
    fn more_used_is_never_less_full(used in 0..1000u64, more in 0..1000u64, quota in 0..1000u64, before in 0..4usize) {
        let before = [Fill::Fine, Fill::Warn(80), Fill::Warn(90), Fill::Full][before];
        let at = |used| fill(Bytes(used), Bytes(quota), before);
        prop_assert!(at(used) <= at(used + more));
        // the result is stable
        prop_assert_eq!(fill(Bytes(used), Bytes(quota), at(used)), at(used));
    }

    #[test]
    fn a_grown_volume_has_free_space(size in 0..u64::MAX / 2, used in 0..u64::MAX / 4) {
        let to = grown(Bytes(size), Bytes(used));
        prop_assert!(to.0 >= size && Bytes(used) < grow_at(to));
        prop_assert_eq!(grown(to, Bytes(used)), to);
    }

    #[test]
    fn a_step_leads_well_below_the_next_threshold(size in 1..20_000u64) {
        let at = grow_at(gib(size));
        let next = grow_at(next_size(gib(size)));
        prop_assert!(next.0 >= at.0 / 100 * 109, "{at} {next}");
    }

    #[test]
    fn any_sizes_cause_no_panic(size in any::<u64>(), used in any::<u64>()) {
        prop_assert!(grown(Bytes(size), Bytes(used)).0 >= size);
    }
}
