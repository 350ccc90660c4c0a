//! What a connection shows in its TLS handshake, where the account of its client requires more than TLS.

use std::fmt;

use rustls::CipherSuite;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a connection shows in its TLS handshake.
#[derive(Debug, Default)]
pub struct Presented {
    /// The certificate; `None`: none.
    pub certificate: Option<ClientCertificate>,
    /// The only cipher to offer; `None`: all.
    pub cipher: Option<Cipher>,
}

/// A certificate and its key.
pub struct ClientCertificate {
    /// The certificate and those who have signed it, in order.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

/// A cipher of TLS, with OpenSSL's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cipher {
    pub(crate) suite: CipherSuite,
    /// The name, as `REQUIRE CIPHER` has it.
    pub name: &'static str,
    /// Whether servers have it: their keys are of elliptic curves.
    pub at_servers: bool,
}

/// All that rustls has.
const CIPHERS: [Cipher; 9] = {
    use CipherSuite as S;
    const fn cipher(suite: CipherSuite, name: &'static str, at_servers: bool) -> Cipher {
        Cipher {
            suite,
            name,
            at_servers,
        }
    }
    [
        cipher(S::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384", true),
        cipher(S::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256", true),
        cipher(
            S::TLS13_CHACHA20_POLY1305_SHA256,
            "TLS_CHACHA20_POLY1305_SHA256",
            true,
        ),
        cipher(
            S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            true,
        ),
        cipher(
            S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            true,
        ),
        cipher(
            S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            true,
        ),
        cipher(
            S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            "ECDHE-RSA-AES256-GCM-SHA384",
            false,
        ),
        cipher(
            S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            "ECDHE-RSA-AES128-GCM-SHA256",
            false,
        ),
        cipher(
            S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            "ECDHE-RSA-CHACHA20-POLY1305",
            false,
        ),
    ]
};

impl Cipher {
    /// The cipher that a handshake has chosen.
    #[must_use]
    pub fn of(suite: CipherSuite) -> Option<Self> {
        CIPHERS.into_iter().find(|cipher| cipher.suite == suite)
    }
}
