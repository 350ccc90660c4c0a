//! A client that logs in over TLS and then is idle.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_testkit::Client;
use dormouse_wire::auth::{NATIVE, native};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::greeting::Greeting;
use dormouse_wire::login::{AuthSwitch, Login, SslRequest};
use dormouse_wire::packet::{HEADER, Header, write_packet};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

const MAX_PACKET: u32 = 1 << 24;
const UTF8MB4: u8 = 45;

/// A logged-in connection; it is only held.
pub(crate) struct TlsClient {
    _stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// What all clients share. The certificate is a generated one and is taken unseen: memory is
    /// measured, not trust.
    pub(crate) fn config() -> anyhow::Result<Arc<ClientConfig>> {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// Connects, starts TLS and logs in.
    pub(crate) fn connect(
        config: &Arc<ClientConfig>,
        address: &str,
        user: &str,
        password: &str,
    ) -> anyhow::Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (_, greeting) = receive(&mut socket)?;
        let greeting = Greeting::parse(&greeting)?;
        let capabilities = Client::plain_capabilities().set(Capabilities::SSL, true);
        let request = SslRequest {
            capabilities,
            max_packet: MAX_PACKET,
            collation: UTF8MB4,
        };
        send(&mut socket, 1, &request.encode())?;

        let name = ServerName::try_from("localhost")?;
        let tls = ClientConnection::new(Arc::clone(config), name)?;
        let mut stream = StreamOwned::new(tls, socket);
        let proof = |salt| native::reply(&native::stage1(password.as_bytes()), salt).to_vec();
        let login = Login {
            capabilities,
            max_packet: MAX_PACKET,
            collation: UTF8MB4,
            user: user.as_bytes().to_vec(),
            auth: proof(&greeting.salt),
            schema: None,
            plugin: Some(NATIVE.to_owned()),
            attributes: Vec::new(),
        };
        send(&mut stream, 2, &login.encode())?;
        let (mut seq, mut answer) = receive(&mut stream)?;
        if answer.first() == Some(&0xfe) {
            let salt = AuthSwitch::parse(&answer)?.salt();
            let salt =
                salt.ok_or_else(|| anyhow::anyhow!("asked for another plugin than {NATIVE}"))?;
            send(&mut stream, seq.wrapping_add(1), &proof(&salt))?;
            (seq, answer) = receive(&mut stream)?;
        }
        anyhow::ensure!(
            answer.first() == Some(&0),
            "login over TLS failed at packet {seq}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(Self { _stream: stream })
    }
}

fn send(stream: &mut impl Write, seq: u8, payload: &[u8]) -> anyhow::Result<()> {
    let mut packet = Vec::new();
    write_packet(&mut packet, seq, payload);
    stream.write_all(&packet)?;
    Ok(stream.flush()?)
}

fn receive(stream: &mut impl Read) -> anyhow::Result<(u8, Vec<u8>)> {
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let header = Header::parse(header);
    let mut payload = vec![0; header.len];
    stream.read_exact(&mut payload)?;
    Ok((header.seq, payload))
}

/// Takes any certificate.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
