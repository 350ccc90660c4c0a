//! A reply on its way from the server to the client.
//!
//! Bytes are passed on as they came; the [`ReplyFramer`] only looks where the reply ends.

use std::time::Duration;

use dormouse_wire::command::ReplyKind;
use dormouse_wire::framer::{Event, ReplyEnd, ReplyFramer};
use dormouse_wire::packet::{HEADER, Header};
use dormouse_wire::reply::{Tracking, retrack};

use crate::backend::Backend;
use crate::chunk::Chunk;
use crate::inbox::Inbox;
use crate::stream::{ClientStream, within, write_all};
use crate::tally::Tally;

/// Why a reply did not reach its end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The server went away. `unread` is true if it did so without having read the whole command
    /// (a Unix socket says so, `unix(7)`: ECONNRESET) and the client has got nothing: then the
    /// command was not run and may be sent to another server. `delivered` tells whether the client
    /// has got the beginning of a reply.
    Server { unread: bool, delivered: bool },
    /// The client went away or does not read.
    Client,
}

impl Broken {
    fn half_way(delivered: bool) -> Self {
        Self::Server {
            unread: false,
            delivered,
        }
    }
}

/// The client's side of one command.
pub(crate) struct Customer<'a> {
    pub(crate) stream: &'a mut ClientStream,
    pub(crate) inbox: &'a mut Inbox,
    /// Where its bytes are counted, while they pass.
    pub(crate) tally: &'a Tally,
    /// What it is told of changes in its session; the server tells all.
    pub(crate) tracking: Tracking,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

/// Passes one reply on. In the reply to `COM_STMT_PREPARE` the server's id for the statement is
/// replaced by `statement`.
pub(crate) async fn relay(
    backend: &mut Backend,
    customer: &mut Customer<'_>,
    kind: ReplyKind,
    statement: Option<u32>,
) -> Result<ReplyEnd, Broken> {
    let mut framer = ReplyFramer::new(kind, backend.capabilities);
    let mut delivered = false;
    let mut chunk = read(backend, delivered).await?;
    // of the bytes at hand, how many the framer has seen
    let mut seen = 0;
    loop {
        let step = framer
            .feed_to_change(chunk.get(seen..).unwrap_or_default())
            .map_err(|_| Broken::half_way(delivered))?;
        seen += step.consumed;
        if step.tracks > 0 {
            seen = track(&mut chunk, seen, step.tracks, customer.tracking);
        }
        if step.event == Event::More && seen < chunk.len() {
            continue;
        }
        let ready = seen - step.held;
        if !delivered && let Some(id) = statement {
            rename(&mut chunk, ready, id);
        }
        let bytes = chunk.get(..ready).unwrap_or_default();
        customer.tally.sends(bytes.len());
        write_all(customer.stream, bytes, customer.write_timeout)
            .await
            .map_err(|_| Broken::Client)?;
        delivered |= ready > 0;
        match step.event {
            // bytes behind the end: the server speaks out of turn and cannot be trusted further
            Event::End(_) if seen < chunk.len() => return Err(Broken::half_way(true)),
            Event::End(end) => return Ok(end),
            Event::More => {}
            Event::LocalInfile => {
                send_file(backend, customer, framer.next_seq()).await?;
                framer.resume_after_infile();
            }
        }
        seen = step.held;
        if step.held == 0 {
            drop(chunk);
            chunk = read(backend, delivered).await?;
        } else {
            chunk.discard(ready);
            read_behind(backend, &mut chunk, delivered).await?;
        }
    }
}

/// Leaves out of the packet of this length that ends at `end` what the client is not told. Returns
/// where it ends then.
fn track(chunk: &mut Chunk, end: usize, len: usize, tracking: Tracking) -> usize {
    let begin = end.saturating_sub(len);
    match chunk
        .get(begin..end)
        .and_then(|packet| retrack(packet, tracking))
    {
        Some(packet) => {
            chunk.replace(begin..end, &packet);
            begin + packet.len()
        }
        None => end,
    }
}

async fn read(backend: &mut Backend, delivered: bool) -> Result<Chunk, Broken> {
    match Chunk::read(&mut backend.stream).await {
        Ok(chunk) if !chunk.is_empty() => Ok(chunk),
        Ok(_) => Err(Broken::half_way(delivered)),
        Err(error) => {
            let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
            Err(Broken::Server {
                unread: reset && !delivered,
                delivered,
            })
        }
    }
}

/// Reads more behind the beginning of a packet.
async fn read_behind(
    backend: &mut Backend,
    chunk: &mut Chunk,
    delivered: bool,
) -> Result<(), Broken> {
    match chunk.read_more(&mut backend.stream).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(Broken::half_way(delivered)),
    }
}

/// Puts our id into the first packet of a reply to `COM_STMT_PREPARE`, which is there as a whole if
/// anything is ready to be passed on, unless it is an error.
fn rename(chunk: &mut Chunk, ready: usize, id: u32) {
    const END: usize = HEADER + 1 + 4;
    if ready >= END
        && chunk.get(HEADER) == Some(&0)
        && let Some(bytes) = chunk.get_mut(HEADER + 1..END)
    {
        bytes.copy_from_slice(&id.to_le_bytes());
    }
}

/// Passes the client's file to the server: packets up to an empty one, numbered from `seq`: with
/// compression the client's own numbers mean nothing.
async fn send_file(
    backend: &mut Backend,
    customer: &mut Customer<'_>,
    mut seq: u8,
) -> Result<(), Broken> {
    loop {
        let header = next_header(customer).await?;
        customer.inbox.number(seq);
        seq = seq.wrapping_add(1);
        pass_on(backend, customer, HEADER + header.len).await?;
        if header.len == 0 {
            return Ok(());
        }
    }
}

/// The header of the client's next packet.
pub(crate) async fn next_header(customer: &mut Customer<'_>) -> Result<Header, Broken> {
    customer
        .inbox
        .at_least(HEADER, customer.stream, customer.read_timeout)
        .await
        .map_err(|_| Broken::Client)?;
    customer.inbox.header().ok_or(Broken::Client)
}

/// Passes on the next `left` bytes of the client's.
pub(crate) async fn pass_on(
    backend: &mut Backend,
    customer: &mut Customer<'_>,
    mut left: usize,
) -> Result<(), Broken> {
    loop {
        let bytes = customer.inbox.unread();
        let n = bytes.len().min(left);
        // the server reads everything in the end; if it does not, it is gone
        let sent = write_all(&mut backend.stream, &bytes[..n], customer.write_timeout).await;
        customer.inbox.consume(n);
        left -= n;
        sent.map_err(|_| Broken::half_way(false))?;
        if left == 0 {
            return Ok(());
        }
        let more = within(customer.read_timeout, Chunk::read(customer.stream)).await;
        match more {
            Ok(chunk) if !chunk.is_empty() => {
                customer.inbox.put(chunk);
                customer.tally.received(customer.inbox.take_received());
            }
            _ => return Err(Broken::Client),
        }
    }
}
