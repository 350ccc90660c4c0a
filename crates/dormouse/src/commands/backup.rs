//! `dormouse backup` and `dormouse restore`.

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use dormouse_api::model::{
    AddKeyRequest, BackUpRequest, BackedUp, Backup, CheckRequest, PruneRequest, RestoreRequest,
    Restored, RunningBackup, Verified,
};
use dormouse_api::{Client, ErrorBody};
use dormouse_types::DatabaseName;
use serde_json::json;

use super::{confirm, told};
use crate::Outcome;
use crate::cli::{BackupCommand, BackupKeyCommand, BackupVerifyArgs, RestoreArgs};
use crate::format::{self, size};
use crate::output::Output;

/// How often progress is asked for.
const OFTEN: Duration = Duration::from_millis(500);

/// Number of requests at the same time; the server takes as many at once as its configuration says.
const AT_ONCE: usize = 16;

pub(super) async fn run(client: &Client, command: BackupCommand, output: &Output) -> Outcome {
    match command {
        BackupCommand::Init => {
            client.init_repository().await.map_err(told)?;
            output.result(&json!({"created": true}), |_| {
                "the repository was created; keep a copy of its key elsewhere: without it no backup can be read"
                    .to_owned()
            })
        }
        BackupCommand::Now(args) => {
            let names = match args.all {
                true => {
                    let all = client.databases().await.map_err(told)?;
                    all.into_iter().map(|database| database.name).collect()
                }
                false => args.names,
            };
            let request = BackUpRequest {
                always: args.always,
            };
            now(client, names, &request, output).await
        }
        BackupCommand::Ls(args) => {
            let all = client.backups(args.name.as_ref()).await.map_err(told)?;
            output.result(&all, |_| list(&all))
        }
        BackupCommand::Verify(args) => verify(client, args, output).await,
        BackupCommand::Prune(args) => {
            let request = PruneRequest {
                at_once: args.at_once,
            };
            let pruned = client.prune_backups(request).await.map_err(told)?;
            output.result(&pruned, |_| {
                format!(
                    "{} backups forgotten, {} removed, {} marked for a prune a day later",
                    pruned.forgotten,
                    size(pruned.removed),
                    size(pruned.marked)
                )
            })
        }
        BackupCommand::Key(command) => key(client, command, output).await,
    }
}

/// Backs databases up; one that fails does not stop the others.
async fn now(
    client: &Client,
    names: Vec<DatabaseName>,
    request: &BackUpRequest,
    output: &Output,
) -> Outcome {
    let mut done: Vec<BackedUp> = Vec::new();
    let mut failed: Vec<(DatabaseName, ErrorBody)> = Vec::new();
    let work = async {
        for some in names.chunks(AT_ONCE) {
            let some = some.iter().map(|name| async move {
                (
                    name.clone(),
                    client.back_up(name, request).await.map_err(told),
                )
            });
            for (name, made) in futures_util::future::join_all(some).await {
                match made {
                    Ok(made) => {
                        if !output.is_json() {
                            output.result(&made, |_| backed_up(&made))?;
                        }
                        done.push(made);
                    }
                    Err(error) => failed.push((name, error)),
                }
            }
        }
        Ok(())
    };
    with_progress(client, output, work).await?;
    if output.is_json() {
        output.result(&done, |_| String::new())?;
    }
    let Some((name, first)) = failed.first() else {
        return Ok(());
    };
    if names.len() == 1 {
        return Err(first.clone());
    }
    for (name, error) in &failed {
        output.remark(&format!("{name}: {}", error.message));
    }
    let message = format!(
        "{} of {} databases were not backed up; the first is '{name}': {}",
        failed.len(),
        names.len(),
        first.message
    );
    let mut error = ErrorBody::new(&first.code, message);
    error.hint.clone_from(&first.hint);
    Err(error)
}

fn backed_up(made: &BackedUp) -> String {
    let short = short(&made.id);
    match &made.made {
        Some(backup) => format!(
            "{}: backup {short}, {} of which {} are new, in {:.1} s, stood still for {} ms",
            made.database,
            size(backup.size),
            size(backup.new),
            seconds(backup.took_ms),
            backup.frozen_ms
        ),
        None => format!(
            "{}: has slept since backup {short} of {:.0}",
            made.database, made.taken_at
        ),
    }
}

fn list(all: &[Backup]) -> String {
    let rows = all.iter().map(|backup| {
        [
            short(&backup.id).to_owned(),
            backup.database.to_string(),
            format!("{:.0}", backup.taken_at),
            size(backup.size),
            size(backup.new),
            backup.reason.clone().unwrap_or_default(),
        ]
    });
    format::rows(
        &["backup", "database", "taken at", "size", "new", "why"],
        rows,
    )
}

