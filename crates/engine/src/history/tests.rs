use std::fs;

use super::*;

const ID: InstanceId = InstanceId(7);

fn layout(dir: &tempfile::TempDir, id: u32) -> Layout {
    let layout = Layout::new(dir.path().join(id.to_string())).unwrap();
    fs::create_dir_all(layout.root()).unwrap();
    layout
}

/// A file as a server leaves it, in use or closed.
fn log_file(layout: &Layout, name: &str, in_use: bool) {
    let mut begin = b"\xfebin".to_vec();
    begin.resize(100, 0);
    begin[21] = u8::from(in_use);
    fs::write(layout.logs().join(name), begin).unwrap();
}

fn begun(layout: &Layout, wanted: bool, now: u64) -> Option<String> {
    let wanted = if wanted { Wanted::On } else { Wanted::Off };
    let history = prepare(layout, ID, None, wanted, now).unwrap();
    history.map(|history| history.base)
}

#[test]
fn a_timeline_goes_on_over_clean_stops_and_crashes() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 7);
    assert_eq!(begun(&layout, true, 100).as_deref(), Some("7-100"));
    assert_eq!(own(&layout).unwrap().as_deref(), Some("7-100"));
    // never started
    assert_eq!(begun(&layout, true, 101).as_deref(), Some("7-100"));
    log_file(&layout, "7-100.000001", true);
    assert_eq!(begun(&layout, true, 102).as_deref(), Some("7-100"));
    log_file(&layout, "7-100.000002", false);
    assert_eq!(begun(&layout, true, 103).as_deref(), Some("7-100"));
}

#[test]
fn turned_off_and_on_again_another_timeline_begins() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 7);
    assert_eq!(begun(&layout, false, 99), None);
    begun(&layout, true, 100);
    log_file(&layout, "7-100.000001", true);
    // the server was killed: it needs its log once more
    assert_eq!(begun(&layout, false, 101).as_deref(), Some("7-100"));
    log_file(&layout, "7-100.000002", false);
    assert_eq!(begun(&layout, false, 102), None);
    assert!(!layout.logs().exists() && own(&layout).unwrap().is_none());
    assert_eq!(begun(&layout, true, 103).as_deref(), Some("7-103"));
}

#[test]
fn a_copy_begins_a_timeline_of_its_own_as_soon_as_its_log_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let copy = layout(&dir, 8);
    fs::create_dir(copy.logs()).unwrap();
    fs::write(copy.logs().join("7-100.index"), "../binlog/7-100.000001").unwrap();
    log_file(&copy, "7-100.000001", true);
    let begun = |now| {
        let history = prepare(&copy, InstanceId(8), None, Wanted::On, now).unwrap();
        history.map(|history| history.base).unwrap_or_default()
    };
    assert_eq!(begun(200), "7-100");
    assert_eq!(own(&copy).unwrap(), None);
    log_file(&copy, "7-100.000002", false);
    assert_eq!(begun(201), "8-201");
    assert_eq!(own(&copy).unwrap().as_deref(), Some("8-201"));
}

#[test]
fn a_server_cannot_name_its_log_so_that_its_configuration_changes() {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(&dir, 7);
    fs::create_dir(layout.logs()).unwrap();
    fs::write(layout.logs().join("x\nplugin-load-add=y.index"), "").unwrap();
    assert_eq!(begun(&layout, true, 100).as_deref(), Some("7-100"));
}

#[test]
fn each_timeline_of_a_server_has_an_id_of_its_own() {
    let of = |base: &str| History::of(base.to_owned()).server;
    assert_eq!(of("7-1795982813"), of("7-1795982813"));
    assert_ne!(of("7-1795982813"), of("7-1795982814"));
    assert_ne!(of("7-1795982813"), of("8-1795982813"));
    // whatever a server has called its files
    for odd in ["", "7", "-", "0-0", "7-99999999999"] {
        assert_eq!(of(odd), 1, "{odd}");
    }
}
