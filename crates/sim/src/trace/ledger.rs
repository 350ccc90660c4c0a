//! Converts a ledger to a trace.
//!
//! A database is in use from the demand that wakes it to the last statement before it sleeps: the
//! ledger has the time and duration of each wake, and the time of each sleep with the idle time before
//! it. Orders of an operator are not replayed: a wake counts as use, and a sleep ends it.

use std::collections::BTreeMap;

use dormouse_policy::Spec;
use dormouse_types::{DatabaseName, State};

use super::{Recorded, Span, Trace};
use crate::model::Timing;
use crate::time::MS;

/// An entry of the ledger. Durations are in milliseconds, times in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When it was written: at the end of what it describes.
    pub at: u64,
    /// The database.
    pub database: DatabaseName,
    /// Kind of entry.
    pub what: What,
    /// The state before.
    pub from: Option<State>,
    /// The state after, or the one that was denied.
    pub to: Option<State>,
    /// Duration.
    pub took: u64,
    /// Idle time before it.
    pub idle: u64,
    /// CPU time of the server's process since its start, if known.
    pub cpu: Option<u64>,
    /// CPU time used for what the entry describes.
    pub took_cpu: Option<u64>,
}

/// Kind of entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The database was created.
    Created,
    /// Its state changed, or it got a new server process.
    Changed,
    /// A change was refused or failed.
    Refused,
    /// The database was dropped.
    Dropped,
}

/// A database that exists when the ledger is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its name.
    pub database: DatabaseName,
    /// Its settings.
    pub spec: Spec,
    /// Its state.
    pub state: State,
    /// CPU time of its server's process since its start, if known.
    pub cpu: Option<u64>,
}

/// Builds a trace from a ledger, entry by entry.
#[derive(Debug)]
pub struct Recorder {
    known: Vec<Known>,
    from: Option<u64>,
    courses: BTreeMap<DatabaseName, Course>,
    took: Took,
}

/// Durations and CPU times of transitions.
#[derive(Debug, Default)]
struct Took {
    start: Vec<u64>,
    start_cpu: Vec<u64>,
    thaw: Vec<u64>,
    suspend: Vec<u64>,
    suspend_cpu: Vec<u64>,
    park: Vec<u64>,
    park_cpu: Vec<u64>,
}

/// History of one database so far.
#[derive(Debug)]
struct Course {
    begin: State,
    made: Option<u64>,
    dropped: Option<u64>,
    awake: Option<Awake>,
    activity: Vec<Span>,
    /// Last known CPU time of the process.
    cpu_seen: u64,
    /// CPU time not yet attributed to a span.
    cpu: u64,
}

/// When a demand arrived, and when the database was awake.
#[derive(Debug, Clone, Copy)]
struct Awake {
    arrived: u64,
    opened: u64,
}

impl Recorder {
    /// A recorder for the databases that exist.
    #[must_use]
    pub fn new(known: Vec<Known>) -> Self {
        Self {
            known,
            from: None,
            courses: BTreeMap::new(),
            took: Took::default(),
        }
    }

    /// Adds an entry; entries must be in order of time.
    pub fn note(&mut self, entry: &Entry) {
        let from = *self.from.get_or_insert(entry.at.saturating_sub(entry.took));
        let course = self
            .courses
            .entry(entry.database.clone())
            .or_insert_with(|| Course::found(entry, from));
        course.note(entry, from);
        self.took.note(entry);
    }

    /// The trace up to `to`, in milliseconds since 1970, and the number of databases left out because
    /// they were dropped and their settings are unknown; `None` if there are no entries.
    #[must_use]
    pub fn finish(mut self, to: u64) -> Option<(Trace, usize)> {
        let from = self.from.filter(|from| *from < to)?;
        let mut databases = Vec::new();
        for Known {
            database,
            spec,
            state,
            cpu,
        } in self.known
        {
            let course = self.courses.remove(&database);
            let mut course = course.unwrap_or_else(|| Course::at_rest(resting(state), from));
            course.cpu_now(cpu, None);
            if let Some(row) = course.finish(database, spec, from, to) {
                databases.push(row);
            }
        }
        let timing = self.took.timing();
        let trace = Trace {
            from,
            to,
            timing,
            databases,
        };
        Some((trace, self.courses.len()))
    }
}

