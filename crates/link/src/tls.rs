//! TLS to a server.
//!
//! Over TCP the server's certificate must match its identity. Over a Unix socket TLS is used only for
//! accounts with `REQUIRE SSL`; there the socket's path identifies the server.

use std::io;
use std::sync::Arc;

use dormouse_types::{Endpoint, TlsIdentity};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Unusable;
use crate::presented::{ClientCertificate, Presented};
use crate::socket::Socket;

/// TLS handshake with the server of an endpoint. Callers set their own deadline.
pub(crate) async fn connect(
    socket: Socket,
    endpoint: &Endpoint,
    presented: Presented,
) -> io::Result<TlsStream<Socket>> {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(cipher) = presented.cipher {
        provider
            .cipher_suites
            .retain(|one| one.suite() == cipher.suite);
    }
    let provider = Arc::new(provider);
    let (name, verifier): (&str, Arc<dyn ServerCertVerifier>) = match endpoint {
        Endpoint::Unix(_) => ("localhost", Arc::new(AnyCertificate(Arc::clone(&provider)))),
        Endpoint::Tcp { identity, .. } => (&identity.name, verifier_for(identity, &provider)?),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match presented.certificate {
        None => config.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => config
            .with_client_auth_cert(chain, key)
            .map_err(io::Error::other)?,
    };
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, socket).await
}

/// Checks that the connection is open and no data has arrived; processes TLS's own records (session
/// tickets). Reads the socket directly: the event loop may not have reported the latest bytes yet.
pub(crate) fn check_idle(stream: &mut TlsStream<Socket>) -> Result<(), Unusable> {
    let (socket, session) = stream.get_mut();
    loop {
        let state = session
            .process_new_packets()
            .map_err(|_| Unusable::Closed)?;
        if state.plaintext_bytes_to_read() > 0 {
            return Err(Unusable::Bytes);
        }
        if state.peer_has_closed() {
            return Err(Unusable::Closed);
        }
        match session.read_tls(&mut socket.raw()) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Ok(0) | Err(_) => return Err(Unusable::Closed),
        }
    }
}

/// Verifier that trusts only the identity's authority (RFC 5280).
fn verifier_for(
    identity: &TlsIdentity,
    provider: &Arc<CryptoProvider>,
) -> io::Result<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from(identity.authority.to_vec());
    roots.add(authority).map_err(io::Error::other)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(io::Error::other)
}

/// Accepts any certificate: only the server and Dormouse can reach the Unix socket's directory, so a
/// certificate would prove nothing more.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
