//! One connection: the program `ssh` with the subsystem `sftp`, and the operations over it.

use std::collections::BTreeSet;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::of_status;
use super::wire::{self, Answer, Attributes, Packet, Status, nonsense};
use crate::files::{Fail, FailKind, Part};
use crate::location::Host;
use crate::remote::http::one_line;

/// Bytes of one read or write; what every server takes.
const PIECE: usize = 32 << 10;

/// How many of them are on their way at the same time.
const WINDOW: usize = 64;

/// Most of what `ssh` says that is kept.
const SAID: usize = 4 << 10;

/// How long `ssh` may take to end after it has closed the connection.
const END: Duration = Duration::from_secs(2);

/// Whom to connect to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) identity_file: Option<String>,
    pub(crate) known_hosts_file: Option<String>,
}

impl Target {
    fn command(&self) -> Command {
        let mut ssh = Command::new("ssh");
        for option in [
            // Nobody answers questions.
            "BatchMode=yes",
            "ConnectTimeout=15",
            "ServerAliveInterval=15",
            "ServerAliveCountMax=2",
            // A process of its own, that ends with this one.
            "ControlMaster=no",
            "ControlPath=none",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
            "ForwardX11=no",
            "PermitLocalCommand=no",
            "RequestTTY=no",
            "RemoteCommand=none",
        ] {
            ssh.args(["-o", option]);
        }
        if let Some(file) = &self.identity_file {
            ssh.args(["-o", "IdentitiesOnly=yes", "-i", file]);
        }
        if let Some(file) = &self.known_hosts_file {
            ssh.arg("-o").arg(format!("UserKnownHostsFile={file}"));
        }
        if let Some(user) = &self.host.user {
            ssh.args(["-l", user]);
        }
        if let Some(port) = self.host.port {
            ssh.arg("-p").arg(port.to_string());
        }
        ssh.args(["-s", "--", &self.host.host, "sftp"]);
        ssh.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        ssh
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Session {
    ssh: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    said: Arc<Mutex<String>>,
    extensions: BTreeSet<String>,
    /// The number of the last request.
    last: u32,
    /// Nothing more can be asked.
    lost: bool,
}

impl Session {
    /// Connects and logs in.
    pub(super) async fn connect(target: &Target) -> Result<Self, Fail> {
        let mut ssh = target.command().spawn().map_err(|error| {
            let text = match error.kind() {
                io::ErrorKind::NotFound => {
                    "the program ssh is not installed (Debian: openssh-client)".to_owned()
                }
                _ => format!("the program ssh cannot be started: {error}"),
            };
            Fail::new(FailKind::Setup, text)
        })?;
        let pipes = (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take());
        let (Some(to), Some(from), Some(mut errors)) = pipes else {
            return Err(Fail::new(FailKind::Setup, "the program ssh has no pipes"));
        };
        let said = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&said);
        tokio::spawn(async move {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = errors.read(&mut bytes).await {
                let mut said = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if said.len() < SAID {
                    said.push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
            }
        });
        let mut session = Self {
            ssh,
            to,
            from: BufReader::with_capacity(PIECE * 2, from),
            said,
            extensions: BTreeSet::new(),
            last: 0,
            lost: false,
        };
        match session.greet().await {
            Ok(()) => Ok(session),
            Err(fail) => Err(session.why(target, fail).await),
        }
    }

    async fn greet(&mut self) -> Result<(), Fail> {
        self.send(Packet::new(wire::INIT).u32(3)).await?;
        let answer = self.receive().await?;
        let mut answer = Answer(&answer);
        if answer.u8()? != wire::VERSION {
            return Err(nonsense());
        }
        answer.u32()?;
        while !answer.is_empty() {
            let name = answer.text()?;
            answer.bytes()?;
            self.extensions.insert(name);
        }
        Ok(())
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Why the connection was lost: what `ssh` has said of it.
    pub(super) async fn why(mut self, target: &Target, fail: Fail) -> Fail {
        if fail.kind == FailKind::Broken {
            return fail;
        }
        drop(self.to);
        // It says why before it ends.
        let _ = timeout(END, self.ssh.wait()).await;
        tokio::task::yield_now().await;
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let host = &target.host.host;
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        let last = one_line(last.unwrap_or_default());
        let is = |words: &str| said.contains(words);
        if is("Host key verification failed") || is("IDENTIFICATION HAS CHANGED") {
            let what = if is("IDENTIFICATION HAS CHANGED") {
                "has changed"
            } else {
                "is not known"
            };
            let text = format!(
                "the host key of {host} {what}: compare it with that of the host, and add it with `ssh-keyscan {host}` to the \
                 file of known hosts of the user that runs Dormouse, or to the one that the option known_hosts_file names"
            );
            return Fail::new(FailKind::Setup, text);
        }
        if is("Permission denied (") {
            let text = format!(
                "{last}; it accepts no key of the user that runs Dormouse: name one in the option identity_file, or in ssh_config"
            );
            return Fail::new(FailKind::Denied, text);
        }
        if is("subsystem request failed") {
            let text = format!("{host} does not offer the subsystem sftp");
            return Fail::new(FailKind::Setup, text);
        }
        if last.is_empty() {
            return fail;
        }
        Fail::new(FailKind::Away, last)
    }

    async fn send(&mut self, packet: Packet) -> Result<(), Fail> {
        let sent = self.to.write_all(&packet.done()).await;
        sent.map_err(|error| self.lose(&error))
    }

    fn lose(&mut self, error: &io::Error) -> Fail {
        self.lost = true;
        Fail::new(FailKind::Away, format!("the connection was lost: {error}"))
    }

    async fn receive(&mut self) -> Result<Bytes, Fail> {
        let length = self.from.read_u32().await;
        let length = length.map_err(|error| self.lose(&error))?;
        if length > wire::LONGEST {
            self.lost = true;
            return Err(nonsense());
        }
        let mut bytes = BytesMut::zeroed(length as usize);
        let read = self.from.read_exact(&mut bytes).await;
        read.map_err(|error| self.lose(&error))?;
        Ok(bytes.freeze())
    }

    /// Starts a request; a dropped future in between leaves a connection that nobody uses again.
    fn request(&mut self, kind: u8) -> Packet {
        self.last = self.last.wrapping_add(1);
        Packet::new(kind).u32(self.last)
    }

    /// The next answer, with its kind and the number of its request.
    async fn answer(&mut self) -> Result<(u8, u32, Bytes), Fail> {
        let bytes = self.receive().await?;
        let mut answer = Answer(&bytes);
        let head = answer.u8().and_then(|kind| Ok((kind, answer.u32()?)));
        let (kind, number) = head.inspect_err(|_| self.lost = true)?;
        Ok((kind, number, bytes.slice(5..)))
    }

    /// Asks for one answer of a kind; `Err` of the inner result is a status.
    async fn ask(&mut self, packet: Packet, kind: u8) -> Result<Result<Bytes, Status>, Fail> {
        self.send(packet).await?;
        match self.answer().await? {
            (found, number, bytes) if found == kind && number == self.last => Ok(Ok(bytes)),
            (wire::STATUS, number, bytes) if number == self.last => {
                Ok(Err(Answer(&bytes).status()?))
            }
            _ => {
                self.lost = true;
                Err(nonsense())
            }
        }
    }

    /// Asks for something that is answered by a status.
    async fn tell(&mut self, packet: Packet, path: &str) -> Result<(), Fail> {
        let answer = self.ask(packet, wire::STATUS).await?;
        let status = match answer {
            Ok(bytes) => Answer(&bytes).status()?,
            Err(status) => status,
        };
        match status.code {
            Status::OK => Ok(()),
            _ => Err(of_status(&status, path)),
        }
    }

    async fn handle(&mut self, packet: Packet, path: &str) -> Result<Bytes, Fail> {
        match self.ask(packet, wire::HANDLE).await? {
            Ok(bytes) => {
                let length = Answer(&bytes).bytes()?.len();
                Ok(bytes.slice(4..4 + length))
            }
            Err(status) => Err(of_status(&status, path)),
        }
    }

    async fn close(&mut self, handle: &[u8], path: &str) -> Result<(), Fail> {
        let packet = self.request(wire::CLOSE).bytes(handle);
        self.tell(packet, path).await
    }

    pub(super) async fn stat(&mut self, path: &str) -> Result<Option<Attributes>, Fail> {
        let packet = self.request(wire::STAT).bytes(path.as_bytes());
        match self.ask(packet, wire::ATTRS).await? {
            Ok(bytes) => Ok(Some(Answer(&bytes).attributes()?)),
            Err(status) if status.code == Status::NO_SUCH_FILE => Ok(None),
            Err(status) => Err(of_status(&status, path)),
        }
    }

    pub(super) async fn make_folder(&mut self, path: &str) -> Result<(), Fail> {
        let packet = self.request(wire::MKDIR).bytes(path.as_bytes()).mode(0o700);
        self.tell(packet, path).await
    }

    pub(super) async fn remove(&mut self, path: &str) -> Result<(), Fail> {
        let packet = self.request(wire::REMOVE).bytes(path.as_bytes());
        self.tell(packet, path).await
    }

    /// Renames a file; one that has the new name is replaced, if the server can do that.
    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<(), Fail> {
        const REPLACING: &str = "posix-rename@openssh.com";
        let packet = if self.extensions.contains(REPLACING) {
            self.request(wire::EXTENDED).bytes(REPLACING.as_bytes())
        } else {
            self.request(wire::RENAME)
        };
        let packet = packet.bytes(from.as_bytes()).bytes(to.as_bytes());
        self.tell(packet, to).await
    }

    pub(super) async fn list(&mut self, path: &str) -> Result<Vec<(String, Attributes)>, Fail> {
        let packet = self.request(wire::OPENDIR).bytes(path.as_bytes());
        let handle = self.handle(packet, path).await?;
        let mut found = Vec::new();
        loop {
            let packet = self.request(wire::READDIR).bytes(&handle);
            match self.ask(packet, wire::NAME).await? {
                Ok(bytes) => {
                    let mut answer = Answer(&bytes);
                    for _ in 0..answer.u32()? {
                        let name = answer.text()?;
                        answer.bytes()?;
                        let attributes = answer.attributes()?;
                        if name != "." && name != ".." {
                            found.push((name, attributes));
                        }
                    }
                }
                Err(status) if status.code == Status::EOF => break,
                Err(status) => {
                    self.close(&handle, path).await?;
                    return Err(of_status(&status, path));
                }
            }
        }
        self.close(&handle, path).await?;
        Ok(found)
    }

    /// Reads a file or a part of it, which may be shorter than asked for.
    pub(super) async fn read(&mut self, path: &str, part: Option<Part>) -> Result<Bytes, Fail> {
        let part = match part {
            Some(part) => part,
            None => {
                let found = self.stat(path).await?;
                let missing = || Fail::new(FailKind::Gone, format!("'{path}': no such file"));
                let length = found.ok_or_else(missing)?.size;
                Part { offset: 0, length }
            }
        };
        let packet = self.request(wire::OPEN).bytes(path.as_bytes());
        let packet = packet.u32(wire::FOR_READING).u32(0);
        let handle = self.handle(packet, path).await?;
        let read = self.read_all(&handle, path, part).await;
        if !self.lost {
            self.close(&handle, path).await?;
        }
        read
    }

    async fn read_all(&mut self, handle: &[u8], path: &str, part: Part) -> Result<Bytes, Fail> {
        let length = usize::try_from(part.length)
            .map_err(|_| Fail::new(FailKind::Broken, format!("'{path}' is too long")))?;
        let mut read = BytesMut::with_capacity(length);
        while read.len() < length {
            // Their answers come in any order.
            let first = self.last.wrapping_add(1);
            let pieces = (length - read.len()).div_ceil(PIECE).min(WINDOW);
            for piece in 0..pieces {
                let at = read.len() + piece * PIECE;
                let wanted = u32::try_from((length - at).min(PIECE)).unwrap_or(0);
                let packet = self.request(wire::READ).bytes(handle);
                let packet = packet.u64(part.offset + at as u64).u32(wanted);
                self.send(packet).await?;
            }
            let mut answers: Vec<Option<Bytes>> = vec![None; pieces];
            let mut failed = None;
            for _ in 0..pieces {
                let (kind, number, bytes) = self.answer().await?;
                let place = answers.get_mut(number.wrapping_sub(first) as usize);
                match (kind, place) {
                    (wire::DATA, Some(place)) => {
                        let data = Answer(&bytes).bytes()?.len();
                        *place = Some(bytes.slice(4..4 + data));
                    }
                    (wire::STATUS, Some(_)) => {
                        let status = Answer(&bytes).status()?;
                        if status.code != Status::EOF {
                            failed = Some(of_status(&status, path));
                        }
                    }
                    _ => {
                        self.lost = true;
                        return Err(nonsense());
                    }
                }
            }
            if let Some(fail) = failed {
                return Err(fail);
            }
            for (piece, answer) in answers.iter().enumerate() {
                let wanted = (length - read.len()).min(PIECE);
                let found = answer.as_ref().map_or(0, Bytes::len);
                read.extend_from_slice(answer.as_deref().unwrap_or_default());
                if found < wanted {
                    // A server may send less: what is missing is asked for again, unless there is no more.
                    if piece == 0 && found == 0 {
                        return Ok(read.freeze());
                    }
                    break;
                }
            }
        }
        Ok(read.freeze())
    }

    /// Writes a file anew, and brings it to the server's disk if the server can do that.
    pub(super) async fn write(&mut self, path: &str, content: &[Bytes]) -> Result<(), Fail> {
        const SYNC: &str = "fsync@openssh.com";
        let packet = self.request(wire::OPEN).bytes(path.as_bytes());
        let handle = self
            .handle(packet.u32(wire::ANEW).mode(0o600), path)
            .await?;
        let mut written = self.write_all(&handle, path, content).await;
        if written.is_ok() && self.extensions.contains(SYNC) {
            let packet = self.request(wire::EXTENDED).bytes(SYNC.as_bytes());
            written = self.tell(packet.bytes(&handle), path).await;
        }
        if !self.lost {
            let closed = self.close(&handle, path).await;
            written = written.and(closed);
        }
        written
    }

    async fn write_all(&mut self, handle: &[u8], path: &str, all: &[Bytes]) -> Result<(), Fail> {
        let (mut offset, mut open) = (0, 0);
        let mut failed = None;
        let pieces = all.iter().flat_map(|part| part.chunks(PIECE));
        for piece in pieces {
            if open == WINDOW {
                failed = failed.or(self.written(path).await?);
                open -= 1;
            }
            if failed.is_some() {
                break;
            }
            let packet = self.request(wire::WRITE).bytes(handle);
            self.send(packet.u64(offset).bytes(piece)).await?;
            offset += piece.len() as u64;
            open += 1;
        }
        for _ in 0..open {
            failed = failed.or(self.written(path).await?);
        }
        failed.map_or(Ok(()), Err)
    }

    /// The answer to a write; `Some` if it failed.
    async fn written(&mut self, path: &str) -> Result<Option<Fail>, Fail> {
        let (kind, _, bytes) = self.answer().await?;
        if kind != wire::STATUS {
            self.lost = true;
            return Err(nonsense());
        }
        let status = Answer(&bytes).status()?;
        Ok((status.code != Status::OK).then(|| of_status(&status, path)))
    }

    /// The bytes that are free where a path is, if the server can tell.
    pub(super) async fn free(&mut self, path: &str) -> Result<u64, Fail> {
        const FREE: &str = "statvfs@openssh.com";
        if !self.extensions.contains(FREE) {
            return Ok(u64::MAX);
        }
        let packet = self.request(wire::EXTENDED).bytes(FREE.as_bytes());
        match self
            .ask(packet.bytes(path.as_bytes()), wire::EXTENDED_REPLY)
            .await?
        {
            Ok(bytes) => {
                let mut answer = Answer(&bytes);
                let (_, fragment) = (answer.u64()?, answer.u64()?);
                let (_, _, available) = (answer.u64()?, answer.u64()?, answer.u64()?);
                Ok(fragment.saturating_mul(available))
            }
            Err(_) => Ok(u64::MAX),
        }
    }
}
