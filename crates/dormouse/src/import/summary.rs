//! What an import did, left out and was refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::classify::Reason;
use super::progress;

/// Errors and refusals that are kept with their text; more are only counted.
const MOST_TOLD: usize = 200;

/// Statements of one kind that were not run as they stand.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Left {
    /// How many.
    pub(crate) count: u64,
    /// What is told of them.
    pub(crate) about: String,
    /// Details, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) details: Vec<String>,
}

/// A statement that was refused.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Refused {
    /// The part of the dump.
    pub(crate) part: String,
    /// The line there.
    pub(crate) line: u64,
    /// What the statement does.
    pub(crate) what: String,
    /// The server's answer.
    pub(crate) error: String,
}

/// The whole result.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) event: &'static str,
    pub(crate) database: String,
    /// Tables made.
    pub(crate) tables: u64,
    /// Rows written.
    pub(crate) rows: u64,
    /// Statements run.
    pub(crate) statements: u64,
    /// Warnings of the server.
    pub(crate) warnings: u64,
    /// Bytes read.
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// What was not run as it stands.
    pub(crate) left_out: BTreeMap<Reason, Left>,
    /// Errors that --force went past.
    pub(crate) errors: Vec<Refused>,
    pub(crate) error_count: u64,
    /// Accounts that came along; only from a server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) accounts: Vec<String>,
    /// What of a server did not come along, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_brought: Vec<String>,
}

impl Summary {
    /// Counts a statement that was not run as it stands.
    pub(crate) fn left(&mut self, reason: Reason, detail: Option<String>) {
        let left = self.left_out.entry(reason).or_default();
        left.count += 1;
        if left.about.is_empty() {
            reason.text().clone_into(&mut left.about);
        }
        if let Some(detail) = detail
            && left.details.len() < MOST_TOLD
            && !left.details.contains(&detail)
        {
            left.details.push(detail);
        }
    }

    /// Keeps an error that the import went past.
    pub(crate) fn error(&mut self, refused: Refused) {
        self.error_count += 1;
        if self.errors.len() < MOST_TOLD {
            self.errors.push(refused);
        }
    }

    /// The summary for people.
    pub(crate) fn text(&self) -> String {
        let mut out = format!(
            "imported {} tables, {} rows, {} in {:.1} s into {}\n",
            self.tables,
            self.rows,
            progress::size(self.bytes),
            self.seconds,
            self.database
        );
        let mut line = |text: &str| {
            // a String takes everything
            let _written = writeln!(out, "{text}");
        };
        if self.warnings > 0 {
            line(&format!("the server gave {} warnings", self.warnings));
        }
        if !self.accounts.is_empty() {
            line(&format!("accounts: {}", self.accounts.join(", ")));
        }
        for left in self.left_out.values() {
            line(&format!("{:>6}  {}", left.count, left.about));
            left.details
                .iter()
                .for_each(|detail| line(&format!("        {detail}")));
        }
        for text in &self.not_brought {
            line(&format!("not brought: {text}"));
        }
        for Refused {
            part,
            line: at,
            what,
            error,
        } in &self.errors
        {
            line(&format!("error: {part}:{at}: {what}: {error}"));
        }
        let more = self.error_count.saturating_sub(self.errors.len() as u64);
        if more > 0 {
            line(&format!("and {more} more errors"));
        }
        out
    }
}
