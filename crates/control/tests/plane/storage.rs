//! Storage quotas, and a full disk.

use std::path::Path;

use dormouse_control::{Disk, ErrorKind, PlaneConfig, Spec};
use dormouse_types::{Bytes, DatabaseName, State};

use crate::machine::Machine;
use crate::run::{MS, Run, S, config, name, spec, virtually};

const QUOTA: Bytes = Bytes::mib(1000);

fn limited() -> Spec {
    Spec {
        storage_quota: Some(QUOTA),
        ..spec("never", "never")
    }
}

fn run<T>(machine: &Machine, dir: &Path, script: impl AsyncFnOnce(&Run) -> T) -> T {
    let at = machine.clone();
    let config = PlaneConfig {
        disk: Some(Disk::new(Bytes::mib(100), move || Ok(at.lock().disk_free))),
        ..config(dir)
    };
    let done = virtually(machine, async {
        let run = Run::start_with(machine, config).await.unwrap();
        script(&run).await
    });
    done.expect("it was not killed")
}

impl Run {
    /// Sets the disk space of every database, and waits until it has been measured.
    async fn takes(&self, mib: u64) {
        self.machine.lock().storage = Some(Bytes::mib(mib));
        tokio::time::sleep(11 * S).await;
    }

    fn told(&self, database: &DatabaseName) -> Vec<String> {
        let all = self.ledger(database).into_iter();
        all.filter(|line| line.starts_with("noted")).collect()
    }
}

#[test]
fn a_full_database_is_restricted_until_a_little_is_freed() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&machine, dir.path(), async |run| {
        let (shop, free) = (name("shop"), name("free"));
        run.plane.create(&shop, limited()).await.unwrap();
        let unlimited = spec("never", "never");
        run.plane.create(&free, unlimited).await.unwrap();
        for (mib, full) in [
            (700, false),
            (850, false),
            (870, false),
            (920, false),
            (1000, true),
            (1100, true),
            (960, true),
            (940, false),
            (100, false),
        ] {
            run.takes(mib).await;
            assert_eq!(run.lanes.restriction(&shop).is_some(), full, "{mib}");
            assert_eq!(run.status(&shop).storage, Some(Bytes::mib(mib)));
            if mib == 1100 {
                let reason = "its storage quota of 1000MiB is used up (1.1GiB)";
                assert_eq!(run.status(&shop).read_only.as_deref(), Some(reason));
                assert_eq!(run.lanes.restriction(&shop).as_deref(), Some(reason));
            }
            assert_eq!(run.lanes.restriction(&free), None);
        }
        let told = [
            "noted - - storage: 850MiB are used of its storage quota of 1000MiB, more than 80 %",
            "noted - - storage: 920MiB are used of its storage quota of 1000MiB, more than 90 %",
            "noted - - storage: 1000MiB are used of its storage quota of 1000MiB: what could make \
             it larger is refused from now on",
            "noted - - storage: 940MiB are used of its storage quota of 1000MiB: it may grow again",
        ];
        assert_eq!(run.told(&shop), told);
        assert_eq!(run.told(&free), Vec::<String>::new());
    });
}

#[test]
fn a_full_database_is_restricted_after_a_crash_before_it_admits_clients() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    run(&machine, dir.path(), async |run| {
        run.plane.create(&shop, limited()).await.unwrap();
        run.takes(1000).await;
        assert!(run.lanes.restriction(&shop).is_some());
    });
    machine.lock().storage = None;
    run(&machine, dir.path(), async |run| {
        assert!(run.lanes.restriction(&shop).is_some());
        tokio::time::sleep(60 * S).await;
        assert!(run.lanes.restriction(&shop).is_some());
        assert_eq!(run.status(&shop).storage, Some(QUOTA));
        run.takes(100).await;
        assert_eq!(run.lanes.restriction(&shop), None);
    });
    run(&machine, dir.path(), async |run| {
        assert_eq!(run.lanes.restriction(&shop), None);
    });
}

#[test]
fn a_database_in_use_is_measured_before_it_can_be_full() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&machine, dir.path(), async |run| {
        let shop = name("shop");
        run.plane.create(&shop, limited()).await.unwrap();
        // 100 MiB in each second, or a tenth of the quota
        let mut mib = 24;
        while run.lanes.restriction(&shop).is_none() {
            run.query(&shop).await.unwrap();
            mib += 10;
            run.machine.lock().storage = Some(Bytes::mib(mib));
            tokio::time::sleep(100 * MS).await;
        }
        assert!((1000..=1150).contains(&mib), "noticed at {mib} MiB");
        // measurements become more frequent, but at most two per second
        let asked = run.machine.lock().storage_asked.clone();
        let pauses: Vec<_> = asked.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(pauses.iter().all(|pause| *pause >= 500 * MS), "{pauses:?}");
        // without statements only the usual measurements remain
        run.machine.lock().storage_asked.clear();
        tokio::time::sleep(60 * S).await;
        let asked = run.machine.lock().storage_asked.len();
        assert!((5..=7).contains(&asked), "{asked}");
    });
}

#[test]
fn a_sleeping_database_is_measured_once() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    run(&machine, dir.path(), async |run| {
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        run.plane.park(&shop).await.unwrap();
    });
    machine.lock().storage_asked.clear();
    run(&machine, dir.path(), async |run| {
        tokio::time::sleep(100 * S).await;
        assert_eq!(run.status(&shop).storage, Some(Bytes::mib(24)));
        assert_eq!(run.state(&shop), State::Parked);
        assert_eq!(run.machine.lock().storage_asked.len(), 1);
    });
}

#[test]
fn a_nearly_full_disk_restricts_every_database() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let (shop, asleep) = (name("shop"), name("asleep"));
    run(&machine, dir.path(), async |run| {
        for database in [&shop, &asleep] {
            let unlimited = spec("never", "never");
            run.plane.create(database, unlimited).await.unwrap();
        }
        run.plane.park(&asleep).await.unwrap();
        run.machine.lock().disk_free = Bytes::mib(99);
        tokio::time::sleep(S).await;
        let place = dir.path().display();
        let reason =
            format!("the disk of {place} has 99MiB left, and 100MiB are kept free (disk_reserve)");
        for database in [&shop, &asleep] {
            assert_eq!(
                run.lanes.restriction(database).as_deref(),
                Some(&*reason),
                "{database}"
            );
        }
        assert_eq!(run.told(&shop), [format!("noted - - storage: {reason}")]);
        let refused = run.plane.create(&name("third"), limited()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Machine);
    });
    run(&machine, dir.path(), async |run| {
        assert!(run.lanes.restriction(&shop).is_some());
        run.machine.lock().disk_free = Bytes::mib(109);
        tokio::time::sleep(S).await;
        assert!(run.lanes.restriction(&shop).is_some());
        run.machine.lock().disk_free = Bytes::mib(110);
        tokio::time::sleep(S).await;
        assert_eq!(run.lanes.restriction(&shop), None);
        assert_eq!(run.lanes.restriction(&asleep), None);
        run.plane.create(&name("third"), limited()).await.unwrap();
    });
}
