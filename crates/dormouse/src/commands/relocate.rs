//! `dormouse move` and `dormouse upgrade`.

use std::io::IsTerminal as _;
use std::time::Duration;

use dormouse_api::Client;
use dormouse_api::model::{MoveDone, MoveRequest, UpgradeCheck, UpgradeCheckRequest};
use dormouse_types::{DatabaseName, Series};

use super::told;
use crate::Outcome;
use crate::cli::{MoveArgs, UpgradeArgs};
use crate::output::Output;

/// How often the progress is asked for.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn run(client: &Client, args: MoveArgs, output: &Output) -> Outcome {
    let name = &args.name;
    if args.cancel {
        return cancel(client, name, output).await;
    }
    let request = MoveRequest {
        root: args.to,
        version: None,
        keep: args.keep,
    };
    relocate(client, name, &request, output).await
}

/// `upgrade`
pub(super) async fn upgrade(client: &Client, args: UpgradeArgs, output: &Output) -> Outcome {
    let name = &args.name;
    let Some(version) = args.to.filter(|_| !args.cancel) else {
        return cancel(client, name, output).await;
    };
    if args.check {
        let request = UpgradeCheckRequest { version };
        let checked = client.check_upgrade(name, &request).await.map_err(told)?;
        return output.result(&checked, |_| report(name.as_str(), version, &checked));
    }
    let request = MoveRequest {
        root: None,
        version: Some(version),
        keep: Some(args.keep),
    };
    relocate(client, name, &request, output).await
}

async fn cancel(client: &Client, name: &DatabaseName, output: &Output) -> Outcome {
    client.cancel_move(name).await.map_err(told)?;
    output.result(&(), |_| format!("the move of {name} is cancelled"))
}

/// Moves it, and tells what is being done.
async fn relocate(
    client: &Client,
    name: &DatabaseName,
    request: &MoveRequest,
    output: &Output,
) -> Outcome {
    let moved = client.relocate(name, request);
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

fn report(name: &str, version: Series, checked: &UpgradeCheck) -> String {
    let mut text = match checked.damaged.len() {
        0 => format!(
            "a copy of {name} was upgraded to {version} in {} ms; its tables are sound",
            checked.upgrade_ms
        ),
        n => format!("a copy of {name} was upgraded to {version}; {n} tables are not sound there:"),
    };
    for damaged in &checked.damaged {
        text.push_str("\n  ");
        text.push_str(damaged);
    }
    if !checked.changed.is_empty() {
        text.push_str("\nchanged in the server's own tables:");
    }
    for changed in &checked.changed {
        text.push_str("\n  ");
        text.push_str(changed);
    }
    text
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
