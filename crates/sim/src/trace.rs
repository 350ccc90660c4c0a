//! Recorded fleets, as JSON lines; docs/simulator.md describes the format.
//!
//! All input is validated: a trace that is accepted can be simulated.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Read, Write};

use dormouse_policy::Spec;
use dormouse_types::{DatabaseName, State};
use serde::{Deserialize, Deserializer, Serialize};

use crate::fleet::Request;
use crate::model::Timing;
use crate::time::{DAY, HOUR, MS, Micros};

pub mod ledger;

/// Version of the format, for writing and reading.
const VERSION: u32 = 1;
/// Maximum length of a line, in bytes.
const LINE_MOST: u64 = 64 << 20;
/// Maximum number of databases.
const DATABASES_MOST: usize = 1_000_000;
/// Maximum number of spans of activity, of all databases together.
const SPANS_MOST: usize = 10_000_000;
/// Maximum period, in milliseconds: ten years.
const PERIOD_MOST: u64 = 3660 * DAY / MS;
/// Maximum CPU time of all spans together, in milliseconds.
const CPU_MOST: u64 = 1_000_000_000_000;

/// The activity of a fleet in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Start of the period, in milliseconds since 1970.
    pub from: u64,
    /// End of the period, in milliseconds since 1970.
    pub to: u64,
    /// Durations of transitions.
    pub timing: Timing,
    /// The databases, each name once.
    pub databases: Vec<Recorded>,
}

/// The activity of one database in the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// Its name.
    pub database: DatabaseName,
    /// Its settings.
    #[serde(default, deserialize_with = "spec")]
    pub spec: Spec,
    /// Its state at the start.
    pub state: State,
    /// When it was created, if within the period, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// When it was dropped, if within the period, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Times of use, in order.
    pub activity: Vec<Span>,
}

/// A time in which a database was in use, without pauses in which it would have slept: from the
/// arrival of the statement that woke it to the end of the last one, without the wait for the wake.
/// Written `[start, end, cpu]`, all in milliseconds, the times since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span(pub u64, pub u64, pub u64);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    dormouse_trace: u32,
    from: u64,
    to: u64,
    #[serde(default)]
    timing: Timing,
}

/// Why a text is not a trace.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct InvalidTrace {
    /// Line number, from 1.
    pub line: usize,
    /// What is wrong in it.
    pub reason: String,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// [`InvalidTrace`] if the text is not a trace, exceeds a limit, or cannot be read.
    pub fn read(from: impl BufRead) -> Result<Self, InvalidTrace> {
        let mut lines = Lines { from, line: 0 };
        let header = lines.next()?.ok_or_else(|| lines.wrong("it is empty"))?;
        let mut trace = header_of(&header).map_err(|e| lines.wrong(e))?;
        let mut names = BTreeSet::new();
        let (mut spans, mut cpu) = (0, 0u64);
        while let Some(line) = lines.next()? {
            let row: Recorded = serde_json::from_slice(&line).map_err(|e| lines.wrong(e))?;
            trace.check(&row).map_err(|e| lines.wrong(e))?;
            spans += row.activity.len();
            if !names.insert(row.database.clone()) {
                return Err(lines.wrong(format!("database '{}' occurs twice", row.database)));
            }
            if names.len() > DATABASES_MOST {
                return Err(lines.wrong(format!("more than {DATABASES_MOST} databases")));
            }
            cpu = row
                .activity
                .iter()
                .fold(cpu, |sum, span| sum.saturating_add(span.2));
            if cpu > CPU_MOST {
                return Err(lines.wrong(format!("more than {CPU_MOST} ms of CPU")));
            }
            if spans > SPANS_MOST {
                return Err(lines.wrong(format!("more than {SPANS_MOST} spans of activity")));
            }
            trace.databases.push(row);
        }
        if trace.databases.is_empty() {
            return Err(lines.wrong("it has no databases"));
        }
        Ok(trace)
    }

    /// Writes the trace so that [`Trace::read`] reads it.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn write(&self, mut to: impl Write) -> io::Result<()> {
        let header = Header {
            dormouse_trace: VERSION,
            from: self.from,
            to: self.to,
            timing: self.timing,
        };
        serde_json::to_writer(&mut to, &header)?;
        to.write_all(b"\n")?;
        for row in &self.databases {
            serde_json::to_writer(&mut to, row)?;
            to.write_all(b"\n")?;
        }
        to.flush()
    }

    fn check(&self, row: &Recorded) -> Result<(), String> {
        if !matches!(row.state, State::Active | State::Suspended | State::Parked) {
            return Err(format!(
                "'{}' is not a valid state at the start: write active, suspended or parked",
                row.state
            ));
        }
        let (from, to) = self.lifetime(row);
        if !(self.from <= from && from < to && to <= self.to) {
            return Err(format!(
                "the database exists from {from} to {to}, which is not within the trace"
            ));
        }
        let mut last = from;
        for Span(start, end, _) in &row.activity {
            if !(last <= *start && start <= end && *end <= to) {
                return Err(format!(
                    "the activity from {start} to {end} overlaps another, is not in order, or lies outside"
                ));
            }
            last = *end;
        }
        Ok(())
    }

    fn lifetime(&self, row: &Recorded) -> (u64, u64) {
        (row.from.unwrap_or(self.from), row.to.unwrap_or(self.to))
    }

    /// Converts a time of the trace to the simulation, which begins at the midnight (UTC) before the
    /// trace.
    fn moment(&self, at: u64) -> Micros {
        (at - (self.from - self.from % (DAY / MS))) * MS
    }

    /// Beginning and end of the existence of a database.
    pub(crate) fn born(&self, row: &Recorded) -> (Micros, Micros) {
        let (from, to) = self.lifetime(row);
        (self.moment(from), self.moment(to))
    }

    /// The requests of a database.
    pub(crate) fn requests<'a>(&'a self, row: &'a Recorded) -> impl Iterator<Item = Request> + 'a {
        row.activity.iter().map(|Span(start, end, cpu)| Request {
            at: self.moment(*start),
            statements: 1,
            takes: (end - start) * MS,
            cpu: cpu * MS,
        })
    }
}

