//! `dormouse history`.

use dormouse_api::Client;
use dormouse_api::model::History;

use super::told;
use crate::Outcome;
use crate::cli::HistoryArgs;
use crate::format::{self, size};
use crate::output::Output;

pub(super) async fn run(client: &Client, args: &HistoryArgs, output: &Output) -> Outcome {
    let grep = args.grep.as_deref();
    let history = client.history(&args.name, grep).await.map_err(told)?;
    output.result(&history, |_| match grep {
        Some(_) => found(&history),
        None => ranges(&history),
    })
}

fn ranges(history: &History) -> String {
    let mut text = match history.is_on {
        Some(true) => "its history is kept",
        Some(false) => "its history is not kept: dormouse set NAME --history true",
        None => "the database was dropped",
    }
    .to_owned();
    if history.ranges.is_empty() {
        text.push_str("\nthere is nothing to restore from yet: its times begin with the first backup after that");
        return text;
    }
    let rows = history.ranges.iter().map(|range| {
        [
            format!("{:.0}", range.from),
            format!("{:.0}", range.until),
            size(range.size),
            if range.is_live { "goes on" } else { "" }.to_owned(),
        ]
    });
    text.push('\n');
    text.push_str(&format::rows(&["from", "until", "logs", ""], rows));
    text
}

fn found(history: &History) -> String {
    if history.found.is_empty() {
        return "nothing was found".to_owned();
    }
    let mut text = String::new();
    for entry in &history.found {
        text.push_str(&format!(
            "{:.0}  {}  {}\n  {}\n  {}\n",
            entry.at,
            entry.gtid,
            entry.tables.join(", "),
            entry.text.replace('\n', " "),
            entry.restore
        ));
    }
    if history.is_cut {
        text.push_str("there are more, older ones: search for less\n");
    }
    text.trim_end().to_owned()
}
