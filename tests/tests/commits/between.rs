//! Something between Dormouse and a server that kills the server in the middle of a command.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::{fs, thread};

use dormouse_testkit::{Dormouse, process};

/// When the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// Before it gets the command.
    Before,
    /// After it has replied to what was sent in front of the command, which it does not get.
    #[allow(dead_code, reason = "not all tests do")]
    Between,
    /// After it has replied, and before Dormouse gets the reply to the last of what was sent at once.
    After,
}

/// Takes the place of a server's socket, until the server is killed. All connections must be new.
pub(crate) struct Between {
    fired: Arc<AtomicBool>,
}

impl Between {
    /// Kills the server of the database when a command with this text comes.
    pub(crate) fn kill_at(
        dormouse: &Dormouse,
        database: &str,
        text: &'static str,
        when: When,
    ) -> Self {
        Self::aim(dormouse, database, text, when, None)
    }

    /// The same, and its files are moved to a place where nobody looks for them.
    #[allow(dead_code, reason = "not all tests lose files")]
    pub(crate) fn lose_at(
        dormouse: &Dormouse,
        database: &str,
        text: &'static str,
        when: When,
    ) -> Self {
        let away = dormouse.data_dir().join("lost");
        Self::aim(dormouse, database, text, when, Some(away))
    }

    fn aim(
        dormouse: &Dormouse,
        database: &str,
        text: &'static str,
        when: When,
        away: Option<PathBuf>,
    ) -> Self {
        // closes the connections there are
        let _ = dormouse.json(&["park", database]);
        let _ = dormouse.json(&["wake", database]);
        let socket = dormouse.instance(database).join("mysqld.sock");
        let real = socket.with_extension("real");
        let _ = fs::remove_file(&real);
        fs::rename(&socket, &real).unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        let fired = Arc::new(AtomicBool::new(false));
        let aim = Arc::new(Aim {
            pid: dormouse.server(database),
            text,
            when,
            fired: Arc::clone(&fired),
            away: away.map(|to| (dormouse.instance(database), to)),
        });
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, real, aim) = (stream.unwrap(), real.clone(), Arc::clone(&aim));
                thread::spawn(move || aim.pass(stream, &real));
            }
        });
        Self { fired }
    }

    /// Whether the server was killed.
    pub(crate) fn has_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }
}

struct Aim {
    pid: u32,
    text: &'static str,
    when: When,
    fired: Arc<AtomicBool>,
    /// Where its files are, and where they go.
    away: Option<(PathBuf, PathBuf)>,
}

impl Aim {
    /// Passes a connection on.
    fn pass(&self, mut client: UnixStream, real: &Path) {
        if self.fired.load(Ordering::SeqCst) {
            return;
        }
        let Ok(mut server) = UnixStream::connect(real) else {
            return;
        };
        let (replies, replied) = mpsc::channel();
        let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let keeps = Arc::new(AtomicBool::new(false));
        let kept = Arc::clone(&keeps);
        thread::spawn(move || pass_back(back, &kept, &replies));
        let mut room = vec![0; 1 << 16];
        while let Ok(n @ 1..) = client.read(&mut room) {
            let commands = &room[..n];
            let found = commands.windows(self.text.len());
            let aimed = { found }.any(|part| part == self.text.as_bytes());
            if aimed && !self.fired.swap(true, Ordering::SeqCst) {
                keeps.store(true, Ordering::SeqCst);
                let (passed, answered) = match self.when {
                    When::Before => (0, 0),
                    When::Between => (1, 1),
                    When::After => (packets(commands).len(), packets(commands).len() - 1),
                };
                let sent: Vec<u8> = packets(commands)[..passed].concat();
                server.write_all(&sent).unwrap();
                // each is answered by one packet
                let mut came: Vec<Vec<u8>> = Vec::new();
                while came.len() < passed {
                    came.extend(replied.recv().unwrap());
                }
                let mut client = client.try_clone().unwrap();
                client.write_all(&came[..answered].concat()).unwrap();
                if let Some((from, to)) = &self.away {
                    fs::rename(from, to).unwrap();
                }
                process::kill(self.pid);
                let _ = client.shutdown(Shutdown::Both);
                return;
            }
            if server.write_all(commands).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }
}

/// Passes what the server sends on to Dormouse, until the command has come; from then on keeps its packets.
fn pass_back(
    (mut server, mut client): (UnixStream, UnixStream),
    keeps: &AtomicBool,
    replies: &Sender<Vec<Vec<u8>>>,
) {
    let mut room = vec![0; 1 << 16];
    while let Ok(n @ 1..) = server.read(&mut room) {
        if keeps.load(Ordering::SeqCst) {
            let _ = replies.send(packets(&room[..n]));
        } else if client.write_all(&room[..n]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// The packets in bytes that end with one.
fn packets(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let [a, b, c, _, ..] = bytes {
        let length = 4 + u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        all.push(bytes[..length].to_vec());
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "half a packet");
    all
}
