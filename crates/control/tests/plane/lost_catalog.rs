//! A start without the catalog of the run before: it is lost, old, or that of another installation.

use std::path::Path;

use dormouse_control::{ErrorKind, PlaneConfig, SettingsPatch};
use dormouse_driver::{Driver, Run as Process};
use dormouse_types::InstanceId;

use crate::machine::Machine;
use crate::run::{Run, S, config, name, spec, virtually};
use crate::startup::{fails, run};

#[test]
fn a_lost_catalog_loses_no_files() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&machine, dir.path(), async |run| {
        for n in 0..3 {
            run.plane
                .create(&name(&format!("db{n}")), spec("never", "never"))
                .await
                .unwrap();
        }
    });
    let other = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        run(&machine, other.path(), async |run| {
            tokio::time::sleep(S).await;
            assert!(run.plane.list().is_empty());
        });
        let runs = [1, 2, 3].map(|id| machine.run_of(InstanceId(id)));
        assert_eq!(runs, [Some(Process::Stopped); 3]);
    }
}

fn remove_catalog(dir: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(dir.join(format!("catalog.sqlite{ending}")));
    }
}

/// The catalog, with what is not written to its main file yet.
fn copy_catalog(from: &Path, to: &Path) {
    remove_catalog(to);
    for ending in ["", "-wal"] {
        let name = format!("catalog.sqlite{ending}");
        if from.join(&name).exists() {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    }
}

#[test]
fn databases_of_a_lost_catalog_are_taken_up_again_with_their_settings() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let (shop, blog, gone) = (name("shop"), name("blog"), name("gone"));
    run(&machine, dir.path(), async |run| {
        for database in [&shop, &blog, &gone] {
            run.plane
                .create(database, spec("never", "never"))
                .await
                .unwrap();
        }
        let settings = SettingsPatch {
            idle_suspend: Some("7s".parse().unwrap()),
            idle_park: Some("70s".parse().unwrap()),
            ..SettingsPatch::default()
        };
        run.plane.set(&blog, settings).await.unwrap();
        run.plane.park(&blog).await.unwrap();
        run.plane.drop_database(&gone).await.unwrap();
    });
    for emptied in [false, true] {
        remove_catalog(dir.path());
        if emptied {
            std::fs::write(dir.path().join("catalog.sqlite"), "").unwrap();
        }
        run(&machine, dir.path(), async |run| {
            let found = run.plane.found().join(" ");
            assert!(
                found.contains("was new or empty: 2 databases were (shop, blog)"),
                "{found}"
            );
            tokio::time::sleep(S).await;
            assert_eq!(run.plane.list().len(), 2);
            assert_eq!(run.query(&shop).await, Ok(1));
            assert!(run.query(&blog).await.is_ok());
            assert_eq!(run.status(&blog).spec, spec("7s", "70s"));
            // its name is not given away
            let taken = run.plane.create(&shop, spec("never", "never")).await;
            assert_eq!(taken.unwrap_err().kind(), ErrorKind::Exists);
            let lines = run.ledger(&shop);
            let why = "the catalog did not know it; name and settings were read beside its files";
            assert!(lines.iter().any(|line| line.contains(why)), "{lines:?}");
            // a new database gets another instance
            run.plane
                .create(&gone, spec("never", "never"))
                .await
                .unwrap();
            run.plane.drop_database(&gone).await.unwrap();
        });
    }
    run(&machine, dir.path(), async |run| {
        assert_eq!(run.plane.found(), Vec::<String>::new());
        assert_eq!(run.plane.list().len(), 2);
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}

#[test]
fn an_old_copy_of_the_catalog_loses_no_database() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let (old, new) = (name("old"), name("new"));
    let copy = tempfile::tempdir().unwrap();
    let never = || spec("never", "never");
    run(&machine, dir.path(), async |run| {
        run.plane.create(&old, never()).await.unwrap();
    });
    copy_catalog(dir.path(), copy.path());
    run(&machine, dir.path(), async |run| {
        run.plane.create(&new, never()).await.unwrap();
    });
    copy_catalog(copy.path(), dir.path());
    run(&machine, dir.path(), async |run| {
        tokio::time::sleep(S).await;
        let found = run.plane.found().join(" ");
        assert!(
            found.contains("did not know them: 1 database was (new)"),
            "{found}"
        );
        for database in [&old, &new] {
            assert!(run.query(database).await.is_ok(), "{database}");
        }
    });
}

#[test]
fn the_catalog_of_another_data_directory_is_refused_and_removes_nothing() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    let never = || spec("never", "never");
    run(&machine, dir.path(), async |run| {
        run.plane.create(&shop, never()).await.unwrap();
    });
    let own = tempfile::tempdir().unwrap();
    copy_catalog(dir.path(), own.path());
    // names of databases that are made, and how many of them are dropped
    for (names, dropped, expected) in [
        // the ids of dropped instances would be free to be removed
        (["a", "b", "c"], 2, "it does not know instance 1"),
        (["blog", "b", "c"], 0, "it says that instance 1 is 'blog'"),
        (["shop", "b", "c"], 0, "it says that instance 1 is 'shop'"),
    ] {
        let (elsewhere, other) = (Machine::new(), tempfile::tempdir().unwrap());
        run(&elsewhere, other.path(), async |run| {
            for database in names {
                run.plane.create(&name(database), never()).await.unwrap();
            }
            for database in &names[..dropped] {
                run.plane.drop_database(&name(database)).await.unwrap();
            }
        });
        copy_catalog(other.path(), dir.path());
        for _ in 0..2 {
            let error = fails(&machine, dir.path());
            let text = error.to_string();
            assert!(
                text.contains("the catalog of another data directory"),
                "{text}"
            );
            assert!(text.contains(expected), "{text}");
            assert!(
                text.contains("are those of 'shop' of another installation"),
                "{text}"
            );
            assert!(error.hint().contains("move this one away"));
        }
        let ids: Vec<u32> = machine.lock().instances.keys().map(|id| id.0).collect();
        assert_eq!(ids, [1], "{names:?}");
        // either way out, as the error says
        if dropped > 0 {
            remove_catalog(dir.path());
        } else {
            copy_catalog(own.path(), dir.path());
        }
        run(&machine, dir.path(), async |run| {
            tokio::time::sleep(S).await;
            assert!(run.query(&shop).await.is_ok(), "{names:?}");
        });
    }
}

