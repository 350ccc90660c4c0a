//! Answers to a probe, however long they are: a client can make any of them long, and that must not end
//! its session.

use dormouse_session::{Answer, Question};
use dormouse_wire::command::ReplyKind;
use dormouse_wire::framer::{Event, ReplyFramer};
use dormouse_wire::packet::PacketBuffer;
use dormouse_wire::text::{Limits, TextOutcome, TextResultSet};

use super::{Backend, BackendError, LONGEST_ANSWER, PATIENCE};
use crate::chunk::Chunk;
use crate::stream::within;

/// The longest list of warnings that is kept for a session, in bytes: the 64 messages of the default
/// `max_error_count` fit.
const LONGEST_LIST: usize = 64 << 10;

impl Backend {
    /// Reads the answer to a question. `ahead` holds what has been read of those behind it.
    pub(super) async fn answer(
        &mut self,
        question: &Question,
        ahead: &mut Vec<u8>,
    ) -> Result<Answer, BackendError> {
        let limit = match question {
            Question::Rows(_) => LONGEST_ANSWER,
            Question::Raw(_) => LONGEST_LIST,
        };
        let Some(reply) = self.reply_within(limit, ahead).await? else {
            return Ok(Answer::TooLong);
        };
        match question {
            Question::Raw(_) => Ok(Answer::Raw(reply)),
            Question::Rows(_) => self.rows_of(&reply),
        }
    }

    /// Reads a whole reply, and keeps it if it is no longer than `limit` bytes.
    async fn reply_within(
        &mut self,
        limit: usize,
        ahead: &mut Vec<u8>,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let mut framer = ReplyFramer::new(ReplyKind::ResultSet, self.capabilities);
        let mut reply = Some(Vec::new());
        loop {
            let step = framer.feed(ahead)?;
            let taken = ahead.drain(..step.consumed);
            if let Some(kept) = &mut reply {
                kept.extend(taken);
                if kept.len() > limit {
                    reply = None;
                }
            } else {
                drop(taken);
            }
            if let Event::End(_) = step.event {
                return Ok(reply);
            }
            let chunk = within(PATIENCE, Chunk::read(&mut self.stream)).await?;
            if chunk.is_empty() {
                return Err(BackendError::Gone(std::io::ErrorKind::UnexpectedEof.into()));
            }
            ahead.extend_from_slice(&chunk);
        }
    }

    fn rows_of(&self, reply: &[u8]) -> Result<Answer, BackendError> {
        let mut packets = PacketBuffer::new(LONGEST_ANSWER);
        packets.push(reply);
        let mut answer = TextResultSet::new(self.capabilities, Limits::default());
        while let Ok(Some((_, payload))) = packets.next() {
            match answer.on_payload(&payload) {
                Ok(Some(TextOutcome::Rows { rows, .. })) => return Ok(Answer::Rows(rows)),
                Ok(Some(TextOutcome::Ok(_) | TextOutcome::Err(_))) => return Ok(Answer::Refused),
                Ok(None) => {}
                Err(_) => return Ok(Answer::TooLong),
            }
        }
        Ok(Answer::TooLong)
    }
}
