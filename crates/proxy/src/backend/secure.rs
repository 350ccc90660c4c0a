//! TLS to a server, for accounts that demand it (`REQUIRE SSL`): a server turns them away on a bare
//! Unix socket.
//!
//! The session keeps a bare socket, to a task that passes all on through TLS. Whatever that task
//! could not deliver stays unread in the socket, so that the session still learns whether a dying
//! server had its command.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::copy_bidirectional;
use tokio_rustls::TlsConnector;

use super::link::Link;

/// Begins TLS. The server's greeting has been read, to the byte.
pub(super) async fn secure(stream: Link) -> io::Result<Link> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(KnownBySocket(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    let mut tls = Box::new(connector.connect(name, stream).await?);
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let mut far = Link::new(far)?;
    tokio::spawn(async move {
        // either side ends it; the other sees its socket close
        let _ = copy_bidirectional(&mut *tls, &mut far).await;
    });
    Link::new(near)
}

/// The server is known by its socket, which is in a directory of its own and Dormouse's: a
/// certificate could not say more.
#[derive(Debug)]
struct KnownBySocket(Arc<CryptoProvider>);

impl ServerCertVerifier for KnownBySocket {
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
