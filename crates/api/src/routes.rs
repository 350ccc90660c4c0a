//! Request handlers: each parses the request, calls the plane and builds the response. Orders run as
//! tasks of their own, so that they are completed even if the caller disconnects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use dormouse_control::{Plane, Status};
use dormouse_types::{DatabaseName, PoolStatus, SessionStatus};

use crate::context::Context;
use crate::error::{Answer, Failure};
use crate::login;
use crate::metrics;
use crate::model::{
    By, CreateRequest, Created, Database, EventQuery, ParkQuery, ServerStatus, SettingsPatch,
    Spend, UsageQuery, UsageReport,
};

mod events;

/// Maximum size of a request's body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Deadline of the response to an order; the order itself continues. Longer than the plane's own
/// deadline for orders, whose error has more detail.
pub const ORDER_DEADLINE: Duration = Duration::from_secs(330);

type Shared = State<Arc<Context>>;

/// All routes.
pub fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/databases", get(list).post(create))
        .route("/v1/databases/{name}", get(show).patch(set).delete(remove))
        .route("/v1/databases/{name}/pool", get(pool))
        .route("/v1/databases/{name}/sessions", get(sessions))
        .route("/v1/databases/{name}/wake", post(wake))
        .route("/v1/databases/{name}/suspend", post(suspend))
        .route("/v1/databases/{name}/park", post(park))
        .route("/v1/databases/{name}/usage", get(usage_of))
        .route("/v1/usage", get(usage))
        .route("/v1/events", get(list_events))
        .route("/metrics", get(figures))
        .fallback(async || Failure::new(StatusCode::NOT_FOUND, "not_found", "no such resource"))
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Failure::new(
                status,
                "method_not_allowed",
                "this resource has no such method",
            )
        })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(context)
}

async fn status(State(context): Shared) -> Json<ServerStatus> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for database in context.plane.list() {
        *counts.entry(database.state.to_string()).or_default() += 1;
    }
    Json(context.status(counts))
}

async fn list(State(context): Shared) -> Json<Vec<Database>> {
    let mut all: Vec<Database> = context.plane.list().into_iter().map(database).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Json(all)
}

async fn show(State(context): Shared, Path(name): Path<String>) -> Answer<Json<Database>> {
    Ok(Json(database(context.plane.look(&parse(&name)?).await?)))
}

async fn pool(State(context): Shared, Path(name): Path<String>) -> Answer<Json<PoolStatus>> {
    Ok(Json(context.plane.pool(&parse(&name)?)?))
}

async fn sessions(
    State(context): Shared,
    Path(name): Path<String>,
) -> Answer<Json<Vec<SessionStatus>>> {
    Ok(Json(context.plane.sessions(&parse(&name)?)?))
}

