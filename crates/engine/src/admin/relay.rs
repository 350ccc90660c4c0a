//! Connections of another program to a server, with Dormouse's account but without its password.
//!
//! Dormouse logs in to the server; the program is welcomed, and then the two exchange bytes. So no credential leaves this
//! process, and what the program has locked is released when Dormouse ends. Whoever may connect is checked by the caller
//! ([`relay`]), or proves to know a password that is made for that alone ([`prove`]), before anything is opened for it ([`feed`]).

use std::io;
use std::sync::Mutex;
use std::time::Duration;

use dormouse_types::{Endpoint, InstanceId};
use dormouse_wire::{
    Capabilities, Command, Greeting, Login, NATIVE, OkPacket, PacketBuffer, Status, native,
    write_packet,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::time::{Instant, sleep_until};

use super::{Admin, AdminError, UTF8MB4};
use crate::Secret;

/// Time for a stage of the locks: until it is reached, and from the one that stops commits until the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What both connections can do: nothing that changes the layout of an answer.
const OFFERED: Capabilities = Capabilities(
    Capabilities::PROTOCOL_41.0
        | Capabilities::TRANSACTIONS.0
        | Capabilities::SECURE_CONNECTION.0
        | Capabilities::PLUGIN_AUTH.0,
);

/// Largest packet of the program that is read.
const LARGEST: usize = 1 << 20;

/// Largest login.
const LOGIN: usize = 16 << 10;

/// Time for a login.
const LOGIN_TIME: Duration = Duration::from_secs(5);

/// When the stages of `BACKUP STAGE` were reached.
#[derive(Debug, Default)]
pub struct Stages {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When commits were stopped.
    since: Option<Instant>,
    /// How long they were.
    stopped: Duration,
    /// Whether a connection was closed because a stage took too long.
    late: bool,
}

impl Stages {
    /// How long commits had to wait.
    #[must_use]
    pub fn stopped(&self) -> Duration {
        let state = self.lock();
        state.stopped + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether a stage was not reached in [time](PATIENCE).
    #[must_use]
    pub fn was_late(&self) -> bool {
        self.lock().late
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn end(&self) {
        let mut state = self.lock();
        if let Some(since) = state.since.take() {
            state.stopped += since.elapsed();
        }
    }
}

/// Serves a connection of a program until one side closes it.
///
/// # Errors
/// The server cannot be reached or refuses the account, or a connection breaks.
pub async fn relay<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: S,
    endpoint: &Endpoint,
    secret: &Secret,
    instance: InstanceId,
    stages: &Stages,
) -> Result<(), AdminError> {
    let mut admin = Admin::connect_with(endpoint, secret, instance, OFFERED).await?;
    // tables and stages are waited for as long as `PATIENCE` says
    admin.query("SET SESSION lock_wait_timeout = 86400").await?;
    welcome(&mut client, admin.greeting_version(), None).await?;
    let server = &mut admin.line.link;
    let mut packets = PacketBuffer::new(LARGEST);
    let mut locks = Locks::default();
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let ended = loop {
        let deadline = locks.deadline;
        tokio::select! {
            read = client.read(&mut up) => {
                let bytes = up.get(..read?).unwrap_or_default();
                if bytes.is_empty() {
                    break Ok(());
                }
                packets.push(bytes);
                while let Some((_, payload)) = packets.next().map_err(protocol)? {
                    locks.asked(&payload, stages);
                }
                server.write_all(bytes).await?;
                server.flush().await?;
            }
            read = server.read(&mut down) => {
                let bytes = down.get(..read?).unwrap_or_default();
                if bytes.is_empty() {
                    break Ok(());
                }
                locks.answered(stages);
                client.write_all(bytes).await?;
            }
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                stages.lock().late = true;
                break Err(AdminError::Late { doing: "locking for a backup", after: PATIENCE });
            }
        }
    };
    // the server releases the locks with the connection
    if locks.commits {
        stages.end();
    }
    ended
}

/// A server that follows another one, and has proved that it knows the password.
#[derive(Debug)]
pub struct Proven<S>(S);

/// Lets a client prove that it is the server which may follow. `version`: that of the server to follow, as in its greeting.
/// Nothing is opened for the client meanwhile.
///
/// # Errors
/// The password is wrong, the connection breaks, or it takes too long.
pub async fn prove<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: S,
    version: &str,
    password: &str,
) -> Result<Proven<S>, AdminError> {
    let proof = welcome(&mut client, version, Some(password));
    super::in_time("a follower's login", LOGIN_TIME, proof).await?;
    Ok(Proven(client))
}

/// Serves a connection of a server that follows another one, until one side closes it.
///
/// # Errors
/// The server cannot be reached or refuses the account, or a connection breaks.
pub async fn feed<S: AsyncRead + AsyncWrite + Unpin>(
    client: Proven<S>,
    endpoint: &Endpoint,
    secret: &Secret,
    instance: InstanceId,
) -> Result<(), AdminError> {
    let Proven(mut client) = client;
    let mut admin = Admin::connect_with(endpoint, secret, instance, OFFERED).await?;
    let server = &mut admin.line.link;
    copy_bidirectional(&mut client, server).await?;
    Ok(())
}

