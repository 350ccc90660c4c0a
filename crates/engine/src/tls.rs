//! A server's key and certificate. Connections over TCP check the certificate; on the private Unix socket
//! accounts with `REQUIRE SSL` need TLS, but the certificate is not checked.
//!
//! Without a configured key MariaDB 11.4 and later generate one at every start, which takes 0.4 s.

use dormouse_types::TlsIdentity;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::EngineError;
use crate::error::doing;
pub use authority::Authority;

mod authority;
mod der;

/// The name in every server's certificate.
const NAME: &str = "localhost";

/// Identity of a server that was started with this PEM file: the certificate is self-signed, so it is its
/// own authority. `None` if the text has no certificate.
#[must_use]
pub fn identity(key_and_certificate: &str) -> Option<TlsIdentity> {
    let certificate = CertificateDer::from_pem_slice(key_and_certificate.as_bytes()).ok()?;
    Some(TlsIdentity {
        name: NAME.into(),
        authority: (*certificate).into(),
    })
}

/// Generates a key and its self-signed certificate, as one PEM file. Takes about a millisecond.
///
/// # Errors
/// Generating the key failed.
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
        .map_err(doing("generating a server's key"))
}