async fn usage(
    State(context): Shared,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Answer<Json<UsageReport>> {
    report(&context, None, query).await
}

async fn usage_of(
    State(context): Shared,
    Path(name): Path<String>,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Answer<Json<UsageReport>> {
    report(&context, Some(parse(&name)?), query).await
}

async fn report(
    context: &Context,
    database: Option<DatabaseName>,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Answer<Json<UsageReport>> {
    let Query(UsageQuery { month, by }) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    if by == By::Minute && database.is_none() {
        return Err(Failure::invalid(
            "use by minute is available for one database only",
        ));
    }
    let wanted = dormouse_control::UsageQuery {
        database,
        month,
        by,
    };
    Ok(Json(context.plane.usage(wanted).await?))
}

async fn figures(State(context): Shared) -> Answer<Response> {
    let text = metrics::text(&context.plane).map_err(|e| Failure::internal(e.to_string()))?;
    Ok(([(CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response())
}

async fn create(
    State(context): Shared,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<Created>)> {
    let request: CreateRequest = read(body, "creates a database")?;
    let spec = request.settings.applied_to(context.defaults.clone());
    let plane = context.plane.clone();
    let name = request.name;
    let made = order(async move { plane.create(&name, spec).await }).await?;
    let answer = login::created(made.name, made.password, &context.listen);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn set(
    State(context): Shared,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<Database>> {
    let name = parse(&name)?;
    let settings: SettingsPatch = read(body, "changes a database")?;
    let plane = context.plane.clone();
    let changed = order(async move { plane.set(&name, settings).await }).await?;
    Ok(Json(database(changed)))
}

/// Parses the body.
fn read<T: serde::de::DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
    what: &str,
) -> Answer<T> {
    let body = body.map_err(|e| match e.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Failure::too_large(MAX_BODY),
        _ => Failure::invalid(e.body_text()),
    })?;
    serde_json::from_slice(&body)
        .map_err(|e| Failure::invalid(format!("the body is not a request that {what}: {e}")))
}

async fn remove(State(context): Shared, Path(name): Path<String>) -> Answer<StatusCode> {
    let (plane, name) = (context.plane.clone(), parse(&name)?);
    order(async move { plane.drop_database(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn wake(context: Shared, name: Path<String>) -> Answer<Json<Database>> {
    transition(context, name, |plane, name| async move {
        plane.wake(&name).await
    })
    .await
}

async fn suspend(context: Shared, name: Path<String>) -> Answer<Json<Database>> {
    transition(context, name, |plane, name| async move {
        plane.suspend(&name).await
    })
    .await
}

async fn park(
    context: Shared,
    name: Path<String>,
    query: Result<Query<ParkQuery>, QueryRejection>,
) -> Answer<Json<Database>> {
    let Query(ParkQuery { force }) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    transition(context, name, move |plane, name| async move {
        if force {
            plane.park_and_lose(&name).await
        } else {
            plane.park(&name).await
        }
    })
    .await
}

async fn transition<F>(
    State(context): Shared,
    Path(name): Path<String>,
    verb: impl FnOnce(Plane, DatabaseName) -> F,
) -> Answer<Json<Database>>
where
    F: Future<Output = Result<Status, dormouse_control::Error>> + Send + 'static,
{
    let name = parse(&name)?;
    Ok(Json(database(
        order(verb(context.plane.clone(), name)).await?,
    )))
}

async fn list_events(
    State(context): Shared,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Answer<Response> {
    let Query(query) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    if query.follow {
        return Ok(events::follow(&context, query));
    }
    let found = events::read(&context.plane, &query).await?;
    Ok(Json(found).into_response())
}

/// Runs an order as a task of its own and waits for it, up to [`ORDER_DEADLINE`].
async fn order<T: Send + 'static>(
    future: impl Future<Output = Result<T, dormouse_control::Error>> + Send + 'static,
) -> Answer<T> {
    match tokio::time::timeout(ORDER_DEADLINE, tokio::spawn(future)).await {
        Ok(Ok(done)) => Ok(done?),
        Ok(Err(broken)) => Err(Failure::internal(format!(
            "the order's task failed: {broken}"
        ))),
        Err(_) => Err(Failure::timeout(ORDER_DEADLINE.as_secs())),
    }
}

fn parse(name: &str) -> Answer<DatabaseName> {
    name.parse()
        .map_err(|e: dormouse_types::name::InvalidName| Failure::invalid(e.to_string()))
}

fn database(status: Status) -> Database {
    Database {
        name: status.name,
        state: status.state,
        since: status.since,
        pid: status.pid,
        instance: status.instance,
        generation: status.generation,
        units: status.units,
        units_range: status.spec.units,
        pooling: status.spec.pooling,
        idle_suspend: status.spec.idle_suspend,
        idle_park: status.spec.idle_park,
        keep_awake: status.spec.keep_awake,
        prewake: status.spec.prewake,
        storage_quota: status.spec.storage_quota,
        spend_limit: status.spec.spend_limit,
        allow: status.spec.access.allow,
        deny: status.spec.access.deny,
        sessions: status.sessions,
        held: status.held,
        transactions: status.transactions,
        memory: status.memory,
        cpu_ms: status.cpu_ms,
        storage: status.storage,
        read_only: status.read_only,
        memory_tables: status.memory_tables,
        spend: status.spend.map(|spend| Spend {
            cost: spend.cost,
            currency: spend.currency,
            rung: spend.rung.as_str().to_owned(),
        }),
        reason: status.last_reason,
    }
}
