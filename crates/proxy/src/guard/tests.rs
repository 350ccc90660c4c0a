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

#[test]
fn an_old_password_in_one_program_locks_out_nobody_else_at_its_address() {
    let guard = Guard::new(&Limits {
        failed_logins_per_minute: 20,
        ..Limits::default()
    });
    let shop = DatabaseBuckets::default();
    let start = Instant::now();
    let login = |database, user| LoginOf {
        client: client(1),
        database,
        user,
    };
    let (cron, other) = (login("shop", "cron"), login("blog", "admin"));
    guard.entered(&other, start);
    // once in a second, for an hour
    let mut tried = 0;
    for second in 0..3600 {
        let now = start + Duration::from_secs(second);
        if guard.must_wait(&cron, now).is_none() {
            tried += 1;
            guard.failed(client(1), Some(&shop), now);
            guard.failed_at_account(&cron, now);
        }
        assert_eq!(guard.blocked(client(1), now), None, "second {second}");
    }
    assert!((60..80).contains(&tried), "{tried}");
    let later = start + Duration::from_secs(3600);
    assert!(guard.must_wait(&cron, later).is_some());
    assert_eq!(guard.must_wait(&other, later), None);
    // the right password ends it
    guard.entered(&cron, later);
    assert_eq!(guard.must_wait(&cron, later), None);
}

#[test]
fn who_has_logged_in_before_is_let_in_from_a_blocked_address() {
    let (guard, start) = (guard(), Instant::now());
    let login = |user| LoginOf {
        client: client(1),
        database: "shop",
        user,
    };
    assert!(!guard.somebody_has_entered(client(1)));
    guard.entered(&login("admin"), start);
    for _ in 0..3 {
        guard.failed(client(1), None, start);
    }
    assert!(guard.blocked(client(1), start).is_some());
    assert!(guard.somebody_has_entered(client(1)) && guard.has_entered(&login("admin")));
    assert!(!guard.has_entered(&login("bob")));
    assert!(!guard.somebody_has_entered(client(2)));
    // but not to guess at that account
    for _ in 0..FREE {
        assert_eq!(guard.must_wait(&login("admin"), start), None);
        guard.failed_at_account(&login("admin"), start);
    }
    let (failures, wait) = guard.must_wait(&login("admin"), start).unwrap();
    assert_eq!((failures, wait), (FREE, Duration::from_secs(1)));
}
