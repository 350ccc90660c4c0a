use super::*;

fn options(scheme: Scheme, place: &str) -> Vec<(String, String)> {
    service(scheme, place).unwrap().1.into_iter().collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_location_becomes_the_options_of_its_service() {
    assert_eq!(
        options(Scheme::S3, "https://minio:9000/bucket/a/b"),
        pairs(&[
            ("bucket", "bucket"),
            ("endpoint", "https://minio:9000"),
            ("root", "a/b")
        ])
    );
    assert_eq!(
        options(Scheme::S3, "bucket"),
        pairs(&[("bucket", "bucket"), ("root", "")])
    );
    assert_eq!(
        options(Scheme::Gs, "bucket:/a"),
        pairs(&[("bucket", "bucket"), ("root", "a")])
    );
    assert_eq!(
        options(Scheme::Azblob, "box:/a"),
        pairs(&[("container", "box"), ("root", "a")])
    );
    assert_eq!(
        options(Scheme::Sftp, "me@host:/srv/x"),
        pairs(&[("endpoint", "ssh://me@host"), ("root", "/srv/x")])
    );
    for (scheme, bad) in [
        (Scheme::S3, "https://host"),
        (Scheme::Gs, "bucket"),
        (Scheme::Sftp, ":/x"),
        (Scheme::S3, "/x"),
    ] {
        assert!(service(scheme, bad).is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn what_is_written_is_listed_read_and_removed() {
    let memory = opendal::Operator::new(opendal::services::Memory::default()).unwrap();
    let remote = Remote::over(memory, "memory".to_owned()).unwrap();
    remote.create().unwrap();
    assert_eq!(remote.list_with_size(FileType::Config).unwrap(), []);
    assert_eq!(remote.list_with_size(FileType::Pack).unwrap(), []);
    let id: Id = "ab".repeat(32).parse().unwrap();
    for kind in [FileType::Config, FileType::Pack, FileType::Snapshot] {
        let id = if kind == FileType::Config {
            Id::default()
        } else {
            id
        };
        remote
            .write_bytes(kind, &id, false, b"0123456789".to_vec().into())
            .unwrap();
        assert_eq!(remote.list_with_size(kind).unwrap(), [(id, 10)]);
        assert_eq!(remote.read_full(kind, &id).unwrap(), "0123456789");
        assert_eq!(remote.read_partial(kind, &id, false, 3, 4).unwrap(), "3456");
        assert!(
            remote.read_partial(kind, &id, false, 8, 4).is_err(),
            "less than asked for"
        );
        remote.remove(kind, &id, false).unwrap();
        assert!(remote.read_full(kind, &id).is_err());
    }
}
