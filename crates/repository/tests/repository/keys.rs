//! Keys.

use dormouse_repository::{Error, Key, Options, Repository};

use crate::{Scene, key};

#[test]
fn a_second_key_opens_and_the_first_can_then_go() {
    let scene = Scene::new();
    let first = scene.repository.keys().unwrap().remove(0);
    assert!(first.in_use && first.created.is_some());
    assert!(matches!(
        scene.repository.remove_key(&first.id),
        Err(Error::KeyInUse { .. })
    ));
    let new = Key::new("battery staple\n".to_owned());
    let id = scene.repository.add_key(&new, "in the safe").unwrap();
    let location = scene.place().to_str().unwrap().parse().unwrap();
    let reopened = Repository::open(
        &location,
        &Key::new("battery staple".to_owned()),
        &Options::default(),
    )
    .unwrap();
    let keys = reopened.keys().unwrap();
    let used: Vec<_> = keys.iter().filter(|key| key.in_use).collect();
    assert_eq!(
        (used.len(), &used[0].id, used[0].note.as_deref()),
        (1, &id, Some("in the safe"))
    );
    reopened.remove_key(&first.id).unwrap();
    assert!(matches!(
        reopened.remove_key(&first.id),
        Err(Error::NoKey { .. })
    ));
    assert!(matches!(
        Repository::open(&location, &key(), &Options::default()),
        Err(Error::WrongKey { .. })
    ));
    assert_eq!(reopened.id(), scene.repository.id());
}

#[test]
fn a_key_is_never_shown() {
    let scene = Scene::new();
    let shown = format!("{:?} {:?}", key(), scene.repository);
    assert!(!shown.contains("horse"), "{shown}");
}
