use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use dormouse_types::TlsIdentity;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn pair() -> (Link, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Link::over_unix(ours).unwrap(), theirs)
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn endpoint(address: SocketAddr, name: &str, authority: &[u8]) -> Endpoint {
    Endpoint::Tcp {
        address,
        identity: TlsIdentity {
            name: name.into(),
            authority: authority.into(),
        },
    }
}

/// A key with a self-signed certificate for `localhost`.
fn certificate() -> (rcgen::KeyPair, rcgen::Certificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (key, certificate)
}

fn server_config(key: &rcgen::KeyPair, certificate: &rcgen::Certificate) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

/// Echoes four bytes over TLS, then closes.
fn echo(
    listener: TcpListener,
    key: &rcgen::KeyPair,
    certificate: &rcgen::Certificate,
) -> JoinHandle<bool> {
    let config = server_config(key, certificate);
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(config).unwrap();
        let mut tls = StreamOwned::new(connection, socket);
        let mut bytes = [0; 4];
        tls.read_exact(&mut bytes).is_ok() && tls.write_all(&bytes).is_ok()
    })
}

#[tokio::test]
async fn a_write_to_a_full_socket_waits_and_loses_nothing() {
    let (mut ours, theirs) = pair();
    theirs.set_nonblocking(true).unwrap();
    let mut theirs = Link::over_unix(theirs).unwrap();
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let copy = sent.clone();
    let writer = tokio::spawn(async move { ours.write_all(&copy).await.map(|()| ours) });
    let mut got = vec![0; sent.len()];
    theirs.read_exact(&mut got).await.unwrap();
    assert!(got == sent);
    drop(writer.await.unwrap().unwrap());
    assert_eq!(theirs.read(&mut got).await.unwrap(), 0);
}

#[tokio::test]
async fn a_unix_reset_proves_that_a_command_was_not_read() {
    let (mut link, theirs) = pair();
    link.write_all(b"command").await.unwrap();
    drop(theirs);
    let error = link.read_u8().await.unwrap_err();
    assert!(link.proves_unread(&error), "{error:?}");
}

#[tokio::test]
async fn a_unix_peer_that_has_read_proves_nothing() {
    let (mut link, mut theirs) = pair();
    link.write_all(b"command").await.unwrap();
    theirs.read_exact(&mut [0; 7]).unwrap();
    drop(theirs);
    let error = link.read_u8().await.unwrap_err();
    assert!(!link.proves_unread(&error), "{error:?}");
}

#[tokio::test]
async fn a_reset_over_tcp_proves_nothing() {
    let (listener, address) = listener();
    let mut link = Link::connect(&endpoint(address, "localhost", b""))
        .await
        .unwrap();
    let (theirs, _) = listener.accept().unwrap();
    link.write_all(b"command").await.unwrap();
    // closing with bytes unread resets (RFC 1122, 4.2.2.13)
    drop(theirs);
    let error = link.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(!link.proves_unread(&error));
}

#[tokio::test]
async fn nothing_is_written_to_a_tcp_peer_that_has_closed() {
    let (listener, address) = listener();
    let mut link = Link::connect(&endpoint(address, "localhost", b""))
        .await
        .unwrap();
    let (mut theirs, _) = listener.accept().unwrap();
    // unread bytes from the peer make no difference
    theirs.write_all(b"bye").unwrap();
    drop(theirs);
    link.read_exact(&mut [0; 1]).await.unwrap();
    let error = link.write_all(b"command").await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn silence_distinguishes_bytes_from_an_end() {
    let (mut link, mut theirs) = pair();
    assert_eq!(link.silence(), Ok(()));
    theirs.write_all(b"x").unwrap();
    assert_eq!(link.silence(), Err(Noise::Bytes));
    let (mut link, theirs) = pair();
    drop(theirs);
    assert_eq!(link.silence(), Err(Noise::Closed));
}

/// A TLS link and its server. What `send` does is done, but the event loop has not run since.
async fn answered(
    send: impl FnOnce(&mut StreamOwned<ServerConnection, TcpStream>) + Send + 'static,
) -> (Link, impl Sized) {
    let (key, certificate) = certificate();
    let (listener, address) = listener();
    let config = server_config(&key, &certificate);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(config).unwrap();
        let mut tls = StreamOwned::new(connection, socket);
        tls.write_all(b"x").unwrap();
        gone.recv().unwrap();
        send(&mut tls);
        tls
    });
    let endpoint = endpoint(address, "localhost", certificate.der());
    let link = Link::connect(&endpoint).await.unwrap();
    let mut link = link.secure(&endpoint).await.unwrap();
    link.read_exact(&mut [0]).await.unwrap();
    // the event loop does not run from here on
    go.send(()).unwrap();
    (link, server.join().unwrap())
}

