//! Moves of databases to other places.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use dormouse_control::MoveDone;

use super::{By, Shared, endless, parse, read};
use crate::error::Answer;
use crate::model::MoveRequest;

/// `POST /v1/databases/NAME/move`
pub(super) async fn make(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<Json<MoveDone>> {
    let name = parse(&name)?;
    let request: MoveRequest = read(body, "moves a database")?;
    let keep = request.keep.map(|keep| keep.duration().unwrap_or(FOREVER));
    let plane = caller.plane(&context);
    let moved = async move { plane.moves().make(&name, keep.unwrap_or_default()).await };
    Ok(Json(endless(moved).await?))
}

/// What `never` means for files that are kept: a hundred years.
const FOREVER: std::time::Duration = std::time::Duration::from_secs(100 * 365 * 86_400);

/// `DELETE /v1/databases/NAME/move`
pub(super) async fn cancel(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    caller.plane(&context).moves().cancel(&parse(&name)?)?;
    Ok(StatusCode::NO_CONTENT)
}