impl Course {
    /// The history of a database that begins with this entry.
    fn found(entry: &Entry, from: u64) -> Self {
        let state = match entry.what {
            What::Created => State::Active,
            _ => resting(entry.from.unwrap_or(State::Parked)),
        };
        Self::at_rest(state, from)
    }

    fn at_rest(begin: State, from: u64) -> Self {
        let awake = Awake {
            arrived: from,
            opened: from,
        };
        Self {
            begin,
            made: None,
            dropped: None,
            awake: (begin == State::Active).then_some(awake),
            activity: Vec::new(),
            cpu_seen: 0,
            cpu: 0,
        }
    }

    fn note(&mut self, entry: &Entry, from: u64) {
        let began = entry.at.saturating_sub(entry.took).max(from);
        let opened = entry.at;
        match (entry.what, entry.from, entry.to) {
            (What::Created, ..) => {
                *self = Self::at_rest(State::Active, entry.at);
                self.made = Some(entry.at);
                self.cpu_seen = entry.cpu.unwrap_or(0);
            }
            (What::Dropped, ..) => {
                self.rests(began);
                self.dropped = Some(began);
            }
            (What::Changed, before, Some(State::Active)) => {
                if before == Some(State::Suspended) {
                    self.cpu_now(entry.cpu, None);
                } else {
                    // the CPU time of the start does not belong to a statement
                    self.cpu_seen = entry.cpu.unwrap_or(0);
                }
                let arrived = began;
                self.awake.get_or_insert(Awake { arrived, opened });
            }
            (What::Changed, _, Some(State::Suspended | State::Parked)) => {
                self.cpu_now(entry.cpu, entry.took_cpu);
                self.rests(began.saturating_sub(entry.idle));
            }
            // a statement has cancelled a park that had begun with a thaw
            (What::Refused, Some(State::Active), _) => {
                let arrived = opened;
                self.awake.get_or_insert(Awake { arrived, opened });
            }
            _ => {}
        }
    }

    /// Records the CPU time of its process, of which `no_statements` was not used for statements.
    fn cpu_now(&mut self, cpu: Option<u64>, no_statements: Option<u64>) {
        let Some(cpu) = cpu else {
            return;
        };
        // less than before: the process is a new one
        let used = cpu.checked_sub(self.cpu_seen).unwrap_or(cpu);
        self.cpu += used.saturating_sub(no_statements.unwrap_or(0));
        self.cpu_seen = cpu;
    }

    /// Ends the current span at `end`.
    fn rests(&mut self, end: u64) {
        let Some(Awake { arrived, opened }) = self.awake.take() else {
            return;
        };
        let last = self.activity.last().map_or(0, |span| span.1);
        let start = arrived.max(last);
        let used = end.saturating_sub(opened);
        self.activity
            .push(Span(start, start + used, std::mem::take(&mut self.cpu)));
    }

    fn finish(
        mut self,
        database: DatabaseName,
        spec: Spec,
        from: u64,
        to: u64,
    ) -> Option<Recorded> {
        let end = self.dropped.unwrap_or(to).min(to);
        self.rests(end);
        if let Some(last) = self.activity.last_mut() {
            last.2 += self.cpu;
        }
        for span in &mut self.activity {
            span.1 = span.1.min(end);
            span.0 = span.0.min(span.1);
        }
        (self.made.unwrap_or(from) < end).then_some(Recorded {
            database,
            spec,
            state: self.begin,
            from: self.made,
            to: self.dropped.filter(|dropped| *dropped < to),
            activity: self.activity,
        })
    }
}

/// The resting state for a transitional one, by whether it has a server.
fn resting(state: State) -> State {
    match state {
        State::Suspended => State::Suspended,
        State::Parked | State::Failed | State::Dropping => State::Parked,
        _ => State::Active,
    }
}