async fn verify(client: &Client, args: BackupVerifyArgs, output: &Output) -> Outcome {
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => {
            let all = client.backups(None).await.map_err(told)?;
            let mut names: Vec<_> = all.into_iter().map(|backup| backup.database).collect();
            names.sort();
            names.dedup();
            names
        }
    };
    let request = RestoreRequest {
        backup: args.backup,
        ..RestoreRequest::default()
    };
    let mut all: Vec<Verified> = Vec::new();
    let mut bad: Vec<String> = Vec::new();
    let work = async {
        for name in &names {
            match client.verify_backup(name, &request).await.map_err(told) {
                Ok(verified) => {
                    if !output.is_json() {
                        output.result(&verified, |_| shown(&verified))?;
                    }
                    if !verified.damaged.is_empty() {
                        bad.push(name.to_string());
                    }
                    all.push(verified);
                }
                Err(error) if names.len() == 1 => return Err(error),
                Err(error) => {
                    output.remark(&format!("{name}: {}", error.message));
                    bad.push(name.to_string());
                }
            }
        }
        Ok(())
    };
    with_progress(client, output, work).await?;
    let mut checked = None;
    if let Some(percent) = args.data {
        let found = client
            .check_repository(CheckRequest { percent })
            .await
            .map_err(told)?;
        if !output.is_json() {
            output.result(&found, |_| match found.faults.is_empty() {
                true => format!("the repository is good; {percent} % of its data were read"),
                false => format!(
                    "the repository is damaged:\n  {}",
                    found.faults.join("\n  ")
                ),
            })?;
        }
        if !found.faults.is_empty() {
            bad.push("the repository".to_owned());
        }
        checked = Some(found);
    }
    if output.is_json() {
        output.result(&json!({"backups": all, "repository": checked}), |_| {
            String::new()
        })?;
    }
    if bad.is_empty() {
        return Ok(());
    }
    let message = format!("not good: {}", bad.join(", "));
    Err(ErrorBody::new("machine", message).with_hint(
        "make a new backup now; an older one, or `restic repair` on a copy of the repository, may still have what is lost",
    ))
}

fn shown(verified: &Verified) -> String {
    let short = short(&verified.backup);
    let took = seconds(verified.took_ms);
    if verified.damaged.is_empty() {
        return format!(
            "{}: backup {short} was restored in {took:.1} s, {}, every table is good",
            verified.database,
            size(verified.size)
        );
    }
    format!(
        "{}: backup {short} is damaged:\n  {}",
        verified.database,
        verified.damaged.join("\n  ")
    )
}

async fn key(client: &Client, command: BackupKeyCommand, output: &Output) -> Outcome {
    match command {
        BackupKeyCommand::Ls => {
            let keys = client.repository_keys().await.map_err(told)?;
            output.result(&keys, |_| {
                let rows = keys.iter().map(|key| {
                    [
                        short(&key.id).to_owned(),
                        key.created.map_or(String::new(), |at| format!("{at:.0}")),
                        key.host.clone().unwrap_or_default(),
                        key.note.clone().unwrap_or_default(),
                        if key.in_use { "in use" } else { "" }.to_owned(),
                    ]
                });
                format::rows(&["key", "created", "host", "note", ""], rows)
            })
        }
        BackupKeyCommand::Add(args) => {
            let key = std::fs::read_to_string(&args.file).map_err(|error| {
                let message = format!("cannot read {}: {error}", args.file.display());
                ErrorBody::new("invalid", message)
            })?;
            let request = AddKeyRequest {
                key,
                note: args.note,
            };
            let id = client.add_repository_key(&request).await.map_err(told)?;
            output.result(&json!({"id": id}), |_| {
                format!("key {} was added", short(&id))
            })
        }
        BackupKeyCommand::Rm(args) => {
            client.remove_repository_key(&args.id).await.map_err(told)?;
            output.result(&json!({"removed": args.id}), |_| {
                "the key was removed".to_owned()
            })
        }
    }
}

/// `dormouse restore`
pub(super) async fn restore(client: &Client, args: RestoreArgs, output: &Output) -> Outcome {
    let replaces = match &args.into {
        Some(_) => false,
        None => client.database(&args.name).await.is_ok(),
    };
    if replaces && !args.yes {
        confirm(&args.name, "replace")?;
    }
    let request = RestoreRequest {
        backup: args.backup,
        into: args.into,
        at: args.at,
        before: args.before,
    };
    let point = request.at.clone().or_else(|| {
        let before = request.before.as_ref();
        before.map(|gtid| format!("before transaction {gtid}"))
    });
    let work = async { client.restore(&args.name, &request).await.map_err(told) };
    let restored = with_progress(client, output, work).await?;
    output.result(&restored, |_| restored_text(&restored, point.as_deref()))
}

fn restored_text(restored: &Restored, point: Option<&str>) -> String {
    let mut text = format!(
        "restored {} from backup {} of {}, taken at {:.0}: {}",
        restored.name,
        short(&restored.backup),
        restored.of,
        restored.taken_at,
        size(restored.size)
    );
    if let Some(point) = point {
        text.push_str(&format!(", and its history up to {point}"));
    }
    if let Some(kept) = &restored.kept {
        text.push_str(&format!(
            "\n{} as it was is kept as {kept}; when it is no longer needed: dormouse drop {kept}",
            restored.name
        ));
    }
    text
}

/// Shows on a terminal how far the work is.
async fn with_progress<T>(
    client: &Client,
    output: &Output,
    work: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    if output.is_json() || !io::stderr().is_terminal() {
        return work.await;
    }
    let show = async {
        loop {
            tokio::time::sleep(OFTEN).await;
            if let Ok(running) = client.running_backups().await
                && let Some(one) = running.first()
            {
                // the line is written over by the next, and by the result
                let _gone = write!(io::stderr(), "\r\x1b[K{}\r", progress(one));
            }
        }
    };
    let done = tokio::select! {
        done = work => done,
        never = show => never,
    };
    let _gone = write!(io::stderr(), "\r\x1b[K");
    done
}

fn progress(running: &RunningBackup) -> String {
    let RunningBackup {
        database,
        doing,
        done,
        total,
        waits_for,
        ..
    } = running;
    if let Some(what) = waits_for {
        return format!("{doing} {database}: waits for {what}");
    }
    match total.0 {
        0 => format!("{doing} {database}: {}", size(*done)),
        all => format!(
            "{doing} {database}: {} of {}, {} %",
            size(*done),
            size(*total),
            done.0 * 100 / all
        ),
    }
}

fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn seconds(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
