use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use dormouse_policy::spend::Rung;
use dormouse_types::{Bytes, Carried, DatabaseName, Incarnation, InstanceId, State, Units};
use tokio::sync::broadcast;

use super::*;
use crate::LedgerKeep;
use crate::calendar::{DAY, MINUTE, Moment};
use crate::catalog::{Catalog, Change, Durability};
use crate::meter::{Meter, Seen, SharedMeter};

/// 2026-03-01, in days.
const MARCH: i64 = 20_513;

fn open(dir: &Path) -> Catalog {
    let keep = LedgerKeep {
        rows: 10,
        age: Duration::from_secs(10),
    };
    Catalog::open(dir, keep, broadcast::Sender::new(1))
        .unwrap()
        .0
}

/// A calendar time; the monotonic clock stands still.
fn moment(day: i64, minute: i64) -> Moment {
    static STILL: LazyLock<Instant> = LazyLock::new(Instant::now);
    Moment {
        wall: day * DAY + minute * MINUTE,
        at: *STILL,
    }
}

fn shared(meter: Meter) -> SharedMeter {
    Arc::new(Mutex::new(meter))
}

fn new(name: &str, instance: u32) -> SharedMeter {
    let name = name.parse().unwrap();
    shared(Meter::new(
        name,
        InstanceId(instance),
        Units(1),
        moment(MARCH, 0),
    ))
}

/// Passes the meter an observation with this CPU counter.
fn see(meter: &SharedMeter, at: Moment, cpu_ms: u64) {
    let seen = Seen {
        incarnation: Some(Incarnation(u128::MAX - 5)),
        cpu: Some(Duration::from_millis(cpu_ms)),
        state: State::Active,
        units: Units(1),
        memory: None,
        storage: Some(Bytes::mib(3)),
        carried: Carried::default(),
    };
    meter.lock().unwrap().see(at, seen);
}

async fn write(catalog: &Catalog, meters: &[&SharedMeter]) {
    let changes = meters.iter().map(|m| Change::Meter(Arc::clone(m)));
    catalog
        .write(Durability::Soon, changes.collect())
        .await
        .unwrap();
}

/// Usage as `NAME/INSTANCE at: CPU ms`.
async fn read(catalog: &Catalog, name: Option<&str>, detail: Detail) -> Vec<String> {
    let wanted = Wanted {
        database: name.map(|n| n.parse().unwrap()),
        days: MARCH..MARCH + 31,
        detail,
    };
    let (all, ()) = catalog.usage(wanted, || ()).await.unwrap();
    let line = |a: &Account| {
        let ended = if a.ended.is_some() { " ended" } else { "" };
        let cpu = a.metered.used.cpu_us / 1000;
        format!("{}/{} {}: {cpu}{ended}", a.database, a.instance.0, a.at)
    };
    all.iter().map(line).collect()
}

#[tokio::test]
async fn usage_adds_up_by_minute_day_and_month() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let (shop, bank) = (new("shop", 1), new("bank", 2));
    for (day, minute, cpu) in [(0, 0, 100), (0, 0, 150), (0, 1, 170), (2, 5, 200)] {
        see(&shop, moment(MARCH + day, minute), cpu);
        see(&bank, moment(MARCH + day, minute), cpu * 2);
        write(&catalog, &[&shop, &bank]).await;
    }
    let (day, minute) = (MARCH, MARCH * 1440);
    assert_eq!(
        read(&catalog, None, Detail::Sum).await,
        ["bank/2 0: 400", "shop/1 0: 200"]
    );
    assert_eq!(
        read(&catalog, Some("shop"), Detail::Days).await,
        [
            format!("shop/1 {day}: 170"),
            format!("shop/1 {}: 30", day + 2)
        ]
    );
    assert_eq!(
        read(&catalog, Some("shop"), Detail::Minutes).await,
        [
            format!("shop/1 {minute}: 150"),
            format!("shop/1 {}: 20", minute + 1),
            format!("shop/1 {}: 30", minute + 2885)
        ]
    );
}