impl Took {
    fn note(&mut self, entry: &Entry) {
        use State::{Active, Parked, Suspended};
        match (entry.what, entry.from, entry.to) {
            (What::Created, ..) => self.start_cpu.extend(entry.cpu),
            (What::Changed, Some(Parked), Some(Active)) => {
                self.start.push(entry.took);
                self.start_cpu.extend(entry.cpu);
            }
            (What::Changed, Some(Suspended), Some(Active)) => self.thaw.push(entry.took),
            (What::Changed, _, Some(Suspended)) => {
                self.suspend.push(entry.took);
                self.suspend_cpu.extend(entry.took_cpu);
            }
            (What::Changed, _, Some(Parked)) => {
                self.park.push(entry.took);
                self.park_cpu.extend(entry.took_cpu);
            }
            _ => {}
        }
    }

    /// The medians of durations and the means of CPU times, as far as there are any.
    fn timing(self) -> Timing {
        let usual = Timing::default();
        let median = |mut all: Vec<u64>, or| {
            all.sort_unstable();
            // the ledger has whole milliseconds, rounded down
            all.get(all.len() / 2).map_or(or, |ms| ms * MS + MS / 2)
        };
        let mean = |all: Vec<u64>, or| {
            let sum: u64 = all.iter().map(|ms| ms * MS).sum();
            sum.checked_div(all.len() as u64).unwrap_or(or)
        };
        let park = median(self.park, usual.park);
        Timing {
            start: median(self.start, usual.start),
            start_cpu: mean(self.start_cpu, usual.start_cpu),
            thaw: median(self.thaw, usual.thaw),
            suspend: median(self.suspend, usual.suspend),
            suspend_cpu: mean(self.suspend_cpu, usual.suspend_cpu),
            park,
            park_cpu: mean(self.park_cpu, usual.park_cpu),
            stop: usual.stop.min(park),
            reopen: usual.reopen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: u64, what: What, from: Option<State>, to: State, took: u64, idle: u64) -> Entry {
        Entry {
            at,
            database: "shop".parse().unwrap(),
            what,
            from,
            to: Some(to),
            took,
            idle,
            cpu: Some(at / 100),
            took_cpu: (what == What::Changed).then_some(took / 2),
        }
    }

    #[test]
    fn a_ledger_is_converted_to_spans_of_use() {
        use State::{Active, Parked, Suspended};
        use What::{Changed, Created, Refused};
        let entries = [
            entry(1_000, Created, None, Active, 10, 0),
            entry(21_000, Changed, Some(Active), Suspended, 20, 10_000),
            entry(30_001, Changed, Some(Suspended), Active, 1, 0),
            // a sleep cancelled by a statement
            entry(50_000, Refused, Some(Active), Suspended, 5, 0),
            entry(70_000, Changed, Some(Active), Suspended, 20, 10_000),
            entry(370_000, Changed, Some(Suspended), Parked, 25, 310_000),
            entry(400_100, Changed, Some(Parked), Active, 100, 0),
        ];
        let known = |name: &str, state| Known {
            database: name.parse().unwrap(),
            spec: Spec::default(),
            state,
            cpu: (state == Active).then_some(4_051),
        };
        let mut recorder = Recorder::new(vec![known("shop", Active), known("calm", Suspended)]);
        entries.iter().for_each(|e| recorder.note(e));
        let gone = Entry {
            database: "gone".parse().unwrap(),
            ..entries[6].clone()
        };
        recorder.note(&gone);
        let (trace, left_out) = recorder.finish(410_100).unwrap();
        assert_eq!((trace.from, trace.to, left_out), (990, 410_100, 1));
        let [shop, calm] = trace.databases.as_slice() else {
            panic!("{trace:?}")
        };
        assert_eq!((shop.state, shop.from), (Active, Some(1_000)));
        let spans = [
            // without the CPU time of the suspends
            Span(1_000, 10_980, 200 - 10),
            Span(30_000, 59_979, 490 - 10),
            // the suspended server has used more CPU than its park took
            Span(400_000, 410_000, 3_000 - 12 + 50),
        ];
        assert_eq!(shop.activity, spans);
        assert_eq!((calm.state, calm.activity.len()), (Suspended, 0));
        assert_eq!(trace.timing.start, 100_500);
    }
}
