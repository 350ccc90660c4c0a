//! What an account requires of its client's TLS session, and what the backends of its sessions show to the server.

use dormouse_link::Cipher;
use dormouse_session::tls_status::TlsStatus;
use dormouse_types::{CertificateNames, Transport};
use dormouse_wire::x509;
use rustls::{ProtocolVersion, ServerConnection};

/// What a client's TLS session proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientTls {
    /// The cipher; `None`: one without a name in OpenSSL.
    cipher: Option<Cipher>,
    /// The names in the client's certificate, which TLS has verified.
    names: Option<CertificateNames>,
}

impl ClientTls {
    /// Of a session whose handshake has ended.
    pub(crate) fn of(session: &ServerConnection) -> Self {
        let suite = session.negotiated_cipher_suite();
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let names = leaf.and_then(|leaf| x509::names(leaf).ok());
        Self {
            cipher: suite.and_then(|suite| Cipher::of(suite.suite())),
            names: names.map(|names| CertificateNames {
                issuer: names.issuer.into(),
                subject: names.subject.into(),
            }),
        }
    }
}

/// What a server would tell of this session.
pub(crate) fn status_of(session: &ServerConnection) -> TlsStatus {
    let suite = session.negotiated_cipher_suite();
    let cipher = suite.and_then(|suite| Cipher::of(suite.suite()));
    TlsStatus {
        cipher: cipher.map_or("", |cipher| cipher.name),
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        },
    }
}

/// What the backends of a session show to the server, which checks it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Security {
    /// The account requires nothing.
    Any,
    /// TLS.
    Tls,
    /// TLS with a certificate or a cipher.
    Shown(Box<Shown>),
}

/// What a connection shows besides TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The names of a certificate.
    pub(crate) names: Option<CertificateNames>,
    /// The only cipher to offer.
    pub(crate) cipher: Option<Cipher>,
}

/// Why a client may not log in to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lacking {
    /// It lacks TLS, the certificate or the cipher.
    Shown,
    /// It has the required cipher, which no server has.
    AtServers,
}

impl Security {
    /// Checks a client's TLS session as the server would (`sql/sql_acl.cc`, `acl_check_ssl`).
    pub(crate) fn of(required: &Transport, tls: Option<ClientTls>) -> Result<Self, Lacking> {
        if *required == Transport::Any {
            return Ok(Self::Any);
        }
        let tls = tls.ok_or(Lacking::Shown)?;
        let specified = match required {
            Transport::Any | Transport::Tls => return Ok(Self::Tls),
            Transport::Certificate => {
                let names = tls.names.ok_or(Lacking::Shown)?;
                return Ok(Self::Shown(Box::new(Shown {
                    names: Some(names),
                    cipher: None,
                })));
            }
            Transport::Specified(specified) => specified,
        };
        let mut shown = Shown::default();
        if !specified.cipher.is_empty() {
            let same = |cipher: &Cipher| cipher.name == specified.cipher;
            let cipher = tls.cipher.filter(same).ok_or(Lacking::Shown)?;
            if !cipher.at_servers {
                return Err(Lacking::AtServers);
            }
            shown.cipher = Some(cipher);
        }
        if !specified.issuer.is_empty() || !specified.subject.is_empty() {
            let names = tls.names.ok_or(Lacking::Shown)?;
            let same = |required: &str, name: &[u8]| {
                required.is_empty() || x509::oneline(name).is_ok_and(|text| text == required)
            };
            if !same(&specified.issuer, &names.issuer) || !same(&specified.subject, &names.subject)
            {
                return Err(Lacking::Shown);
            }
            shown.names = Some(names);
        }
        Ok(Self::Shown(Box::new(shown)))
    }

    /// Whether backends use TLS also on a Unix socket.
    pub(crate) fn is_tls(&self) -> bool {
        *self != Self::Any
    }

    /// The names of the certificate to show.
    pub(crate) fn names(&self) -> Option<&CertificateNames> {
        match self {
            Self::Any | Self::Tls => None,
            Self::Shown(shown) => shown.names.as_ref(),
        }
    }

    /// The only cipher to offer.
    pub(crate) fn cipher(&self) -> Option<Cipher> {
        match self {
            Self::Any | Self::Tls => None,
            Self::Shown(shown) => shown.cipher,
        }
    }
}

#[cfg(test)]
mod tests;
