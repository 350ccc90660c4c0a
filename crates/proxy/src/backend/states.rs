//! A connection to a server: its type is its state, and determines what may be done with it.
//!
//! A [`Backend`] is between two commands. [`Speaking`] is one to which a command is being sent,
//! [`Listening`] one whose replies are coming; only complete replies turn it back into a `Backend`.
//! In every other case (an error, a client that leaves, a future that is dropped, a panic) the value is
//! dropped, which closes the connection: no other session can read the rest of a reply, or have its
//! command taken for the rest of another.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dormouse_link::{Link, Unusable};
use dormouse_session::SpareStatement;
use dormouse_types::Target;
use dormouse_wire::caps::Capabilities;
use dormouse_wire::command::ReplyKind;
use dormouse_wire::framer::{Event, ReplyEnd, ReplyFramer, Step};
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::{Tracking, retrack};

use super::error::{BackendError, LONGEST_ANSWER, PATIENCE};
use super::login::Connection;
use super::residue::{ChangeCounts, Residue};
use super::statement_cache::{CachedStatement, StatementCache};
use crate::chunk::Chunk;
use crate::deadline::{about_within, write_all};
use crate::identity::Identity;
use crate::pool::place::Place;

/// A connection to a server, with its place in the pool, between two commands: all that was sent has
/// been answered, and every answer has been read to its end.
pub(crate) struct Backend {
    /// Private to this file, so that all sending and reading uses the types of this file.
    link: Link,
    /// The server process it belongs to.
    pub(crate) target: Arc<Target>,
    /// Its login at the server.
    pub(crate) identity: Arc<Identity>,
    /// The server's connection id.
    pub(crate) thread: u32,
    pub(crate) capabilities: Capabilities,
    pub(crate) place: Place,
    /// Prepared statements that no session uses.
    pub(crate) cache: StatementCache,
    /// State of a former session that it still holds.
    pub(crate) residue: Residue,
    /// The event loop its socket is registered with.
    worker: std::thread::ThreadId,
}

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
    /// The replies after it.
    next: VecDeque<ReplyKind>,
    /// Bytes of those that have been read already.
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
    /// Nothing: the server has sent bytes that are not a reply, so no later byte can be trusted.
    Invalid,
}

/// The reply to one of Dormouse's own commands.
pub(crate) struct Reply {
    /// Its packets, up to the limit of what is kept.
    pub(crate) bytes: Vec<u8>,
    /// What its last packet says.
    pub(crate) end: ReplyEnd,
    /// Whether all of it was kept.
    pub(crate) whole: bool,
}

impl Backend {
    /// A new backend.
    pub(crate) fn new(
        connection: Connection,
        target: &Arc<Target>,
        identity: &Arc<Identity>,
        place: Place,
        before: ChangeCounts,
    ) -> Box<Self> {
        Box::new(Self {
            link: connection.link,
            target: Arc::clone(target),
            identity: Arc::clone(identity),
            thread: connection.thread,
            capabilities: connection.capabilities,
            place,
            cache: StatementCache::default(),
            residue: Residue::of_login(connection.thread, connection.status, before),
            worker: std::thread::current().id(),
        })
    }

    /// A backend on one end of a socket pair, for tests.
    #[cfg(test)]
    pub(crate) fn on(
        link: Link,
        target: &Arc<Target>,
        identity: &Arc<Identity>,
        place: Place,
    ) -> Box<Self> {
        let connection = Connection {
            link,
            thread: 1,
            capabilities: identity.capabilities,
            status: dormouse_wire::status::Status::AUTOCOMMIT,
        };
        let before = ChangeCounts::now(&place);
        Self::new(connection, target, identity, place, before)
    }

    /// Closes the connection; returns its place.
    pub(crate) fn close(self: Box<Self>) -> Place {
        self.place
    }

    /// Caches a statement that its session no longer needs here.
    pub(crate) fn keep_statement(&mut self, left: SpareStatement) {
        let SpareStatement { id, key, types } = left;
        match key {
            Some((text, schema)) => self.cache.put(text, schema, CachedStatement { id, types }),
            None => self.cache.close(id),
        }
    }

    /// Moves its socket to the event loop of the thread that is running.
    pub(crate) fn move_here(mut self: Box<Self>) -> std::io::Result<Box<Self>> {
        let here = std::thread::current().id();
        if self.worker != here {
            self.link = self.link.move_here()?;
            self.worker = here;
        }
        Ok(self)
    }

    /// Checks that it is open and that there is nothing to read. One system call.
    pub(crate) fn check_idle(&mut self) -> Result<(), Unusable> {
        self.link.check_idle()
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
        write_all(&mut self.backend.link, bytes, deadline).await
    }

