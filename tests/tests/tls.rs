//! TLS of clients: they can verify the generated certificate; certificates of one's own are read again without
//! a restart; old versions and clients without a certificate are refused if so configured.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper that fails fails its test"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

#[path = "tls/required.rs"]
mod required;

use dormouse_testkit::{Client, Created, Dormouse, process};

const STAYS: &str = "[defaults]\nidle_suspend = \"never\"\nidle_park = \"never\"\n";

fn started(tls: &str) -> (Dormouse, Created) {
    let dormouse = Dormouse::start_with(&format!("{STAYS}{tls}"));
    let who = dormouse.create("shop", &[]);
    (dormouse, who)
}

/// Runs a query with the real client and these options.
fn mariadb(dormouse: &Dormouse, who: &Created, options: &[&str]) -> Result<String, String> {
    let (host, port) = dormouse.address().split_once(':').unwrap();
    let output = Command::new("mariadb")
        .args([
            "--no-defaults",
            "--protocol=tcp",
            "--batch",
            "--skip-column-names",
        ])
        .args(["--host", host, "--port", port, "--user", &who.user])
        .args(options)
        .args(["--execute", "SELECT 40 + 2"])
        .env("MYSQL_PWD", &who.password)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// An authority of one's own in a directory, and a certificate that it has signed.
fn certificates(dir: &Path, name: &str) {
    let at = |file: &str| dir.join(file).to_str().unwrap().to_owned();
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        &format!("/CN={name} authority"),
        "-keyout",
        &at("ca.key"),
        "-out",
        &at("ca.crt"),
    ]);
    signed(dir, "", &format!("/CN={name}"));
}

/// Another certificate of the authority in this directory, `PREFIXcert.pem` and `PREFIXkey.pem`.
fn signed(dir: &Path, prefix: &str, subject: &str) {
    let at = |file: &str| dir.join(file).to_str().unwrap().to_owned();
    openssl(&[
        "req",
        "-x509",
        "-utf8",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-subj",
        subject,
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-CA",
        &at("ca.crt"),
        "-CAkey",
        &at("ca.key"),
        "-keyout",
        &at(&format!("{prefix}key.pem")),
        "-out",
        &at(&format!("{prefix}cert.pem")),
    ]);
}

#[test]
fn clients_verify_the_generated_certificate_with_what_dormouse_tls_prints() {
    let (dormouse, who) = started("");
    let shown = dormouse.json(&["tls"]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    fs::write(&file, shown["certificate"].as_str().unwrap()).unwrap();
    let file = file.to_str().unwrap();
    let fingerprint = openssl(&["x509", "-in", file, "-noout", "-fingerprint", "-sha256"]);
    let fingerprint = fingerprint.trim().rsplit('=').next().unwrap();
    assert_eq!(shown["sha256"], fingerprint);
    let ca = format!("--ssl-ca={file}");
    let verified = mariadb(&dormouse, &who, &["--ssl-verify-server-cert", &ca]);
    assert_eq!(verified, Ok("42".to_owned()));
    // the text form is a PEM file, too
    let printed = dormouse.command(&["tls"]).output().unwrap();
    fs::write(file, printed.stdout).unwrap();
    let verified = mariadb(&dormouse, &who, &["--ssl-verify-server-cert", &ca]);
    assert_eq!(verified, Ok("42".to_owned()));
    // an authority of someone else does not do
    certificates(dir.path(), "someone");
    let other = format!("--ssl-ca={}", dir.path().join("ca.crt").display());
    let refused = mariadb(&dormouse, &who, &["--ssl-verify-server-cert", &other]);
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn certificates_are_read_again_on_sighup_and_only_if_they_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), "first");
    let at = |file: &str| dir.path().join(file).display().to_string();
    let (cert, key, ca) = (
        at("cert.pem"),
        at("key.pem"),
        format!("--ssl-ca={}", at("ca.crt")),
    );
    let (dormouse, who) = started(&format!("[tls]\ncert = '{cert}'\nkey = '{key}'\n"));
    let verify = |ca: &str| mariadb(&dormouse, &who, &["--ssl-verify-server-cert", ca]).is_ok();
    assert!(verify(&ca));
    let mut open = Client::tls(dormouse.address());
    open.login(&who.user, &who.password, None).ok();
    let kept = tempfile::tempdir().unwrap();
    let old_ca = kept.path().join("ca.crt");
    fs::copy(at("ca.crt"), &old_ca).unwrap();
    let old_ca = format!("--ssl-ca={}", old_ca.display());

    certificates(dir.path(), "second");
    // not before the signal
    assert!(verify(&old_ca) && !verify(&ca));
    process::hang_up(dormouse.pid());
    process::until("the new certificate is in force", || verify(&ca));
    assert!(!verify(&old_ca));
    assert_eq!(open.query("SELECT 1").value(), "1");

    // a key that does not fit: the log says so, and the certificate stays
    let other = tempfile::tempdir().unwrap();
    certificates(other.path(), "third");
    fs::copy(other.path().join("key.pem"), at("key.pem")).unwrap();
    process::hang_up(dormouse.pid());
    process::until("the log says so", || {
        let log = dormouse.log();
        log.contains("nothing was read again") && log.contains("cannot be used for TLS")
    });
    assert!(verify(&ca));
}

