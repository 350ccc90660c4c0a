use dormouse_types::Specified;
use rustls::CipherSuite;

use super::*;

/// A name with only `CN`.
fn cn(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    let mut name = vec![0x30, length + 11, 0x31, length + 9, 0x30, length + 7];
    name.extend([6, 3, 0x55, 4, 3, 0x0c, length]);
    name.extend(text.as_bytes());
    name
}

fn shown(suite: CipherSuite, subject: Option<&str>) -> ClientTls {
    ClientTls {
        cipher: Cipher::of(suite),
        names: subject.map(|subject| CertificateNames {
            issuer: cn("authority").into(),
            subject: cn(subject).into(),
        }),
    }
}

fn requires(issuer: &str, subject: &str, cipher: &str) -> Transport {
    Transport::Specified(Box::new(Specified {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        cipher: cipher.to_owned(),
    }))
}

const MODERN: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;

#[test]
fn each_requirement_holds_as_on_the_server() {
    let plain = || None;
    let none = || Some(shown(MODERN, None));
    let bo = || Some(shown(MODERN, Some("bo")));
    let eve = || Some(shown(MODERN, Some("eve")));
    // cases in the order: without TLS, no certificate, bo's, eve's
    for (required, expected) in [
        (Transport::Any, [true, true, true, true]),
        (Transport::Tls, [false, true, true, true]),
        (Transport::Certificate, [false, false, true, true]),
        (requires("", "", ""), [false, true, true, true]),
        (requires("", "/CN=bo", ""), [false, false, true, false]),
        (
            requires("/CN=authority", "", ""),
            [false, false, true, true],
        ),
        (
            requires("/CN=authority", "/CN=bo", ""),
            [false, false, true, false],
        ),
        (
            requires("/CN=bo", "/CN=authority", ""),
            [false, false, false, false],
        ),
        // no prefix, no other case
        (requires("", "/CN=b", ""), [false, false, false, false]),
        (requires("", "/CN=BO", ""), [false, false, false, false]),
        (
            requires("", "", "TLS_AES_128_GCM_SHA256"),
            [false, true, true, true],
        ),
        (
            requires("", "", "TLS_AES_256_GCM_SHA384"),
            [false, false, false, false],
        ),
        (
            requires("", "/CN=bo", "TLS_AES_128_GCM_SHA256"),
            [false, false, true, false],
        ),
    ] {
        let found = [plain(), none(), bo(), eve()].map(|tls| Security::of(&required, tls).is_ok());
        assert_eq!(found, expected, "{required:?}");
    }
}

#[test]
fn only_what_is_required_is_shown_to_the_server() {
    let security =
        |required: &Transport| Security::of(required, Some(shown(MODERN, Some("bo")))).unwrap();
    assert_eq!(security(&Transport::Any), Security::Any);
    assert_eq!(security(&Transport::Tls), Security::Tls);
    let cipher = security(&requires("", "", "TLS_AES_128_GCM_SHA256"));
    assert!(cipher.names().is_none() && cipher.cipher().is_some());
    let subject = security(&requires("", "/CN=bo", ""));
    assert!(subject.names().is_some() && subject.cipher().is_none());
}

#[test]
fn a_cipher_that_servers_lack_is_told_apart() {
    let rsa = shown(CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, None);
    let required = requires("", "", "ECDHE-RSA-AES256-GCM-SHA384");
    assert_eq!(Security::of(&required, Some(rsa)), Err(Lacking::AtServers));
}

#[test]
fn sessions_of_different_certificates_share_no_backend() {
    let of = |subject| Security::of(&Transport::Certificate, Some(shown(MODERN, Some(subject))));
    assert_eq!(of("bo"), of("bo"));
    assert_ne!(of("bo"), of("eve"));
}
