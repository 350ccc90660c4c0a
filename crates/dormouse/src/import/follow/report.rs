//! What the import says while it follows.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::apply::Applier;
use crate::import::progress::per_second;
use crate::output::Output;

/// How often a line or an event is printed without a terminal, and with one.
const SELDOM: Duration = Duration::from_secs(10);
const OFTEN: Duration = Duration::from_secs(1);

/// How far the import is.
#[derive(Debug, Serialize)]
struct Following {
    event: &'static str,
    lag_seconds: u64,
    place: String,
    transactions: u64,
    rows: u64,
    rows_per_second: u64,
}

/// A server is not there.
#[derive(Debug, Serialize)]
struct Waiting<'a> {
    event: &'static str,
    error: &'a str,
}

/// Something to know.
#[derive(Debug, Serialize)]
struct Remark<'a> {
    event: &'static str,
    text: &'a str,
}

/// Prints.
pub(crate) struct Report<'a> {
    output: &'a Output,
    is_terminal: bool,
    last: Option<Instant>,
    rows: u64,
    /// Whether the last line said that the import has caught up.
    caught_up: bool,
    waits: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(output: &'a Output) -> Self {
        Self {
            output,
            is_terminal: !output.is_json() && io::stderr().is_terminal(),
            last: None,
            rows: 0,
            caught_up: false,
            waits: false,
        }
    }

    /// More of the log is there.
    pub(crate) fn behind(&mut self, applier: &Applier) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let lag = now.saturating_sub(applier.done.timestamp.into());
        self.line(applier, lag, false);
    }

    /// All of the log is applied.
    pub(crate) fn caught_up(&mut self, applier: &Applier) {
        self.line(applier, 0, true);
    }

    fn line(&mut self, applier: &Applier, lag: u64, caught_up: bool) {
        let often = if self.is_terminal { OFTEN } else { SELDOM };
        let is_new = caught_up && !self.caught_up && (self.last.is_none() || self.waits);
        let since = self.last.map(|last| last.elapsed());
        if !is_new && since.is_some_and(|since| since < often) {
            return;
        }
        let done = &applier.done;
        let following = Following {
            event: "following",
            lag_seconds: lag,
            place: applier.place().to_string(),
            transactions: done.transactions,
            rows: done.rows,
            rows_per_second: per_second(
                done.rows.saturating_sub(self.rows),
                since.unwrap_or(often),
            ),
        };
        self.last = Some(Instant::now());
        self.rows = done.rows;
        self.caught_up = caught_up;
        self.waits = false;
        if self.output.is_json() {
            self.output.announce(&following, |_| String::new());
            return;
        }
        let Following {
            place,
            transactions,
            rows,
            rows_per_second,
            ..
        } = following;
        let text = format!(
            "following: {lag} s behind, at {place}, {transactions} transactions, {rows} rows, {rows_per_second} rows/s"
        );
        self.print(&text);
    }

    fn print(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        let _gone = match self.is_terminal {
            true => write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush()),
            false => writeln!(stderr, "{text}"),
        };
    }

    /// A server is gone, and tried again.
    pub(crate) fn waits(&mut self, error: &str) {
        self.waits = true;
        if self.output.is_json() {
            let event = Waiting {
                event: "waiting",
                error,
            };
            self.output.announce(&event, |_| String::new());
        } else {
            self.print(&format!("waiting: {error}"));
        }
    }

    /// Something to know.
    pub(crate) fn remark(&mut self, text: &str) {
        if self.output.is_json() {
            let event = Remark {
                event: "remark",
                text,
            };
            self.output.announce(&event, |_| String::new());
        } else {
            if self.is_terminal {
                self.print("");
            }
            self.output.remark(text);
        }
    }
}
