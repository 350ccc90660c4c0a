use super::*;

fn parsed(text: &str) -> Place {
    text.parse::<Location>().unwrap().place
}

fn host(user: &str, host: &str, port: Option<u16>, path: &str) -> Place {
    Place::Sftp(Host {
        user: Some(user.to_owned()).filter(|user| !user.is_empty()),
        host: host.to_owned(),
        port,
        path: path.to_owned(),
    })
}

#[test]
fn every_kind_is_read_as_restic_writes_it() {
    assert_eq!(parsed("/srv/x"), Place::Local("/srv/x".into()));
    assert_eq!(parsed("local:/srv/x"), parsed("/srv/x"));
    assert_eq!(parsed("sftp:me@h:/srv/x"), host("me", "h", None, "/srv/x"));
    assert_eq!(parsed("sftp:h:x/y"), host("", "h", None, "x/y"));
    let port = Some(2222);
    assert_eq!(parsed("sftp://me@h:2222//x"), host("me", "h", port, "/x"));
    assert_eq!(parsed("sftp://me@h/x"), host("me", "h", None, "x"));
    assert_eq!(parsed("sftp://[::1]:2222//x"), host("", "::1", port, "/x"));
    assert_eq!(parsed("sftp:me@[::1]:/x"), host("me", "::1", None, "/x"));
    let s3 = |endpoint: &str, root: &str| Place::S3 {
        endpoint: endpoint.to_owned(),
        bucket: "b".to_owned(),
        root: root.to_owned(),
    };
    assert_eq!(
        parsed("s3:https://minio:9000/b/a/c"),
        s3("https://minio:9000", "a/c")
    );
    assert_eq!(
        parsed("s3:http://127.0.0.1:9000/b"),
        s3("http://127.0.0.1:9000", "")
    );
    let amazon = "s3:s3.eu-central-1.amazonaws.com/b/a";
    assert_eq!(
        parsed(amazon),
        s3("https://s3.eu-central-1.amazonaws.com", "a")
    );
    let (bucket, root) = ("b".to_owned(), "a/c".to_owned());
    assert_eq!(parsed("gs:b:/a/c"), Place::Gs { bucket, root });
    let (container, root) = ("b".to_owned(), String::new());
    assert_eq!(parsed("azure:b:/"), Place::Azure { container, root });
    let rest = |url: &str, user: Option<&str>| Place::Rest {
        url: url.to_owned(),
        user: user.map(str::to_owned),
    };
    assert_eq!(parsed("rest:http://h:8000/"), rest("http://h:8000/", None));
    assert_eq!(
        parsed("rest:https://me@h/x"),
        rest("https://h/x", Some("me"))
    );
}

#[test]
fn what_names_no_place_says_the_form() {
    for text in [
        "srv/x",
        "local:srv/x",
        "ftp:x",
        "sftp:host",
        "sftp:-oProxyCommand=x:/y",
        "sftp:me@-h:/y",
        "sftp:a b@h:/y",
        "sftp://h",
        "sftp://h:port//x",
        "s3:bucket/path",
        "s3:https://host.domain",
        "s3:ftp://host.domain/b",
        "gs:bucket",
        "gs::/x",
        "azure:x",
        "rest:host",
        "rest:ftp://host",
        "",
        ":",
    ] {
        let error = text.parse::<Location>().unwrap_err();
        assert!(error.to_string().contains(':'), "{text}: {error}");
    }
}

#[test]
fn a_location_with_a_secret_is_refused_without_showing_it() {
    for text in [
        "rest:https://me:sesame@host/x",
        "s3:https://key:sesame@host/bucket",
        "s3:https://host/bucket?token=sesame",
        "sftp://root:sesame@127.0.0.1/x",
        "sftp:root:sesame@host:/x",
        "azure:me:sesame@container:/x",
    ] {
        let error = text.parse::<Location>().unwrap_err();
        assert!(matches!(error, InvalidLocation::Secret(_)), "{text}");
        assert!(!format!("{error} {error:?}").contains("sesame"), "{error}");
    }
}

#[test]
fn a_location_is_shown_as_it_is_written() {
    for (text, shown) in [("local:/srv/x", "/srv/x"), ("gs:b:/x", "gs:b:/x")] {
        assert_eq!(text.parse::<Location>().unwrap().to_string(), shown);
    }
}
