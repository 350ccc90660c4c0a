//! How far a log must reach back, and who shares its reading.

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A reading of files that have no groups, with the seconds at which they were begun.
fn reading(files: &[(&str, u32)], whole_since: Option<Duration>) -> (tempfile::TempDir, Reading) {
    let dir = tempfile::tempdir().unwrap();
    let mut reading = Reading::new(dir.path(), whole_since);
    fs::create_dir_all(reading.dir()).unwrap();
    for (file, _) in files {
        fs::write(reading.dir().join(file), b"").unwrap();
    }
    let files = files.iter().map(|(file, began)| (name(file), *began));
    reading.will_read(files.collect(), Keys::none());
    (dir, reading)
}

#[test]
fn a_log_that_does_not_reach_back_to_a_commit_tells_nothing_about_it() {
    let traces = [
        Trace::Marked(Marker::new(1, 2)),
        Trace::Behind {
            connection: 1 << 30,
            position: Some("0-7-8".to_owned()),
        },
    ];
    let later = [("7-1000.000004", 2000), ("7-1000.000005", 2001)];
    let begun_anew = [("7-1000.000001", 2000), ("7-1000.000002", 2001)];
    let whole = [("7-1000.000001", 1001), ("7-1000.000002", 1001)];
    let table = [
        // the files, since when they have all, when the commit was sent, whether it is known that it is not in the log
        (&later[..], Some(0), 2002, true),
        (&later, Some(0), 2001, true),
        (&later, Some(0), 2000, false),
        (&later, Some(0), 1999, false),
        (&begun_anew, Some(0), 2000, false),
        (&begun_anew, Some(0), 1500, false),
        (&whole, Some(0), 1001, true),
        // of a copy
        (&whole, None, 1001, false),
        (&whole, None, 1002, true),
        (&whole, Some(1001), 1000, false),
        (&whole, Some(1001), 1001, true),
        (&later, Some(1001), 1500, false),
        (&[], Some(0), 2000, false),
    ];
    for (files, whole_since, second, known) in table {
        for trace in &traces {
            let (_dir, mut reading) = reading(files, whole_since.map(Duration::from_secs));
            let found = reading.finds(trace, Duration::from_secs(second));
            assert_eq!(found.is_ok(), known, "{files:?}, {second}: {found:?}");
            assert_ne!(found.ok(), Some(true));
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_tells_nothing() {
    let (_dir, mut reading) = reading(&[("7-1000.000001", 1000)], Some(Duration::ZERO));
    fs::write(reading.dir().join("7-1000.000001"), b"no log at all").unwrap();
    let trace = Trace::Marked(Marker::new(1, 2));
    let found = reading.finds(&trace, Duration::from_secs(2000));
    assert!(found.is_err(), "{found:?}");
}

#[test]
fn those_who_ask_at_the_same_time_about_one_server_share_a_reading() {
    let outcomes = Outcomes::default();
    let one = outcomes.slot(InstanceId(7), 3);
    assert!(Arc::ptr_eq(&one, &outcomes.slot(InstanceId(7), 3)));
    assert!(!Arc::ptr_eq(&one, &outcomes.slot(InstanceId(7), 4)));
    drop(one);
    let _other = outcomes.slot(InstanceId(8), 1);
    assert_eq!(outcomes.slots.lock().unwrap().len(), 1);
}
