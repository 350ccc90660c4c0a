//! The compressed protocol on a client's stream, plain or TLS.
//!
//! A read returns bytes of one compressed packet at most, so packets that are sent ahead are not
//! counted before the session asks for them. A write is sent up to the last whole packet in it. An idle
//! stream owns no buffer and no zlib state: the unpacker's state lives for one packet, and there is one
//! packer per thread.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use dormouse_wire::compress::{Packer, Unpacker};
use dormouse_wire::packet::{HEADER, Header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::chunk::Chunk;
use crate::inbox::Inbox;

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::default();
}

/// A stream whose bytes travel in compressed packets.
pub(crate) struct Compressed<S> {
    inner: S,
    unpacker: Unpacker,
    unread: Inbox,
    /// The beginning of a packet that is not complete yet: packets are packed whole.
    begun: Vec<u8>,
    outgoing: Vec<u8>,
    /// How many bytes of them have been sent.
    sent: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Compressed<S> {
    /// Compresses everything that follows on this stream.
    pub(super) fn new(inner: S) -> Self {
        Self {
            inner,
            unpacker: Unpacker::default(),
            unread: Inbox::default(),
            begun: Vec::new(),
            outgoing: Vec::new(),
            sent: 0,
        }
    }

    /// The stream below.
    pub(super) fn inner(&self) -> &S {
        &self.inner
    }

    /// Appends bytes and packs the packets that are now whole.
    fn pack(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        let whole = whole_packets(&self.begun);
        let mut packed = 0;
        while packed < whole {
            let seq = self.unpacker.take_seq();
            let content = self.begun.get(packed..whole).unwrap_or_default();
            packed +=
                PACKER.with_borrow_mut(|packer| packer.pack(seq, content, &mut self.outgoing));
        }
        self.begun.drain(..packed);
        if self.begun.is_empty() {
            self.begun = Vec::new();
        }
    }

    /// Sends what is packed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes) = self.outgoing.get(self.sent..).filter(|b| !b.is_empty()) {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.sent += n,
            }
        }
        self.outgoing = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

/// How many of the bytes are whole packets.
fn whole_packets(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(header) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let end = at + HEADER + Header::parse(*header).len;
        if end > bytes.len() {
            break;
        }
        at = end;
    }
    at
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Compressed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            // also without input: the zlib stream can have more output
            let step = this
                .unpacker
                .unpack(this.unread.unread(), buf.initialize_unfilled())
                .map_err(io::Error::other)?;
            this.unread.consume(step.consumed);
            if step.produced > 0 {
                buf.advance(step.produced);
                return Poll::Ready(Ok(()));
            }
            let chunk = ready!(pin!(Chunk::read(&mut this.inner)).poll(cx))?;
            if chunk.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.unread.put(chunk);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Compressed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        this.pack(buf);
        // what the peer does not take now is sent with the next write or flush
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}
