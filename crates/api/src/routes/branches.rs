//! Branches of databases.

use axum::Json;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use dormouse_types::Delay;

use super::{By, Shared, order, parse, read};
use crate::error::Answer;
use crate::login;
use crate::model::{BranchRequest, Branched};

/// `POST /v1/databases/NAME/branches`
pub(super) async fn make(
    State(context): Shared,
    Extension(caller): By,
    Path(parent): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<(StatusCode, Json<Branched>)> {
    let parent = parse(&parent)?;
    let request: BranchRequest = read(body, "branches a database")?;
    let lifetime = match request.ttl {
        Some(Delay::After(lifetime)) => Some(lifetime),
        Some(Delay::Never) | None => None,
    };
    let plane = caller.plane(&context);
    let made = async move {
        plane
            .branches()
            .make(&parent, &request.name, lifetime)
            .await
    };
    let answer = login::branched(order(made).await?, &context.listen);
    Ok((StatusCode::CREATED, Json(answer)))
}

/// `POST /v1/databases/NAME/reset`
pub(super) async fn reset(
    State(context): Shared,
    Extension(caller): By,
    Path(name): Path<String>,
) -> Answer<Json<Branched>> {
    let (plane, name) = (caller.plane(&context), parse(&name)?);
    let made = order(async move { plane.branches().reset(&name).await }).await?;
    Ok(Json(login::branched(made, &context.listen)))
}
