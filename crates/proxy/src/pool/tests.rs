use std::os::unix::net::UnixStream;

use std::sync::atomic::Ordering;

use dormouse_link::Link;
use dormouse_types::{CertificateNames, Endpoint, InstanceId, Target};
use dormouse_wire::caps::Capabilities;

use super::*;
use crate::handle::{LeaseState, Who};
use crate::security::{Security, Shown};
use crate::stream::Peer;

fn pool(most: u32) -> Arc<Pool> {
    Pool::new(PoolLimits {
        backends_max: most,
        backends_min: 0,
        ..PoolLimits::default()
    })
}

fn target(generation: u64) -> Arc<Target> {
    Arc::new(Target {
        origin: InstanceId(1),
        instance: InstanceId(1),
        generation,
        endpoint: Endpoint::unix(""),
        pooling: Pooling::Statement,
        carry: dormouse_types::Carry::default(),
    })
}

/// What a user needs of the server of this generation.
pub(crate) fn need(user: &str, generation: u64) -> Need {
    Need {
        identity: Arc::new(Identity {
            user: user.to_owned(),
            account_user: user.to_owned(),
            account_host: "%".to_owned(),
            account_version: 0,
            manager: dormouse_types::Manager::None,
            security: Security::Any,
            peer: Peer::Unix,
            capabilities: Capabilities::OWN_CLIENT,
            collation: 45,
            max_packet: 1 << 24,
            attributes: Vec::new(),
        }),
        target: target(generation),
        schema: false,
        session: None,
    }
}

fn backend(need: &Need, place: Place) -> Box<Backend> {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    Backend::on(
        Link::over_unix(ours).unwrap(),
        &need.target,
        &need.identity,
        place,
    )
}

fn place(offer: Offer) -> Place {
    match offer {
        Offer::Now(Grant::Open(place)) => place,
        _ => panic!("not a place"),
    }
}

fn waits(offer: Offer) -> oneshot::Receiver<Grant> {
    match offer {
        Offer::Wait(receiver) => receiver,
        Offer::Now(_) => panic!("not to wait"),
    }
}

fn has(grant: Grant) -> Box<Backend> {
    match grant {
        Grant::Backend(backend) => backend,
        Grant::Open(_) => panic!("not a backend"),
    }
}

fn census(pool: &Pool) -> (u32, u32, u32) {
    let status = pool.status();
    (status.backends, status.idle, status.waiting)
}

#[tokio::test]
async fn waiters_are_served_in_order() {
    let (pool, need) = (pool(1), need("app", 1));
    let first = backend(&need, place(pool.ask(&need, true)));
    let mut second = waits(pool.ask(&need, true));
    let mut third = waits(pool.ask(&need, true));
    assert!(pool.is_wanted());
    pool.give_back(first);
    assert!(third.try_recv().is_err());
    let again = has(second.try_recv().unwrap());
    pool.give_back(again);
    pool.give_back(has(third.try_recv().unwrap()));
    assert!(!pool.is_wanted());
    assert_eq!(census(&pool), (1, 1, 0));
}

#[tokio::test]
async fn a_place_is_passed_on_wherever_its_backend_is_dropped() {
    let (pool, need) = (pool(1), need("app", 1));
    let first = backend(&need, place(pool.ask(&need, true)));
    let gone = waits(pool.ask(&need, true));
    let mut there = waits(pool.ask(&need, true));
    drop(gone);
    drop(first);
    let Ok(Grant::Open(place)) = there.try_recv() else {
        panic!("no place");
    };
    drop(place);
    assert_eq!(census(&pool), (0, 0, 0));
}

#[tokio::test]
async fn a_grant_that_is_not_taken_goes_to_the_next_waiter() {
    let (pool, need) = (pool(1), need("app", 1));
    let first = backend(&need, place(pool.ask(&need, true)));
    let taken_and_dropped = waits(pool.ask(&need, true));
    let mut next = waits(pool.ask(&need, true));
    pool.give_back(first);
    // the backend lies in the receiver
    drop(taken_and_dropped);
    assert!(matches!(next.try_recv(), Ok(Grant::Open(_))));
}

