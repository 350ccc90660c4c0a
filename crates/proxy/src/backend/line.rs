//! Who may use a backend's socket, as types.
//!
//! A [`Backend`] is between two commands. [`Speaking`] is one to which a command is being sent,
//! [`Listening`] one whose replies are coming; only complete replies turn it back into a `Backend`.
//! Whatever else happens to one of the two (an error, a client that leaves, a future that is dropped,
//! a panic), dropping it closes the connection: nobody else can read the rest of a reply, or be taken
//! for the rest of a command.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use dormouse_link::{Link, Noise};
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::ReplyKind;
use dormouse_wire::framer::{Event, ReplyEnd, ReplyFramer, Step};
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::{Tracking, retrack};

use super::{Backend, BackendError, LONGEST_ANSWER, PATIENCE};
use crate::chunk::Chunk;
use crate::stream::{within, write_all};

/// A backend's socket, which only this file touches.
#[derive(Debug)]
pub(super) struct Line(Link);

/// A backend to which a command is being sent.
#[must_use = "dropping it closes the connection"]
pub(crate) struct Speaking {
    backend: Box<Backend>,
}

/// A backend whose replies are coming.
#[must_use = "dropping it closes the connection"]
pub(crate) struct Listening {
    backend: Box<Backend>,
    awaited: Awaited,
    /// The replies behind it.
    next: VecDeque<ReplyKind>,
    /// Their bytes, as far as they have been read.
    early: Vec<u8>,
}

/// What comes next from the server.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each command: a box would be an allocation for each"
)]
enum Awaited {
    /// The rest of a reply.
    Reply(ReplyFramer),
    /// Nothing: all that was sent has been answered.
    Nothing,
    /// Nothing that could be trusted: it has sent what is no reply.
    Nonsense,
}

/// A reply to something of our own.
pub(crate) struct Reply {
    /// Its packets, or as many bytes of them as are kept.
    pub(crate) bytes: Vec<u8>,
    /// What its last packet says.
    pub(crate) end: ReplyEnd,
    /// Whether all of it was kept.
    pub(crate) whole: bool,
}

impl Line {
    pub(super) fn new(link: Link) -> Self {
        Self(link)
    }

    /// Moves it to the event loop of the thread that is running.
    pub(super) fn move_here(self) -> io::Result<Self> {
        self.0.move_here().map(Self)
    }
}

impl Backend {
    /// Checks that it is as it must be between two commands: open, with nothing to be read.
    pub(crate) fn silence(&mut self) -> Result<(), Noise> {
        self.line.0.silence()
    }

    /// Begins a command.
    pub(crate) fn speak(self: Box<Self>) -> Speaking {
        Speaking { backend: self }
    }
}

impl Speaking {
    /// Sends a part of a command; each wait for the server to take some has the deadline.
    ///
    /// # Errors
    /// The server has gone, or does not read.
    pub(crate) async fn send(&mut self, bytes: &[u8], deadline: Duration) -> io::Result<()> {
        write_all(&mut self.backend.line.0, bytes, deadline).await
    }

    /// The whole command has been sent; its last packet had the number `seq`.
    pub(crate) fn sent(self, kind: ReplyKind, seq: u8) -> Listening {
        Listening {
            awaited: Awaited::reply(&self.backend, kind, seq),
            backend: self.backend,
            next: VecDeque::new(),
            early: Vec::new(),
        }
    }

    /// Several commands have been sent, each of one packet.
    pub(crate) fn sent_all(self, kinds: impl IntoIterator<Item = ReplyKind>) -> Listening {
        let mut listening = self.sent(ReplyKind::None, 0);
        listening.next.extend(kinds);
        listening.next_reply();
        listening
    }
}

impl Awaited {
    /// The reply to a command whose last packet had this number.
    fn reply(backend: &Backend, kind: ReplyKind, seq: u8) -> Self {
        match kind {
            ReplyKind::None => Self::Nothing,
            kind => Self::Reply(ReplyFramer::new(kind, backend.capabilities).following(seq)),
        }
    }
}

impl Listening {
    /// The next reply that is to come.
    fn next_reply(&mut self) {
        self.awaited = Awaited::Nothing;
        while matches!(self.awaited, Awaited::Nothing)
            && let Some(kind) = self.next.pop_front()
        {
            self.awaited = Awaited::reply(&self.backend, kind, 0);
        }
    }

    /// Between two commands again, if all has been answered.
    pub(crate) fn rest(self) -> Option<Box<Backend>> {
        match self.awaited {
            Awaited::Nothing => Some(self.backend),
            Awaited::Reply(_) | Awaited::Nonsense => None,
        }
    }

