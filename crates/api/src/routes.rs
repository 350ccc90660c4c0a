//! Request handlers: each parses the request, calls the plane and builds the response. Orders run as
//! tasks of their own, so that they are completed even if the caller disconnects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use bytes::Bytes;
use dormouse_control::{Place, Plane, Status};
use dormouse_types::{DatabaseName, Delay, PoolStatus, SessionStatus};

use crate::access::Verb;
use crate::context::Context;
use crate::error::{Answer, Failure};
use crate::gate::{self, Caller, Peer};
use crate::login;
use crate::metrics;
use crate::model::{
    By as Detail, CreateRequest, Created, Database, EventQuery, ParkQuery, ServerStatus,
    SettingsPatch, Spend, UsageQuery, UsageReport, WakesQuery, WakesReport,
};

mod backups;
mod branches;
mod events;
mod keys;
mod moves;
mod tokens;
mod transfers;
mod users;

/// Maximum size of a request's body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// Deadline of the response to an order; the order itself continues. Longer than the plane's own
/// deadline for orders, whose error has more detail.
pub const ORDER_DEADLINE: Duration = Duration::from_secs(330);

type Shared = State<Arc<Context>>;
type By = Extension<Caller>;

/// All routes, for requests from this peer.
pub(crate) fn router(context: Arc<Context>, peer: Peer) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/databases", get(list).post(create))
        .route("/v1/databases/{name}", get(show).patch(set).delete(remove))
        .route("/v1/databases/{name}/branches", post(branches::make))
        .route("/v1/databases/{name}/reset", post(branches::reset))
        .route(
            "/v1/databases/{name}/move",
            post(moves::make).delete(moves::cancel),
        )
        .route(
            "/v1/databases/{name}/check-upgrade",
            post(moves::check_upgrade),
        )
        .route(
            "/v1/databases/{name}/backups",
            get(backups::list).post(backups::make),
        )
        .route("/v1/databases/{name}/restore", post(backups::restore))
        .route("/v1/databases/{name}/verify", post(backups::verify))
        .route("/v1/databases/{name}/history", get(backups::history))
        .route("/v1/backups", get(backups::list_all))
        .route("/v1/backups/init", post(backups::init))
        .route("/v1/backups/check", post(backups::check))
        .route("/v1/backups/prune", post(backups::prune))
        .route("/v1/backups/running", get(backups::running))
        .route(
            "/v1/backups/keys",
            get(backups::keys).post(backups::add_key),
        )
        .route("/v1/backups/keys/{id}", delete(backups::remove_key))
        .route("/v1/databases/{name}/pool", get(pool))
        .route("/v1/databases/{name}/sessions", get(sessions))
        .route("/v1/databases/{name}/wake", post(wake))
        .route("/v1/databases/{name}/suspend", post(suspend))
        .route("/v1/databases/{name}/park", post(park))
        .route("/v1/databases/{name}/encrypt", post(keys::encrypt))
        .route("/v1/databases/{name}/rotate-key", post(keys::rotate))
        .route("/v1/keys", get(keys::list))
        .route("/v1/keys/rotate-master", post(keys::rotate_master))
        .route("/v1/databases/{name}/transfers", post(transfers::note))
        .route("/v1/databases/{name}/reservation", put(transfers::reserve))
        .route("/v1/databases/{name}/usage", get(usage_of))
        .route("/v1/databases/{name}/wakes", get(wakes))
        .route(
            "/v1/databases/{name}/users",
            get(users::list).post(users::add),
        )
        .route("/v1/databases/{name}/users/rotate", post(users::rotate))
        .route("/v1/databases/{name}/users/drop", post(users::remove))
        .route("/v1/usage", get(usage))
        .route("/v1/events", get(list_events))
        .route("/metrics", get(figures))
        .route("/v1/tokens", get(tokens::list).post(tokens::add))
        .route("/v1/tokens/{id}", delete(tokens::remove))
        .route("/v1/tokens/{id}/rotate", post(tokens::rotate))
        .fallback(async || Failure::no_resource())
        .method_not_allowed_fallback(async || Failure::no_method())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        // everything above is behind the gate; each route has a rule in `access::RULES`
        .layer(from_fn_with_state(Arc::clone(&context), gate::pass))
        .layer(Extension(peer))
        .with_state(context)
}

async fn status(State(context): Shared) -> Json<ServerStatus> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for database in context.plane.list() {
        *counts.entry(database.state.to_string()).or_default() += 1;
    }
    Json(context.status(counts))
}

