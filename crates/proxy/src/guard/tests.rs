use super::*;

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const MINUTE: Duration = Duration::from_secs(60);

fn guard() -> Arc<Guard> {
    Guard::new(&Limits {
        connections: 2,
        connections_per_address: 1,
        failed_logins_per_minute: 3,
        failed_logins_per_minute_per_database: 4,
        wakes_per_minute: 2,
        wakes_per_minute_per_address: 3,
        ..Limits::default()
    })
}

fn client(last: u8) -> Client {
    Client::at(IpAddr::from([10, 0, 0, last]))
}

#[test]
fn connections_are_counted_while_they_last() {
    let guard = guard();
    let seat = guard.seat_of(HOME).ok().unwrap();
    assert_eq!(
        guard.seat_of(HOME).err().map(|reached| reached.limit),
        Some("connections_per_address")
    );
    assert!(guard.seat_of(IpAddr::from([10, 0, 0, 1])).is_ok());
    drop(seat);
    assert!(guard.seat_of(HOME).is_ok());
    let all = [guard.seat().ok().unwrap(), guard.seat().ok().unwrap()];
    assert_eq!(guard.seat().err(), Some(full("connections", 2)));
    drop(all);
    assert!(guard.seat().is_ok());
    assert!(guard.seats().by_address.is_empty());
}

#[test]
fn a_client_that_fails_is_blocked_and_no_other() {
    let (guard, start) = (guard(), Instant::now());
    for _ in 0..3 {
        assert_eq!(guard.blocked(client(1), start), None);
        guard.failed(client(1), None, start);
    }
    let reached = guard.blocked(client(1), start).unwrap();
    assert_eq!(
        (reached.limit, reached.value),
        ("failed_logins_per_minute", 3)
    );
    assert_eq!(reached.wait, MINUTE / 3);
    assert_eq!(guard.blocked(client(2), start), None);
    assert_eq!(guard.blocked(client(1), start + MINUTE / 3), None);
}

#[test]
fn a_database_under_attack_refuses_those_that_failed_and_lets_in_others() {
    let (guard, shop, other) = (
        guard(),
        DatabaseBuckets::default(),
        DatabaseBuckets::default(),
    );
    let start = Instant::now();
    for n in 1..=4 {
        assert_eq!(guard.blocked_at(client(n), &shop, start), None);
        guard.failed(client(n), Some(&shop), start);
    }
    for n in 1..=4 {
        let reached = guard.blocked_at(client(n), &shop, start).unwrap();
        assert_eq!(reached.limit, "failed_logins_per_minute_per_database");
        // each still has attempts of its own elsewhere
        assert_eq!(guard.blocked(client(n), start), None);
        assert_eq!(guard.blocked_at(client(n), &other, start), None);
    }
    assert_eq!(guard.blocked_at(client(9), &shop, start), None);
    // an attack that goes on: after a minute, those of the first round have one attempt
    let later = start + MINUTE;
    for n in 11..=14 {
        guard.failed(client(n), Some(&shop), later);
    }
    assert_eq!(guard.blocked_at(client(1), &shop, later), None);
    guard.failed(client(1), Some(&shop), later);
    assert!(guard.blocked_at(client(1), &shop, later).is_some());
}

#[test]
fn wakes_are_limited_by_database_and_by_address() {
    let guard = guard();
    let (a, b) = (DatabaseBuckets::default(), DatabaseBuckets::default());
    let now = Instant::now();
    let wake = |database, who| {
        guard
            .wake(who, database, now)
            .map_err(|reached| reached.limit)
    };
    let me = Some(client(1));
    assert_eq!([wake(&a, me), wake(&a, me)], [Ok(()), Ok(())]);
    assert_eq!(wake(&a, me), Err("wakes_per_minute"));
    assert_eq!(wake(&a, None), Err("wakes_per_minute"));
    assert_eq!(wake(&b, me), Ok(()));
    assert_eq!(wake(&b, me), Err("wakes_per_minute_per_address"));
    // the refused wake took no token of the database
    assert_eq!(wake(&b, None), Ok(()));
    assert_eq!(wake(&b, None), Err("wakes_per_minute"));
}
