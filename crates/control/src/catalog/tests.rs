use std::time::Duration;

use dormouse_engine::rights;
use dormouse_policy::{Cause, Spec};
use dormouse_types::{DatabaseName, Endpoint, Events, Incarnation, State, Units, WokenBy};

use super::record::{InstanceRow, Role};
use super::*;
use crate::instance::serving::Serving;
use crate::principal::Principal;
use crate::status::{EventKind, Figures};

mod migration;

const KEEP: LedgerKeep = LedgerKeep {
    rows: 1000,
    age: Duration::from_secs(86_400),
};

fn open(dir: &Path) -> (Catalog, Contents) {
    let (catalog, mut contents) = Catalog::open(dir, KEEP, broadcast::Sender::new(16)).unwrap();
    // it is random, and stands in the files beside the instances, which tests of the plane read
    assert_ne!(std::mem::take(&mut contents.installation), 0);
    contents.manifests.clear();
    contents.unclaimed.clear();
    (catalog, contents)
}

fn name(text: &str) -> DatabaseName {
    text.parse().unwrap()
}

fn row(text: &str, instance: InstanceId) -> DatabaseRow {
    DatabaseRow {
        origin: instance,
        name: name(text),
        instance,
        spec: Arc::default(),
        state: State::Creating,
        since: Timestamp::from_millisecond(1_700_000_000_000).unwrap(),
        generation: 1,
        rights: rights::CURRENT,
        units: Units(1),
        reason: "it was created".to_owned(),
        noted: Noted {
            globals: vec![("a".to_owned(), "'b'".to_owned())],
            variables: Some([("version", "1")].into_iter().collect()),
            events: Events {
                next: Some(Timestamp::UNIX_EPOCH),
                running: true,
            },
            ..Noted::default()
        },
        storage: None,
        full: false,
        branch: None,
    }
}

fn entry(text: &str, reason: &str) -> Change {
    Change::Ledger(Box::new(Entry {
        database: Some(name(text)),
        actor: Principal::Dormouse,
        woken_by: None,
        event: EventKind::Changed,
        from: Some(State::Active),
        to: Some(State::Suspended),
        cause: Cause::Idle,
        reason: reason.to_owned(),
        duration_ms: Some(7),
        figures: Figures {
            memory: None,
            cpu_ms: Some(140),
            idle_ms: Some(10_000),
            ..Figures::default()
        },
    }))
}

fn reasons(catalog: &Catalog, filter: &EventFilter) -> Vec<String> {
    catalog
        .events(filter)
        .unwrap()
        .into_iter()
        .map(|e| e.reason)
        .collect()
}

#[tokio::test]
async fn it_reads_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, contents) = open(dir.path());
    assert_eq!(contents, Contents::default());
    let id = catalog.new_instance("10.11".to_owned()).await.unwrap();
    let mut shop = row("shop", id);
    catalog
        .write(Durability::Now, vec![Change::Claim(Box::new(shop.clone()))])
        .await
        .unwrap();
    shop.noted.schemas = Some(vec!["shop".to_owned()]);
    shop.noted.fresh = true;
    shop.state = State::Suspended;
    shop.generation = u64::MAX;
    shop.units = Units(3);
    let serving = Arc::new(Serving {
        incarnation: Incarnation(u128::MAX - 7),
        endpoint: Endpoint::unix("/run/1/socket"),
    });
    let changes = vec![
        Change::Note {
            name: shop.name.clone(),
            noted: Box::new(shop.noted.clone()),
        },
        Change::State {
            name: shop.name.clone(),
            instance: id,

            state: shop.state,
            since: shop.since,
            generation: shop.generation,
            units: Units(3),
            serving: Some(Arc::clone(&serving)),
            reason: shop.reason.clone(),
        },
    ];
    catalog.write(Durability::Soon, changes).await.unwrap();
    drop(catalog);
    let (catalog, contents) = open(dir.path());
    assert_eq!(contents.databases, std::slice::from_ref(&shop));
    let claimed = InstanceRow {
        id,
        phase: Phase::Claimed,
        version: "10.11".to_owned(),
        serves: Some((shop.name.clone(), Role::Primary)),
        kept_until: None,
        host: "local".to_owned(),
        rights: rights::CURRENT,
        serving: Some(serving),
    };
    assert_eq!(contents.instances, [claimed]);
    catalog
        .write(Durability::Soon, vec![Change::Stale(shop.name.clone())])
        .await
        .unwrap();
    let gone = vec![Change::Gone {
        name: shop.name,
        instance: id,
        origin: id,
    }];
    drop(catalog);
    let (catalog, contents) = open(dir.path());
    assert!(!contents.databases[0].noted.fresh);
    catalog.write(Durability::Now, gone).await.unwrap();
    drop(catalog);
    let (_, contents) = open(dir.path());
    assert_eq!(
        contents,
        Contents {
            last_instance: id.0,
            ..Contents::default()
        }
    );
}

