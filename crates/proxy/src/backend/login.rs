//! Connecting to a server and logging in as the client's user.

use dormouse_link::{ClientCertificate, Link, Origin, Presented, proxy_header};
use dormouse_types::{Endpoint, Target};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::client::{ClientConfig, ClientLogin, LoginError, LoginStep};
use dormouse_wire::packet::PacketBuffer;
use dormouse_wire::reader::Malformed;
use dormouse_wire::status::Status;
use tokio::io::AsyncReadExt;

use super::error::{BackendError, LONGEST_ANSWER, PATIENCE};
use crate::deadline::{within, write_all};
use crate::identity::{Identity, wanted};
use crate::refusal;
use crate::stream::Peer;

/// A connection to a server, logged in.
pub(crate) struct Connection {
    pub(super) link: Link,
    pub(super) thread: u32,
    pub(super) capabilities: Capabilities,
    /// The status flags of the login's answer.
    pub(super) status: Status,
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn connect(
        target: &Target,
        identity: &Identity,
        credential: [u8; 20],
        certificate: Option<ClientCertificate>,
    ) -> Result<Self, BackendError> {
        let endpoint = &target.endpoint;
        let mut link = within(PATIENCE, Link::connect(endpoint)).await?;
        let header = proxy_header(endpoint, &origin(&identity.peer));
        write_all(&mut link, &header, PATIENCE).await?;
        let tls = identity.security.is_tls() || matches!(endpoint, Endpoint::Tcp { .. });
        let mut login = ClientLogin::new(ClientConfig {
            capabilities: wanted(identity.capabilities).set(Capabilities::SSL, tls),
            collation: identity.collation,
            max_packet: identity.max_packet,
            user: identity.user.clone().into_bytes(),
            stage1: Some(credential),
            schema: None,
            attributes: identity.attributes.clone(),
        });
        let mut presented = Presented {
            certificate,
            cipher: identity.security.cipher(),
        };
        let mut packets = PacketBuffer::new(LONGEST_ANSWER);
        loop {
            let (seq, payload) = next_packet(&mut link, &mut packets).await?;
            match login.on_payload(seq, &payload) {
                Ok(LoginStep::Send(bytes)) => write_all(&mut link, &bytes, PATIENCE).await?,
                Ok(LoginStep::Secure(_)) if !packets.is_empty() => {
                    return Err(Malformed("unencrypted bytes behind the greeting").into());
                }
                Ok(LoginStep::Secure(bytes)) => {
                    write_all(&mut link, &bytes, PATIENCE).await?;
                    link = within(
                        PATIENCE,
                        link.secure_as(endpoint, std::mem::take(&mut presented)),
                    )
                    .await?;
                    let bytes = login.secured().map_err(std::io::Error::other)?;
                    write_all(&mut link, &bytes, PATIENCE).await?;
                }
                Ok(LoginStep::Done {
                    ok,
                    capabilities,
                    connection_id,
                    ..
                }) => {
                    if !packets.is_empty() {
                        return Err(Malformed("bytes behind a login's answer").into());
                    }
                    return Ok(Self {
                        link,
                        thread: connection_id,
                        capabilities,
                        status: ok.status,
                    });
                }
                Err(LoginError::Refused(error)) => return Err(BackendError::Refused(error)),
                Err(LoginError::Malformed(malformed)) => return Err(malformed.into()),
                Err(LoginError::NoTls) => {
                    return Err(BackendError::Refused(refusal::server_without_tls(
                        &identity.user,
                    )));
                }
            }
        }
    }
}

fn origin(peer: &Peer) -> Origin {
    match *peer {
        Peer::Tcp { from, to } => Origin::Tcp { from, to },
        Peer::Unix => Origin::Local,
    }
}

async fn next_packet(
    link: &mut Link,
    packets: &mut PacketBuffer,
) -> Result<(u8, Vec<u8>), BackendError> {
    loop {
        match packets.next() {
            Ok(Some(packet)) => return Ok(packet),
            Ok(None) => {}
            Err(error) => return Err(BackendError::Gone(std::io::Error::other(error))),
        }
        let mut bytes = Vec::with_capacity(4096);
        if within(PATIENCE, link.read_buf(&mut bytes)).await? == 0 {
            return Err(BackendError::Gone(std::io::ErrorKind::UnexpectedEof.into()));
        }
        packets.push(&bytes);
    }
}
