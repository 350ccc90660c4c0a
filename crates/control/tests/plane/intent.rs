//! The intent of a wake is in the catalog before a statement passes. That the catalog says so whenever a door
//! opens, and no less than what a server may use, every test of these checks ([`crate::machine`]).

use dormouse_types::State;
use rusqlite::Connection;

use crate::run::{S, name, spec, with_config};

/// From now on the catalog cannot be written, and then it can.
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
fn no_statement_passes_while_the_catalog_cannot_be_written() {
    let path = std::cell::RefCell::new(None);
    let config = |config: dormouse_control::PlaneConfig| {
        *path.borrow_mut() = Some(config.data_dir.join("catalog.sqlite"));
        config
    };
    with_config(config, async |run| {
        let shop = name("shop");
        run.plane.create(&shop, spec("10s", "30s")).await.unwrap();
        let catalog = Connection::open(path.borrow().as_ref().unwrap()).unwrap();
        for state in [State::Suspended, State::Parked] {
            run.query(&shop).await.unwrap();
            run.until(&shop, state).await;
            block(&catalog, true);
            let mut statement = Box::pin(run.query(&shop));
            let held = tokio::time::timeout(20 * S, &mut statement).await;
            assert!(held.is_err(), "it has passed from {state}: {held:?}");
            block(&catalog, false);
            let passed = tokio::time::timeout(20 * S, statement).await;
            passed.expect("the catalog can be written").unwrap();
        }
    });
}