#[tokio::test]
async fn another_users_idle_backend_makes_room() {
    let pool = pool(1);
    let (app, other) = (need("app", 1), need("other", 1));
    let first = backend(&app, place(pool.ask(&app, true)));
    pool.give_back(first);
    let place = place(pool.ask(&other, true));
    assert_eq!(census(&pool), (1, 0, 0));
    drop(place);
}

#[tokio::test]
async fn a_backend_that_has_shown_a_certificate_is_only_for_sessions_with_the_same() {
    let with = |subject: Option<&[u8]>| {
        let mut need = need("app", 1);
        let names = subject.map(|subject| CertificateNames {
            issuer: [].into(),
            subject: subject.into(),
        });
        Arc::make_mut(&mut need.identity).security = match names {
            Some(_) => Security::Shown(Box::new(Shown {
                names,
                cipher: None,
            })),
            None => Security::Tls,
        };
        need
    };
    let pool = pool(4);
    let bo = with(Some(b"bo"));
    let first = backend(&bo, place(pool.ask(&bo, true)));
    pool.give_back(first);
    let places =
        [with(Some(b"eve")), with(None), need("app", 1)].map(|other| place(pool.ask(&other, true)));
    let again = with(Some(b"bo"));
    assert!(matches!(
        pool.ask(&again, true),
        Offer::Now(Grant::Backend(_))
    ));
    drop(places);
}

#[tokio::test]
async fn a_backend_in_a_schema_is_not_for_sessions_without_one() {
    let (pool, none) = (pool(2), need("app", 1));
    let mut some = none.clone();
    some.schema = true;
    let mut first = backend(&none, place(pool.ask(&none, true)));
    first.residue.schema = Some(b"shop".as_slice().into());
    pool.give_back(first);
    let fresh = place(pool.ask(&none, true));
    assert!(matches!(
        pool.ask(&some, true),
        Offer::Now(Grant::Backend(_))
    ));
    drop(fresh);
}

#[tokio::test]
async fn backends_of_a_dead_server_are_closed() {
    let (pool, before, after) = (pool(3), need("app", 1), need("app", 2));
    let [one, two] = [(); 2].map(|()| backend(&before, place(pool.ask(&before, true))));
    pool.give_back(one);
    pool.give_back(two);
    let place = place(pool.ask(&after, true));
    assert_eq!(census(&pool), (1, 0, 0));
    drop(place);
}

#[tokio::test]
async fn the_session_that_was_idle_for_longest_is_asked_and_then_the_next() {
    let (pool, need) = (pool(2), need("app", 1));
    let sessions = [7, 8].map(|id| {
        let who = Who {
            user: "app".to_owned(),
            account_host: "%".to_owned(),
        };
        SessionHandle::new(id, who, Peer::Unix)
    });
    let backends = sessions.each_ref().map(|session| {
        let backend = backend(&need, place(pool.ask(&need, true)));
        backend.place.hold(session);
        session.set_lease(LeaseState::Idle);
        backend
    });
    sessions[0].heard.store(5, Ordering::Relaxed);
    sessions[1].heard.store(4, Ordering::Relaxed);
    let _receiver = waits(pool.ask(&need, true));
    assert_eq!(sessions[1].lease(), LeaseState::Asked);
    assert_eq!(sessions[0].lease(), LeaseState::Idle);
    sessions[1].set_lease(LeaseState::Pinned);
    pool.kept();
    assert_eq!(sessions[0].lease(), LeaseState::Asked);
    drop(backends);
}

#[tokio::test]
async fn idle_backends_are_closed_down_to_the_minimum() {
    let limits = PoolLimits {
        backends_min: 1,
        ..PoolLimits::default()
    };
    let (pool, need) = (Pool::new(limits.clone()), need("app", 1));
    let [one, two] = [(); 2].map(|()| backend(&need, place(pool.ask(&need, true))));
    pool.give_back(one);
    pool.give_back(two);
    pool.trim(Instant::now());
    assert_eq!(census(&pool), (2, 2, 0));
    pool.trim(Instant::now() + limits.backend_idle);
    assert_eq!(census(&pool), (1, 1, 0));
}