async fn list(State(context): Shared, Extension(caller): By) -> Json<Vec<Database>> {
    let visible = |status: &Status| caller.only.as_ref().is_none_or(|only| *only == status.name);
    let all = context.plane.list().into_iter().filter(visible);
    let mut all: Vec<Database> = all.map(database).collect();
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
    Extension(caller): By,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Answer<Json<UsageReport>> {
    report(&context, &caller, None, query).await
}

async fn usage_of(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Answer<Json<UsageReport>> {
    report(&context, &caller, Some(parse(&name)?), query).await
}

async fn report(
    context: &Context,
    caller: &Caller,
    database: Option<DatabaseName>,
    query: Result<Query<UsageQuery>, QueryRejection>,
) -> Answer<Json<UsageReport>> {
    let Query(UsageQuery { month, by }) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    if by == Detail::Minute && database.is_none() {
        return Err(Failure::invalid(
            "use by minute is available for one database only",
        ));
    }
    let wanted = dormouse_control::UsageQuery {
        database: database.or_else(|| caller.only.clone()),
        // an earlier database of the same name may have been another's
        present: caller.only.is_some(),
        month,
        by,
    };
    Ok(Json(context.plane.usage(wanted).await?))
}

async fn wakes(
    State(context): Shared,
    Path(name): Path<String>,
    query: Result<Query<WakesQuery>, QueryRejection>,
) -> Answer<Json<WakesReport>> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let Query(WakesQuery { since }) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    let last = since.unwrap_or(Delay::After(DAY));
    // `never` is too long, as the plane says
    let last = last.duration().unwrap_or(Duration::MAX);
    Ok(Json(context.plane.wakes(&parse(&name)?, last).await?))
}

async fn figures(State(context): Shared) -> Answer<Response> {
    let text = metrics::text(&context.plane).map_err(|e| Failure::internal(e.to_string()))?;
    Ok(([(CONTENT_TYPE, metrics::MEDIA_TYPE)], text).into_response())
}

async fn create(
    State(context): Shared,
    Extension(caller): By,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<Created>)> {
    let request: CreateRequest = read(body, "creates a database")?;
    let spec = request.settings.applied_to(context.defaults.clone());
    let plane = caller.plane(&context);
    let name = request.name;
    let place = Place {
        root: request.root,
        series: request.version,
    };
    let made = order(async move { plane.create_at(&name, spec, place).await }).await?;
    let answer = login::created(made.name, made.password, &context.listen);
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn set(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<Database>> {
    let name = parse(&name)?;
    let settings: SettingsPatch = read(body, "changes a database")?;
    let plane = caller.plane(&context);
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

async fn remove(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    order(async move { plane.drop_database(&name).await }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn wake(context: Shared, caller: By, name: Path<String>) -> Answer<Json<Database>> {
    transition(context, caller, name, |plane, name| async move {
        plane.wake(&name).await
    })
    .await
}

async fn suspend(context: Shared, caller: By, name: Path<String>) -> Answer<Json<Database>> {
    transition(context, caller, name, |plane, name| async move {
        plane.suspend(&name).await
    })
    .await
}

async fn park(
    context: Shared,
    caller: By,
    name: Path<String>,
    query: Result<Query<ParkQuery>, QueryRejection>,
) -> Answer<Json<Database>> {
    let Query(ParkQuery { force }) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    if force {
        caller.may(Verb::ParkAndLose, Some(&parse(&name)?))?;
    }
    transition(context, caller, name, move |plane, name| async move {
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
    Extension(caller): By,
    Path(name): Path<String>,
    verb: impl FnOnce(Plane, DatabaseName) -> F,
) -> Answer<Json<Database>>
where
    F: Future<Output = Result<Status, dormouse_control::Error>> + Send + 'static,
{
    let name = parse(&name)?;
    Ok(Json(database(
        order(verb(caller.plane(&context), name)).await?,
    )))
}

async fn list_events(
    State(context): Shared,
    Extension(caller): By,
    query: Result<Query<EventQuery>, QueryRejection>,
) -> Answer<Response> {
    let Query(mut query) = query.map_err(|e| Failure::invalid(e.body_text()))?;
    if let Some(only) = &caller.only {
        let asked = query.database.get_or_insert_with(|| only.clone());
        // as for any database; of one that is not the caller's, nothing is said
        caller.may(Verb::Events, Some(asked))?;
    }
    if query.follow {
        return Ok(events::follow(&context, &caller, query));
    }
    let found = events::read(&context.plane, &query, caller.only.is_some()).await?;
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

/// Runs an order as a task of its own and waits for it, however long it takes.
async fn endless<T: Send + 'static>(
    future: impl Future<Output = Result<T, dormouse_control::Error>> + Send + 'static,
) -> Answer<T> {
    match tokio::spawn(future).await {
        Ok(done) => Ok(done?),
        Err(broken) => Err(Failure::internal(format!(
            "the order's task failed: {broken}"
        ))),
    }
}

pub(crate) fn parse(name: &str) -> Answer<DatabaseName> {
    name.parse()
        .map_err(|e: dormouse_types::name::InvalidName| Failure::invalid(e.to_string()))
}

fn database(status: Status) -> Database {
    Database {
        name: status.name,
        state: status.state,
        since: status.since,
        pid: status.pid,
        layers: status.layers,
        instance: status.instance,
        root: status.root,
        version: status.series,
        generation: status.generation,
        units: status.units,
        units_range: status.spec.units,
        pooling: status.spec.pooling,
        carry: status.spec.carry,
        idle_suspend: status.spec.idle_suspend,
        idle_park: status.spec.idle_park,
        keep_awake: status.spec.keep_awake,
        prewake: status.spec.prewake,
        history: status.spec.history,
        replicas: status.replicas,
        replicas_range: status.spec.replicas,
        reads: status.spec.reads,
        durability: status.spec.durability,
        reserved: status.spec.reserved.is_some(),
        storage_quota: status.spec.storage_quota,
        spend_limit: status.spec.spend_limit,
        backups: status.spec.backups,
        allow: status.spec.access.allow,
        deny: status.spec.access.deny,
        on_demand: status.spec.on_demand,
        sessions: status.sessions,
        held: status.held,
        transactions: status.transactions,
        memory: status.memory,
        cpu_ms: status.cpu_ms,
        storage: status.storage,
        read_only: status.read_only,
        memory_tables: status.memory_tables,
        encryption: status.encryption,
        spend: status.spend.map(|spend| Spend {
            cost: spend.cost,
            currency: spend.currency,
            rung: spend.rung.as_str().to_owned(),
        }),
        branch: status.branch,
        followers: status.followers,
        moving: status.moving,
        reason: status.last_reason,
    }
}
