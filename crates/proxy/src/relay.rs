//! A reply on its way from the server to the client.
//!
//! Bytes are passed on as they came; the framer only looks where the reply ends.

use std::future::{Future as _, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use dormouse_wire::framer::{Event, ReplyEnd};
use dormouse_wire::packet::{HEADER, Header};
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::{Tracking, retrack};

use crate::backend::{Listening, Speaking};
use crate::chunk::Chunk;
use crate::inbox::Inbox;
use crate::stream::{ClientStream, Departed, GRACE, within, write_all};
use crate::tally::Tally;

/// Why a command did not reach its end.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The server went away. `unread` is true if its link proves that it had not read the whole command
    /// and the client has got nothing: then the command was not run and may be sent to another server. `delivered` tells whether the client
    /// has got the beginning of a reply.
    Server { unread: bool, delivered: bool },
    /// The client went away or does not read. `running`: the server has the whole command.
    Client { running: bool },
    /// The server has sent what is no reply to this command. `delivered` as above.
    Fault { what: Malformed, delivered: bool },
}

impl Broken {
    fn half_way(delivered: bool) -> Self {
        Self::Server {
            unread: false,
            delivered,
        }
    }

    /// A command that was not taken whole was not run.
    pub(crate) fn not_taken() -> Self {
        Self::Server {
            unread: true,
            delivered: false,
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
/// replaced by `statement`. When it has returned an end, the backend is between two commands.
pub(crate) async fn relay(
    listening: &mut Listening,
    customer: &mut Customer<'_>,
    statement: Option<u32>,
) -> Result<ReplyEnd, Broken> {
    let mut delivered = false;
    let mut chunk = read(listening, customer, delivered).await?;
    // of the bytes at hand, how many have been followed
    let mut seen = 0;
    loop {
        let step = listening
            .follow(chunk.get(seen..).unwrap_or_default())
            .map_err(|what| Broken::Fault { what, delivered })?;
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
        let written = write_all(customer.stream, bytes, customer.write_timeout).await;
        delivered |= ready > 0;
        if let Err(error) = written {
            let running = match (step.event, error.kind()) {
                (Event::End(_), _) => false,
                // it is there, and does not read
                (_, ErrorKind::TimedOut) => true,
                _ => !ends_unheard(listening).await,
            };
            return Err(Broken::Client { running });
        }
        match step.event {
            Event::End(end) => return Ok(end),
            Event::More => {}
            Event::LocalInfile => send_file(listening, customer).await?,
        }
        seen = step.held;
        if step.held == 0 {
            drop(chunk);
            chunk = read(listening, customer, delivered).await?;
        } else {
            chunk.discard(ready);
            read_behind(listening, customer, &mut chunk, delivered).await?;
        }
    }
}

/// The client has left in the middle of its reply. Whether the command ends by itself within the grace:
/// what a batch was sent to do is done.
async fn ends_unheard(listening: &mut Listening) -> bool {
    let end = async {
        loop {
            let chunk = poll_fn(|cx| listening.poll_read(cx)).await.ok()?;
            let mut seen = 0;
            while seen < chunk.len() {
                let step = listening.follow(chunk.get(seen..)?).ok()?;
                match step.event {
                    Event::More => seen += step.consumed,
                    Event::End(_) => return Some(()),
                    Event::LocalInfile => return None,
                }
            }
            if seen == 0 {
                // the server has closed
                return None;
            }
        }
    };
    matches!(tokio::time::timeout(GRACE, end).await, Ok(Some(())))
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

/// Waits for bytes from the server, or until the client has been gone for a while.
async fn read(
    listening: &mut Listening,
    customer: &Customer<'_>,
    delivered: bool,
) -> Result<Chunk, Broken> {
    let mut departure = pin!(customer.stream.departure());
    let read = poll_fn(|cx| match listening.poll_read(cx) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending => departure.as_mut().poll(cx).map(Err),
    });
    match read.await {
        Ok(Ok(chunk)) if !chunk.is_empty() => Ok(chunk),
        Ok(Ok(_)) => Err(Broken::half_way(delivered)),
        Ok(Err(error)) => Err(Broken::Server {
            unread: !delivered && listening.proves_unread(&error),
            delivered,
        }),
        Err(Departed) => Err(Broken::Client { running: true }),
    }
}

/// Reads more behind the beginning of a packet.
async fn read_behind(
    listening: &mut Listening,
    customer: &Customer<'_>,
    chunk: &mut Chunk,
    delivered: bool,
) -> Result<(), Broken> {
    let mut departure = pin!(customer.stream.departure());
    let read = poll_fn(|cx| match listening.poll_more(chunk, cx) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending => departure.as_mut().poll(cx).map(Err),
    });
    match read.await {
        Ok(Ok(1..)) => Ok(()),
        Ok(Ok(0) | Err(_)) => Err(Broken::half_way(delivered)),
        Err(Departed) => Err(Broken::Client { running: true }),
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

/// Passes the client's file to the server: packets up to an empty one, numbered as the server expects
/// them: with compression the client's own numbers mean nothing.
async fn send_file(listening: &mut Listening, customer: &mut Customer<'_>) -> Result<(), Broken> {
    let mut seq = listening.next_seq();
    loop {
        let header = next_header(customer).await?;
        customer.inbox.number(seq);
        seq = seq.wrapping_add(1);
        let mut left = HEADER + header.len;
        while left > 0 {
            let n = customer.at_hand(left).await?;
            let bytes = customer.inbox.unread().get(..n).unwrap_or_default();
            let sent = listening.send_file(bytes, customer.write_timeout).await;
            customer.inbox.consume(n);
            left -= n;
            sent.map_err(|_| Broken::half_way(false))?;
        }
        if header.len == 0 {
            listening.sent_file();
            return Ok(());
        }
    }
}

/// The header of the client's next packet.
async fn next_header(customer: &mut Customer<'_>) -> Result<Header, Broken> {
    let gone = Broken::Client { running: false };
    let read = customer
        .inbox
        .at_least(HEADER, customer.stream, customer.read_timeout);
    match (read.await, customer.inbox.header()) {
        (Ok(()), Some(header)) => Ok(header),
        _ => Err(gone),
    }
}

/// Passes on the rest of a command of which `left` bytes of the present packet are to come, and the
/// packets that continue it. Returns the number of the last one.
pub(crate) async fn pass_on(
    speaking: &mut Speaking,
    customer: &mut Customer<'_>,
    mut left: usize,
    mut continues: bool,
) -> Result<u8, Broken> {
    let mut seq = 0_u8;
    loop {
        while left > 0 {
            let n = customer.at_hand(left).await?;
            let bytes = customer.inbox.unread().get(..n).unwrap_or_default();
            // the server reads everything in the end; if it does not, it is gone
            let sent = speaking.send(bytes, customer.write_timeout).await;
            customer.inbox.consume(n);
            left -= n;
            sent.map_err(|_| Broken::half_way(false))?;
        }
        if !continues {
            return Ok(seq);
        }
        let header = next_header(customer).await?;
        seq = seq.wrapping_add(1);
        customer.inbox.number(seq);
        left = HEADER + header.len;
        continues = header.continues();
    }
}

impl Customer<'_> {
    /// How many of the next `most` bytes of the client's are there; waits for some.
    async fn at_hand(&mut self, most: usize) -> Result<usize, Broken> {
        if self.inbox.unread().is_empty() {
            match within(self.read_timeout, Chunk::read(self.stream)).await {
                Ok(chunk) if !chunk.is_empty() => self.inbox.put(chunk),
                _ => return Err(Broken::Client { running: false }),
            }
            self.tally.received(self.inbox.take_received());
        }
        Ok(self.inbox.unread().len().min(most))
    }
}

#[cfg(test)]
mod tests;
