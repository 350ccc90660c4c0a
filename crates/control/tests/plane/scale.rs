//! Databases that grow and shrink.

use dormouse_control::{Capacity, Cause, EventKind, PlaneConfig, SettingsPatch, Spec};
use dormouse_types::{Bytes, DatabaseName, Units};

use crate::run::{MS, Run, S, name, spec, with, with_config};

fn sized(units: &str) -> Spec {
    Spec {
        units: units.parse().unwrap(),
        ..spec("10s", "30s")
    }
}

impl Run {
    /// Sets the CPU that its statements would use from now on, in thousandths of a core.
    pub fn demand(&self, database: &DatabaseName, millicores: u32) {
        let instance = self.status(database).instance;
        self.machine.set(|m| {
            let instance = m.instances.get_mut(&instance).unwrap();
            instance.demand = millicores;
        });
    }

    /// A statement that runs until it is dropped, at most for an hour.
    pub fn busy(&self, database: &DatabaseName) -> tokio::task::JoinHandle<()> {
        let (lanes, plane, database) = (self.lanes.clone(), self.plane.clone(), database.clone());
        tokio::spawn(async move {
            drop(lanes.statement(&plane, &database, 3600 * S).await);
        })
    }

    /// Waits for a size; fails after ten minutes. Returns how long that took.
    pub async fn until_units(&self, database: &DatabaseName, units: u16) -> std::time::Duration {
        let began = tokio::time::Instant::now();
        while self.status(database).units != Units(units) {
            tokio::time::sleep(MS * 10).await;
            let status = self.status(database);
            assert!(began.elapsed() < 600 * S, "not {units} units: {status:?}");
        }
        began.elapsed()
    }

    /// Sizes from the ledger, with the reasons.
    pub fn sizes(&self, database: &DatabaseName) -> Vec<String> {
        let events = self.events(database).into_iter();
        let told = events.filter_map(|e| {
            let (before, after) = (e.figures.units_before?, e.figures.units?);
            let kind = match e.event {
                EventKind::Scaled => "",
                _ => "not ",
            };
            let cause = e.cause.as_str();
            Some(format!(
                "{kind}{} to {}, {cause}: {}",
                before.0, after.0, e.reason
            ))
        });
        told.collect()
    }
}

/// A settings patch with this range of units.
fn of_units(range: &str) -> SettingsPatch {
    SettingsPatch {
        units: Some(range.parse().unwrap()),
        ..SettingsPatch::default()
    }
}

#[test]
fn it_grows_within_a_second_and_a_half_and_shrinks_under_low_load() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..4")).await.unwrap();
        tokio::time::sleep(5 * S).await;
        let busy = run.busy(&shop);
        run.demand(&shop, 700);
        let took = run.until_units(&shop, 2).await;
        assert!(took <= S * 3 / 2, "{took:?}");
        let generation = run.status(&shop).generation;
        run.demand(&shop, 5);
        run.until_units(&shop, 1).await;
        assert_eq!(run.status(&shop).generation, generation);
        assert_eq!(
            run.sizes(&shop),
            [
                "1 to 2, load: used 100 % of 1 unit over the last second",
                "2 to 1, load: used 0 % of 2 units over the last 30 s, at most 0 % in a second",
            ]
        );
        busy.abort();
    });
}

#[test]
fn a_changed_range_is_applied() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..1")).await.unwrap();
        let _busy = run.busy(&shop);
        for (range, units) in [("3..4", 3), ("1..2", 2)] {
            run.plane.set(&shop, of_units(range)).await.unwrap();
            let took = run.until_units(&shop, units).await;
            assert!(took < 5 * S, "{took:?}");
        }
    });
}

#[test]
fn the_ledger_has_the_hit_ratio_of_each_size() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..1")).await.unwrap();
        let instance = run.status(&shop).instance;
        let _busy = run.busy(&shop);
        for (units, requests, reads) in [(2, 1000, 100), (1, 2000, 400), (2, 4000, 800)] {
            run.machine.set(|m| {
                let instance = m.instances.get_mut(&instance).unwrap();
                (instance.hits.requests, instance.hits.reads) = (requests, reads);
            });
            run.plane
                .set(&shop, of_units(&units.to_string()))
                .await
                .unwrap();
            run.until_units(&shop, units).await;
        }
        tokio::time::sleep(S).await;
        let scaled = run.events(&shop).into_iter();
        let scaled = scaled.filter(|event| event.event == EventKind::Scaled);
        let ratios: Vec<_> = scaled.map(|event| event.figures.hit_ratio_ppm).collect();
        assert_eq!(ratios, [Some(900_000), Some(700_000), Some(800_000)]);
    });
}