fn set_identity(dir: &Path, identity: i32) {
    let catalog = rusqlite::Connection::open(dir.join("catalog.sqlite")).unwrap();
    catalog
        .pragma_update(None, "application_id", identity)
        .unwrap();
}

fn identity(dir: &Path) -> i32 {
    let catalog = rusqlite::Connection::open(dir.join("catalog.sqlite")).unwrap();
    catalog
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .unwrap()
}

#[test]
fn an_installation_keeps_its_identity_for_ever() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let make = async |run: &Run| {
        run.plane
            .create(&name("shop"), spec("never", "never"))
            .await
            .unwrap();
    };
    run(&machine, dir.path(), make);
    let first = identity(dir.path());
    assert_ne!(first, 0);
    // a new catalog
    remove_catalog(dir.path());
    run(&machine, dir.path(), async |run| {
        assert_eq!(run.plane.list().len(), 1)
    });
    assert_eq!(identity(dir.path()), first);
    // a catalog that was made when there were no identities
    set_identity(dir.path(), 0);
    run(&machine, dir.path(), async |run| {
        assert_eq!(run.plane.list().len(), 1)
    });
    assert_eq!(identity(dir.path()), first);
    // and one that has none, beside files that have none: it gets another
    std::fs::remove_file(dir.path().join("instances/1.database")).unwrap();
    set_identity(dir.path(), 0);
    run(&machine, dir.path(), async |run| {
        tokio::time::sleep(S).await;
        assert_eq!(run.plane.list().len(), 1);
    });
    let second = identity(dir.path());
    assert!(second != 0 && second != first);
    let beside = std::fs::read_to_string(dir.path().join("instances/1.database")).unwrap();
    assert!(
        beside.contains(&format!("\"catalog\":{second}")),
        "{beside}"
    );
}

#[test]
fn files_of_another_installation_are_left_alone() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    run(&machine, dir.path(), async |run| {
        for database in ["shop", "blog"] {
            run.plane
                .create(&name(database), spec("never", "never"))
                .await
                .unwrap();
        }
        run.plane.drop_database(&name("blog")).await.unwrap();
    });
    let beside = |id: u32| dir.path().join(format!("instances/{id}.database"));
    let text = std::fs::read_to_string(beside(1)).unwrap();
    let own = format!("\"catalog\":{}", identity(dir.path()));
    let foreign = text.replace(&own, "\"catalog\":77").replace("shop", "news");
    virtually(&machine, async {
        machine
            .provision(InstanceId(40), &Default::default())
            .await
            .unwrap();
    });
    std::fs::write(beside(40), foreign).unwrap();
    run(&machine, dir.path(), async |run| {
        let found = run.plane.found().join(" ");
        assert!(found.contains("'news' of another installation"), "{found}");
        assert_eq!(run.plane.list().len(), 1);
    });
    let ids: Vec<u32> = machine.lock().instances.keys().map(|id| id.0).collect();
    assert_eq!(ids, [1, 40]);
}

#[test]
fn warm_servers_of_a_lost_catalog_are_removed_and_files_without_a_name_are_not() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    let pool = |size| PlaneConfig {
        warm_pool: size,
        ..config(dir.path())
    };
    virtually(&machine, async {
        let run = Run::start_with(&machine, pool(2)).await.unwrap();
        tokio::time::sleep(5 * S).await;
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        tokio::time::sleep(5 * S).await;
    });
    let ids = || -> Vec<u32> { machine.lock().instances.keys().map(|id| id.0).collect() };
    assert_eq!(ids(), [1, 2, 3]);
    let marked = |id: u32| {
        dir.path()
            .join(format!("instances/{id}.unclaimed"))
            .exists()
    };
    assert_eq!([1, 2, 3].map(marked), [false, true, true]);
    // made by a version that had no marks
    std::fs::remove_file(dir.path().join("instances/2.unclaimed")).unwrap();
    virtually(&machine, async {
        let _run = Run::start_with(&machine, pool(2)).await.unwrap();
    });
    assert!(marked(2), "it is marked by the next start");
    // files that say nothing of themselves
    std::fs::remove_file(dir.path().join("instances/3.unclaimed")).unwrap();
    assert_eq!(machine.run_of(InstanceId(3)), Some(Process::Running));
    remove_catalog(dir.path());
    for _ in 0..2 {
        virtually(&machine, async {
            let run = Run::start_with(&machine, pool(0)).await.unwrap();
            tokio::time::sleep(S).await;
            assert_eq!(run.query(&shop).await, Ok(1));
        });
        assert_eq!(ids(), [1, 3]);
        assert!(!marked(2) && !marked(1));
        assert_eq!(machine.run_of(InstanceId(3)), Some(Process::Stopped));
    }
    virtually(&machine, async {
        let run = Run::start_with(&machine, pool(1)).await.unwrap();
        tokio::time::sleep(5 * S).await;
        run.plane
            .create(&name("blog"), spec("never", "never"))
            .await
            .unwrap();
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}
