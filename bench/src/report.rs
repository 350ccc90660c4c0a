//! Results, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::machine::Machine;
use crate::options::Options;
use crate::stats::median;

/// All results.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Start of the measurement, UTC.
    date: jiff::Timestamp,
    machine: Machine,
    rounds: u32,
    seconds: u32,
    /// Whether the figures are meaningless (`--quick`).
    quick: bool,
    measures: Vec<Row>,
    /// Figures of each round, or of each sample.
    raw: BTreeMap<String, Series>,
}

/// One figure.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// `C1` to `R1`.
    id: &'static str,
    what: String,
    value: f64,
    unit: Unit,
    target: Option<Target>,
    /// Whether the target is met.
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<bool>,
}

/// Target of a figure.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// Unit of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// A quotient of two figures.
    Ratio,
    /// Queries a second.
    QueriesPerSecond,
    /// A number of things.
    Count,
    /// A number per second.
    PerSecond,
    /// Hundredths of one core.
    PercentOfCore,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Units of 1024 bytes.
    Kibibytes,
    /// Units of 1024 kibibytes.
    Mebibytes,
}

#[derive(Debug, Serialize)]
struct Series {
    unit: Unit,
    median: f64,
    figures: Vec<f64>,
}

impl Report {
    /// An empty report that begins now.
    pub(crate) fn new(machine: Machine, options: &Options) -> Self {
        Self {
            date: jiff::Timestamp::now(),
            machine,
            rounds: options.rounds(),
            seconds: options.seconds(),
            quick: options.quick,
            measures: Vec::new(),
            raw: BTreeMap::new(),
        }
    }

    /// Adds a figure without a target.
    pub(crate) fn figure(
        &mut self,
        id: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: Unit,
    ) {
        self.measures.push(Row {
            id,
            what: what.into(),
            value,
            unit,
            target: None,
            pass: None,
        });
    }

    /// Adds a figure with a target.
    pub(crate) fn promise(
        &mut self,
        id: &'static str,
        what: impl Into<String>,
        value: f64,
        unit: Unit,
        target: Target,
    ) {
        let pass = Some(target.met_by(value));
        self.measures.push(Row {
            id,
            what: what.into(),
            value,
            unit,
            target: Some(target),
            pass,
        });
    }

    /// Stores the single figures of a row.
    pub(crate) fn raw(&mut self, name: impl Into<String>, unit: Unit, figures: &[f64]) {
        let figures = figures.to_vec();
        let series = Series {
            unit,
            median: median(&figures),
            figures,
        };
        self.raw.insert(name.into(), series);
    }

    /// The table, with a heading.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        // the format of docs/performance.md
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["", "measure", "result", "target", ""]);
        let mut rows: Vec<&Row> = self.measures.iter().collect();
        rows.sort_by_key(|row| place(row.id));
        for row in rows {
            table.add_row(row.cells());
        }
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let Machine {
            cores,
            cpu,
            memory_mib,
            kernel,
            load,
            ..
        } = &self.machine;
        let machine = &self.machine;
        let mut programs = vec![
            machine.dormouse.clone(),
            format!("MariaDB {}", machine.server),
        ];
        programs.extend(
            machine
                .haproxy
                .as_ref()
                .map(|version| format!("HAProxy {version}")),
        );
        programs.extend(
            machine
                .sysbench
                .as_ref()
                .map(|version| format!("sysbench {version}")),
        );
        let quick = if self.quick {
            "; --quick: the figures are meaningless"
        } else {
            ""
        };
        format!(
            "{}: {cores} cores of {cpu}, {} GiB, Linux {kernel}, load before {load:.2}\n{}\n\
             {} rounds of {} s{quick}\n\n{table}\n",
            self.date.strftime("%Y-%m-%d %H:%M UTC"),
            memory_mib.div_ceil(1024),
            programs.join(", "),
            self.rounds,
            self.seconds,
        )
    }
}

/// Where a measure stands in the table: by its letter, then by its number.
fn place(id: &str) -> (&str, u32, &str) {
    let (letter, number) = id.split_at(id.len().min(1));
    let digits = number.trim_end_matches(|c: char| !c.is_ascii_digit());
    (letter, digits.parse().unwrap_or(0), number)
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let target = self.target.map_or_else(
            || "–".to_owned(),
            |target| match target {
                Target::AtLeast(figure) => format!("≥ {}", self.unit.show_target(figure)),
                Target::AtMost(figure) => format!("≤ {}", self.unit.show_target(figure)),
            },
        );
        let verdict = match self.pass {
            Some(true) => "pass",
            Some(false) => "miss",
            None => "",
        };
        [
            self.id.to_owned(),
            self.what.clone(),
            self.unit.show(self.value),
            target,
            verdict.to_owned(),
        ]
    }
}

impl Target {
    fn met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(figure) => value >= figure,
            Self::AtMost(figure) => value <= figure,
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Count => format!("{value:.0}"),
            Self::QueriesPerSecond | Self::PerSecond => format!("{value:.0} {self}"),
            Self::PercentOfCore => format!("{value:.2} {self}"),
            Self::Microseconds
            | Self::Milliseconds
            | Self::Seconds
            | Self::Kibibytes
            | Self::Mebibytes => {
                format!("{value:.1} {self}")
            }
        }
    }

    fn show_target(self, value: f64) -> String {
        match self {
            Self::Ratio | Self::Count => format!("{value}"),
            _ => format!("{value} {self}"),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ratio | Self::Count => "",
            Self::QueriesPerSecond | Self::PerSecond => "/s",
            Self::PercentOfCore => "%",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Kibibytes => "KiB",
            Self::Mebibytes => "MiB",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_whether_its_target_is_met() {
        let row = |value, target: Target| Row {
            id: "P1",
            what: String::new(),
            value,
            unit: Unit::Ratio,
            target: Some(target),
            pass: Some(target.met_by(value)),
        };
        assert_eq!(
            row(0.72, Target::AtLeast(0.72)).cells()[2..],
            ["0.72", "≥ 0.72", "pass"]
        );
        assert_eq!(
            row(2.01, Target::AtMost(2.0)).cells()[2..],
            ["2.01", "≤ 2", "miss"]
        );
        // NaN meets no target
        assert_eq!(row(f64::NAN, Target::AtMost(2.0)).cells()[4], "miss");
    }

    #[test]
    fn measures_stand_in_the_order_of_their_numbers() {
        let mut ids = ["P12", "P2", "P7b", "E16", "P7", "E9", "P1"];
        ids.sort_by_key(|id| place(id));
        assert_eq!(ids, ["E9", "E16", "P1", "P2", "P7", "P7b", "P12"]);
    }

    #[test]
    fn figures_are_shown_with_their_unit() {
        assert_eq!(Unit::QueriesPerSecond.show(51_234.6), "51235 /s");
        assert_eq!(Unit::Kibibytes.show_target(8.0), "8 KiB");
    }
}