#[tokio::test]
async fn instance_ids_are_never_used_again() {
    let dir = tempfile::tempdir().unwrap();
    for expected in 1..4 {
        let (catalog, _) = open(dir.path());
        let id = catalog.new_instance(String::new()).await.unwrap();
        assert_eq!(id, InstanceId(expected));
        catalog
            .write(Durability::Soon, vec![Change::InstanceGone(id)])
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_write_is_atomic() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, _) = open(dir.path());
    let id = catalog.new_instance(String::new()).await.unwrap();
    let twice = vec![
        Change::Claim(Box::new(row("a", id))),
        entry("a", "first"),
        Change::Claim(Box::new(row("a", id))),
    ];
    catalog.write(Durability::Soon, twice).await.unwrap_err();
    assert_eq!(
        reasons(
            &catalog,
            &EventFilter {
                limit: 9,
                ..EventFilter::default()
            }
        ),
        [""; 0]
    );
    drop(catalog);
    assert_eq!(open(dir.path()).1.databases, []);
}

#[tokio::test]
async fn the_ledger_is_read_from_either_end() {
    let dir = tempfile::tempdir().unwrap();
    let events = broadcast::Sender::new(16);
    let mut told = events.subscribe();
    let (catalog, _) = Catalog::open(dir.path(), KEEP, events).unwrap();
    for n in 0..6 {
        let of = if n % 2 == 0 { "a" } else { "b" };
        catalog
            .write(Durability::Soon, vec![entry(of, &n.to_string())])
            .await
            .unwrap();
    }
    let all = |limit| EventFilter {
        limit,
        ..EventFilter::default()
    };
    assert_eq!(reasons(&catalog, &all(2)), ["4", "5"]);
    assert_eq!(
        reasons(&catalog, &all(usize::MAX)),
        ["0", "1", "2", "3", "4", "5"]
    );
    let after = EventFilter {
        after: Some(3),
        ..all(2)
    };
    assert_eq!(reasons(&catalog, &after), ["3", "4"]);
    let of_b = EventFilter {
        database: Some(name("b")),
        ..all(2)
    };
    assert_eq!(reasons(&catalog, &of_b), ["3", "5"]);
    let first = told.recv().await.unwrap();
    assert_eq!(
        first,
        catalog
            .events(&EventFilter {
                after: Some(0),
                ..all(1)
            })
            .unwrap()[0]
    );
}

