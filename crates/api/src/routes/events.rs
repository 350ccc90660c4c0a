//! Reading the ledger, once or as a stream that goes on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dormouse_control::{EventFilter, Plane};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use crate::context::{Context, stopped};
use crate::error::{Answer, Failure};
use crate::model::{Event, EventQuery};

/// How often an empty line is sent while nothing happens, so that a reader who has gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What the ledger holds that fits the query, oldest first.
pub(super) async fn read(plane: &Plane, query: &EventQuery) -> Answer<Vec<Event>> {
    let plane = plane.clone();
    let filter = EventFilter {
        database: query.database.clone(),
        after: query.after,
        limit: query.effective_limit(),
    };
    // The catalog is a file: reading it blocks.
    let found = tokio::task::spawn_blocking(move || plane.events(filter)).await;
    let found =
        found.map_err(|e| Failure::internal(format!("reading the ledger broke off: {e}")))?;
    Ok(found?.into_iter().map(event).collect())
}

/// An answer without end: first what the query finds, then each event as it happens.
pub(super) fn follow(context: &Arc<Context>, query: EventQuery) -> Response {
    // Subscribed before the ledger is read, so that nothing falls between the two.
    let follower = Follower {
        live: context.plane.subscribe(),
        stopping: context.stopping.clone(),
        plane: context.plane.clone(),
        ready: VecDeque::new(),
        last: query.after,
        behind: true,
        query,
    };
    let lines = futures_util::stream::unfold(follower, |mut follower| async move {
        follower
            .next_line()
            .await
            .map(|line| (Ok::<_, Infallible>(line), follower))
    });
    (
        [(CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response()
}

struct Follower {
    live: broadcast::Receiver<dormouse_control::Event>,
    stopping: watch::Receiver<bool>,
    plane: Plane,
    query: EventQuery,
    /// The last id sent.
    last: Option<i64>,
    /// Whether the ledger may hold events after `last` that will not come through `live`.
    behind: bool,
    ready: VecDeque<Event>,
}

impl Follower {
    /// The next line with its line feed; `None` at the end.
    async fn next_line(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.last = Some(event.id);
                let mut line = serde_json::to_vec(&event).ok()?;
                line.push(b'\n');
                return Some(line.into());
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return None,
                received = self.live.recv() => match received {
                    Ok(live) => self.take(event(live)),
                    Err(RecvError::Lagged(_)) => self.behind = true,
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep(HEARTBEAT) => return Some(Bytes::from_static(b"\n")),
            }
        }
    }

    fn take(&mut self, event: Event) {
        let wanted = self
            .query
            .database
            .as_ref()
            .is_none_or(|name| *name == event.database);
        if wanted && self.last.is_none_or(|last| event.id > last) {
            self.ready.push_back(event);
        }
    }

    /// Reads the ledger from the last event on; ends the stream if the ledger cannot be read.
    async fn catch_up(&mut self) -> Option<()> {
        let query = EventQuery {
            after: self.last,
            ..self.query.clone()
        };
        let limit = query.effective_limit();
        match read(&self.plane, &query).await {
            Ok(found) => {
                // With an `after` the ledger answers from there on, page by page; without, it
                // answers the newest, and all that follows comes live.
                self.behind = query.after.is_some() && limit > 0 && found.len() == limit;
                self.ready.extend(found);
                // The caller's limit is for what lies behind; later pages have the usual size.
                self.query.limit = None;
                Some(())
            }
            Err(failure) => {
                tracing::warn!(?failure, "cannot read the ledger for a follower");
                None
            }
        }
    }
}

fn event(event: dormouse_control::Event) -> Event {
    Event {
        id: event.id,
        at: event.at,
        database: event.database,
        event: event.event.as_str().to_owned(),
        from: event.from,
        to: event.to,
        cause: event.cause.as_str().to_owned(),
        reason: event.reason,
        duration_ms: event.duration_ms,
        figures: event.figures,
    }
}
