use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn stored(expires: Option<i64>) -> Stored {
    Stored {
        about: Token {
            id: new_id().unwrap(),
            name: "ci".parse().unwrap(),
            role: Role::Viewer,
            database: None,
            created: at(0),
            expires: expires.map(at),
            former_until: None,
            used: None,
        },
        hash: hash("present"),
        former: None,
        lifetime: None,
    }
}

#[test]
fn a_text_has_an_id_and_a_secret_of_at_least_192_bits() {
    let (id, (secret, hash)) = (new_id().unwrap(), new_secret().unwrap());
    let text = text(&id, &secret);
    assert!(text.starts_with("dm_"), "{text}");
    assert_eq!(parse(&text), Some((id, hash)));
    assert!(secret.len() as f64 * 62f64.log2() >= 192.0);
}

#[test]
fn malformed_texts_are_no_tokens() {
    let id = "abcdefghij01";
    let secret = "x".repeat(SECRET_LENGTH);
    assert!(parse(&format!("dm_{id}_{secret}")).is_some());
    for text in [
        String::new(),
        "dm_".to_owned(),
        format!("dm_{id}"),
        format!("dm_{id}_"),
        format!("dm_{id}_{secret}x"),
        format!("dm_{id}_{}", &secret[1..]),
        format!("dm_{id}x_{secret}"),
        format!("DM_{id}_{secret}"),
        format!("dm_{}_{secret}", id.to_uppercase()),
        format!("dm_{id}_{}é", &secret[2..]),
        format!("dm_{id}_{}\0", &secret[1..]),
        format!(" dm_{id}_{secret}"),
    ] {
        assert_eq!(parse(&text), None, "{text}");
    }
}

#[test]
fn the_secret_admits_until_it_expires() {
    let token = stored(Some(100));
    assert_eq!(token.admits(&hash("present"), at(99)), Ok(()));
    assert_eq!(token.admits(&hash("present"), at(100)), Err(Unfit::Expired));
    assert_eq!(token.admits(&hash("other"), at(99)), Err(Unfit::Unknown));
    assert_eq!(token.admits(&hash("other"), at(100)), Err(Unfit::Unknown));
    assert_eq!(
        stored(None).admits(&hash("present"), Timestamp::MAX),
        Ok(())
    );
}

#[test]
fn a_former_secret_admits_during_its_grace_only() {
    let mut token = stored(None);
    token.former = Some(hash("former"));
    token.about.former_until = Some(at(50));
    assert_eq!(token.admits(&hash("former"), at(49)), Ok(()));
    assert_eq!(token.admits(&hash("former"), at(50)), Err(Unfit::Expired));
    assert_eq!(token.admits(&hash("present"), at(50)), Ok(()));
    token.about.former_until = None;
    assert_eq!(token.admits(&hash("former"), at(0)), Err(Unfit::Expired));
}

#[test]
fn names_and_ids_cannot_imitate_other_entries_of_the_ledger() {
    for bad in ["", "a b", "ci (x)", "a\nb", "token:a", "é", &"x".repeat(64)] {
        assert!(bad.parse::<TokenName>().is_err(), "{bad}");
        assert!(bad.parse::<TokenId>().is_err(), "{bad}");
    }
    "ci.main_2-b".parse::<TokenName>().unwrap();
}

#[test]
fn debug_texts_have_no_secret() {
    let new = NewToken {
        token: "dm_abcdefghij01_s3cret".to_owned(),
        about: stored(None).about,
    };
    assert!(!format!("{new:?}").contains("s3cret"));
}

#[test]
fn a_lifetime_is_bounded_or_never() {
    assert_eq!(ends(at(0), None).unwrap(), None);
    assert_eq!(
        ends(at(0), Some(Duration::from_secs(5))).unwrap(),
        Some(at(5))
    );
    assert!(ends(at(0), Some(LIFETIME_MOST + Duration::from_secs(1))).is_err());
    assert!(ends(at(0), Some(Duration::MAX)).is_err());
}
