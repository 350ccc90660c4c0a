//! The authority that signs the client certificates with which Dormouse logs in to accounts that require one.
//!
//! A server compares the names in a certificate with those that the account requires, and trusts the authority
//! of its own instance only. So the proxy, which has verified the client's certificate, shows the server another
//! one with the same names: `authority of the instance → issuer of the client's → subject of the client's`. The
//! names are the same bytes as in the client's certificate, which `rcgen` cannot write.

use std::io;

use dormouse_link::ClientCertificate;
use dormouse_types::{CertificateNames, InstanceId};
use dormouse_wire::x509;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SigningKey as _,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

use super::der::{self, SEQUENCE};
use crate::error::doing;
use crate::{EngineError, Secret};

/// What stands before the 32 bytes of a P-256 key in PKCS #8 (RFC 5915, without its optional parts).
const PKCS8: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];

/// Keys to try; not all 32 bytes are a key, but all others than one in 2^32.
const ATTEMPTS: u8 = 8;

/// The authority of one instance. Its key is derived from the installation's secret and not stored.
#[derive(Debug)]
pub struct Authority {
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Authority {
    /// The authority of an instance: always with the same key. Takes less than a millisecond.
    ///
    /// # Errors
    /// Making the key or the certificate failed.
    pub fn new(secret: &Secret, instance: InstanceId) -> Result<Self, EngineError> {
        let make = || {
            let key = (0..ATTEMPTS)
                .find_map(|attempt| key_of(&secret.authority_key(instance, attempt)))
                .ok_or(rcgen::Error::KeyGenerationUnavailable)?;
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            let name = format!("dormouse instance {instance}");
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            let certificate = params.self_signed(&key)?;
            Ok::<_, rcgen::Error>(Self { key, certificate })
        };
        make()
            .map_err(io::Error::other)
            .map_err(doing("making the authority of an instance"))
    }

    /// Its certificate, which the server trusts.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate with these names, for one connection.
    ///
    /// # Errors
    /// Making a key or a signature failed.
    pub fn sign(&self, names: &CertificateNames) -> Result<ClientCertificate, EngineError> {
        self.chain(names)
            .map_err(io::Error::other)
            .map_err(doing("making a client certificate"))
    }

    fn chain(&self, names: &CertificateNames) -> Result<ClientCertificate, rcgen::Error> {
        let own = x509::names(self.certificate.der())
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let (issuer, leaf) = (KeyPair::generate()?, KeyPair::generate()?);
        let issuer_certificate = Signed {
            issuer: own.subject,
            subject: &names.issuer,
            key: &issuer,
            kind: Kind::Issuer,
        };
        let leaf_certificate = Signed {
            issuer: &names.issuer,
            subject: &names.subject,
            key: &leaf,
            kind: Kind::Client,
        };
        let chain = vec![
            leaf_certificate.by(&issuer)?,
            issuer_certificate.by(&self.key)?,
        ];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.serialize_der()));
        Ok(ClientCertificate { chain, key })
    }
}

/// The key of these bytes, if they are one.
fn key_of(bytes: &[u8; 32]) -> Option<KeyPair> {
    let pkcs8 = [&PKCS8[..], bytes].concat();
    let pkcs8 = PrivatePkcs8KeyDer::from(pkcs8);
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &rcgen::PKCS_ECDSA_P256_SHA256).ok()
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Issuer,
    Client,
}

/// A certificate to be signed.
struct Signed<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    key: &'a KeyPair,
    kind: Kind,
}

impl Signed<'_> {
    fn by(&self, signer: &KeyPair) -> Result<CertificateDer<'static>, rcgen::Error> {
        let algorithm = der::element(SEQUENCE, &[&der::ECDSA_WITH_SHA256]);
        let spki = self.key.subject_public_key_info();
        let id = key_id(self.key);
        // positive: the first bit is 0; not 0: the second bit is 1
        let mut serial = id;
        serial[0] = serial[0] & 0x7f | 0x40;
        let extensions = self.extensions(&id, &key_id(signer));
        let body = der::element(
            SEQUENCE,
            &[
                &der::VERSION_3,
                &der::element(der::INTEGER, &[&serial]),
                &algorithm,
                self.issuer,
                &der::ALWAYS_VALID,
                self.subject,
                &spki,
                &der::element(der::EXTENSIONS, &[&der::element(SEQUENCE, &[&extensions])]),
            ],
        );
        let signature = signer.sign(&body)?;
        let signature = der::element(der::BIT_STRING, &[&[0], &signature]);
        Ok(der::element(SEQUENCE, &[&body, &algorithm, &signature]).into())
    }

    /// The key's id and the signer's tell a certificate with the same name twice from a self-signed one.
    fn extensions(&self, own: &[u8], signer: &[u8]) -> Vec<u8> {
        let own = der::element(der::OCTET_STRING, &[own]);
        let signer = der::element(SEQUENCE, &[&der::element(der::KEY_ID, &[signer])]);
        let usage: &[u8] = match self.kind {
            Kind::Issuer => &der::FOR_AUTHORITIES,
            Kind::Client => &der::FOR_CLIENTS,
        };
        [
            usage,
            &der::extension(&der::SUBJECT_KEY_ID, &own),
            &der::extension(&der::AUTHORITY_KEY_ID, &signer),
        ]
        .concat()
    }
}

/// The id of a key, as `rcgen` computes it.
fn key_id(key: &KeyPair) -> [u8; 20] {
    let digest = Sha256::digest(key.subject_public_key_info());
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests;
