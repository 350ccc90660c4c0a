//! Where a client finds the API, and its connection to it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::error::ErrorBody;

/// Deadline for a TCP connection and its TLS handshake.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Certificates that the system trusts, where its packages put them.
const SYSTEM_ROOTS: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Where the API is.
#[derive(Clone)]
pub(crate) enum Target {
    /// On a Unix socket.
    Socket(PathBuf),
    /// Behind TLS.
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
        config: Arc<ClientConfig>,
    },
}

/// A connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Tls { host, port, .. } if host.contains(':') => {
                write!(f, "https://[{host}]:{port}")
            }
            Self::Tls { host, port, .. } => write!(f, "https://{host}:{port}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Target {
    /// The target of a URL, whose server must have a certificate that these authorities signed; without a file,
    /// those that the system trusts.
    pub(crate) fn tls(url: &str, authorities: Option<&Path>) -> Result<Self, ErrorBody> {
        let invalid = |why: &str| {
            ErrorBody::new(
                "invalid",
                format!("'{}' is not the API's address: {why}", shown(url)),
            )
            .with_hint("write it as https://HOST:PORT")
        };
        let uri: Uri = url.parse().map_err(|_| invalid("it is no URL"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") => return Err(invalid("a token is sent over TLS only, so use https")),
            _ => return Err(invalid("it does not begin with https://")),
        }
        let authority = uri.authority().ok_or_else(|| invalid("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid(
                "a user or password in it is not used; a token is given in a file",
            ));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(invalid("it has a path"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let name =
            ServerName::try_from(host.clone()).map_err(|_| invalid("its host is no name"))?;
        Ok(Self::Tls {
            name,
            port: authority.port_u16().unwrap_or(443),
            host,
            config: Arc::new(config(authorities)?),
        })
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Tls {
                host,
                port,
                name,
                config,
            } => {
                let connect = async {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    stream.set_nodelay(true)?;
                    let connector = TlsConnector::from(Arc::clone(config));
                    connector.connect(name.clone(), stream).await
                };
                let late = || io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
                let connected = tokio::time::timeout(CONNECT_DEADLINE, connect).await;
                Ok(Box::new(connected.map_err(|_| late())??))
            }
        }
    }
}

/// A URL for a message, without what may be a password.
fn shown(url: &str) -> &str {
    match url.contains('@') {
        true => "…",
        false => url,
    }
}

fn config(authorities: Option<&Path>) -> Result<ClientConfig, ErrorBody> {
    let system = || {
        SYSTEM_ROOTS
            .iter()
            .map(Path::new)
            .find(|path| path.is_file())
    };
    let hint = "--api-ca FILE takes the certificate of the authority, PEM; without one of your own it is \
                DATA_DIR/tls/ca.crt of the server, which `dormouse tls` prints there";
    let path = authorities.or_else(system).ok_or_else(|| {
        let message = "this system has no certificates of authorities to check the server with";
        ErrorBody::new("invalid", message).with_hint(hint)
    })?;
    let unusable = |reason: String| {
        let message = format!(
            "{} cannot be used to check the server: {reason}",
            path.display()
        );
        ErrorBody::new("invalid", message).with_hint(hint)
    };
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unusable(e.to_string()))?;
    let (added, _ignored) = roots.add_parsable_certificates(all);
    if added == 0 {
        return Err(unusable("it contains no certificate".to_owned()));
    }
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth())
        .map_err(|e| ErrorBody::new("internal", format!("cannot set up TLS: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_of_a_host_are_targets() {
        for (url, told) in [
            ("http://h:1", "over TLS only"),
            ("ftp://h", "does not begin with https://"),
            ("h:1", "does not begin with https://"),
            ("https://h/v1", "has a path"),
            ("https://h?x=1", "has a path"),
            ("https://u:s3cret@h", "is not used"),
            ("https://", "no URL"),
        ] {
            let error = Target::tls(url, None).unwrap_err();
            assert!(error.message.contains(told), "{url}: {error}");
            assert!(!error.message.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_target_without_usable_authorities_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let told = |file: &Path| Target::tls("https://h:1", Some(file)).unwrap_err().message;
        assert!(told(&file).contains("ca.pem"), "{}", told(&file));
        std::fs::write(&file, "nothing").unwrap();
        assert!(
            told(&file).contains("contains no certificate"),
            "{}",
            told(&file)
        );
    }
}
