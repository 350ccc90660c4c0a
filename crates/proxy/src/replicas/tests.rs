use dormouse_types::{Endpoint, InstanceId};

use super::*;

fn replica(instance: u32, generation: u64) -> Replica {
    Replica {
        instance: InstanceId(instance),
        origin: InstanceId(1),
        generation,
        endpoint: Endpoint::unix(""),
    }
}

fn two(reads: Reads) -> Replicas {
    let replicas = Replicas::default();
    let both = vec![replica(2, 1), replica(3, 1)];
    replicas.change(both, reads, &PoolLimits::default());
    replicas
}

fn run(instance: u32) -> ServerRun {
    ServerRun {
        instance: InstanceId(instance),
        generation: 1,
    }
}

/// The instance that is chosen; 1 is the primary.
fn chosen(place: Place) -> (u32, Option<Visit>) {
    match place {
        Place::Primary => (1, None),
        Place::Replica(visit) => (visit.0.target.instance.0, Some(visit)),
    }
}

#[test]
fn the_server_with_the_least_to_do_is_chosen() {
    let replicas = two(Reads::Any);
    let mut visits = Vec::new();
    let mut counts = [0; 4];
    for running in 0..30 {
        let (instance, visit) = chosen(replicas.choose(Reads::Any, running, Newest::Nothing));
        counts[instance as usize] += 1;
        visits.extend(visit);
    }
    assert_eq!(counts[1..], [10, 10, 10]);
    drop(visits);
    let mut counts = [0; 4];
    let mut visits = Vec::new();
    for running in 0..20 {
        let (instance, visit) = chosen(replicas.choose(Reads::Replica, running, Newest::Nothing));
        counts[instance as usize] += 1;
        visits.extend(visit);
    }
    assert_eq!(counts[1..], [0, 10, 10], "never the primary");
}

#[test]
fn one_that_may_not_be_read_any_more_is_used_until_its_last_statement_has_ended() {
    let replicas = two(Reads::Replica);
    let (instance, visit) = chosen(replicas.choose(Reads::Replica, 0, Newest::Nothing));
    let id = InstanceId(instance);
    // one that may be read is not leaving
    assert!(!replicas.reads_on(id));
    replicas.change(Vec::new(), Reads::Replica, &PoolLimits::default());
    assert!(replicas.reads_on(id));
    assert!(
        !replicas.reads_on(InstanceId(5 - instance)),
        "it ran nothing"
    );
    drop(visit);
    assert!(!replicas.reads_on(id));
}

#[test]
fn a_session_stays_where_it_is_unless_others_have_much_less_to_do() {
    let replicas = two(Reads::Replica);
    let stays = |n: usize| {
        let server = replicas.find(run(2)).unwrap();
        let _busy: Vec<_> = (0..n).map(|_| server.visit()).collect();
        let newest = Newest::Replica(run(2));
        let running = n as u32;
        chosen(replicas.choose(Reads::Any, running, newest)).0
    };
    assert_eq!([0, 1].map(stays), [2, 2]);
    assert_ne!(stays(4), 2);
    let on_primary = |running| chosen(replicas.choose(Reads::Any, running, Newest::Primary)).0;
    assert_eq!([0, 1].map(on_primary), [1, 1]);
    assert_ne!(on_primary(5), 1);
}

#[test]
fn a_replica_that_is_avoided_or_gone_gets_nothing() {
    let replicas = two(Reads::Replica);
    let choose = || chosen(replicas.choose(Reads::Replica, 0, Newest::Replica(run(2)))).0;
    assert_eq!(choose(), 2);
    let server = replicas.find(run(2)).unwrap();
    server.avoid(Duration::from_secs(3600));
    assert_eq!(choose(), 3);
    let limits = PoolLimits::default();
    // another run of a server is another one
    replicas.change(vec![replica(2, 2)], Reads::Replica, &limits);
    assert!(replicas.find(run(2)).is_none() && replicas.find(run(3)).is_none());
    assert_eq!(choose(), 2);
    replicas.change(Vec::new(), Reads::Replica, &limits);
    assert_eq!(choose(), 1);
    assert!(!replicas.any());
}

#[test]
fn a_server_that_is_offered_again_keeps_what_is_known_of_it() {
    let replicas = two(Reads::Any);
    let server = replicas.find(run(3)).unwrap();
    let at = |text| Position::parse(text).unwrap();
    server.has_applied(&at("0-1-5"));
    server.got_rights(3);
    replicas.change(vec![replica(3, 1)], Reads::Primary, &PoolLimits::default());
    let again = replicas.find(run(3)).unwrap();
    assert!(Arc::ptr_eq(&server, &again));
    assert!(again.has(&at("0-1-5")) && !again.has(&at("0-1-6")));
    assert!(again.has_rights(3) && !again.has_rights(4));
    assert_eq!(replicas.reads(), Reads::Primary);
}
