use std::os::unix::fs::PermissionsExt as _;

use dormouse_types::Bytes;

use super::*;
use crate::Layout;

struct World {
    dir: tempfile::TempDir,
    master: PathBuf,
    installation: Installation,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/instances")).unwrap();
        let world = Self {
            master: dir.path().join("master"),
            installation: Installation::for_tests(&[], Bytes::mib(1024)),
            dir,
        };
        world.write_master(1);
        world
    }

    fn write_master(&self, byte: u8) {
        fs::write(&self.master, format!("{byte:02x}").repeat(32)).unwrap();
        fs::set_permissions(&self.master, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn config(&self) -> KeeperConfig {
        let data_dir = self.dir.path().join("data");
        KeeperConfig {
            instances: data_dir.join("instances"),
            data_dir,
            master: Some(MasterSource::File(self.master.clone())),
            new_databases: true,
            ..KeeperConfig::default()
        }
    }

    fn open(&self) -> Result<Arc<Keeper>, KeyError> {
        Keeper::open(self.config(), &self.installation)
    }

    fn layout(&self, id: u32) -> Layout {
        Layout::new(self.config().instances.join(id.to_string())).unwrap()
    }

    /// The redo log's header, as a server with a key of this version writes it.
    fn write_redo(&self, id: u32, version: u32) {
        let data = self.layout(id).data();
        fs::create_dir_all(&data).unwrap();
        let mut log = vec![0; 512];
        log[51] = 1;
        log[52..56].copy_from_slice(&version.to_be_bytes());
        fs::write(data.join("ib_logfile0"), log).unwrap();
    }
}

fn start(keeper: &Keeper, layout: &Layout) -> Result<Option<ServerKeys>, KeyError> {
    let name = layout.root().file_name().unwrap().to_str().unwrap();
    let installation = Installation::for_tests(&[], Bytes::mib(1024));
    keeper.for_start(InstanceId(name.parse().unwrap()), &installation)
}

/// Version and bytes of the data keys that a server gets.
fn data_keys(keeper: &Keeper, layout: &Layout) -> Result<Vec<(u32, Vec<u8>)>, KeyError> {
    let keys = start(keeper, layout)?.unwrap();
    let number = |bytes: &[u8]| u32::from_ne_bytes(bytes.try_into().unwrap());
    let of = |record: &[u8]| (number(&record[4..8]), record[8..].to_vec());
    let all = keys.records.chunks(40);
    assert!(all.clone().all(|record| number(&record[..4]) == 1));
    Ok(all.map(of).collect())
}

#[test]
fn an_instance_keeps_its_key_and_no_file_has_it_in_the_clear() {
    let world = World::new();
    let keeper = world.open().unwrap();
    let (one, two) = (world.layout(1), world.layout(2));
    keeper.provision(InstanceId(1)).unwrap();
    keeper.provision(InstanceId(2)).unwrap();
    let key = data_keys(&keeper, &one).unwrap();
    keeper.provision(InstanceId(1)).unwrap();
    assert_eq!(data_keys(&world.open().unwrap(), &one).unwrap(), key);
    assert_ne!(data_keys(&keeper, &two).unwrap(), key);
    let text = fs::read(one.keys()).unwrap();
    let hex = super::super::cipher::to_hex(&key[0].1);
    assert!(!String::from_utf8_lossy(&text).contains(&hex));
    assert!(!text.windows(32).any(|w| w == key[0].1));
    let mode = fs::metadata(one.keys()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_missing_or_wrong_master_key_is_named() {
    let world = World::new();
    let layout = world.layout(1);
    let keeper = world.open().unwrap();
    keeper.provision(InstanceId(1)).unwrap();
    assert!(keeper.trouble().is_none());
    let right = keeper.master().unwrap().to_string();
    let off = Keeper::off(&world.config().instances);
    let error = start(&off, &layout).unwrap_err().to_string();
    assert!(
        error.contains(&right) && error.contains("no master key is configured"),
        "{error}"
    );
    world.write_master(2);
    let other = world.open().unwrap();
    assert!(other.trouble().is_none());
    let error = start(&other, &layout).unwrap_err().to_string();
    let configured = other.master().unwrap().to_string();
    assert!(
        error.contains(&right) && error.contains(&configured),
        "{error}"
    );
}

#[test]
fn a_master_key_that_cannot_be_read_is_read_later_and_nothing_stays_plain_meanwhile() {
    let world = World::new();
    world.open().unwrap().provision(InstanceId(1)).unwrap();
    fs::remove_file(&world.master).unwrap();
    let keeper = world.open().unwrap();
    assert!(keeper.trouble().is_some());
    assert!(start(&keeper, &world.layout(1)).is_err());
    assert!(keeper.encrypts_new() && keeper.provision(InstanceId(2)).is_err());
    // one that is not encrypted starts
    assert!(start(&keeper, &world.layout(3)).unwrap().is_none());
    world.write_master(1);
    assert!(start(&keeper, &world.layout(1)).unwrap().is_some());
    keeper.provision(InstanceId(2)).unwrap();
    assert!(keeper.trouble().is_none());
}

#[test]
fn a_key_of_another_instance_or_version_is_refused() {
    let world = World::new();
    let keeper = world.open().unwrap();
    for id in [1, 2] {
        keeper.provision(InstanceId(id)).unwrap();
    }
    let read = |id| -> serde_json::Value {
        serde_json::from_slice(&fs::read(world.layout(id).keys()).unwrap()).unwrap()
    };
    let (good, other) = (read(1), read(2));
    for forged in [
        {
            let mut forged = good.clone();
            forged["keys"][0]["wrapped"] = other["keys"][0]["wrapped"].clone();
            forged
        },
        {
            let mut forged = good.clone();
            forged["keys"][0]["version"] = 9.into();
            forged
        },
    ] {
        fs::write(world.layout(1).keys(), forged.to_string()).unwrap();
        let error = start(&keeper, &world.layout(1)).unwrap_err();
        assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
    }
    for text in ["", "{}", "[", "\u{0}"] {
        fs::write(world.layout(1).keys(), text).unwrap();
        assert!(start(&keeper, &world.layout(1)).is_err(), "{text}");
    }
}

#[test]
fn a_rotated_key_replaces_the_old_one_only_when_everything_has_it() {
    let world = World::new();
    let keeper = world.open().unwrap();
    let (id, layout) = (InstanceId(1), world.layout(1));
    keeper.provision(id).unwrap();
    let old = data_keys(&keeper, &layout).unwrap();
    assert!(matches!(keeper.rotate(id), Err(KeyError::Refused(_))));
    world.write_redo(1, 1);
    keeper.settle(id, 1, false).unwrap();

    keeper.rotate(id).unwrap();
    let both = data_keys(&keeper, &layout).unwrap();
    assert_eq!(both[0], old[0]);
    assert_eq!(both.iter().map(|k| k.0).collect::<Vec<_>>(), [1, 3]);
    assert!(keeper.rotate(id).is_err());
    // the redo log still has the old key
    assert!(keeper.settle(id, 3, false).is_err());
    assert_eq!(data_keys(&keeper, &layout).unwrap(), both);
    // a server that has not got the new key yet has finished with the old one
    keeper.settle(id, 1, false).unwrap();
    assert_eq!(data_keys(&keeper, &layout).unwrap(), both);
    world.write_redo(1, 3);
    keeper.settle(id, 3, true).unwrap();
    assert_eq!(data_keys(&keeper, &layout).unwrap(), both);
    keeper.settle(id, 3, false).unwrap();
    assert_eq!(data_keys(&keeper, &layout).unwrap(), both[1..]);
    assert!(keeper.status(id).unwrap().unwrap().is_settled);
}

#[test]
fn rotating_the_master_key_keeps_the_data_keys_and_makes_the_old_master_useless() {
    let world = World::new();
    let keeper = world.open().unwrap();
    let all: Vec<_> = (1..20).collect();
    for id in &all {
        keeper.provision(InstanceId(*id)).unwrap();
    }
    let keys = |keeper: &Keeper| -> Result<Vec<_>, _> {
        all.iter()
            .map(|id| data_keys(keeper, &world.layout(*id)))
            .collect()
    };
    let before = keys(&keeper).unwrap();
    let same = keeper.rotate_master().unwrap_err().to_string();
    assert!(same.contains("put the new key there first"), "{same}");
    world.write_master(2);
    keeper.rotate_master().unwrap();
    assert_eq!(keys(&keeper).unwrap(), before);
    assert_eq!(keys(&world.open().unwrap()).unwrap(), before);
    world.write_master(1);
    assert!(keys(&world.open().unwrap()).is_err());
    // an instance that is made after it
    keeper.provision(InstanceId(99)).unwrap();
    world.write_master(2);
    assert!(data_keys(&world.open().unwrap(), &world.layout(99)).is_ok());
}

#[test]
fn a_master_key_rotation_interrupted_at_any_step_is_ended_by_either_key() {
    let (old, new) = (key(1), key(2));
    for configured in [1, 2] {
        // 0: only the transition file is written; n: and n rings; 4: all are, and the file is still there
        for done in 0..=4 {
            let world = World::new();
            let keeper = world.open().unwrap();
            let all: Vec<_> = (1..=4).map(|id| world.layout(id)).collect();
            for id in 1..=4 {
                keeper.provision(InstanceId(id)).unwrap();
            }
            let before: Vec<_> = all.iter().map(|l| data_keys(&keeper, l).unwrap()).collect();
            rotation::begin(&world.config(), &old, &new).unwrap();
            for layout in all.iter().take(done) {
                let mut ring = KeyRing::read(&layout.keys()).unwrap().unwrap();
                ring.wrap_anew(&old, &new).unwrap();
                ring.write(&layout.keys()).unwrap();
            }
            if let Some(layout) = all.get(done) {
                fs::write(layout.keys().with_extension("keys.unfinished"), "{").unwrap();
            }
            world.write_master(3);
            let error = world.open().unwrap().trouble().unwrap().to_string();
            assert!(error.contains("configure one of those two"), "{error}");
            world.write_master(configured);
            for _ in 0..2 {
                let keeper = world.open().unwrap();
                let now: Vec<_> = all.iter().map(|l| data_keys(&keeper, l).unwrap()).collect();
                assert_eq!(now, before, "configured {configured}, {done} done");
            }
        }
    }
}

#[test]
fn the_previous_master_key_is_replaced_at_the_start() {
    let world = World::new();
    world.open().unwrap().provision(InstanceId(1)).unwrap();
    let before = data_keys(&world.open().unwrap(), &world.layout(1)).unwrap();
    let previous = world.dir.path().join("previous");
    fs::rename(&world.master, &previous).unwrap();
    world.write_master(2);
    let config = KeeperConfig {
        previous: Some(MasterSource::File(previous)),
        ..world.config()
    };
    assert!(
        Keeper::open(config, &world.installation)
            .unwrap()
            .trouble()
            .is_none()
    );
    let now = data_keys(&world.open().unwrap(), &world.layout(1)).unwrap();
    assert_eq!(now, before);
}

fn key(byte: u8) -> Key {
    Key::from_text(&format!("{byte:02x}").repeat(32)).unwrap()
}
