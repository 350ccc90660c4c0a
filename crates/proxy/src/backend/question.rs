//! Dormouse's own queries on a backend.
//!
//! Each takes the backend and returns it with the answer; on an error the backend is closed.

use dormouse_session::{Answer, Probe, Question};
use dormouse_wire::command::{Command, ReplyKind};
use dormouse_wire::framer::Prepared;
use dormouse_wire::packet::{HEADER, PacketBuffer, write_packet};
use dormouse_wire::reader::Malformed;
use dormouse_wire::reply::{ErrPacket, Tracking};
use dormouse_wire::text::{Limits, TextOutcome, TextResultSet};

use super::error::{BackendError, LONGEST_ANSWER, PATIENCE};
use super::states::{Backend, Listening, Reply};

/// The longest list of warnings that is kept for a session, in bytes: the 64 messages of the default
/// `max_error_count` fit.
const LONGEST_LIST: usize = 64 << 10;

/// The backend and the answer.
type Answered<T> = Result<(Box<Backend>, T), BackendError>;

impl Backend {
    /// Sends a command of Dormouse's own.
    async fn say(
        self: Box<Self>,
        command: Command,
        argument: &[u8],
    ) -> Result<Listening, BackendError> {
        let mut packet = Vec::with_capacity(argument.len() + HEADER + 1);
        write_packet(&mut packet, 0, &[&[command as u8], argument].concat());
        let mut speaking = self.speak();
        speaking.send(&packet, PATIENCE).await?;
        Ok(speaking.sent(command.reply(), 0))
    }

    /// Runs a statement and reads its whole answer.
    pub(crate) async fn ask(self: Box<Self>, statement: &[u8]) -> Answered<TextOutcome> {
        let mut listening = self.say(Command::Query, statement).await?;
        let reply = listening.reply(Tracking::All).await?;
        let outcome = listening.outcome_of(&reply)?;
        listening.answered(outcome)
    }

    /// Sends a command whose answer is one OK, EOF or ERR packet.
    pub(crate) async fn tell(
        self: Box<Self>,
        command: Command,
        argument: &[u8],
    ) -> Answered<Option<ErrPacket>> {
        let mut listening = self.say(command, argument).await?;
        let error = listening.reply(Tracking::All).await?.error()?;
        listening.answered(error)
    }

    /// Prepares a statement.
    pub(crate) async fn prepare(
        self: Box<Self>,
        text: &[u8],
    ) -> Answered<Result<Prepared, ErrPacket>> {
        let mut listening = self.say(Command::StmtPrepare, text).await?;
        let reply = listening.reply(Tracking::All).await?;
        let prepared = match (reply.end.prepared, reply.error()?) {
            (Some(prepared), _) => Ok(prepared),
            (None, Some(error)) => Err(error),
            (None, None) => return Err(Malformed("a prepare without a statement").into()),
        };
        listening.answered(prepared)
    }

    /// Asks the server whether a transaction is open.
    pub(crate) async fn in_transaction(self: Box<Self>) -> Answered<bool> {
        let (backend, outcome) = self.ask(b"SELECT @@in_transaction").await?;
        let open = match outcome {
            TextOutcome::Rows { rows, .. } => rows
                .first()
                .and_then(|row| row.first())
                .is_none_or(|value| value.as_deref() != Some(b"0")),
            TextOutcome::Ok(_) | TextOutcome::Err(_) => true,
        };
        Ok((backend, open))
    }

    /// Asks the questions of a probe, each batch in one round trip.
    pub(crate) async fn probe(
        mut self: Box<Self>,
        probe: &mut Probe,
    ) -> Result<Box<Self>, BackendError> {
        loop {
            let questions = probe.questions();
            if questions.is_empty() {
                return Ok(self);
            }
            let answers;
            (self, answers) = self.ask_all(&questions).await?;
            probe.answers(answers);
        }
    }

    /// Asks several questions in one round trip.
    pub(crate) async fn ask_all(self: Box<Self>, questions: &[Question]) -> Answered<Vec<Answer>> {
        let mut bytes = Vec::new();
        for question in questions {
            let (Question::Rows(text) | Question::Raw(text)) = question;
            write_packet(&mut bytes, 0, &[&[Command::Query as u8], &**text].concat());
        }
        let mut speaking = self.speak();
        speaking.send(&bytes, PATIENCE).await?;
        let mut listening = speaking.sent_all(questions.iter().map(|_| ReplyKind::ResultSet));
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let most = match question {
                Question::Rows(_) => LONGEST_ANSWER,
                Question::Raw(_) => LONGEST_LIST,
            };
            let reply = listening.reply_within(most, Tracking::All).await?;
            answers.push(listening.answer(question, reply)?);
        }
        listening.answered(answers)
    }

    /// Runs a statement, given as its packet, and returns its reply with as much of session tracking as
    /// the client has asked for.
    pub(crate) async fn reply_to(
        self: Box<Self>,
        command: &[u8],
        kind: ReplyKind,
        tracking: Tracking,
    ) -> Answered<Reply> {
        let mut speaking = self.speak();
        speaking.send(command, PATIENCE).await?;
        let mut listening = speaking.sent(kind, 0);
        listening.digest();
        let reply = listening.reply(tracking).await?;
        listening.answered(reply)
    }
}

impl Listening {
    /// Returns the backend with the answer, if all replies have been read.
    pub(super) fn answered<T>(self, answer: T) -> Answered<T> {
        match self.into_backend() {
            Some(backend) => Ok((backend, answer)),
            None => Err(Malformed("an answer without its end").into()),
        }
    }

    /// Decodes the reply to a statement.
    pub(super) fn outcome_of(&self, reply: &Reply) -> Result<TextOutcome, BackendError> {
        if !reply.whole {
            return Err(BackendError::TooLong);
        }
        let mut answer = TextResultSet::new(self.capabilities(), Limits::default());
        let mut packets = PacketBuffer::new(LONGEST_ANSWER);
        packets.push(&reply.bytes);
        while let Ok(Some((_, payload))) = packets.next() {
            match answer.on_payload(&payload) {
                Ok(Some(outcome)) if !answer.expects_more() => return Ok(outcome),
                Ok(_) => {}
                Err(error) => return Err(BackendError::Gone(std::io::Error::other(error))),
            }
        }
        Err(Malformed("a result without its end").into())
    }

    /// The answer to a question of a probe. A client can make any answer too long; that must not end its
    /// session.
    fn answer(&self, question: &Question, reply: Reply) -> Result<Answer, BackendError> {
        if !reply.whole {
            return Ok(Answer::TooLong);
        }
        Ok(match question {
            Question::Rows(_) => match self.outcome_of(&reply)? {
                TextOutcome::Rows { rows, .. } => Answer::Rows(rows),
                TextOutcome::Ok(_) | TextOutcome::Err(_) => Answer::Refused,
            },
            Question::Raw(_) => Answer::Raw(reply.bytes),
        })
    }
}

impl Reply {
    /// The error packet, if the reply is one.
    pub(crate) fn error(&self) -> Result<Option<ErrPacket>, Malformed> {
        let payload = self.bytes.get(HEADER..).unwrap_or_default();
        let failed = self.end.error.is_some();
        failed.then(|| ErrPacket::parse(payload)).transpose()
    }
}
