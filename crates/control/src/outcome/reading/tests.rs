//! How far a log must reach back, and who shares its reading.

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A reading of files that have no groups, with the seconds at which they were begun.
fn reading(files: &[(&str, u32)], is_whole: bool) -> (tempfile::TempDir, Reading) {
    let dir = tempfile::tempdir().unwrap();
    let mut reading = Reading::new(dir.path(), is_whole);
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
        // the files, whether they are those of a copy, when the commit was sent, whether it is known that it is not in the log
        (&later[..], false, 2002, true),
        (&later, false, 2001, true),
        (&later, false, 2000, false),
        (&later, false, 1999, false),
        (&begun_anew, false, 2000, false),
        (&begun_anew, false, 1500, false),
        (&whole, false, 1001, true),
        (&whole, true, 1001, false),
        (&whole, true, 1000, false),
        (&whole, true, 1002, true),
        (&[], false, 2000, false),
    ];
    for (files, is_copy, second, known) in table {
        for trace in &traces {
            let (_dir, mut reading) = reading(files, !is_copy);
            let found = reading.finds(trace, Duration::from_secs(second));
            assert_eq!(found.is_ok(), known, "{files:?}, {second}: {found:?}");
            assert_ne!(found.ok(), Some(true));
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_tells_nothing() {
    let (_dir, mut reading) = reading(&[("7-1000.000001", 1000)], true);
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
    assert_eq!(outcomes.0.lock().unwrap().len(), 1);
}
