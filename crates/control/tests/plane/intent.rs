//! The intent of a start is in the catalog before a statement passes. Each time a door opens, the simulated
//! machine checks that, and that the units in the catalog are at least those of the server
//! ([`crate::machine`]).

use dormouse_types::State;
use rusqlite::Connection;

use crate::run::{S, name, spec, with_config};

/// Makes writes to the catalog fail, or succeed again.
fn block(catalog: &Connection, blocked: bool) {
    let sql = if blocked {
        "CREATE TRIGGER blocked BEFORE UPDATE ON databases \
         BEGIN SELECT RAISE(FAIL, 'made to fail'); END"
    } else {
        "DROP TRIGGER blocked"
    };
    catalog.execute_batch(sql).unwrap();
}

#[test]
fn a_start_opens_no_door_while_the_catalog_cannot_be_written() {
    let path = std::cell::RefCell::new(None);
    let config = |config: dormouse_control::PlaneConfig| {
        *path.borrow_mut() = Some(config.data_dir.join("catalog.sqlite"));
        config
    };
    with_config(config, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        let catalog = Connection::open(path.borrow().as_ref().unwrap()).unwrap();
        let fresh = |catalog: &Connection| -> bool {
            let sql = "SELECT fresh FROM databases WHERE name = 'shop'";
            catalog.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        run.until(&shop, State::Parked).await;
        block(&catalog, true);
        let mut statement = Box::pin(run.query(&shop));
        let held = tokio::time::timeout(20 * S, &mut statement).await;
        assert!(held.is_err(), "the statement was not held: {held:?}");
        block(&catalog, false);
        let passed = tokio::time::timeout(20 * S, statement).await;
        passed.expect("the catalog can be written").unwrap();
        assert!(!fresh(&catalog));

        // a thaw does not wait for the write; a failed write is repeated later
        run.until(&shop, State::Suspended).await;
        block(&catalog, true);
        run.query(&shop).await.unwrap();
        assert!(fresh(&catalog), "the catalog was written");
        block(&catalog, false);
        let refused = run.plane.suspend(&shop).await;
        assert!(refused.is_ok(), "{refused:?}");
        run.query(&shop).await.unwrap();
        tokio::time::sleep(S).await;
        assert!(!fresh(&catalog));
    });
}
