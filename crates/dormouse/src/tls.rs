//! TLS certificate for clients: the configured one, or one generated at the first start.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dormouse_api::ErrorBody;
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::Outcome;
use crate::config::{ClientCertificates, Config, MinVersion, Tls};
use crate::output::Output;
use authority::Files;

mod authority;

/// The TLS configuration for clients. Reads all files, and makes or renews the generated certificate.
pub(crate) fn load(config: &Config, data_dir: &Path) -> Outcome<Arc<ServerConfig>> {
    let dir = directory(data_dir);
    let (cert, key) = match (&config.tls.cert, &config.tls.key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => {
            let names = names(config.domain.as_deref());
            let files = authority::prepare(&dir, &names, Timestamp::now()).map_err(|e| {
                let message = format!("cannot create a certificate in {}: {e}", dir.display());
                ErrorBody::new("machine", message)
            })?;
            (files.chain, files.key)
        }
    };
    server_config(&config.tls, &cert, &key)
}

/// The directory of the generated certificate.
fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join("tls")
}

/// What `dormouse tls` shows.
#[derive(Debug, Serialize)]
pub(crate) struct Authority {
    /// The file of the authority's certificate.
    path: PathBuf,
    /// Its SHA-256, in hexadecimal.
    sha256: String,
    /// The certificate, PEM.
    certificate: String,
}

/// Prints the certificate of the authority, for clients.
pub(crate) fn show(data_dir: &Path, output: &Output) -> Outcome {
    let path = Files::of(&directory(data_dir)).authority;
    let missing = |why: String| {
        let message = format!(
            "cannot read the authority's certificate {}: {why}",
            path.display()
        );
        ErrorBody::new("machine", message).with_hint(
            "dormouse up makes it, unless tls.cert in its configuration names a certificate of yours: \
             then clients trust whoever signed that",
        )
    };
    let certificate = fs::read_to_string(&path).map_err(|e| missing(e.to_string()))?;
    let der = CertificateDer::from_pem_slice(certificate.as_bytes())
        .map_err(|e| missing(e.to_string()))?;
    let sha256: Vec<_> = Sha256::digest(&der)
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    let authority = Authority {
        sha256: sha256.join(":"),
        certificate,
        path: path.clone(),
    };
    output.result(&authority, |_| authority.text())
}

impl Authority {
    fn text(&self) -> String {
        format!(
            "# the authority that signs the certificate of this Dormouse\n\
             # SHA-256 {}\n\
             # use: mariadb --ssl-ca={} --ssl-verify-server-cert ...\n{}",
            self.sha256,
            self.path.display(),
            self.certificate,
        )
    }
}

fn server_config(tls: &Tls, cert: &Path, key: &Path) -> Outcome<Arc<ServerConfig>> {
    let hint = "tls.cert takes a certificate chain, tls.key its private key, tls.client_ca the certificates of \
                those who sign for clients, all in PEM";
    let unusable = |path: &Path, reason: String| {
        let message = format!("{} cannot be used for TLS: {reason}", path.display());
        ErrorBody::new("invalid", message).with_hint(hint)
    };
    let read = |path: &Path| {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
        let chain = chain.map_err(|e| unusable(path, e.to_string()))?;
        match chain.is_empty() {
            true => Err(unusable(path, "it contains no certificate".to_owned())),
            false => Ok(chain),
        }
    };
    let chain = read(cert)?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| unusable(key, e.to_string()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[_] = match tls.min_version {
        MinVersion::Tls12 => &[&TLS12, &TLS13],
        MinVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|e| ErrorBody::new("internal", format!("cannot set up TLS: {e}")))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in read(path)? {
                let added = roots.add(certificate);
                added.map_err(|e| unusable(path, e.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match tls.client_certificates {
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
                ClientCertificates::Required => verifier,
            };
            let verifier = verifier
                .build()
                .map_err(|e| unusable(path, e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    builder
        .with_single_cert(chain, private)
        .map(Arc::new)
        .map_err(|e| unusable(cert, e.to_string()))
}

/// Names for which the generated certificate is valid.
fn names(domain: Option<&str>) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim().to_ascii_lowercase();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    if !host.is_empty() && host.bytes().all(plain) && !names.contains(&host) {
        names.push(host);
    }
    if let Some(domain) = domain {
        names.extend([domain.to_owned(), format!("*.{domain}")]);
    }
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn certificate(dir: &Path) -> String {
        fs::read_to_string(dir.join("tls/server.crt")).unwrap()
    }

    #[test]
    fn a_certificate_is_generated_once_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        load(&Config::default(), dir.path()).unwrap();
        let first = certificate(dir.path());
        let mode = fs::metadata(dir.path().join("tls/server.key"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        load(&Config::default(), dir.path()).unwrap();
        assert_eq!(certificate(dir.path()), first);
    }

    #[test]
    fn a_new_domain_or_a_lost_key_makes_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        load(&Config::default(), dir.path()).unwrap();
        let first = certificate(dir.path());
        fs::remove_file(dir.path().join("tls/server.key")).unwrap();
        load(&Config::default(), dir.path()).unwrap();
        let second = certificate(dir.path());
        assert_ne!(second, first);
        let domain = Some("db.example.org".to_owned());
        load(
            &Config {
                domain,
                ..Config::default()
            },
            dir.path(),
        )
        .unwrap();
        assert!(
            certificate(dir.path())
                .lines()
                .next()
                .unwrap()
                .contains("*.db.example.org")
        );
    }

    #[test]
    fn unusable_files_are_refused_with_their_name() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        load(&Config::default(), one.path()).unwrap();
        load(&Config::default(), two.path()).unwrap();
        let with = |cert: &Path, key: &Path| {
            let mut config = Config::default();
            (config.tls.cert, config.tls.key) = (Some(cert.to_owned()), Some(key.to_owned()));
            load(&config, one.path()).map(|_| ()).map_err(|e| e.message)
        };
        let cert = one.path().join("tls/server.crt");
        let key = one.path().join("tls/server.key");
        let other = two.path().join("tls/server.key");
        assert_eq!(with(&cert, &key), Ok(()));
        for (cert, key, named) in [
            (cert.as_path(), other.as_path(), "server.crt"),
            (key.as_path(), key.as_path(), "contains no certificate"),
            (cert.as_path(), Path::new("/no/key"), "/no/key"),
        ] {
            assert!(with(cert, key).is_err_and(|m| m.contains(named)), "{named}");
        }
    }
}
