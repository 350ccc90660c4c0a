//! Progress of an import or an export: one line on a terminal, else a line or a JSON event each ten seconds.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::output::Output;

/// How often a line or an event is printed without a terminal.
const SELDOM: Duration = Duration::from_secs(10);
/// How often the line on a terminal is.
const OFTEN: Duration = Duration::from_millis(500);

/// What has been done so far.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Bytes of the dump, as it is stored.
    pub(crate) bytes: AtomicU64,
    /// All bytes of it; 0 if unknown.
    pub(crate) total: AtomicU64,
    /// Tables made.
    pub(crate) tables: AtomicU64,
    /// Rows written.
    pub(crate) rows: AtomicU64,
}

/// An event of progress.
#[derive(Debug, Serialize)]
struct Event {
    event: &'static str,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    tables: u64,
    rows: u64,
    rows_per_second: u64,
    seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Terminal,
    Lines,
    Json,
}

/// Prints progress until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to print the figures.
    pub(crate) fn of(figures: &Arc<Figures>, output: &Output) -> Self {
        let form = match (output.is_json(), io::stderr().is_terminal()) {
            (true, _) => Form::Json,
            (false, true) => Form::Terminal,
            (false, false) => Form::Lines,
        };
        let (stop, stopped) = mpsc::channel::<()>();
        let figures = Arc::clone(figures);
        let started = Instant::now();
        let thread = std::thread::spawn(move || {
            let often = if form == Form::Terminal {
                OFTEN
            } else {
                SELDOM
            };
            while stopped.recv_timeout(often) == Err(RecvTimeoutError::Timeout) {
                print(form, &figures, started.elapsed());
            }
            if form == Form::Terminal {
                print(form, &figures, started.elapsed());
                to_stderr("\n");
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // it prints only
            let _ended = thread.join();
        }
    }
}

fn print(form: Form, figures: &Figures, elapsed: Duration) {
    let get = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let (bytes, total) = (get(&figures.bytes), get(&figures.total));
    let seconds = elapsed.as_secs_f64();
    let event = Event {
        event: "progress",
        bytes,
        total: (total > 0).then_some(total),
        tables: get(&figures.tables),
        rows: get(&figures.rows),
        rows_per_second: per_second(get(&figures.rows), elapsed),
        seconds,
    };
    match form {
        Form::Json => {
            let mut text = serde_json::to_string(&event).unwrap_or_default();
            text.push('\n');
            // the command itself tells if its output is closed
            let _gone = io::stdout().lock().write_all(text.as_bytes());
        }
        Form::Terminal => to_stderr(&format!("\r\x1b[K{}", line(&event))),
        Form::Lines => to_stderr(&format!("{}\n", line(&event))),
    }
}

fn line(event: &Event) -> String {
    let of = match event.total {
        Some(total) => {
            let percent = event.bytes.saturating_mul(100) / total.max(1);
            format!("{} of {} ({percent} %)", size(event.bytes), size(total))
        }
        None => size(event.bytes),
    };
    if event.tables == 0 && event.rows == 0 {
        return of;
    }
    format!(
        "{of}, {} tables, {} rows, {} rows/s",
        event.tables, event.rows, event.rows_per_second
    )
}

/// Whole rows per second.
pub(crate) fn per_second(rows: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    rows.saturating_mul(1000) / millis.max(1)
}

/// Bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let tenths = |unit: u64| bytes.saturating_mul(10) / unit;
    let (value, unit) = match bytes {
        0..1024 => return format!("{bytes} bytes"),
        1024..0x10_0000 => (tenths(1 << 10), "KiB"),
        0x10_0000..0x4000_0000 => (tenths(1 << 20), "MiB"),
        _ => (tenths(1 << 30), "GiB"),
    };
    format!("{}.{} {unit}", value / 10, value % 10)
}

fn to_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    let _gone = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_rates_are_short() {
        assert_eq!(size(12), "12 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
        assert_eq!(per_second(500, Duration::from_millis(250)), 2000);
        assert_eq!(per_second(5, Duration::ZERO), 5000);
    }
}