#[test]
fn a_shrink_fails_if_memory_is_not_freed() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..2")).await.unwrap();
        let _busy = run.busy(&shop);
        run.demand(&shop, 900);
        run.until_units(&shop, 2).await;
        let instance = run.status(&shop).instance;
        run.machine
            .set(|m| m.instances.get_mut(&instance).unwrap().clings = true);
        run.demand(&shop, 0);
        tokio::time::sleep(40 * S).await;
        let sizes = run.sizes(&shop);
        assert!(
            sizes.len() == 2 && sizes[1].starts_with("not 2 to 1, failed: instance 1 uses"),
            "{sizes:#?}"
        );
        let pool = run.machine.lock().instances[&instance].pool;
        assert_eq!(
            (run.status(&shop).units, pool),
            (Units(2), Bytes::mib(2048))
        );
        run.machine
            .set(|m| m.instances.get_mut(&instance).unwrap().clings = false);
        run.until_units(&shop, 1).await;
    });
}

#[test]
fn a_denial_does_not_apply_to_a_changed_range() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..4")).await.unwrap();
        let _busy = run.busy(&shop);
        run.demand(&shop, 900);
        run.until_units(&shop, 2).await;
        let instance = run.status(&shop).instance;
        run.machine
            .set(|m| m.instances.get_mut(&instance).unwrap().clings = true);
        run.demand(&shop, 0);
        tokio::time::sleep(1000 * S).await;
        run.machine
            .set(|m| m.instances.get_mut(&instance).unwrap().clings = false);
        let settings = SettingsPatch {
            units: Some("1..1".parse().unwrap()),
            ..SettingsPatch::default()
        };
        run.plane.set(&shop, settings).await.unwrap();
        let took = run.until_units(&shop, 1).await;
        assert!(took < 2 * S, "{took:?}");
    });
}

#[test]
fn a_server_killed_for_lack_of_memory_is_restarted_with_more() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..2")).await.unwrap();
        let _busy = run.busy(&shop);
        let instance = run.status(&shop).instance;
        let mut generation = run.status(&shop).generation;
        for (units, told) in [
            (2, "its server was killed for want of memory"),
            (
                2,
                "its server was killed for want of memory; the most it may have is 2",
            ),
        ] {
            run.machine.starve(instance);
            tokio::time::sleep(S).await;
            let status = run.status(&shop);
            generation += 1;
            assert_eq!(
                (status.units, status.generation),
                (Units(units), generation)
            );
            assert_eq!(status.last_reason, told);
        }
        let grew = ["1 to 2, load: its server was killed for want of memory"];
        assert_eq!(run.sizes(&shop), grew);
        // the load is low now, but a size that was too small is not tried again soon
        tokio::time::sleep(60 * S).await;
        assert_eq!(run.status(&shop).units, Units(2));
        run.until_units(&shop, 1).await;

        run.machine.kill(instance);
        tokio::time::sleep(S).await;
        assert_eq!(run.status(&shop).last_reason, "its server died");
        assert_eq!(run.status(&shop).units, Units(1));
    });
}

#[test]
fn returning_load_cancels_a_shrink() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..4")).await.unwrap();
        let _busy = run.busy(&shop);
        run.demand(&shop, 900);
        run.until_units(&shop, 2).await;
        run.machine.set(|m| m.shrink_takes = 2500 * MS);
        run.demand(&shop, 0);
        tokio::time::sleep(31 * S).await;
        run.demand(&shop, 1000);
        run.until_units(&shop, 3).await;
        let sizes = run.sizes(&shop);
        assert!(sizes.iter().all(|s| !s.starts_with("2 to 1")), "{sizes:#?}");
        tokio::time::sleep(5 * S).await;
        let instance = run.status(&shop).instance;
        assert_eq!(
            run.machine.lock().instances[&instance].pool,
            Bytes::mib(3072)
        );
    });
}

