//! Something between Dormouse and a server that kills the server in the middle of a command.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
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
    /// After it has replied, and before Dormouse gets the reply.
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
        let fired = Arc::clone(&self.fired);
        thread::spawn(move || pass_back(back, &fired, &replies));
        let mut room = vec![0; 1 << 16];
        while let Ok(n @ 1..) = client.read(&mut room) {
            let commands = &room[..n];
            let found = commands.windows(self.text.len());
            let aimed = { found }.any(|part| part == self.text.as_bytes());
            if aimed && !self.fired.swap(true, Ordering::SeqCst) {
                if self.when == When::After {
                    server.write_all(commands).unwrap();
                    // each is answered by one packet
                    let mut missing = packets(commands);
                    while missing > 0 {
                        missing -= replied.recv().unwrap();
                    }
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

/// Passes what the server sends on to Dormouse, until the command has come; from then on counts its packets.
fn pass_back(
    (mut server, mut client): (UnixStream, UnixStream),
    fired: &AtomicBool,
    replies: &Sender<usize>,
) {
    let mut room = vec![0; 1 << 16];
    while let Ok(n @ 1..) = server.read(&mut room) {
        if fired.load(Ordering::SeqCst) {
            let _ = replies.send(packets(&room[..n]));
        } else if client.write_all(&room[..n]).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

/// The number of packets in bytes that end with one.
fn packets(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [a, b, c, _, rest @ ..] = bytes {
        bytes = &rest[u32::from_le_bytes([*a, *b, *c, 0]) as usize..];
        count += 1;
    }
    assert!(bytes.is_empty(), "half a packet");
    count
}
