//! The ledger names who caused each change.

use dormouse_control::{Principal, SettingsPatch};
use dormouse_types::State;

use crate::machine::{Fault, Machine};
use crate::run::{Run, config, name, spec, virtually, with};

fn operator() -> Principal {
    Principal::Token {
        name: "ci".parse().unwrap(),
        id: "abcdefghij01".parse().unwrap(),
    }
}

/// Kind of each entry of a database, the state after it, and who caused it.
fn who(run: &Run) -> Vec<String> {
    let line = |e: &dormouse_control::Event| {
        let to = e.to.map_or("-", State::as_str);
        let actor = e.actor.as_deref().unwrap();
        format!("{} {to}: {actor}", e.event.as_str())
    };
    let shown = |e: &&dormouse_control::Event| e.event.as_str() != "noted";
    run.events(&name("shop"))
        .iter()
        .filter(shown)
        .map(line)
        .collect()
}

#[test]
fn orders_are_their_givers_and_statements_their_users_and_the_rest_is_dormouses() {
    with(async |run| {
        let shop = name("shop");
        let token = "token:ci (abcdefghij01)";
        let local = run.plane.acting_for(Principal::Local { uid: 1000 });
        let ordered = run.plane.acting_for(operator());
        local.create(&shop, spec("never", "never")).await.unwrap();
        ordered.suspend(&shop).await.unwrap();
        run.query(&shop).await.unwrap();
        ordered.park(&shop).await.unwrap();
        local.wake(&shop).await.unwrap();
        let patch = SettingsPatch {
            idle_park: Some("5s".parse().unwrap()),
            ..SettingsPatch::default()
        };
        ordered.set(&shop, patch).await.unwrap();
        run.until(&shop, State::Parked).await;
        run.query(&shop).await.unwrap();
        ordered.drop_database(&shop).await.unwrap();
        assert_eq!(
            who(&run),
            [
                "created active: local:uid=1000",
                &format!("changed suspended: {token}"),
                "changed active: client:app@shop",
                &format!("changed parked: {token}"),
                "changed active: local:uid=1000",
                &format!("set -: {token}"),
                "changed parked: dormouse",
                "changed active: client:app@shop",
                &format!("dropped dropping: {token}"),
            ]
        );
        let told = run.ledger(&shop);
        assert!(
            told.iter()
                .any(|line| line.contains("idle_park: never → 5s")),
            "{told:?}"
        );
    });
}

#[test]
fn an_order_that_changes_nothing_is_not_recorded() {
    with(async |run| {
        let shop = name("shop");
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        run.plane.wake(&shop).await.unwrap();
        run.plane
            .set(&shop, SettingsPatch::default())
            .await
            .unwrap();
        assert_eq!(who(&run), ["created active: dormouse"]);
    });
}

#[test]
fn a_drop_that_the_next_start_completes_names_who_ordered_it() {
    let (machine, dir) = (Machine::new(), tempfile::tempdir().unwrap());
    let shop = name("shop");
    let done = virtually(&machine, async {
        let run = Run::start_with(&machine, config(dir.path())).await.unwrap();
        run.plane
            .create(&shop, spec("never", "never"))
            .await
            .unwrap();
        machine.set(|m| m.fault = Some((m.steps + 1, Fault::CrashBefore)));
        let _ = run.plane.acting_for(operator()).drop_database(&shop).await;
    });
    assert_eq!(done, None);
    virtually(&machine, async {
        let run = Run::start_with(&machine, config(dir.path())).await.unwrap();
        while run.plane.exists(&shop) || !run.plane.list().is_empty() {
            tokio::time::sleep(crate::run::MS).await;
        }
        let told = run.ledger(&shop);
        let last = told.last().unwrap();
        assert!(
            last.ends_with("it was dropped by token:ci (abcdefghij01)"),
            "{last}"
        );
    });
}
