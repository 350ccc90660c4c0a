//! A server's own key, for the connections of accounts that demand TLS (`REQUIRE SSL`).
//!
//! They come over the same private Unix socket as all others, so nobody checks the certificate;
//! without one of ours MariaDB 11.4 and later would make a key at every start, for 0.4 s.

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::EngineError;
use crate::error::doing;

/// A new key and its certificate, as one PEM file. Takes about a millisecond.
///
/// # Errors
/// The key could not be made.
pub fn key_and_certificate() -> Result<String, EngineError> {
    let make = || {
        let mut params = CertificateParams::new(["localhost".to_owned()])?;
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
