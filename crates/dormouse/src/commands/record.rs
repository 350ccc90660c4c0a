//! `events --trace`: writes the whole ledger as a trace for `simulate`.

use std::io::{self, BufWriter, Write};

use dormouse_api::model::{Database, Event, EventQuery};
use dormouse_api::{Client, ErrorBody};
use dormouse_policy::Spec;
use dormouse_sim::trace::ledger::{Entry, Known, Recorder, What};
use dormouse_types::Access;
use jiff::Timestamp;

use super::told;
use crate::Outcome;
use crate::output::Output;

/// Reads the ledger page by page and writes the trace to stdout.
pub(super) async fn run(client: &Client, output: &Output) -> Outcome {
    let now = Timestamp::now();
    let known = client.databases().await.map_err(told)?;
    let mut recorder = Recorder::new(known.into_iter().map(database).collect());
    let mut query = EventQuery {
        after: Some(0),
        limit: Some(EventQuery::MAX_LIMIT),
        ..EventQuery::default()
    };
    loop {
        let page = client.events(&query).await.map_err(told)?;
        page.iter()
            .filter_map(entry)
            .for_each(|e| recorder.note(&e));
        query.after = page.last().map(|event| event.id);
        if page.len() < EventQuery::MAX_LIMIT {
            break;
        }
    }
    let nothing = || ErrorBody::new("not_found", "the ledger is empty");
    let (trace, left_out) = recorder.finish(millis(now)).ok_or_else(nothing)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match trace.write(&mut out).and_then(|()| out.flush()) {
        // the reader closed the pipe: not an error
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => {
            let message = format!("cannot write the trace: {e}");
            return Err(ErrorBody::new("machine", message));
        }
        Ok(()) => {}
    }
    if left_out > 0 {
        let are = if left_out == 1 {
            "dropped database is"
        } else {
            "dropped databases are"
        };
        output.remark(&format!("{left_out} {are} left out"));
    }
    Ok(())
}

fn database(d: Database) -> Known {
    Known {
        spec: Spec {
            idle_suspend: d.idle_suspend,
            idle_park: d.idle_park,
            units: d.units_range,
            pooling: d.pooling,
            carry: d.carry,
            keep_awake: d.keep_awake,
            prewake: d.prewake,
            history: d.history,
            replicas: d.replicas_range,
            reads: d.reads,
            durability: d.durability,
            storage_quota: d.storage_quota,
            spend_limit: d.spend_limit,
            access: Access {
                allow: d.allow,
                deny: d.deny,
            },
            on_demand: d.on_demand,
            backups: d.backups,
            reserved: None,
        },
        state: d.state,
        cpu: d.cpu_ms,
        database: d.name,
    }
}

/// Converts an event to a trace entry, if it is relevant.
fn entry(event: &Event) -> Option<Entry> {
    let what = match event.event.as_str() {
        "created" => What::Created,
        "changed" => What::Changed,
        // a refused change of size is not relevant
        "refused" if event.figures.units.is_none() => What::Refused,
        "dropped" => What::Dropped,
        _ => return None,
    };
    Some(Entry {
        at: millis(event.at),
        database: event.database.clone()?,
        what,
        from: event.from,
        to: event.to,
        took: event.duration_ms.unwrap_or(0),
        idle: event.figures.idle_ms.unwrap_or(0),
        cpu: event.figures.cpu_ms,
        took_cpu: event.figures.took_cpu_ms,
    })
}

fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}
