//! Rows of MEMORY tables, which would be lost with the server's process, prevent a park.

use dormouse_control::ErrorKind;
use dormouse_types::{DatabaseName, Pin, State};

use crate::machine::Machine;
use crate::run::{Run, S, name, spec, virtually, with};

/// Adds rows to MEMORY tables of a database.
fn fill(run: &Run, shop: &DatabaseName) {
    let id = run.status(shop).instance;
    run.machine.set(|m| {
        let instance = m.instances.get_mut(&id).unwrap();
        instance.memory_tables = vec!["app.cache".to_owned(), "app.hits".to_owned()];
    });
}

const WOULD_LOSE: &str =
    "veto: memory_table (app.cache, app.hits): rows would be lost (park --force loses them)";

#[test]
fn rows_in_memory_tables_prevent_a_park_and_are_not_queried_again() {
    with(async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        fill(&run, &shop);
        let tables = Some(vec!["app.cache".to_owned(), "app.hits".to_owned()]);
        assert_eq!(run.plane.look(&shop).await.unwrap().memory_tables, tables);
        tokio::time::sleep(3600 * S).await;
        assert_eq!(run.state(&shop), State::Suspended);
        assert_eq!(run.status(&shop).memory_tables, tables);
        let refused = run.ledger(&shop);
        let line = format!("refused suspended parked {WOULD_LOSE}");
        assert_eq!(
            refused.iter().filter(|l| **l == line).count(),
            8,
            "{refused:?}"
        );
        assert_eq!(refused.len(), 10, "it was never thawed: {refused:?}");
        // when they are empty it is parked
        let id = run.status(&shop).instance;
        run.query(&shop).await.unwrap();
        run.machine
            .set(|m| m.instances.get_mut(&id).unwrap().memory_tables.clear());
        run.until(&shop, State::Parked).await;
        assert_eq!(run.status(&shop).memory_tables, Some(Vec::new()));
    });
}

#[test]
fn a_slow_query_for_memory_tables_runs_before_a_park_but_not_before_a_suspend() {
    with(async |run| {
        let shop = name("shop");
        run.machine.set(|m| m.tables_take = S / 10);
        run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        fill(&run, &shop);
        run.until(&shop, State::Suspended).await;
        assert_eq!(run.status(&shop).memory_tables, None, "not known");
        assert_eq!(run.events(&shop)[1].duration_ms, Some(30));
        tokio::time::sleep(3600 * S).await;
        let line = format!("refused suspended parked {WOULD_LOSE}");
        assert_eq!(run.ledger(&shop).last(), Some(&line));
        assert_eq!(run.status(&shop).memory_tables.unwrap().len(), 2);
        // a database whose query takes too long is not parked
        run.query(&shop).await.unwrap();
        run.machine.set(|m| m.tables_take = 60 * S);
        let refused = run.plane.park(&shop).await.unwrap_err().to_string();
        assert!(refused.contains("no answer within 5 s"), "{refused}");
    });
}

#[test]
fn rows_in_memory_tables_refuse_an_ordered_park_unless_they_may_be_lost() {
    with(async |run| {
        let shop = name("shop");
        for suspended in [false, true] {
            if suspended {
                run.plane.suspend(&shop).await.unwrap();
            } else {
                run.plane
                    .create(&shop, spec("never", "never"))
                    .await
                    .unwrap();
                fill(&run, &shop);
            }
            let state = run.state(&shop);
            let refused = run.plane.park(&shop).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Refused);
            assert!(refused.to_string().contains("app.hits"), "{refused}");
            assert_eq!(run.state(&shop), state);
            let line = format!("refused {state} parked {WOULD_LOSE}");
            assert_eq!(run.ledger(&shop).last(), Some(&line));
        }
        // a session's veto still applies
        run.lanes.veto(&shop, &[(7, Pin::Transaction)]);
        let refused = run.plane.park_and_lose(&shop).await.unwrap_err();
        assert!(refused.to_string().ends_with("transaction (session 7)"));
        run.lanes.veto(&shop, &[]);
        run.plane.park_and_lose(&shop).await.unwrap();
        assert_eq!(run.state(&shop), State::Parked);
        run.query(&shop).await.unwrap();
        run.plane.park(&shop).await.unwrap();
        // a drop does not check MEMORY tables
        run.query(&shop).await.unwrap();
        fill(&run, &shop);
        run.plane.drop_database(&shop).await.unwrap();
    });
}

#[test]
fn a_database_found_suspended_is_queried_for_memory_tables_before_a_park() {
    let machine = Machine::new();
    let dir = tempfile::tempdir().unwrap();
    let shop = name("shop");
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        run.plane.create(&shop, spec("10s", "5m")).await.unwrap();
        fill(&run, &shop);
        run.until(&shop, State::Suspended).await;
        run.plane.stop().await;
    });
    virtually(&machine, async {
        let run = Run::start(&machine, dir.path()).await.unwrap();
        tokio::time::sleep(3600 * S).await;
        assert_eq!(run.state(&shop), State::Suspended);
        let line = format!("refused suspended parked {WOULD_LOSE}");
        assert_eq!(run.ledger(&shop).last(), Some(&line));
    });
    assert_eq!(machine.lock().violations, Vec::<String>::new());
}