    /// The backend, for what its answers tell of it.
    pub(super) fn backend(&mut self) -> &mut Backend {
        &mut self.backend
    }

    /// What the server and Dormouse have agreed on.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.backend.capabilities
    }

    /// Whether this error, before any byte of the reply, proves that the server has not read the command.
    pub(crate) fn proves_unread(&self, error: &io::Error) -> bool {
        self.backend.line.0.proves_unread(error)
    }

    /// Waits for bytes of the reply; an empty chunk means that the server has closed.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Chunk>> {
        Chunk::poll_read(&mut self.backend.line.0, cx)
    }

    /// Waits for more bytes behind those of a chunk; 0 means that the server has closed.
    pub(crate) fn poll_more(
        &mut self,
        chunk: &mut Chunk,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        chunk.poll_more(&mut self.backend.line.0, cx)
    }

    /// Looks at bytes of the reply, up to the next packet that tells of a change in the session.
    ///
    /// # Errors
    /// They are no such reply: none of them may be passed on.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let step = match &mut self.awaited {
            Awaited::Reply(framer) => framer.feed_to_change(bytes),
            Awaited::Nothing | Awaited::Nonsense => Err(Malformed("bytes that belong to no reply")),
        };
        if matches!(
            &step,
            Ok(Step {
                event: Event::End(_),
                ..
            })
        ) {
            self.next_reply();
        }
        let step = match (step, &self.awaited) {
            (Ok(step), Awaited::Nothing) if step.consumed < bytes.len() => {
                Err(Malformed("bytes behind the end of a reply"))
            }
            (step, _) => step,
        };
        if step.is_err() {
            self.awaited = Awaited::Nonsense;
        }
        step
    }

    /// The number of the first packet of the file that the server has asked the client for.
    pub(crate) fn next_seq(&self) -> u8 {
        match &self.awaited {
            Awaited::Reply(framer) => framer.next_seq(),
            Awaited::Nothing | Awaited::Nonsense => 0,
        }
    }

    /// Sends a part of that file.
    ///
    /// # Errors
    /// The server has gone, or does not read.
    pub(crate) async fn send_file(&mut self, bytes: &[u8], deadline: Duration) -> io::Result<()> {
        write_all(&mut self.backend.line.0, bytes, deadline).await
    }

    /// The file has been sent to its end.
    pub(crate) fn sent_file(&mut self) {
        if let Awaited::Reply(framer) = &mut self.awaited {
            framer.resume_after_infile();
        }
    }

    /// Reads the next reply to its end and keeps the beginning of it, as a client is told it that
    /// hears so much of changes in its session.
    ///
    /// # Errors
    /// The server is gone, does not answer in time, or answers what no server would.
    pub(crate) async fn reply(&mut self, tracking: Tracking) -> Result<Reply, BackendError> {
        self.reply_within(LONGEST_ANSWER, tracking).await
    }

    /// The same; no more than so many bytes are kept.
    pub(super) async fn reply_within(
        &mut self,
        most: usize,
        tracking: Tracking,
    ) -> Result<Reply, BackendError> {
        let mut kept = Vec::new();
        let mut whole = true;
        let mut bytes = std::mem::take(&mut self.early);
        loop {
            let mut at = 0;
            while at < bytes.len() {
                let unseen = bytes.get(at..).unwrap_or_default();
                let step = self.follow(unseen)?;
                let seen = unseen.get(..step.consumed).unwrap_or_default();
                whole &= kept.len() + seen.len() <= most;
                if whole {
                    kept.extend_from_slice(seen);
                    retell(&mut kept, step.tracks, tracking);
                }
                at += step.consumed;
                match step.event {
                    Event::More => {}
                    Event::LocalInfile => {
                        return Err(Malformed("the server asks Dormouse for a file").into());
                    }
                    Event::End(end) => {
                        self.early = bytes.split_off(at);
                        return Ok(Reply {
                            bytes: kept,
                            end,
                            whole,
                        });
                    }
                }
            }
            let chunk = within(PATIENCE, Chunk::read(&mut self.backend.line.0)).await?;
            if chunk.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            bytes.clear();
            bytes.extend_from_slice(&chunk);
        }
    }
}

/// Leaves out of the packet of this length at the end what the client is not told.
fn retell(kept: &mut Vec<u8>, len: usize, tracking: Tracking) {
    let begin = kept.len().saturating_sub(len);
    if len > 0
        && let Some(packet) = retrack(kept.get(begin..).unwrap_or_default(), tracking)
    {
        kept.truncate(begin);
        kept.extend_from_slice(&packet);
    }
}

#[cfg(test)]
mod tests;