#[tokio::test]
async fn changes_of_state_are_read_with_what_woke_it_and_the_last_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, _) = open(dir.path());
    let change = |to: State, event, woken_by: Option<&str>| {
        let Change::Ledger(mut entry) = entry("a", "") else {
            panic!("no entry");
        };
        entry.event = event;
        entry.to = Some(to);
        entry.woken_by = woken_by
            .map(|statement| Arc::new(WokenBy::new(statement.to_owned(), "app", "10.0.0.7")));
        Change::Ledger(entry)
    };
    let (changed, created) = (EventKind::Changed, EventKind::Created);
    let changes = vec![
        // of an earlier database of this name
        change(State::Active, created, None),
        change(State::Parked, changed, None),
        change(State::Active, created, None),
        change(State::Suspended, changed, None),
        entry("b", ""),
        change(State::Active, EventKind::Refused, Some("no change")),
        change(State::Active, changed, Some("SELECT ?")),
    ];
    catalog.write(Durability::Soon, changes).await.unwrap();
    let read = |since| -> Vec<(State, Option<String>)> {
        let all = catalog.transitions(&name("a"), since).unwrap();
        let told = |t: Transition| {
            (
                t.to,
                t.woken_by
                    .map(|by| format!("{} {}", by.statement, by.account)),
            )
        };
        all.into_iter().map(told).collect()
    };
    let woken = (State::Active, Some("SELECT ? app@10.0.0.7".to_owned()));
    let all = [
        (State::Active, None),
        (State::Suspended, None),
        woken.clone(),
    ];
    assert_eq!(read(0), all);
    assert_eq!(read(i64::MAX), [woken]);
    assert_eq!(catalog.transitions(&name("c"), 0).unwrap(), []);
    let filter = EventFilter {
        limit: 1,
        ..EventFilter::default()
    };
    let last = catalog.events(&filter).unwrap().pop().unwrap();
    let by = WokenBy::new("SELECT ?".to_owned(), "app", "10.0.0.7");
    assert_eq!(last.woken_by, Some(by));
}

#[tokio::test]
async fn the_ledger_stays_within_its_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, _) = open(dir.path());
    for batch in 0..4 {
        let many = (0..1000)
            .map(|n| entry("a", &(batch * 1000 + n).to_string()))
            .collect();
        catalog.write(Durability::Soon, many).await.unwrap();
    }
    let all = EventFilter {
        limit: usize::MAX,
        ..EventFilter::default()
    };
    assert!(reasons(&catalog, &all).len() < 3000);
    drop(catalog);
    let (catalog, _) = open(dir.path());
    let kept = reasons(&catalog, &all);
    assert_eq!(
        (kept.len(), kept.last().map(String::as_str)),
        (1000, Some("3999"))
    );
    drop(catalog);
    let none = LedgerKeep {
        age: Duration::ZERO,
        ..KEEP
    };
    let (catalog, _) = Catalog::open(dir.path(), none, broadcast::Sender::new(16)).unwrap();
    assert_eq!(reasons(&catalog, &all), [""; 0]);
}

