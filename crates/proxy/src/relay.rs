//! Relays a reply from the server to the client.
//!
//! Bytes are forwarded unchanged, except for statement ids, session tracking, and rows that a filter edits; the framer
//! finds where the reply ends.

use std::borrow::Cow;
use std::future::{Future as _, poll_fn};
use std::io::ErrorKind;
use std::pin::pin;
use std::task::Poll;

use dormouse_wire::filter::{EditRows, RowFilter};
use dormouse_wire::framer::{Event, ReplyEnd};
use dormouse_wire::packet::{HEADER, Header};
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::{Tracking, retrack};

use crate::backend::{Listening, Speaking};
use crate::chunk::Chunk;
use crate::client::Client;
use crate::deadline::{within, write_all};
use crate::stream::{Departed, GRACE};

/// Why a command was not completed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection to the server broke. `unread`: the server is known not to have read the whole
    /// command, and the client has received no part of a reply, so the command was not run and may be sent
    /// to another server. `delivered`: the client has received the beginning of a reply.
    Server { unread: bool, delivered: bool },
    /// The client has left or does not read. `running`: the server has the whole command.
    Client { running: bool },
    /// The server has sent bytes that are not a reply to this command. `delivered` as above.
    Fault { what: Malformed, delivered: bool },
}

impl Broken {
    /// The server may have read the whole command.
    pub(crate) fn outcome_unknown(delivered: bool) -> Self {
        Self::Server {
            unread: false,
            delivered,
        }
    }

    /// The server does not have the whole command, so it has not run it.
    pub(crate) fn unread() -> Self {
        Self::Server {
            unread: true,
            delivered: false,
        }
    }
}

/// What is changed in a reply while it passes.
pub(crate) struct Changes<E> {
    pub(crate) tracking: Tracking,
    /// In the reply to `COM_STMT_PREPARE`: the id in place of the server's id for the statement.
    pub(crate) statement: Option<u32>,
    /// Edits rows.
    pub(crate) filter: Option<Box<RowFilter<E>>>,
}

/// Passes one reply on. When it has returned an end, the backend is between two commands.
pub(crate) async fn relay<E: EditRows>(
    listening: &mut Listening,
    client: &mut Client,
    changes: &mut Changes<E>,
) -> Result<ReplyEnd, Broken> {
    let mut delivered = false;
    let mut chunk = read(listening, client, delivered).await?;
    // how many bytes of the chunk the framer has seen
    let mut seen = 0;
    loop {
        let step = listening
            .follow(chunk.get(seen..).unwrap_or_default())
            .map_err(|what| Broken::Fault { what, delivered })?;
        seen += step.consumed;
        if step.tracks > 0 {
            seen = track(&mut chunk, seen, step.tracks, changes.tracking);
        }
        if step.event == Event::More && seen < chunk.len() {
            continue;
        }
        let ready = seen - step.held;
        if !delivered && let Some(id) = changes.statement {
            rename(&mut chunk, ready, id);
        }
        let bytes = chunk.get(..ready).unwrap_or_default();
        let bytes = match &mut changes.filter {
            Some(filter) => filter.pass(bytes),
            None => Cow::Borrowed(bytes),
        };
        client.tally.sends(bytes.len());
        let written = write_all(&mut client.stream, &bytes, client.write_timeout).await;
        delivered |= ready > 0;
        if let Err(error) = written {
            let running = match (step.event, error.kind()) {
                (Event::End(_), _) => false,
                // the client is connected and does not read
                (_, ErrorKind::TimedOut) => true,
                _ => !ends_by_itself(listening).await,
            };
            return Err(Broken::Client { running });
        }
        match step.event {
            Event::End(end) => return Ok(end),
            Event::More => {}
            Event::LocalInfile => send_file(listening, client).await?,
        }
        seen = step.held;
        if step.held == 0 {
            drop(chunk);
            chunk = read(listening, client, delivered).await?;
        } else {
            chunk.discard(ready);
            read_behind(listening, client, &mut chunk, delivered).await?;
        }
    }
}

