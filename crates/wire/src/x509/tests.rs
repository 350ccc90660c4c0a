use super::*;

/// Made with `openssl req -x509`; it has what is unusual in a name.
const CERTIFICATE: &[u8] = include_bytes!("tests/names.der");

/// What `X509_NAME_oneline` of OpenSSL 3.0 says of its subject.
const ONELINE: &str = r"/C=DE/DC=org/DC=example/O=A\/B\+C x, y\z/OU=Zo\xC3\xAB/OU=\+two/emailAddress=a@b.de/UID=u1/serialNumber=77/2.3.4.5=odd/CN=x+SN=multi";

#[test]
fn a_name_reads_as_openssl_writes_it() {
    let names = names(CERTIFICATE).unwrap();
    assert_eq!(oneline(names.subject).as_deref(), Ok(ONELINE));
    // it is self-signed
    assert_eq!(names.issuer, names.subject);
}

#[test]
fn an_empty_name_is_an_empty_text() {
    assert_eq!(oneline(&[SEQUENCE, 0]).as_deref(), Ok(""));
}

#[test]
fn a_name_of_four_bytes_a_character_is_shortened() {
    let with = |tag: u8, value: &[u8; 8]| {
        let mut name = vec![
            SEQUENCE, 19, SET, 17, SEQUENCE, 15, OID, 3, 0x55, 4, 3, tag, 8,
        ];
        name.extend(value);
        oneline(&name)
    };
    let wide = b"\0\0\0a\0\0\0/";
    assert_eq!(with(GENERAL_STRING, wide).as_deref(), Ok(r"/CN=a\/"));
    let all = r"/CN=\x00\x00\x00a\x00\x00\x00\/";
    assert_eq!(with(0x0c, wide).as_deref(), Ok(all));
    assert_eq!(
        with(GENERAL_STRING, b"abcdefgh").as_deref(),
        Ok("/CN=abcdefgh")
    );
}

#[test]
fn no_bytes_make_it_panic() {
    for end in 0..CERTIFICATE.len() {
        let _ = names(&CERTIFICATE[..end]);
        let mut changed = CERTIFICATE.to_vec();
        for byte in [0, 0x7f, 0x80, 0x83, 0x84, 0xff] {
            changed[end] = byte;
            if let Ok(names) = names(&changed) {
                let _ = oneline(names.subject);
            }
        }
    }
    for bad in [
        &[][..],
        &[0x30],
        &[0x30, 0x80],
        &[0x30, 0x84, 0, 0, 0, 0],
        &[0x30, 2, 0x31, 9],
    ] {
        assert!(oneline(bad).is_err(), "{bad:?}");
    }
}
