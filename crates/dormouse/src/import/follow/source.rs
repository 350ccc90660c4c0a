//! The server that is followed: how it is reached, asked, and read.

use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_api::ErrorBody;
use dormouse_wire::{Capabilities, LoginError};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use super::halt::Halt;
use crate::import::connection::{Connection, Failure, Login, Stream};
use crate::import::live::{Address, PASSWORD};

/// How long the other server may be silent: it sends a heartbeat each second.
const SILENCE: Duration = Duration::from_secs(30);

/// Codes of a server that starts, stops, or has too many connections.
const PASSING: [u16; 6] = [1040, 1053, 1203, 2013, 1927, 1158];

/// Connects and logs in.
///
/// # Errors
/// [`Halt::Source`] if the server is not reached now, [`Halt::Stop`] if it refuses.
pub(crate) fn connect(address: &Address) -> Result<Connection, Halt> {
    connect_for(address, SILENCE)
}

/// The same; each answer must come within `patience`, 30 s at most.
///
/// # Errors
/// As those of [`connect`].
pub(crate) fn connect_for(address: &Address, patience: Duration) -> Result<Connection, Halt> {
    let patience = Some(patience.min(SILENCE));
    let gone = |e: io::Error| Halt::Source(format!("{} cannot be reached: {e}", address.host));
    let stream: Box<dyn Stream> = match &address.socket {
        Some(path) => {
            let stream = UnixStream::connect(path).map_err(gone)?;
            stream.set_read_timeout(patience).map_err(gone)?;
            Box::new(stream)
        }
        None => {
            let stream = TcpStream::connect((address.host.as_str(), address.port)).map_err(gone)?;
            stream.set_read_timeout(patience).map_err(gone)?;
            stream.set_nodelay(true).map_err(gone)?;
            Box::new(stream)
        }
    };
    let secure = |stream| secured(stream, address);
    let from_environment = std::env::var(PASSWORD).ok();
    let password = address.password.clone().or(from_environment);
    let login = Login {
        user: address.user.clone(),
        password: password.as_deref().unwrap_or_default(),
        capabilities: Capabilities::default(),
        attributes: vec![(b"program_name".to_vec(), b"dormouse".to_vec())],
        secure: address.ssl_ca.as_ref().map(|_| &secure as _),
    };
    Connection::over(stream, login).map_err(|error| match error {
        LoginError::Refused(error) if PASSING.contains(&error.code) => {
            Halt::Source(format!("{}: {error}", address.host))
        }
        error => {
            let message = format!("{} refuses the login of {}: {error}", address.host, address.user);
            Halt::Stop(ErrorBody::new("refused", message).with_hint(
                "check user and password (URL or DORMOUSE_FROM_PASSWORD); the account must have mysql_native_password",
            ))
        }
    })
}

/// TLS on a stream, with a check of the server's certificate.
fn secured(stream: Box<dyn Stream>, address: &Address) -> io::Result<Box<dyn Stream>> {
    let mut roots = rustls::RootCertStore::empty();
    let path = address.ssl_ca.as_deref().unwrap_or_default();
    for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        let certificate = certificate.map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    let session =
        rustls::ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(Box::new(rustls::StreamOwned::new(session, stream)))
}

/// Asks a question. The rows are text.
///
/// # Errors
/// The server is gone, or refuses.
pub(crate) fn ask(
    connection: &mut Connection,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>, Halt> {
    match connection.run(sql.as_bytes()) {
        Ok(answer) => Ok(answer.rows),
        Err(Failure::Gone(error)) => Err(Halt::Source(format!(
            "the connection to the other server broke: {error}"
        ))),
        Err(Failure::Refused(error)) if PASSING.contains(&error.code) => {
            Err(Halt::Source(format!("the other server: {error}")))
        }
        Err(Failure::Refused(error)) => Err(Halt::Stop(ErrorBody::new(
            "refused",
            format!("the other server refused: {error} ({sql})"),
        ))),
    }
}

/// The first column of the first row.
///
/// # Errors
/// As those of [`ask`].
pub(crate) fn value(connection: &mut Connection, sql: &str) -> Result<Option<String>, Halt> {
    let rows = ask(connection, sql)?;
    Ok(rows.into_iter().flatten().next().flatten())
}
