//! `dormouse move`.

use std::io::IsTerminal as _;
use std::time::Duration;

use dormouse_api::Client;
use dormouse_api::model::{MoveDone, MoveRequest};

use super::told;
use crate::Outcome;
use crate::cli::MoveArgs;
use crate::output::Output;

/// How often the progress is asked for.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn run(client: &Client, args: MoveArgs, output: &Output) -> Outcome {
    let name = &args.name;
    if args.cancel {
        client.cancel_move(name).await.map_err(told)?;
        return output.result(&(), |_| format!("the move of {name} is cancelled"));
    }
    let request = MoveRequest { keep: args.keep };
    let moved = client.relocate(name, &request);
    tokio::pin!(moved);
    let mut last = String::new();
    let done = loop {
        tokio::select! {
            done = &mut moved => break done.map_err(told)?,
            () = tokio::time::sleep(LOOK), if std::io::stderr().is_terminal() => {
                let moving = client.database(name).await.ok().and_then(|d| d.moving);
                let Some(moving) = moving else { continue };
                let told = match moving.waits_for {
                    Some(what) => format!("{}: {what}", moving.stage),
                    None => moving.stage,
                };
                if told != last {
                    output.remark(&told);
                    last = told;
                }
            }
        }
    };
    output.result(&done, |_| shown(name.as_str(), &done))
}

fn shown(name: &str, done: &MoveDone) -> String {
    let took = done.took_ms;
    let paused = match done.paused_ms {
        Some(paused) => format!("statements waited {paused} ms for the switch"),
        None => "it slept on".to_owned(),
    };
    let (from, to) = (done.from, done.to);
    format!("{name} moved from instance {from} to {to} in {took} ms; {paused}")
}