#[tokio::test]
async fn the_next_run_finds_the_mark_and_the_usage_of_this_month() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let shop = new("shop", 1);
    see(&shop, moment(MARCH, 0), 100);
    let later = moment(MARCH + 1, 0);
    shop.lock().unwrap().set_rung(later, Rung::Warned(80));
    see(&shop, later, 160);
    let expected = {
        let mut meter = shop.lock().unwrap();
        let taken = meter.take().unwrap();
        let mark = taken.mark;
        meter.put_back(taken);
        mark
    };
    write(&catalog, &[&shop]).await;
    drop(catalog);
    let catalog = open(dir.path());
    for (since, cpu_ms) in [(MARCH, 160), (MARCH + 1, 60), (MARCH + 2, 0)] {
        let meters = catalog.meters(since).unwrap();
        let (mark, used) = meters[&InstanceId(1)];
        assert_eq!(mark, expected);
        assert_eq!(used.used.cpu_us, cpu_ms * 1000);
    }
}

#[tokio::test]
async fn a_failed_write_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let shop = new("shop", 1);
    see(&shop, moment(MARCH, 0), 100);
    let twice = DatabaseName::try_from("x".to_owned()).unwrap();
    let broken = Change::Claim(Box::new(crate::catalog::DatabaseRow {
        name: twice,
        instance: InstanceId(99),
        origin: InstanceId(99),
        spec: Arc::default(),
        state: State::Creating,
        since: jiff::Timestamp::UNIX_EPOCH,
        generation: 1,
        rights: 1,
        units: Units(1),
        reason: String::new(),
        noted: crate::catalog::Noted::default(),
        storage: None,
        full: false,
        branch: None,
    }));
    let changes = vec![Change::Meter(Arc::clone(&shop)), broken];
    catalog.write(Durability::Soon, changes).await.unwrap_err();
    assert_eq!(read(&catalog, None, Detail::Sum).await, [""; 0]);
    write(&catalog, &[&shop]).await;
    write(&catalog, &[&shop]).await;
    assert_eq!(read(&catalog, None, Detail::Sum).await, ["shop/1 0: 100"]);
}

#[tokio::test]
async fn usage_of_a_dropped_database_stays_separate_from_its_successor() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let (old, new) = (new("shop", 1), new("shop", 2));
    see(&old, moment(MARCH, 0), 100);
    old.lock().unwrap().end(moment(MARCH, 0));
    see(&new, moment(MARCH, 1), 7);
    write(&catalog, &[&old, &new]).await;
    assert_eq!(
        read(&catalog, Some("shop"), Detail::Sum).await,
        ["shop/1 0: 100 ended", "shop/2 0: 7"]
    );
    assert_eq!(
        catalog.meters(0).unwrap().into_keys().collect::<Vec<_>>(),
        [InstanceId(2)]
    );
}

#[tokio::test]
async fn pruning_removes_minutes_before_days_and_dropped_databases_last() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = open(dir.path());
    let (old, new) = (new("old", 1), new("new", 2));
    for meter in [&old, &new] {
        see(meter, moment(MARCH, 0), 100);
        see(meter, moment(MARCH + 1, 0), 130);
    }
    old.lock().unwrap().end(moment(MARCH + 1, 0));
    write(&catalog, &[&old, &new]).await;
    catalog.prune_usage((MARCH + 1) * 1440, 0).await.unwrap();
    assert_eq!(read(&catalog, None, Detail::Minutes).await.len(), 2);
    assert_eq!(read(&catalog, None, Detail::Days).await.len(), 4);
    catalog.prune_usage(i64::MAX, MARCH + 1).await.unwrap();
    assert_eq!(read(&catalog, None, Detail::Minutes).await.len(), 0);
    assert_eq!(
        read(&catalog, None, Detail::Sum).await,
        ["new/2 0: 30", "old/1 0: 30 ended"]
    );
    catalog.prune_usage(i64::MAX, MARCH + 2).await.unwrap();
    assert_eq!(read(&catalog, None, Detail::Sum).await, ["new/2 0: 0"]);
    let count = "SELECT count(*) FROM meters";
    let raw = Connection::open(dir.path().join(crate::catalog::FILE)).unwrap();
    let left: i64 = raw.query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 1);
}
