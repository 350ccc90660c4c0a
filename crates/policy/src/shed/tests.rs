use proptest::prelude::*;

use super::*;

fn disk_of(used: u64, size: u64) -> Disk {
    Disk {
        used: Bytes(used),
        size: Bytes(size),
    }
}

fn disk(used: u64) -> Disk {
    disk_of(used, 100)
}

fn asleep(root: usize, size: u64, active_ms: u64, since: i64) -> Movable {
    Movable {
        root,
        shuns: Vec::new(),
        size: Bytes(size),
        awake: false,
        active_ms,
        since,
    }
}

const DIRS: [&str; 4] = ["/disk1", "/disk2", "/disk3", "/disk4"];

/// Roots that did not shed before.
fn seen(roots: &[Option<Disk>]) -> Vec<Seen<'static>> {
    let one = |(dir, disk): (&'static str, &Option<Disk>)| Seen {
        dir,
        disk: *disk,
        sheds: disk.is_some_and(|disk| disk.sheds(false)),
    };
    DIRS.into_iter().zip(roots).map(one).collect()
}

/// The database that moves, and where to.
fn moved(roots: &[Option<Disk>], databases: &[Movable]) -> Option<(usize, usize)> {
    next(&seen(roots), databases).map(|next| (next.database, next.to))
}

#[test]
fn a_root_sheds_above_the_limit_until_it_is_well_below() {
    for (used, before, sheds) in [
        (70, false, false),
        (71, false, true),
        (66, false, false),
        (66, true, true),
        (65, true, true),
        (64, true, false),
        (100, false, true),
    ] {
        assert_eq!(disk(used).sheds(before), sheds, "{used} {before}");
    }
    // one of no size is full as soon as something is there
    assert!(!disk_of(0, 0).sheds(false));
    assert!(disk_of(1, 0).sheds(false));
    assert!(disk_of(u64::MAX, u64::MAX).sheds(false));
}

#[test]
fn the_least_used_database_moves_first() {
    let roots = [Some(disk(90)), Some(disk(10))];
    let mut databases = vec![
        asleep(0, 1, 500, 30),
        asleep(0, 1, 100, 20),
        asleep(0, 1, 100, 10),
        asleep(1, 1, 0, 0),
    ];
    assert_eq!(moved(&roots, &databases), Some((2, 1)));
    databases[2].awake = true;
    assert_eq!(moved(&roots, &databases), Some((1, 1)));
    databases[1].awake = true;
    assert_eq!(moved(&roots, &databases), Some((0, 1)));
    databases[0].awake = true;
    assert_eq!(moved(&roots, &databases), Some((2, 1)));
}

#[test]
fn it_moves_to_the_emptiest_root_that_stays_below_the_limit() {
    let database = |size| [asleep(0, size, 0, 0)];
    for (roots, size, to) in [
        (
            vec![Some(disk(80)), Some(disk(40)), Some(disk(30))],
            5,
            Some(2),
        ),
        (
            vec![Some(disk(80)), Some(disk(30)), Some(disk(30))],
            5,
            Some(1),
        ),
        (vec![Some(disk(80)), None, Some(disk(60))], 5, Some(2)),
        // with it there would be 70 %
        (vec![Some(disk(80)), Some(disk(60))], 10, None),
        (vec![Some(disk(80)), Some(disk(60))], 9, Some(1)),
        (vec![Some(disk(80)), Some(disk(75))], 1, None),
        (vec![Some(disk(80)), None], 1, None),
        (vec![Some(disk(80))], 1, None),
        (vec![None, Some(disk(10))], 1, None),
        // none sheds
        (vec![Some(disk(70)), Some(disk(10))], 1, None),
    ] {
        let next = moved(&roots, &database(size)).map(|(_, to)| to);
        assert_eq!(next, to, "{roots:?} {size}");
    }
    // where another of its servers is, it does not move
    let mut with_replica = asleep(0, 1, 0, 0);
    with_replica.shuns = vec![1];
    assert_eq!(
        moved(&[Some(disk(80)), Some(disk(10))], &[with_replica]),
        None
    );
    // one that is too large is passed over
    let both = [asleep(0, 60, 0, 0), asleep(0, 5, 9, 9)];
    assert_eq!(
        moved(&[Some(disk(80)), Some(disk(20))], &both),
        Some((1, 1))
    );
}

#[test]
fn the_reason_names_the_directory_and_how_full_it_is() {
    let databases = [asleep(1, 1, 0, 0)];
    let roots = seen(&[Some(disk(10)), Some(disk(83))]);
    assert_eq!(
        next(&roots, &databases).unwrap().reason,
        "its data directory /disk2 is 83 % full"
    );
}

/// Roots whose disks follow what is in them.
#[derive(Debug, Clone)]
struct World {
    /// What is in each root that is no database, and the size of its disk.
    roots: Vec<(u64, u64)>,
    databases: Vec<Movable>,
    sheds: Vec<bool>,
}

impl World {
    fn disk(&self, index: usize) -> Disk {
        let (other, size) = self.roots[index];
        let here = self.databases.iter().filter(|one| one.root == index);
        disk_of(other + here.map(|one| one.size.0).sum::<u64>(), size)
    }

    fn seen(&mut self) -> Vec<Seen<'static>> {
        (0..self.roots.len())
            .map(|index| {
                let disk = self.disk(index);
                self.sheds[index] = disk.sheds(self.sheds[index]);
                Seen {
                    dir: DIRS[index],
                    disk: Some(disk),
                    sheds: self.sheds[index],
                }
            })
            .collect()
    }
}

fn worlds() -> impl Strategy<Value = World> {
    let root = (0..800u64, 1..1000u64);
    let database = (0..4usize, 0..200u64, any::<bool>(), 0..5u64, 0..5i64);
    (
        proptest::collection::vec(root, 1..=4),
        proptest::collection::vec(database, 0..20),
    )
        .prop_map(|(roots, databases)| World {
            sheds: vec![false; roots.len()],
            databases: databases
                .into_iter()
                .map(|(root, size, awake, active_ms, since)| Movable {
                    root: root % roots.len(),
                    shuns: Vec::new(),
                    size: Bytes(size),
                    awake,
                    active_ms,
                    since,
                })
                .collect(),
            roots,
        })
}

proptest! {
    #[test]
    fn moves_end_and_never_fill_a_root_and_the_least_used_goes_first(world in worlds()) {
        let mut world = world;
        let mut moves = 0;
        loop {
            let seen = world.seen();
            let Some(Move { database, to, .. }) = next(&seen, &world.databases) else {
                break;
            };
            moves += 1;
            prop_assert!(moves <= world.databases.len(), "each moves once at most");
            let from = world.databases[database].root;
            prop_assert!(seen[from].sheds && !seen[to].sheds && from != to);
            let key = |one: &Movable| (one.awake, one.active_ms, one.since);
            for other in &world.databases {
                if key(other) < key(&world.databases[database]) && seen[other.root].sheds {
                    prop_assert!(target(&seen, other).is_none(), "a less used one could move");
                }
            }
            world.databases[database].root = to;
            prop_assert!(!world.disk(to).sheds(false));
            prop_assert!(world.disk(to).percent() < u64::from(LIMIT));
        }
        let seen = world.seen();
        for one in world.databases.iter().filter(|one| seen[one.root].sheds) {
            prop_assert!(target(&seen, one).is_none(), "one could still move");
        }
    }
}
