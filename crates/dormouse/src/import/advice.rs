//! The errors that end an import: what happened, where, and how to go on.

use std::io;

use dormouse_api::ErrorBody;

use super::checkpoint::Position;
use super::classify::Effect;
use super::input::{Part, unreadable};
use super::splitter::{Fault, SplitError};
use super::summary::Refused;

/// The server's codes for a missing schema.
const NO_SCHEMA: u16 = 1046;
const UNKNOWN_SCHEMA: u16 = 1049;

/// How to go on after an error.
#[derive(Debug)]
pub(crate) struct Advice {
    /// The command line.
    again: String,
    /// Whether it can be resumed.
    kept: bool,
}

impl Advice {
    /// Advice for an import that this command line repeats.
    pub(crate) fn new(again: String, kept: bool) -> Self {
        Self { again, kept }
    }

    /// The server refused a statement; the import can go on from there.
    pub(crate) fn refused(
        &self,
        refused: &Refused,
        code: u16,
        effect: &Effect,
        from: Option<&Position>,
    ) -> ErrorBody {
        let Refused {
            part,
            line,
            what,
            error,
        } = refused;
        let message = format!("{part}:{line}: {what}: the database answered {error}");
        let cause = match (code, effect) {
            (NO_SCHEMA, _) => {
                "the dump does not say for which schema it is: name one with --schema; "
            }
            (UNKNOWN_SCHEMA, Effect::Use(_)) => {
                "the dump does not make this schema: make it first; "
            }
            _ => "",
        };
        let force = "--force goes past errors and lists them";
        let hint = match from {
            Some(from) => format!(
                "{cause}when the cause is gone, `{} --resume` goes on at {}:{}; {force}",
                self.again, from.part, from.line
            ),
            None => format!("{cause}when the cause is gone, run it again; {force}"),
        };
        ErrorBody::new("refused", message).with_hint(hint)
    }

    /// The connection broke while a statement ran.
    pub(crate) fn gone(&self, part: &Part, line: u64, what: &str, error: &str) -> ErrorBody {
        let message = format!(
            "{}:{line}: {what}: the connection to dormouse broke: {error}",
            part.name
        );
        ErrorBody::new("machine", message).with_hint(self.how_to_go_on())
    }

    fn how_to_go_on(&self) -> String {
        match self.kept {
            true => format!("`{} --resume` goes on", self.again),
            false => format!("run it again: {}", self.again),
        }
    }

    /// A file of the dump cannot be read.
    pub(crate) fn cannot_read(&self, part: &Part, error: &io::Error) -> ErrorBody {
        unreadable(&part.name, error).with_hint(self.how_to_go_on())
    }

    /// The last line of a dump is missing.
    pub(crate) fn truncated(&self, part: &Part) -> ErrorBody {
        let message = format!(
            "{} is truncated: its last line is not '-- Dump completed'; what stands in it so far was run",
            part.name
        );
        let hint = format!("get the whole dump, then {}", self.how_to_go_on());
        ErrorBody::new("invalid", message).with_hint(hint)
    }

    /// The input cannot be cut into statements.
    pub(crate) fn no_dump(&self, part: &Part, error: SplitError) -> ErrorBody {
        let at = format!("{}:{}", part.name, error.line);
        match error.fault {
            Fault::TooLong(limit) => {
                let message = format!(
                    "{at}: a statement is longer than max_allowed_packet allows, {limit} bytes"
                );
                let hint = format!(
                    "raise it as an owner (SET GLOBAL max_allowed_packet = 1073741824 at most), or dump with a \
                     smaller --net-buffer-length; then {}",
                    self.how_to_go_on()
                );
                ErrorBody::new("limit", message).with_hint(hint)
            }
            Fault::Unfinished => {
                let message =
                    format!("{at}: the dump ends within a string, a quoted name or a comment");
                ErrorBody::new("invalid", message).with_hint("it is truncated, or no dump")
            }
            Fault::ClientCommand(letter) => {
                let message = format!(
                    "{at}: '\\{}' is a command for the mariadb client, no SQL",
                    char::from(letter)
                );
                ErrorBody::new("invalid", message)
                    .with_hint("take it out of the dump: it is not run")
            }
            Fault::NoDelimiter => {
                ErrorBody::new("invalid", format!("{at}: DELIMITER without a delimiter"))
            }
        }
    }
}
