//! Reads the ledger, once or as a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dormouse_control::{Admitted, EventFilter, Plane};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use crate::context::{Context, stopped};
use crate::error::{Answer, Failure};
use crate::gate::Caller;
use crate::model::{Event, EventQuery};

/// Interval of empty lines without events, by which a disconnected reader is detected.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The ledger's entries that match the query, oldest first. `present`: none of an earlier database of the name.
pub(super) async fn read(plane: &Plane, query: &EventQuery, present: bool) -> Answer<Vec<Event>> {
    let plane = plane.clone();
    let filter = EventFilter {
        database: query.database.clone(),
        present,
        after: query.after,
        limit: query.effective_limit(),
    };
    // the catalog is a file: reading it blocks
    let found = tokio::task::spawn_blocking(move || plane.events(filter)).await;
    let found = found.map_err(|e| Failure::internal(format!("reading the ledger failed: {e}")))?;
    Ok(found?.into_iter().map(event).collect())
}

/// A response without end: first the entries that match the query, then each new event.
pub(super) fn follow(context: &Arc<Context>, caller: &Caller, query: EventQuery) -> Response {
    // subscribes before reading the ledger, so that no event is missed in between
    let follower = Follower {
        live: context.plane.subscribe(),
        stopping: context.stopping.clone(),
        plane: context.plane.clone(),
        ready: VecDeque::new(),
        last: query.after,
        behind: true,
        token: caller.token(),
        present: caller.only.is_some(),
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
    /// Last id sent.
    last: Option<i64>,
    /// Whether the ledger may have events after `last` that will not arrive through `live`.
    behind: bool,
    /// The token of the caller: the stream ends when it admits no more.
    token: Option<Admitted>,
    /// Whether entries of an earlier database of the same name are left out.
    present: bool,
    ready: VecDeque<Event>,
}

impl Follower {
    /// The next line with its line feed; `None` at the end.
    async fn next_line(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if !self.admitted().await {
                    return None;
                }
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
                () = tokio::time::sleep(HEARTBEAT) => {
                    let admitted = self.admitted().await;
                    return admitted.then(|| Bytes::from_static(b"\n"));
                }
            }
        }
    }

    async fn admitted(&self) -> bool {
        match &self.token {
            Some(token) => self.plane.tokens().still_admits(token).await,
            None => true,
        }
    }

    fn take(&mut self, event: Event) {
        let wanted = self
            .query
            .database
            .as_ref()
            .is_none_or(|name| Some(name) == event.database.as_ref());
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
        match read(&self.plane, &query, self.present).await {
            Ok(found) => {
                // with `after` the ledger returns entries from there on, page by page; without it the
                // newest ones, and all later ones arrive through `live`
                self.behind = query.after.is_some() && limit > 0 && found.len() == limit;
                self.ready.extend(found);
                // the caller's limit is for past events; later pages have the default size
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
        actor: event.actor,
        woken_by: event.woken_by,
        event: event.event.as_str().to_owned(),
        from: event.from,
        to: event.to,
        cause: event.cause.as_str().to_owned(),
        reason: event.reason,
        duration_ms: event.duration_ms,
        figures: event.figures,
    }
}
