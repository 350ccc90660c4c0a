use super::*;

fn snapshot(labels: &Labels) -> SnapshotFile {
    let mut snapshot = SnapshotFile {
        time: labels.taken_at.to_zoned(jiff::tz::TimeZone::UTC),
        ..SnapshotFile::default()
    };
    for tag in labels.tags() {
        assert!(!tag.contains(','), "restic would cut {tag:?} in two");
        snapshot.tags.add(tag);
    }
    snapshot
}

#[test]
fn labels_survive_as_tags() {
    let mut labels = Labels::new(
        "shop".parse().unwrap(),
        "2026-11-28T14:03:07.123456789Z".parse().unwrap(),
    );
    labels.instance = Some(InstanceId(7));
    labels.version = Some("10.11.19-MariaDB-0+deb12u1".to_owned());
    labels.reason = Some("before: a, b = 100% \"c\"\nänd d".to_owned());
    labels
        .more
        .insert("gtid=x,y%".to_owned(), "0-1-7,1-1-9".to_owned());
    labels
        .more
        .insert("database".to_owned(), "not the name".to_owned());
    labels.more.insert("empty".to_owned(), String::new());
    assert_eq!(Labels::read(&snapshot(&labels)), labels);
    let installation = Labels::of_installation(labels.taken_at);
    assert_eq!(Labels::read(&snapshot(&installation)), installation);
}

#[test]
fn tags_of_others_are_left_out() {
    let mut snapshot = SnapshotFile::default();
    for tag in [
        "nightly",
        "x=y",
        "%zz=1",
        "instance=seven",
        "database=No Name",
        "x-%2=1",
    ] {
        snapshot.tags.add(tag.to_owned());
    }
    let backup = Backup::read(&snapshot);
    assert_eq!(
        (backup.own, &backup.labels),
        (false, &Labels::of_installation(snapshot.time.timestamp()))
    );
}

#[test]
fn an_id_is_64_hexadecimal_digits() {
    assert!("ab".repeat(32).parse::<BackupId>().is_ok());
    for bad in [
        "",
        "latest",
        &"ab".repeat(31),
        &"AB".repeat(32),
        &"ag".repeat(32),
    ] {
        assert!(bad.parse::<BackupId>().is_err(), "{bad:?} was accepted");
    }
}