#[test]
fn accounts_of_an_earlier_format_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let raw = Connection::open(dir.path().join(FILE)).unwrap();
    raw.execute_batch(schema::STEPS[0]).unwrap();
    let account = |name: &str, tls: bool| {
        format!(
            r#"{{"user":"{name}","host":"%","verifiers":[],"locked":false,"require_tls":{tls},"enrolled":true}}"#
        )
    };
    let accounts = format!("[{},{}]", account("a", false), account("b", true));
    raw.execute_batch("INSERT INTO instances VALUES (1, 'claimed', 'v'); PRAGMA user_version = 1;")
        .unwrap();
    raw.execute(
        "INSERT INTO databases VALUES ('shop', 1, ?1, 'parked', 0, 1, '', ?2, NULL, '[]', 1)",
        [serde_json::to_string(&Spec::default()).unwrap(), accounts],
    )
    .unwrap();
    drop(raw);
    let (_, contents) = open(dir.path());
    let noted = &contents.databases[0].noted.accounts;
    let found: Vec<_> = noted
        .iter()
        .map(|a| (&*a.user, a.transport.clone()))
        .collect();
    let expected = [
        ("a", dormouse_types::Transport::Any),
        ("b", dormouse_types::Transport::Tls),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_number_of_replicas_of_an_earlier_format_stays_that_number() {
    const FORMAT: usize = 15;
    let dir = tempfile::tempdir().unwrap();
    let raw = Connection::open(dir.path().join(FILE)).unwrap();
    for step in &schema::STEPS[..FORMAT] {
        raw.execute_batch(step).unwrap();
    }
    raw.pragma_update(None, "user_version", FORMAT as i64)
        .unwrap();
    for (id, name, spec) in [
        (1, "none", "{}"),
        (2, "two", r#"{"reads":"any","replicas":2}"#),
        (3, "zero", r#"{"replicas":0}"#),
    ] {
        raw.execute(
            "INSERT INTO databases VALUES (?1, ?2, 'parked', 0, '', '[]', NULL, '[]', NULL, '{}', 1, NULL, 0, NULL, NULL)",
            [name, spec],
        )
        .unwrap();
        raw.execute(
            "INSERT INTO instances (id, phase, version, database, role) VALUES (?1, 'claimed', 'v', ?2, 'primary')",
            (id, name),
        )
        .unwrap();
    }
    drop(raw);
    let (_, contents) = open(dir.path());
    let found = contents.databases.iter().map(|row| {
        let Spec {
            replicas, reads, ..
        } = &*row.spec;
        (
            row.name.to_string(),
            replicas.to_string(),
            reads.to_string(),
        )
    });
    let expected = [
        ("none", "0", "primary"),
        ("two", "2", "any"),
        ("zero", "0", "primary"),
    ];
    let expected = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let raw = Connection::open(dir.path().join(FILE)).unwrap();
    let written: String = raw
        .query_row("SELECT spec FROM databases WHERE name = 'two'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(written, r#"{"reads":"any","replicas":"2"}"#);
}

#[tokio::test]
async fn it_tells_which_databases_have_moved_lately() {
    let dir = tempfile::tempdir().unwrap();
    let (catalog, _) = open(dir.path());
    let instance = async || catalog.new_instance("10.11".to_owned()).await.unwrap();
    let (shop, blog, to) = (instance().await, instance().await, instance().await);
    let moved = Moved {
        name: name("shop"),
        origin: shop,
        from: shop,
        to,
        kept_until: Timestamp::now(),
    };
    let changes = vec![
        Change::Claim(Box::new(row("shop", shop))),
        Change::Claim(Box::new(row("blog", blog))),
        Change::Moved(Box::new(moved)),
        Change::Rename {
            from: name("shop"),
            to: name("store"),
        },
    ];
    catalog.write(Durability::Now, changes).await.unwrap();
    let hour = jiff::SignedDuration::from_hours(1);
    let lately = catalog.moved_since(Timestamp::now() - hour).await.unwrap();
    assert_eq!(lately.into_iter().collect::<Vec<_>>(), [name("store")]);
    let since = catalog.moved_since(Timestamp::now() + hour).await.unwrap();
    assert!(since.is_empty());
}

#[test]
fn settings_of_files_that_are_older_have_a_plain_number_of_replicas() {
    for (json, written) in [
        ("2", Some(r#""2""#)),
        (r#""2""#, Some(r#""2""#)),
        (r#""1..3""#, Some(r#""1..3""#)),
        ("4", None),
        (r#""0..2""#, None),
        ("null", None),
    ] {
        let read = serde_json::from_str::<dormouse_types::ReplicaRange>(json).ok();
        let back = read.map(|range| serde_json::to_string(&range).unwrap());
        assert_eq!(back.as_deref(), written, "{json}");
    }
}

#[test]
fn a_newer_catalog_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let raw = Connection::open(dir.path().join(FILE)).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = Catalog::open(dir.path(), KEEP, broadcast::Sender::new(16))
        .err()
        .unwrap();
    let path = dir.path().join(FILE);
    let expected = format!(
        "the catalog {}: it has format 99, this dormouse knows up to {}",
        path.display(),
        schema::STEPS.len()
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hint(), "run the newer dormouse that wrote it");
}

#[test]
fn damage_is_reported_with_the_file_and_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let path = dir.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let kept = bytes.len().min(4096);
    bytes[kept..].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let error = Catalog::open(dir.path(), KEEP, broadcast::Sender::new(16))
        .err()
        .unwrap();
    let told = error.to_string();
    assert!(
        told.starts_with(&format!("the catalog {}: it is damaged (", path.display())),
        "{told}"
    );
    assert!(error.hint().contains("backup"));
}