/// Reads settings and refuses unknown keys: a misspelled key would silently mean another policy.
fn spec<'de, D: Deserializer<'de>>(from: D) -> Result<Spec, D::Error> {
    use serde::de::Error;
    let settings = serde_json::Map::deserialize(from)?;
    let known = serde_json::to_value(Spec::default()).map_err(D::Error::custom)?;
    match settings.keys().find(|name| known.get(name).is_none()) {
        Some(name) => Err(D::Error::custom(format!("unknown setting '{name}'"))),
        None => serde_json::from_value(settings.into()).map_err(D::Error::custom),
    }
}

fn header_of(line: &[u8]) -> Result<Trace, String> {
    let header: Header = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let Header {
        dormouse_trace,
        from,
        to,
        timing,
    } = header;
    if dormouse_trace != VERSION {
        return Err(format!(
            "the trace has version {dormouse_trace}; this program reads version {VERSION}"
        ));
    }
    if from >= to || to - from > PERIOD_MOST {
        return Err(format!(
            "the period from {from} to {to} is not positive or longer than ten years"
        ));
    }
    let Timing {
        start,
        start_cpu,
        thaw,
        suspend,
        suspend_cpu,
        park,
        park_cpu,
        stop,
        reopen,
    } = timing;
    let all = [
        start,
        start_cpu,
        thaw,
        suspend,
        suspend_cpu,
        park,
        park_cpu,
        stop,
        reopen,
    ];
    if all.into_iter().any(|took| took > HOUR) {
        return Err("a transition that takes more than an hour".to_owned());
    }
    Ok(Trace {
        from,
        to,
        timing,
        databases: Vec::new(),
    })
}

struct Lines<R> {
    from: R,
    line: usize,
}

impl<R: BufRead> Lines<R> {
    /// The next line that is not empty.
    fn next(&mut self) -> Result<Option<Vec<u8>>, InvalidTrace> {
        loop {
            let mut line = Vec::new();
            self.line += 1;
            let read = self
                .from
                .by_ref()
                .take(LINE_MOST + 1)
                .read_until(b'\n', &mut line);
            match read {
                Err(error) => return Err(self.wrong(format!("cannot be read: {error}"))),
                Ok(0) => return Ok(None),
                Ok(_) if line.len() as u64 > LINE_MOST => {
                    return Err(self.wrong(format!("longer than {LINE_MOST} bytes")));
                }
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => return Ok(Some(line)),
            }
        }
    }

    fn wrong(&self, reason: impl ToString) -> InvalidTrace {
        InvalidTrace {
            line: self.line,
            reason: reason.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