#[test]
fn a_full_machine_still_wakes_databases_and_shrinks_idle_ones() {
    let config = |config| PlaneConfig {
        // a budget of four units: eight tenths of the memory
        capacity: Capacity {
            millicores: 8000,
            memory: Bytes::mib(10 << 10),
        },
        ..config
    };
    with_config(config, async |run| {
        let (shop, blog, wiki) = (name("shop"), name("blog"), name("wiki"));
        for database in [&shop, &blog] {
            run.plane.create(database, sized("1..4")).await.unwrap();
        }
        let _busy = [run.busy(&shop), run.busy(&blog)];
        run.demand(&shop, 4000);
        run.until_units(&shop, 3).await;
        run.demand(&shop, 700);
        run.demand(&blog, 4000);
        tokio::time::sleep(5 * S).await;
        let refused = run.sizes(&blog);
        assert!(
            refused.last().is_some_and(|r| r.starts_with("not 1 to")
                && r.contains("awake databases may have 4 units of memory together")),
            "{refused:#?}"
        );
        // one more wakes nevertheless, and the largest shrinks
        run.plane.create(&wiki, sized("1..1")).await.unwrap();
        run.until_units(&shop, 2).await;
        let gave = run.events(&shop);
        assert_eq!(gave.last().unwrap().cause, Cause::Room, "{gave:#?}");
    });
}

/// A machine whose memory budget for awake databases is this many units.
fn small(units: u64) -> impl Fn(PlaneConfig) -> PlaneConfig {
    move |config| PlaneConfig {
        capacity: Capacity {
            millicores: 64_000,
            memory: Bytes::mib((units << 11) * 5 / 4),
        },
        ..config
    }
}

#[test]
fn a_minimum_larger_than_the_machine_is_refused() {
    with_config(small(4), async |run| {
        let shop = name("shop");
        let refused = run.plane.create(&shop, sized("6..8")).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "6 units at all times are 12GiB of memory, and this machine has 10GiB: the limit is 5"
        );
        run.plane.create(&shop, sized("1..8")).await.unwrap();
        run.plane.set(&shop, of_units("6..6")).await.unwrap_err();
        assert_eq!(run.status(&shop).spec.units, "1..8".parse().unwrap());
        run.plane.set(&shop, of_units("5..6")).await.unwrap();
    });
}

#[test]
fn a_dropped_database_frees_its_room() {
    with_config(small(4), async |run| {
        let (shop, blog) = (name("shop"), name("blog"));
        run.plane.create(&blog, sized("3..3")).await.unwrap();
        run.plane.create(&shop, sized("1..4")).await.unwrap();
        run.plane.drop_database(&blog).await.unwrap();
        let _busy = run.busy(&shop);
        run.demand(&shop, 4000);
        let took = run.until_units(&shop, 4).await;
        assert!(took < 10 * S, "{took:?}");
    });
}

#[test]
fn giving_room_back_precedes_growing() {
    with_config(small(4), async |run| {
        let (shop, blog) = (name("shop"), name("blog"));
        run.plane.create(&shop, sized("1..8")).await.unwrap();
        let _busy = run.busy(&shop);
        run.demand(&shop, 8000);
        run.until_units(&shop, 4).await;
        tokio::time::sleep(20 * S).await;
        run.plane.create(&blog, sized("2..2")).await.unwrap();
        let took = run.until_units(&shop, 2).await;
        assert!(took < 5 * S, "{took:?}");
    });
}

#[test]
fn freed_room_is_used_soon() {
    with_config(small(4), async |run| {
        let (shop, blog) = (name("shop"), name("blog"));
        run.plane.create(&blog, sized("3..3")).await.unwrap();
        run.plane.create(&shop, sized("1..4")).await.unwrap();
        let _busy = [run.busy(&shop), run.busy(&blog)];
        run.demand(&shop, 4000);
        tokio::time::sleep(1200 * S).await;
        assert_eq!(run.status(&shop).units, Units(1));
        let refused = run.sizes(&shop).len();
        assert!(refused < 10, "told {refused} times");
        run.plane.drop_database(&blog).await.unwrap();
        let took = run.until_units(&shop, 2).await;
        assert!(took < 3 * S, "{took:?}");
    });
}

#[test]
fn frequent_wakes_of_the_actor_do_not_delay_load_polls() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, sized("1..2")).await.unwrap();
        let _busy = run.busy(&shop);
        run.demand(&shop, 900);
        let (plane, database) = (run.plane.clone(), shop.clone());
        let comes = tokio::spawn(async move {
            loop {
                plane.wake(&database).await.unwrap();
                tokio::time::sleep(50 * MS).await;
            }
        });
        let took = run.until_units(&shop, 2).await;
        assert!(took < 2 * S, "{took:?}");
        comes.abort();
    });
}
