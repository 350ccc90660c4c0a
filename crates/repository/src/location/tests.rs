use super::*;

#[test]
fn a_location_is_an_absolute_path_or_a_kind_and_a_place() {
    for (text, scheme, shown) in [
        ("/srv/backups", Scheme::Local, "/srv/backups"),
        ("local:/srv/backups", Scheme::Local, "/srv/backups"),
        (
            "rest:https://host:8000/x",
            Scheme::Rest,
            "rest:https://host:8000/x",
        ),
        (
            "s3:https://host/bucket/x",
            Scheme::S3,
            "s3:https://host/bucket/x",
        ),
        ("gs:bucket:/x", Scheme::Gs, "gs:bucket:/x"),
        ("azblob:container:/x", Scheme::Azblob, "azblob:container:/x"),
        ("sftp:me@host:/x", Scheme::Sftp, "sftp:me@host:/x"),
    ] {
        let location: Location = text.parse().unwrap();
        assert_eq!(
            (location.scheme(), location.to_string()),
            (scheme, shown.to_owned())
        );
    }
    for bad in [
        "",
        "backups",
        "./backups",
        "ftp:host",
        "C:\\x",
        "s3:",
        "local:backups",
    ] {
        assert!(bad.parse::<Location>().is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn a_password_in_a_location_is_not_shown() {
    let location: Location = "rest:https://me:secret@host/x".parse().unwrap();
    assert_eq!(location.to_string(), "rest:https://me:…@host/x");
    assert!(!format!("{location:?}").contains("secret"));
}