#[test]
fn the_generated_certificate_is_renewed_on_sighup_and_its_authority_stays() {
    let (dormouse, who) = started("");
    let dir = dormouse.data_dir().join("tls");
    let (file, ca) = (dir.join("server.crt"), dir.join("ca.crt"));
    let (before, authority) = (
        fs::read_to_string(&file).unwrap(),
        fs::read_to_string(&ca).unwrap(),
    );
    // the first line ends with the date of the certificate's end
    let (line, rest) = before.split_once('\n').unwrap();
    let ended = format!("{}2020-01-01", &line[..line.len() - 10]);
    fs::write(&file, format!("{ended}\n{rest}")).unwrap();
    let mut open = Client::tls(dormouse.address());
    open.login(&who.user, &who.password, None).ok();
    process::hang_up(dormouse.pid());
    process::until("the certificate is a new one", || {
        fs::read_to_string(&file).is_ok_and(|now| now.starts_with(line) && now != before)
    });
    assert_eq!(fs::read_to_string(&ca).unwrap(), authority);
    let option = format!("--ssl-ca={}", ca.display());
    let verified = mariadb(&dormouse, &who, &["--ssl-verify-server-cert", &option]);
    assert_eq!(verified, Ok("42".to_owned()));
    assert_eq!(open.query("SELECT 1").value(), "1");
}

#[test]
fn versions_older_than_the_configured_one_are_refused() {
    let (dormouse, who) = started("[tls]\nmin_version = '1.3'\n");
    let with = |version: &str| mariadb(&dormouse, &who, &["--ssl", version]);
    assert_eq!(with("--tls-version=TLSv1.3"), Ok("42".to_owned()));
    let refused = with("--tls-version=TLSv1.2").unwrap_err();
    assert!(refused.contains("TLS/SSL error"), "{refused}");
}

#[test]
fn clients_without_a_certificate_of_the_authority_are_refused_if_so_configured() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), "client");
    let stranger = tempfile::tempdir().unwrap();
    certificates(stranger.path(), "client");
    let ca = dir.path().join("ca.crt").display().to_string();
    let (dormouse, who) = started(&format!(
        "[tls]\nrequire = true\nclient_ca = '{ca}'\nclient_certificates = \"required\"\n"
    ));
    let with = |dir: &Path| {
        let cert = format!("--ssl-cert={}", dir.join("cert.pem").display());
        let key = format!("--ssl-key={}", dir.join("key.pem").display());
        mariadb(&dormouse, &who, &["--ssl", &cert, &key])
    };
    assert_eq!(with(dir.path()), Ok("42".to_owned()));
    // the same names, signed by someone else
    assert!(with(stranger.path()).is_err());
    assert!(mariadb(&dormouse, &who, &["--ssl"]).is_err());
    assert!(mariadb(&dormouse, &who, &["--skip-ssl"]).is_err());
    // the certificate alone is not enough
    let nobody = Created {
        password: "wrong".to_owned(),
        ..who.clone()
    };
    let cert = format!("--ssl-cert={}", dir.path().join("cert.pem").display());
    let key = format!("--ssl-key={}", dir.path().join("key.pem").display());
    let refused = mariadb(&dormouse, &nobody, &["--ssl", &cert, &key]).unwrap_err();
    assert!(refused.contains("1045"), "{refused}");
}