/// The client has left in the middle of its reply. Whether the command ends by itself within [`GRACE`]: a
/// client may send a batch and not read all of its replies.
async fn ends_by_itself(listening: &mut Listening) -> bool {
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

/// Removes session tracking that the client has not asked for from the packet of this length that ends
/// at `end`. Returns its new end.
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

/// Waits for bytes from the server, or until the client has been gone for [`GRACE`].
pub(crate) async fn read(
    listening: &mut Listening,
    client: &Client,
    delivered: bool,
) -> Result<Chunk, Broken> {
    let mut departure = pin!(client.stream.departure());
    let read = poll_fn(|cx| match listening.poll_read(cx) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending => departure.as_mut().poll(cx).map(Err),
    });
    match read.await {
        Ok(Ok(chunk)) if !chunk.is_empty() => Ok(chunk),
        Ok(Ok(_)) => Err(Broken::outcome_unknown(delivered)),
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
    client: &Client,
    chunk: &mut Chunk,
    delivered: bool,
) -> Result<(), Broken> {
    let mut departure = pin!(client.stream.departure());
    let read = poll_fn(|cx| match listening.poll_more(chunk, cx) {
        Poll::Ready(result) => Poll::Ready(Ok(result)),
        Poll::Pending => departure.as_mut().poll(cx).map(Err),
    });
    match read.await {
        Ok(Ok(1..)) => Ok(()),
        Ok(Ok(0) | Err(_)) => Err(Broken::outcome_unknown(delivered)),
        Err(Departed) => Err(Broken::Client { running: true }),
    }
}

/// Writes the session's id for the statement into the first packet of a reply to `COM_STMT_PREPARE`,
/// unless that is an error. If any byte is ready to be forwarded, the whole packet is.
fn rename(chunk: &mut Chunk, ready: usize, id: u32) {
    const END: usize = HEADER + 1 + 4;
    if ready >= END
        && chunk.get(HEADER) == Some(&0)
        && let Some(bytes) = chunk.get_mut(HEADER + 1..END)
    {
        bytes.copy_from_slice(&id.to_le_bytes());
    }
}

/// Forwards the client's file to the server: packets up to an empty one. They are renumbered as the
/// server expects, because with compression the client's own numbers may be wrong.
async fn send_file(listening: &mut Listening, client: &mut Client) -> Result<(), Broken> {
    let mut seq = listening.next_seq();
    loop {
        let header = next_header(client).await?;
        client.inbox.number(seq);
        seq = seq.wrapping_add(1);
        let mut left = HEADER + header.len;
        while left > 0 {
            let n = at_hand(client, left).await?;
            let bytes = client.inbox.unread().get(..n).unwrap_or_default();
            let sent = listening.send_file(bytes, client.write_timeout).await;
            client.inbox.consume(n);
            left -= n;
            sent.map_err(|_| Broken::outcome_unknown(false))?;
        }
        if header.len == 0 {
            listening.sent_file();
            return Ok(());
        }
    }
}

/// The header of the client's next packet.
async fn next_header(client: &mut Client) -> Result<Header, Broken> {
    let gone = Broken::Client { running: false };
    let read = client
        .inbox
        .at_least(HEADER, &mut client.stream, client.read_timeout);
    match (read.await, client.inbox.header()) {
        (Ok(()), Some(header)) => Ok(header),
        _ => Err(gone),
    }
}

/// Forwards the rest of a command: the missing `left` bytes of the current packet, and the packets that
/// continue it. Returns the sequence number of the last packet.
pub(crate) async fn pass_on(
    speaking: &mut Speaking,
    client: &mut Client,
    mut left: usize,
    mut continues: bool,
) -> Result<u8, Broken> {
    let mut seq = 0_u8;
    loop {
        while left > 0 {
            let n = at_hand(client, left).await?;
            let bytes = client.inbox.unread().get(..n).unwrap_or_default();
            // a server that is alive eventually reads everything
            let sent = speaking.send(bytes, client.write_timeout).await;
            client.inbox.consume(n);
            left -= n;
            sent.map_err(|_| Broken::outcome_unknown(false))?;
        }
        if !continues {
            return Ok(seq);
        }
        let header = next_header(client).await?;
        seq = seq.wrapping_add(1);
        client.inbox.number(seq);
        left = HEADER + header.len;
        continues = header.continues();
    }
}

/// Waits until some of the client's next `most` bytes are buffered; returns how many.
async fn at_hand(client: &mut Client, most: usize) -> Result<usize, Broken> {
    if client.inbox.unread().is_empty() {
        match within(client.read_timeout, Chunk::read(&mut client.stream)).await {
            Ok(chunk) if !chunk.is_empty() => client.inbox.put(chunk),
            _ => return Err(Broken::Client { running: false }),
        }
        client.count_received();
    }
    Ok(client.inbox.unread().len().min(most))
}

#[cfg(test)]
mod tests;