/// The locks of one connection.
#[derive(Debug, Default)]
struct Locks {
    deadline: Option<Instant>,
    /// Whether commits are stopped.
    commits: bool,
    /// Whether the end of the stages was asked for.
    ends: bool,
}

impl Locks {
    fn asked(&mut self, payload: &[u8], stages: &Stages) {
        let Some((&command, text)) = payload.split_first() else {
            return;
        };
        let Some(stage) = text.strip_prefix(b"BACKUP STAGE ") else {
            return;
        };
        if command != Command::Query as u8 {
            return;
        }
        self.deadline = Some(Instant::now() + PATIENCE);
        match stage {
            b"BLOCK_COMMIT" => {
                self.commits = true;
                stages.lock().since = Some(Instant::now());
            }
            b"END" => self.ends = true,
            _ => {}
        }
    }

    fn answered(&mut self, stages: &Stages) {
        if self.ends {
            (self.ends, self.commits) = (false, false);
            stages.end();
        }
        if !self.commits {
            self.deadline = None;
        }
    }
}

/// Logs the program in, whoever it says it is; with a password, if it knows that.
async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut S,
    version: &str,
    password: Option<&str>,
) -> Result<(), AdminError> {
    let mut salt = [0; 20];
    getrandom::fill(&mut salt).map_err(io::Error::other)?;
    // a salt has no NUL, at which old clients end it
    salt.iter_mut().for_each(|byte| *byte = *byte % 94 + 33);
    let greeting = Greeting {
        version: version.to_owned(),
        connection_id: 0,
        salt,
        capabilities: OFFERED,
        collation: UTF8MB4,
        status: Status(Status::AUTOCOMMIT.0),
        auth_plugin: NATIVE.to_owned(),
    };
    let mut bytes = Vec::new();
    write_packet(&mut bytes, 0, &greeting.encode());
    client.write_all(&bytes).await?;
    let mut packets = PacketBuffer::new(LOGIN);
    let mut buffer = [0; 1024];
    let (seq, payload) = loop {
        if let Some(packet) = packets.next().map_err(protocol)? {
            break packet;
        }
        match client.read(&mut buffer).await? {
            0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            read => packets.push(buffer.get(..read).unwrap_or_default()),
        }
    };
    let login = Login::parse(&payload, OFFERED).map_err(protocol)?;
    let knows = password.is_none_or(|password| {
        let stage2 = native::stage2(&native::stage1(password.as_bytes()));
        native::verify(&login.auth, &salt, &stage2)
    });
    if !knows {
        return Err(protocol("a client with a wrong password"));
    }
    let ok = OkPacket {
        affected: 0,
        last_insert_id: 0,
        status: Status(Status::AUTOCOMMIT.0),
        warnings: 0,
        info: Vec::new(),
        session_changes: Vec::new(),
    };
    bytes.clear();
    write_packet(&mut bytes, seq.wrapping_add(1), &ok.encode(OFFERED, false));
    Ok(client.write_all(&bytes).await?)
}

fn protocol(error: impl std::fmt::Display) -> AdminError {
    AdminError::Protocol(error.to_string())
}

#[cfg(test)]
mod tests {
    use dormouse_types::Endpoint;
    use tokio::net::UnixListener;

    use super::*;

    const VERSION: &str = "11.8.6-MariaDB";

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(work)
    }

    /// A client that has read the greeting, and what becomes of it.
    #[test]
    fn a_client_that_connects_and_stalls_is_cut() {
        block_on(async {
            let (mut client, here) = tokio::io::duplex(4096);
            let proving = tokio::spawn(async move { prove(here, VERSION, "secret").await });
            let mut greeting = [0; 5];
            client.read_exact(&mut greeting).await.unwrap();
            // one byte of a login, and no more
            client.write_all(&[60]).await.unwrap();
            let ended = proving.await.unwrap();
            assert!(
                matches!(
                    ended,
                    Err(AdminError::Late {
                        after: LOGIN_TIME,
                        ..
                    })
                ),
                "{ended:?}"
            );
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            assert!(String::from_utf8_lossy(&rest).contains("11.8.6"));
        });
    }

    #[test]
    fn nothing_is_opened_for_a_client_that_does_not_know_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("server");
        block_on(async {
            let server = UnixListener::bind(&socket).unwrap();
            let (mut client, here) = tokio::io::duplex(4096);
            let endpoint = Endpoint::Unix(socket.clone());
            let served = tokio::spawn(async move {
                let proven = prove(here, VERSION, "secret").await?;
                let secret = Secret::revealed(&"07".repeat(32)).unwrap();
                feed(proven, &endpoint, &secret, InstanceId(1)).await
            });
            // a login of a user without a password
            let mut login = Vec::new();
            login.extend(OFFERED.0.to_le_bytes().get(..4).unwrap());
            login.extend([0, 0, 0, 1, 45]);
            login.extend([0; 23]);
            login.extend(b"dormouse\0\0mysql_native_password\0");
            let mut bytes = Vec::new();
            write_packet(&mut bytes, 1, &login);
            client.write_all(&bytes).await.unwrap();
            let ended = served.await.unwrap().unwrap_err();
            assert!(ended.to_string().contains("wrong password"), "{ended}");
            let accepted = tokio::time::timeout(Duration::from_secs(1), server.accept()).await;
            assert!(accepted.is_err(), "the server was reached");
        });
    }
}
