use std::fs;
use std::path::Path;
use std::process::Command;

use rustls_pki_types::pem::PemObject as _;

use super::*;

const SECRET: Secret = Secret::new([7; 32]);

/// A name with these attributes `2.5.4.N`.
fn name(attributes: &[(u8, &str)]) -> Vec<u8> {
    let part = |(number, text): &(u8, &str)| {
        let oid = [0x06, 3, 0x55, 4, *number];
        let value = der::element(0x0c, &[text.as_bytes()]);
        der::element(0x31, &[&der::element(SEQUENCE, &[&oid, &value])])
    };
    let parts: Vec<_> = attributes.iter().map(part).collect();
    der::element(SEQUENCE, &[&parts.concat()])
}

fn names(issuer: &[(u8, &str)], subject: &[(u8, &str)]) -> CertificateNames {
    CertificateNames {
        issuer: name(issuer).into(),
        subject: name(subject).into(),
    }
}

/// Lets OpenSSL verify a chain as a server does.
fn verify(dir: &Path, authority: &Authority, shown: &ClientCertificate) -> Result<String, String> {
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let pem = |der: &[u8]| {
        let der_file = file("one.der");
        fs::write(&der_file, der).unwrap();
        let args = ["x509", "-inform", "der", "-in", &der_file];
        Command::new("openssl").args(args).output().unwrap().stdout
    };
    fs::write(file("ca.pem"), authority.pem()).unwrap();
    fs::write(file("leaf.pem"), pem(&shown.chain[0])).unwrap();
    fs::write(file("issuer.pem"), pem(&shown.chain[1])).unwrap();
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient"])
        .args([
            "-CAfile",
            &file("ca.pem"),
            "-untrusted",
            &file("issuer.pem"),
        ])
        .arg(file("leaf.pem"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

#[test]
fn openssl_accepts_a_certificate_with_the_names_of_the_clients() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(&SECRET, InstanceId(1)).unwrap();
    let long = "x".repeat(300);
    for names in [
        names(&[(10, "Example"), (3, "authority")], &[(3, "bo")]),
        // the same name twice, and several of one kind
        names(&[(3, "bo")], &[(3, "bo")]),
        names(
            &[(11, "a"), (11, "b"), (3, &long)],
            &[(11, "c"), (11, "d"), (3, "Zoë/+\\")],
        ),
        names(&[(3, "authority")], &[]),
        names(&[(3, "dormouse instance 1")], &[(3, "bo")]),
    ] {
        let shown = authority.sign(&names).unwrap();
        let found = x509::names(&shown.chain[0]).unwrap();
        assert_eq!(found.subject, &*names.subject);
        assert_eq!(found.issuer, &*names.issuer);
        let verified = verify(dir.path(), &authority, &shown);
        // strict rules demand another name than an empty one; servers do not
        let empty = names.subject.len() == 2;
        assert!(verified.is_ok() || empty, "{names:?}: {verified:?}");
    }
}

#[test]
fn no_other_instance_accepts_it_and_the_authority_stays_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|id| Authority::new(&SECRET, InstanceId(id)).unwrap());
    let shown = one.sign(&names(&[(3, "authority")], &[(3, "bo")])).unwrap();
    assert!(verify(dir.path(), &two, &shown).is_err());
    // after a restart of Dormouse
    let again = Authority::new(&SECRET, InstanceId(1)).unwrap();
    assert!(verify(dir.path(), &again, &shown).is_ok());
    assert!(CertificateDer::from_pem_slice(again.pem().as_bytes()).is_ok());
    let other = Authority::new(&Secret::new([8; 32]), InstanceId(1)).unwrap();
    assert!(verify(dir.path(), &other, &shown).is_err());
}
