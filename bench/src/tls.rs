//! A client that logs in over TLS, optionally runs a statement, and is idle.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use dormouse_testkit::Client;
use dormouse_wire::auth::{NATIVE, native};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::Command;
use dormouse_wire::greeting::Greeting;
use dormouse_wire::login::{AuthSwitch, Login, SslRequest};
use dormouse_wire::packet::{HEADER, Header, write_packet};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

const MAX_PACKET: u32 = 1 << 24;
const UTF8MB4: u8 = 45;

/// A logged-in connection.
pub(crate) struct TlsClient {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
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
        Ok(Self { stream })
    }

    /// Runs `SELECT 1`.
    pub(crate) fn select(&mut self) -> anyhow::Result<()> {
        let text = b"SELECT 1";
        send(
            &mut self.stream,
            0,
            &[&[Command::Query as u8], &text[..]].concat(),
        )?;
        // number of columns, definition, row, end
        let packets = (0..4)
            .map(|_| receive(&mut self.stream))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let (_, row) = &packets[2];
        anyhow::ensure!(row == b"\x011", "SELECT 1 answered {row:?}");
        Ok(())
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