#[tokio::test]
async fn silence_over_tls_does_not_depend_on_the_event_loop() {
    let (mut quiet, _server) = answered(|_| {}).await;
    assert_eq!(quiet.silence(), Ok(()));
    let (mut noisy, _server) = answered(|tls| tls.write_all(b"x").unwrap()).await;
    assert_eq!(noisy.silence(), Err(Noise::Bytes));
    let (mut ended, _server) = answered(|tls| {
        tls.conn.send_close_notify();
        tls.flush().unwrap();
    })
    .await;
    assert_eq!(ended.silence(), Err(Noise::Closed));
    let (mut cut, _server) =
        answered(|tls| tls.sock.shutdown(std::net::Shutdown::Both).unwrap()).await;
    assert_eq!(cut.silence(), Err(Noise::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_link_works_after_moving_to_another_thread() {
    let (key, certificate) = certificate();
    let (listener, address) = listener();
    let echo = echo(listener, &key, &certificate);
    let endpoint = endpoint(address, "localhost", certificate.der());
    let link = Link::connect(&endpoint).await.unwrap();
    let link = link.secure(&endpoint).await.unwrap();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let mut link = link.move_here().unwrap();
            // session tickets may have arrived; they are not data
            assert_eq!(link.silence(), Ok(()));
            link.write_all(b"ping").await.unwrap();
            link.flush().await.unwrap();
            let mut bytes = [0; 4];
            link.read_exact(&mut bytes).await.unwrap();
            bytes
        })
    });
    assert_eq!(elsewhere.join().unwrap(), *b"ping");
    assert!(echo.join().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_certificate_or_name_is_refused() {
    let (key, shown) = certificate();
    let (_, known) = certificate();
    for (name, authority) in [("localhost", known.der()), ("elsewhere", shown.der())] {
        let (listener, address) = listener();
        let echo = echo(listener, &key, &shown);
        let endpoint = endpoint(address, name, authority);
        let link = Link::connect(&endpoint).await.unwrap();
        let error = link.secure(&endpoint).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(!echo.join().unwrap());
    }
}

#[test]
fn proxy_header_has_the_client_address() {
    let unix = Endpoint::unix("/s");
    let tcp = endpoint("127.0.0.1:1".parse().unwrap(), "localhost", b"");
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let from = |from, to| Origin::Tcp {
        from: address(from),
        to: address(to),
    };
    let four = from("[::ffff:9.8.7.6]:5", "1.2.3.4:3306");
    let six = from("[2001:db8::1]:5", "[2001:db8::2]:3306");
    for endpoint in [&unix, &tcp] {
        assert_eq!(
            proxy_header(endpoint, &four),
            b"PROXY TCP4 9.8.7.6 1.2.3.4 5 3306\r\n"
        );
        assert_eq!(
            proxy_header(endpoint, &six),
            b"PROXY TCP6 2001:db8::1 2001:db8::2 5 3306\r\n"
        );
    }
    assert_eq!(proxy_header(&unix, &Origin::Local), b"");
    let local = proxy_header(&tcp, &Origin::Local);
    assert!(local.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8"));
    assert_eq!(local.len(), 16 + 216);
}