    /// Begins to listen: the whole command has been sent, and its last packet had the number `seq`.
    pub(crate) fn sent(self, kind: ReplyKind, seq: u8) -> Listening {
        Listening {
            awaited: Awaited::reply(&self.backend, kind, seq),
            backend: self.backend,
            next: VecDeque::new(),
            early: Vec::new(),
        }
    }

    /// Begins to listen: several commands have been sent, each of one packet.
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

    /// The backend, if all replies have been read.
    pub(crate) fn into_backend(self) -> Option<Box<Backend>> {
        match self.awaited {
            Awaited::Nothing => Some(self.backend),
            Awaited::Reply(_) | Awaited::Invalid => None,
        }
    }

    /// The backend, to record in it what its replies report.
    pub(super) fn backend(&mut self) -> &mut Backend {
        &mut self.backend
    }

    /// Makes the next reply, of which nothing has been read, have a [digest](ReplyEnd::digest).
    pub(crate) fn digest(&mut self) {
        if let Awaited::Reply(framer) = &mut self.awaited {
            framer.digest();
        }
    }

    /// The capabilities agreed on with the server.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.backend.capabilities
    }

    /// Whether this read error, before any byte of the reply, proves that the server had not read the whole
    /// command.
    pub(crate) fn proves_unread(&self, error: &io::Error) -> bool {
        self.backend.link.proves_unread(error)
    }

    /// Whether this error, instead of a reply, proves that the server had not begun with the command behind: it sends
    /// each reply before it reads on.
    pub(crate) fn proves_unanswered(&self, error: &BackendError) -> bool {
        let ended = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            )
        };
        self.backend.link.loses_nothing()
            && matches!(error, BackendError::Gone(error) if ended(error))
    }

    /// Waits for bytes of the reply; an empty chunk means that the server has closed.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Chunk>> {
        if !self.early.is_empty() {
            // read with the reply before
            let early = std::mem::take(&mut self.early);
            return Poll::Ready(Ok(Chunk::of(&early)));
        }
        Chunk::poll_read(&mut self.backend.link, cx)
    }

    /// Gives back bytes that have been read and not [followed](Self::follow): they are read again.
    pub(crate) fn unread(&mut self, chunk: &Chunk) {
        self.early = chunk.to_vec();
    }

    /// Waits for more bytes behind those of a chunk; 0 means that the server has closed.
    pub(crate) fn poll_more(
        &mut self,
        chunk: &mut Chunk,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        chunk.poll_more(&mut self.backend.link, cx)
    }

    /// Feeds bytes of the reply to the framer, up to the next packet with session tracking.
    ///
    /// # Errors
    /// The bytes are not the awaited reply: none of them may be forwarded.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<Step, Malformed> {
        let step = match &mut self.awaited {
            Awaited::Reply(framer) => framer.feed_to_change(bytes),
            Awaited::Nothing | Awaited::Invalid => Err(Malformed("bytes that belong to no reply")),
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
            self.awaited = Awaited::Invalid;
        }
        step
    }

    /// The number of the first packet of the file that the server has asked the client for.
    pub(crate) fn next_seq(&self) -> u8 {
        match &self.awaited {
            Awaited::Reply(framer) => framer.next_seq(),
            Awaited::Nothing | Awaited::Invalid => 0,
        }
    }

    /// Sends a part of that file.
    ///
    /// # Errors
    /// The server has gone, or does not read.
    pub(crate) async fn send_file(&mut self, bytes: &[u8], deadline: Duration) -> io::Result<()> {
        write_all(&mut self.backend.link, bytes, deadline).await
    }

    /// Notes that the file has been sent to its end.
    pub(crate) fn sent_file(&mut self) {
        if let Awaited::Reply(framer) = &mut self.awaited {
            framer.resume_after_infile();
        }
    }

    /// Reads the next reply to its end and keeps its beginning, with the session changes that `tracking`
    /// allows.
    ///
    /// # Errors
    /// The server is gone, does not answer in time, or breaks the protocol.
    pub(crate) async fn reply(&mut self, tracking: Tracking) -> Result<Reply, BackendError> {
        self.reply_within(LONGEST_ANSWER, tracking).await
    }

    /// Like [`reply`](Self::reply), but keeps at most `most` bytes.
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
            let read = about_within(PATIENCE, Chunk::read(&mut self.backend.link));
            let chunk = read
                .await
                .unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))?;
            if chunk.is_empty() {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            bytes.clear();
            bytes.extend_from_slice(&chunk);
        }
    }
}

/// Removes, from the packet of this length at the end, session tracking that the client has not asked
/// for.
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
