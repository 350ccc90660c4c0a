//! A server's own key and certificate: for connections over TCP, which check it, and for accounts that
//! demand TLS (`REQUIRE SSL`) on the private Unix socket, where nobody does.
//!
//! Without one of ours MariaDB 11.4 and later would make a key at every start, for 0.4 s.

use dormouse_types::TlsIdentity;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::EngineError;
use crate::error::doing;

/// The name in every server's certificate.
const NAME: &str = "localhost";

/// What a server shows that was started with this key and certificate: its certificate is its own
/// authority. `None` if the text holds no certificate.
#[must_use]
pub fn identity(key_and_certificate: &str) -> Option<TlsIdentity> {
    let certificate = CertificateDer::from_pem_slice(key_and_certificate.as_bytes()).ok()?;
    Some(TlsIdentity {
        name: NAME.into(),
        authority: (*certificate).into(),
    })
}

/// A new key and its certificate, as one PEM file. Takes about a millisecond.
///
/// # Errors
/// The key could not be made.
pub fn key_and_certificate() -> Result<String, EngineError> {
    let make = || {
        let mut params = CertificateParams::new([NAME.to_owned()])?;
        params
            .distinguished_name
            .push(DnType::CommonName, "dormouse");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok::<_, rcgen::Error>(key.serialize_pem() + &certificate.pem())
    };
    make()
        .map_err(std::io::Error::other)
        .map_err(doing("making a server's key"))
}
